"""How often the passes over one key may write."""

from __future__ import annotations

import pytest

from api.meta import Ref
from controller.runtime.brake import BURST, PERIOD_SECONDS, Brake

pytestmark = pytest.mark.spec("runtime:CTL-13")

A, B = Ref("Pod", "ns", "a"), Ref("Pod", "ns", "b")


def test_a_life_is_not_slowed_and_what_goes_on_for_ever_is() -> None:
    """Each key by itself."""
    brake = Brake()

    taken = [brake.wrote(A, 0.0) for _ in range(BURST)]
    free = brake.seconds(A, 0.0)
    took_hold = brake.wrote(A, 0.0)

    assert (any(taken), free, took_hold) == (False, 0.0, True)
    assert brake.seconds(A, 0.0) == PERIOD_SECONDS
    assert brake.seconds(A, 0.4) == pytest.approx(0.6 * PERIOD_SECONDS)
    assert brake.seconds(A, PERIOD_SECONDS) == 0.0
    assert brake.seconds(B, 0.0) == 0.0


def test_who_was_braked_may_write_once_a_period_and_that_is_told_once() -> None:
    brake, now = Brake(), 0.0
    for _ in range(BURST + 1):
        brake.wrote(A, now)

    told = []
    for _ in range(10):
        now += brake.seconds(A, now)
        told.append(brake.wrote(A, now))

    assert now == pytest.approx(10 * PERIOD_SECONDS)
    assert not any(told)


def test_a_change_of_the_spec_lets_go() -> None:
    """A user who scales every moment is no quarrel."""
    brake = Brake()
    told = [brake.wrote(A, 0.0) for _ in range(2 * BURST)]

    brake.release(A)
    brake.release(B)  # never heard of

    assert sum(told) == 1
    assert brake.seconds(A, 0.0) == 0.0
    assert [brake.wrote(A, 0.0) for _ in range(BURST + 1)] == [False] * BURST + [True]


def test_after_a_rest_all_is_as_before_and_nothing_is_kept() -> None:
    brake = Brake()
    for _ in range(3 * BURST):
        brake.wrote(A, 0.0)

    brake.wrote(B, 3 * BURST * PERIOD_SECONDS)

    assert brake.seconds(A, 3 * BURST * PERIOD_SECONDS) == 0.0
    assert (list(brake._used), brake._held) == ([B], set())
