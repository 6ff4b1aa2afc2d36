"""The objects of one collection, their indexes, and how far they are up to date (spec runtime §3, §6).

All changes are synchronous: data first, indexes second, the store's version third, then the deltas go to whoever
listens. A listener that reads the store sees at least the state of the delta it is given (STO-2).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from api.meta import Ref, Resource
from controller.runtime.cache.record import StoredRecord
from controller.runtime.contained import contained
from controller.runtime.errors import RuntimeProblem
from controller.runtime.interfaces import IndexFunction
from controller.runtime.versions import MalformedVersion, at_least

__all__ = ["BY_CONTROLLER", "BY_NAMESPACE", "BY_OWNER", "Change", "Delta", "Kind", "Rewound", "Store", "by_label"]

BY_NAMESPACE = "namespace"
BY_OWNER = "owner_uid"
BY_CONTROLLER = "controller_uid"


class Rewound(RuntimeProblem):
    """A list is older than what we have: the server may lag, or its history was restored (STO-9)."""


class Kind(Enum):
    """What happened to an object, as a listener sees it."""

    ADDED = "added"
    UPDATED = "updated"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Delta:
    """One change. Added has no `old`, Deleted no `new`."""

    kind: Kind
    old: StoredRecord | None
    new: StoredRecord | None
    initial: bool = False  # from the first load, or told to a listener that came late
    same_version: bool = False
    final_state_unknown: bool = False  # it vanished in a gap: `old` is the last state that we know

    @property
    def record(self) -> StoredRecord:
        """The newest state."""
        record = self.new if self.new is not None else self.old
        assert record is not None
        return record


@dataclass(frozen=True, slots=True)
class Change:
    """One event of a watch, read: an object that is there now, or one that is gone."""

    record: StoredRecord
    deleted: bool = False


@dataclass(slots=True)
class _Index:
    name: str
    function: IndexFunction
    trusted: bool  # ours: it cannot fail
    sets: dict[Hashable, dict[Ref, StoredRecord]] = field(default_factory=dict)
    values: dict[Ref, tuple[Hashable, ...]] = field(default_factory=dict)

    def put(self, record: StoredRecord, values: tuple[Hashable, ...]) -> None:
        ref = record.ref
        before = self.values.get(ref, ())
        if before != values:
            for value in before:
                if value not in values:
                    self._take(value, ref)
            if values:
                self.values[ref] = values
            else:
                del self.values[ref]
        for value in values:
            self.sets.setdefault(value, {})[ref] = record

    def drop(self, ref: Ref) -> None:
        for value in self.values.pop(ref, ()):
            self._take(value, ref)

    def _take(self, value: Hashable, ref: Ref) -> None:
        found = self.sets[value]
        del found[ref]
        if not found:
            del self.sets[value]  # an empty set kept for ever is a leak (IDX-3)


class Store:
    """Readers may look at any time; one reflector changes it. `emit` gets the deltas of each change, in order."""

    def __init__(
        self,
        resource: Resource,
        *,
        indexes: Mapping[str, IndexFunction] | None = None,
        covers: Callable[[Ref, Mapping[str, str]], bool] = lambda ref, labels: True,
    ) -> None:
        self.resource = resource
        self.rv = ""
        self.epoch = 0
        self.dropped = 0  # events older than what we had (STO-6)
        self.body_bytes = 0
        self.emit: Callable[[Sequence[Delta]], None] = lambda deltas: None
        self._covers = covers
        self._records: dict[Ref, StoredRecord] = {}
        self._indexes: dict[str, _Index] = {}
        for name, function in (indexes or {}).items():
            self.add_index(name, function)

    # Reading

    def get(self, namespace: str, name: str) -> StoredRecord | None:
        """The record, or None."""
        return self._records.get(Ref(self.resource.kind, namespace, name))

    def seen(self, ref: Ref) -> StoredRecord | None:
        """The same, by Ref."""
        return self._records.get(ref)

    def covers(self, ref: Ref, labels: Mapping[str, str]) -> bool:
        """Would such an object come into this store?"""
        return ref in self._records or self._covers(ref, labels)

    def find(self, index: str, value: Hashable) -> Sequence[StoredRecord]:
        """A snapshot of what the index has under that value. Raises LookupError for an index nobody declared.

        The built-in ones are made when they are first asked for: each costs some 200 bytes an object.
        """
        if index not in self._indexes:
            if index not in _BUILT_IN:
                raise LookupError(f"{self.resource.plural} have no index {index!r}")
            self._add(_Index(index, _BUILT_IN[index], trusted=True))
        return list(self._indexes[index].sets.get(value, _NOTHING).values())

    def all(self) -> Sequence[StoredRecord]:
        """A snapshot of everything."""
        return list(self._records.values())

    def __len__(self) -> int:
        return len(self._records)

    # Indexes

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Declare an index; a filled store is indexed at once."""
        self._add(_Index(name, function, trusted=False))

    def _add(self, index: _Index) -> None:
        self._indexes[index.name] = index
        for record in self._records.values():
            index.put(record, self._values(index, record))

    def _values(self, index: _Index, record: StoredRecord) -> tuple[Hashable, ...]:
        if index.trusted:
            return tuple(index.function(record))
        with contained("index", index=index.name, object=record.ref):
            return tuple(index.function(record))
        return ()

    # Changing

    def apply(self, changes: Sequence[Change]) -> None:
        """Events in the order of the stream: the store has come as far as the last one."""
        deltas: list[Delta] = []
        for change in changes:
            self._apply_one(change, deltas)
        if changes:
            self._advance(changes[-1].record.resource_version)
        self.emit(deltas)

    def set_rv(self, rv: str) -> None:
        """A bookmark: everything up to that version is in."""
        self._advance(rv)
        self.emit(())

    def replace(self, records: Sequence[StoredRecord], rv: str, *, consistent: bool) -> None:
        """The whole collection as of a list (STO-4). Raises Rewound when that is older than what we have.

        A `consistent` list is believed even then: the server's history was restored, and a new epoch begins.
        """
        if self._is_older(rv):
            if not consistent:
                raise Rewound(f"the list of {self.resource.plural} is at {rv}, the cache at {self.rv}")
            self.epoch += 1
            self.rv = ""
        initial = self.rv == "" and self.epoch == 0
        listed = {record.ref: record for record in records}
        deltas: list[Delta] = []
        vanished = [ref for ref in self._records if ref not in listed]
        deltas += [Delta(Kind.DELETED, self._drop(ref), None, final_state_unknown=True) for ref in vanished]
        for record in listed.values():
            self._replace_one(record, deltas, initial=initial)
        self.rv = rv
        self.emit(deltas)

    def _apply_one(self, change: Change, deltas: list[Delta]) -> None:
        record = change.record
        old = self._records.get(record.ref)
        if old is not None and old.uid == record.uid and _older(record.resource_version, old.resource_version):
            self.dropped += 1
            return
        if change.deleted:
            if old is not None:
                self._drop(record.ref)
                deltas.append(Delta(Kind.DELETED, record if old.uid == record.uid else old, None))
            return
        if old is not None and old.resource_version == record.resource_version and old.uid == record.uid:
            return  # delivered twice: nothing changed
        self._put(record)
        deltas += _deltas_between(old, record, initial=False)

    def _replace_one(self, record: StoredRecord, deltas: list[Delta], *, initial: bool) -> None:
        old = self._records.get(record.ref)
        if old is not None and (old.uid, old.resource_version, old.body) == _identity(record):
            deltas.append(Delta(Kind.UPDATED, old, old, same_version=True))
            return
        self._put(record)
        deltas += _deltas_between(old, record, initial=initial)

    def _put(self, record: StoredRecord) -> None:
        old = self._records.get(record.ref)
        self.body_bytes += len(record.body) - (len(old.body) if old is not None else 0)
        self._records[record.ref] = record
        for index in self._indexes.values():
            index.put(record, self._values(index, record))

    def _drop(self, ref: Ref) -> StoredRecord:
        record = self._records.pop(ref)
        self.body_bytes -= len(record.body)
        for index in self._indexes.values():
            index.drop(ref)
        return record

    def _advance(self, rv: str) -> None:
        if rv and not self._is_older(rv):
            self.rv = rv

    def _is_older(self, rv: str) -> bool:
        return bool(self.rv) and _older(rv, self.rv)


