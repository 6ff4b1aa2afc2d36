"""When requests go to another cluster, and how the two Services get there (spec rayservice §12, §13)."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from api.meta import Json
from controller.runtime.plan import Create, Delete, MergePatch
from localcluster.testing.rayservice_history import HEAD_TEMPLATE, RayServiceHistory, config, rayservice


def serving(*, workers: int = 1, **spec: Any) -> tuple[RayServiceHistory, str]:
    life = RayServiceHistory(rayservice(**spec))
    return life, life.serving(workers=workers)


def goal(**head: Any) -> Json:
    return {"rayVersion": "2.52.0", "headGroupSpec": {"template": HEAD_TEMPLATE, **head}}


def to_services(life: RayServiceHistory) -> list[Create | Delete | MergePatch]:
    return [one for one in life.writes if one.why in ("head service", "serve service")]


# Proof


def test_requests_move_only_when_every_door_is_open_and_knows_every_route() -> None:
    life, old = serving()
    _, new = life.replaced()
    head = life.head_starts(new)
    head.deploys, head.workers, head.shut = "RUNNING", 2, True
    life.settle()
    assert (life.names, life.selected()) == ((old, new), old)

    head.shut, head.routes = False, frozenset({"/"})
    life.settle()
    assert (life.names, life.selected()) == ((old, new), old)

    head.routes = frozenset({"/", "/shop"})
    life.settle()
    assert (life.names, life.selected(), life.selected("web-head-svc")) == ((new, ""), new, new)


def test_a_new_cluster_without_any_door_takes_no_requests_from_one_that_has_some() -> None:
    """Its applications run, but nobody would be behind the Service."""
    life, old = serving(excludeHeadPodFromServeSvc=True)
    _, new = life.replaced()

    life.serves(new, workers=0)
    assert life.selected() == old

    life.heads[new].workers = 1
    life.settle()
    assert life.selected() == new


def test_a_pod_that_may_have_no_proxy_at_all_holds_nothing_up() -> None:
    """Its own readiness probe does not ask for one, and Serve put no replica there. The old cluster is the same."""
    life, old = serving()
    _, new = life.replaced()
    head = life.head_starts(new)
    head.deploys, head.workers, head.shut, head.ungated, head.healthy = "RUNNING", 2, True, True, False
    life.settle()
    assert life.selected() == old, "somebody must be behind the Service"

    head.healthy = True
    life.settle()
    assert (life.names, life.selected()) == ((new, ""), new)


def test_a_proxy_that_is_there_must_know_every_route_whoever_asks_for_it() -> None:
    life, old = serving()
    _, new = life.replaced()
    head = life.head_starts(new)
    head.deploys, head.workers, head.ungated, head.routes = "RUNNING", 2, True, frozenset({"/"})

    life.settle()

    assert life.selected() == old


@pytest.mark.spec("rayservice:E25")
def test_where_no_request_is_answered_any_more_no_proof_is_asked_for() -> None:
    """The old head's proxy is dead: nothing is lost by moving at once."""
    life, old = serving(workers=0)
    _, new = life.replaced()
    life.heads[old].healthy = False
    life.settle()
    assert (life.heads[old].pod.label, life.condition("Ready")) == ("false", ("False", "ZeroServeEndpoints"))
    assert life.condition("UpgradeInProgress")[0] == "True"

    head = life.head_starts(new)
    head.deploys, head.workers, head.shut = "RUNNING", 1, True
    life.settle()
    assert (life.names, life.selected()) == ((new, ""), new)
    assert life.condition("Ready") == ("True", "NonZeroServeEndpoints")


def test_the_first_cluster_needs_no_proof() -> None:
    life = RayServiceHistory()
    name = life.begun()
    head = life.head_starts(name)
    head.deploys, head.healthy = "RUNNING", False

    life.settle()

    assert (life.names, life.selected()) == ((name, ""), name)
    assert life.condition("Ready") == ("False", "Initializing")


