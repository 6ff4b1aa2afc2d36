"""Suspend and resume (spec rayservice §7)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from controller.runtime.plan import Delete
from localcluster.testing.rayservice_history import RayServiceHistory, config, rayservice

ALL_FALSE = ("Ready", "UpgradeInProgress", "RollbackInProgress")
EMPTY = {
    "rayClusterStatus": {"desiredCPU": "0", "desiredGPU": "0", "desiredMemory": "0", "desiredTPU": "0", "head": {}}
}


def serving() -> tuple[RayServiceHistory, str]:
    life = RayServiceHistory()
    return life, life.serving()


def suspended() -> RayServiceHistory:
    life, _ = serving()
    life.edit(suspend=True).run(3)
    assert life.condition("Suspended")[0] == "True", life.status
    return life


@pytest.mark.spec("rayservice:E55", "rayservice:15.3/suspending")
def test_suspending_is_recorded_before_anything_is_deleted() -> None:
    life, name = serving()

    life.edit(suspend=True).run()

    assert life.condition("Suspending") == ("True", "SuspendRequested")
    assert [life.condition(one) for one in ALL_FALSE] == [("False", "SuspendInProgress")] * 3
    assert (list(life.clusters), len(life.services)) == ([name], 2)
    assert (life.status["activeServiceStatus"], life.status["pendingServiceStatus"]) == (EMPTY, EMPTY)
    assert not life.status.keys() & {"numServeEndpoints", "serviceStatus"}
    assert (life.status["observedGeneration"], life.requeue_after) == (2, timedelta(0))


@pytest.mark.spec("rayservice:E51", "rayservice:15.3/suspended", "rayservice:16/deletedservice-failedtodeleteservice")
def test_then_all_clusters_and_services_go_and_the_service_is_suspended() -> None:
    life, name = serving()

    life.edit(suspend=True).run(2)
    assert (life.clusters, life.services) == ({}, {})
    assert life.condition("Suspending") == ("True", "SuspendInProgress")
    assert life.notes("DeletedRayCluster") == [f"Deleted suspended RayCluster default/{name}"]
    assert life.reasons.count("DeletedService") == 2

    life.run()
    assert life.condition("Suspending") == ("False", "SuspendComplete")
    assert life.condition("Suspended") == ("True", "SuspendComplete")
    assert [life.condition(one) for one in ALL_FALSE] == [("False", "SuspendComplete")] * 3
    assert life.requeue_after == timedelta(0), "a flip back to false must be noticed"


@pytest.mark.spec("rayservice:E55")
def test_a_suspended_service_stays_so_and_writes_nothing() -> None:
    life = suspended()
    life.run()
    writes, status_writes = len(life.writes), life.status_writes

    life.later(days=1).edit(serveConfigV2=config("other")).run(3)

    assert (len(life.writes), life.status_writes) == (writes, status_writes)
    assert (life.requeue_after, life.status["observedGeneration"]) == (None, 2)


@pytest.mark.spec("rayservice:E51", "rayservice:E55", "rayservice:E54")
def test_a_resumed_service_starts_anew_with_a_new_cluster_of_the_newest_spec() -> None:
    life, old = serving()
    life.replaced()
    life.edit(suspend=True).run(3)
    life.edit_cluster(rayVersion="2.54.0")

    life.later(hours=1).edit(suspend=False).run()

    assert life.condition("Suspended") == ("False", "RayServiceResumed")
    for type_ in ("Ready", "UpgradeInProgress"):
        assert life.condition(type_) == ("False", "Initializing")
        assert life.whole_condition(type_)["lastTransitionTime"] == "2026-01-01T13:00:00Z"
    assert life.condition("RollbackInProgress") == ("False", "SuspendComplete")

    name = life.begun()
    assert name != old
    assert life.clusters[name]["spec"]["rayVersion"] == "2.54.0"
    life.serves(name)
    assert life.condition("Ready") == ("True", "NonZeroServeEndpoints")


def test_a_resumed_service_has_its_whole_time_limit_again() -> None:
    life = RayServiceHistory(rayservice(annotations={"ray.io/initializing-timeout": "5m"}, suspend=True)).run(5)

    life.later(hours=1).edit(suspend=False).run(2)

    assert life.requeue_after == timedelta(minutes=5)


@pytest.mark.spec("rayservice:E52", "rayservice:15.3/suspended")
def test_once_begun_it_runs_to_its_end_whatever_the_spec_says_by_then() -> None:
    life, old = serving()
    life.held = {old}
    life.edit(suspend=True).run()

    life.edit(suspend=False).run(3)
    assert life.condition("Suspending") == ("True", "SuspendInProgress")
    assert life.reasons.count("DeletedRayCluster") == 1, "what is on its way is not deleted again"

    life.clusters.clear()
    life.run(2)
    assert life.condition("Suspended") == ("False", "RayServiceResumed")
    assert life.name("pending") not in ("", old)


def test_a_service_that_a_finalizer_holds_counts_as_left() -> None:
    """A load balancer, for one, is taken down before its Service goes."""
    life, _ = serving()
    life.held = {"web-serve-svc"}

    life.edit(suspend=True).run(4)
    assert life.condition("Suspending") == ("True", "SuspendInProgress")
    assert life.reasons.count("DeletedService") == 2

    life.services.clear()
    life.run()
    assert life.condition("Suspended") == ("True", "SuspendComplete")


@pytest.mark.spec("rayservice:E53")
def test_a_service_that_is_born_suspended_makes_nothing_until_it_is_resumed() -> None:
    life = RayServiceHistory(rayservice(suspend=True)).run(6)
    assert (life.condition("Suspended"), life.reasons) == (("True", "SuspendComplete"), [])

    life.edit(suspend=False)

    assert life.condition("Ready") == ("False", "SuspendComplete")
    life.run(2)
    assert life.name("pending") in life.clusters


def test_a_cluster_that_somebody_gives_to_a_suspended_service_goes_when_its_time_is_over() -> None:
    """Nothing else wakes the service then (spec rayservice §5.3)."""
    life, name = serving()
    stray = life.clusters[name]
    life.edit(suspend=True).run(3)
    life.clusters[name] = stray

    life.run()
    assert life.requeue_after == timedelta(seconds=60)

    life.later(seconds=60).run()
    assert not life.clusters


@pytest.mark.spec("rayservice:E54")
def test_both_clusters_of_an_upgrade_go_at_once_and_each_is_deleted_once() -> None:
    """Without regard for the delay; the one whose delay is 0 is no reason to delete it twice."""
    life = RayServiceHistory(rayservice(rayClusterDeletionDelaySeconds=0))
    life.serving()
    old, new = life.replaced()
    before = len(life.writes)

    life.edit(suspend=True).run(3)

    deleted = [one.name for one in life.writes[before:] if isinstance(one, Delete)]
    assert sorted(deleted) == sorted([old, new, "web-head-svc", "web-serve-svc"])


def test_a_refused_deletion_leaves_it_suspending_and_is_tried_again() -> None:
    life, name = serving()
    life.refuse = {"suspended cluster"}

    life.edit(suspend=True).run(2)
    assert life.condition("Suspending") == ("True", "SuspendInProgress")
    assert life.notes("FailedToDeleteRayCluster")[0].startswith(f"Failed to delete suspended RayCluster default/{name}")
    assert life.error is not None

    life.refuse = set()
    life.run(2)
    assert life.condition("Suspended") == ("True", "SuspendComplete")


def test_an_invalid_service_cannot_be_suspended_and_goes_on_once_it_is_mended() -> None:
    """The machine stops where it is (spec rayservice §7)."""
    life, name = serving()
    life.held = {name}
    life.edit(suspend=True).run(2)

    life.edit(upgradeStrategy={"type": "Sideways"}).run(2)
    assert life.condition("Ready") == ("False", "ValidationFailed")
    assert life.condition("Suspending") == ("True", "SuspendInProgress")

    life.clusters.clear()
    life.edit(upgradeStrategy={"type": "None"}).run(2)
    assert life.condition("Suspended") == ("True", "SuspendComplete")


def test_only_what_this_service_owns_is_deleted() -> None:
    """Stricter than the reference, which goes by labels: what a user labelled so by mistake stays."""
    life, _ = serving()
    life.services["other"] = {
        "metadata": {"name": "other", "namespace": "default", "uid": "u9", "resourceVersion": "1"},
        "spec": {"selector": {}},
    }

    life.edit(suspend=True).run(3)

    assert list(life.services) == ["other"]


@pytest.mark.spec("rayservice:E58")
def test_a_service_that_timed_out_starts_again_after_suspend_and_resume() -> None:
    life = RayServiceHistory(rayservice(annotations={"ray.io/initializing-timeout": "300"}))
    life.begun()
    life.later(seconds=300).run()
    assert life.condition("Ready") == ("False", "InitializingTimeout")

    life.edit(suspend=True).run(4)
    life.edit(suspend=False).run(2)

    assert life.condition("Ready") == ("False", "Initializing")
    assert life.name("pending") in life.clusters
