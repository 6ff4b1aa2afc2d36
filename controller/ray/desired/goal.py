"""The RayCluster that a RayService wants, and how near a living one is to it (spec rayservice §9.1, §9.2)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from api.meta import Json, owner_reference
from api.v1 import wire
from controller.ray.desired.hashes import goal_hash
from controller.ray.desired.jobs import origin_labels

__all__ = ["Match", "annotations_of_goal", "match", "ray_cluster"]

KIND: Final = "RayService"


class Match(Enum):
    """How a living cluster compares with the goal."""

    FULL = "full"
    PARTIAL = "partial"  # the goal has more groups at its end: the cluster can grow into it
    NONE = "none"


def annotations_of_goal(goal: Mapping[str, Any], version: str) -> dict[str, str]:
    """What a cluster remembers of the goal that it was made or updated for, and who wrote that."""
    return {
        wire.ANNOTATION_GOAL_HASH: goal_hash(goal),
        wire.ANNOTATION_GOAL_GROUPS: str(len(goal.get("workerGroupSpecs") or ())),
        wire.ANNOTATION_OPERATOR_VERSION: version,
    }


def ray_cluster(service: Json, name: str, version: str) -> Json:
    """The cluster of that name, after the goal as it is now; labels and annotations of the service go along."""
    metadata, goal = service["metadata"], service["spec"]["rayClusterConfig"]
    return {
        "apiVersion": wire.RAY_CLUSTERS.api_version,
        "kind": wire.RAY_CLUSTERS.kind,
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": (metadata.get("labels") or {}) | origin_labels(KIND, metadata["name"]),
            "annotations": (metadata.get("annotations") or {}) | annotations_of_goal(goal, version),
            "ownerReferences": [owner_reference(wire.RAY_SERVICES, service)],
        },
        "spec": goal,
    }


def match(goal: Mapping[str, Any], annotations: Mapping[str, str]) -> Match:
    """Goal against what the cluster remembers; its own spec is never looked at.

    A cluster that remembers no number of groups counts as near: nobody knows better, so it is not replaced.
    """
    remembered = annotations.get(wire.ANNOTATION_GOAL_HASH, "")
    if goal_hash(goal) == remembered:
        return Match.FULL
    groups, number = goal.get("workerGroupSpecs") or [], annotations.get(wire.ANNOTATION_GOAL_GROUPS, "")
    if not (number.isascii() and number.isdecimal()):
        return Match.PARTIAL
    first = int(number)
    if len(groups) < first:
        return Match.NONE
    return Match.PARTIAL if goal_hash({**goal, "workerGroupSpecs": groups[:first]}) == remembered else Match.NONE
