"""JSON as rules read it: nulls and absences are the same, and the parts of a cluster spec have names.

`check` makes a rule of a generator function over a `Cluster`; the same checks serve RayCluster and the cluster specs
inside RayJob and RayService, with the parent's annotations and paths (spec admission §2.2, P12).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from api.meta import Json
from api.v1.rules.model import Block, Context, Finding, Severity

__all__ = [
    "Check",
    "Cluster",
    "Found",
    "Group",
    "check",
    "child",
    "children",
    "env_named",
    "mapping",
    "template_containers",
]

AUTOSCALER_V2_ENV: Final = "RAY_enable_autoscaler_v2"


def child(node: Mapping[str, Any], *path: str) -> Json:
    """The object under a path; empty where any step is missing or null."""
    for step in path:
        node = node.get(step) or {}
    return dict(node)


def children(node: Mapping[str, Any], *path: str) -> Sequence[Json]:
    """The list of objects under a path; empty where any step is missing or null."""
    *parents, last = path
    return child(node, *parents).get(last) or ()


def mapping(node: Mapping[str, Any], name: str) -> Mapping[str, str]:
    """The map of strings of that name; empty where it is missing or null."""
    return node.get(name) or {}


def template_containers(template: Mapping[str, Any]) -> Sequence[Json]:
    """The containers of a pod template."""
    return children(template, "spec", "containers")


def env_named(variables: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    """The environment variable of that name, whether by value or valueFrom; envFrom is not looked at."""
    return next((variable for variable in variables if variable.get("name") == name), None)


@dataclass(frozen=True, slots=True)
class Group:
    """The head or a worker group: what both have."""

    spec: Mapping[str, Any]
    path: str  # headGroupSpec, workerGroupSpecs[2]
    name: str  # as messages name it: Head, or the group's name
    index: int = -1  # of worker groups

    @property
    def containers(self) -> Sequence[Json]:
        """All containers of the template but init containers."""
        return template_containers(child(self.spec, "template"))

    @property
    def ray_container(self) -> Json:
        """Container 0; empty where there is none."""
        return self.containers[0] if self.containers else {}

    @property
    def env(self) -> Sequence[Json]:
        """The literal environment of container 0."""
        return children(self.ray_container, "env")

    @property
    def start_params(self) -> Mapping[str, str]:
        """rayStartParams"""
        return mapping(self.spec, "rayStartParams")

    @property
    def restart_policy(self) -> str:
        """The template's restartPolicy; "" when unset."""
        return str(child(self.spec, "template", "spec").get("restartPolicy") or "")

    @property
    def container_path(self) -> str:
        """The path of container 0."""
        return f"{self.path}.template.spec.containers[0]"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster spec and the annotations that count for it: its own, or those of the RayJob around it."""

    spec: Mapping[str, Any]
    annotations: Mapping[str, str]

    @property
    def head(self) -> Group:
        """The head group."""
        return Group(child(self.spec, "headGroupSpec"), "headGroupSpec", "Head")

    @property
    def groups(self) -> Sequence[Group]:
        """The worker groups in order."""
        return [
            Group(spec, f"workerGroupSpecs[{index}]", str(spec.get("groupName") or ""), index)
            for index, spec in enumerate(children(self.spec, "workerGroupSpecs"))
        ]

    @property
    def autoscaling(self) -> bool:
        """enableInTreeAutoscaling is true"""
        return self.spec.get("enableInTreeAutoscaling") is True

    @property
    def autoscaler(self) -> Json:
        """autoscalerOptions"""
        return child(self.spec, "autoscalerOptions")

    @property
    def v2_by_option(self) -> bool:
        """The autoscaler's version is set to v2."""
        return self.autoscaler.get("version") == "v2"

    @property
    def v2_by_env(self) -> bool:
        """The head's environment asks for autoscaler v2, in the only two spellings that count."""
        variable = env_named(self.head.env, AUTOSCALER_V2_ENV)
        return variable is not None and variable.get("value") in ("1", "true")

    @property
    def ray_version(self) -> str:
        """rayVersion; "" when unset"""
        return str(self.spec.get("rayVersion") or "")


class Found(NamedTuple):
    """What a check yields: the path inside the cluster spec (or one that starts with "metadata."), and the rest."""

    path: str
    message: str
    value: Any = None
    hint: str = ""
    item: int = 0
    severity: Severity | None = None  # None: the rule's own


ClusterCheck = Callable[[Cluster, Context], Iterator[Found]]


@dataclass(frozen=True, slots=True)
class Check:
    """A denying rule about a cluster spec, wherever that stands."""

    id: str
    search: ClusterCheck
    block: Block | None = None

    def findings(self, cluster: Cluster, context: Context, *, at: str, prefix: str = "") -> Iterator[Finding]:
        """Its findings for the cluster spec that stands at the path `at`; messages begin with `prefix`."""
        for found in self.search(cluster, context):
            path = found.path if found.path.startswith("metadata.") else f"{at}.{found.path}"
            yield Finding(
                self.id, Severity.DENY, path, prefix + found.message, found.value, found.hint, item=found.item
            )


def check(id_: str, block: Block | None = None) -> Callable[[ClusterCheck], Check]:
    """Make a Check of the function below."""
    return lambda search: Check(id_, search, block)
