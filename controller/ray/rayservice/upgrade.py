"""Which clusters a RayService has, makes, changes and lets go (spec rayservice §9, §12.1, §13). Pure.

One cluster is *active*: requests go to it. Another may be *pending*: it is made ready while the active one serves, and
takes over when that is proven. A name is recorded one pass before the cluster is made under it, so that no crash and
no stale look makes two.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from api.meta import Json
from api.v1 import wire
from api.v1.rayservice import RayServiceCondition, RayServiceUpgradeType
from controller.ray.desired.goal import Match, match, ray_cluster
from controller.ray.desired.hashes import goal_hash
from controller.ray.rayservice.seen import ClusterView, Seen
from controller.runtime.diff import merge_patch
from controller.runtime.plan import Create, Delete, MergePatch

__all__ = ["created", "let_go", "next_deletion", "prepares", "serves_from", "updated"]

CREATE: Final = "cluster"
UPDATE_ACTIVE, UPDATE_PENDING = "active cluster", "pending cluster"
DELETE: Final = "unwanted cluster"


def serves_from(seen: Seen) -> ClusterView | None:
    """The cluster that the Services should select now; None while none is ready (spec rayservice §12.1).

    Traffic moves only with proof, as long as there is any to lose.
    """
    pending, active = seen.pending, seen.active
    if pending is not None and pending.serves(seen.goal):
        losing = seen.selected not in ("", pending.name) and seen.endpoints > 0
        if not losing or pending.proven(seen.goal):
            return pending
    return active if active is not None and active.serves(seen.goal) else None


def prepares(seen: Seen, taking_over: ClusterView | None) -> bool:
    """Is a name to be chosen for a new pending cluster? (Spec rayservice §9.5.)"""
    if taking_over is not None and taking_over.name == seen.name_of("pending"):
        return False  # finish this one first (E-17)
    if seen.name_of("pending") and seen.pending is None:
        return False  # a name is chosen, and its cluster about to be made after the newest goal
    compared = seen.pending or seen.active
    if compared is None:
        return True
    if _near(seen, compared) is not Match.NONE:
        return False
    return replaces(seen)


def replaces(seen: Seen) -> bool:
    """Does a change of the goal make a new cluster at all?"""
    strategy = seen.spec.upgrade_strategy
    type_ = strategy.type if strategy is not None else ""
    if not type_:
        return seen.options.zero_downtime
    return type_ == RayServiceUpgradeType.NEW_CLUSTER  # incremental upgrades wait for their own time, as without a gate


def _near(seen: Seen, cluster: ClusterView) -> Match:
    """Goal against cluster; a cluster that another operator wrote is compared by its spec (design §2)."""
    if not _foreign(seen, cluster):
        return match(seen.cluster_spec, cluster.annotations)
    return Match.FULL if goal_hash(cluster.object["spec"]) == goal_hash(seen.cluster_spec) else Match.PARTIAL


def _foreign(seen: Seen, cluster: ClusterView) -> bool:
    return cluster.annotations.get(wire.ANNOTATION_OPERATOR_VERSION, "") != seen.options.version


def created(seen: Seen) -> Create | None:
    """The pending cluster, where its name is chosen and it is not there."""
    name = seen.name_of("pending")
    if not name or seen.pending is not None:
        return None
    return Create(wire.RAY_CLUSTERS, ray_cluster(seen.service, name, seen.options.version), why=CREATE)


def updated(seen: Seen) -> Iterator[MergePatch]:
    """Changes that a living cluster can follow (spec rayservice §9.4)."""
    upgrading = seen.is_true(RayServiceCondition.UPGRADE_IN_PROGRESS)
    if seen.active is not None and not upgrading and _follows(seen, seen.active):
        yield from _following(seen, seen.active, UPDATE_ACTIVE)
    if seen.pending is not None and _follows(seen, seen.pending):
        yield from _following(seen, seen.pending, UPDATE_PENDING)


def _follows(seen: Seen, cluster: ClusterView) -> bool:
    return not cluster.deleting and (_foreign(seen, cluster) or _near(seen, cluster) is Match.PARTIAL)


def _following(seen: Seen, cluster: ClusterView, why: str) -> Iterator[MergePatch]:
    """Spec, labels and annotations after the goal. Of one that another operator made after the same goal, only who
    wrote it: its pods, and what an autoscaler set, stay as they are.
    """
    wanted = ray_cluster(seen.service, cluster.name, seen.options.version)
    live = cluster.object
    metadata = {
        "labels": (live["metadata"].get("labels") or {}) | wanted["metadata"]["labels"],
        "annotations": cluster.annotations | wanted["metadata"]["annotations"],
    }
    spec = live["spec"]
    if not (_foreign(seen, cluster) and _near(seen, cluster) is Match.FULL):
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


def let_go(seen: Seen, now: datetime) -> Iterator[Delete]:
    """Those whose time is over (spec rayservice §9.6)."""
    for cluster in seen.unnamed:
        due = _due(seen, cluster)
        if not cluster.deleting and due is not None and due <= now:
            yield delete(cluster)


def next_deletion(seen: Seen, now: datetime) -> timedelta | None:
    """When to look again for the next of them; at once for one that was not noticed before."""
    waits = [
        (due - now if (due := _due(seen, cluster)) is not None else timedelta(0))
        for cluster in seen.unnamed
        if not cluster.deleting
    ]
    later = [one for one in waits if one > timedelta(0)]
    return min(later, default=None)


def _due(seen: Seen, cluster: ClusterView) -> datetime | None:
    since = seen.unwanted_since.get(cluster.uid)
    return since + seen.deletion_delay if since is not None else None


def delete(cluster: ClusterView, why: str = DELETE) -> Delete:
    """Exactly this one."""
    return Delete(wire.RAY_CLUSTERS, cluster.object["metadata"]["namespace"], cluster.name, cluster.uid, why=why)
