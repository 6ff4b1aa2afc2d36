"""The work queue of a controller (spec runtime §9; style.md §2): keys that wait to be reconciled.

`line.Line` holds the states; here are the timer, the workers that wait, the back-off and the figures.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, NamedTuple, TypeVar

from controller.runtime.interfaces import Clock
from controller.runtime.metrics import Metrics, QueueReading
from controller.runtime.queue.backoff import Backoff
from controller.runtime.queue.line import LOW, Line

__all__ = ["LOW", "Held", "QueueStatistics", "ShutDown", "WorkQueue"]

K = TypeVar("K", bound=Hashable)
ZERO = timedelta(0)


class ShutDown(Exception):
    """The queue hands out no more keys."""


class Held(NamedTuple, Generic[K]):
    """A key in work."""

    key: K
    priority: int
    ready_for: float  # seconds that it stood ready


@dataclass(frozen=True, slots=True)
class QueueStatistics(Generic[K]):
    """What the queue holds at one moment (WQ-13)."""

    ready: int
    waiting: int
    in_work: int
    ready_by_priority: Mapping[int, int]
    oldest_ready_seconds: float
    longest_running: Sequence[tuple[K, float]]  # the ten longest, with their seconds
    ignored_adds: int  # after the shut-down


class WorkQueue(Generic[K]):
    """Keys waiting to be reconciled, oldest first, fair between groups.

    A waiting key is kept once, however often it is added. A key held by one worker is never handed to another; added
    meanwhile, it waits again as soon as that block ends. There is no limit to retries. Use it from one loop only.
    """

    def __init__(
        self,
        name: str,
        *,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        group_of: Callable[[K], Hashable] = lambda key: None,
    ) -> None:
        self.name = name
        self._clock = clock
        self._line: Line[K] = Line(group_of)
        self._backoff: Backoff[K] = Backoff(rng)
        self._idle: deque[asyncio.Future[None]] = deque()  # workers that wait for a key
        self._emptied: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._shut_down = False
        self._ignored = 0
        self._adds = metrics.queue_adds.labels(name, name)
        self._retries = metrics.queue_retries.labels(name, name)
        self._queue_seconds = metrics.queue_duration.labels(name, name)
        self._work_seconds = metrics.work_duration.labels(name, name)
        metrics.queues.queues[name] = self

    # Adding

    def add(self, key: K, *, after: timedelta = ZERO, priority: int = 0) -> None:
        """Want the key, now or after a while: of two wishes the earlier wins. Ignored once the queue is shut down."""
        if self._shut_down:
            self._ignored += 1
            return
        delay = after.total_seconds() if after else 0.0
        before = self._line.became_ready
        self._line.add(key, self._clock.monotonic(), delay=delay, priority=priority)
        self._woke(before)
        if delay > 0:
            self._arm()

    def retry(self, key: K, *, hint: timedelta | None = None, priority: int = 0) -> timedelta:
        """Add the key after its own growing back-off; says how long. A `hint` of the server's counts no failure."""
        delay = self._backoff.next(key) if hint is None else self._backoff.hinted(key, hint)
        self._retries.inc()
        self.add(key, after=delay, priority=priority)
        return delay

    def forget(self, key: K) -> None:
        """Its work went well: reset its back-off."""
        self._backoff.forget(key)

    def failures(self, key: K) -> int:
        """How many times in a row the key was retried."""
        return self._backoff.failures(key)

    # Taking

    def hold(self) -> AbstractAsyncContextManager[Held[K]]:
        """Wait for a key; it is in work while the block is open. Cancelled meanwhile, it took nothing.

        Raises ShutDown.
        """
        return _Hold(self)

    def _take(self) -> tuple[Held[K], float] | None:
        """The next key, if one is ready, and when its work began: now."""
        if self._shut_down:
            raise ShutDown
        now = self._clock.monotonic()
        taken = self._line.take(now)
        if taken is None:
            return None
        key, priority, since = taken
        self._queue_seconds.observe(now - since)
        return Held(key, priority, now - since), now

    async def _until_ready(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._idle.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future in self._idle:
                self._idle.remove(future)
            elif self._line.ready_count:
                self._wake_one()  # it was our turn: somebody else's now, or the key would lie there
            raise

    def _finish(self, key: K, started: float) -> None:
        now = self._clock.monotonic()
        self._work_seconds.observe(now - started)
        before = self._line.became_ready
        self._line.done(key, now)
        self._woke(before)
        if self._line.waiting_count:
            self._arm()
        if not self._line.in_work:
            for future in self._emptied:
                if not future.done():
                    future.set_result(None)
            self._emptied.clear()

    # The timer

    def _arm(self) -> None:
        """One timer, for the earliest key that waits (WQ-10)."""
        due = self._line.next_due()
        if due is None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            return
        if self._timer is None or self._timer.when() > due or self._timer.cancelled():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_at(due, self._ring, due)

    def _ring(self, due: float) -> None:
        self._timer = None
        before = self._line.became_ready
        # A loop may call a little early, by its clock's resolution: what it was called for is due all the same.
        self._line.wake(max(due, self._clock.monotonic()))
        self._woke(before)
        self._arm()

    def _woke(self, before: int) -> None:
        """As many workers as keys became ready since."""
        fresh = self._line.became_ready - before
        if fresh:
            self._adds.inc(fresh)
            for _ in range(fresh):
                self._wake_one()

    def _wake_one(self) -> None:
        while self._idle:
            future = self._idle.popleft()
            if not future.done():
                future.set_result(None)
                return

    # The end

    def shut_down(self) -> None:
        """Hand out nothing more, at once: what is ready or waits is dropped, and later adds are ignored (WQ-11)."""
        self._shut_down = True
        self._line.clear()
        self._arm()
        while self._idle:
            self._wake_one()

    async def drain(self, within: timedelta) -> Sequence[K]:
        """Shut down, then wait until no key is in work or the time is over; the keys that still are."""
        self.shut_down()
        if self._line.in_work:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._emptied.append(future)
            try:
                async with asyncio.timeout(within.total_seconds()):
                    await future
            except TimeoutError:
                return list(self._line.in_work)
        return ()

    # Looking

    def statistics(self) -> QueueStatistics[K]:
        """A picture for tests and diagnosis."""
        now = self._clock.monotonic()
        oldest = self._line.oldest_ready
        running = sorted(((key, now - since) for key, since in self._line.in_work.items()), key=lambda one: -one[1])
        return QueueStatistics(
            ready=self._line.ready_count,
            waiting=self._line.waiting_count,
            in_work=len(self._line.in_work),
            ready_by_priority=self._ready_by_priority(),
            oldest_ready_seconds=0.0 if oldest is None else now - oldest,
            longest_running=running[:10],
            ignored_adds=self._ignored,
        )

    def reading(self) -> QueueReading:
        """The gauges, when somebody scrapes."""
        now = self._clock.monotonic()
        running = [now - since for since in self._line.in_work.values()]
        return QueueReading(self._ready_by_priority(), sum(running), max(running, default=0.0))

    def _ready_by_priority(self) -> Mapping[int, int]:
        counts: dict[int, int] = {}
        for _, priority in self._line.ready:
            counts[priority] = counts.get(priority, 0) + 1
        return counts


class _Hold(Generic[K]):
    """The block of WorkQueue.hold; a class, because a generator would cost as much as the queue itself."""

    __slots__ = ("_held", "_queue", "_started")

    def __init__(self, queue: WorkQueue[K]) -> None:
        self._queue = queue

    async def __aenter__(self) -> Held[K]:
        queue = self._queue
        while (taken := queue._take()) is None:
            await queue._until_ready()
        self._held, self._started = taken
        return self._held

    async def __aexit__(self, *_: object) -> None:
        self._queue._finish(self._held.key, self._started)
