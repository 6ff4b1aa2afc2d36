"""Two JSON documents -> the smallest JSON merge patch (RFC 7396) from one to the other. Pure.

Lists are replaced whole; a member that is to go is an explicit null. A null inside the new document cannot be said
by a merge patch: it means absence there, and is treated so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.meta import Json

__all__ = ["merge_patch", "merged"]


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> Json:
    """What to send so that `old` becomes `new`; empty when they are the same."""
    patch: Json = {key: None for key, value in old.items() if value is not None and new.get(key) is None}
    for key, value in new.items():
        if value is None:
            continue
        before = old.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            inner = merge_patch(before, value)
            if inner:
                patch[key] = inner
        elif not _same(before, value):
            patch[key] = value
    return patch


def merged(document: Any, patch: Any) -> Any:
    """The document after the patch, as the API server applies it. Neither input is changed."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(document) if isinstance(document, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 is not true, though Python says so; 1 and 1.0 are one number."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
