"""What a pass reports: fields, conditions, whether it is worth a write, and what is awaited (spec rayservice §15)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from api.meta import format_time
from controller.ray.dashboard.protocol import ApplicationInfo, DeploymentInfo, ServeInfo
from controller.ray.options import Gates, Options
from controller.ray.rayservice.status import _telling_line, applications_of
from localcluster.testing.rayservice_history import RayServiceHistory, config, incremental, rayservice


def serving(**spec: Any) -> tuple[RayServiceHistory, str]:
    life = RayServiceHistory(rayservice(**spec))
    return life, life.serving()


def message(life: RayServiceHistory, type_: str = "Ready") -> Any:
    return life.whole_condition(type_)["message"]


# Conditions


@pytest.mark.spec("rayservice:E08", "rayservice:15.3/ready", "rayservice:15.3/upgradeinprogress")
def test_both_conditions_are_false_from_the_first_full_pass_until_something_serves() -> None:
    life = RayServiceHistory().run(2)
    both = [life.condition("Ready"), life.condition("UpgradeInProgress")]
    assert both == [("False", "Initializing")] * 2
    assert life.whole_condition("Ready")["observedGeneration"] == 1
    assert [one["type"] for one in life.status["conditions"]] == ["Ready", "UpgradeInProgress"]

    name = life.begun()
    assert [life.condition("Ready"), life.condition("UpgradeInProgress")] == both

    life.serves(name)
    assert life.condition("Ready") == ("True", "NonZeroServeEndpoints")
    assert life.condition("UpgradeInProgress") == ("False", "NoPendingCluster")


@pytest.mark.spec("rayservice:15.3/ready")
def test_ready_follows_the_pods_that_take_requests_and_nothing_else() -> None:
    life, name = serving()

    life.application_is(name, "UNHEALTHY").settle()
    assert life.condition("Ready") == ("True", "NonZeroServeEndpoints")

    life.application_is(name, "RUNNING")
    life.endpoints = 0
    life.later(seconds=5).settle()
    assert life.condition("Ready") == ("False", "ZeroServeEndpoints")
    assert life.whole_condition("Ready")["lastTransitionTime"] == "2026-01-01T12:00:05Z"
    assert not life.status.keys() & {"numServeEndpoints", "serviceStatus"}

    life.endpoints = 2
    life.later(seconds=5).settle()
    assert life.condition("Ready") == ("True", "NonZeroServeEndpoints")
    assert (life.status["numServeEndpoints"], life.status["serviceStatus"]) == (2, "Running")


@pytest.mark.spec("rayservice:15.3/upgradeinprogress")
def test_an_upgrade_is_in_progress_from_the_choice_of_a_name_to_the_take_over() -> None:
    life, old = serving()

    life.edit_cluster(rayVersion="2.53.0").run()
    assert life.condition("UpgradeInProgress") == ("True", "BothActivePendingClustersExist")
    assert life.name("pending") not in life.clusters

    life.run()
    life.serves(life.name("pending"))
    assert life.condition("UpgradeInProgress") == ("False", "NoPendingCluster")
    assert life.name("active") != old


def test_traffic_that_moves_with_proof_leaves_ready_true() -> None:
    """In the reference it may be False for a pass."""
    life, _ = serving()
    life.later(seconds=60)
    _, new = life.replaced()

    life.serves(new)

    assert life.whole_condition("Ready")["lastTransitionTime"] == "2026-01-01T12:00:00Z"
    assert life.condition("Ready")[0] == "True"


def test_conditions_of_others_stay() -> None:
    life, _ = serving()
    foreign = {"type": "Foreign", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "t"}
    life.service["status"]["conditions"].append(foreign)

    life.replaced()

    assert foreign in life.status["conditions"]


# Fields


def test_a_status_before_anything_serves_leaves_out_what_is_empty() -> None:
    """So that the columns of kubectl get are blank (spec rayservice §3)."""
    life = RayServiceHistory().run(2)

    empty = {"desiredCPU": "0", "desiredGPU": "0", "desiredMemory": "0", "desiredTPU": "0", "head": {}}
    assert life.status.keys() == {
        "conditions",
        "observedGeneration",
        "lastUpdateTime",
        "activeServiceStatus",
        "pendingServiceStatus",
    }
    assert life.status["activeServiceStatus"] == {"rayClusterStatus": empty}
    assert life.status["pendingServiceStatus"] == {
        "rayClusterName": life.name("pending"),
        "rayClusterStatus": empty,
    }


def test_the_status_of_the_cluster_is_shown_with_what_it_lacks_as_zero() -> None:
    life = RayServiceHistory()
    name = life.begun()
    life.clusters[name]["status"] = {"desiredCPU": "4", "state": "ready"}
    life.endpoints = 1

    life.run()

    shown = life.status["pendingServiceStatus"]["rayClusterStatus"]
    assert (shown["desiredCPU"], shown["desiredGPU"], shown["state"]) == ("4", "0", "ready")


def test_what_serve_says_is_shown_as_it_says_it() -> None:
    life, name = serving()

    life.application_is(name, "SOMETHING_NEW", message="in words").settle()

    applications = life.status["activeServiceStatus"]["applicationStatuses"]
    assert applications == {"shop": {"status": "SOMETHING_NEW", "message": "in words"}}


def test_deployments_are_shown_under_their_application_and_what_is_empty_is_left_out() -> None:
    deployments = {"Front": DeploymentInfo("HEALTHY"), "Back": DeploymentInfo("UPDATING", "2 of 3")}
    said = ServeInfo({"shop": ApplicationInfo("DEPLOYING", deployments=deployments), "new": ApplicationInfo("")})

    assert applications_of(said) == {
        "shop": {
            "status": "DEPLOYING",
            "serveDeploymentStatuses": {
                "Front": {"status": "HEALTHY"},
                "Back": {"status": "UPDATING", "message": "2 of 3"},
            },
        },
        "new": {},
    }


def test_applications_of_the_cluster_that_is_being_replaced_are_not_shown() -> None:
    """It is not asked about them any more, from the pass on that chooses the next one's name."""
    life, old = serving()
    assert "applicationStatuses" in life.status["activeServiceStatus"]

    life.edit_cluster(rayVersion="2.53.0").run()

    assert life.name("active") == old
    assert "applicationStatuses" not in life.status["activeServiceStatus"]


