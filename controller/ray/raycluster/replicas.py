"""Groups whose replicas are several hosts: a replica lives and dies as a whole (spec raycluster §8.5). Pure.

Which pods belong together stands in the label ray.io/worker-group-replica-name. A replica that lacks a host has lost
it, and all of it goes; unless it is one of ours that was never complete, because the operator crashed or the server
refused the rest: then the rest is made, under the same names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from controller.ray.desired.facts import Group
from controller.ray.desired.names import Slot
from controller.ray.raycluster.scaling import Cause, Scaling, verdict_on
from controller.ray.raycluster.seen import Filled, PodView

__all__ = ["Past", "scale_replicas"]

INCOMPLETE: Final = "cleanup of incomplete multi-host group"
NAMED: Final = "autoscaler scale-down request"
SURPLUS: Final = "scaling down"


@dataclass(frozen=True, slots=True)
class Past:
    """What tells a replica that lost a host from one that was never complete.

    `spent` are places that this process saw filled and that are empty now; `known`: did it look at the cluster before?
    """

    ticket: str
    spent: Filled = frozenset()
    known: bool = False


@dataclass(frozen=True, slots=True)
class _Replica:
    """The pods of one name."""

    name: str
    pods: tuple[PodView, ...]

    @property
    def index(self) -> int | None:
        return next((pod.slot.index for pod in self.pods if pod.slot is not None), None)

    @property
    def worth(self) -> tuple[bool, bool, int, str]:
        """The less, the sooner it goes when there are too many."""
        alive = not any(pod.deleting for pod in self.pods)
        return alive, all(pod.runs_well for pod in self.pods), -(self.index or 0), self.name

    def missing(self, group: Group) -> list[Slot]:
        """The places of the hosts that are not there."""
        if self.index is None:
            return []
        there = {pod.slot.host for pod in self.pods if pod.slot is not None}
        return [Slot(group.name, self.index, host) for host in range(group.hosts) if host not in there]


def scale_replicas(group: Group, pods: Sequence[PodView], past: Past, *, may_choose: bool) -> Scaling:
    """What a group of multi-host replicas needs. Pods without a replica's name are passed over, as by the reference."""
    if group.suspended:
        return Scaling(tuple((pod, Cause.SUSPENDED_GROUP, "") for pod in pods if not pod.deleting))
    replicas = _replicas(pods)
    unfinished = {one.name for one in replicas if _never_complete(one, group, past)}
    doomed = {one.name: why for one in replicas if (why := _why_it_goes(one, group, one.name in unfinished))}
    kept = [one for one in replicas if one.name not in doomed]
    missing = group.desired_replicas - len(kept)
    # What is not complete is no surplus, but its hosts are still in use: nothing takes its place before they are gone.
    waited_for = sum(cause is Cause.INCOMPLETE for cause, _ in doomed.values())
    if may_choose and missing < 0:
        surplus = sorted(kept, key=lambda one: one.worth)[:-missing]
        doomed |= {one.name: (Cause.SURPLUS, SURPLUS) for one in surplus}
        kept = [one for one in kept if one.name not in doomed]
    rest = [slot for one in kept if one.name in unfinished for slot in one.missing(group)]
    return Scaling(
        going=tuple((pod, *doomed[one.name]) for one in replicas if one.name in doomed for pod in _left(one)),
        filling=(*rest, *_new(group, kept, missing - waited_for)),
    )


def _replicas(pods: Iterable[PodView]) -> list[_Replica]:
    by_name: dict[str, list[PodView]] = {}
    for pod in pods:
        if pod.replica:
            by_name.setdefault(pod.replica, []).append(pod)
    return [_Replica(name, tuple(found)) for name, found in sorted(by_name.items())]


def _never_complete(replica: _Replica, group: Group, past: Past) -> bool:
    """Is this a replica that we began and did not finish?

    A process that has just started cannot know whether a host died meanwhile; but where no host is ready yet, nothing
    is lost by filling the gap.
    """
    missing = replica.missing(group)
    if not missing or any(pod.ticket != past.ticket or pod.deleting for pod in replica.pods):
        return False
    if any((slot, past.ticket) in past.spent for slot in missing):
        return False
    return past.known or not any(pod.is_ready for pod in replica.pods)


def _why_it_goes(replica: _Replica, group: Group, unfinished: bool) -> tuple[Cause, str] | None:
    if any(pod.name in group.workers_to_delete for pod in replica.pods):
        return Cause.NAMED, NAMED
    if len(replica.pods) < group.hosts and not unfinished:
        return Cause.INCOMPLETE, INCOMPLETE
    verdict = next((text for pod in replica.pods if (text := verdict_on(pod)) is not None), None)
    return (Cause.UNHEALTHY, verdict) if verdict is not None else None


def _left(replica: _Replica) -> list[PodView]:
    return [pod for pod in replica.pods if not pod.deleting]


def _new(group: Group, kept: Sequence[_Replica], count: int) -> Iterable[Slot]:
    """All hosts of the lowest free indices."""
    taken = {one.index for one in kept}
    index = 0
    while count > 0:
        if index not in taken:
            yield from (Slot(group.name, index, host) for host in range(group.hosts))
            count -= 1
        index += 1
