"""One status write, or none (design W6), and the record that a plan wants stored before anything else (design W5).

A status is one JSON merge patch of what changed, on the status subresource, with uid and resourceVersion of the
object it was decided from. What changed is computed here, so that a converged system writes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from api.meta import Condition, Json, Resource
from controller.runtime.diff import merge_patch
from controller.runtime.errors import Conflict, NotFound
from controller.runtime.interfaces import Client
from controller.runtime.plan import MergePatch

__all__ = ["merged_conditions", "patch_body", "publish", "record", "status_patch"]


async def publish(
    client: Client,
    resource: Resource,
    seen: Mapping[str, Any],
    status: Mapping[str, Any],
    *,
    own_conditions: Collection[str] = (),
    anew: Collection[str] = (),
) -> Json | None:
    """Make `status`, the whole of it, the status of the object that was `seen`; None when it is that already.

    Members of the seen status that `status` does not have are cleared by explicit nulls. Conditions of types it does
    not name are kept, unless the type is one of `own_conditions`: those are ours to take away. Those of types in
    `anew` begin again: their time is the new one, though their status may be the old. Raises Conflict when the object
    changed, was replaced or went since: observe, decide again.
    """
    change = status_patch(seen.get("status") or {}, status, own_conditions, anew)
    if not change:
        return None
    metadata = seen["metadata"]
    body = {
        "metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
        "status": change,
    }
    return await _patched(client, resource, metadata.get("namespace", ""), metadata["name"], body, "status")


async def record(client: Client, patch: MergePatch) -> Json:
    """Store what must be known before it is used: a chosen name, a ticket, a finalizer.

    The uid always travels with it, the resourceVersion where the plan gave one. Raises Conflict as `publish` does,
    and whatever else the client raises.
    """
    return await _patched(client, patch.resource, patch.namespace, patch.name, patch_body(patch), patch.subresource)


async def _patched(
    client: Client, resource: Resource, namespace: str, name: str, body: Json, subresource: str | None
) -> Json:
    """An object that is gone changed as much as it can: the next pass finds nothing to do."""
    try:
        return await client.patch(resource, namespace, name, body, subresource=subresource)
    except NotFound as gone:
        raise Conflict(
            gone.verb, gone.ref, code=gone.code, message=gone.message, reason=gone.reason, status=gone.status
        ) from gone


def patch_body(patch: MergePatch) -> Json:
    """The patch as it is sent: its preconditions stand in metadata (design W4)."""
    metadata = {**(patch.body.get("metadata") or {}), "uid": patch.uid}
    if patch.resource_version is not None:
        metadata["resourceVersion"] = patch.resource_version
    return {**patch.body, "metadata": metadata}


def status_patch(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    own_conditions: Collection[str] = (),
    anew: Collection[str] = (),
) -> Json:
    """The merge patch between two statuses; conditions as one whole list, merged by type."""
    before = old.get("conditions") or ()
    conditions = merged_conditions(before, new.get("conditions") or (), own_conditions, anew)
    if conditions or before:
        new = {**new, "conditions": conditions}
    return merge_patch(old, new)


def merged_conditions(
    old: Sequence[Condition], new: Sequence[Condition], own: Collection[str] = (), anew: Collection[str] = ()
) -> list[Condition]:
    """The new conditions in the places of their types, foreign types where they were, further ones at the end.

    Types in `own` that `new` does not have are taken away. lastTransitionTime moves only with the status (spec
    raycluster §19.3), so that a time stamp is never the reason for a write; except in types in `anew`, which begin
    again (spec rayservice §7).
    """
    ours = {one["type"]: one for one in new}
    kept = [one for one in old if one["type"] in ours or one["type"] not in own]
    known = {one["type"] for one in kept}
    return [
        ours[one["type"]]
        if one["type"] in anew and one["type"] in ours
        else _carried_on(one, ours.get(one["type"], one))
        for one in kept
    ] + [one for one in new if one["type"] not in known]


def _carried_on(old: Condition, new: Condition) -> Condition:
    if old["status"] == new["status"] and "lastTransitionTime" in old:
        return {**new, "lastTransitionTime": old["lastTransitionTime"]}
    return new
