"""Python's cycle collector, kept out of the way (spec runtime MEM-7).

A full collection looks at every container there is: some 30 ms in an operator that has loaded nothing yet, and all
stand still meanwhile. What start-up made stays for ever, and so do most objects of the caches; they are moved out of
the collector's sight once the caches have loaded. They still go when nobody refers to them any more: only a ring of
frozen objects would stay, and the caches hold none.

Nor does it look at the young ones every 700, as it does where nobody asked: the answer to one write is some hundred,
and all of them go by themselves. That took a twelfth of the processor's time while RayClusters came up.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from controller.runtime.interfaces import Clock
from controller.runtime.metrics import Metrics

__all__ = ["calm_collector"]

LOADING_THRESHOLD = 50_000  # new objects until the collector looks at them
WORKING_THRESHOLD = 10_000  # ... afterwards
WORTH_COUNTING_SECONDS = 0.010


@contextmanager
def calm_collector(metrics: Metrics, clock: Clock) -> Iterator[Callable[[], None]]:
    """While the block is open, long pauses are counted, and the collector looks rarely until what it yields is called.

    Call that once everything is loaded: one collection, and all survivors are out of the collector's sight. It
    concerns the whole process; left, the block puts everything back.
    """
    before = gc.get_threshold()
    pauses = _Pauses(metrics, clock)
    gc.callbacks.append(pauses)
    gc.set_threshold(LOADING_THRESHOLD, *before[1:])

    def loaded() -> None:
        gc.collect()
        gc.freeze()
        gc.set_threshold(WORKING_THRESHOLD, *before[1:])

    try:
        yield loaded
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
        gc.callbacks.remove(pauses)


class _Pauses:
    """Told by the collector, in whatever thread it runs; two never run at a time."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._clock = clock
        self._began = 0.0
        self._seconds = [metrics.gc_pauses.labels(str(generation)) for generation in range(3)]

    def __call__(self, phase: str, info: dict[str, Any]) -> None:
        now = self._clock.monotonic()
        if phase == "start":
            self._began = now
        elif now - self._began > WORTH_COUNTING_SECONDS:
            self._seconds[info["generation"]].observe(now - self._began)
