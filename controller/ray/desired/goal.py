"""The RayCluster that a RayService wants, and how near a living one is to it (spec rayservice §9.1, §9.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

from api.meta import Json, owner_reference
from api.v1 import wire
from controller.ray.desired.hashes import goal_hash
from controller.ray.desired.jobs import origin_labels

__all__ = ["ClusterGoal", "Match", "ray_cluster"]

KIND: Final = "RayService"


class Match(Enum):
    """How a living cluster compares with the goal."""

    FULL = "full"
    PARTIAL = "partial"  # the goal has more groups at its end: the cluster can grow into it
    NONE = "none"


class ClusterGoal:
    """A cluster's spec as a goal, which must not change any more; each of its hashes is made once, when asked for."""

    def __init__(self, spec: Mapping[str, Any], hash_of: Callable[[Mapping[str, Any]], str] = goal_hash) -> None:
        self.spec, self._hash_of = spec, hash_of
        self._groups = spec.get("workerGroupSpecs") or ()
        self._hashes: dict[int, str] = {}

    def annotations(self, version: str) -> dict[str, str]:
        """What a cluster remembers of the goal that it was made or updated for, and who wrote that."""
        groups = len(self._groups)
        return {
            wire.ANNOTATION_GOAL_HASH: self._hash(groups),
            wire.ANNOTATION_GOAL_GROUPS: str(groups),
            wire.ANNOTATION_OPERATOR_VERSION: version,
        }

    def match(self, annotations: Mapping[str, str]) -> Match:
        """Goal against what the cluster remembers; its own spec is never looked at.

        A cluster that remembers no number of groups counts as near: nobody knows better, so it is not replaced.
        """
        remembered = annotations.get(wire.ANNOTATION_GOAL_HASH, "")
        if self._hash(len(self._groups)) == remembered:
            return Match.FULL
        number = annotations.get(wire.ANNOTATION_GOAL_GROUPS, "")
        if not (number.isascii() and number.isdecimal()):
            return Match.PARTIAL
        first = int(number)
        if len(self._groups) < first:
            return Match.NONE
        return Match.PARTIAL if self._hash(first) == remembered else Match.NONE

    def _hash(self, first: int) -> str:
        """Of the goal with its first groups alone."""
        if first not in self._hashes:
            whole = first == len(self._groups)
            spec = self.spec if whole else {**self.spec, "workerGroupSpecs": self._groups[:first]}
            self._hashes[first] = self._hash_of(spec)
        return self._hashes[first]


def ray_cluster(service: Json, goal: ClusterGoal, name: str, version: str) -> Json:
    """The cluster of that name, after the goal as it is now; labels and annotations of the service go along."""
    metadata = service["metadata"]
    return {
        "apiVersion": wire.RAY_CLUSTERS.api_version,
        "kind": wire.RAY_CLUSTERS.kind,
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": (metadata.get("labels") or {}) | origin_labels(KIND, metadata["name"]),
            "annotations": (metadata.get("annotations") or {}) | goal.annotations(version),
            "ownerReferences": [owner_reference(wire.RAY_SERVICES, service)],
        },
        "spec": dict(goal.spec),
    }
