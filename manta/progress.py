"""What is known of a run, and what a person is told of it. Pure: events of the API in, lines out (design.md §4).

The lines are the story: each says one thing that changed, once. How they look is `show`'s business.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from manta.documents import Document
from manta.joblog import cause_and_tail
from manta.lines import Line, Verdict
from manta.podstates import CRASHING, IMAGE_TROUBLE, UNSCHEDULABLE, PodState, state_of
from manta.refusals import NO_CLUSTER, explained, lasting, pods_not_taken
from manta.servicestory import ServiceStory, clusters_of, verdict_of

__all__ = ["Line", "PodLine", "Progress", "Verdict"]

Json: TypeAlias = dict[str, Any]
Troubles: TypeAlias = dict[str, list[tuple[str, PodState]]]  # trouble -> the pods that are in it

WATCHED: Final = ("RayCluster", "RayService")  # whose refusals are told by events alone; a RayJob's phase has its own
ENOUGH: Final = 200  # characters to know a cause by: events cut theirs short
RETRYING: Final = "Retrying"
PENDING: Final = "Pending"
NO_VOLUME: Final = "FailedMount"
AT_WORK: Final = frozenset({"Running", "Ready", "Succeeded"})  # a submitter that submits, or has submitted
OVER: Final = frozenset({"Complete", "Failed", "ValidationFailed"})


@dataclass(slots=True)
class PodLine:
    """A pod as a table shows it."""

    name: str
    role: str = ""
    state: str = PENDING
    said: str = PENDING  # the state that was told last
    ready: bool = False
    was_ready: bool = False


@dataclass(slots=True)
class Progress:
    """One object that is followed, with its pods. Feed it events; it answers with lines."""

    kind: str
    name: str
    namespace: str = "default"
    phase: str = ""
    stage: str = ""  # what happens outside of the object: a start, an image that is made
    pods: dict[str, PodLine] = field(default_factory=dict)
    verdict: Verdict | None = None
    cluster: str = ""
    clusters: set[str] = field(default_factory=set)  # a RayService's, also those that were replaced
    service: ServiceStory | None = None
    head_ip: str = ""
    job_id: str = ""
    submitter: str = ""  # the pod whose log is the job's
    told: set[str] = field(default_factory=set)
    untold: Troubles = field(default_factory=dict)
    nowhere: Troubles = field(default_factory=dict)  # of pods that have no place, untold too: it is when it lasts
    stuck: dict[str, str] = field(default_factory=dict)  # pod -> why it cannot start, as things are
    unmounted: dict[str, str] = field(default_factory=dict)  # pod -> which of its volumes cannot be had, as things are
    refused: str = ""  # why the operator does not work on a cluster, unless it does: then it was just advice
    worked_on: bool = False  # there is a status
    not_taken: dict[str, str] = field(default_factory=dict)  # cluster -> why the API takes no pods of it, as things are
    no_cluster: str = ""  # why it takes no cluster
    crashed: list[tuple[str, str]] = field(default_factory=list)  # pods and containers whose last log is worth a look
    began: bool = False  # the job may run, or the cluster was ready

    def object_changed(self, body: Mapping[str, Any]) -> Iterator[Line]:
        """The RayJob, RayCluster or other object that was applied."""
        status: Mapping[str, Any] = body.get("status") or {}
        match self.kind:
            case "RayJob":
                yield from self.job_changed(body, status)
            case "RayCluster":
                yield from self.cluster_changed(status)
            case "RayService":
                yield from self.service_changed(body)

    def job_changed(self, body: Mapping[str, Any], status: Mapping[str, Any]) -> Iterator[Line]:
        """Its phase, what Ray says, and its end."""
        self.cluster = status.get("rayClusterName", "") or self.cluster
        self.job_id = status.get("jobId", "")
        self.head_ip = ((status.get("rayClusterStatus") or {}).get("head") or {}).get("podIP", "")
        phase, said = status.get("jobDeploymentStatus", ""), status.get("jobStatus", "")
        self.began = self.began or bool(said) or (phase == "Running" and not by_a_pod_of_its_own(body))
        shown = f"{phase or 'New'}{retry_of(body, status)}{f', job {said}' if said else ''}"
        if shown != self.phase:
            self.phase = shown
            yield Line("phase", f"RayJob {self.name}", shown)
        if phase in OVER and self.verdict is None:
            reason, message = status.get("reason", ""), status.get("message", "")
            ok = phase == "Complete" and said in ("SUCCEEDED", "STOPPED")
            self.verdict = Verdict(0, f"the job ended: {said or phase}") if ok else failure(reason or said, message)

    def cluster_changed(self, status: Mapping[str, Any]) -> Iterator[Line]:
        """Its state and how many workers are there."""
        self.cluster = self.name
        self.worked_on = self.worked_on or bool(status)
        self.head_ip = (status.get("head") or {}).get("podIP", "")
        ready, desired = status.get("readyWorkerReplicas", 0), status.get("desiredWorkerReplicas", 0)
        state = status.get("state", "") or "starting"
        self.began = self.began or state == "ready"
        shown = f"{state}, {ready} of {desired} workers ready"
        if shown != self.phase:
            self.phase = shown
            yield Line("phase", f"RayCluster {self.name}", shown)
        if state == "ready" and self.verdict is None:
            self.verdict = Verdict(0, f"RayCluster {self.name} is ready")

    def service_changed(self, body: Mapping[str, Any]) -> Iterator[Line]:
        """What it waits for and its applications; its end, unless it serves: then it is asked before that."""
        self.service = story = self.service or ServiceStory(self.name)
        self.clusters.update(clusters_of(body.get("status") or {}))
        yield from story.changed(body)
        self.phase = story.phase
        self.began = self.began or story.serving
        self.worked_on = self.worked_on or story.has_applications
        self.verdict = self.verdict or verdict_of(self.name, body)

    def cluster_seen(self, type_: str, body: Mapping[str, Any]) -> None:
        """A RayCluster of the namespace: it exists, and the API takes its pods or does not."""
        name = body["metadata"]["name"]
        if type_ == "DELETED":
            self.not_taken.pop(name, None)
            return
        self.not_taken[name] = pods_not_taken(body)
        if name in {self.cluster, *self.clusters}:
            self.no_cluster = ""

    @property
    def can_be_asked(self) -> bool:
        """A RayService that serves."""
        return self.service is not None and self.service.serving

    # Pods

    def pod_changed(self, type_: str, pod: Mapping[str, Any]) -> Iterator[Line]:
        """A pod of the followed object's cluster, or its submitter; also of a cluster that a retry replaced."""
        name = pod["metadata"]["name"]
        role = self.pods[name].role if name in self.pods else self.role_of(pod)
        if not role:
            return
        if type_ == "DELETED":
            self.stuck.pop(name, None)
            self.unmounted.pop(name, None)
            self.placed(name)
            if self.pods.pop(name, None) is not None:
                yield Line("pod", name, "gone")
            return
        if role == "submitter":
            self.submitter = name
        line = self.pods.setdefault(name, PodLine(name, role))
        state = state_of(pod)
        if state.word in IMAGE_TROUBLE and line.state in IMAGE_TROUBLE:
            return  # it is tried and waits in turn, and only the first words say why
        if state.word not in (line.said, UNSCHEDULABLE):  # that one is told when it lasts
            line.said = state.word
            yield Line("pod", name, state.word)
        line.state, line.ready = state.word, state.word == "Ready"
        line.was_ready = line.was_ready or line.ready
        if state.word != PENDING:
            self.unmounted.pop(name, None)
        self.began = self.began or (role == "submitter" and state.word in AT_WORK)
        self.note_trouble(name, state)

    def note_trouble(self, name: str, state: PodState) -> None:
        """Keeps it for `troubles_told`."""
        self.placed(name)
        if state.stuck:
            self.stuck[name] = state.trouble
        else:
            self.stuck.pop(name, None)
        if state.trouble and state.trouble not in self.told:
            kept = self.nowhere if state.word == UNSCHEDULABLE else self.untold
            known = kept.setdefault(state.trouble, [])
            if not any(other == name for other, _ in known):
                known.append((name, state))

    def placed(self, name: str) -> None:
        """What was noted of a pod without a place, and not told yet, holds no longer."""
        left = {trouble: [one for one in pods if one[0] != name] for trouble, pods in self.nowhere.items()}
        self.nowhere = {trouble: pods for trouble, pods in left.items() if pods}

    @property
    def unplaced(self) -> frozenset[str]:
        """The pods that have no place, of which that was not told: a node may be about to come, or room to be free."""
        return frozenset(name for pods in self.nowhere.values() for name, _ in pods)

    @property
    def has_troubles(self) -> bool:
        """Others were noted."""
        return bool(self.untold)

    def troubles_told(self, lasting: Collection[str] = ()) -> Iterator[Line]:
        """What was noted since the last time, each trouble once with the number of its pods; that pods have no place
        only if one of them is among those of which it lasts.

        Ask a little after the first was noted: pods of a group get into the same trouble one after the other.
        """
        lasts = {trouble: pods for trouble, pods in self.nowhere.items() if any(name in lasting for name, _ in pods)}
        for trouble, pods in lasts.items():
            del self.nowhere[trouble]
            for name, _ in pods:
                self.pods[name].said = UNSCHEDULABLE
        due, self.untold = {**self.untold, **lasts}, {}
        for trouble, pods in due.items():
            self.told.add(trouble)
            name, state = pods[0]
            about = name if len(pods) == 1 else f"{name} and {len(pods) - 1} more"
            yield Line("trouble", about, trouble)
            if state.word == CRASHING:
                self.crashed.append((name, state.container))

    @property
    def hopeless(self) -> bool:
        """Nothing will happen as things are."""
        return (bool(self.stuck or self.unmounted) or self.is_refused or self.not_made[0] != "") and not self.began

    @property
    def not_made(self) -> tuple[str, str]:
        """The API's words about a cluster, or about its pods, that it does not take; and which cluster that is."""
        known = [name for name in {self.cluster, *self.clusters} if self.not_taken.get(name)]
        if known:
            return self.not_taken[known[0]], known[0]
        return self.no_cluster, ""

    @property
    def is_refused(self) -> bool:
        """Still: a RayService says so in its status for as long, and what Serve did not take it may take yet."""
        if not self.refused or self.worked_on:
            return False
        return self.service is None or self.refused.partition(": ")[2][:ENOUGH] in self.service.phase

    def given_up(self, document: Document | None = None) -> Verdict:
        """What cannot start as things are, for a run that waits no longer; the way out was told with the trouble.

        With the document that is followed, what the API refuses is told with its place there.
        """
        if self.is_refused:
            return Verdict(1, f"gave up: {self.refused}")
        words, cluster = self.not_made
        if words:
            return Verdict(1, f"gave up: {words if document is None else explained(words, cluster, document)}")
        causes: dict[str, list[str]] = {}
        for name, why in {**self.unmounted, **self.stuck}.items():
            causes.setdefault(why.partition(". ")[0], []).append(name)
        told = [
            f"pod {names[0]} {why}" if len(names) == 1 else f"{len(names)} pods ({names[0]}, ...) {why}"
            for why, names in causes.items()
        ]
        return Verdict(1, f"gave up: {'; '.join(told)}")

    def role_of(self, pod: Mapping[str, Any]) -> str:
        """head, worker, submitter, or "" for somebody else's pod."""
        labels: Mapping[str, str] = pod["metadata"].get("labels") or {}
        if labels.get("ray.io/cluster", "") in {*self.clusters, self.cluster} - {""}:
            return labels.get("ray.io/node-type", "")
        own = labels.get("ray.io/originated-from-cr-name") == self.name
        if own and labels.get("ray.io/originated-from-crd") == "RayJob" and self.kind == "RayJob":
            return "submitter"
        return ""

    # Events

    def event_told(self, event: Mapping[str, Any]) -> Iterator[Line]:
        """A Warning about anything of ours; what goes well is seen in the phases."""
        about = event.get("regarding") or event.get("involvedObject") or {}
        note = str(event.get("note") or event.get("message") or "")
        if event.get("type") != "Warning" or not self.concerns(about) or self.shown_elsewhere(event, about):
            return
        self.note_mount(event, about, note)
        if note in self.told:
            return
        self.told.add(note)
        if self.kind in WATCHED and about.get("kind") in {"RayCluster", self.kind} and is_refusal(event):
            self.refused = note
        if event.get("reason") == NO_CLUSTER and lasting(note):
            self.no_cluster = note
        yield Line("event", f"{about.get('kind')} {about.get('name')}", f"{event.get('reason')}: {note}")

    def note_mount(self, event: Mapping[str, Any], about: Mapping[str, Any], note: str) -> None:
        """A pod that waits for a volume says so by events alone: it is Pending until it has them all."""
        name = str(about.get("name"))
        pod = self.pods.get(name)
        if about.get("kind") == "Pod" and event.get("reason") == NO_VOLUME and pod is not None and pod.state == PENDING:
            self.unmounted[name] = f"{NO_VOLUME}: {note}"

    def concerns(self, about: Mapping[str, Any]) -> bool:
        """The followed object, its cluster, its pods."""
        return about.get("name") in {self.name, self.cluster, *self.clusters, *self.pods}

    def shown_elsewhere(self, event: Mapping[str, Any], about: Mapping[str, Any]) -> bool:
        """A pod's state says it already, or it is still starting and nobody expects its probes to pass."""
        pod = self.pods.get(str(about.get("name")))
        if pod is None or about.get("kind") != "Pod":
            return False
        reason = event.get("reason")
        return reason in {"FailedScheduling", "BackOff", "Failed"} or (reason == "Unhealthy" and not pod.was_ready)


