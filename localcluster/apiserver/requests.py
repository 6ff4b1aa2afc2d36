"""What is asked of the API server below HTTP, and what it answers: plain frozen values.

The HTTP face turns a URL, query and body into a `Request` (and a `Body` or `Patch`), and an `Answer`, `ListAnswer` or
`WatchEvent` into bytes on a socket. Objects travel already encoded, so that one encoding serves every reader.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import orjson

from localcluster.api import Json
from localcluster.resources import ResourceInfo

__all__ = [
    "Admission",
    "Answer",
    "Body",
    "ListAnswer",
    "Options",
    "Patch",
    "PatchKind",
    "Request",
    "Review",
    "WatchEvent",
]

PatchKind = Literal["json", "merge", "strategic", "apply"]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a request, from its query or, for deletes, from its body as well. Texts are as they came.

    `limit` and `timeout_seconds` are parsed by the caller, which answers 400 for what is no number (PRO-6). None
    means that an option was not given where that differs from its empty value.
    """

    dry_run: Sequence[str] = ()
    field_manager: str = ""
    field_validation: str = ""
    force: bool | None = None
    resource_version: str = ""
    resource_version_match: str = ""
    labels: str = ""
    fields: str = ""
    limit: int = 0
    continue_: str = ""
    allow_bookmarks: bool = False
    send_initial_events: bool | None = None
    timeout_seconds: float | None = None
    propagation: str = ""
    orphan_dependents: bool | None = None
    grace_seconds: int | None = None
    precondition_uid: str = ""
    precondition_version: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for: a resource, perhaps in a namespace, perhaps one object or its subresource."""

    resource: ResourceInfo
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    options: Options = field(default_factory=Options)
    user: Mapping[str, Any] = field(default_factory=lambda: {"username": "system:admin", "groups": ["system:masters"]})


@dataclass(frozen=True, slots=True)
class Body:
    """A decoded request body, and the keys that stood in it twice ("spec.size"), which JSON decoders hide.

    Of YAML it is a sentence instead of a key: `line 6: key "size" already set in map`.
    """

    value: Any
    duplicates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Patch:
    """A decoded patch: a list of operations ("json"), or an object."""

    kind: PatchKind
    value: Any
    duplicates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status code, an object as JSON text, and warnings for the header of that name."""

    code: int
    raw: bytes
    warnings: tuple[str, ...] = ()

    @property
    def object(self) -> Json:
        """The object, a fresh copy with each call."""
        decoded: Json = orjson.loads(self.raw)
        return decoded


@dataclass(frozen=True, slots=True)
class ListAnswer:
    """A page of a list. Items of built-in kinds come without kind and apiVersion (LIST-1)."""

    resource: ResourceInfo
    resource_version: str
    items: Sequence[bytes]
    continue_: str = ""
    remaining: int | None = None
    warnings: tuple[str, ...] = ()

    @property
    def objects(self) -> list[Json]:
        """The items, fresh copies with each call."""
        return [orjson.loads(item) for item in self.items]

    @property
    def metadata(self) -> Json:
        """The list's own metadata."""
        metadata: Json = {"resourceVersion": self.resource_version}
        if self.continue_ or self.resource.custom:
            metadata["continue"] = self.continue_
        if self.remaining is not None:
            metadata["remainingItemCount"] = self.remaining
        return metadata

    @property
    def raw(self) -> bytes:
        """The whole list as JSON text."""
        kind = orjson.dumps(self.resource.list_kind)
        version = orjson.dumps(self.resource.api_version)
        metadata = orjson.dumps(self.metadata)
        items = b",".join(self.items)
        if self.resource.custom:
            parts = (b'{"apiVersion":', version, b',"items":[', items, b'],"kind":', kind, b',"metadata":', metadata)
        else:
            parts = (b'{"kind":', kind, b',"apiVersion":', version, b',"metadata":', metadata, b',"items":[', items)
        return b"".join((*parts, b"}" if self.resource.custom else b"]}"))


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event: ADDED, MODIFIED, DELETED, BOOKMARK, or ERROR, whose object is a Status and which is the last."""

    type: str
    raw: bytes
    resource_version: str
    line: bytes

    @property
    def object(self) -> Json:
        """The object, a fresh copy with each call."""
        decoded: Json = orjson.loads(self.raw)
        return decoded


@dataclass(slots=True)
class Review:
    """One write on its way to the store, as admission sees it (ADM-2). `warnings` may be added to.

    `object` is None for a delete, `old_object` for a create. `options` is the CreateOptions, UpdateOptions or
    DeleteOptions object.
    """

    operation: Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]
    request: Request
    name: str
    object: Json | None
    old_object: Json | None
    options: Json
    dry_run: bool
    warnings: list[str]


class Admission(Protocol):
    """What has a say in every write. May call out; the store may change meanwhile."""

    async def mutate(self, review: Review) -> Json | None:
        """The object as it shall be stored (the same one, or another). Raises Refusal."""
        ...

    async def validate(self, review: Review) -> None:
        """Return to let it pass. Raises Refusal."""
        ...
