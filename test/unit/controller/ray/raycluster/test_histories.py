"""Whole lives of clusters: what is written, and what never is. The server is a dictionary; no time passes by itself."""

from __future__ import annotations

from typing import Any

import pytest

from api.core import PODS
from controller.ray.raycluster.status import SETTLING
from controller.runtime.plan import Create, Delete, ref_of


def creates_pod(write: Any) -> bool:
    return isinstance(write, Create) and write.resource == PODS


def started(a: Any, workers: int = 3, **spec: Any) -> Any:
    """A cluster that has come up."""
    world = a.world(a.body(a.group(workers), **spec))
    world.settle()
    world.wait(2)
    world.run()
    world.settle()
    return world


# Starting


def test_a_start_takes_seven_writes_and_three_events(a: Any) -> None:
    world = a.world(a.body(a.group(3)))
    world.settle()
    for name in list(world.pods):  # one pod after the other
        world.wait(1)
        world.run(name)
        world.settle()

    assert world.cluster["status"]["state"] == "ready"
    assert len(world.writes) + world.status_writes + world.records == 7
    assert [event.reason for event in world.events] == ["CreatedService", "CreatedHeadPod", "CreatedWorkerPod"]


def test_a_cluster_that_is_up_is_written_no_more(a: Any) -> None:
    world = started(a)
    before = (len(world.writes), world.status_writes, world.records, len(world.events))

    for _ in range(20):
        world.wait(300)
        world.step()

    assert (len(world.writes), world.status_writes, world.records, len(world.events)) == before


def test_counts_catch_up_when_a_start_takes_long(a: Any) -> None:
    world = a.world(a.body(a.group(3)))
    world.settle()
    world.run(world.workers[0])
    world.wait(1)

    said = world.step()

    assert (said.status, said.result.requeue_after) == (None, SETTLING - (world.now - a.start))
    world.wait(SETTLING.total_seconds())
    world.step()
    assert world.cluster["status"]["readyWorkerReplicas"] == 1


def test_an_operator_that_crashes_after_any_write_makes_no_pod_twice(a: Any) -> None:
    """The next one sees what is there and asks for the rest; nothing that it asks for has another name."""
    for survived in range(5):
        world = a.world(a.body(a.group(3)))
        world.refuse = lambda write, world=world, survived=survived: len(world.writes) > survived
        world.apply(a.plan(world.look()))  # no report: it crashed
        world.refuse = lambda write: False

        world.settle()

        assert len(world.pods) == len(world.born) == 4, survived
        assert world.records == 0, survived


# Scaling


def test_a_cluster_is_scaled_up_and_down(a: Any) -> None:
    world = started(a, 1)

    world.scale(5)
    world.settle()
    world.run()
    world.settle()
    grown = world.workers
    world.scale(2)
    world.settle()
    world.vanish()
    world.settle()

    assert (len(grown), len(world.workers), len(world.born)) == (5, 2, 6)
    assert set(world.workers) < set(grown)


def test_scaling_up_costs_one_ticket_at_most(a: Any) -> None:
    world = started(a, 1)

    world.scale(5)
    world.settle()

    assert world.records == 1


@pytest.mark.spec("raycluster:E3")
def test_more_than_the_maximum_is_the_maximum_and_stays(a: Any) -> None:
    world = started(a, 1)

    world.scale(9, maxReplicas=3)
    world.settle()
    writes = len(world.writes)
    world.settle()

    assert (len(world.workers), len(world.writes)) == (3, writes)


@pytest.mark.spec("raycluster:E27")
def test_a_lost_worker_is_replaced_when_it_is_gone(a: Any) -> None:
    world = started(a, 2)
    lost = world.workers[0]
    world.pods[lost]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    world.settle()
    while_terminating = len(world.pods)
    world.vanish()
    world.settle()

    assert (while_terminating, len(world.pods), lost in world.pods) == (3, 3, False)


@pytest.mark.spec("raycluster:E30")
def test_a_pod_that_somebody_removes_at_once_is_replaced_at_once(a: Any) -> None:
    """The reference waits for 30 s, and in the end asks for what its cache never saw."""
    world = started(a, 1)
    world.vanish(world.workers[0])

    world.settle()

    assert (len(world.workers), len(world.born)) == (1, 3)


@pytest.mark.spec("raycluster:E40")
def test_a_replacement_takes_the_place_of_what_it_replaces(a: Any) -> None:
    world = started(a, 3)
    label = "ray.io/worker-group-replica-index"
    lost = next(name for name in world.workers if world.pods[name]["metadata"]["labels"][label] == "1")
    world.vanish(lost)

    world.settle()

    assert sorted(world.pods[name]["metadata"]["labels"][label] for name in world.workers) == ["0", "1", "2"]
    assert lost not in world.pods


