"""How `manta` ends early: Ctrl-C, SIGTERM and a closed terminal all mean "clean up, then go"."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, Final

__all__ = ["Stopped", "heeding_signals"]

HEEDED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """A signal asked for the end, and everything has been cleaned up."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """As a shell reports it: 130 for Ctrl-C."""
        return 128 + self.number


def heeding_signals(main: Coroutine[Any, Any, int]) -> int:
    """Run it. The first signal cancels it, and its blocks clean up; later ones change nothing. Raises Stopped."""
    return asyncio.run(_heeding(main))


async def _heeding(main: Coroutine[Any, Any, int]) -> int:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    told: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        if not told:  # a second cancellation would cut the cleaning short
            task.cancel()
        told.append(number)

    for number in HEEDED:
        loop.add_signal_handler(number, stop, number)
    try:
        return await main
    except asyncio.CancelledError:
        if not told:
            raise
        raise Stopped(told[0]) from None
