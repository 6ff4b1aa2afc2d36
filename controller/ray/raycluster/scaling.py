"""Which pods of a group go, and which places are to be filled (spec raycluster §8.3, §8.4, design W1, W2). Pure.

A pod's place is its slot: group and index. What is missing is filled from the lowest free index up. Pods that are
terminating keep their slot until they are gone, as with KubeRay, so that a group never has more pods than it should.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from controller.ray.desired import names
from controller.ray.desired.facts import Group
from controller.ray.desired.names import HEAD_SLOT, Slot
from controller.ray.raycluster.seen import FINISHED, Filled, PodView

__all__ = ["Cause", "Scaling", "burned", "health_note", "scale", "verdict_on"]


class Cause(Enum):
    """Why a worker goes."""

    SUSPENDED_GROUP = "group suspended"
    UNHEALTHY = "unhealthy"
    NAMED = "named in workersToDelete"
    SURPLUS = "surplus"
    INCOMPLETE = "a host of its replica is missing"


@dataclass(frozen=True, slots=True)
class Scaling:
    """What is to be done to one group. Pods in `going` do not terminate yet; with each goes what users are told."""

    going: tuple[tuple[PodView, Cause, str], ...] = ()
    filling: tuple[Slot, ...] = ()


def verdict_on(pod: PodView) -> str | None:
    """Why a pod must be deleted, or None to keep it (spec raycluster §8.4).

    Readiness, restarts and the node's state play no role: the kubelet and Kubernetes see to those.
    """
    kind = "head" if pod.is_head else "worker"
    if pod.phase in FINISHED:
        return (
            f"The {kind} Pod {pod.name} status is {pod.phase} which is a terminal state. "
            f"It does not come back by itself, whatever its restart policy ({pod.restart_policy})."
        )
    if pod.running and pod.terminated is not None and pod.restart_policy == "Never":
        return (
            f"The Pod status of the {kind} Pod {pod.name} is Running, and the Ray container terminated status is "
            f"{_in_one_line(pod.terminated)}. Nothing restarts the container, as the restart policy is Never."
        )
    return None


def health_note(pod: PodView) -> str:
    """The tail of the events that tell of a deleted pod."""
    ended = _in_one_line(pod.terminated) if pod.terminated is not None else "nil"
    return (
        f"; Pod status: {pod.phase}; Pod restart policy: {pod.restart_policy}; Ray container terminated status: {ended}"
    )


def _in_one_line(state: Mapping[str, Any]) -> str:
    """A terminated state as the reference prints it."""
    fields = {
        "ExitCode": state.get("exitCode", 0),
        "Signal": state.get("signal", 0),
        "Reason": state.get("reason", ""),
        "Message": state.get("message", ""),
        "StartedAt": _moment(state.get("startedAt")),
        "FinishedAt": _moment(state.get("finishedAt")),
        "ContainerID": state.get("containerID", ""),
    }
    return "&ContainerStateTerminated{" + "".join(f"{name}:{value}," for name, value in fields.items()) + "}"


def _moment(text: str | None) -> str:
    return text.replace("T", " ").replace("Z", " +0000 UTC") if text else "0001-01-01 00:00:00 +0000 UTC"


def scale(group: Group, pods: Sequence[PodView], *, may_choose: bool) -> Scaling:
    """What one group of single-host workers needs. `pods` are the group's; `may_choose`: may we pick victims?

    With the autoscaler on, it alone picks: then a surplus stays until it names the pods.
    """
    if group.suspended:
        return Scaling(tuple((pod, Cause.SUSPENDED_GROUP, "") for pod in pods if not pod.deleting))
    named = [pod for pod in pods if pod.name in group.workers_to_delete]
    running = [pod for pod in pods if pod.name not in group.workers_to_delete]
    unhealthy = [pod for pod in running if verdict_on(pod) is not None]
    missing = group.desired_pods - len(running)
    surplus = _victims(running, unhealthy, -missing) if may_choose else []
    causes = {pod.name: Cause.SURPLUS for pod in surplus}
    causes |= {pod.name: Cause.NAMED for pod in named}
    causes |= {pod.name: Cause.UNHEALTHY for pod in unhealthy}
    return Scaling(
        going=tuple((pod, causes[pod.name], "") for pod in pods if pod.name in causes and not pod.deleting),
        filling=tuple(_free_slots(group, running, missing)),
    )


def _victims(running: Sequence[PodView], unhealthy: Collection[PodView], count: int) -> list[PodView]:
    """Who goes when there are too many: first those that go anyway, then those that work least, then the latest."""
    if count <= 0:
        return []

    def worth(pod: PodView) -> tuple[bool, bool, bool, bool, int, str]:
        index = pod.slot.index if pod.slot is not None else -1
        return not pod.deleting, pod not in unhealthy, pod.running, pod.runs_well, -index, pod.name

    return sorted(running, key=worth)[:count]


def _free_slots(group: Group, running: Iterable[PodView], count: int) -> Iterable[Slot]:
    taken = {pod.slot.index for pod in running if pod.slot is not None}
    index = 0
    while count > 0:
        if index not in taken:
            yield Slot(group.name, index)
            count -= 1
        index += 1


def burned(
    slots: Iterable[Slot],
    ticket: str,
    pods: Iterable[PodView],
    spent: Filled,
    dead_names: Collection[str],
    naming: Naming,
) -> bool:
    """Can one of the slots not be filled under this ticket (design W2)?

    It cannot when a pod of that slot and ticket was seen, when its name is one of `dead_names`, or when another pod
    has that name by chance: no name of a pod that was comes back.
    """
    if not ticket:
        return True
    used, present = set(spent), set()
    for pod in pods:
        present.add(pod.name)
        if pod.slot is not None:
            used.add((pod.slot, pod.ticket))
    for slot in slots:
        name = naming.of(slot, ticket)
        if (slot, ticket) in used or name in dead_names or name in present:
            return True
    return False


@dataclass(frozen=True, slots=True)
class Naming:
    """How the pods of one cluster are called."""

    cluster: str
    uid: str

    def of(self, slot: Slot, ticket: str) -> str:
        """The name of the pod that fills the slot under the ticket."""
        if slot == HEAD_SLOT:
            return names.head_pod(self.cluster, self.uid, ticket)
        return names.worker_pod(self.cluster, self.uid, slot, ticket)
