"""The real clock and time zone, for main; stories bring a clock that follows the loop's virtual time (decision D9)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

__all__ = ["LoopClock", "SystemClock", "local_zone"]

LOCALTIME: Final = Path("/etc/localtime")


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

    def jump(self, by: timedelta) -> None:
        """The wall clock is set, forward or back; intervals are measured as before."""
        self._start += by


def local_zone(environment: Mapping[str, str], localtime: Path = LOCALTIME) -> tzinfo:
    """The time zone of this process: what TZ names, else the machine's; UTC where neither says one that is known.

    An empty TZ is UTC, a colon before the name means nothing, and a path is a zone's file: as the C library has it.
    """
    name = environment.get("TZ")
    try:
        if name is None:
            return _zone_in(localtime)
        name = name.removeprefix(":")
        if name.startswith("/"):
            return _zone_in(Path(name))
        return ZoneInfo(name) if name not in ("", "UTC") else UTC
    except (OSError, LookupError, ValueError):
        return UTC


def _zone_in(file: Path) -> tzinfo:
    """A link into the zone database stands for the zone of that name, and is known by it."""
    _, inside, name = str(file.resolve()).partition("/zoneinfo/")
    if name in ("UTC", "Etc/UTC"):
        return UTC
    with file.open("rb") as content:
        return ZoneInfo.from_file(content, key=name if inside else None)