def test_applications_are_not_shown_while_the_head_is_not_ready() -> None:
    life, name = serving()

    life.head_is(name, "False").run()

    assert "applicationStatuses" not in life.status["activeServiceStatus"]
    assert life.condition("Ready")[0] == "True", "workers take requests"


# Whether it is worth a write


@pytest.mark.spec("rayservice:E80")
def test_a_steady_service_writes_nothing_whatever_the_clock_says() -> None:
    life, _ = serving()
    before = (len(life.writes), life.status_writes, len(life.events))

    for _ in range(5):
        life.later(hours=1).run().talk()

    assert (len(life.writes), life.status_writes, len(life.events)) == before
    assert life.requeue_after is None


def cluster_says(life: RayServiceHistory, name: str, cpu: str) -> RayServiceHistory:
    life.clusters[name]["status"] |= {"desiredCPU": cpu, "lastUpdateTime": format_time(life.now)}
    return life


def shown_cpu(life: RayServiceHistory) -> Any:
    return life.status["activeServiceStatus"]["rayClusterStatus"]["desiredCPU"]


@pytest.mark.spec("rayservice:E80")
def test_a_change_of_the_cluster_s_status_alone_waits_for_five_seconds_after_the_last_write() -> None:
    """It is shown with the next change, or then: it must not stay behind for ever, nor cost a write each time."""
    life, name = serving()
    before = life.status_writes
    life.later(seconds=2)

    cluster_says(life, name, "8").run()
    assert (life.status_writes, life.requeue_after) == (before, timedelta(seconds=3))

    life.application_is(name, "UNHEALTHY").later(seconds=1).settle()
    assert (life.status_writes, shown_cpu(life)) == (before + 1, "8")
    assert (life.status["lastUpdateTime"], life.requeue_after) == ("2026-01-01T12:00:03Z", None)

    cluster_says(life, name, "16").later(seconds=5).run()
    assert (life.status_writes, shown_cpu(life), life.requeue_after) == (before + 2, "16", None)


