"""Which kind of pass it is: held, let go, refused, timed out, or on its way (spec rayservice §5, §6, §8)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from api.meta import Json
from localcluster.testing.rayservice_history import RayServiceHistory, config, rayservice

FINALIZER = "ray.io/rayservice-finalizer"
TIMEOUT = "ray.io/initializing-timeout"
DELETED = {"deletionTimestamp": "2026-01-01T12:00:00Z"}


def timed(limit: str = "300") -> RayServiceHistory:
    return RayServiceHistory(rayservice(annotations={TIMEOUT: limit}))


# Finalizer and deletion


@pytest.mark.spec("rayservice:E03")
def test_the_finalizer_is_there_before_anything_is_chosen_or_made() -> None:
    life = RayServiceHistory().run()

    assert life.service["metadata"]["finalizers"] == [FINALIZER]
    assert (life.status, life.clusters, life.requeue_after) == ({}, {}, timedelta(0))


@pytest.mark.spec("rayservice:E03")
@pytest.mark.parametrize("manager", ["kueue.x-k8s.io/multikueue", ""])
def test_what_another_manages_is_not_touched(manager: str) -> None:
    life = RayServiceHistory(rayservice(managedBy=manager)).run(3)

    assert (life.writes, life.status, life.events, life.requeue_after) == ([], {}, [], None)


def test_our_finalizer_does_not_hold_what_was_given_to_another_manager() -> None:
    """The reference lets such a service hang until the other one takes that finalizer away."""
    life = RayServiceHistory().run()
    life.edit(managedBy="kueue.x-k8s.io/multikueue")
    life.service["metadata"] |= DELETED

    life.run()

    assert life.service["metadata"]["finalizers"] == []


@pytest.mark.spec("rayservice:E82")
def test_a_deleted_service_keeps_its_finalizer_until_its_last_cluster_is_gone() -> None:
    life = RayServiceHistory(rayservice(rayClusterDeletionDelaySeconds=600))
    old = life.serving()
    life.replaced()
    life.held = {old}
    life.service["metadata"] |= DELETED

    life.run()
    assert list(life.clusters) == [old]
    assert life.service["metadata"]["finalizers"] == [FINALIZER]
    assert life.reasons.count("DeletedRayCluster") == 2

    life.run()
    assert life.reasons.count("DeletedRayCluster") == 2, "what is on its way is not deleted again"

    life.clusters.clear()
    life.run()
    assert life.service["metadata"]["finalizers"] == []


def test_a_service_that_cannot_be_validated_can_be_deleted() -> None:
    life = RayServiceHistory()
    life.begun()
    life.edit(rayClusterDeletionDelaySeconds=-1)
    life.service["metadata"] |= DELETED

    life.run(2)

    assert (life.clusters, life.service["metadata"]["finalizers"]) == ({}, [])


# Validation


@pytest.mark.spec("rayservice:E06", "rayservice:16/invalidrayservicemetadata-invalidrayserv")
def test_a_running_service_that_becomes_invalid_goes_on_as_it_was_and_says_why() -> None:
    life = RayServiceHistory()
    name = life.serving()
    before, wanted = dict(life.status), life.wants(name)

    life.edit(upgradeStrategy={"type": "Sideways"}).run()

    assert life.condition("Ready") == ("False", "ValidationFailed")
    message = life.whole_condition("Ready")["message"]
    assert "Spec.UpgradeStrategy.Type value Sideways is invalid" in message
    assert life.events[-1].note == f"default/web: {message}"
    assert (life.events[-1].reason, life.events[-1].type) == ("InvalidRayServiceSpec", "Warning")
    kept = ("serviceStatus", "numServeEndpoints", "observedGeneration", "activeServiceStatus")
    assert {one: life.status[one] for one in kept} == {one: before[one] for one in kept}
    assert (life.wants(name), life.selected(), life.requeue_after) == (wanted, name, None)

    life.edit(upgradeStrategy={"type": "None"}).run()
    assert life.condition("Ready") == ("True", "NonZeroServeEndpoints")
    assert life.names == (name, "")


@pytest.mark.spec("rayservice:E01")
def test_the_longest_name_that_may_be_is_47_characters_long() -> None:
    """Six more are its cluster's."""
    life = RayServiceHistory(rayservice("w" * 47))
    assert len(life.begun()) == 53

    assert RayServiceHistory(rayservice("w" * 48)).run(3).clusters == {}


@pytest.mark.spec("rayservice:16/invalidrayservicemetadata-invalidrayserv")
def test_a_bad_name_is_no_cluster_and_an_event_of_its_own() -> None:
    life = RayServiceHistory(rayservice("w" * 48)).run(3)

    assert life.clusters == {}
    assert life.condition("Ready") == ("False", "ValidationFailed")
    assert set(life.reasons) == {"InvalidRayServiceMetadata"}
    assert "no more than 47 characters" in life.whole_condition("Ready")["message"]


def test_what_cannot_even_be_read_is_told_in_the_same_way() -> None:
    life = RayServiceHistory(rayservice(rayClusterDeletionDelaySeconds="soon")).run(2)

    assert life.condition("Ready") == ("False", "ValidationFailed")
    assert set(life.reasons) == {"InvalidRayServiceSpec"}


def test_an_invalid_service_still_lets_its_old_cluster_go_in_time() -> None:
    """The reference forgets the deadline until some event comes (spec rayservice §5.3)."""
    life = RayServiceHistory()
    life.serving()
    old, new = life.replaced()
    life.serves(new)
    assert old in life.clusters
    life.edit(serveConfigV2=config("shop"), upgradeStrategy={"type": "Sideways"}).run()
    assert life.requeue_after == timedelta(seconds=60)

    life.later(seconds=60).run()

    assert list(life.clusters) == [new]


