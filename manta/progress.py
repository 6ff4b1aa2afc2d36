"""What is known of a run, and what a person is told of it. Pure: events of the API in, lines out (design.md §4).

The lines are the story: each says one thing that changed, once. How they look is `show`'s business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

__all__ = ["Line", "PodLine", "Progress", "Verdict"]

Json: TypeAlias = dict[str, Any]

WAITING_IS_BAD: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CrashLoopBackOff"}
    | {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)
OVER: Final = frozenset({"Complete", "Failed", "ValidationFailed"})
IMAGE_TROUBLE: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
UNSCHEDULABLE: Final = "Unschedulable"
MORE_ROOM: Final = (
    "the one node is this machine; ask for less in resources.requests, or say that it has more: "
    "--node-resources NAME=AMOUNT"
)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that changed. `what`: phase, pod, trouble, event or log; `about` names the object."""

    what: str
    about: str
    text: str


@dataclass(slots=True)
class PodLine:
    """A pod as a table shows it."""

    name: str
    role: str = ""
    state: str = "Pending"
    ready: bool = False
    was_ready: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """The run is over: exit code, and a sentence."""

    code: int
    text: str
    cell_ended: bool = False  # by the fault of neither the user nor the job


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
    head_ip: str = ""
    job_id: str = ""
    submitter: str = ""  # the pod whose log is the job's
    told: set[str] = field(default_factory=set)
    stuck: dict[str, str] = field(default_factory=dict)  # pod -> why it cannot start, as things are
    crashed: list[tuple[str, str]] = field(default_factory=list)  # pods and containers whose last log is worth a look
    began: bool = False  # the job ran, or the cluster was ready

    def object_changed(self, body: Mapping[str, Any]) -> Iterator[Line]:
        """The RayJob, RayCluster or other object that was applied."""
        status: Mapping[str, Any] = body.get("status") or {}
        match self.kind:
            case "RayJob":
                yield from self.job_changed(status)
            case "RayCluster":
                yield from self.cluster_changed(status)
            case _:
                self.verdict = self.verdict or Verdict(0, f"{self.kind} {self.name} is there")

    def job_changed(self, status: Mapping[str, Any]) -> Iterator[Line]:
        """Its phase, what Ray says, and its end."""
        self.cluster = status.get("rayClusterName", "") or self.cluster
        self.job_id = status.get("jobId", "")
        self.head_ip = ((status.get("rayClusterStatus") or {}).get("head") or {}).get("podIP", "")
        phase, said = status.get("jobDeploymentStatus", ""), status.get("jobStatus", "")
        self.began = self.began or phase == "Running"
        shown = f"{phase or 'New'}{f', job {said}' if said else ''}"
        if shown != self.phase:
            self.phase = shown
            yield Line("phase", f"RayJob {self.name}", shown)
        if phase in OVER and self.verdict is None:
            reason, message = status.get("reason", ""), status.get("message", "")
            ok = phase == "Complete" and said in ("SUCCEEDED", "STOPPED")
            text = f"the job ended: {said or phase}"
            if not ok:
                text = f"the job failed: {reason or said}{f': {message}' if message else ''}"
            self.verdict = Verdict(0 if ok else 1, text)

    def cluster_changed(self, status: Mapping[str, Any]) -> Iterator[Line]:
        """Its state and how many workers are there."""
        self.cluster = self.name
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

    # Pods

    def pod_changed(self, type_: str, pod: Mapping[str, Any]) -> Iterator[Line]:
        """A pod of the followed object's cluster, or its submitter."""
        role = self.role_of(pod)
        name = pod["metadata"]["name"]
        if not role:
            return
        if type_ == "DELETED":
            self.stuck.pop(name, None)
            if self.pods.pop(name, None) is not None:
                yield Line("pod", name, "gone")
            return
        if role == "submitter":
            self.submitter = name
        line = self.pods.setdefault(name, PodLine(name, role))
        state, container, trouble = state_of(pod)
        if state != line.state:
            line.state, line.ready = state, state == "Ready"
            line.was_ready = line.was_ready or line.ready
            yield Line("pod", name, state)
        if state == UNSCHEDULABLE or state in IMAGE_TROUBLE:
            self.stuck.setdefault(name, trouble)  # the first words say why; later ones only that it goes on
        else:
            self.stuck.pop(name, None)
        if trouble and self.first_time(name, state, trouble):
            yield Line("trouble", name, trouble)
            if state == "CrashLoopBackOff":
                self.crashed.append((name, container))

    def first_time(self, pod: str, state: str, trouble: str) -> bool:
        """Has this trouble not been told? Trouble with an image is told once a pod, in its first words."""
        key = f"{pod} image" if state in IMAGE_TROUBLE else trouble
        if key in self.told:
            return False
        self.told.add(key)
        return True

    def given_up(self) -> Verdict:
        """What cannot start as things are, for a run that waits no longer."""
        name, why = next(iter(self.stuck.items()))
        return Verdict(1, f"gave up: pod {name} {why}")

    def role_of(self, pod: Mapping[str, Any]) -> str:
        """head, worker, submitter, or "" for somebody else's pod."""
        labels: Mapping[str, str] = pod["metadata"].get("labels") or {}
        if self.cluster and labels.get("ray.io/cluster") == self.cluster:
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
        if note in self.told:
            return
        self.told.add(note)
        yield Line("event", f"{about.get('kind')} {about.get('name')}", f"{event.get('reason')}: {note}")

    def concerns(self, about: Mapping[str, Any]) -> bool:
        """The followed object, its cluster, its pods."""
        return about.get("name") in {self.name, self.cluster, *self.pods}

    def shown_elsewhere(self, event: Mapping[str, Any], about: Mapping[str, Any]) -> bool:
        """A pod's state says it already, or it is still starting and nobody expects its probes to pass."""
        pod = self.pods.get(str(about.get("name")))
        if pod is None or about.get("kind") != "Pod":
            return False
        reason = event.get("reason")
        return reason in {"FailedScheduling", "BackOff", "Failed"} or (reason == "Unhealthy" and not pod.was_ready)


def state_of(pod: Mapping[str, Any]) -> tuple[str, str, str]:
    """A pod in a word; and the container and what keeps it from running, in the words of node or scheduler."""
    status: Mapping[str, Any] = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating", "", ""
    phase = status.get("phase", "Pending")
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        return UNSCHEDULABLE, "", f"cannot be scheduled: {scheduled.get('message', '')} ({MORE_ROOM})"
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if (reason := waiting.get("reason", "")) in WAITING_IS_BAD:
            return reason, container["name"], f"container {container['name']}: {reason}: {waiting.get('message', '')}"
    if phase == "Running" and (conditions.get("Ready") or {}).get("status") == "True":
        return "Ready", "", ""
    return (starting(status) if phase == "Pending" else phase), "", ""


def starting(status: Mapping[str, Any]) -> str:
    """A Pending pod: which of its init containers runs, if one does."""
    for container in status.get("initContainerStatuses") or ():
        if "running" in (container.get("state") or {}):
            return f"Init: {container['name']}"
    return "Pending"
