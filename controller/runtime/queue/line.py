"""The states of the keys of a work queue, without a clock and without waiting (spec runtime §9.1). Pure.

Per key: absent, waiting (until a time, with a priority), ready, in work, in work and wanted again. Time is an argument
of every operation, in seconds; `workqueue.WorkQueue` puts a timer and waiting workers around it.

Ready keys stand in levels by priority. Inside a level they are grouped, by namespace say, and the groups are served in
turn, so that one namespace with ten thousand keys does not make all others wait. Every 16th turn goes to the key that
has been ready longest, if that is long: nothing starves (WQ-8).
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["LONGEST_DELAY_SECONDS", "LOW", "Line"]

K = TypeVar("K", bound=Hashable)

LOW = -100  # events of the first load: after a restart a user's change is handled first, not last (WQ-7)
LONGEST_DELAY_SECONDS = 24 * 3600.0  # WQ-10
AGING_TURN = 16
AGING_SECONDS = 30.0


@dataclass(slots=True)
class _Ready:
    priority: int
    since: float
    group: Hashable


@dataclass(slots=True)
class _Later:
    at: float
    priority: int


class Line(Generic[K]):
    """Keys and their states."""

    def __init__(self, group_of: Callable[[K], Hashable] = lambda key: None) -> None:
        self._group_of = group_of
        self._ready: OrderedDict[K, _Ready] = OrderedDict()  # in order of becoming ready
        self._levels: dict[int, OrderedDict[Hashable, OrderedDict[K, None]]] = {}
        self._by_priority: list[int] = []  # the levels that exist, highest first
        self._waiting: dict[K, _Later] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._pushes = 0
        self._work: dict[K, float] = {}  # since when
        self._again: dict[K, _Later] = {}
        self._turn = 0
        self.became_ready = 0  # how often a key became ready (WQ metrics: adds)

    def add(self, key: K, now: float, *, delay: float = 0.0, priority: int = 0) -> None:
        """Want the key at `now + delay`: of two wishes the earlier time and the higher priority hold."""
        at = now + min(delay, LONGEST_DELAY_SECONDS) if delay > 0 else now
        if key in self._work:
            self._again[key] = _earlier(self._again.get(key), at, priority)
        elif key in self._ready:
            self._raise(key, priority)
        elif at == now and key not in self._waiting:  # by far the most frequent
            self._make_ready(key, priority, now)
        else:
            wish = _earlier(self._waiting.pop(key, None), at, priority)
            if wish.at <= now:
                self._make_ready(key, wish.priority, now)
            else:
                self._wait(key, wish)

    def wake(self, now: float) -> int:
        """Make ready what is due; how many became so."""
        woken = 0
        while self._heap and self._heap[0][0] <= now:
            at, _, key = heapq.heappop(self._heap)
            wish = self._waiting.get(key)
            if wish is not None and wish.at == at:
                del self._waiting[key]
                self._make_ready(key, wish.priority, at)
                woken += 1
        return woken

    def next_due(self) -> float | None:
        """When the earliest waiting key becomes ready, or None."""
        while self._heap:
            at, _, key = self._heap[0]
            wish = self._waiting.get(key)
            if wish is not None and wish.at == at:
                return at
            heapq.heappop(self._heap)  # absorbed by an add since
        return None

    def take(self, now: float) -> tuple[K, int, float] | None:
        """The next key, its priority, and since when it was ready; it is in work from now. None: nothing is ready."""
        if not self._ready:
            return None
        self._turn += 1
        key = self._oldest_if_starving(now) if self._turn % AGING_TURN == 0 else None
        if key is None:
            key = self._next_of_best_level()
        entry = self._leave_ready(key)
        self._work[key] = now
        return key, entry.priority, entry.since

    def done(self, key: K, now: float) -> None:
        """Its work is over; wanted again meanwhile, it waits or is ready. Raises KeyError if it was not in work."""
        del self._work[key]
        wish = self._again.pop(key, None)
        if wish is not None:
            self.add(key, now, delay=wish.at - now, priority=wish.priority)

    def clear(self) -> None:
        """Drop what is ready or waits; what is in work stays."""
        self._ready.clear()
        self._levels.clear()
        self._by_priority.clear()
        self._waiting.clear()
        self._heap.clear()
        self._again.clear()

    # Looking

    @property
    def ready(self) -> Iterator[tuple[K, int]]:
        """Ready keys with their priorities, in order of becoming ready."""
        return iter([(key, entry.priority) for key, entry in self._ready.items()])

    @property
    def ready_count(self) -> int:
        return len(self._ready)

    @property
    def waiting_count(self) -> int:
        return len(self._waiting)

    @property
    def in_work(self) -> Mapping[K, float]:
        """Keys in work, and since when."""
        return self._work

    @property
    def oldest_ready(self) -> float | None:
        """Since when the key is ready that has been for longest."""
        return next((entry.since for entry in self._ready.values()), None)

    @property
    def residue(self) -> int:
        """Entries of all tables together: 0 when nothing is known of any key."""
        tables = (self._ready, self._levels, self._by_priority, self._waiting, self._heap, self._work, self._again)
        return sum(len(table) for table in tables)

    # Waiting

    def _wait(self, key: K, wish: _Later) -> None:
        self._waiting[key] = wish
        self._pushes += 1
        heapq.heappush(self._heap, (wish.at, self._pushes, key))
        if len(self._heap) > 64 and len(self._heap) > 2 * len(self._waiting):
            self._heap = [one for one in self._heap if self._is_current(one)]
            heapq.heapify(self._heap)

    def _is_current(self, entry: tuple[float, int, K]) -> bool:
        wish = self._waiting.get(entry[2])
        return wish is not None and wish.at == entry[0]

    # Ready

    def _make_ready(self, key: K, priority: int, since: float) -> None:
        group = self._group_of(key)
        self._ready[key] = _Ready(priority, since, group)
        self._join(key, priority, group)
        self.became_ready += 1

    def _raise(self, key: K, priority: int) -> None:
        entry = self._ready[key]
        if priority > entry.priority:
            self._part(key, entry)
            entry.priority = priority
            self._join(key, priority, entry.group)

    def _join(self, key: K, priority: int, group: Hashable) -> None:
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = OrderedDict()
            self._by_priority = sorted(self._levels, reverse=True)
        keys = level.get(group)
        if keys is None:
            keys = level[group] = OrderedDict()
        keys[key] = None

    def _part(self, key: K, entry: _Ready) -> None:
        level = self._levels[entry.priority]
        keys = level[entry.group]
        del keys[key]
        if not keys:
            del level[entry.group]
        if not level:
            del self._levels[entry.priority]
            self._by_priority.remove(entry.priority)

    def _next_of_best_level(self) -> K:
        level = self._levels[self._by_priority[0]]
        group, keys = next(iter(level.items()))
        key = next(iter(keys))
        level.move_to_end(group)  # its turn is over, even if more of it is ready
        return key

    def _oldest_if_starving(self, now: float) -> K | None:
        key, entry = next(iter(self._ready.items()))
        return key if now - entry.since > AGING_SECONDS else None

    def _leave_ready(self, key: K) -> _Ready:
        entry = self._ready.pop(key)
        self._part(key, entry)
        return entry


def _earlier(wish: _Later | None, at: float, priority: int) -> _Later:
    if wish is None:
        return _Later(at, priority)
    return _Later(min(wish.at, at), max(wish.priority, priority))
