"""How old something is, in a few characters, as tables show it: 119s, 2m5s, 4h3m, 12d (spec kube-api TAB-1)."""

from __future__ import annotations

from datetime import datetime, timedelta

__all__ = ["UNKNOWN", "age", "short_duration"]

UNKNOWN = "<unknown>"
MINUTE, HOUR, DAY, YEAR = 60, 3600, 86_400, 365 * 86_400


def age(stamp: object, now: datetime) -> str:
    """The age of a time stamp as objects carry it; `<unknown>` for none."""
    if not isinstance(stamp, str) or not stamp:
        return UNKNOWN
    try:
        return short_duration(now - datetime.fromisoformat(stamp))
    except (ValueError, TypeError):
        return "<invalid>"


def short_duration(passed: timedelta) -> str:
    """Two units at most, and only as long as the smaller one tells something."""
    seconds = int(passed.total_seconds())
    if seconds < -1:
        return "<invalid>"
    seconds = max(seconds, 0)
    if seconds < 2 * MINUTE:
        return f"{seconds}s"
    if seconds < 3 * HOUR:
        return _two(seconds, MINUTE, "m", 1, "s", 10 * MINUTE)
    if seconds < 2 * DAY:
        return _two(seconds, HOUR, "h", MINUTE, "m", 8 * HOUR)
    if seconds < 2 * YEAR:
        return _two(seconds, DAY, "d", HOUR, "h", 8 * DAY)
    return _two(seconds, YEAR, "y", DAY, "d", 8 * YEAR)


def _two(seconds: int, big: int, big_name: str, small: int, small_name: str, both_below: int) -> str:
    whole, rest = divmod(seconds, big)
    rest //= small
    return f"{whole}{big_name}{rest}{small_name}" if rest and seconds < both_below else f"{whole}{big_name}"