@pytest.mark.spec("rayservice:E80")
def test_a_cluster_that_changes_all_the_time_costs_a_write_every_five_seconds_and_the_last_change_is_shown() -> None:
    life, name = serving()
    before = life.status_writes

    for cpu in range(60):
        cluster_says(life.later(seconds=1), name, str(cpu)).run()
    assert life.status_writes == before + 60 // 5

    life.later(seconds=5).run()
    assert (life.status_writes, shown_cpu(life), life.requeue_after) == (before + 60 // 5, "59", None)


def test_a_change_that_comes_in_the_second_of_another_is_shown_too() -> None:
    """Its time is the same; what it says is not."""
    life, name = serving()
    life.later(seconds=60)
    cluster_says(life, name, "8").run()

    cluster_says(life, name, "16").run()
    assert (shown_cpu(life), life.requeue_after) == ("8", timedelta(seconds=5))

    life.later(seconds=5).run()
    assert (shown_cpu(life), life.requeue_after) == ("16", None)


def test_what_the_server_does_not_keep_of_the_copy_is_not_written_for_ever() -> None:
    """The schema of RayServices may be older than that of RayClusters: it drops what it does not know."""
    life, name = serving()
    cluster_says(life.later(seconds=60), name, "8")
    life.clusters[name]["status"]["newWord"] = "x"
    before = life.status_writes

    for _ in range(10):
        life.run()
        life.service["status"]["activeServiceStatus"]["rayClusterStatus"].pop("newWord", None)
        life.later(minutes=1)

    assert life.status_writes <= before + 2
    assert life.requeue_after is None


def test_a_time_of_the_last_write_that_is_yet_to_come_holds_nothing_up() -> None:
    """Another clock wrote it."""
    life, name = serving()
    life.service["status"]["lastUpdateTime"] = "2026-01-01T13:00:00Z"

    cluster_says(life, name, "8").run()

    assert shown_cpu(life) == "8"
    assert life.status["lastUpdateTime"] == "2026-01-01T12:00:00Z"


def test_a_look_that_is_due_earlier_is_not_put_off_for_what_the_cluster_says() -> None:
    life, _ = serving(rayClusterDeletionDelaySeconds=3)
    _, new = life.replaced()
    life.serves(new)
    assert life.requeue_after == timedelta(seconds=3)

    cluster_says(life, new, "8").run()
    assert life.requeue_after == timedelta(seconds=3)

    life.later(seconds=3).run()
    assert life.requeue_after == timedelta(seconds=2)


@pytest.mark.spec("rayservice:E80")
@pytest.mark.parametrize("change", ["endpoints", "status", "message"])
def test_each_of_these_is(change: str) -> None:
    life, name = serving()
    before = life.status_writes

    if change == "endpoints":
        life.endpoints = 7
    elif change == "status":
        life.application_is(name, "DEPLOYING")
    else:
        life.application_is(name, "RUNNING", message="almost")
    life.settle()

    assert life.status_writes == before + 1


def test_another_process_changes_nothing_of_a_steady_status() -> None:
    """Before the first answer of the dashboard, its applications stay as they are."""
    life, _ = serving()
    before = life.status_writes

    life.restart().settle()

    assert life.status_writes == before


def test_a_generation_is_observed_with_the_next_write() -> None:
    life, _ = serving()

    life.edit(rayClusterDeletionDelaySeconds=7).run()

    assert life.status["observedGeneration"] == 2
    assert life.whole_condition("Ready")["observedGeneration"] == 2


# What is awaited


def test_it_says_what_it_waits_for_step_by_step() -> None:
    life = RayServiceHistory().run(2)
    assert message(life) == "its cluster is about to be made"

    name = life.begun()
    life.run()
    assert message(life) == f"waiting for the head of RayCluster {name}"

    head = life.head_starts(name)
    life.run()
    assert message(life) == f"waiting for Serve on {name}"

    head.messages = {"shop": "\nReplica cannot be placed\nTraceback ..."}
    life.settle()
    assert message(life) == "application shop is DEPLOYING: Replica cannot be placed"

    life.endpoints = 0
    life.application_is(name, "RUNNING", message="").settle()
    assert message(life) == f"waiting for pods of {name} to be ready"

    head.healthy = False
    life.settle()
    assert message(life) == "waiting for the Serve proxy at http://10.1.0.1:8000"


@pytest.mark.parametrize("text", [" \n ", ""])
def test_a_message_without_words_is_left_out(text: str) -> None:
    life, name = serving()
    life.endpoints = 0

    life.application_is(name, "UNHEALTHY", message=text).settle()

    assert message(life) == "application shop is UNHEALTHY"


def test_during_an_upgrade_it_speaks_of_the_new_cluster() -> None:
    life, old = serving()
    life.edit_cluster(rayVersion="2.53.0").run()
    new = life.name("pending")
    assert message(life, "UpgradeInProgress") == (
        f"{new} is made ready to take over from {old}: its cluster is about to be made"
    )

    life.run(2)
    assert message(life, "UpgradeInProgress").endswith(f": waiting for the head of RayCluster {new}")

    head = life.head_starts(new)
    head.deploys, head.workers, head.shut = "RUNNING", 1, True
    life.settle()
    (worker,) = head.doors[1:]
    assert message(life, "UpgradeInProgress").endswith(f": waiting for the Serve proxy at {worker.url}")

    head.healthy = False  # so that no requests go to it: it is not what is waited for
    life.settle()
    assert message(life, "UpgradeInProgress").endswith(f": waiting for the Serve proxy at {worker.url}")


def test_a_service_that_lost_its_endpoints_says_what_it_waits_for() -> None:
    life, name = serving()
    life.endpoints = 0

    life.head_is(name, "False").run(2)

    assert life.condition("Ready") == ("False", "ZeroServeEndpoints")
    assert message(life) == f"waiting for the head of RayCluster {name}"


def test_a_service_that_was_mended_does_not_go_on_quoting_the_error() -> None:
    """The reason stays until something serves (spec rayservice §6)."""
    life = RayServiceHistory()
    name = life.begun()
    life.edit(upgradeStrategy={"type": "Sideways"}).run()

    life.edit(upgradeStrategy={"type": "None"}).run()

    assert life.condition("Ready") == ("False", "ValidationFailed")
    assert message(life) == f"waiting for the head of RayCluster {name}"


@pytest.mark.spec("admission:V9", "admission:V13")
@pytest.mark.parametrize(("gate", "refused"), [(True, ["V9"]), (False, [])])
def test_what_an_incremental_upgrade_needs_is_asked_for_where_the_gate_is_on(gate: bool, refused: list[str]) -> None:
    spec = incremental()
    spec["upgradeStrategy"]["clusterUpgradeOptions"]["stepSizePercent"] = 101
    options = Options(gates=Gates(ray_service_incremental_upgrade=gate))

    life = RayServiceHistory(rayservice(**spec), options=options).run(3)

    assert re.findall(r"\[(\w+)\]", message(life)) == refused
    assert bool(life.name("pending")) is not gate


def test_an_incremental_upgrade_is_told_to_be_unavailable() -> None:
    life, name = serving(**incremental())

    life.edit_cluster(rayVersion="2.53.0").run()

    assert "IncrementalUpgradeUnavailable" in life.reasons
    assert life.names == (name, "")


@pytest.mark.spec("rayservice:E20")
def test_a_service_that_gets_no_configuration_says_so_in_its_condition() -> None:
    life = RayServiceHistory(rayservice(serveConfigV2=config(), annotations={"ray.io/initializing-timeout": "60"}))
    life.edit(serveConfigV2="")
    name = life.begun()
    life.head_starts(name)

    life.settle().later(seconds=60).run()

    assert "serveConfigV2 is empty" in message(life)
    assert life.requeue_after == timedelta(0)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            "Deploying app 'a' failed with exception:\nTraceback (most recent call last):\n  x\nKeyError: 'k'\n",
            "KeyError: 'k'",
        ),
        ("one thing\nand more", "one thing"),
        (" \n", ""),
    ],
)
def test_of_a_long_message_the_line_that_says_most_is_told(message: str, line: str) -> None:
    """A traceback says it at its end."""
    assert _telling_line(message) == line
