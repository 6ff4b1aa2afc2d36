"""Where cluster and job specs stand in the four kinds, so that one rule judges them wherever that is (P12).

A rule about cluster specs is a function over a `Cluster`, a rule about changes of one a function over the old and the
new `Cluster`; `cluster_rule` and `change_rule` make rules of all kinds of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.v1.rules.model import Context, Finding, Rule, Severity, remembered
from api.v1.rules.reading import Cluster, ClusterCheck, Found
from api.v1.rules.typed import child, mapping, text

__all__ = [
    "CLUSTER_PATHS",
    "JOB_PATHS",
    "ChangeCheck",
    "PlacedCluster",
    "change_rule",
    "cluster_in",
    "cluster_of",
    "cluster_rule",
]

# Kind -> the steps to its cluster spec, and to the spec of its job.
CLUSTER_PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "RayCluster": ("spec",),
    "RayJob": ("spec", "rayClusterSpec"),
    "RayService": ("spec", "rayClusterConfig"),
    "RayCronJob": ("spec", "jobTemplate", "rayClusterSpec"),
}
JOB_PATHS: Final[Mapping[str, tuple[str, ...]]] = {"RayJob": ("spec",), "RayCronJob": ("spec", "jobTemplate")}

ChangeCheck = Callable[[Cluster, Cluster, Context], Iterator[Found]]
"""What changed between the old cluster spec and the new one, in that order."""


@dataclass(frozen=True, slots=True)
class PlacedCluster:
    """A cluster spec and the path at which it stands in its object."""

    cluster: Cluster
    path: str

    def path_of(self, inner: str) -> str:
        """The path in the object of a path in the cluster spec; those that begin with "metadata." are of the object."""
        return inner if inner.startswith("metadata.") else f"{self.path}.{inner}"

    def finding(self, id_: str, found: Found, severity: Severity) -> Finding:
        """What a check found, under the path where the field really stands."""
        path = self.path_of(found.path)
        return Finding(id_, found.severity or severity, path, found.message, found.value, found.hint, item=found.item)


def cluster_in(object_: Mapping[str, Any]) -> PlacedCluster | None:
    """The cluster spec of an object of any kind; None where there is none (a RayJob with a clusterSelector).

    Annotations and labels are those of the object; the jobs of a RayCronJob have no annotations yet.
    """
    return remembered(object_, "cluster", lambda: _cluster_in(object_))


def cluster_of(object_: Mapping[str, Any], *steps: str) -> Cluster:
    """The cluster spec under a path of an object, with the object's own annotations and labels; read once."""

    def made() -> Cluster:
        metadata = child(object_, "metadata")
        return Cluster(child(object_, *steps), mapping(metadata, "annotations"), mapping(metadata, "labels"))

    return remembered(object_, steps, made)


def _cluster_in(object_: Mapping[str, Any]) -> PlacedCluster | None:
    kind = text(object_, "kind")
    steps = CLUSTER_PATHS.get(kind)
    if steps is None or not child(object_, *steps):
        return None
    cluster = cluster_of(object_, *steps)
    if kind == "RayCronJob":
        cluster = Cluster(cluster.spec, {}, cluster.labels)
    return PlacedCluster(cluster, ".".join(steps))


def cluster_rule(id_: str, severity: Severity = Severity.DENY) -> Callable[[ClusterCheck], Rule]:
    """Make a rule of admission of the function below, for the cluster specs of all four kinds."""

    def made(search: ClusterCheck) -> Rule:
        def find(new: Mapping[str, Any], _old: Mapping[str, Any] | None, context: Context) -> Iterator[Finding]:
            if placed := cluster_in(new):
                yield from (placed.finding(id_, found, severity) for found in search(placed.cluster, context))

        return Rule(id_, severity, frozenset(CLUSTER_PATHS), find)

    return made


def change_rule(id_: str, severity: Severity = Severity.WARN) -> Callable[[ChangeCheck], Rule]:
    """Make a rule of the function below that is asked on updates only, with the old cluster spec and the new one."""

    def made(search: ChangeCheck) -> Rule:
        def find(new: Mapping[str, Any], old: Mapping[str, Any] | None, context: Context) -> Iterator[Finding]:
            before = cluster_in(old) if old is not None else None
            after = cluster_in(new)
            if before is not None and after is not None:
                found = search(before.cluster, after.cluster, context)
                yield from (after.finding(id_, one, severity) for one in found)

        return Rule(id_, severity, frozenset(CLUSTER_PATHS), find)

    return made
