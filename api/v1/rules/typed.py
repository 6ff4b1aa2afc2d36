"""JSON of any shape, read as what it should be: a value of a wrong type counts as absent, and nothing raises.

Rules of admission judge objects that no schema has seen. What has a wrong type is the schema's to refuse; the rules
only must not fall over it, nor count the other entries of a list wrongly. Objects are dicts and lists are lists, as
any reader of JSON makes them: these functions are called a hundred times per group.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

__all__ = ["child", "entries", "is_true", "mapping", "number", "text", "texts", "whole"]

Json: TypeAlias = dict[str, Any]


def child(node: Any, *path: str) -> Json:
    """The object under a path; empty where there is none. Shared: never change it."""
    for step in path:
        node = node.get(step) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else {}


def entries(node: Any, *path: str) -> Sequence[tuple[int, Mapping[str, Any]]]:
    """The objects of the list under a path, each with its place in that list."""
    *parents, last = path
    found = child(node, *parents).get(last)
    if not isinstance(found, list):
        return ()
    return [(index, one) for index, one in enumerate(found) if isinstance(one, dict)]


def text(node: Any, name: str) -> str:
    """The text of that name; "" where there is none."""
    found = node.get(name) if isinstance(node, dict) else None
    return found if isinstance(found, str) else ""


def texts(node: Any, name: str) -> Sequence[str]:
    """The texts in the list of that name."""
    found = child(node).get(name)
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else ()


def mapping(node: Any, *path: str) -> Mapping[str, str]:
    """The map of texts under a path, without what is none."""
    found: Mapping[Any, Any] = child(node, *path)
    if all(isinstance(one, str) and isinstance(key, str) for key, one in found.items()):
        return found
    return {key: one for key, one in found.items() if isinstance(key, str) and isinstance(one, str)}


def number(node: Any, name: str) -> int | float | None:
    """The finite number of that name."""
    found = node.get(name) if isinstance(node, dict) else None
    if isinstance(found, bool):
        return None
    if isinstance(found, int):
        return found
    return found if isinstance(found, float) and math.isfinite(found) else None


def whole(node: Any, name: str) -> int | None:
    """The integer of that name; 3.0 is one, as it is to JSON."""
    found = node.get(name) if isinstance(node, dict) else None
    if type(found) is int:  # true is none
        return found
    return int(found) if isinstance(found, float) and found.is_integer() else None


def is_true(node: Any, name: str) -> bool:
    """Is the value of that name true? Only true itself is."""
    return isinstance(node, dict) and node.get(name) is True
