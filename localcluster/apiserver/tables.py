"""Tables: what `kubectl get` shows (spec kube-api NEG-4, TAB-1 to TAB-4).

Custom resources bring their columns as JSONPaths, built-in kinds have them in `columns`. A row is cells and, as the
client asks, the object's metadata, the whole object or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson

from localcluster.api import Json, Refusal
from localcluster.apiserver.ages import age
from localcluster.apiserver.columns import AGE_OF_CUSTOM, BUILT_IN, CREATED_AT, NAME, Column
from localcluster.apiserver.jsonpath import BadPath, find
from localcluster.apiserver.registry import PrinterColumn, Registry
from localcluster.resources import ResourceInfo

__all__ = ["IncludeObject", "Tables", "include_object", "partial"]

IncludeObject = Literal["None", "Metadata", "Object"]


def include_object(text: str) -> IncludeObject:
    """What stands in each row's `object`. Raises Refusal 400."""
    known: dict[str, IncludeObject] = {"": "Metadata", "None": "None", "Metadata": "Metadata", "Object": "Object"}
    if text in known:
        return known[text]
    raise Refusal(
        400,
        "BadRequest",
        f'Unable to convert to Table as requested: includeObject: Invalid value: "{text}": '
        "must be 'Metadata', 'Object', 'None', or empty",
    )


def partial(item: Json, version: str) -> Json:
    """An object's metadata alone (NEG-5)."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": item.get("metadata") or {},
    }


@dataclass(frozen=True, slots=True)
class Tables:
    """Makes tables of what is served now."""

    registry: Registry

    def columns(self, resource: ResourceInfo) -> Sequence[Column]:
        """The columns of a resource, its own or those that every kind has."""
        custom = self.registry.custom(resource)
        if custom is not None:
            return (NAME, *map(_custom_column, custom.columns)) if custom.columns else (NAME, AGE_OF_CUSTOM)
        return BUILT_IN.get((resource.group, resource.plural), (NAME, CREATED_AT))

    def table(
        self,
        resource: ResourceInfo,
        items: Iterable[Json],
        metadata: Json,
        *,
        version: str,
        include: IncludeObject,
        now: datetime,
        definitions: bool = True,
    ) -> Json:
        """A Table of the items; without `definitions`, one of the later ones of a watch (TAB-4)."""
        columns = self.columns(resource)
        return {
            "kind": "Table",
            "apiVersion": f"meta.k8s.io/{version}",
            "metadata": metadata,
            "columnDefinitions": [column.definition for column in columns] if definitions else None,
            "rows": [
                {
                    "cells": [column.cell(item, now) for column in columns],
                    "object": _included(item, include, version),
                }
                for item in items
            ],
        }


def _included(item: Json, include: IncludeObject, version: str) -> Json | None:
    if include == "None":
        return None
    return item if include == "Object" else partial(item, version)


def _custom_column(column: PrinterColumn) -> Column:
    def cell(item: Json, now: datetime) -> Any:
        try:
            found = find(column.json_path, item)
        except BadPath:
            return None
        return _typed(column, found[0], now) if found else None

    return Column(column.name, cell, column.type, column.format, column.description, column.priority)


def _typed(column: PrinterColumn, value: Any, now: datetime) -> Any:
    """The first hit as the column's type; null for what does not fit."""
    if value is None:
        return None
    if column.type == "date":
        return age(value, now)
    if column.type == "integer":
        return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    if column.type == "number":
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    if column.type == "boolean":
        return value if isinstance(value, bool) else None
    return _as_text(value)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode()