@pytest.mark.spec("rayservice:E07")
def test_a_service_that_was_invalid_from_birth_starts_like_any_other_once_it_is_mended() -> None:
    """Its time limit begins then, and not when it was made."""
    life = timed()
    life.edit(upgradeStrategy={"type": "Sideways"}).run(3)
    assert life.condition("UpgradeInProgress") == ("", "")

    life.later(seconds=1000).edit(upgradeStrategy={"type": "NewCluster"}).run(2)

    assert life.condition("Ready") == ("False", "Initializing")
    assert life.condition("UpgradeInProgress") == ("False", "Initializing")
    assert life.requeue_after == timedelta(seconds=300)


# The time limit of the first start


@pytest.mark.spec("rayservice:E49", "rayservice:16/rayserviceinitializingtimeout")
def test_a_service_that_is_not_ready_in_time_has_failed_for_good() -> None:
    life = timed()
    name = life.begun()
    assert life.requeue_after == timedelta(seconds=300)

    life.later(seconds=299).run()
    assert life.condition("Ready") == ("False", "Initializing")

    life.later(seconds=1).run()
    assert life.condition("Ready") == ("False", "InitializingTimeout")
    assert life.condition("UpgradeInProgress") == ("False", "Initializing")
    assert "failed to become ready within the configured timeout" in life.whole_condition("Ready")["message"]
    assert life.names == ("", "")
    assert life.status["observedGeneration"] == 1
    (note,) = life.notes("RayServiceInitializingTimeout")
    assert "RayService initializing timeout exceeded" in note

    life.edit_cluster(rayVersion="2.53.0").run(3)
    assert life.names == ("", "")
    assert life.reasons.count("RayServiceInitializingTimeout") == 1
    assert list(life.clusters) == [name]


def test_the_cluster_of_a_service_that_timed_out_is_deleted_after_the_usual_delay() -> None:
    life = timed()
    life.begun()
    life.later(seconds=300).run()
    assert life.requeue_after == timedelta(0), "nothing else would start the pass that notices the cluster"
    life.run()
    assert life.requeue_after == timedelta(seconds=60)

    life.later(seconds=60).run()

    assert life.clusters == {}


@pytest.mark.spec("rayservice:E50")
def test_a_service_that_was_ready_once_never_times_out() -> None:
    life = timed()
    name = life.serving()
    life.heads[name].workers, life.heads[name].healthy = 0, False
    life.settle()
    assert life.condition("Ready") == ("False", "ZeroServeEndpoints")

    life.later(seconds=10_000).run()

    assert life.condition("Ready") == ("False", "ZeroServeEndpoints")
    assert life.names == (name, "")


def test_endpoints_win_over_the_time_limit() -> None:
    life = timed()
    life.begun()
    life.endpoints = 1

    life.later(seconds=400).run()

    assert life.condition("Ready") == ("True", "NonZeroServeEndpoints")


def test_a_service_whose_cluster_cannot_be_made_times_out_as_well() -> None:
    """The reference looks at the clock only in passes in which all goes well (spec rayservice §8)."""
    life = timed()
    life.refuse = {"cluster"}
    life.run(3)
    assert life.error is not None

    life.later(seconds=300).run()

    assert life.condition("Ready") == ("False", "InitializingTimeout")


def test_a_promoted_cluster_without_a_door_times_out_and_no_cluster_is_active() -> None:
    """Applications run, but nobody takes requests: the upgrade's condition has begun, and must be taken back."""
    life = timed()
    name = life.begun()
    life.head_starts(name).healthy = False
    life.heads[name].deploys = "RUNNING"
    life.settle()
    assert (life.names, life.condition("UpgradeInProgress")) == ((name, ""), ("False", "NoPendingCluster"))

    life.later(seconds=300).run()

    assert life.condition("UpgradeInProgress") == ("Unknown", "NoActiveCluster")
    assert life.names == ("", "")


@pytest.mark.spec("rayservice:E58")
def test_an_invalid_edit_and_a_valid_one_bring_a_timed_out_service_back() -> None:
    life = timed()
    life.begun()
    life.later(seconds=300).run()

    life.edit(annotations={TIMEOUT: "-5m"}).run()
    assert life.condition("Ready") == ("False", "ValidationFailed")

    life.edit(annotations={TIMEOUT: "300"}).run(2)
    assert life.name("pending") in life.clusters
    life.later(seconds=10_000).run()
    assert life.condition("Ready") == ("False", "ValidationFailed"), "it never times out any more"


@pytest.mark.parametrize("service", [rayservice(), rayservice(annotations={TIMEOUT: ""})])
@pytest.mark.spec("rayservice:E50")
def test_without_a_limit_a_start_may_take_for_ever(service: Json) -> None:
    life = RayServiceHistory(service)
    life.begun()

    life.later(days=30).run()

    assert life.condition("Ready") == ("False", "Initializing")
    assert life.requeue_after is None


# What fails


def test_what_is_refused_is_tried_again_within_half_a_minute_and_a_deadline_is_kept() -> None:
    """However often it was refused: the reference waits up to a quarter of an hour in the end."""
    life = timed()
    life.refuse = {"cluster"}
    life.run(4)
    assert (life.error is not None, life.requeue_after) == (True, timedelta(seconds=30))

    life.later(seconds=280).run()

    assert life.requeue_after == timedelta(seconds=20)
