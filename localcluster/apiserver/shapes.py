"""Answers -> bytes: the object itself, its metadata or a table, as JSON or YAML, on one line or for reading.

What the core encoded goes out as it is wherever the client asked for nothing else: no decode on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import yaml

from localcluster.api import Json, Refusal
from localcluster.apiserver.negotiation import Form
from localcluster.apiserver.requests import Answer, ListAnswer, WatchEvent
from localcluster.apiserver.tables import IncludeObject, Tables, include_object, partial
from localcluster.resources import ResourceInfo

__all__ = ["Shaper", "WatchShaper", "encode"]

STATUS_START = (b'{"kind":"Status"', b'{"apiVersion":"v1","kind":"Status"')


def encode(value: Any, form: Form, *, pretty: bool) -> bytes:
    """A value as JSON or YAML text, ended as the API server does (PRO-3)."""
    if form.syntax == "yaml":
        return yaml.dump(value, Dumper=yaml.CSafeDumper, default_flow_style=False, allow_unicode=True).encode()
    return orjson.dumps(value, option=orjson.OPT_INDENT_2) if pretty else orjson.dumps(value) + b"\n"


@dataclass(frozen=True, slots=True)
class Shaper:
    """Brings answers into the form that a client asked for."""

    tables: Tables
    now: Callable[[], datetime]

    def refuse_mixed_up(self, form: Form, resource: ResourceInfo, *, many: bool) -> None:
        """PartialObjectMetadata is for objects, PartialObjectMetadataList for lists (NEG-5). Raises Refusal 406."""
        internal = "unstructured.Unstructured" if resource.custom else f"{resource.group or 'core'}.{resource.kind}"
        if form.shape == "PartialObjectMetadata" and many:
            what = f"a list (*{internal}List)"
        elif form.shape == "PartialObjectMetadataList" and not many:
            what = f"not a list (*{internal})"
        else:
            return
        raise Refusal(406, "NotAcceptable", f"you requested {form.shape}, but the requested object is {what}")

    def answer(self, answer: Answer, resource: ResourceInfo, form: Form, include: str, *, pretty: bool) -> bytes:
        """One object's text. A Status is a Status in any form."""
        if form.shape == "object" or answer.raw.startswith(STATUS_START):
            return _again(answer.raw, form, pretty=pretty)
        item = answer.object
        if form.shape == "Table":
            metadata = {"resourceVersion": item.get("metadata", {}).get("resourceVersion", "")}
            made = self._table(resource, [item], metadata, form, include_object(include))
        else:
            made = partial(item, form.version)
        return encode(made, form, pretty=pretty)

    def page(self, page: ListAnswer, form: Form, include: str, *, pretty: bool) -> bytes:
        """A list's text."""
        if form.shape == "object":
            return _again(page.raw, form, pretty=pretty)
        metadata = {key: value for key, value in page.metadata.items() if value != ""}
        if form.shape == "Table":
            head = {"kind": page.resource.kind, "apiVersion": page.resource.api_version}
            items = [head | item for item in page.objects]
            made = self._table(page.resource, items, metadata, form, include_object(include))
        else:
            made = {
                "kind": "PartialObjectMetadataList",
                "apiVersion": f"meta.k8s.io/{form.version}",
                "metadata": metadata,
                "items": [partial(item, form.version) for item in page.objects],
            }
        return encode(made, form, pretty=pretty)

    def _table(
        self, resource: ResourceInfo, items: list[Json], metadata: Json, form: Form, include: IncludeObject
    ) -> Json:
        return self.tables.table(resource, items, metadata, version=form.version, include=include, now=self.now())


class WatchShaper:
    """Events of one watch -> lines. Of its tables only the first has column definitions (TAB-4)."""

    def __init__(self, shaper: Shaper, resource: ResourceInfo, form: Form, include: str) -> None:
        self._shaper, self._resource, self._form = shaper, resource, form
        self._include = include_object(include)
        self._first = True

    def lines(self, events: list[WatchEvent]) -> bytes:
        """All of them, one line each."""
        if self._form.shape == "object":
            return b"".join([event.line for event in events])
        return b"".join([self._line(event) for event in events])

    def _line(self, event: WatchEvent) -> bytes:
        if event.type == "ERROR":
            return event.line
        item = event.object
        if self._form.shape == "Table":
            made = self._shaper.tables.table(
                self._resource,
                [item],
                {"resourceVersion": event.resource_version},
                version=self._form.version,
                include=self._include,
                now=self._shaper.now(),
                definitions=self._first,
            )
            self._first = False
        else:
            made = partial(item, self._form.version)
        return orjson.dumps({"type": event.type, "object": made}) + b"\n"


def _again(raw: bytes, form: Form, *, pretty: bool) -> bytes:
    if form.syntax == "json" and not pretty:
        return raw + b"\n"
    return encode(orjson.loads(raw), form, pretty=pretty)
