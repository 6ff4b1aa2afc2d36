"""One cached object: metadata at hand, the rest as bytes without managedFields (spec runtime §5; decision D1).

A reader decodes the bytes and thereby owns a private copy: nothing that is done to it can change the cache. Strings
that repeat over many objects are kept once per store. Of a kind with a `FieldSet` only that part is kept at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from api.meta import Json, OwnerReference, Ref, Resource
from controller.runtime.errors import RuntimeProblem

__all__ = ["Bookmark", "Decode", "FieldSet", "StoredRecord", "UnreadableObject", "Words", "bookmark_of", "record_of"]

MOST_WORDS = 100_000  # of one store; beyond that strings are kept as they come


class UnreadableObject(RuntimeProblem):
    """Bytes that are no object of the kind that was asked for; `rest_of_stream` may still be good."""


class FieldSet(msgspec.Struct, rename="camel", omit_defaults=True):
    """What is kept of the objects of one kind beside the metadata that a record has (REF-15, MEM-5).

    A subclass has a field for each member that somebody reads, `Raw` where all of it is; anything else is left out
    when an object arrives. A body is then equal as long as nothing of this has changed.
    """

    api_version: str = ""
    kind: str = ""

    def trim(self) -> None:
        """Leave out what is known only by looking at it."""


class StoredRecord(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Implements interfaces.Record. Without cycles, so the collector need not look at it (MEM-1)."""

    ref: Ref
    uid: str
    resource_version: str
    generation: int
    creation_timestamp: str
    deletion_timestamp: str | None
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    owners: Sequence[OwnerReference]
    finalizers: Sequence[str]
    body: bytes

    def object(self) -> Json:
        """All that is kept of the object, freshly decoded; the caller's own."""
        decoded: Json = msgspec.json.decode(self.body)
        if "metadata" not in decoded:  # of a kind with a field set
            decoded["metadata"] = self._metadata()
        return decoded

    def _metadata(self) -> Json:
        found = {
            "name": self.ref.name,
            "namespace": self.ref.namespace,
            "uid": self.uid,
            "resourceVersion": self.resource_version,
            "generation": self.generation,
            "creationTimestamp": self.creation_timestamp,
            "deletionTimestamp": self.deletion_timestamp,
            "labels": dict(self.labels),
            "annotations": dict(self.annotations),
            "ownerReferences": [dict(owner) for owner in self.owners],
            "finalizers": list(self.finalizers),
        }
        return {name: value for name, value in found.items() if value}


class Bookmark(msgspec.Struct, frozen=True):
    """The object of a BOOKMARK event: how far the stream has come."""

    resource_version: str
    ends_initial_events: bool


