"""Which clusters a RayService has, makes, changes and lets go (spec rayservice §9, §12.1, §13). Pure.

One cluster is *active*: requests go to it. Another may be *pending*: it is made ready while the active one serves, and
takes over when that is proven. A name is recorded one pass before the cluster is made under it, so that no crash and
no stale look makes two.

Which clusters there are is the `Stage`; what a pass does about them is the first rule of `RULES` that holds in it.
docs/rayservice-states.md is drawn from that table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final, TypeAlias

from api.meta import Json
from api.v1 import wire
from api.v1.rayservice import RayServiceCondition, RayServiceUpgradeType
from controller.ray.desired.goal import ClusterGoal, Match, ray_cluster
from controller.ray.rayservice.seen import ClusterView, Seen, selected_by
from controller.runtime.diff import merge_patch
from controller.runtime.plan import Create, Delete, MergePatch

__all__ = [
    "RULES",
    "Act",
    "Stage",
    "Unwanted",
    "act_of",
    "created",
    "let_go",
    "next_deletion",
    "serves_from",
    "stage_of",
    "updated",
]

CREATE: Final = "cluster"
UPDATE_ACTIVE, UPDATE_PENDING = "active cluster", "pending cluster"
DELETE: Final = "unwanted cluster"


class Stage(Enum):
    """Which clusters the status names, and which of them are there."""

    NOTHING = "no cluster is there, and no name chosen for one"
    NAMED = "a name is chosen for the pending cluster, which is not there"
    FIRST = "the pending cluster is there, and no active one"
    STEADY = "the active cluster is there, and nothing pending"
    UPGRADE = "both are there"


class Act(Enum):
    """What a pass does about the clusters. Beside it each living one is kept as it should be (`updated`)."""

    PREPARE = "a name is chosen for a new pending cluster; what was pending is let go"
    CREATE = "the pending cluster is made after the newest goal"
    TAKE_OVER = "both Services select the pending cluster, which then is the active one"
    KEEP = "the active cluster serves on"
    WAIT = "the pending cluster gets on; requests go where they went"


# The stage in which the next pass finds the service, if all went well; it stays where it was after the others.
LEADS_TO: Final[Mapping[Act, tuple[Stage, ...]]] = {
    Act.PREPARE: (Stage.NAMED,),
    Act.CREATE: (Stage.FIRST, Stage.UPGRADE),
    Act.TAKE_OVER: (Stage.STEADY,),
}
Rule: TypeAlias = Callable[[Seen], bool]


def stage_of(seen: Seen) -> Stage:
    """Where the machine stands."""
    if seen.pending is not None:
        return Stage.FIRST if seen.active is None else Stage.UPGRADE
    if seen.name_of("pending"):
        return Stage.NAMED
    return Stage.NOTHING if seen.active is None else Stage.STEADY


def act_of(seen: Seen) -> Act:
    """What this pass does."""
    return next(act for rule, act in RULES[stage_of(seen)] if rule(seen))


def always(_: Seen) -> bool:
    """else"""
    return True


def has_moved(seen: Seen) -> bool:
    """requests go to the pending cluster: what was begun is finished first, however that cluster feels by now (E-17)"""
    pending = _staying(seen)
    return pending is not None and seen.selected == pending.name


def may_move(seen: Seen) -> bool:
    """the pending cluster serves the whole configuration; where there are requests to lose, each of its doors has
    proven that it is open and knows every route
    """
    losing = seen.selected != "" and seen.endpoints > 0
    pending = _staying(seen)
    return pending is not None and pending.serves(seen.goal) and (not losing or pending.proven(seen.goal))


def _staying(seen: Seen) -> ClusterView | None:
    """The pending cluster, unless somebody deletes it: then it is made again once it is gone."""
    return seen.pending if seen.pending is not None and not seen.pending.deleting else None


def another_is_wanted(seen: Seen) -> bool:
    """the goal differs from the newest cluster by more than groups at its end, and the strategy replaces clusters"""
    newest = seen.pending or seen.active
    return newest is not None and _near(seen, newest) is Match.NONE and replaces(seen)


_PENDING: Final = (
    (has_moved, Act.TAKE_OVER),
    (may_move, Act.TAKE_OVER),
    (another_is_wanted, Act.PREPARE),
    (always, Act.WAIT),
)
# In each stage the first rule that holds says what is done.
RULES: Final[Mapping[Stage, tuple[tuple[Rule, Act], ...]]] = {
    Stage.NOTHING: ((always, Act.PREPARE),),
    Stage.NAMED: ((always, Act.CREATE),),
    Stage.FIRST: _PENDING,
    Stage.STEADY: ((another_is_wanted, Act.PREPARE), (always, Act.KEEP)),
    Stage.UPGRADE: _PENDING,
}


def serves_from(seen: Seen, act: Act) -> ClusterView | None:
    """The cluster that the Services should select now; None while none is ready (spec rayservice §12.1)."""
    if act is Act.TAKE_OVER:
        return seen.pending
    active = seen.active
    if active is None:
        return None
    # A Service that somebody deleted comes back at once: its cluster was ready when it became the active one (E-45). So
    # does one that selects a cluster which was given up before both Services had moved to it.
    named = {seen.name_of("active"), seen.name_of("pending")} - {""}
    lost = any(selected_by(one) not in named for one in (seen.head_service, seen.serve_service))
    return active if lost or active.serves(seen.goal) else None


def replaces(seen: Seen) -> bool:
    """Does a change of the goal make a new cluster at all?"""
    strategy = seen.spec.upgrade_strategy
    type_ = strategy.type if strategy is not None else ""
    if not type_:
        return seen.options.zero_downtime
    return type_ == RayServiceUpgradeType.NEW_CLUSTER  # incremental upgrades wait for their own time, as without a gate


def _near(seen: Seen, cluster: ClusterView) -> Match:
    """Goal against cluster; a cluster that another operator wrote is compared by its spec (design §2).

    Such an active cluster is brought to the goal as it stands, whatever the difference: a new operator alone is no
    reason for a new cluster (E-14). A pending one is not: that would be another upgrade under its name (spec
    rayservice §19).
    """
    if not _foreign(seen, cluster):
        return seen.cluster_goal.match(cluster.annotations)
    near = seen.cluster_goal.match(ClusterGoal(cluster.object["spec"]).annotations(""))
    return Match.PARTIAL if near is Match.NONE and cluster.name == seen.name_of("active") else near


def _foreign(seen: Seen, cluster: ClusterView) -> bool:
    return cluster.annotations.get(wire.ANNOTATION_OPERATOR_VERSION, "") != seen.options.version


def created(seen: Seen) -> Create:
    """The pending cluster."""
    name = seen.name_of("pending")
    return Create(
        wire.RAY_CLUSTERS, ray_cluster(seen.service, seen.cluster_goal, name, seen.options.version), why=CREATE
    )


def updated(seen: Seen, cluster: ClusterView) -> Iterator[MergePatch]:
    """Changes that a living cluster can follow (spec rayservice §9.4); while one replaces it, it follows none."""
    active = cluster.name == seen.name_of("active")
    if cluster.deleting or (active and seen.is_true(RayServiceCondition.UPGRADE_IN_PROGRESS)):
        return
    near = _near(seen, cluster)
    if near is Match.PARTIAL or (near is Match.FULL and _foreign(seen, cluster)):
        yield from _following(seen, cluster, near, UPDATE_ACTIVE if active else UPDATE_PENDING)


def _following(seen: Seen, cluster: ClusterView, near: Match, why: str) -> Iterator[MergePatch]:
    """Spec, labels and annotations after the goal. Of one that another operator made after the same goal, only who
    wrote it: its pods, and what an autoscaler set, stay as they are.
    """
    wanted = ray_cluster(seen.service, seen.cluster_goal, cluster.name, seen.options.version)
    live = cluster.object
    metadata = {
        "labels": (live["metadata"].get("labels") or {}) | wanted["metadata"]["labels"],
        "annotations": cluster.annotations | wanted["metadata"]["annotations"],
    }
    spec = live["spec"]
    if near is not Match.FULL:
        spec = _keeping(live["spec"], wanted["spec"])
    change = merge_patch(
        {"metadata": {name: live["metadata"].get(name) or {} for name in metadata}, "spec": live["spec"]},
        {"metadata": metadata, "spec": spec},
    )
    if change:
        namespace, version = live["metadata"]["namespace"], live["metadata"]["resourceVersion"]
        yield MergePatch(
            wire.RAY_CLUSTERS, namespace, cluster.name, cluster.uid, change, why=why, resource_version=version
        )


def _keeping(live: Json, wanted: Json) -> Json:
    """The wanted spec with what is not the service's to say: Kueue's suspend, and what the autoscaler set."""
    spec = {**wanted, "suspend": live.get("suspend")}
    if not wanted.get("enableInTreeAutoscaling"):
        return spec
    before = {group["groupName"]: group for group in live.get("workerGroupSpecs") or ()}
    spec["workerGroupSpecs"] = [
        _as_scaled(group, before.get(group["groupName"])) for group in wanted.get("workerGroupSpecs") or ()
    ]
    return spec


def _as_scaled(group: Json, before: Json | None) -> Json:
    if before is None:
        return group
    kept: dict[str, Any] = {name: before[name] for name in ("replicas", "scaleStrategy") if name in before}
    return {**group, **kept}


# Clusters that nobody names any more


class Unwanted:
    """When each cluster of one service goes that nobody names. An operator that starts anew starts anew (§9.6)."""

    def __init__(self) -> None:
        self._goes_at: dict[str, datetime] = {}

    def noticed(self, seen: Seen, now: datetime) -> Mapping[str, datetime]:
        """Cluster UID -> when it goes, of those that an earlier pass noticed; no later edit of the delay moves that.

        One that this pass is the first to notice comes with the next; one that is named again, or gone, is forgotten.
        """
        uids = [one.uid for one in seen.unnamed]
        earlier = {uid: self._goes_at[uid] for uid in uids if uid in self._goes_at}
        self._goes_at = dict.fromkeys(uids, now + seen.deletion_delay) | earlier
        return earlier


def let_go(seen: Seen, now: datetime) -> Iterator[Delete]:
    """Those whose time is over, never in the pass that notices them (spec rayservice §9.6)."""
    return (delete(one) for one in seen.unnamed if not one.deleting and _is_due(seen, one, now))


def next_deletion(seen: Seen, now: datetime) -> timedelta | None:
    """When to look again for the next of them that this pass leaves; without a delay at once."""
    left = [one for one in seen.unnamed if not one.deleting and not _is_due(seen, one, now)]
    noticed_now = now + seen.deletion_delay
    return min((seen.goes_at.get(one.uid, noticed_now) - now for one in left), default=None)


def _is_due(seen: Seen, cluster: ClusterView, now: datetime) -> bool:
    return cluster.uid in seen.goes_at and seen.goes_at[cluster.uid] <= now


def delete(cluster: ClusterView, why: str = DELETE) -> Delete:
    """Exactly this one."""
    return Delete(wire.RAY_CLUSTERS, cluster.object["metadata"]["namespace"], cluster.name, cluster.uid, why=why)
