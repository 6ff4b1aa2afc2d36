"""Objects for tests of admission rules: a good one of each kind, changed in places, and what one rule finds in it.

A change is a path in the cluster spec, dotted, and a value; "-" removes. `HEAD` and `W` stand for the head and the
first worker group, `HC` and `WC` for their Ray containers; a dot inside a key is written "~". `judged` does the same
for paths in the whole object, with two worker groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Final

from api.meta import Json
from api.v1.gates import DEFAULT_GATES
from api.v1.rules.families import RULES_BY_KIND
from api.v1.rules.model import Context
from api.v1.rules.places import CLUSTER_PATHS
from localcluster.testing.judged import GONE, LATEST, Changes, found, put

__all__ = [
    "CONTEXT",
    "REMOVED",
    "Changes",
    "changed",
    "found_by",
    "found_in_every_kind",
    "good",
    "placed",
    "with_cluster",
]

CONTEXT: Final = Context(DEFAULT_GATES)
REMOVED: Final = "-"
_SHORT: Final = {
    "HEAD": "headGroupSpec",
    "HC": "headGroupSpec.template.spec.containers.0",
    "W": "workerGroupSpecs.0",
    "WC": "workerGroupSpecs.0.template.spec.containers.0",
}
_SPECS: Final[Mapping[str, Json]] = {
    "RayCluster": {},
    "RayJob": {"entrypoint": "python train.py", "shutdownAfterJobFinishes": True},
    "RayService": {"serveConfigV2": "applications:\n- name: app\n  import_path: app:graph\n"},
    "RayCronJob": {
        "schedule": "@daily",
        "jobTemplate": {"entrypoint": "python train.py", "shutdownAfterJobFinishes": True},
    },
}


def good(kind: str = "RayCluster", changes: Changes | None = None, **metadata: Any) -> Json:
    """A good object of the kind around a good cluster spec, with that spec changed."""
    return with_cluster(kind, changed(_good_cluster(), changes or {}), **metadata)


def with_cluster(kind: str, cluster: Json, **metadata: Any) -> Json:
    """A good object of the kind around that cluster spec."""
    whole: Json = {"spec": deepcopy(_SPECS[kind])}
    if kind == "RayCluster":
        whole["spec"] = cluster
    else:
        put(whole, CLUSTER_PATHS[kind], cluster)
    return {"apiVersion": "ray.io/v1", "kind": kind, "metadata": {"name": "train", **metadata}, **whole}


def _good_cluster() -> Json:
    def template() -> Json:
        resources = {"limits": {"cpu": "2", "memory": "4Gi"}, "requests": {"cpu": "1", "memory": "4Gi"}}
        return {"spec": {"containers": [{"name": "ray", "image": LATEST, "resources": resources}]}}

    group = {"groupName": "small", "replicas": 1, "minReplicas": 0, "maxReplicas": 3, "numOfHosts": 1}
    return {
        "rayVersion": "2.52.0",
        "headGroupSpec": {"rayStartParams": {}, "template": template()},
        "workerGroupSpecs": [{**group, "rayStartParams": {}, "template": template()}],
    }


def changed(node: Json, changes: Changes) -> Json:
    """The same with values put in places."""
    for path, value in changes.items():
        first, *rest = path.split(".")
        steps = [*_SHORT.get(first, first).split("."), *(step.replace("~", ".") for step in rest)]
        put(node, steps, GONE if value == REMOVED else value)
    return node


def placed(kind: str, expected: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Severities and paths in a cluster spec, the first word of which may be a short one, as they are in the kind."""
    at = ".".join(CLUSTER_PATHS[kind])
    return [(severity, f"{at}.{_expanded(path)}") for severity, path in expected]


def found_in_every_kind(id_: str, changes: Changes) -> dict[str, list[tuple[str, str]]]:
    """What one rule finds in a cluster spec so changed, by the kind that it stands in."""
    return {kind: found_by(id_, good(kind, changes)) for kind in CLUSTER_PATHS}


def _expanded(path: str) -> str:
    first, dot, rest = path.partition(".")
    return _SHORT.get(first, first).replace(".0", "[0]") + dot + rest


def found_by(id_: str, new: Json, *, old: Json | None = None, context: Context = CONTEXT) -> list[tuple[str, str]]:
    """What one rule finds in an object: how grave, and where."""
    findings = found(RULES_BY_KIND[new["kind"]], new, old, context=context, only=id_)
    return [(one.severity.value, one.path) for one in findings]
