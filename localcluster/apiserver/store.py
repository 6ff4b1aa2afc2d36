"""Objects, one version counter, and what happened to them: the pure heart of the API server.

An object is kept as the JSON text it was encoded to once; beside it stands only what selectors, preconditions and
indexes need. Every collection keeps a window of its changes. From it come watches, and lists of the past: going
backwards through the changes since version V undoes them. What lies before the window is gone: `Expired`.

Nothing here decides what may be stored, and nothing here waits: a commit is one synchronous call.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

__all__ = ["Change", "ChangeType", "Collection", "Entry", "Expired", "Journal", "Snapshot", "Store", "key_of"]

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]

# Changes kept per collection. A page of 500 of 40,000 objects is read in milliseconds; ten thousand changes leave room
# for a slow client, and are some 30 MB of pods.
WINDOW: Final = 10_000
_AFTER_SLASH: Final = "0"  # the character after "/", the end of a namespace's range of keys


class Expired(Exception):
    """What happened at that version is no longer known."""

    def __init__(self, version: int, oldest: int) -> None:
        super().__init__(f"version {version} is older than the oldest kept, {oldest}")
        self.version, self.oldest = version, oldest


def key_of(namespace: str, name: str) -> str:
    """The key under which an object lies in its collection. Sorts as etcd's keys do (LIST-1)."""
    return f"{namespace}/{name}" if namespace else name


@dataclass(frozen=True, slots=True)
class Entry:
    """One object at one version, encoded. `labels` and `fields` are what selectors look at.

    `epoch` tells under which schema it was encoded: text of another epoch must be decoded and converted (CRD-5).
    """

    namespace: str
    name: str
    uid: str
    version: int
    raw: bytes
    labels: Mapping[str, str]
    fields: Mapping[str, str]
    epoch: int = 0

    @property
    def key(self) -> str:
        """Where it lies in its collection."""
        return key_of(self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class Change:
    """What one commit did. A DELETED one's entry is the last state, with the version of the deletion (WATCH-4).

    `lines` is room for watchers to keep the text they share.
    """

    version: int
    type: ChangeType
    entry: Entry
    previous: Entry | None
    lines: dict[object, bytes] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A collection at one version. Reading it later than the next commit is not allowed: it shares the live state."""

    version: int
    _keys: list[str]
    _entries: Mapping[str, Entry]
    _overlay: Mapping[str, Entry | None]

    def range(self, namespace: str = "", after: str = "") -> Iterator[Entry]:
        """Entries of a namespace ("": of all) in order of their keys, those after the key `after` only."""
        low, high = _bounds(self._keys, namespace)
        if after:
            low = max(low, bisect_right(self._keys, after))
        for index in range(low, high):
            key = self._keys[index]
            entry = self._overlay[key] if key in self._overlay else self._entries.get(key)
            if entry is not None:
                yield entry


def _bounds(keys: list[str], namespace: str) -> tuple[int, int]:
    if not namespace:
        return 0, len(keys)
    return bisect_left(keys, f"{namespace}/"), bisect_left(keys, namespace + _AFTER_SLASH)


class Collection:
    """The objects of one resource, and the window of their changes."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._entries: dict[str, Entry] = {}
        self._keys: list[str] = []
        self._history: list[Change] = []
        self._first = 0  # number of the oldest change kept; changes are numbered from 0 on
        self._floor = 0  # changes up to this version may be missing
        self.listeners: dict[int, Callable[[], None]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def next_number(self) -> int:
        """The number that the next change will have."""
        return self._first + len(self._history)

    def get(self, namespace: str, name: str) -> Entry | None:
        """The object, or None."""
        return self._entries.get(key_of(namespace, name))

    def number_after(self, version: int) -> int:
        """The number of the first change later than that version. Raises Expired."""
        if version < self._floor:
            raise Expired(version, self._floor)
        return self._first + bisect_right(self._history, version, key=lambda change: change.version)

    def changes(self, number: int) -> list[Change]:
        """The changes from that number on. Raises Expired if some of them have left the window."""
        if number < self._first:
            raise Expired(number, self._floor)
        return self._history[number - self._first :]

    def snapshot(self, version: int, current: int) -> Snapshot:
        """The collection as it was at that version. Raises Expired."""
        if version >= current:
            return Snapshot(current, self._keys, self._entries, {})
        overlay: dict[str, Entry | None] = {}
        for change in reversed(self.changes(self.number_after(version))):
            overlay[change.entry.key] = change.previous
        gone = [key for key in overlay if key not in self._entries]
        keys = sorted([*self._keys, *gone]) if gone else self._keys
        return Snapshot(version, keys, self._entries, overlay)

    def apply(self, change: Change) -> None:
        """Let the change be, and tell the listeners."""
        key = change.entry.key
        if change.type == "DELETED":
            del self._entries[key]
            del self._keys[bisect_left(self._keys, key)]
        else:
            if key not in self._entries:
                insort(self._keys, key)
            self._entries[key] = change.entry
        self._history.append(change)
        if len(self._history) > 2 * self._window:
            self._drop(len(self._history) - self._window)
        for listener in tuple(self.listeners.values()):
            listener()

    def compact(self, version: int) -> None:
        """Forget the changes up to that version, and let whoever needs them be `Expired`."""
        self._drop(bisect_right(self._history, version, key=lambda change: change.version))
        self._floor = max(self._floor, version)

    def _drop(self, count: int) -> None:
        if count:
            self._floor = max(self._floor, self._history[count - 1].version)
            self._first += count
            del self._history[:count]


# Called with every change before it is seen by anyone: where a store that outlives the process writes it down.
Journal: TypeAlias = Callable[[str, Change], None]


class Store:
    """All collections, and the one version that grows with every commit."""

    def __init__(self, *, window: int = WINDOW, journal: Journal | None = None) -> None:
        self.version = 1
        self._window = window
        self._journal = journal
        self._collections: dict[str, Collection] = {}

    def collection(self, name: str) -> Collection:
        """The collection of that name; it comes into being when first asked for."""
        found = self._collections.get(name)
        if found is None:
            found = self._collections[name] = Collection(self._window)
        return found

    def put(self, name: str, entry: Entry) -> Change:
        """Store a new or changed object. Its version must be the next one: `store.version + 1`."""
        previous = self.collection(name).get(entry.namespace, entry.name)
        return self._commit(name, Change(entry.version, "MODIFIED" if previous else "ADDED", entry, previous))

    def remove(self, name: str, entry: Entry) -> Change:
        """Remove an object; `entry` is its last state under the next version. Raises KeyError if there is none."""
        previous = self.collection(name).get(entry.namespace, entry.name)
        if previous is None:
            raise KeyError(entry.key)
        return self._commit(name, Change(entry.version, "DELETED", entry, previous))

    def snapshot(self, name: str, version: int | None = None) -> Snapshot:
        """A collection now, or as it was at a version. Raises Expired."""
        return self.collection(name).snapshot(self.version if version is None else version, self.version)

    def compact(self, version: int | None = None) -> None:
        """Forget what happened up to that version (now, if not given): older watches and lists expire."""
        for collection in self._collections.values():
            collection.compact(self.version if version is None else version)

    def _commit(self, name: str, change: Change) -> Change:
        assert change.version == self.version + 1, "a commit takes the next version, no other"
        if self._journal is not None:
            self._journal(name, change)
        self.version = change.version
        self._collections[name].apply(change)
        return change
