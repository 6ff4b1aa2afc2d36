"""Which pods go, and which places are filled."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.ray.desired.facts import Group
from controller.ray.desired.names import HEAD_SLOT, Slot, head_pod, worker_pod
from controller.ray.raycluster.scaling import Cause, Naming, burned, health_note, scale, verdict_on
from controller.ray.raycluster.seen import PodView

ENDED = {"exitCode": 1, "reason": "Error", "startedAt": "2026-01-01T00:00:00Z"}


def group(replicas: int, *doomed: str, suspended: bool = False) -> Group:
    return Group("g", "worker", {}, replicas=replicas, suspended=suspended, workers_to_delete=frozenset(doomed))


def going(scaling: Any) -> dict[str, Cause]:
    return {pod.name: cause for pod, cause, _ in scaling.going}


def filling(scaling: Any) -> list[int]:
    return [slot.index for slot in scaling.filling]


def five(a: Any) -> list[Any]:
    return [a.pod(f"p{index}", index=index, ticket="t") for index in range(5)]


# Which pods are of no use any more


@pytest.mark.spec("raycluster:E20", "raycluster:E21")
@pytest.mark.parametrize(
    ("phase", "policy", "ended", "goes"),
    [
        ("Failed", "Always", None, True),
        ("Succeeded", "OnFailure", None, True),
        ("Failed", "Never", None, True),
        ("Running", "Never", ENDED, True),
        ("Running", "Always", ENDED, False),
        ("Running", "OnFailure", ENDED, False),
        ("Running", "Never", None, False),
        ("Pending", "Never", ENDED, False),
        ("Unknown", "Never", ENDED, False),
        ("Pending", "Never", None, False),
    ],
)
@pytest.mark.parametrize("group_name", ["headgroup", "g"])
def test_only_what_cannot_come_back_by_itself_is_deleted(
    a: Any, phase: str, policy: str, ended: Any, goes: bool, group_name: str
) -> None:
    pod = a.pod("p", group=group_name, phase=phase, policy=policy, terminated=ended)

    assert (verdict_on(pod) is not None) is goes


@pytest.mark.spec("raycluster:E22")
def test_only_the_ray_container_counts_wherever_its_status_stands(a: Any) -> None:
    side, ray, unknown = (a.pod_json("p", policy="Never") for _ in range(3))
    side["status"]["containerStatuses"][0]["state"] = {"terminated": ENDED}  # the sidecar's comes first
    ray["status"]["containerStatuses"][1]["state"] = {"terminated": ENDED}
    del unknown["status"]["containerStatuses"]

    assert [verdict_on(PodView.of(pod)) is not None for pod in (side, ray, unknown)] == [False, True, False]


@pytest.mark.spec("raycluster:E46")
def test_a_pod_that_is_not_ready_is_kept(a: Any) -> None:
    """A head on a lost node stays until Kubernetes evicts it."""
    assert verdict_on(a.pod("p", ready=False)) is None
    assert verdict_on(a.head(phase="Unknown", ready=False)) is None


def test_the_verdict_says_why_in_the_reference_s_words(a: Any) -> None:
    failed = verdict_on(a.head("h", phase="Failed"))
    ended = verdict_on(a.pod("w", policy="Never", terminated=ENDED))

    assert failed is not None
    assert failed.startswith("The head Pod h status is Failed which is a terminal state.")
    assert ended is not None
    assert ended.startswith(
        "The Pod status of the worker Pod w is Running, and the Ray container terminated status is "
        "&ContainerStateTerminated{ExitCode:1,Signal:0,Reason:Error,Message:,StartedAt:2026-01-01 00:00:00 +0000 UTC,"
    )


def test_the_events_say_how_a_pod_was(a: Any) -> None:
    assert health_note(a.pod("p", phase="Failed", policy="Never")) == (
        "; Pod status: Failed; Pod restart policy: Never; Ray container terminated status: nil"
    )


# How many there are, and how many there should be


@pytest.mark.parametrize(
    ("present", "replicas", "filled"),
    [((), 3, [0, 1, 2]), ((0, 1, 2), 3, []), ((0, 2), 3, [1]), ((1, 3), 5, [0, 2, 4]), ((7,), 2, [0])],
)
@pytest.mark.spec("raycluster:E40")
def test_the_lowest_free_places_are_filled(a: Any, present: tuple[int, ...], replicas: int, filled: list[int]) -> None:
    pods = [a.pod(f"p{index}", index=index, ticket="t") for index in present]

    assert filling(scale(group(replicas), pods, may_choose=True)) == filled


@pytest.mark.spec("raycluster:E23")
@pytest.mark.parametrize(("may_choose", "count"), [(True, 2), (False, 0)])
def test_a_surplus_goes_where_the_operator_may_choose(a: Any, may_choose: bool, count: int) -> None:
    found = scale(group(3), five(a), may_choose=may_choose)

    assert list(going(found).values()) == [Cause.SURPLUS] * count


def test_of_equals_the_latest_go(a: Any) -> None:
    assert going(scale(group(3), five(a), may_choose=True)).keys() == {"p3", "p4"}


@pytest.mark.parametrize(
    "worse",
    [
        {"phase": "Pending", "ready": False},
        {"ready": False},
        {"phase": "Unknown", "ready": False},
    ],
)
def test_who_works_least_goes_first(a: Any, worse: dict[str, Any]) -> None:
    pods = [a.pod("p0", index=0, ticket="t", **worse), *five(a)[1:]]

    assert going(scale(group(4), pods, may_choose=True)).keys() == {"p0"}


@pytest.mark.spec("raycluster:E29")
def test_who_terminates_already_is_of_the_surplus(a: Any) -> None:
    """After a restart in the middle of scaling down, no live pod goes in the place of one that is going."""
    going_already = [a.pod(f"p{index}", index=index, ticket="t", deleting=True) for index in range(2)]

    found = scale(group(3), [*going_already, *five(a)[2:]], may_choose=True)

    assert (going(found), filling(found)) == ({}, [])


@pytest.mark.spec("raycluster:E27")
def test_a_terminating_pod_keeps_its_place_until_it_is_gone(a: Any) -> None:
    pods = [a.pod("p0", index=0, ticket="t"), a.pod("p1", index=1, ticket="t", deleting=True)]

    assert filling(scale(group(2), pods, may_choose=True)) == []
    assert filling(scale(group(2), pods[:1], may_choose=True)) == [1]


@pytest.mark.spec("raycluster:E28")
def test_a_pod_stuck_in_terminating_does_not_hold_up_scaling(a: Any) -> None:
    pods = [a.pod("p0", index=0, ticket="t"), a.pod("p1", index=1, ticket="t", deleting=True)]

    assert filling(scale(group(4), pods, may_choose=True)) == [2, 3]


@pytest.mark.spec("raycluster:E20")
def test_a_failed_worker_is_deleted_before_it_is_replaced(a: Any) -> None:
    pods = [a.pod("p0", index=0, ticket="t"), a.pod("p1", index=1, ticket="t", phase="Failed")]

    found = scale(group(2), pods, may_choose=True)

    assert (going(found), filling(found)) == ({"p1": Cause.UNHEALTHY}, [])


def test_a_failed_worker_is_the_surplus(a: Any) -> None:
    pods = [a.pod("p0", index=0, ticket="t", phase="Failed"), a.pod("p1", index=1, ticket="t")]

    assert going(scale(group(1), pods, may_choose=True)) == {"p0": Cause.UNHEALTHY}


@pytest.mark.spec("raycluster:E48")
def test_a_suspended_group_loses_all_its_pods(a: Any) -> None:
    pods = [*five(a)[:2], a.pod("p2", index=2, deleting=True)]

    found = scale(group(3, suspended=True), pods, may_choose=False)

    assert (going(found), filling(found)) == ({"p0": Cause.SUSPENDED_GROUP, "p1": Cause.SUSPENDED_GROUP}, [])


# Named pods


@pytest.mark.spec("raycluster:E24", "raycluster:E25")
@pytest.mark.parametrize("may_choose", [True, False])
def test_exactly_the_named_pods_go(a: Any, may_choose: bool) -> None:
    found = scale(group(3, "p0", "p2"), five(a), may_choose=may_choose)

    assert (going(found), filling(found)) == ({"p0": Cause.NAMED, "p2": Cause.NAMED}, [])


@pytest.mark.spec("raycluster:E24")
@pytest.mark.parametrize(("may_choose", "gone"), [(True, {"p0", "p4"}), (False, {"p0"})])
def test_an_unknown_name_is_passed_over(a: Any, may_choose: bool, gone: set[str]) -> None:
    found = scale(group(3, "p0", "nobody"), five(a), may_choose=may_choose)

    assert going(found).keys() == gone


@pytest.mark.spec("ray-side:S3-30")
def test_named_pods_do_not_count_while_they_terminate(a: Any) -> None:
    pods = [a.pod("p0", index=0, ticket="t", deleting=True), a.pod("p1", index=1, ticket="t")]

    found = scale(group(2, "p0"), pods, may_choose=False)

    assert (going(found), filling(found)) == ({}, [0])


# Tickets


NAMING = Naming("r", "uid")


def used(a: Any, ticket: str, pods: Any = (), spent: Any = frozenset(), dead: Any = ()) -> bool:
    return burned([Slot("g", 1)], ticket, pods, spent, dead, NAMING)


def test_a_ticket_is_good_for_a_place_in_which_nobody_was_seen(a: Any) -> None:
    assert not used(a, "t", five(a)[:1])


def test_without_a_ticket_no_place_is_filled(a: Any) -> None:
    assert used(a, "")


def test_a_place_is_filled_once_under_a_ticket(a: Any) -> None:
    assert used(a, "t", [a.pod("p", index=1, ticket="t", deleting=True)])
    assert not used(a, "t", [a.pod("p", index=1, ticket="s", deleting=True)])


def test_a_pod_that_was_seen_and_is_gone_counts_as_well(a: Any) -> None:
    assert used(a, "t", spent=frozenset({(Slot("g", 1), "t")}))
    assert not used(a, "t", spent=frozenset({(Slot("g", 2), "t"), (Slot("g", 1), "s")}))


@pytest.mark.spec("ray-side:S3-30")
def test_no_name_of_a_pod_that_was_to_go_comes_back(a: Any) -> None:
    assert used(a, "t", dead=[worker_pod("r", "uid", Slot("g", 1), "t")])


def test_a_name_that_another_pod_has_by_chance_is_not_taken(a: Any) -> None:
    assert used(a, "t", [a.pod(worker_pod("r", "uid", Slot("g", 1), "t"), index=9, ticket="s")])


def test_the_head_has_a_name_of_its_own() -> None:
    assert NAMING.of(HEAD_SLOT, "t") == head_pod("r", "uid", "t")


# Whatever there is


ANY_POD = st.tuples(
    st.integers(0, 8),
    st.sampled_from(["Running", "Pending", "Failed", "Unknown"]),
    st.booleans(),  # ready
    st.booleans(),  # terminating
    st.booleans(),  # named to go
)


@given(st.lists(ANY_POD, max_size=9, unique_by=lambda pod: pod[0]), st.integers(0, 9))
def test_whatever_there_is_a_group_comes_to_what_is_wanted(made: list[Any], replicas: int) -> None:
    """What stays and comes is what is wanted; nothing comes while there is too much; no place is taken twice."""
    pods = [
        PodView(
            f"p{index}",
            f"uid{index}",
            "worker",
            "g",
            phase=phase,
            ready={"status": "True" if ready else "False"},
            deleting=deleting,
            slot=Slot("g", index),
            ticket="t",
        )
        for index, phase, ready, deleting, _ in made
    ]
    doomed = [f"p{index}" for index, *_, named in made if named]

    found = scale(group(replicas, *doomed), pods, may_choose=True)

    counted = [pod for pod in pods if pod.name not in doomed]
    leaving = {pod.name for pod, _, _ in found.going} | {pod.name for pod in pods if pod.deleting}
    staying = [pod for pod in counted if pod.name not in leaving]
    taken = {pod.slot for pod in counted}
    assert len(counted) + len(found.filling) >= replicas
    assert len(staying) + len(found.filling) <= replicas
    assert not (found.filling and len(counted) >= replicas)
    assert len(set(found.filling)) == len(found.filling)
    assert taken.isdisjoint(found.filling)
    assert not any(pod.deleting for pod, _, _ in found.going)
    if not any(pod.deleting or verdict_on(pod) for pod in counted):
        assert len(staying) + len(found.filling) == replicas
