"""Whom to tell (spec runtime §4): one informer per collection, any number of listeners, each in a task of its own.

A listener's buffer coalesces: while it is busy, what happens to one key becomes at most two entries, so its memory is
bounded by the number of objects, and a slow listener delays nobody but itself.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from api.meta import Ref, Resource
from controller.runtime.cache.record import FieldSet
from controller.runtime.cache.reflector import Reflector
from controller.runtime.cache.store import Delta, Kind, Store
from controller.runtime.client.rest import RestClient
from controller.runtime.contained import contained
from controller.runtime.interfaces import Clock, IndexFunction
from controller.runtime.metrics import Metrics
from controller.runtime.selectors import Selector, parse

__all__ = ["Informer", "Listener", "Watched", "merge"]

DELTAS_AT_ONCE = 256  # told to a listener before others may run


@dataclass(frozen=True, slots=True)
class Watched:
    """A collection to keep at hand. `optional`: it may not be served, or not allowed, and nobody waits for it.

    `labels` are label keys that become indexes (Reader.labelled); child kinds carry a `label_selector`, so that
    foreign objects are never transferred (MEM-6). `field_set`: what of each object is kept beside its metadata.
    """

    resource: Resource
    label_selector: str = ""
    metadata_only: bool = False
    optional: bool = False
    labels: tuple[str, ...] = ()
    indexes: Mapping[str, IndexFunction] = field(default_factory=dict)
    watch_list: bool = True
    field_set: type[FieldSet] | None = None


class Listener:
    """One registration. `run` tells `tell` every delta, one at a time, in the order of the store (INF-4)."""

    def __init__(self, name: str, tell: Callable[[Delta], None]) -> None:
        self.name = name
        self.synced = asyncio.Event()  # all deltas of the first load were told (INF-7)
        self._tell = tell
        self._buffer: deque[_Slot] = deque()
        self._last: dict[Ref, _Slot] = {}  # the newest entry of each key that waits
        self._news = asyncio.Event()
        self._removed = False
        self._load_pending = True

    @property
    def backlog(self) -> int:
        """Entries that wait to be told."""
        return len(self._last)

    def offer(self, deltas: Sequence[Delta], *, loaded: bool) -> None:
        """Keep these for the task; with `loaded` the first load is complete with them."""
        if self._removed:
            return
        for delta in deltas:
            self._put(delta)
        if loaded and self._load_pending:
            self._load_pending = False
            self._buffer.append(_Slot(None))  # when this comes out, all before it was told
        if self._buffer:
            self._news.set()

    def remove(self) -> None:
        """Nothing more is told, from now on; the task ends soon (INF-8)."""
        self._removed = True
        self._buffer.clear()
        self._last.clear()
        self._news.set()

    async def run(self) -> None:
        """Until removed. What `tell` raises is contained: the next delta follows."""
        while not self._removed:
            await self._news.wait()
            self._news.clear()
            while self._buffer:
                told = 0
                while self._buffer and told < DELTAS_AT_ONCE:  # what is told may remove us, and empty the buffer
                    self._tell_next()
                    told += 1
                await asyncio.sleep(0)

    def _tell_next(self) -> None:
        slot = self._buffer.popleft()
        delta = slot.delta
        if delta is None:
            if not slot.dropped:
                self.synced.set()
            return
        if self._last.get(delta.record.ref) is slot:
            del self._last[delta.record.ref]
        with contained("listener", listener=self.name, object=delta.record.ref):
            self._tell(delta)

    def _put(self, delta: Delta) -> None:
        ref = delta.record.ref
        waiting = self._last.get(ref)
        if waiting is not None and waiting.delta is not None:
            together = merge(waiting.delta, delta)
            if len(together) == 1:
                waiting.delta = together[0]
                return
            if not together:
                # It came and went unseen: its slot stays in the line and says nothing.
                waiting.delta, waiting.dropped = None, True
                del self._last[ref]
                return
        slot = self._last[ref] = _Slot(delta)
        self._buffer.append(slot)


@dataclass(slots=True, eq=False)
class _Slot:
    delta: Delta | None
    dropped: bool = False


def merge(first: Delta, then: Delta) -> tuple[Delta, ...]:
    """What two deltas of one key come to: none, one, or both (INF-5)."""
    initial = first.initial and then.initial
    match first.kind, then.kind:
        case Kind.ADDED, Kind.UPDATED:
            # An update that only repeats the version takes nothing away from being initial.
            return (Delta(Kind.ADDED, None, then.new, initial=first.initial and (initial or then.same_version)),)
        case Kind.UPDATED, Kind.UPDATED:
            same = first.same_version and then.same_version
            return (Delta(Kind.UPDATED, first.old, then.new, same_version=same),)
        case Kind.UPDATED, Kind.DELETED:
            return (then,)
        case Kind.ADDED, Kind.DELETED:
            return ()
        case _:
            return (first, then)


class Informer:
    """A store, the reflector that fills it, and those who listen."""

    def __init__(
        self,
        watched: Watched,
        client: RestClient,
        *,
        namespace: str | None,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        loads: asyncio.Semaphore,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.watched = watched
        self.namespace = namespace
        self._selector: Selector = parse(watched.label_selector)
        self._changed = changed
        self._listeners: list[Listener] = []
        self.store = Store(watched.resource, indexes=watched.indexes, covers=self._covers)
        self.store.emit = self._emit
        self.reflector = Reflector(
            client,
            self.store,
            namespace=namespace,
            label_selector=watched.label_selector,
            metadata_only=watched.metadata_only,
            clock=clock,
            rng=rng,
            metrics=metrics,
            loads=loads,
            watch_list=watched.watch_list,
            field_set=watched.field_set,
        )

    @property
    def loaded(self) -> bool:
        """The first load is in the store."""
        return self.reflector.loaded.is_set() or bool(self.store.rv)

    @property
    def listeners(self) -> int:
        """How many are told."""
        return len(self._listeners)

    def listen(self, name: str, tell: Callable[[Delta], None]) -> Listener:
        """Register; what the store has already comes first, as initial additions, with nothing lost between (INF-3).

        The caller runs the listener in a task of its own.
        """
        listener = Listener(name, tell)
        if self.loaded:
            listener.offer([Delta(Kind.ADDED, None, record, initial=True) for record in self.store.all()], loaded=True)
        self._listeners.append(listener)
        return listener

    def unlisten(self, listener: Listener) -> None:
        """End a registration; it may be called from within the listener."""
        listener.remove()
        self._listeners.remove(listener)

    def _emit(self, deltas: Sequence[Delta]) -> None:
        for listener in self._listeners:
            listener.offer(deltas, loaded=bool(self.store.rv))
        self._changed()

    def _covers(self, ref: Ref, labels: Mapping[str, str]) -> bool:
        return self.namespace in (None, ref.namespace) and self._selector.matches(labels)
