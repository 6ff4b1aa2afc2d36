"""How long a failing key waits (spec runtime RL-1, RL-4..RL-6). Pure but for the random source that is handed in."""

from __future__ import annotations

import random
from collections.abc import Hashable
from datetime import timedelta
from typing import Generic, TypeVar

__all__ = ["Backoff"]

K = TypeVar("K", bound=Hashable)

BASE = timedelta(milliseconds=5)
CAP = timedelta(seconds=1000)
JITTER = 0.1  # thousands of keys that fail by one cause must not come back in one instant
_LARGEST_EXPONENT = 40  # far beyond the cap, far below an overflow


class Backoff(Generic[K]):
    """Exponential per key: 5 ms, doubled with each failure up to 1,000 s, times 0.9 to 1.1."""

    def __init__(self, rng: random.Random, *, base: timedelta = BASE, cap: timedelta = CAP) -> None:
        self._rng = rng
        self._base = base.total_seconds()
        self._cap = cap.total_seconds()
        self._failures: dict[K, int] = {}

    def next(self, key: K) -> timedelta:
        """The key failed once more: how long it waits now."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        seconds = min(self._base * 2 ** min(failures, _LARGEST_EXPONENT), self._cap)
        return timedelta(seconds=seconds * self._rng.uniform(1 - JITTER, 1 + JITTER))

    def hinted(self, key: K, hint: timedelta) -> timedelta:
        """The server said how long: the longer of that and what it waits anyway; no further failure (RL-5)."""
        failures = self._failures.get(key, 0)
        now = self._base * 2 ** min(max(failures - 1, 0), _LARGEST_EXPONENT) if failures else 0.0
        seconds = max(min(now, self._cap), hint.total_seconds())
        return timedelta(seconds=seconds * self._rng.uniform(1, 1 + JITTER))

    def failures(self, key: K) -> int:
        """How many in a row."""
        return self._failures.get(key, 0)

    def forget(self, key: K) -> None:
        """Its work went well."""
        self._failures.pop(key, None)

    def __len__(self) -> int:
        return len(self._failures)
