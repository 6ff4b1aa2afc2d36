"""Suspend and resume, as a machine of two conditions (spec rayservice §7). Pure.

Once suspending is recorded it runs to its end, whatever the spec says by then: half a service is of no use.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from api.core import SERVICES
from api.v1.rayservice import RayServiceCondition
from controller.ray.rayservice.seen import Seen
from controller.ray.rayservice.upgrade import delete
from controller.runtime.plan import Delete

__all__ = ["Suspension", "gone", "suspension_of"]

CLUSTER, SERVICE = "suspended cluster", "suspended service"


class Suspension(Enum):
    """Where the machine stands after this pass."""

    NONE = "none"  # it runs, or may
    ASKED = "asked"  # recorded in this pass; nothing is deleted yet
    GOING = "going"  # objects are being deleted
    DONE = "done"  # nothing is left: recorded in this pass
    STAYS = "stays"  # suspended, and nothing to do
    OVER = "over"  # resumed in this pass, which goes on


def suspension_of(seen: Seen) -> Suspension:
    """What the conditions and the spec make of it."""
    if seen.is_true(RayServiceCondition.SUSPENDING):
        return Suspension.GOING if seen.clusters or seen.services else Suspension.DONE
    if seen.is_true(RayServiceCondition.SUSPENDED):
        return Suspension.STAYS if seen.spec.suspend else Suspension.OVER
    return Suspension.ASKED if seen.spec.suspend else Suspension.NONE


def gone(seen: Seen) -> Iterator[Delete]:
    """All that must go; what is on its way is not deleted again, and counts as left."""
    for cluster in seen.clusters:
        if not cluster.deleting:
            yield delete(cluster, CLUSTER)
    for service in seen.services:
        metadata = service["metadata"]
        if "deletionTimestamp" not in metadata:
            yield Delete(SERVICES, metadata["namespace"], metadata["name"], metadata["uid"], why=SERVICE)
