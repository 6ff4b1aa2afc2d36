"""For tests of rules: a good object of each kind, the same changed at single places, and what rules find in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any, Final, TypeAlias

from api.v1.gates import DEFAULT_GATES
from api.v1.rules.model import Context, Finding, Rule, all_findings
from api.v1.rules.places import CLUSTER_PATHS

__all__ = ["GONE", "INSIDE", "LATEST", "OPEN", "Changes", "changed", "found", "good", "ids", "put"]

Json: TypeAlias = dict[str, Any]
Changes: TypeAlias = Mapping[str, Any]

GONE: Final = object()  # as a value: the field is taken out
OPEN: Final = Context(dict.fromkeys(DEFAULT_GATES, True))
LATEST: Final = "rayproject/ray:2.52.0"
# Kind -> where its cluster spec stands.
INSIDE: Final[Mapping[str, str]] = {kind: ".".join(steps) for kind, steps in CLUSTER_PATHS.items()}
SERVE_CONFIG: Final = """\
applications:
  - name: greeter
    import_path: greeter:app
    route_prefix: /
    deployments:
      - name: Greeter
        num_replicas: 2
        ray_actor_options: {num_cpus: 0.2}
"""


def good(kind: str, changes: Changes | None = None) -> Json:
    """A good object of that kind with two worker groups, changed as said."""
    metadata = {"name": "good", "namespace": "default"}
    body = {"apiVersion": "ray.io/v1", "kind": kind, "metadata": metadata, "spec": _spec(kind)}
    return changed(body, changes or {})


def changed(object_: Json, changes: Changes) -> Json:
    """The object with other values at dotted paths ("spec.workerGroupSpecs.0.replicas"); ~ is a dot within a key."""
    body = deepcopy(object_)
    for path, value in changes.items():
        put(body, [step.replace("~", ".") for step in path.split(".")], value)
    return body


def found(
    rules: Iterable[Rule], new: Json, old: Json | None = None, *, context: Context = OPEN, only: str = ""
) -> list[Finding]:
    """What the rules about the object's kind find, or the one of that id alone."""
    asked = [rule for rule in rules if new["kind"] in rule.kinds and only in ("", rule.id)]
    return list(all_findings(asked, new, old, context))


def ids(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """Rule and path of each."""
    return [(one.rule, one.path) for one in findings]


def _spec(kind: str) -> Json:
    if kind == "RayCluster":
        return _cluster()
    if kind == "RayService":
        return {"serveConfigV2": SERVE_CONFIG, "rayClusterConfig": _cluster()}
    job = {"entrypoint": "python main.py", "shutdownAfterJobFinishes": True, "rayClusterSpec": _cluster()}
    return job if kind == "RayJob" else {"schedule": "0 * * * *", "jobTemplate": job}


def _cluster() -> Json:
    return {
        "rayVersion": "2.52.0",
        "headGroupSpec": {"rayStartParams": {}, "template": _template("ray-head")},
        "workerGroupSpecs": [_group("small"), _group("large")],
    }


def _group(name: str) -> Json:
    bounds = {"replicas": 1, "minReplicas": 0, "maxReplicas": 3}
    return {"groupName": name, "rayStartParams": {}, "template": _template("ray-worker"), **bounds}


def _template(name: str) -> Json:
    amounts = {"cpu": "1", "memory": "1Gi"}
    resources = {"limits": amounts, "requests": dict(amounts)}
    return {"spec": {"containers": [{"name": name, "image": LATEST, "resources": resources}]}}


def put(node: Any, path: Sequence[str], value: Any) -> None:
    """Set the value under the path, making objects on the way; the number after a list's last appends."""
    *parents, last = path
    for step in parents:
        node = node[int(step)] if isinstance(node, list) else node.setdefault(step, {})
    if value is GONE:
        del node[int(last) if isinstance(node, list) else last]
    elif isinstance(node, list) and int(last) == len(node):
        node.append(deepcopy(value))
    else:
        node[int(last) if isinstance(node, list) else last] = deepcopy(value)
