"""Replicas of several hosts live and die as a whole."""

from __future__ import annotations

from typing import Any

import pytest

from api.core import PODS
from controller.ray.desired.facts import Group
from controller.ray.desired.names import Slot
from controller.ray.options import Gates, Options
from controller.ray.raycluster.replicas import Past, scale_replicas
from controller.ray.raycluster.scaling import Cause
from controller.ray.raycluster.seen import PodView
from controller.runtime.plan import Create

PAST = Past("t", known=True)


def group(replicas: int, *doomed: str, hosts: int = 2, suspended: bool = False) -> Group:
    names = frozenset(doomed)
    return Group("g", "worker", {}, replicas=replicas, hosts=hosts, suspended=suspended, workers_to_delete=names)


def host(a: Any, replica: int, number: int, *, ticket: str | None = "t", name: str = "", **more: Any) -> PodView:
    """A host of a replica: ours, or with ticket None KubeRay's."""
    body = a.pod_json(f"{name or 'r'}{replica}h{number}", index=replica, ticket=ticket, **more)
    body["metadata"]["labels"] |= {
        "ray.io/worker-group-replica-name": f"g-{name}{replica}",
        "ray.io/replica-host-index": str(number),
    }
    if ticket is not None:
        body["metadata"]["annotations"]["manta.ray.io/slot"] = f"g/{replica}.{number}"
    return PodView.of(body)


def whole(a: Any, *replicas: int, **more: Any) -> list[PodView]:
    return [host(a, replica, number, **more) for replica in replicas for number in range(2)]


def going(scaling: Any) -> dict[str, Cause]:
    return {pod.name: cause for pod, cause, _ in scaling.going}


def filling(scaling: Any) -> list[str]:
    return [str(slot) for slot in scaling.filling]


def scaled(wanted: Group, pods: list[PodView], past: Past = PAST, *, may_choose: bool = True) -> Any:
    return scale_replicas(wanted, pods, past, may_choose=may_choose)


@pytest.mark.parametrize("ticket", ["t", None])
def test_complete_replicas_are_left_alone(a: Any, ticket: str | None) -> None:
    found = scaled(group(2), whole(a, 0, 1, ticket=ticket))

    assert (going(found), filling(found)) == ({}, [])


def test_a_new_replica_gets_all_its_hosts_at_the_lowest_free_index(a: Any) -> None:
    assert filling(scaled(group(3), whole(a, 0, 2))) == ["g/1.0", "g/1.1"]


@pytest.mark.spec("raycluster:E36")
def test_a_replica_that_lost_a_host_goes_and_is_replaced_when_it_is_gone(a: Any) -> None:
    lost = Past("t", frozenset({(Slot("g", 0, 1), "t")}), known=True)

    first = scaled(group(2), [host(a, 0, 0), *whole(a, 1)], lost)
    terminating = scaled(group(2), [host(a, 0, 0, deleting=True), *whole(a, 1)], lost)
    gone = scaled(group(2), whole(a, 1), lost)

    assert (going(first), filling(first)) == ({"r0h0": Cause.INCOMPLETE}, [])
    assert (going(terminating), filling(terminating)) == ({}, [])
    assert filling(gone) == ["g/0.0", "g/0.1"]


@pytest.mark.parametrize(
    ("past", "ready", "ticket", "finished"),
    [
        (Past("t", known=True), True, "t", True),  # nobody was ever seen there
        (Past("t", frozenset({(Slot("g", 0, 1), "t")}), known=True), True, "t", False),  # somebody was
        (Past("t", known=False), True, "t", False),  # who knows
        (Past("t", known=False), False, "t", True),  # nothing is lost
        (Past("u", known=True), True, "t", False),  # of an older ticket
        (Past("t", known=True), True, None, False),  # not ours
    ],
)
def test_a_replica_that_was_never_complete_is_completed(
    a: Any, past: Past, ready: bool, ticket: str | None, finished: bool
) -> None:
    found = scaled(group(1), [host(a, 0, 0, ready=ready, ticket=ticket)], past)

    assert (filling(found), going(found)) == ((["g/0.1"], {}) if finished else ([], {"r0h0": Cause.INCOMPLETE}))


@pytest.mark.spec("raycluster:E39")
def test_an_unhealthy_host_takes_its_replica_along_and_is_replaced_at_once(a: Any) -> None:
    pods = [host(a, 0, 0, phase="Failed"), host(a, 0, 1), *whole(a, 1)]

    found = scaled(group(2), pods)

    assert going(found) == {"r0h0": Cause.UNHEALTHY, "r0h1": Cause.UNHEALTHY}
    assert filling(found) == ["g/0.0", "g/0.1"]


@pytest.mark.spec("raycluster:E38")
@pytest.mark.parametrize(
    ("doomed", "gone"),
    [
        (["r0h1"], {"r0h0", "r0h1"}),
        (["r0h1", "r2h0"], {"r0h0", "r0h1", "r2h0", "r2h1"}),
        (["nobody"], set()),
    ],
)
def test_naming_a_host_removes_its_replica(a: Any, doomed: list[str], gone: set[str]) -> None:
    left = 3 - len(gone) // 2

    found = scaled(group(left, *doomed), whole(a, 0, 1, 2), may_choose=False)

    assert (set(going(found)), filling(found)) == (gone, [])


