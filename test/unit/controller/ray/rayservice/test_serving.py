"""What a cluster is given to serve, when it counts as serving, and its head's label (spec rayservice §10, §11)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from api.v1 import wire
from controller.ray.dashboard.protocol import Wants
from controller.ray.options import Gates, Options
from controller.ray.rayservice.seen import goal_of
from localcluster.testing.rayservice_history import RayServiceHistory, config, rayservice

GOAL = goal_of(config("shop"))


def mark(life: RayServiceHistory, cluster: str) -> str:
    annotations: dict[str, str] = life.clusters[cluster]["metadata"]["annotations"]
    return annotations.get(wire.ANNOTATION_SERVE_CONFIG, "")


def wanted(life: RayServiceHistory, cluster: str) -> Wants:
    found = life.wants(cluster)
    assert found is not None
    return found


def begun() -> tuple[RayServiceHistory, str]:
    life = RayServiceHistory()
    name = life.begun()
    life.head_starts(name)
    return life, name


def serving(**spec: Any) -> tuple[RayServiceHistory, str]:
    life = RayServiceHistory(rayservice(**spec))
    return life, life.serving()


# The marks of a configuration


@pytest.mark.spec("rayservice:E29", "rayservice:16/updatedserveapplications-failedtoupdates")
def test_a_configuration_is_remembered_before_it_is_sent_and_after() -> None:
    life, name = begun()

    life.run()
    assert mark(life, name) == f"sending:{GOAL.digest}"
    assert wanted(life, name).effects == (), "it is not sent before that is stored"

    life.run()
    assert wanted(life, name).effects == (GOAL.put,)
    assert life.heads[name].received == []

    life.talk()
    life.run()
    assert mark(life, name) == f"sent:{GOAL.digest}"
    assert life.notes("UpdatedServeApplications") == [f"Updated serve applications to the RayCluster default/{name}"]

    life.run()
    assert (wanted(life, name).effects, wanted(life, name).mark) == ((), GOAL.digest)
    assert len(life.heads[name].received) == 1


def test_without_a_ready_head_nothing_is_asked_of_serve_and_nothing_is_sent() -> None:
    life = RayServiceHistory()
    name = life.begun()
    life.head_starts(name)
    life.head_is(name, "False")

    life.run(3)

    assert (mark(life, name), wanted(life, name).serve) == ("", False)


@pytest.mark.spec("rayservice:E29")
@pytest.mark.parametrize("passes", [1, 2])
def test_an_operator_that_starts_anew_sends_once_more_what_may_not_have_arrived(passes: int) -> None:
    """The same configuration again changes nothing."""
    life, name = begun()
    life.run(passes)
    if passes == 2:
        life.talk()  # it arrived, and nobody wrote that down

    life.restart().settle()

    assert mark(life, name) == f"sent:{GOAL.digest}"
    assert len(life.heads[name].received) == passes


@pytest.mark.spec("rayservice:E29")
def test_an_operator_that_starts_anew_does_not_send_what_has_arrived() -> None:
    """The reference does: it remembers in memory alone."""
    life, name = serving()

    life.restart().settle()

    assert (len(life.heads[name].received), life.names) == (1, (name, ""))


@pytest.mark.spec("rayservice:E29", "rayservice:E30")
def test_another_configuration_is_sent_to_the_same_cluster() -> None:
    life, name = serving()

    life.edit(serveConfigV2=config("shop", "news")).settle()

    assert len(life.heads[name].received) == 2
    assert life.status["activeServiceStatus"]["applicationStatuses"].keys() == {"shop", "news"}
    assert (life.names, len(life.clusters)) == ((name, ""), 1)
    assert life.reasons.count("UpdatedServeApplications") == 2


def test_the_same_configuration_in_other_words_is_not_sent_again() -> None:
    life, name = serving()

    life.edit(serveConfigV2="# the same\n" + config("shop")).settle()

    assert len(life.heads[name].received) == 1


def test_a_configuration_that_was_overtaken_before_it_went_out_is_never_sent() -> None:
    life, name = begun()
    life.run(2)

    life.edit(serveConfigV2=config("news")).settle()

    assert [one["applications"][0]["name"] for one in life.heads[name].received] == ["news"]


@pytest.mark.spec("rayservice:E29", "rayservice:E47")
def test_a_head_that_forgot_its_applications_gets_them_again() -> None:
    """It restarted, and nothing outside of it remembered them."""
    life, name = serving()

    life.head_starts(name, run=2).deploys = "RUNNING"
    life.settle()

    assert life.heads[name].applications == {"shop": "RUNNING"}
    assert len(life.heads[name].received) == 1
    assert life.condition("Ready") == ("True", "NonZeroServeEndpoints")
    assert life.names == (name, "")
    assert life.reasons.count("UpdatedServeApplications") == 2


def test_a_head_whose_applications_were_restored_gets_nothing_again() -> None:
    """With a GCS that survives, it still has them (spec rayservice §17)."""
    life, name = serving()

    life.head_starts(name, run=2).applications = {"shop": "RUNNING"}
    life.settle()

    assert life.heads[name].received == []


@pytest.mark.spec("rayservice:E33")
def test_a_configuration_without_applications_is_sent_once_and_serves_nothing() -> None:
    life = RayServiceHistory(rayservice(serveConfigV2='{"applications": []}'))
    name = life.begun()
    life.head_starts(name)

    life.settle()

    assert life.names == ("", name), "nothing serves"
    writes, events = len(life.writes), len(life.events)
    for _ in range(5):
        life.run().talk()
    assert (len(life.heads[name].received), len(life.writes), len(life.events)) == (1, writes, events)


# Configurations that do not arrive


@pytest.mark.spec("rayservice:E37", "rayservice:16/updatedserveapplications-failedtoupdates")
def test_a_configuration_that_is_no_yaml_is_told_and_leaves_what_runs_alone() -> None:
    life, name = serving()

    life.edit(serveConfigV2="{applications: [").settle()

    note = life.notes("FailedToUpdateServeApplications")[0]
    assert note.startswith(f"Failed to update serve applications to the RayCluster default/{name}: serveConfigV2 is no")
    assert len(life.heads[name].received) == 1
    assert life.condition("Ready") == ("True", "NonZeroServeEndpoints")
    assert mark(life, name) == f"sent:{GOAL.digest}"


@pytest.mark.spec("rayservice:E20")
@pytest.mark.parametrize("text", ["", "# nothing\n", "null", "~"])
def test_an_empty_configuration_is_told_and_not_sent(text: str) -> None:
    """Serve would answer 400 to it, for ever."""
    life = RayServiceHistory(rayservice(serveConfigV2=text))
    name = life.begun()
    life.head_starts(name)

    life.settle()

    assert (life.heads[name].received, mark(life, name)) == ([], "")
    assert "serveConfigV2 is empty" in life.notes("FailedToUpdateServeApplications")[-1]
    assert "serveConfigV2 is empty" in life.whole_condition("Ready")["message"]
    assert life.names == ("", name)


def test_a_configuration_that_serve_refuses_is_told_and_stays_in_sending() -> None:
    life, name = begun()
    life.heads[name].refusal = "Serve refused the configuration: import_path is missing"

    life.settle()

    assert mark(life, name) == f"sending:{GOAL.digest}"
    assert life.notes("FailedToUpdateServeApplications")[-1].endswith(life.heads[name].refusal)
    assert "import_path is missing" in life.whole_condition("Ready")["message"]


def test_a_dashboard_that_does_not_answer_gets_it_later() -> None:
    life, name = begun()
    life.heads[name].down = "connection refused"
    life.settle()
    assert mark(life, name) == f"sending:{GOAL.digest}"
    assert life.whole_condition("Ready")["message"] == f"the dashboard of {name} does not answer: connection refused"

    life.heads[name].down = ""
    life.settle()

    assert mark(life, name) == f"sent:{GOAL.digest}"


# When it counts as serving


@pytest.mark.spec("rayservice:E32")
def test_an_answer_from_before_the_configuration_is_no_answer_to_it() -> None:
    """All runs, still of the old configuration: that takes nothing over."""
    life = RayServiceHistory()
    old = life.serving()
    _, new = life.replaced()
    head = life.head_starts(new)
    head.workers, head.shut, head.deploys = 1, True, "RUNNING"
    life.settle()
    assert life.names == (old, new)

    life.edit(serveConfigV2=config("news")).run()
    head.shut, head.routes, head.deploys = False, frozenset({"/news"}), "DEPLOYING"
    for _ in range(6):
        life.run()
        life.talk()

    assert head.applications == {"news": "DEPLOYING"}
    assert life.names == (old, new)
    life.application_is(new, "RUNNING", "news").settle()
    assert life.names == (new, "")


@pytest.mark.spec("rayservice:E32")
def test_a_question_that_failed_makes_an_older_answer_no_newer() -> None:
    """Asked after the configuration was sent, the head was silent: what is known is from before it."""
    life = RayServiceHistory()
    name = life.begun()
    head = life.head_starts(name)
    head.applications = {"shop": "RUNNING"}  # somebody deployed it by hand
    life.run(2)
    life.talk()
    head.applications = {"shop": "RUNNING"}
    life.run()
    assert mark(life, name).startswith("sent:")
    head.down = "timed out"

    life.run()
    life.talk()
    life.run()

    assert life.names == ("", name)


@pytest.mark.spec("rayservice:E33")
@pytest.mark.parametrize(
    "states",
    [
        {"shop": "DEPLOYING"},
        {"shop": "UNHEALTHY"},
        {"shop": "DEPLOY_FAILED"},
        {"shop": "NOT_STARTED"},
        {"shop": "RUNNING", "news": "DEPLOYING"},
        {"shop": "SOMETHING_NEW"},
    ],
)
def test_a_cluster_serves_only_when_every_application_runs(states: dict[str, str]) -> None:
    life, name = begun()
    life.settle()
    life.heads[name].applications = states

    life.settle()

    assert life.names == ("", name)
    shown = life.status["pendingServiceStatus"]["applicationStatuses"]
    assert {one: said["status"] for one, said in shown.items()} == states

    life.heads[name].applications = dict.fromkeys(states, "RUNNING")
    life.settle()
    assert life.names == (name, "")


@pytest.mark.spec("rayservice:E81")
@pytest.mark.parametrize("ready", [True, False])
def test_without_the_conditions_of_clusters_the_head_pod_itself_tells_whether_it_is_ready(ready: bool) -> None:
    life = RayServiceHistory(options=Options(gates=Gates(ray_cluster_status_conditions=False)))
    name = life.begun()
    head = life.head_starts(name)
    head.pod, head.deploys = replace(head.pod, ready=ready), "RUNNING"
    life.clusters[name]["status"] = {}

    life.settle()

    assert life.names == ((name, "") if ready else ("", name))


@pytest.mark.spec("rayservice:E09")
def test_a_new_cluster_without_a_head_holds_up_nothing_else() -> None:
    """The reference freezes the whole service meanwhile."""
    life, old = serving()
    life.replaced()
    life.heads[old].healthy = False

    life.settle()

    assert life.heads[old].pod.label == "false"
    assert life.error is None
    assert life.status["numServeEndpoints"] == 1


# The head's label


@pytest.mark.spec("rayservice:E40", "rayservice:16/updatedheadpodservelabel-failedtoupdateh")
def test_the_head_takes_requests_while_its_proxy_is_healthy() -> None:
    life, name = serving()
    assert life.heads[name].pod.label == "true"
    assert life.notes("UpdatedHeadPodServeLabel") == [
        f'Updated the serve label of head Pod default/{name}-head to "true"'
    ]

    life.heads[name].healthy = False
    life.settle()
    assert life.heads[name].pod.label == "false"

    life.heads[name].healthy = True
    life.settle()
    assert life.heads[name].pod.label == "true"


@pytest.mark.spec("rayservice:E40")
def test_a_head_that_is_excluded_never_takes_requests_and_is_not_asked() -> None:
    life, name = serving(excludeHeadPodFromServeSvc=True)

    assert life.heads[name].pod.label == "false"
    assert wanted(life, name).proxies == ()


@pytest.mark.spec("rayservice:E40")
def test_excluding_the_head_of_a_running_service_needs_no_new_cluster() -> None:
    life, name = serving()

    life.edit(excludeHeadPodFromServeSvc=True).settle()
    assert (life.heads[name].pod.label, life.names) == ("false", (name, ""))

    life.edit(excludeHeadPodFromServeSvc=False).settle()
    assert life.heads[name].pod.label == "true"


def test_before_anything_is_known_of_a_head_its_label_stays() -> None:
    """An operator that starts anew takes no head out of the traffic."""
    life, name = serving()
    writes = len(life.writes)

    life.restart().run(2)

    assert (life.heads[name].pod.label, len(life.writes)) == ("true", writes)


def test_a_head_without_an_address_takes_no_requests() -> None:
    life, name = serving()
    life.heads[name].pod = replace(life.heads[name].pod, ip="")

    life.run()

    assert life.heads[name].pod.label == "false"


@pytest.mark.spec("rayservice:E40")
def test_a_head_with_an_ipv6_address_is_asked_in_brackets() -> None:
    """The reference forgets them, and such a head never serves."""
    life = RayServiceHistory()
    name = life.begun()
    life.head_starts(name, ip="fd00::7").deploys = "RUNNING"

    life.settle()

    assert [door.url for door in wanted(life, name).proxies] == ["http://[fd00::7]:8000"]
    assert life.heads[name].pod.label == "true"


def test_a_label_that_cannot_be_written_is_told_and_holds_up_nothing() -> None:
    life = RayServiceHistory()
    life.refuse = {"head label"}
    name = life.begun()

    for _ in range(12):
        life.run()
        if name not in life.heads:
            life.head_starts(name).deploys = "RUNNING"
        life.talk()

    assert life.names == (name, "")
    assert life.notes("FailedToUpdateHeadPodServeLabel")[0].startswith("Failed to update the serve label of head Pod ")
    assert life.error is not None


def test_a_cluster_that_is_being_deleted_is_left_in_peace() -> None:
    life, name = serving()
    life.clusters[name]["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"

    life.later(minutes=1).run(2)

    assert life.wants(name) is None
    assert life.requeue_after in (None, timedelta(0))
