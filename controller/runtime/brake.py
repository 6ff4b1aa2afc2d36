"""How often the passes over one key may write (spec runtime CTL-13). Pure: time is an argument, in seconds.

Who writes something that is at once undone would do so for ever, as fast as the server answers: a Service of an object
that is gone, and whose end the cache has not heard; a label that another controller wants otherwise. No pass of these
fails, so no back-off slows them. A key may write in BURST passes as fast as it likes, and then in one each PERIOD; a
change of its spec begins anew.
"""

from __future__ import annotations

from collections import OrderedDict

from api.meta import Ref

__all__ = ["BURST", "PERIOD_SECONDS", "Brake"]

BURST = 30  # a life from its creation to its end takes some ten
PERIOD_SECONDS = 1.0


class Brake:
    """What the keys of one controller have used up; a key that has written nothing for a while costs nothing."""

    def __init__(self) -> None:
        self._used: OrderedDict[Ref, tuple[float, float]] = OrderedDict()  # passes, and when; the last one at the end
        self._held: set[Ref] = set()

    def wrote(self, key: Ref, now: float) -> bool:
        """A pass over the key has written. Is it the one with which the brake takes hold, after a rest or at first?"""
        before = self._left(key, now)
        if not before:
            self._held.discard(key)
        self._used[key] = (before + 1, now)
        self._used.move_to_end(key)
        self._forget(now)
        if before + 1 <= BURST or key in self._held:
            return False
        self._held.add(key)
        return True

    def release(self, key: Ref) -> None:
        """Its user asks for something else: what was written counts no more."""
        self._used.pop(key, None)
        self._held.discard(key)

    def seconds(self, key: Ref, now: float) -> float:
        """How long its next pass has to wait; 0 for not at all."""
        return max(0.0, self._left(key, now) - BURST) * PERIOD_SECONDS

    def _left(self, key: Ref, now: float) -> float:
        """The passes that count still."""
        used, at = self._used.get(key, (0.0, now))
        return max(0.0, used - (now - at) / PERIOD_SECONDS)

    def _forget(self, now: float) -> None:
        """Those for which nothing counts any more: the oldest, at most two a time."""
        for _ in range(2):
            key = next(iter(self._used))
            if self._left(key, now) > 0:
                return
            del self._used[key]
            self._held.discard(key)