class Words:
    """A bounded table of strings, so that equal ones are one object (MEM-2). It goes with its store."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[str, str] = {}

    def one(self, text: str) -> str:
        """The kept twin of that text."""
        kept = self._kept.get(text)
        if kept is not None:
            return kept
        if len(self._kept) < MOST_WORDS:
            self._kept[text] = text
        return text

    def table(self, texts: dict[str, str] | None) -> Mapping[str, str]:
        """Keys and values by their kept twins."""
        if not texts:
            return _NOTHING
        one = self.one
        return {one(key): one(value) for key, value in texts.items()}


_NOTHING: Mapping[str, str] = {}


_ABSENT = msgspec.Raw()


class _Metadata(msgspec.Struct, rename="camel"):
    name: str
    resource_version: str
    uid: str = ""
    namespace: str = ""
    generation: int = 0
    creation_timestamp: str | None = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[OwnerReference] | None = None
    finalizers: list[str] | None = None
    managed_fields: msgspec.Raw = _ABSENT


class _Thing(msgspec.Struct):
    metadata: _Metadata
    kind: str = ""


class _BookmarkMetadata(msgspec.Struct):
    resource_version: str = msgspec.field(name="resourceVersion")
    annotations: dict[str, str] | None = None


class _BookmarkThing(msgspec.Struct):
    metadata: _BookmarkMetadata


Decode: TypeAlias = Callable[[bytes | msgspec.Raw], FieldSet]

_decode = msgspec.json.Decoder(_Thing).decode
_decode_bookmark = msgspec.json.Decoder(_BookmarkThing).decode
_decode_top = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.encode


def record_of(
    resource: Resource, body: bytes | msgspec.Raw, words: Words, decode: Decode | None = None
) -> StoredRecord:
    """The record of an object as it stands on the wire. Raises UnreadableObject.

    `decode` is that of the kind's field set, where it has one. Items of a list may lack kind and apiVersion;
    metadata-only answers carry another kind (REF-16): both get the real one.
    """
    try:
        thing = _decode(body)
        metadata = thing.metadata
        if thing.kind not in (resource.kind, "", "PartialObjectMetadata"):
            raise UnreadableObject(f"expected a {resource.kind}, got a {thing.kind}")
        kept = _kept_bytes(resource, body, thing) if decode is None else _kept_part(resource, decode(body))
    except msgspec.MsgspecError as error:
        raise UnreadableObject(f"a {resource.kind} is unreadable: {error}") from error
    return StoredRecord(
        ref=Ref(resource.kind, words.one(metadata.namespace), metadata.name),
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        generation=metadata.generation,
        creation_timestamp=metadata.creation_timestamp or "",
        deletion_timestamp=metadata.deletion_timestamp,
        labels=words.table(metadata.labels),
        annotations=_annotations(metadata.annotations, words),
        owners=tuple(_owner(one, words) for one in metadata.owner_references or ()),
        finalizers=tuple(words.one(one) for one in metadata.finalizers or ()),
        body=kept,
    )


def bookmark_of(body: bytes) -> Bookmark:
    """What a bookmark says. Raises UnreadableObject."""
    try:
        metadata = _decode_bookmark(body).metadata
    except msgspec.MsgspecError as error:
        raise UnreadableObject(f"a bookmark is unreadable: {error}") from error
    ends = (metadata.annotations or {}).get("k8s.io/initial-events-end") == "true"
    return Bookmark(metadata.resource_version, ends)


def _kept_bytes(resource: Resource, body: bytes | msgspec.Raw, thing: _Thing) -> bytes:
    """The object without managedFields, under its real kind, in exactly as many bytes as it needs (MEM-3)."""
    if thing.metadata.managed_fields is _ABSENT and thing.kind == resource.kind:
        return bytes(body)
    if thing.kind == resource.kind:
        cut = _cut_out(bytes(body), thing.metadata.managed_fields)
        if cut is not None:
            return cut
    top: dict[str, Any] = dict(_decode_top(body))
    if thing.kind != resource.kind:
        top.pop("kind", None)
        top.pop("apiVersion", None)
        top = {"kind": resource.kind, "apiVersion": resource.api_version, **top}
    if thing.metadata.managed_fields is not _ABSENT:
        metadata = _decode_top(top["metadata"])
        del metadata["managedFields"]
        top["metadata"] = metadata
    return memoryview(_encode(top)).tobytes()  # the encoder's own buffer is half as long again, and would be kept


def _kept_part(resource: Resource, part: FieldSet) -> bytes:
    """The members of a field set, under the kind's name; metadata stands in the record."""
    part.api_version, part.kind = resource.api_version, resource.kind
    part.trim()
    return memoryview(_encode(part)).tobytes()


def _cut_out(body: bytes, managed_fields: msgspec.Raw) -> bytes | None:
    """The body without that member, cut out of the middle: a third of what decoding and encoding costs.

    None where it is not certain that what is found is metadata's own: a pod template may have such a member too.
    """
    start = body.find(_MANAGED)
    if start < 0 or body.find(_MANAGED, start + 1) >= 0:
        return None
    value = bytes(managed_fields)
    if not body.startswith(value, start + len(_MANAGED)):
        return None
    return body[:start] + body[start + len(_MANAGED) + len(value) :]


_MANAGED = b',"managedFields":'  # as servers write it: without blanks, and never the first member


def _annotations(annotations: dict[str, str] | None, words: Words) -> Mapping[str, str]:
    """Keys repeat from object to object, values seldom do."""
    if not annotations:
        return _NOTHING
    return {words.one(key): value for key, value in annotations.items()}


def _owner(owner: OwnerReference, words: Words) -> OwnerReference:
    owner["apiVersion"] = words.one(owner["apiVersion"])
    owner["kind"] = words.one(owner["kind"])
    owner["name"] = words.one(owner["name"])
    owner["uid"] = words.one(owner["uid"])
    return owner
