"""How long a failing key waits."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.queue.backoff import Backoff


@pytest.mark.spec("runtime:RL-1", "runtime:RL-4")
@given(st.integers(0, 2**32), st.integers(1, 200))
def test_each_failure_doubles_the_wait_up_to_a_thousand_seconds_within_ten_percent(seed: int, failures: int) -> None:
    """No overflow, however often it fails."""
    backoff: Backoff[str] = Backoff(random.Random(seed))

    waits = [backoff.next("k").total_seconds() for _ in range(failures)]

    for n, wait in enumerate(waits):
        exact = min(0.005 * 2.0 ** min(n, 60), 1000.0)
        assert exact * 0.9 - 1e-6 <= wait <= exact * 1.1 + 1e-6


@pytest.mark.spec("runtime:RL-6")
def test_a_key_whose_work_went_well_starts_anew_and_leaves_nothing_behind() -> None:
    """And keys do not know of each other."""
    backoff: Backoff[str] = Backoff(random.Random(1))
    for _ in range(10):
        backoff.next("a")
    backoff.next("b")

    backoff.forget("a")
    backoff.forget("b")

    assert len(backoff) == 0
    assert backoff.next("a") < timedelta(milliseconds=6)


@pytest.mark.spec("runtime:RL-5")
def test_a_servers_wish_is_obeyed_and_is_no_failure() -> None:
    """The longer of the two waits holds."""
    backoff: Backoff[str] = Backoff(random.Random(1))

    assert timedelta(seconds=7) <= backoff.hinted("a", timedelta(seconds=7)) <= timedelta(seconds=7.7)
    assert backoff.failures("a") == 0
    for _ in range(20):
        backoff.next("a")
    assert backoff.hinted("a", timedelta(seconds=7)) >= timedelta(seconds=1000)
    assert backoff.failures("a") == 20
