"""Shaping of custom resources: unknown fields and nulls go, defaults come, in place (spec kube-api VAL-12). Pure.

Compiled once from a structural schema, like the checks of `schema.py`: a node of the schema becomes a closure, or None
where there is nothing to do.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from localcluster.api import Json
from localcluster.apiserver.metadata import decode_metadata
from localcluster.apiserver.schema import EMBEDDED, HEAD, INT64, PRESERVE, Path, field_text

__all__ = ["Shape", "compile_shape"]

Shape: TypeAlias = Callable[[Any, Path, list[str]], Any]  # (value, path, unknown fields) -> shaped value


def compile_shape(schema: Mapping[str, Any], *, root: bool = False) -> Shape | None:
    """The shaping of values of this schema. The root's own head (kind, metadata) is left alone."""
    if schema.get("type") == "array" and isinstance(schema.get("items"), Mapping):
        return _shape_items(schema["items"])
    if schema.get("type") in {"integer", "number"}:
        return _shape_number
    if schema.get("type") == "object" or "properties" in schema or "additionalProperties" in schema:
        return _shape_object(schema, root=root)
    return None


def _shape_number(value: Any, path: Path, unknown: list[str]) -> Any:
    """3.0 is an integer on the wire (VAL-2)."""
    return int(value) if type(value) is float and value.is_integer() and abs(value) < INT64 else value


def _shape_items(schema: Mapping[str, Any]) -> Shape | None:
    item = compile_shape(schema)
    if item is None:
        return None

    def shape(value: Any, path: Path, unknown: list[str]) -> Any:
        if type(value) is list:
            for index, member in enumerate(value):
                value[index] = item(member, (path, index), unknown)
        return value

    return shape


class _Member:
    """What shaping needs to know of one property."""

    __slots__ = ("default", "has_default", "nullable", "shape")

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.shape = compile_shape(schema)
        self.nullable = bool(schema.get("nullable"))
        self.has_default = "default" in schema
        default = copy.deepcopy(schema.get("default"))
        self.default = self.shape(default, None, []) if self.shape is not None and self.has_default else default

    def shape_in(self, parent: Json, key: str, path: Path, unknown: list[str]) -> None:
        """Shape it where it stands. A null goes unless it may be; a default, if there is one, comes later (DEF-2)."""
        value = parent[key]
        if value is None and not self.nullable:
            del parent[key]
        elif self.shape is not None:
            parent[key] = self.shape(value, (path, key), unknown)

    def fresh_default(self) -> Any:
        return copy.deepcopy(self.default) if isinstance(self.default, dict | list) else self.default


def _shape_object(schema: Mapping[str, Any], *, root: bool) -> Shape | None:
    members = {name: _Member(one) for name, one in (schema.get("properties") or {}).items()}
    extra = schema.get("additionalProperties")
    preserve = bool(schema.get(PRESERVE))
    embedded = bool(schema.get(EMBEDDED))
    head = HEAD if root or embedded else frozenset()
    for name in head:
        members.pop(name, None)
    defaults = tuple((name, one) for name, one in members.items() if one.has_default)
    if isinstance(extra, Mapping):
        return _shape_map(_Member(extra))
    keep = preserve or extra is True

    def shape(value: Any, path: Path, unknown: list[str]) -> Any:
        if type(value) is not dict:
            return value
        for key in tuple(value):
            member = members.get(key)
            if member is not None:
                member.shape_in(value, key, path, unknown)
            elif key not in head and not keep:
                del value[key]
                unknown.append(field_text((path, key)))
        for name, default in defaults:
            if name not in value:
                value[name] = default.fresh_default()
        if embedded:
            _shape_embedded(value, path, unknown)
        return value

    return shape


def _shape_map(member: _Member) -> Shape | None:
    inner = member.shape

    def shape(value: Any, path: Path, unknown: list[str]) -> Any:
        if type(value) is dict:
            for key in tuple(value):
                one = value[key]
                if one is None and not member.nullable:
                    if member.has_default:
                        value[key] = member.fresh_default()
                    else:
                        del value[key]
                elif inner is not None:
                    value[key] = inner(one, (path, key), unknown)
        return value

    return shape


def _shape_embedded(value: Json, path: Path, unknown: list[str]) -> None:
    """The metadata of an object inside an object is typed like any (VAL-10)."""
    metadata = value.get("metadata")
    if isinstance(metadata, dict):
        decoded, dropped, wrong = decode_metadata(metadata)
        if not wrong:
            value["metadata"] = decoded
            prefix = field_text(path)
            unknown.extend(f"{prefix}.{one}" if prefix else one for one in dropped)