@pytest.mark.parametrize(("may_choose", "gone"), [(True, {"r2h0", "r2h1"}), (False, set())])
def test_a_surplus_goes_by_whole_replicas(a: Any, may_choose: bool, gone: set[str]) -> None:
    assert going(scaled(group(2), whole(a, 0, 1, 2), may_choose=may_choose)).keys() == gone


def test_a_replica_that_terminates_is_the_surplus(a: Any) -> None:
    pods = [*whole(a, 0, deleting=True), *whole(a, 1, 2)]

    assert going(scaled(group(2), pods)) == {}


@pytest.mark.spec("raycluster:E38")
@pytest.mark.parametrize("deleting", [True, False])
@pytest.mark.parametrize("doomed", [("r1h0",), ()])
def test_while_the_hosts_of_a_replica_go_one_after_another_no_other_one_goes(
    a: Any, deleting: bool, doomed: tuple[str, ...]
) -> None:
    """Named or chosen, the one that is left of it is no replica that counts. A healthy one would be deleted for it."""
    last = host(a, 1, 1, deleting=deleting)

    found = scaled(group(1, *doomed), [*whole(a, 0), last], Past("t", frozenset({(Slot("g", 1, 0), "t")}), known=True))

    assert set(going(found)) == (set() if deleting else {last.name})
    assert filling(found) == []


def test_a_replica_that_works_least_goes_first(a: Any) -> None:
    pods = [host(a, 0, 0, ready=False), host(a, 0, 1), *whole(a, 1, 2)]

    assert going(scaled(group(2), pods)).keys() == {"r0h0", "r0h1"}


@pytest.mark.spec("raycluster:E37")
def test_pods_without_a_replica_s_name_are_passed_over(a: Any) -> None:
    found = scaled(group(1), [a.pod("old", index=0)])

    assert (going(found), filling(found)) == ({}, ["g/0.0", "g/0.1"])


def test_more_hosts_than_wanted_are_kept(a: Any) -> None:
    assert going(scaled(group(1, hosts=1), whole(a, 0))) == {}


def test_a_suspended_group_loses_all_its_hosts(a: Any) -> None:
    found = scaled(group(2, suspended=True), whole(a, 0))

    assert going(found) == {"r0h0": Cause.SUSPENDED_GROUP, "r0h1": Cause.SUSPENDED_GROUP}


def test_a_begun_replica_that_terminates_is_not_completed(a: Any) -> None:
    found = scaled(group(1), [host(a, 0, 0, deleting=True)])

    assert (going(found), filling(found)) == ({}, [])


# Lives


def test_a_cluster_of_slices_starts_shrinks_and_grows(a: Any) -> None:
    world = a.world(a.body(a.group(2, numOfHosts=4)))
    world.settle()
    world.run()
    world.settle()
    labels = [world.pods[name]["metadata"]["labels"] for name in world.workers]

    assert (len(world.workers), world.cluster["status"]["state"]) == (8, "ready")
    assert {service["metadata"]["name"] for service in world.services} == {"r-head-svc", "r-headless"}
    assert len({one["ray.io/worker-group-replica-name"] for one in labels}) == 2
    assert sorted(one["ray.io/replica-host-index"] for one in labels) == sorted("01230123")

    world.scale(1)
    world.settle()
    world.vanish()
    world.settle()
    assert len(world.workers) == 4
    world.scale(2)
    world.settle()
    assert (len(world.workers), len(set(world.born))) == (8, 13)


@pytest.mark.spec("raycluster:E36")
def test_losing_one_host_replaces_its_replica_under_another_name(a: Any) -> None:
    world = a.world(a.body(a.group(2, numOfHosts=2)))
    world.settle()
    world.run()
    world.settle()
    key = "ray.io/worker-group-replica-name"
    before = {world.pods[name]["metadata"]["labels"][key] for name in world.workers}

    world.vanish(world.workers[0])
    world.settle()
    world.vanish()
    world.settle()

    after = {world.pods[name]["metadata"]["labels"][key] for name in world.workers}
    indices = {world.pods[name]["metadata"]["labels"]["ray.io/worker-group-replica-index"] for name in world.workers}
    assert (len(world.workers), len(after), len(after & before), indices) == (4, 2, 1, {"0", "1"})
    assert world.events[-2].note.endswith("for group g: cleanup of incomplete multi-host group")


def test_a_replica_that_the_server_did_not_let_finish_is_finished_later(a: Any) -> None:
    world = a.world(a.body(a.group(1, numOfHosts=4)))
    world.refuse = lambda write: isinstance(write, Create) and write.resource == PODS and len(world.pods) >= 3
    for _ in range(5):
        world.step()
        world.run()
    begun = set(world.workers)

    world.refuse = lambda write: False
    world.settle()

    assert (len(begun), len(world.workers), begun < set(world.workers)) == (2, 4, True)


@pytest.mark.spec("raycluster:E35")
@pytest.mark.parametrize("hosts", [0, -3])
def test_less_than_one_host_is_one(a: Any, hosts: int) -> None:
    world = a.world(a.body(a.group(2, numOfHosts=hosts)))

    world.settle()

    assert len(world.workers) == 2


def test_without_the_gate_hosts_are_single_workers(a: Any) -> None:
    world = a.world(a.body(a.group(2, numOfHosts=2)), options=Options(gates=Gates(ray_multi_host_indexing=False)))

    world.settle()

    assert len(world.workers) == 4
    assert not any(
        "ray.io/worker-group-replica-name" in world.pods[name]["metadata"]["labels"] for name in world.workers
    )
