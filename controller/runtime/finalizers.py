"""Finalizers, set and taken back without losing another's (spec runtime §12.4). Pure.

The list is one field: whoever writes it writes it whole. So each patch is made for the version that was read, and one
that comes too late is a Conflict, after which the next pass decides anew. A patch is a plan's `record`: stored before
anything that relies on it is done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from api.meta import Resource
from controller.runtime.plan import MergePatch

__all__ = ["finalizer_added", "finalizer_removed"]


def finalizer_added(resource: Resource, seen: Mapping[str, Any], name: str) -> MergePatch | None:
    """The patch that lets `name` hold the object; None when it does already, or when the object is being deleted.

    What is being deleted gets no new finalizers: the server would refuse them (FIN-3).
    """
    metadata = seen["metadata"]
    holding = metadata.get("finalizers") or ()
    if name in holding or metadata.get("deletionTimestamp"):
        return None
    return _held_by(resource, metadata, [*holding, name])


def finalizer_removed(resource: Resource, seen: Mapping[str, Any], name: str) -> MergePatch | None:
    """The patch with which `name` lets go of the object; None when it does not hold it."""
    metadata = seen["metadata"]
    holding = metadata.get("finalizers") or ()
    if name not in holding:
        return None
    return _held_by(resource, metadata, [one for one in holding if one != name])


def _held_by(resource: Resource, metadata: Mapping[str, Any], names: Sequence[str]) -> MergePatch:
    return MergePatch(
        resource,
        metadata.get("namespace", ""),
        metadata["name"],
        metadata["uid"],
        {"metadata": {"finalizers": list(names)}},
        why="finalizer",
        resource_version=metadata["resourceVersion"],
    )
