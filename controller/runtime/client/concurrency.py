"""How many writes may be on their way at once, as the server bears it (spec runtime CLI-19).

All of them while all is well. A server that says that it is too much (429) gets half as many; each round that went well
after that gives one back. So ten thousand reconciles after a restart find a server's limit and stay below it, instead
of knocking together again and again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

__all__ = ["Concurrency", "Turn"]

_log = structlog.get_logger("client")


@dataclass(frozen=True, slots=True)
class Turn:
    """One request that may leave now. What it learns counts for the limit under which it left, and for no later one."""

    limits: Concurrency
    round: int

    def refused(self) -> None:
        """The server said that it is too much."""
        self.limits._refused(self.round)

    def went_well(self) -> None:
        """The server did it, or refused it for a reason of its own."""
        self.limits._went_well(self.round)


class Concurrency:
    """Turns, first come first served. Waiting for one may be cancelled at any time."""

    def __init__(self, most: int) -> None:
        self.most = self.limit = most
        self._free = asyncio.Semaphore(most)
        self._owed = 0  # turns that are taken and will not be given back, since the limit was lowered meanwhile
        self._round = 0
        self._well = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """Wait for a turn; it lasts as long as the block."""
        await self._free.acquire()
        try:
            yield Turn(self, self._round)
        finally:
            self._give_back()

    def _refused(self, round_: int) -> None:
        """Half as many: once for all that left before, since they all met the same moment."""
        if round_ != self._round:
            return
        lower = max(1, self.limit // 2)
        self._owed += self.limit - lower
        self.limit, self._well = lower, 0
        self._round += 1
        _log.info("the API server asks for fewer writes at once", limit=lower)

    def _went_well(self, round_: int) -> None:
        if self.limit == self.most or round_ != self._round:
            return
        self._well += 1
        if self._well >= self.limit:
            self._well = 0
            self.limit += 1
            self._give_back()

    def _give_back(self) -> None:
        if self._owed:
            self._owed -= 1
        else:
            self._free.release()
