"""Which clusters there are: chosen, made, changed, replaced, let go (spec rayservice §9, §13)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from api.meta import Json
from api.v1 import wire
from controller.ray.desired.hashes import goal_hash
from controller.ray.options import Gates, Options
from controller.ray.rayservice.upgrade import Unwanted
from controller.runtime.plan import Create, MergePatch
from localcluster.testing.rayservice_history import (
    HEAD_TEMPLATE,
    START,
    RayServiceHistory,
    config,
    incremental,
    rayservice,
)


def group(name: str = "a", **more: Any) -> Json:
    return {
        "groupName": name,
        "replicas": 1,
        "minReplicas": 0,
        "maxReplicas": 9,
        "template": HEAD_TEMPLATE,
        **more,
    }


def serving(*groups: Json, options: Options | None = None, cluster: Json | None = None, **spec: Any) -> Any:
    """(life, name of its one cluster)"""
    goal = {"rayVersion": "2.52.0", "headGroupSpec": {"template": HEAD_TEMPLATE}, "workerGroupSpecs": list(groups)}
    life = RayServiceHistory(rayservice(rayClusterConfig=goal | (cluster or {}), **spec), options)
    return life, life.serving()


def made(life: RayServiceHistory) -> list[str]:
    return [
        one.body["metadata"]["name"]
        for one in life.writes
        if isinstance(one, Create) and one.resource == wire.RAY_CLUSTERS
    ]


# Names


@pytest.mark.spec("rayservice:16/createdraycluster-failedtocreaterayclust")
def test_a_name_is_stored_one_pass_before_its_cluster_is_made() -> None:
    """So that no crash between the two makes two clusters (design W5)."""
    life = RayServiceHistory().run(2)
    name = life.name("pending")
    assert (name[:4], len(name), life.clusters) == ("web-", 9, {})
    assert life.requeue_after == timedelta(0)

    life.restart().run()

    assert list(life.clusters) == [name]
    assert life.notes("CreatedRayCluster") == [f"Created RayCluster default/{name}"]


@pytest.mark.spec("rayservice:16/createdraycluster-failedtocreaterayclust")
def test_a_cluster_that_is_refused_keeps_its_name_and_says_why_it_is_not_there() -> None:
    life = RayServiceHistory()
    life.refuse = {"cluster"}
    life.run(2)
    name = life.name("pending")

    life.run(3)

    assert (life.name("pending"), life.clusters) == (name, {})
    assert life.reasons == ["FailedToCreateRayCluster"] * 3
    assert life.events[-1].note.startswith(f"Failed to create RayCluster default/{name}: ")
    assert "exceeded quota" in life.whole_condition("Ready")["message"]
    assert life.error is not None


@pytest.mark.spec("rayservice:E78")
def test_a_cluster_that_is_there_already_is_ours_and_no_failure() -> None:
    life = RayServiceHistory().run(2)
    before = life.see()
    life.run()

    life.run_on(before)  # a look that is older than the cluster

    assert (len(life.clusters), life.error) == (1, None)
    assert life.reasons == ["CreatedRayCluster"]


def test_a_name_that_somebody_else_took_meanwhile_is_given_up() -> None:
    """It would stand in the way for ever."""
    life = RayServiceHistory().run(2)
    taken = life.name("pending")
    life.clusters[taken] = {"metadata": {"name": taken, "uid": "u", "ownerReferences": []}, "spec": {}}
    before = life.see()

    life.run_on(replace(before, clusters=()))
    name = life.name("pending")
    assert name not in ("", taken)
    assert "FailedToCreateRayCluster" in life.reasons

    life.run_on(replace(life.see(), clusters=()))
    assert life.clusters[name]["spec"] == life.service["spec"]["rayClusterConfig"]


@pytest.mark.spec("rayservice:E17")
def test_a_cluster_is_made_after_the_newest_goal_under_the_name_that_was_chosen() -> None:
    life, _ = serving()
    life.edit_cluster(rayVersion="2.53.0").run()
    name = life.name("pending")

    life.edit_cluster(rayVersion="2.54.0").run(2)

    assert life.name("pending") == name
    assert life.clusters[name]["spec"]["rayVersion"] == "2.54.0"


# When a new cluster is made


@pytest.mark.spec("rayservice:E18")
@pytest.mark.parametrize(
    ("strategy", "zero_downtime", "replaced"),
    [
        (None, True, True),
        (None, False, False),
        ("NewCluster", True, True),
        ("NewCluster", False, True),
        ("None", True, False),
        ("None", False, False),
    ],
)
def test_whether_a_change_makes_a_new_cluster(strategy: str | None, zero_downtime: bool, replaced: bool) -> None:
    spec: Json = {"upgradeStrategy": {"type": strategy}} if strategy else {}
    life, old = serving(options=Options(zero_downtime=zero_downtime), **spec)

    life.edit_cluster(rayVersion="2.53.0").run(2)

    assert life.name("active") == old
    assert (len(life.clusters) == 2) is replaced
    assert life.clusters[old]["spec"]["rayVersion"] == "2.52.0"


@pytest.mark.parametrize("gate", [True, False])
def test_an_incremental_upgrade_is_none_yet_with_its_gate_and_without(gate: bool) -> None:
    options = Options(gates=Gates(ray_service_incremental_upgrade=gate))
    life = RayServiceHistory(rayservice(**incremental()), options)
    old = life.serving()

    life.edit_cluster(rayVersion="2.53.0").run(2)

    assert (life.name("active"), len(life.clusters)) == (old, 1)


@pytest.mark.spec("rayservice:E13", "rayservice:E16")
@pytest.mark.parametrize(
    "change",
    [{"replicas": 5}, {"minReplicas": 2}, {"maxReplicas": 20}, {"scaleStrategy": {"workersToDelete": ["w"]}}],
)
def test_a_change_of_numbers_alone_changes_nothing_at_all(change: Json) -> None:
    life, old = serving(group())
    writes = len(life.writes)

    life.edit_cluster(workerGroupSpecs=[group() | change]).run(3)

    assert (life.names, len(life.writes)) == ((old, ""), writes)


@pytest.mark.spec("rayservice:E16")
def test_what_an_autoscaler_does_to_the_cluster_makes_no_other() -> None:
    life, old = serving(group(), cluster={"enableInTreeAutoscaling": True})
    life.clusters[old]["spec"]["workerGroupSpecs"][0]["replicas"] = 7
    writes = len(life.writes)

    life.run(3)

    assert (life.names, len(life.writes)) == ((old, ""), writes)


@pytest.mark.spec("rayservice:E17")
def test_another_change_before_the_new_cluster_serves_makes_another_and_lets_that_one_go() -> None:
    life, old = serving(rayClusterDeletionDelaySeconds=5)
    _, first = life.replaced()

    life.edit_cluster(rayVersion="2.54.0").run(2)

    assert life.name("active") == old
    assert life.name("pending") not in (old, first)
    life.later(seconds=5).run(2)
    assert first not in life.clusters


@pytest.mark.spec("rayservice:E17")
def test_a_cluster_that_the_services_select_takes_over_before_another_is_made() -> None:
    """A crash came between the two writes; by now nothing is known of the head: it is not let go all the same."""
    life, old = serving(rayClusterDeletionDelaySeconds=0)
    _, new = life.replaced()
    for one in life.services.values():
        one["spec"]["selector"]["ray.io/cluster"] = new
    life.restart().edit_cluster(rayVersion="2.54.0")

    life.run()
    assert life.names == (new, "")

    life.run(2)
    assert life.name("active") == new
    assert life.name("pending") in life.clusters
    assert old not in life.clusters


def test_a_reverted_change_makes_a_third_cluster() -> None:
    """The one that still runs is not used again: nobody knows what became of it meanwhile (spec rayservice §13)."""
    life, old = serving()
    _, second = life.replaced()

    life.edit_cluster(rayVersion="2.52.0").run(2)

    assert life.name("pending") not in (old, second)


@pytest.mark.spec("rayservice:E23")
def test_a_new_cluster_is_made_when_both_are_gone_even_with_strategy_none() -> None:
    life, old = serving(upgradeStrategy={"type": "None"})
    life.clusters.clear()
    life.heads.clear()

    life.run(2)
    active, pending = life.names
    assert (active, pending in life.clusters) == (old, True)
    assert life.condition("UpgradeInProgress") == ("True", "BothActivePendingClustersExist")

    life.serves(pending)
    assert life.names == (pending, "")


@pytest.mark.spec("rayservice:E27")
def test_an_old_cluster_that_a_finalizer_holds_does_not_hold_up_the_new_one() -> None:
    life, _ = serving(rayClusterDeletionDelaySeconds=0)
    old, new = life.replaced()
    life.held = {old}

    life.serves(new)
    life.run(3)

    assert life.names == (new, "")
    assert old in life.clusters
    assert life.reasons.count("DeletedRayCluster") == 1


# Changes that a living cluster follows


@pytest.mark.spec("rayservice:E15", "rayservice:16/updatedraycluster-failedtoupdaterayclust")
@pytest.mark.parametrize("strategy", ["NewCluster", "None"])
def test_a_group_at_the_end_is_added_to_the_active_cluster(strategy: str) -> None:
    life, old = serving(group(), upgradeStrategy={"type": strategy})

    life.edit_cluster(workerGroupSpecs=[group(replicas=3), group("b")]).settle()

    spec, annotations = life.clusters[old]["spec"], life.clusters[old]["metadata"]["annotations"]
    assert [one["groupName"] for one in spec["workerGroupSpecs"]] == ["a", "b"]
    assert spec["workerGroupSpecs"][0]["replicas"] == 3
    assert annotations[wire.ANNOTATION_GOAL_GROUPS] == "2"
    assert life.names == (old, "")
    assert life.notes("UpdatedRayCluster") == [f"Updated active RayCluster default/{old}"]


@pytest.mark.spec("rayservice:E15")
def test_during_an_upgrade_it_is_added_to_the_new_cluster_alone() -> None:
    life, _ = serving(group())
    old, new = life.replaced()

    life.edit_cluster(workerGroupSpecs=[group(), group("b")]).settle()

    assert (len(life.clusters[new]["spec"]["workerGroupSpecs"]), life.names) == (2, (old, new))
    assert len(life.clusters[old]["spec"]["workerGroupSpecs"]) == 1
    assert life.notes("UpdatedRayCluster") == [f"Updated pending RayCluster default/{new}"]


def test_a_refused_change_is_told_and_keeps_the_head_s_label_right_all_the_same() -> None:
    life, old = serving(group())
    life.refuse = {"active cluster"}
    life.heads[old].healthy = False

    life.edit_cluster(workerGroupSpecs=[group(), group("b")]).run()
    life.talk()
    life.run()

    assert life.notes("FailedToUpdateRayCluster")[0].startswith(f"Failed to update active RayCluster default/{old}: ")
    assert life.heads[old].pod.label == "false"


def test_what_the_autoscaler_set_and_kueue_s_suspend_stay_in_a_change() -> None:
    """The reference resets both numbers and lists of the autoscaler (spec rayservice §9.4)."""
    life, old = serving(group(), cluster={"enableInTreeAutoscaling": True, "suspend": True})
    live = life.clusters[old]["spec"]
    live["workerGroupSpecs"][0] |= {"replicas": 7, "scaleStrategy": {"workersToDelete": ["w"]}}
    live["suspend"] = False

    life.edit_cluster(workerGroupSpecs=[group(maxReplicas=20), group("b", replicas=2)]).settle()

    first, second = life.clusters[old]["spec"]["workerGroupSpecs"]
    assert (first["replicas"], first["scaleStrategy"]) == (7, {"workersToDelete": ["w"]})
    assert (first["maxReplicas"], second["replicas"]) == (20, 2)
    assert life.clusters[old]["spec"]["suspend"] is False


def test_what_others_wrote_on_the_cluster_stays_in_a_change() -> None:
    life, old = serving(group())
    life.clusters[old]["metadata"]["labels"]["team"] = "a"

    life.edit_cluster(workerGroupSpecs=[group(), group("b")]).settle()

    assert life.clusters[old]["metadata"]["labels"]["team"] == "a"
    assert life.clusters[old]["metadata"]["annotations"][wire.ANNOTATION_SERVE_CONFIG].startswith("sent:")


# Clusters that another operator wrote


def foreign(life: RayServiceHistory, name: str) -> None:
    life.clusters[name]["metadata"]["annotations"] |= {
        wire.ANNOTATION_OPERATOR_VERSION: "v1.7.0",
        wire.ANNOTATION_GOAL_HASH: "another form of hash",
    }


@pytest.mark.spec("rayservice:E28", "rayservice:E14")
def test_of_a_cluster_that_another_operator_made_after_the_same_goal_only_the_annotations_are_written() -> None:
    life, old = serving(group())
    life.clusters[old]["spec"]["workerGroupSpecs"][0]["replicas"] = 4
    foreign(life, old)

    life.settle()

    (write,) = [one for one in life.writes if one.why == "active cluster"]
    assert isinstance(write, MergePatch)
    assert write.body.keys() == {"metadata"}
    goal = life.service["spec"]["rayClusterConfig"]
    assert life.clusters[old]["metadata"]["annotations"][wire.ANNOTATION_GOAL_HASH] == goal_hash(goal)
    assert life.names == (old, "")


@pytest.mark.spec("rayservice:E28")
def test_a_change_after_the_take_over_is_an_upgrade_like_any_other() -> None:
    life, old = serving()
    foreign(life, old)
    life.settle()

    active, new = life.replaced()

    assert active == old
    assert new in life.clusters


@pytest.mark.spec("rayservice:E14")
def test_an_active_cluster_of_another_version_is_brought_to_the_goal_in_place() -> None:
    life, old = serving()
    foreign(life, old)

    life.edit_cluster(rayVersion="2.53.0").settle()

    assert life.clusters[old]["spec"]["rayVersion"] == "2.53.0"
    assert (life.names, len(life.clusters)) == ((old, ""), 1)


def test_a_cluster_that_is_being_replaced_is_not_brought_to_the_goal() -> None:
    """It serves until the other one takes over, as it is (spec rayservice §9.4)."""
    life, old = serving()
    life.replaced()
    foreign(life, old)

    life.settle()

    assert life.clusters[old]["spec"]["rayVersion"] == "2.52.0"
    assert life.clusters[old]["metadata"]["annotations"][wire.ANNOTATION_OPERATOR_VERSION] == "v1.7.0"


def test_a_pending_cluster_of_another_version_is_taken_over_where_it_was_made_after_the_same_goal() -> None:
    """The reference replaces it, for its hash has another form (spec rayservice §19)."""
    life, old = serving()
    _, new = life.replaced()
    foreign(life, new)

    life.settle()

    assert life.names == (old, new)
    assert life.clusters[new]["metadata"]["annotations"][wire.ANNOTATION_OPERATOR_VERSION] == Options().version


def test_a_pending_cluster_of_another_version_and_another_goal_is_replaced_not_overwritten() -> None:
    life, old = serving()
    _, new = life.replaced()
    foreign(life, new)

    life.edit_cluster(rayVersion="2.54.0").run(2)

    assert life.names == (old, made(life)[-1])
    assert life.clusters[new]["spec"]["rayVersion"] == "2.53.0"


# Clusters that nobody names any more


@pytest.mark.spec("rayservice:E26", "rayservice:16/deletedraycluster-failedtodeleterayclust")
@pytest.mark.parametrize(("delay", "seconds"), [(None, 60), (600, 600)])
def test_a_replaced_cluster_is_kept_for_its_delay(delay: int | None, seconds: int) -> None:
    spec: Json = {} if delay is None else {"rayClusterDeletionDelaySeconds": delay}
    life, _ = serving(**spec)
    old, new = life.replaced()
    life.serves(new)
    assert (life.names, life.requeue_after) == ((new, ""), timedelta(seconds=seconds))

    life.later(seconds=seconds - 1).run()
    assert (old in life.clusters, life.requeue_after) == (True, timedelta(seconds=1))

    life.later(seconds=1).run()
    assert list(life.clusters) == [new]
    assert life.notes("DeletedRayCluster") == [f"Deleted RayCluster default/{old}"]


@pytest.mark.spec("rayservice:E26")
def test_without_a_delay_it_goes_in_the_pass_after_the_one_that_noticed_it() -> None:
    """One look alone, which may be an odd one, deletes no cluster; the next one is taken at once."""
    life, _ = serving(rayClusterDeletionDelaySeconds=0)
    old, new = life.replaced()
    head = life.head_starts(new)
    head.deploys, head.workers = "RUNNING", 1
    while life.name("active") != new:
        life.run().talk()

    life.run()
    assert (old in life.clusters, life.requeue_after) == (True, timedelta(0))

    life.run()
    assert (list(life.clusters), life.requeue_after) == ([new], None)


@pytest.mark.spec("rayservice:E26")
@pytest.mark.parametrize("later", [0, 600])
def test_an_edit_of_the_delay_is_for_the_clusters_to_come(later: int) -> None:
    """What was noticed before keeps its time (spec rayservice §9.6)."""
    life, _ = serving()
    old, new = life.replaced()
    life.serves(new)

    life.later(seconds=20).edit(rayClusterDeletionDelaySeconds=later).run(2)
    assert (old in life.clusters, life.requeue_after) == (True, timedelta(seconds=40))

    life.later(seconds=40).run()
    assert old not in life.clusters


@pytest.mark.spec("rayservice:E26")
def test_a_cluster_that_is_named_again_is_forgotten_as_unwanted() -> None:
    """An older look must not shorten its time, should it be let go one day (spec rayservice §9.6)."""
    life, name = serving(rayClusterDeletionDelaySeconds=30)
    named, unwanted = life.see(), Unwanted()
    nameless = replace(named, service={**named.service, "status": {}})

    assert unwanted.noticed(nameless, START) == {}
    assert unwanted.noticed(nameless, START + timedelta(seconds=9)) == {f"uid-{name}": START + timedelta(seconds=30)}
    assert unwanted.noticed(named, START + timedelta(seconds=10)) == {}
    assert unwanted.noticed(nameless, START + timedelta(seconds=60)) == {}


def test_a_pass_that_fails_keeps_the_old_cluster_no_longer_than_half_a_minute_beyond_its_time() -> None:
    """The look that would come at once is the next try."""
    life, _ = serving(rayClusterDeletionDelaySeconds=0)
    _, new = life.replaced()
    head = life.head_starts(new)
    head.deploys, head.workers = "RUNNING", 1
    while life.name("active") != new:
        life.run().talk()
    life.refuse = {"head label"}
    head.healthy = False
    life.talk()

    life.run()

    assert (life.error is not None, life.requeue_after) == (True, timedelta(seconds=30))


@pytest.mark.spec("rayservice:E26")
def test_another_process_starts_the_delay_anew() -> None:
    life, _ = serving()
    old, new = life.replaced()
    life.serves(new)

    life.later(seconds=59).restart().run()
    assert life.requeue_after == timedelta(seconds=60)

    life.later(seconds=59).run()
    assert old in life.clusters


def test_an_old_cluster_that_cannot_be_deleted_is_told_and_holds_up_nothing() -> None:
    life, _ = serving(rayClusterDeletionDelaySeconds=0)
    life.refuse = {"unwanted cluster"}
    _, second = life.replaced()
    life.serves(second)
    assert "FailedToDeleteRayCluster" in life.reasons

    _, third = life.replaced(rayVersion="2.54.0")
    life.serves(third)

    assert (life.names, life.selected()) == ((third, ""), third)
    assert life.error is not None


def test_the_old_cluster_goes_even_where_no_new_one_can_be_made() -> None:
    """What a quota refuses may be waiting for just that."""
    life, _ = serving(rayClusterDeletionDelaySeconds=0)
    _, second = life.replaced()
    life.refuse = {"cluster"}

    life.edit_cluster(rayVersion="2.54.0").run(3)

    assert second not in life.clusters


@pytest.mark.spec("rayservice:E19")
def test_a_new_cluster_alone_gets_the_configuration_that_came_with_it() -> None:
    life, old = serving()

    life.edit(serveConfigV2=config("next")).edit_cluster(rayVersion="2.53.0")
    while (new := life.name("pending")) not in life.clusters:
        life.run().talk()  # in the very first pass too, before a name is chosen
    life.serves(new)

    life_of_old = [one["applications"][0]["name"] for one in life.heads[old].received]
    assert life_of_old == ["shop"]
    assert [one["applications"][0]["name"] for one in life.heads[new].received] == ["next"]


@pytest.mark.spec("rayservice:E19")
def test_a_configuration_on_its_way_to_the_old_cluster_is_dropped_by_the_pass_that_wants_a_new_one() -> None:
    """Not even one pass longer: the old one would be given what is meant for the new."""
    life, old = serving()
    life.edit(serveConfigV2=config("next")).run()
    assert life.clusters[old]["metadata"]["annotations"][wire.ANNOTATION_SERVE_CONFIG].startswith("sending:")

    life.edit_cluster(rayVersion="2.53.0").run().talk()

    assert life.names[1] not in ("", old)
    assert [one["applications"][0]["name"] for one in life.heads[old].received] == ["shop"]


@pytest.mark.spec("rayservice:E19")
def test_with_strategy_none_the_configuration_is_live_and_the_cluster_as_it_was() -> None:
    life, old = serving(upgradeStrategy={"type": "None"})
    before = life.clusters[old]["spec"]

    life.edit(serveConfigV2=config("next")).edit_cluster(rayVersion="2.53.0").settle()

    assert life.heads[old].applications == {"next": "RUNNING"}
    assert (life.clusters[old]["spec"], life.names) == (before, (old, ""))
