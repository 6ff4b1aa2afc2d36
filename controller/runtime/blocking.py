"""Tells who holds the event loop (spec runtime CTL-8): one task that computes for long makes all others wait.

A thread asks the loop for a sign of life now and then. When none comes for a while, it looks at what the loop's thread
is doing just then, and logs the stack and the task, whose name says which key of which controller it works on.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import structlog

from controller.runtime.metrics import Metrics

__all__ = ["blocking_told"]

EVERY_SECONDS = 1.0  # a sample: to wake an idle process more often would cost more than it tells
HELD_SECONDS = 0.1  # the budget of spec runtime §22 is a fifth of it

_log = structlog.get_logger("loop")


@contextmanager
def blocking_told(metrics: Metrics, *, every: float = EVERY_SECONDS, held: float = HELD_SECONDS) -> Iterator[None]:
    """While the block is open, a task that holds the running loop for longer than `held` seconds is logged and counted.

    By samples, every so many seconds. Enter and leave it in the loop's thread; not in virtual time, where a loop's
    seconds are not the thread's.
    """
    watch = _Watch(asyncio.get_running_loop(), metrics, every, held)
    thread = threading.Thread(target=watch.run, name="loop watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        watch.over.set()
        thread.join()


class _Watch:
    """What the thread does."""

    def __init__(self, loop: asyncio.AbstractEventLoop, metrics: Metrics, every: float, held: float) -> None:
        self.over = threading.Event()
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._blocked = metrics.loop_blocked
        self._every, self._held = every, held

    def run(self) -> None:
        """Sample until it is over."""
        while not self.over.wait(self._every):
            alive = threading.Event()
            try:
                self._loop.call_soon_threadsafe(alive.set)
            except RuntimeError:
                return  # the loop was closed: nothing is left to be watched
            if not alive.wait(self._held):
                if self.over.is_set():
                    return  # the loop's thread waits for us to end: that is all that holds it
                self._tell()
                while not alive.wait(self._every):  # one report for each time that it is held
                    if self.over.is_set():
                        return

    def _tell(self) -> None:
        frame = sys._current_frames().get(self._loop_thread)
        task = asyncio.current_task(self._loop)
        if frame is None or task is None:
            return  # between two tasks: the machine is busy, not the loop
        self._blocked.inc()
        _log.warning(
            "the event loop is held up", task=task.get_name(), longer_than_seconds=self._held, stack=_stack(frame)
        )


def _stack(frame: FrameType) -> str:
    """Innermost last, as Python prints them, without the loop's own frames."""
    frames = traceback.extract_stack(frame)
    inside = [one for one in frames if "/asyncio/" not in one.filename]
    return "".join(traceback.format_list(inside))
