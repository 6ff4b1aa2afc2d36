"""The JSON patch that makes one object of another (RFC 6902; spec runtime WH-4). Pure.

Nothing is ever taken away: a member that the result lacks is one that our side does not know, and stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from api.meta import Json

__all__ = ["operations"]


def operations(before: Any, after: Any) -> list[Json]:
    """What leads from `before` to `after`; empty where nothing changes. Lists that got shorter are replaced whole."""
    return list(_between("", before, after))


def _between(path: str, before: Any, after: Any) -> Iterator[Json]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key, value in after.items():
            below = f"{path}/{_escaped(key)}"
            if key in before:
                yield from _between(below, before[key], value)
            else:
                yield {"op": "add", "path": below, "value": value}
    elif isinstance(before, list) and isinstance(after, list) and len(before) <= len(after):
        for index, value in enumerate(before):
            yield from _between(f"{path}/{index}", value, after[index])
        for value in after[len(before) :]:
            yield {"op": "add", "path": f"{path}/-", "value": value}
    elif type(before) is not type(after) or before != after:  # 1, 1.0 and true are equal here, and not on the wire
        yield {"op": "replace", "path": path, "value": after}


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
