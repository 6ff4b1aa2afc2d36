"""Keys to be looked at: each once however often it was added, by a few workers, failures again after a while."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from localcluster.alarms import Alarms
from localcluster.api import Refusal

__all__ = ["Worklist"]

K = TypeVar("K", bound=Hashable)

FIRST_RETRY, MOST_RETRY = 0.05, 30.0  # seconds, doubling


class Worklist(Generic[K]):
    """`look(key)` is the work; it answers when to look again, in seconds, or None.

    A key is never looked at twice at the same time: added meanwhile, it is looked at once more afterwards. A Refusal
    or a broken connection is tried again with a growing wait; any other exception is a bug and ends the run.
    """

    def __init__(self, look: Callable[[K], Awaitable[float | None]], *, workers: int = 4) -> None:
        self._look, self._workers = look, workers
        self._ready: deque[K] = deque()
        self._waiting: set[K] = set()
        self._busy: set[K] = set()
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._alarms: Alarms[K] = Alarms(self.add)
        self._wake = asyncio.Event()

    def add(self, key: K) -> None:
        """Look at the key soon."""
        if key in self._busy:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)
            self._wake.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Look at the key in a while; of two wishes the earlier wins."""
        self._alarms.advance(key, seconds)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._workers):
                    group.create_task(self._work())
        finally:
            self._alarms.close()

    async def _work(self) -> None:
        while True:
            while not self._ready:
                self._wake.clear()
                await self._wake.wait()
            key = self._ready.popleft()
            self._waiting.discard(key)
            self._busy.add(key)
            try:
                again = await self._tried(key)
            finally:
                self._busy.discard(key)
            if again is not None:
                self.add_after(key, again)
            if key in self._again:
                self._again.discard(key)
                self.add(key)

    async def _tried(self, key: K) -> float | None:
        try:
            again = await self._look(key)
        except (Refusal, OSError):
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
            return min(FIRST_RETRY * 2.0 ** min(failures, 20), MOST_RETRY)
        self._failures.pop(key, None)
        return again
