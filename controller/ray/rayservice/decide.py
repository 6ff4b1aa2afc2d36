"""One snapshot of a RayService -> what to write, what to want of Ray, when to look again (spec rayservice §5). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from api.core import SERVICES
from api.meta import Json, owner_reference, owns, parse_time
from api.v1 import wire
from api.v1.raycluster import RayCluster
from api.v1.rayservice import RayServiceCondition, RayServiceUpgradeType
from api.v1.rules.not_yet import INCREMENTAL, USE_NEW_CLUSTER
from controller.ray.dashboard.protocol import Wants
from controller.ray.desired.facts import facts_of
from controller.ray.desired.services import head_of_service, serve_of_service
from controller.ray.rayservice import upgrade
from controller.ray.rayservice.seen import ClusterView, Seen, selected_by
from controller.ray.rayservice.serving import is_configured, serving_of
from controller.ray.rayservice.suspension import Suspension, gone, suspension_of
from controller.runtime.diff import merge_patch
from controller.runtime.finalizers import finalizer_added, finalizer_removed
from controller.runtime.plan import (
    AGAIN,
    Announcement,
    Create,
    Delete,
    MergePatch,
    Plan,
    Result,
    Step,
    Write,
    after,
)

__all__ = ["Course", "Decision", "decide", "initializing_due"]

HEAD_SERVICE: Final = "head service"
SERVE_SERVICE: Final = "serve service"
EXPOSED: Final = ("NodePort", "LoadBalancer")
ADDRESSES: Final = ("clusterIP", "clusterIPs")  # of a Service stay, all else of its spec is replaced (§12.4)
ALLOTTED: Final = ("ipFamilies", "ipFamilyPolicy")  # by the API server, where the user says nothing


class Course(Enum):
    """What kind of pass this is: `report` makes another status of each."""

    NOTHING = "nothing"  # the status stays as it is
    REFUSED = "refused"
    SUSPENSION = "suspension"
    TIMED_OUT = "timed out"  # for good
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class Decision:
    """A plan, and what `report` needs to make a status of it once the writes are done."""

    plan: Plan
    course: Course = Course.NOTHING
    suspension: Suspension = Suspension.NONE
    prepares: bool = False  # a name is chosen for a new pending cluster
    taking_over: str = ""  # the cluster that the Services select after this pass, if its writes go well
    problem: str = ""  # why nothing more can be done now; the pass fails with it


@dataclass(slots=True)
class Draft:
    """Writes as they are collected. All lanes are tried: a refused one keeps back only what stands behind it there."""

    found: list[tuple[Write, ...]] = field(default_factory=list)
    wants: list[Wants] = field(default_factory=list)
    events: list[Announcement] = field(default_factory=list)
    problem: str = ""

    def lanes(self, *writes: Write | None) -> None:
        """Writes that do not depend on each other."""
        self.found.extend((one,) for one in writes if one is not None)

    def lane(self, *writes: Write | None) -> None:
        """Writes of which a later one needs the earlier ones."""
        if lane := tuple(one for one in writes if one is not None):
            self.found.append(lane)

    @property
    def steps(self) -> tuple[Step, ...]:
        return (Step(tuple(self.found)),) if self.found else ()


def decide(seen: Seen, now: datetime, invalid: Announcement | None = None) -> Decision:
    """The whole decision. `invalid` is the event of a failed validation; its note ends in the error."""
    being_deleted = bool(seen.metadata.get("deletionTimestamp"))
    if seen.manager not in (None, wire.MANAGER):
        # Ours to let go all the same: nobody else would take our finalizer away (spec rayservice §5.3).
        return _let_go(seen) if being_deleted else Decision(Plan())
    if being_deleted:
        return _deleting(seen)
    hold = finalizer_added(wire.RAY_SERVICES, seen.service, wire.FINALIZER_RAYSERVICE)
    if hold is not None:
        return Decision(Plan(record=hold, result=AGAIN))
    draft = Draft()
    suspension = suspension_of(seen)
    if invalid is not None or suspension is not Suspension.GOING:  # then all clusters go, and at once
        draft.lanes(*upgrade.let_go(seen, now))
    if invalid is not None:
        draft.events.append(invalid)
        return _decided(seen, now, draft, Course.REFUSED)
    if suspension not in (Suspension.NONE, Suspension.OVER):
        return _suspended(seen, now, draft, suspension)
    if seen.condition_of(RayServiceCondition.READY).get("reason") == "InitializingTimeout" and (
        suspension is Suspension.NONE
    ):
        return _decided(seen, now, draft, Course.TIMED_OUT)
    return _running(seen, now, draft, suspension)


def _let_go(seen: Seen) -> Decision:
    free = finalizer_removed(wire.RAY_SERVICES, seen.service, wire.FINALIZER_RAYSERVICE)
    return Decision(Plan(record=free))


def _deleting(seen: Seen) -> Decision:
    """Its clusters first: they may have something outside of Kubernetes to clean up."""
    if not seen.clusters:
        return _let_go(seen)
    draft = Draft()
    draft.lanes(*(upgrade.delete(one) for one in seen.clusters if not one.deleting))
    return Decision(Plan(steps=draft.steps))


def _suspended(seen: Seen, now: datetime, draft: Draft, suspension: Suspension) -> Decision:
    if suspension is Suspension.GOING:
        draft.lanes(*gone(seen))
    result = AGAIN if suspension in (Suspension.ASKED, Suspension.DONE) else Result()
    if suspension is Suspension.STAYS:
        result = _look_again(seen, now)  # a cluster that was given to it meanwhile goes when its time is over
    plan = Plan(steps=draft.steps, events=tuple(draft.events), result=result)
    return Decision(plan, Course.SUSPENSION, suspension)


def _running(seen: Seen, now: datetime, draft: Draft, suspension: Suspension) -> Decision:
    act = upgrade.act_of(seen)
    if act is upgrade.Act.CREATE:
        draft.lanes(upgrade.created(seen))
    taking_over = upgrade.serves_from(seen, act)
    prepares = act is upgrade.Act.PREPARE
    for cluster in (seen.active, seen.pending):
        if cluster is not None:
            _kept(seen, cluster, draft, prepares=prepares)
    if taking_over is not None:
        _pointed_at(seen, taking_over, draft)
    if seen.spec.upgrade_strategy is not None and (
        seen.spec.upgrade_strategy.type == RayServiceUpgradeType.INCREMENTAL
    ):
        note = f"{INCREMENTAL}; {USE_NEW_CLUSTER}"
        draft.events.append(Announcement("Warning", "IncrementalUpgradeUnavailable", "Reconcile", note))
    return _decided(
        seen,
        now,
        draft,
        Course.RUNNING,
        suspension=suspension,
        prepares=prepares,
        taking_over=taking_over.name if taking_over is not None and not draft.problem else "",
    )


def _kept(seen: Seen, cluster: ClusterView, draft: Draft, *, prepares: bool) -> None:
    """One living cluster: its spec, what it is to serve, and its head's label."""
    if cluster.deleting:
        return
    proven = cluster.name == seen.name_of("pending") and seen.selected not in ("", cluster.name)
    configured = is_configured(seen, cluster, prepares=prepares)
    serving = serving_of(seen, cluster, configured=configured, proven=proven)
    draft.lane(*upgrade.updated(seen, cluster), serving.mark)  # both change one object
    draft.lanes(serving.label)
    draft.events.extend(serving.events)
    if serving.wants is not None:
        draft.wants.append(serving.wants)