@pytest.mark.spec("raycluster:E20")
def test_a_failed_head_is_replaced_under_another_name(a: Any) -> None:
    world = started(a, 1)
    old = next(name for name in world.pods if "-head-" in name)
    world.pods[old]["status"]["phase"] = "Failed"

    world.settle()
    world.vanish()
    world.settle()

    heads = [name for name in world.pods if "-head-" in name]
    assert (len(heads), old in heads, world.records) == (1, False, 1)
    assert [event.reason for event in world.events][-2:] == ["DeletedHeadPod", "CreatedHeadPod"]


@pytest.mark.spec("raycluster:E24", "ray-side:S3-30")
def test_named_workers_go_and_their_names_never_come_back(a: Any) -> None:
    """Autoscaler v2 leaves the names in place for ever (spec ray-side S3-22)."""
    world = started(a, 5, enableInTreeAutoscaling=True)
    doomed = world.workers[:2]
    world.scale(3, scaleStrategy={"workersToDelete": doomed})
    world.settle()
    world.vanish()
    world.settle()
    left = set(world.workers)

    world.scale(5, scaleStrategy={"workersToDelete": doomed})
    world.settle()

    assert (len(left), left.isdisjoint(doomed)) == (3, True)
    assert len(world.workers) == 5
    assert not set(world.workers) & set(doomed)


def test_a_lost_ticket_costs_one_write_and_doubles_nothing(a: Any) -> None:
    """A replaced or restored object has no annotation of ours any more."""
    world = started(a, 2)
    world.scale(4)
    world.settle()
    recorded = world.records
    world.cluster["metadata"]["annotations"] = {}

    world.settle()
    unmoved = world.records
    world.scale(5)
    world.settle()

    assert (unmoved, world.records) == (recorded, recorded + 1)
    assert len(world.born) == len(set(world.born)) == len(world.pods) == 6


def test_whatever_happens_no_name_is_born_twice(a: Any) -> None:
    """While the operator lives it remembers which places it saw filled; here each death is seen."""
    world = started(a, 3)
    for round_ in range(6):
        for name in world.workers[: 1 + round_ % 3]:
            world.pods[name]["status"] = {"phase": "Failed"}
        world.settle()
        world.vanish()
        world.settle()
        world.run()
        world.settle()

    assert len(world.workers) == 3
    assert len(world.born) == len(set(world.born))


# Refusals


@pytest.mark.spec(
    "raycluster:E31", "raycluster:19.3/replicafailure", "raycluster:20/createdheadpod-failedtocreateheadpod"
)
def test_a_refused_head_is_reported_in_the_server_s_words_until_it_is_made(a: Any) -> None:
    world = a.world(a.body(a.group(1)), refuse=creates_pod)

    said = world.step()

    (failure,) = [one for one in world.cluster["status"]["conditions"] if one["type"] == "ReplicaFailure"]
    assert (failure["status"], failure["reason"]) == ("True", "FailedCreateHeadPod")
    assert failure["message"] == f"FailedCreateHeadPod\n{a.quota}"
    assert said.result.error is not None
    assert (said.events[-1].type, said.events[-1].reason) == ("Warning", "FailedToCreateHeadPod")

    world.refuse = lambda write: False
    world.settle()
    assert world.condition("ReplicaFailure") == ""


def test_a_full_quota_is_asked_once_a_pass_and_reported_once(a: Any) -> None:
    world = a.world(a.body(a.group(5)), refuse=creates_pod)

    for _ in range(21):
        world.wait(1000)
        world.step()

    assert len(world.writes) == 1 + 21  # the Service, and one try a pass
    assert (world.status_writes, world.records) == (1, 1)


@pytest.mark.spec("raycluster:19.3/replicafailure", "raycluster:20/createdworkerpod-failedtocreateworkerpod")
def test_a_refused_worker_is_reported_and_tried_once_a_pass(a: Any) -> None:
    def refuse(write: Any) -> bool:
        return creates_pod(write) and "-worker-" in ref_of(write).name

    world = a.world(a.body(a.group(5)), refuse=refuse)

    world.step()

    tried = [write for write in world.writes if creates_pod(write)]
    (failure,) = [one for one in world.cluster["status"]["conditions"] if one["type"] == "ReplicaFailure"]
    assert (len(tried), failure["reason"]) == (2, "FailedCreateWorkerPod")
    assert world.events[-1].note == f"Failed to create worker Pod for the cluster ns/r, {a.quota}"


