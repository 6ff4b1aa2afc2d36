"""The real clock, for main; stories hand in one that follows the loop's virtual time (decision D9)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

__all__ = ["LoopClock", "SystemClock"]


class _LoopTime:
    """The time of the loop in which it was first asked.

    Kept, because to ask for the running loop costs a system call on some Pythons, and a queue asks four times a turn.
    """

    def __init__(self) -> None:
        self._time: Callable[[], float] | None = None

    def monotonic(self) -> float:
        """Seconds, for measuring intervals."""
        if self._time is None:
            self._time = asyncio.get_running_loop().time
        return self._time()


class SystemClock(_LoopTime):
    """The machine's clocks. Use one for each loop."""

    def now(self) -> datetime:
        """Wall clock, UTC."""
        return datetime.now(UTC)  # noqa: TID251 - this is the clock that is handed in


class LoopClock(_LoopTime):
    """A wall clock that starts at a moment and moves with the loop's time: whole days pass in a blink in tests."""

    def __init__(self, start: datetime) -> None:
        super().__init__()
        self._start = start
        self._loop_start: float | None = None

    def now(self) -> datetime:
        """Wall clock, UTC."""
        loop_now = self.monotonic()
        if self._loop_start is None:
            self._loop_start = loop_now
        return self._start + timedelta(seconds=loop_now - self._loop_start)