def _pointed_at(seen: Seen, cluster: ClusterView, draft: Draft) -> None:
    """Both Services select that cluster: made where they are missing, changed where they select another (§12.4)."""
    facts = facts_of(RayCluster.from_json(cluster.object), seen.options)
    owner = owner_reference(wire.RAY_SERVICES, seen.service)
    name = str(seen.metadata["name"])
    custom = (seen.service.get("spec") or {}).get("serveService")
    serve = serve_of_service(facts, name, custom, owner)
    if serve is None:
        draft.problem = (
            f"the head container of RayCluster {facts.namespace}/{facts.name} has no port named serve, and "
            "spec.serveService names none either"
        )
        return
    head = head_of_service(facts, name, owner, seen.options)
    draft.lane(
        *_service(seen, head, seen.head_service, HEAD_SERVICE),
        *_service(seen, serve, seen.serve_service, SERVE_SERVICE),
    )


def _service(seen: Seen, wanted: Json, there: Json | None, why: str) -> Iterator[Write]:
    if selected_by(there) == selected_by(wanted):
        return  # left alone, whatever else was changed (spec rayservice §12.4)
    if there is None or not owns(seen.service, there):
        yield Create(SERVICES, wanted, why=why)  # another's is not written to: its name is taken, and that is told
        return
    metadata, spec = there["metadata"], there["spec"]
    if spec.get("clusterIP") == "None" and wanted["spec"].get("type") in EXPOSED:
        # No address can be given to a headless Service: it is made anew in the next pass.
        yield Delete(SERVICES, metadata["namespace"], metadata["name"], metadata["uid"], why=why)
        return
    allotted = {name: spec[name] for name in ALLOTTED if name in spec}
    addresses = {name: spec[name] for name in ADDRESSES if name in spec}
    yield MergePatch(
        SERVICES,
        metadata["namespace"],
        metadata["name"],
        metadata["uid"],
        {"spec": merge_patch(spec, {**allotted, **wanted["spec"], **addresses})},
        why=why,
        resource_version=metadata["resourceVersion"],
    )


def _decided(
    seen: Seen,
    now: datetime,
    draft: Draft,
    course: Course,
    *,
    suspension: Suspension = Suspension.NONE,
    prepares: bool = False,
    taking_over: str = "",
) -> Decision:
    plan = Plan(
        steps=draft.steps,
        wants=tuple(draft.wants),
        events=tuple(draft.events),
        result=_look_again(seen, now),
    )
    return Decision(plan, course, suspension, prepares, taking_over, draft.problem)


def _look_again(seen: Seen, now: datetime) -> Result:
    """When the next thing is due that no event tells; `report` knows of one more, names that changed."""
    waits = [one for one in (upgrade.next_deletion(seen, now), _time_left(seen, now)) if one is not None]
    return after(min(waits)) if waits else Result()


def _time_left(seen: Seen, now: datetime) -> timedelta | None:
    """Until the first start counts as failed."""
    due = initializing_due(seen)
    return max(due - now, timedelta(0)) if due is not None and due > now else None


def initializing_due(seen: Seen) -> datetime | None:
    """When the first start counts as failed; None where it cannot any more, or has no limit (spec rayservice §8)."""
    ready = seen.condition_of(RayServiceCondition.READY)
    if seen.time_limit is None or ready.get("status") != "False" or ready.get("reason") != "Initializing":
        return None
    return parse_time(str(ready["lastTransitionTime"])) + seen.time_limit
