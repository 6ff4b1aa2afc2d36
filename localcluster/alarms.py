"""Many due times, one timer of the loop: what waits costs nothing until it rings."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Alarms"]

K = TypeVar("K", bound=Hashable)

SLACK = 1e-4  # seconds: a loop may call a timer this much too early


class Alarms(Generic[K]):
    """Each key rings once at its time, unless it is set anew or cleared before.

    `ring` is called from the loop, outside any task; it must not raise. Close it when the loop goes on without it.
    """

    def __init__(self, ring: Callable[[K], None]) -> None:
        self._ring = ring
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def set(self, key: K, delay_seconds: float) -> None:
        """Ring for the key after a while; an earlier wish of the same key is forgotten."""
        due = asyncio.get_running_loop().time() + max(0.0, delay_seconds)
        if self._due.get(key) == due:
            return
        self._due[key] = due
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, key))
        self._wind()

    def advance(self, key: K, delay_seconds: float) -> None:
        """Like set, but of two wishes the earlier wins."""
        due = self._due.get(key)
        if due is None or due > asyncio.get_running_loop().time() + delay_seconds:
            self.set(key, delay_seconds)

    def clear(self, key: K) -> None:
        """Do not ring for the key."""
        self._due.pop(key, None)

    def close(self) -> None:
        """Never ring again."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._due.clear()
        self._heap.clear()

    def _wind(self) -> None:
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if self._timer is not None:
            if self._heap and self._timer.when() == self._heap[0][0]:
                return
            self._timer.cancel()
            self._timer = None
        if self._heap:
            self._timer = asyncio.get_running_loop().call_at(self._heap[0][0], self._rung)

    def _rung(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time() + SLACK
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                self._ring(key)
        self._wind()
