"""Updates by controllers that admission must not stand in the way of (spec admission §4.9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from api.v1.rules.places import CLUSTER_PATHS
from api.v1.rules.reading import children
from api.v1.rules.typed import child, text
from api.v1.spelling import alike

__all__ = ["by_autoscaler", "by_queue"]

Json: TypeAlias = Mapping[str, Any]

# Where a kind is suspended as a whole.
SUSPENDED: Final[Mapping[str, tuple[str, ...]]] = {
    "RayCluster": ("spec",),
    "RayJob": ("spec",),
    "RayService": ("spec", "rayClusterConfig"),
}
ADMITTED_SPEC: Final = frozenset({"nodeSelector", "tolerations", "schedulingGates", "affinity"})  # of a pod template
ADMITTED_METADATA: Final = frozenset({"labels", "annotations"})
SUBMITTER: Final = "submitterPodTemplate"


def by_autoscaler(new: Json, old: Json, user: str) -> bool:
    """Is it the cluster's own autoscaler, setting replicas and naming workers to delete, and nothing else?

    It runs in the head pod, under its service account: the one of the template, or one named after the cluster.
    """
    if text(new, "kind") != "RayCluster" or user not in _accounts(new):
        return False
    return _without_scale(child(new, "spec")) == _without_scale(child(old, "spec"))


def _accounts(cluster: Json) -> set[str]:
    metadata = child(cluster, "metadata")
    own = text(child(cluster, "spec", "headGroupSpec", "template", "spec"), "serviceAccountName")
    names = {own, text(metadata, "name")} - {""}
    return {f"system:serviceaccount:{text(metadata, 'namespace')}:{name}" for name in names}


def _without_scale(cluster: Json) -> Json:
    groups = []
    for group in children(cluster, "workerGroupSpecs"):
        strategy = _without(child(group, "scaleStrategy"), frozenset({"workersToDelete"}))
        groups.append({**_without(group, frozenset({"replicas"})), "scaleStrategy": strategy})
    return {**cluster, "workerGroupSpecs": groups}


def by_queue(new: Json, old: Json) -> bool:
    """Is the object suspended or set going, and are its pods told where to run, and nothing else? So writes Kueue.

    It may write the whole object back, and then spells it in its own way.
    """
    kind = text(new, "kind")
    if kind not in SUSPENDED or _suspended(new, kind) == _suspended(old, kind):
        return False
    return alike(_without_placement(new, kind), _without_placement(old, kind))


def _suspended(object_: Json, kind: str) -> bool:
    return child(object_, *SUSPENDED[kind]).get("suspend") is True


def _without_placement(object_: Json, kind: str) -> Json:
    """The object's spec without what Kueue sets in it."""
    whole = _at({"spec": child(object_, "spec")}, SUSPENDED[kind], lambda node: _without(node, frozenset({"suspend"})))
    whole = _at(whole, CLUSTER_PATHS[kind], _groups_unplaced)
    return _at(whole, ("spec", SUBMITTER), _unplaced) if kind == "RayJob" else whole


def _groups_unplaced(cluster: Json) -> Json:
    groups = [_at(group, ("template",), _unplaced) for group in children(cluster, "workerGroupSpecs")]
    return _at({**cluster, "workerGroupSpecs": groups}, ("headGroupSpec", "template"), _unplaced)


def _unplaced(template: Json) -> Json:
    metadata = _without(child(template, "metadata"), ADMITTED_METADATA)
    return {**template, "metadata": metadata, "spec": _without(child(template, "spec"), ADMITTED_SPEC)}


def _without(node: Json, names: frozenset[str]) -> Json:
    return {name: value for name, value in node.items() if name not in names}


def _at(node: Json, steps: Sequence[str], change: Callable[[Json], Json]) -> Json:
    """The object with its part under these steps changed; as it is where there is no such part."""
    if not steps:
        return change(node)
    inner = node.get(steps[0])
    return {**node, steps[0]: _at(inner, steps[1:], change)} if isinstance(inner, dict) else node
