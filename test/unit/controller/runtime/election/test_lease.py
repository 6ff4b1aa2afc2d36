"""What follows from a Lease as it was seen: it is free, it is ours, or we wait. No clock is asked."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from controller.runtime.election.lease import Taken, Timing, View, judge, lease_body, released

WALL = datetime(2026, 11, 24, 12, 0, 0, 5, tzinfo=UTC)
LATER = datetime(2031, 1, 1, tzinfo=UTC)
TIMING = Timing()


def a_lease(holder: str, **spec: Any) -> dict[str, Any]:
    made = lease_body("ns", "lease", holder, TIMING, WALL)
    made["metadata"] |= {"resourceVersion": "7", "labels": {"of": "somebody"}}
    made["spec"] |= spec
    return made


def judged(view: View, now: float, identity: str = "me") -> Any:
    return judge(view, TIMING, namespace="ns", name="lease", identity=identity, now=now, wall=LATER)


@pytest.mark.spec("runtime:LE-3")
def test_where_no_lease_is_one_is_made() -> None:
    assert judged(View(), 0.0) == {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"namespace": "ns", "name": "lease"},
        "spec": {
            "holderIdentity": "me",
            "leaseDurationSeconds": 15,
            "acquireTime": "2031-01-01T00:00:00.000000Z",
            "renewTime": "2031-01-01T00:00:00.000000Z",
            "leaseTransitions": 0,
        },
    }


@pytest.mark.spec("runtime:LE-4")
def test_a_foreign_lease_is_respected_for_its_duration_since_we_saw_it_change_whatever_its_times_say() -> None:
    """Its renewTime is years old by our wall clock; that proves nothing."""
    seen = View().seeing(a_lease("other"), 100.0)

    assert judged(seen, 114.9) == Taken("other")
    assert judged(seen, 115.0)["spec"]["holderIdentity"] == "me"


def test_seeing_the_same_record_again_does_not_prolong_it_and_a_changed_one_does() -> None:
    seen = View().seeing(a_lease("other"), 100.0).seeing(a_lease("other"), 110.0)
    renewed = seen.seeing(a_lease("other", renewTime="2026-11-24T12:00:02.000000Z"), 112.0)

    assert judged(seen, 115.0)["spec"]["holderIdentity"] == "me"
    assert judged(renewed, 126.9) == Taken("other")


@pytest.mark.spec("runtime:CLI-3")
def test_taking_over_counts_a_transition_and_keeps_what_others_wrote() -> None:
    taken = judged(View().seeing(a_lease("other", leaseTransitions=3, strategy="x"), 0.0), 20.0)

    assert taken["metadata"]["labels"] == {"of": "somebody"}
    assert taken["metadata"]["resourceVersion"] == "7", "the write is refused when somebody was quicker"
    assert taken["spec"]["leaseTransitions"] == 4
    assert taken["spec"]["strategy"] == "x"
    assert taken["spec"]["acquireTime"] == "2031-01-01T00:00:00.000000Z"


def test_renewing_our_own_keeps_the_time_of_taking_and_the_count() -> None:
    renewed = judged(View().seeing(a_lease("me", leaseTransitions=3), 0.0), 1.0)

    assert renewed["spec"]["leaseTransitions"] == 3
    assert renewed["spec"]["acquireTime"] == "2026-11-24T12:00:00.000005Z"
    assert renewed["spec"]["renewTime"] == "2031-01-01T00:00:00.000000Z"


@pytest.mark.spec("runtime:LE-5")
def test_a_released_lease_is_free_at_once() -> None:
    given_up = released(a_lease("other", leaseTransitions=3), WALL)

    assert given_up["spec"]["leaseDurationSeconds"] == 1
    assert judged(View().seeing(given_up, 0.0), 0.0)["spec"]["leaseTransitions"] == 4


@pytest.mark.parametrize("spec", [{}, {"holderIdentity": None}, {"leaseDurationSeconds": None, "holderIdentity": "x"}])
def test_a_lease_that_somebody_emptied_is_free(spec: dict[str, Any]) -> None:
    lease = {**a_lease("other"), "spec": spec}

    assert judged(View().seeing(lease, 0.0), 0.0)["spec"]["holderIdentity"] == "me"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ((15, 15, 2), "lease duration must be more than 17 s, not 15 s: 2 s longer than renew deadline, "),
        ((10, 15, 2), "lease duration must be more than 17 s"),
        ((12, 10, 2), "not 12 s"),  # client-go would take it; a write may leave at 11 s, and has a way to go
        ((15, 2, 2), "renew deadline must be more than 2.4 s, not 2 s: 1.2 times retry period, "),
        ((15, 2.4, 2), "not 2.4 s"),
        ((15, 10, 0), "retry period must be more than 0, not 0 s"),
        ((15.5, 10, 2), "lease duration must be whole seconds, as the Lease holds it, not 15.5 s"),
    ],
)
def test_times_that_could_give_two_leaders_are_refused(wrong: tuple[float, float, float], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        Timing(*wrong)


@pytest.mark.parametrize("right", [(15, 10, 2), (13, 10, 2), (60, 40, 5), (137, 107, 26)])
def test_times_that_people_use_are_taken(right: tuple[float, float, float]) -> None:
    assert Timing(*right).duration == right[0]