def by_a_pod_of_its_own(body: Mapping[str, Any]) -> bool:
    """Whether a RayJob is submitted by a Kubernetes Job: its phase is Running before that one's pod has a place."""
    return ((body.get("spec") or {}).get("submissionMode") or "K8sJobMode") == "K8sJobMode"


def retry_of(body: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    """Which retry of a RayJob this is, and how many there may be; "" of the first try, and once it is over."""
    most, failed = (body.get("spec") or {}).get("backoffLimit") or 0, status.get("failed") or 0
    phase = status.get("jobDeploymentStatus", "")
    if not most or not failed or phase in OVER:
        return ""
    return f" ({failed} of {most})" if phase == RETRYING else f", retry {failed} of {most}"


def is_refusal(event: Mapping[str, Any]) -> bool:
    """The operator's word for a spec or name that it does not work on, or that is unwise; Serve's for its own."""
    reason = str(event.get("reason", ""))
    return reason.startswith("InvalidRayCluster") or reason == "FailedToUpdateServeApplications"


def failure(reason: str, message: str) -> Verdict:
    """The verdict of a job that failed; its message may hold the end of the log."""
    cause, tail = cause_and_tail(message)
    return Verdict(1, f"the job failed: {reason}{f': {cause}' if cause else ''}", tail)
