"""Rules about images that change while something runs: RV14 and RV15 (spec admission §4.3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from api.v1.rules.images import Fleet, Runs, fleet_of
from api.v1.rules.model import Context, Finding, Rule, Severity
from api.v1.rules.places import cluster_in
from api.v1.rules.reading import Cluster
from api.v1.rules.typed import child, is_true, text

__all__ = ["RULES"]


def unrolled(new: Mapping[str, Any], old: Mapping[str, Any] | None, context: Context) -> Iterator[Finding]:
    """RV14: the service keeps its cluster, whatever its spec says."""
    before, after = cluster_in(old) if old is not None else None, cluster_in(new)
    if before is None or after is None or replaces(new, context):
        return
    for path, value, was in changed_images(before.cluster, after.cluster, context):
        message = f"the change from {was or 'nothing'} will not be rolled out: upgradeStrategy is None"
        yield Finding("RV14", Severity.WARN, after.path_of(path), message, value, "upgradeStrategy.type: NewCluster")


def replaces(service: Mapping[str, Any], context: Context) -> bool:
    """Does a change of its cluster spec make a new cluster (AC-1)?"""
    type_ = text(child(service, "spec", "upgradeStrategy"), "type")
    if not type_:
        return context.zero_downtime
    if type_ == "NewClusterWithIncrementalUpgrade":
        return context.gate("RayServiceIncrementalUpgrade")
    return type_ != "None"


def changed_images(before: Cluster, after: Cluster, context: Context) -> Iterator[tuple[str, str, str]]:
    """Path, new value and old value of each rayVersion and image that is another now, in groups that both have."""
    if before.ray_version != after.ray_version:
        yield "rayVersion", after.ray_version, before.ray_version
    for old, new in in_both(fleet_of(before, context), fleet_of(after, context)):
        if old.image != new.image:
            yield f"{new.group.container_path}.image", new.image, old.image


def in_both(before: Fleet, after: Fleet) -> Iterator[tuple[Runs, Runs]]:
    """The groups that were there before and still are, by name; the head always."""
    yield before.head, after.head
    known = {runs.group.name: runs for runs in before.workers}
    for runs in after.workers:
        if runs.group.name in known:
            yield known[runs.group.name], runs


def partly_changed(new: Mapping[str, Any], old: Mapping[str, Any] | None, context: Context) -> Iterator[Finding]:
    """RV15: nothing happens until pods restart, and then the groups diverge."""
    before, after = cluster_in(old) if old is not None else None, cluster_in(new)
    if before is None or after is None or not running(new):
        return
    if text(child(new, "spec", "upgradeStrategy"), "type") == "Recreate":
        return
    pairs = list(in_both(fleet_of(before.cluster, context), fleet_of(after.cluster, context)))
    changed = [runs for was, runs in pairs if was.image != runs.image]
    for runs in changed if len(changed) < len(pairs) else ():
        path = after.path_of(f"{runs.group.container_path}.image")
        message = f"only some groups get another image: {runs.group.called} will differ from the others"
        yield Finding("RV15", Severity.WARN, path, message, runs.image, "upgradeStrategy.type: Recreate")


def running(cluster: Mapping[str, Any]) -> bool:
    """A RayCluster that has pods, as far as its status tells."""
    status = child(cluster, "status")
    return bool(status) and text(status, "state") != "suspended" and not is_true(child(cluster, "spec"), "suspend")


RULES: Final[tuple[Rule, ...]] = (
    Rule("RV14", Severity.WARN, frozenset({"RayService"}), unrolled),
    Rule("RV15", Severity.WARN, frozenset({"RayCluster"}), partly_changed),
)
