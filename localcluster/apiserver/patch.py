"""JSON patch (RFC 6902) and JSON merge patch (RFC 7386), as the API server applies them (spec kube-api §9). Pure.

One deviation from RFC 6902 is the server's own and relied upon: `replace` of an absent member of a map adds it
(PATCH-4, ray-side S3-11).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["PatchFailed", "PatchMalformed", "json_patch", "merge_patch"]

_INDEX: Final = re.compile(r"-?(0|[1-9]\d*)")


class PatchFailed(ValueError):
    """The patch is well-formed and does not fit the document (422)."""


class PatchMalformed(ValueError):
    """This is no patch at all (400); the message ends "error decoding patch: ..."."""


def merge_patch(document: Any, patch: Any) -> Any:
    """The document with the patch merged in: null removes, maps merge, all else replaces. Inputs stay as they are."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(document) if isinstance(document, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def json_patch(document: Any, operations: Any) -> Any:
    """The document after all operations; the document itself stays as it is. Raises PatchFailed, PatchMalformed."""
    if not isinstance(operations, Sequence) or isinstance(operations, str):
        kind = "object" if isinstance(operations, Mapping) else _go_kind(operations)
        raise PatchMalformed(f"json: cannot unmarshal {kind} into Go value of type []handlers.jsonPatchOp")
    if not operations:
        return document
    result = copy.deepcopy(document)
    for operation in operations:
        if not isinstance(operation, Mapping):
            raise PatchFailed(f"not an operation: {operation!r}")
        result = _apply(result, operation)
    return result


def _go_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "string" if isinstance(value, str) else "number"


def _apply(document: Any, operation: Mapping[str, Any]) -> Any:
    name, path = operation.get("op"), _tokens(operation.get("path"))
    if name in {"add", "remove", "replace"}:
        _check_parent(document, name, path, operation["path"])
    if name in {"add", "replace", "test"} and "value" not in operation and name != "test":
        raise PatchFailed(f"{name} without a value")
    if name == "add":
        return _add(document, path, copy.deepcopy(operation["value"]))
    if name == "remove":
        return _remove(document, path)
    if name == "replace":
        return _replace(document, path, copy.deepcopy(operation["value"]))
    if name == "test":
        return _test(document, path, operation.get("value"))
    if name == "copy":
        return _add(document, path, copy.deepcopy(_find(document, _tokens(operation.get("from")))))
    if name == "move":
        source = _tokens(operation.get("from"))
        value = _find(document, source)
        return _add(_remove(document, source), path, value)
    raise PatchFailed(f"unknown operation {name!r}")


def _check_parent(document: Any, name: str, path: Sequence[str], text: str) -> None:
    """A webhook's author is told in these words (ADM-5). Raises PatchFailed."""
    try:
        parent = _find(document, path[:-1])
    except PatchFailed as error:
        where = f'"{text}"' if name != "replace" else text
        raise PatchFailed(f"{name} operation does not apply: doc is missing path: {where}: missing value") from error
    if name == "remove" and path and isinstance(parent, Mapping) and path[-1] not in parent:
        why = f"unable to remove nonexistent key: {path[-1]}: missing value"
        raise PatchFailed(f"error in remove for path: '{text}': {why}")


def _tokens(path: Any) -> list[str]:
    if not isinstance(path, str) or (path and not path.startswith("/")):
        raise PatchFailed(f"not a path: {path!r}")
    return [token.replace("~1", "/").replace("~0", "~") for token in path.split("/")[1:]]


def _find(document: Any, path: Sequence[str]) -> Any:
    for token in path:
        document = _member(document, token)
    return document


def _member(parent: Any, token: str) -> Any:
    if isinstance(parent, Mapping):
        if token not in parent:
            raise PatchFailed(f"no member {token!r}")
        return parent[token]
    if isinstance(parent, list):
        return parent[_index(token, len(parent) - 1)]
    raise PatchFailed(f"{token!r} of what is neither a map nor a list")


def _index(token: str, most: int) -> int:
    """A list index; negative ones count from the end, as the server's library allows."""
    if not _INDEX.fullmatch(token):
        raise PatchFailed(f"not an index: {token!r}")
    index = int(token)
    if index < 0:
        index += most + 1
    if not 0 <= index <= most:
        raise PatchFailed(f"index {token} is out of range")
    return index


def _add(document: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _find(document, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else _index(last, len(parent)), value)
    else:
        raise PatchFailed(f"{last!r} of what is neither a map nor a list")
    return document


def _remove(document: Any, path: Sequence[str]) -> Any:
    if not path:
        raise PatchFailed("the whole document cannot be removed")
    parent, last = _find(document, path[:-1]), path[-1]
    _member(parent, last)
    del parent[_index(last, len(parent) - 1) if isinstance(parent, list) else last]
    return document


def _replace(document: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _find(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        parent[_index(last, len(parent) - 1)] = value
    elif isinstance(parent, dict):
        parent[last] = value  # absent or not: see the head of this file
    else:
        raise PatchFailed(f"{last!r} of what is neither a map nor a list")
    return document


def _test(document: Any, path: Sequence[str], wanted: Any) -> Any:
    if not _same(_find(document, path), wanted):
        raise PatchFailed(f"testing value /{'/'.join(path)} failed: test failed")
    return document


def _same(one: Any, other: Any) -> bool:
    """JSON equality: unlike Python's, true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
