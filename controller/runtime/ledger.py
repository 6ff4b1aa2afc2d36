"""What we wrote and have not seen yet (spec runtime §8.2; decision D5). Pure: time and the store are handed in.

A cached read must not be older than our own writes. The client enters each write here before it is sent and
completes the entry before its caller goes on; a cache asks which entries stand in the way of a read, and takes away
those that its store has reached. An entry carries the UID of the controlling owner, so that a read through an owner
waits for that owner's writes alone (design.md §2): one hanging write delays one object.

It also carries the passes that wrote it, so that a key is not even looked at before the cache has what its last pass
wrote (spec runtime §8.4): who waits in a read holds a worker, who waits before the pass holds none.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

from api.meta import Ref, Resource
from controller.runtime.versions import MalformedVersion, at_least, is_valid, newest

__all__ = ["TTL_SECONDS", "WRITER", "Entry", "Ledger", "Seen", "Store"]

TTL_SECONDS = 300.0  # an entry that was not reached by then never will be; must not happen (RYW-5)

WRITER: ContextVar[Hashable] = ContextVar("WRITER", default=None)  # whose pass is at work: a controller's key


class Seen(Protocol):
    """What a store holds of one object."""

    @property
    def uid(self) -> str: ...
    @property
    def resource_version(self) -> str: ...
    @property
    def deletion_timestamp(self) -> str | None: ...


class Store(Protocol):
    """What the ledger asks a store."""

    @property
    def rv(self) -> str:
        """All changes up to this version are in; "" before the first load."""
        ...

    def seen(self, ref: Ref) -> Seen | None: ...

    def covers(self, ref: Ref, labels: Mapping[str, str]) -> bool:
        """Will an object of that name and with these labels ever come into the store?"""
        ...


@dataclass(slots=True, eq=False)
class Entry:
    """All that is open about one object."""

    resource: Resource
    ref: Ref
    owner_uid: str = ""
    in_flight: int = 0
    version: str = ""  # the store must have come this far
    labels: Mapping[str, str] = field(default_factory=dict)  # of the object as written
    gone: set[str] = field(default_factory=set)  # UIDs that must have left the store, or be on their way out
    uncertain: bool = False  # an answer was lost: only a live read tells
    at: float = 0.0  # when it was last touched
    writers: set[Hashable] = field(default_factory=set)  # whose passes wrote it

    @property
    def finished(self) -> bool:
        """Nothing is required any more."""
        return not (self.in_flight or self.version or self.gone or self.uncertain)


class Ledger:
    """Entries by resource and name. `watched` says which resources have a store; others are not kept (RYW-8)."""

    def __init__(self) -> None:
        self._open: dict[Resource, dict[Ref, Entry]] = {}
        self._by_writer: dict[Hashable, set[Entry]] = {}
        self._wrote: set[Hashable] = set()  # who has begun a write since it was asked
        self.expired = 0  # entries that ran into their TTL
        self.released: Callable[[Hashable], None] = lambda writer: None  # called when nothing is open of that writer
        self.ended: Callable[[], None] = lambda: None  # called after each write that ended, however it did

    def watch(self, resource: Resource) -> None:
        """Keep the writes to that resource from now on."""
        self._open.setdefault(resource, {})

    def begin(self, resource: Resource, ref: Ref, now: float, *, owner_uid: str = "", uid: str = "") -> Entry | None:
        """A write is about to be sent; with `uid` it deletes. None when the resource is not watched."""
        writer = WRITER.get()
        if writer is not None:
            self._wrote.add(writer)
        entries = self._open.get(resource)
        if entries is None:
            return None
        entry = entries.get(ref)
        if entry is None:
            entry = entries[ref] = Entry(resource, ref)
        if writer is not None:
            entry.writers.add(writer)
            self._by_writer.setdefault(writer, set()).add(entry)
        entry.in_flight += 1
        entry.at = now
        entry.owner_uid = owner_uid or entry.owner_uid
        if uid:
            entry.gone.add(uid)
        return entry

    def wrote(self, entry: Entry | None, version: str, labels: Mapping[str, str], owner_uid: str = "") -> None:
        """The object is at that version now (RYW-1)."""
        if entry is None:
            return
        entry.in_flight -= 1
        entry.owner_uid = owner_uid or entry.owner_uid
        entry.labels = labels
        entry.version = _later(entry.version, version)
        self._end(entry)

    def deleted(self, entry: Entry | None, uid: str, version: str = "") -> None:
        """The server deletes it: at once (no version), or later, after a write that marked it (RYW-3)."""
        if entry is None:
            return
        if version:
            entry.gone.discard(uid)
            self.wrote(entry, version, entry.labels)
        else:
            entry.in_flight -= 1
            self._end(entry)

    def failed(self, entry: Entry | None, uid: str = "") -> None:
        """The server refused: nothing is to be waited for."""
        if entry is None:
            return
        entry.in_flight -= 1
        entry.gone.discard(uid)
        self._end(entry)

    def lost(self, entry: Entry | None, uid: str = "") -> None:
        """No answer came: the next read of it must ask the server (RYW-4)."""
        if entry is None:
            return
        entry.in_flight -= 1
        entry.gone.discard(uid)
        entry.uncertain = True
        self._end(entry)

    def looked(self, entry: Entry, version: str | None, labels: Mapping[str, str], uid: str = "") -> None:
        """A live read settled what was uncertain: the object is at `version`, or (None) no longer there."""
        entry.uncertain = False
        if version is None:
            if uid:
                entry.gone.add(uid)
            else:
                entry.version = ""
        else:
            entry.labels = labels
            entry.version = _later(entry.version, version)
        self._drop_finished(entry)

    def open(
        self, resource: Resource, *, ref: Ref | None = None, owner_uid: str = "", namespace: str | None = None
    ) -> Sequence[Entry]:
        """What stands in the way of a read of one object, of an owner's, or of a namespace ("" is all)."""
        entries = self._open.get(resource)
        if not entries:
            return ()
        if ref is not None:
            entry = entries.get(ref)
            return (entry,) if entry is not None else ()
        if owner_uid:
            return [one for one in entries.values() if one.owner_uid == owner_uid]
        return [one for one in entries.values() if not namespace or one.ref.namespace == namespace]

    def has_written(self, writer: Hashable) -> bool:
        """Has that writer begun a write, watched or not, since this was asked last?"""
        wrote = writer in self._wrote
        self._wrote.discard(writer)
        return wrote

    def of_writer(self, writer: Hashable) -> Sequence[Entry]:
        """What is open of what that pass, or those before it, wrote."""
        return tuple(self._by_writer.get(writer, ()))

    def settle(self, resource: Resource, store: Store, now: float, *, namespace: str | None = None) -> None:
        """Take away what the store, of one namespace or of all, has reached by now, and what is too old."""
        entries = self._open.get(resource)
        if not entries:
            return
        for entry in list(entries.values()):
            if namespace not in (None, entry.ref.namespace):
                continue
            self.settle_one(entry, store)
            if entry.at + TTL_SECONDS <= now and not entry.in_flight and entries.get(entry.ref) is entry:
                self._drop(entry)
                self.expired += 1

    def settle_one(self, entry: Entry, store: Store) -> bool:
        """Is everything about this object in the store? Then its entry goes."""
        seen = store.seen(entry.ref)
        if entry.version and _reached(entry, seen, store):
            entry.version = ""
        if entry.gone and not (seen is not None and seen.uid in entry.gone and seen.deletion_timestamp is None):
            entry.gone.clear()
        self._drop_finished(entry)
        return entry.finished

    def forget(self, resource: Resource) -> None:
        """The server's history was rewound: versions written before mean nothing (STO-9)."""
        entries = self._open.get(resource, {})
        for entry in list(entries.values()):
            entry.version = ""
            self._drop_finished(entry)

    def __iter__(self) -> Iterator[Entry]:
        return iter([entry for entries in self._open.values() for entry in entries.values()])

    def _end(self, entry: Entry) -> None:
        self._drop_finished(entry)
        self.ended()

    def _drop_finished(self, entry: Entry) -> None:
        if entry.finished and self._open.get(entry.resource, {}).get(entry.ref) is entry:
            self._drop(entry)

    def _drop(self, entry: Entry) -> None:
        del self._open[entry.resource][entry.ref]
        for writer in entry.writers:
            left = self._by_writer[writer]
            left.discard(entry)
            if not left:
                del self._by_writer[writer]
                self.released(writer)


def _later(one: str, other: str) -> str:
    """The later version; none for opaque ones: without an order there is no gate (RV-4)."""
    return newest(one, other) if is_valid(other) else ""


def _reached(entry: Entry, seen: Seen | None, store: Store) -> bool:
    try:
        if store.rv and at_least(store.rv, entry.version):
            return True
        if seen is None:
            # What the selector hides never arrives; but before the first load nothing is known (RYW-8).
            return bool(store.rv) and not store.covers(entry.ref, entry.labels)
        return at_least(seen.resource_version, entry.version)
    except MalformedVersion:
        return True
