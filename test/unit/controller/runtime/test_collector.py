"""The collector looks rarely while everything loads, and never again at what loaded."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from controller.runtime.collector import LOADING_THRESHOLD, WORKING_THRESHOLD, calm_collector
from controller.runtime.metrics import Metrics


class Ticking:
    """A clock that moves on by `step` with each look at it."""

    def __init__(self, step: float = 0.0) -> None:
        self.step, self.time = step, 0.0

    def monotonic(self) -> float:
        self.time += self.step
        return self.time

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)


@pytest.fixture(autouse=True)
def _nothing_stays_frozen() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def pauses(metrics: Metrics, generation: str) -> float:
    value = metrics.registry.get_sample_value("gc_pause_seconds_count", {"generation": generation})
    assert value is not None
    return value


@pytest.mark.spec("runtime:MEM-7")
def test_what_has_loaded_is_out_of_the_collectors_sight() -> None:
    """The young generation is looked at very rarely while it loads, and rarely afterwards."""
    usual = gc.get_threshold()
    with calm_collector(Metrics(), Ticking()) as loaded:
        assert gc.get_threshold() == (LOADING_THRESHOLD, *usual[1:])
        kept = [[n] for n in range(1000)]

        loaded()

        assert gc.get_threshold() == (WORKING_THRESHOLD, *usual[1:])
        seen = {id(one) for one in gc.get_objects()}
        assert not any(id(one) in seen for one in kept)


@pytest.mark.spec("runtime:MEM-7")
def test_a_long_pause_is_counted_under_its_generation_and_a_short_one_is_not() -> None:
    """10 ms is the line."""
    metrics, clock = Metrics(), Ticking(0.009)
    with calm_collector(metrics, clock):
        gc.collect(2)
        assert pauses(metrics, "2") == 0

        clock.step = 0.011
        gc.collect(1)
        gc.collect(2)

    assert (pauses(metrics, "0"), pauses(metrics, "1"), pauses(metrics, "2")) == (0, 1, 1)


def test_a_start_that_fails_leaves_the_collector_as_it_was() -> None:
    """Nothing had loaded yet; the fixture looks."""
    with pytest.raises(RuntimeError, match="no API server"), calm_collector(Metrics(), Ticking()):
        raise RuntimeError("no API server")