_NOTHING: dict[Ref, StoredRecord] = {}

_BUILT_IN: Mapping[str, IndexFunction] = {
    BY_NAMESPACE: lambda record: (record.ref.namespace,),
    BY_OWNER: lambda record: tuple(owner["uid"] for owner in record.owners),
    BY_CONTROLLER: lambda record: tuple(one["uid"] for one in record.owners if one.get("controller")),
}


def by_label(key: str) -> IndexFunction:
    """An index function: objects by the value of one label."""

    def values(record: object, /) -> Sequence[Hashable]:
        labels: Mapping[str, str] = record.labels  # type: ignore[attr-defined]
        return (labels[key],) if key in labels else ()

    return values


def _identity(record: StoredRecord) -> tuple[str, str, bytes]:
    """Equal versions with unequal bodies exist only after a restored backup: then the body counts."""
    return record.uid, record.resource_version, record.body


def _deltas_between(old: StoredRecord | None, new: StoredRecord, *, initial: bool) -> list[Delta]:
    """An object that was recreated under its name was deleted, and another one added (STO-5)."""
    if old is None:
        return [Delta(Kind.ADDED, None, new, initial=initial)]
    if old.uid != new.uid:
        return [Delta(Kind.DELETED, old, None, final_state_unknown=True), Delta(Kind.ADDED, None, new, initial=initial)]
    return [Delta(Kind.UPDATED, old, new)]


def _older(rv: str, than: str) -> bool:
    try:
        return not at_least(rv, than)
    except MalformedVersion:
        return False  # opaque versions have no order: take what comes (RV-4)