def test_a_cluster_that_is_going_takes_nothing_over() -> None:
    life, old = serving()
    _, new = life.replaced()
    head = life.head_starts(new)
    head.deploys, head.workers, head.shut = "RUNNING", 1, True
    life.settle()
    head.shut = False
    life.talk()  # all is proven now, and somebody deletes it
    life.clusters[new]["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"

    life.settle()

    assert (life.names, life.selected()) == ((old, new), old)


# The two Services


@pytest.mark.spec("rayservice:16/createdservice-failedtocreateservice")
def test_both_services_are_made_once_the_first_cluster_serves_the_head_s_first() -> None:
    life = RayServiceHistory()
    name = life.begun()
    assert life.services == {}

    life.serves(name)

    assert [one.why for one in to_services(life)] == ["head service", "serve service"]
    assert life.notes("CreatedService") == [
        "Created Service default/web-head-svc",
        "Created Service default/web-serve-svc",
    ]


@pytest.mark.spec("rayservice:E39")
def test_a_service_that_selects_the_cluster_is_left_alone_whatever_was_changed_in_it() -> None:
    life, _ = serving()
    life.services["web-serve-svc"]["spec"]["ports"] = [{"name": "mine", "port": 1}]
    writes = len(life.writes)

    life.edit(serveService={"spec": {"type": "NodePort"}}).settle()

    assert len(life.writes) == writes
    assert life.services["web-serve-svc"]["spec"]["ports"] == [{"name": "mine", "port": 1}]


@pytest.mark.spec("rayservice:E39", "rayservice:16/updatedservice-failedtoupdateservice")
def test_both_are_repointed_in_one_pass_and_keep_their_addresses() -> None:
    life, _ = serving()
    life.services["web-serve-svc"]["metadata"]["labels"]["team"] = "a"
    _, new = life.replaced()

    life.serves(new)

    serve = life.services["web-serve-svc"]
    assert (life.selected(), life.selected("web-head-svc")) == (new, new)
    assert serve["spec"]["clusterIP"] == "10.0.0.7"
    assert serve["metadata"]["labels"]["team"] == "a"
    assert life.services["web-head-svc"]["spec"]["clusterIP"] == "None"
    assert life.notes("UpdatedService") == [
        "Updated Service default/web-head-svc",
        "Updated Service default/web-serve-svc",
    ]


def test_the_spec_of_a_repointed_service_is_replaced_not_merged() -> None:
    """What the user wanted of it before, and does not any more, goes; what the API server gave it stays."""
    life, _ = serving(serveService={"spec": {"type": "NodePort", "sessionAffinity": "ClientIP"}})
    spec = life.services["web-serve-svc"]["spec"]
    assert (spec["type"], spec["sessionAffinity"]) == ("NodePort", "ClientIP")
    spec |= {"ipFamilies": ["IPv6"], "clusterIPs": ["10.0.0.7"]}

    life.edit(serveService={"spec": {}})
    _, new = life.replaced()
    life.serves(new)

    spec = life.services["web-serve-svc"]["spec"]
    assert not spec.keys() & {"type", "sessionAffinity"}
    assert (spec["ipFamilies"], spec["clusterIPs"], spec["clusterIP"]) == (["IPv6"], ["10.0.0.7"], "10.0.0.7")


def test_a_refused_serve_service_keeps_the_old_cluster_active_and_is_tried_again() -> None:
    life, old = serving()
    _, new = life.replaced()
    life.refuse = {"serve service"}
    life.head_starts(new).deploys = "RUNNING"
    life.heads[new].workers = 1

    for _ in range(8):
        life.run().talk()
    assert (life.names, life.selected()) == ((old, new), old)
    assert life.notes("FailedToUpdateService")[0].startswith("Failed to update Service default/web-serve-svc: ")

    life.refuse = set()
    life.settle()
    assert (life.names, life.selected()) == ((new, ""), new)


def test_a_refused_head_service_keeps_the_serve_service_where_it_is() -> None:
    life, old = serving()
    _, new = life.replaced()
    life.refuse = {"head service"}
    life.head_starts(new).deploys = "RUNNING"
    life.heads[new].workers = 1

    for _ in range(8):
        life.run().talk()

    assert (life.names, life.selected()) == ((old, new), old)


def test_a_headless_service_is_made_anew_where_it_is_to_have_a_node_port() -> None:
    """No address can be given to it; the reference is refused for ever (spec rayservice §12.4)."""
    life, _ = serving(rayClusterConfig=goal())
    _, new = life.replaced(headGroupSpec=goal(serviceType="NodePort")["headGroupSpec"])

    life.serves(new)

    assert [type(one) for one in to_services(life) if one.why == "head service"] == [Create, Delete, Create]
    head = life.services["web-head-svc"]["spec"]
    assert (head["type"], head["selector"]["ray.io/cluster"]) == ("NodePort", new)
    assert (life.names, life.selected()) == ((new, ""), new)


def test_a_service_of_somebody_else_is_not_written_to() -> None:
    life, old = serving()
    _, new = life.replaced()
    life.services["web-head-svc"]["metadata"]["ownerReferences"][0]["uid"] = "another"

    life.head_starts(new).deploys = "RUNNING"
    life.heads[new].workers = 1
    for _ in range(8):
        life.run().talk()

    assert life.selected("web-head-svc") == old
    assert life.name("active") == old
    assert "FailedToCreateService" in life.reasons
    assert life.error is not None


@pytest.mark.spec("rayservice:E45")
@pytest.mark.parametrize("name", ["web-serve-svc", "web-head-svc"])
@pytest.mark.parametrize("upgrading", [True, False])
def test_a_service_that_somebody_deleted_is_made_again_at_once(name: str, *, upgrading: bool) -> None:
    """However the applications are, and also while the next cluster is made; the reference waits for both."""
    life, old = serving()
    if upgrading:
        life.replaced()
    life.application_is(old, "UNHEALTHY").settle()
    del life.services[name]

    life.run()

    assert life.selected(name) == old
    assert life.name("active") == old


def test_a_head_service_that_went_ahead_comes_back_when_its_cluster_is_given_up() -> None:
    """The serve Service was refused, the new cluster failed, and another is wanted: nobody else would ask it back."""
    life, old = serving()
    _, new = life.replaced()
    life.refuse = {"serve service"}
    life.head_starts(new).deploys = "RUNNING"
    life.heads[new].workers = 1
    while life.selected("web-head-svc") != new:
        life.run().talk()

    life.application_is(new, "UNHEALTHY").talk()
    life.refuse = set()
    life.edit_cluster(rayVersion="2.54.0").run(2)

    assert new not in life.names
    assert (life.name("active"), life.selected(), life.selected("web-head-svc")) == (old, old, old)


@pytest.mark.spec("rayservice:E41", "rayservice:E11")
def test_a_head_without_a_serve_port_and_no_service_of_the_user_s_fails_with_words() -> None:
    container = HEAD_TEMPLATE["spec"]["containers"][0] | {"ports": [{"name": "dashboard", "containerPort": 8265}]}
    life = RayServiceHistory(rayservice(rayClusterConfig=goal(template={"spec": {"containers": [container]}})))
    name = life.begun()

    life.head_starts(name).deploys = "RUNNING"
    life.settle()

    assert (life.services, life.names) == ({}, ("", name))
    assert "has no port named serve" in str(life.error)
    assert "has no port named serve" in life.whole_condition("Ready")["message"]


@pytest.mark.spec("rayservice:E43")
def test_a_renamed_serve_service_is_a_second_one() -> None:
    life, name = serving()

    life.edit(serveService={"metadata": {"name": "mine"}}).settle()

    assert life.selected("mine") == life.selected("web-serve-svc") == name


def test_the_old_cluster_keeps_its_configuration_and_its_head_s_label_is_kept_right_until_the_end() -> None:
    life, old = serving()
    _, new = life.replaced()
    life.edit(serveConfigV2=config("news"))
    life.heads[old].healthy = False

    life.settle()
    assert life.heads[old].pod.label == "false"
    life.serves(new)

    assert [one["applications"][0]["name"] for one in life.heads[old].received] == ["shop"]
    assert life.names == (new, "")


@pytest.mark.spec("rayservice:E44")
def test_an_edited_serve_service_shows_at_the_next_switch_and_its_metadata_never() -> None:
    """The Service that is there may have been given to somebody; it changes only together with what is behind it."""
    life, _ = serving()
    before = copy.deepcopy(life.services["web-serve-svc"])

    edited = {"metadata": {"annotations": {"zone": "a"}, "labels": {"team": "b"}}, "spec": {"type": "NodePort"}}
    life.edit(serveService=edited).settle()
    assert life.services["web-serve-svc"] == before

    _, new = life.replaced()
    life.serves(new)
    after = life.services["web-serve-svc"]
    assert (life.selected(), after["spec"]["type"]) == (new, "NodePort")
    assert after["metadata"] == before["metadata"]


@pytest.mark.spec("rayservice:E24")
def test_a_service_whose_endpoints_lag_behind_its_selector_is_unready_for_a_moment() -> None:
    """Nobody is known to be behind it yet; the upgrade is over all the same, and it is ready once somebody is."""
    life, _ = serving()
    _, new = life.replaced()
    head = life.head_starts(new)
    head.deploys, head.workers = "RUNNING", 1
    while life.selected() != new:
        life.run().talk()

    life.endpoints = 0
    life.run()
    assert (life.condition("Ready"), "numServeEndpoints" in life.status) == (("False", "ZeroServeEndpoints"), False)
    assert (life.names, life.condition("UpgradeInProgress")) == ((new, ""), ("False", "NoPendingCluster"))

    life.endpoints = None
    life.run()
    assert life.condition("Ready") == ("True", "NonZeroServeEndpoints")
