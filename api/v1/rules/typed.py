"""JSON of any shape, read as what it should be: a value of a wrong type counts as absent, and nothing raises.

Rules of admission judge objects that no schema has seen. What has a wrong type is the schema's to refuse; the rules
only must not fall over it, nor count the other entries of a list wrongly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["at", "entries", "is_true", "number", "strings", "text", "texts", "whole"]

NOTHING: Final[Mapping[str, Any]] = {}


def at(node: Any, *path: str) -> Mapping[str, Any]:
    """The object under a path; empty where there is none."""
    for step in path:
        node = node.get(step) if isinstance(node, Mapping) else None
    return node if isinstance(node, Mapping) else NOTHING


def entries(node: Any, *path: str) -> Sequence[tuple[int, Mapping[str, Any]]]:
    """The objects of the list under a path, each with its place in that list."""
    *parents, last = path
    found = at(node, *parents).get(last)
    if not isinstance(found, list | tuple):
        return ()
    return [(index, one) for index, one in enumerate(found) if isinstance(one, Mapping)]


def text(node: Any, name: str) -> str:
    """The text of that name; "" where there is none."""
    found = at(node).get(name)
    return found if isinstance(found, str) else ""


def texts(node: Any, name: str) -> Sequence[str]:
    """The texts in the list of that name."""
    found = at(node).get(name)
    return [one for one in found if isinstance(one, str)] if isinstance(found, list | tuple) else ()


def strings(node: Any, *path: str) -> Mapping[str, str]:
    """The map of texts under a path, without what is none."""
    found: Mapping[Any, Any] = at(node, *path)
    return {key: one for key, one in found.items() if isinstance(key, str) and isinstance(one, str)}


def number(node: Any, name: str) -> int | float | None:
    """The finite number of that name."""
    found = at(node).get(name)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return found if isinstance(found, int) or math.isfinite(found) else None


def whole(node: Any, name: str) -> int | None:
    """The integer of that name; 3.0 is one, as it is to JSON."""
    found = number(node, name)
    return int(found) if found is not None and found == int(found) else None


def is_true(node: Any, name: str) -> bool:
    """Is the value of that name true? Only true itself is."""
    return at(node).get(name) is True
