"""The real clock, for main; stories hand in one that follows the loop's virtual time (decision D9)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

__all__ = ["LoopClock", "SystemClock"]


class SystemClock:
    """The machine's clocks. `monotonic` is the running loop's."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 - this is the clock that is handed in

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class LoopClock:
    """A wall clock that starts at a moment and moves with the loop's time: whole days pass in a blink in tests."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._loop_start: float | None = None

    def now(self) -> datetime:
        loop_now = self.monotonic()
        if self._loop_start is None:
            self._loop_start = loop_now
        return self._start + timedelta(seconds=loop_now - self._loop_start)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()
