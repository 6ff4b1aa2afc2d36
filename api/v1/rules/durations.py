"""Go's durations, as annotations hold them: `30s`, `1h30m`, `1.5h`, `-5m`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

__all__ = ["go_duration"]

_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_WHOLE: Final = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)  # asked first: looking for parts in digits is cubic
_NANOSECONDS: Final = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9}
_HOUR: Final = 3600 * 10**9
_LARGEST: Final = 2**63 - 1  # nanoseconds: what Go can hold


def go_duration(text: str) -> timedelta | None:
    """The duration, to the microsecond; None where the text is none. "0" is one without a unit."""
    sign, body = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if body == "0":
        return timedelta(0)
    if not _WHOLE.fullmatch(body):
        return None
    total = sum(float(part[1]) * _NANOSECONDS.get(part[2], _HOUR) for part in _PART.finditer(body))
    return timedelta(microseconds=sign * total / 1000) if total <= _LARGEST else None