@pytest.mark.spec("raycluster:E33")
def test_a_group_that_is_refused_does_not_starve_the_next(a: Any) -> None:
    world = a.world(
        a.body(a.group(2, "a"), a.group(2, "b")),
        refuse=lambda write: creates_pod(write) and "-a-worker-" in ref_of(write).name,
    )

    world.step()

    assert [name.split("-")[1] for name in world.workers] == ["b", "b"]


def test_retries_keep_the_names_that_were_refused(a: Any) -> None:
    world = a.world(a.body(a.group(2)), refuse=creates_pod)

    for _ in range(3):
        world.step()

    assert len({ref_of(write).name for write in world.writes if creates_pod(write)}) == 1


def test_a_refused_deletion_is_reported(a: Any) -> None:
    world = started(a, 2)
    world.refuse = lambda write: isinstance(write, Delete)
    world.scale(1)

    world.step()

    (failure,) = [one for one in world.cluster["status"]["conditions"] if one["type"] == "ReplicaFailure"]
    assert failure["reason"] == "FailedDeleteWorkerPod"
    assert world.events[-1].reason == "FailedToDeleteWorkerPod"


# Suspending


@pytest.mark.spec(
    "raycluster:19.3/rayclustersuspending-rayclustersuspended", "raycluster:20/deletedpod-failedtodeletepodcollection"
)
def test_a_cluster_is_suspended_and_resumed(a: Any) -> None:
    world = started(a, 2)
    first = set(world.pods)

    world.change(suspend=True)
    world.settle()
    under_way = world.condition("RayClusterSuspending")
    world.vanish()
    world.settle()
    status = world.cluster["status"]

    assert under_way == "True"
    assert [world.condition(f"RayCluster{name}") for name in ("Suspending", "Suspended", "Provisioned")] == [
        "False",
        "True",
        "False",
    ]
    assert (status["state"], status["head"]) == ("suspended", {"serviceName": "r-head-svc"})
    assert [event.note for event in world.events][-1] == "Deleted Pods for RayCluster ns/r due to suspension"

    world.change(suspend=False)
    world.settle()
    world.run()
    world.settle()

    assert (world.condition("RayClusterSuspended"), world.cluster["status"]["state"]) == ("False", "ready")
    assert (len(world.pods), first.isdisjoint(world.pods)) == (3, True)


@pytest.mark.spec("raycluster:E76")
def test_a_suspended_cluster_stays_so_when_the_field_is_removed(a: Any) -> None:
    world = started(a, 1, suspend=False)
    world.change(suspend=True)
    world.settle()
    world.vanish()
    world.settle()
    del world.cluster["spec"]["suspend"]

    world.settle()

    assert (world.condition("RayClusterSuspended"), world.pods) == ("True", {})


@pytest.mark.spec("raycluster:E77")
def test_suspending_cannot_be_stopped_half_way(a: Any) -> None:
    world = started(a, 1)
    first = set(world.pods)
    world.change(suspend=True)
    world.settle()

    world.change(suspend=False)
    world.settle()
    still = world.condition("RayClusterSuspending")
    world.vanish()
    world.settle()

    assert still == "True"
    assert (len(world.pods), first.isdisjoint(world.pods)) == (2, True)
    assert world.condition("RayClusterSuspended") == "False"


@pytest.mark.spec("raycluster:E77")
def test_a_cluster_can_be_suspended_while_it_starts(a: Any) -> None:
    world = a.world(a.body(a.group(2)))
    world.step()
    world.change(suspend=True)

    world.settle()
    world.vanish()
    world.settle()

    assert (world.condition("RayClusterSuspended"), world.pods) == ("True", {})


def test_a_suspended_start_makes_no_pod(a: Any) -> None:
    world = a.world(a.body(a.group(2), suspend=True))

    world.settle()

    assert (world.born, world.cluster["status"]["state"]) == ([], "suspended")
    assert world.condition("RayClusterSuspended") == "True"


@pytest.mark.spec("raycluster:20/deletedpod-failedtodeletepodcollection", "raycluster:19.3/replicafailure")
def test_a_refused_suspension_is_reported(a: Any) -> None:
    world = started(a, 1)
    world.refuse = lambda write: isinstance(write, Delete)
    world.change(suspend=True)

    for _ in range(3):
        world.step()

    (failure,) = [one for one in world.cluster["status"]["conditions"] if one["type"] == "ReplicaFailure"]
    assert (failure["reason"], world.events[-1].reason) == ("FailedDeleteAllPods", "FailedToDeletePodCollection")
