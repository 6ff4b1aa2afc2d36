"""What all verbs share: the store, what is served, the rules of the kinds, and how objects are encoded and shown."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from ipaddress import IPv4Network
from typing import Final

import orjson

from localcluster.addresses import IN_A_CELL, AddressPlan
from localcluster.api import Json, Refusal
from localcluster.apiserver.kinds.base import Kind
from localcluster.apiserver.kinds.events import EVENTS, to_events_view
from localcluster.apiserver.kinds.table import KINDS, PLAIN
from localcluster.apiserver.metadata import SUFFIX_ALPHABET, tidy
from localcluster.apiserver.registry import Registry
from localcluster.apiserver.store import Change, Entry, Store
from localcluster.resources import ResourceInfo

__all__ = ["Core", "encode"]

MOST_BYTES: Final = 2 * 1024 * 1024  # of a stored object: what etcd takes (CRT-8)
_NEW_EVENTS: Final = "events.k8s.io"
_FOREIGN: Final = -1  # an epoch that no schema has


def encode(resource: ResourceInfo, obj: Json) -> bytes:
    """The object as JSON text: kind first for built-in kinds, keys sorted for custom ones (PRO-3)."""
    if resource.custom:
        return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)
    head = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": tidy(obj["metadata"])}
    return orjson.dumps(head | {key: value for key, value in obj.items() if key not in head})


class Core:
    """The state of the API server, and the few operations from which its verbs are made.

    It is also the `World` that kinds may look at.
    """

    def __init__(
        self, *, now: Callable[[], datetime], chance: random.Random, store: Store, addresses: AddressPlan = IN_A_CELL
    ) -> None:
        self.now = now
        self.addresses = addresses
        self.chance = chance
        self.store = store
        self.registry = Registry()
        self._prefixes: dict[ResourceInfo, int] = {}

    # -- World

    @property
    def services(self) -> IPv4Network:
        """The range of services' addresses."""
        return self.addresses.services

    def letters(self, count: int) -> str:
        """Random letters of a generated name."""
        return "".join(self.chance.choices(SUFFIX_ALPHABET, k=count))

    def number(self, below: int) -> int:
        """A random number."""
        return self.chance.randrange(below)

    def uid(self) -> str:
        """A random UUID, of the handed-in chance."""
        digits = f"{self.chance.getrandbits(128):032x}"
        variant = "89ab"[int(digits[16], 16) % 4]
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"

    def find(self, store: str, namespace: str, name: str) -> Json | None:
        """A stored object by the name of its store."""
        entry = self.store.collection(store).get(namespace, name)
        return None if entry is None else orjson.loads(entry.raw)

    def fields(self, store: str) -> Iterable[Mapping[str, str]]:
        """The selectable fields of all objects of a store."""
        return (entry.fields for entry in self.store.snapshot(store).range())

    # -- Objects and entries

    def kind(self, resource: ResourceInfo) -> Kind:
        """The rules of a resource's kind."""
        custom = self.registry.custom(resource)
        if custom is not None:
            return custom.rules
        return KINDS.get(resource.name, PLAIN)

    def get(self, resource: ResourceInfo, namespace: str, name: str) -> Entry | None:
        """The stored entry, or None."""
        return self.store.collection(resource.store).get(namespace, name)

    def entry(self, resource: ResourceInfo, obj: Json, version: int) -> Entry:
        """The object as an entry of that version; its resourceVersion is set. Raises Refusal 413."""
        metadata = obj["metadata"]
        metadata["resourceVersion"] = str(version)
        raw = encode(resource, obj)
        if len(raw) > MOST_BYTES:
            message = f"Request entity too large: limit is {MOST_BYTES}"
            raise Refusal(413, "RequestEntityTooLarge", message)
        return Entry(
            namespace=metadata.get("namespace", ""),
            name=metadata["name"],
            uid=metadata["uid"],
            version=version,
            raw=raw,
            labels=metadata.get("labels") or {},
            fields=self.kind(resource).selectable(obj),
            epoch=self.registry.epoch(resource),
        )

    def put(self, resource: ResourceInfo, obj: Json) -> Entry:
        """Commit the object, new or changed, in its storage version; the entry it became."""
        stored = self.storage(resource)
        if stored.custom and stored is not resource:
            obj = {**obj, "apiVersion": stored.api_version}
        entry = self.entry(stored, obj, self.store.version + 1)
        if stored.custom and stored is not resource:
            entry = replace(entry, epoch=_FOREIGN)  # made by the rules of another version: readers apply their own
        self.store.put(resource.store, entry)
        return entry

    def remove(self, resource: ResourceInfo, last: Entry) -> Change:
        """Commit the removal of an object; the last state seen by watchers is what is stored (WATCH-4)."""
        return self.store.remove(resource.store, self.reversioned(resource, last, self.store.version + 1))

    def reversioned(self, resource: ResourceInfo, entry: Entry, version: int) -> Entry:
        """The same content under another version."""
        obj = orjson.loads(entry.raw)
        obj["metadata"]["resourceVersion"] = str(version)
        return replace(entry, version=version, raw=encode(self.storage(resource), obj))

    def storage(self, resource: ResourceInfo) -> ResourceInfo:
        """The resource under the version in which its objects are stored."""
        if resource.group == _NEW_EVENTS:
            return EVENTS
        return self.registry.storage(resource)

    # -- Showing

    def shows_as_stored(self, resource: ResourceInfo, entry: Entry) -> bool:
        """Whether the stored text is what a reader of this resource gets."""
        if resource.custom:
            return self.storage(resource) is resource and entry.epoch == self.registry.epoch(resource)
        return resource.group != _NEW_EVENTS

    def shown(self, resource: ResourceInfo, entry: Entry) -> bytes:
        """The object as a reader of this resource gets it: another version, a newer schema (CRD-5, EVT-1)."""
        if self.shows_as_stored(resource, entry):
            return entry.raw
        return self.encoded(resource, self.decoded(resource, entry))

    def encoded(self, resource: ResourceInfo, obj: Json) -> bytes:
        """An object that need not be stored, as a reader of this resource gets it."""
        return encode(resource, self.view(resource, obj))

    def view(self, resource: ResourceInfo, obj: Json) -> Json:
        """The object in the words of the resource: only the newer API of events has other words than the store."""
        return to_events_view(obj) if resource.group == _NEW_EVENTS else obj

    def decoded(self, resource: ResourceInfo, entry: Entry) -> Json:
        """The object as the rules of the resource's kind want it, one's own copy."""
        obj: Json = orjson.loads(entry.raw)
        if not resource.custom or self.shows_as_stored(resource, entry):
            return obj
        obj["apiVersion"] = resource.api_version
        kind = self.kind(resource)
        obj, _ = kind.decode(obj)
        kind.default(obj)
        return obj

    def item(self, resource: ResourceInfo, entry: Entry) -> bytes:
        """The object as an item of a list: without kind and apiVersion for built-in kinds (LIST-1)."""
        raw = self.shown(resource, entry)
        if resource.custom:
            return raw
        length = self._prefixes.get(resource)
        if length is None:
            head = orjson.dumps({"kind": resource.kind, "apiVersion": resource.api_version})
            length = self._prefixes[resource] = len(head)
        return b"{" + raw[length:]
