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
OVER: Final = {"Complete": 0, "Failed": 1, "ValidationFailed": 1}


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


@dataclass(frozen=True, slots=True)
class Verdict:
    """The run is over: exit code, and a sentence."""

    code: int
    text: str


@dataclass(slots=True)
class Progress:
    """One object that is followed, with its pods. Feed it events; it answers with lines."""

    kind: str
    name: str
    namespace: str = "default"
    phase: str = ""
    pods: dict[str, PodLine] = field(default_factory=dict)
    verdict: Verdict | None = None
    cluster: str = ""
    head_ip: str = ""
    job_id: str = ""
    submitter: str = ""  # the pod whose log is the job's
    told: set[str] = field(default_factory=set)

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
        self.cluster = status.get("rayClusterName", "")
        self.job_id = status.get("jobId", "")
        self.head_ip = ((status.get("rayClusterStatus") or {}).get("head") or {}).get("podIP", "")
        phase, said = status.get("jobDeploymentStatus", ""), status.get("jobStatus", "")
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
            if self.pods.pop(name, None) is not None:
                yield Line("pod", name, "gone")
            return
        if role == "submitter":
            self.submitter = name
        line = self.pods.setdefault(name, PodLine(name, role))
        state, trouble = state_of(pod)
        if state != line.state:
            line.state, line.ready = state, state == "Ready"
            yield Line("pod", name, state)
        if trouble and trouble not in self.told:
            self.told.add(trouble)
            yield Line("trouble", name, trouble)

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
        if event.get("type") != "Warning" or not self.concerns(about) or note in self.told:
            return
        self.told.add(note)
        yield Line("event", f"{about.get('kind')} {about.get('name')}", f"{event.get('reason')}: {note}")

    def concerns(self, about: Mapping[str, Any]) -> bool:
        """The followed object, its cluster, its pods."""
        return about.get("name") in {self.name, self.cluster, *self.pods}


def state_of(pod: Mapping[str, Any]) -> tuple[str, str]:
    """A pod in a word, and what keeps it from running, in the words of node or scheduler."""
    status: Mapping[str, Any] = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating", ""
    phase = status.get("phase", "Pending")
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        return "Unschedulable", f"cannot be scheduled: {scheduled.get('message', '')}"
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in WAITING_IS_BAD:
            return waiting[
                "reason"
            ], f"container {container['name']}: {waiting['reason']}: {waiting.get('message', '')}"
    if phase == "Running" and (conditions.get("Ready") or {}).get("status") == "True":
        return "Ready", ""
    running_init = [
        one["name"] for one in status.get("initContainerStatuses") or () if "running" in (one.get("state") or {})
    ]
    return (f"Init: {running_init[0]}" if running_init and phase == "Pending" else phase), ""
