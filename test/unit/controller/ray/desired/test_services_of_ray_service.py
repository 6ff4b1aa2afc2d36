"""The two Services of a RayService: they stay, and point to whichever cluster serves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from api.meta import Json
from controller.ray.desired.facts import Facts
from controller.ray.desired.services import head_of_service, serve_of_service
from controller.ray.options import Options

FactsOf = Callable[..., Facts]
Maker = Callable[..., Json]

OWNER = {"apiVersion": "ray.io/v1", "kind": "RayService", "name": "web", "uid": "u1", "controller": True}
ORIGIN = {"ray.io/originated-from-cr-name": "web", "ray.io/originated-from-crd": "RayService"}


def serving(facts: Facts, custom: Json | None = None) -> Json:
    made = serve_of_service(facts, "web", custom, OWNER)
    assert made is not None
    return made


def test_the_head_service_bears_the_service_s_name_and_selects_the_cluster_s_head(facts: FactsOf) -> None:
    made = head_of_service(facts(headServiceAnnotations={"a": "b"}), "web", OWNER, Options())

    assert made["metadata"] == {
        "name": "web-head-svc",
        "namespace": "ns",
        "labels": {**ORIGIN, "ray.io/node-type": "head", "ray.io/identifier": "web-head"},
        "ownerReferences": [OWNER],
    }
    assert made["spec"]["selector"]["ray.io/cluster"] == "r"
    assert made["spec"]["clusterIP"] == "None"


def test_the_head_service_keeps_the_annotations_of_a_user_s_and_is_headless_where_the_user_says_so(
    facts: FactsOf,
) -> None:
    """A load balancer, say, is told by annotations what it is to be (spec rayservice §12.2)."""
    metadata = {"labels": {"x": "y"}, "annotations": {"a": "1"}, "namespace": "elsewhere"}
    custom = {"metadata": metadata, "spec": {"type": "LoadBalancer", "selector": {"q": "r"}}}

    made = head_of_service(
        facts(head={"headService": custom}, headServiceAnnotations={"b": "2"}), "web", OWNER, Options()
    )

    assert made["metadata"] == {
        "name": "web-head-svc",
        "namespace": "ns",
        "labels": {**ORIGIN, "ray.io/node-type": "head", "ray.io/identifier": "web-head"},
        "annotations": {"a": "1"},
        "ownerReferences": [OWNER],
    }
    assert (made["spec"]["type"], "clusterIP" in made["spec"]) == ("LoadBalancer", False)
    assert (made["spec"]["selector"]["ray.io/cluster"], "q" in made["spec"]["selector"]) == ("r", False)


def test_the_head_service_finds_a_head_whose_template_bears_another_application_s_name(
    facts: FactsOf, a_template: Maker
) -> None:
    """The cluster's own head Service does; the reference's for the service selects nobody (spec rayservice §12.2)."""
    template = a_template(metadata={"labels": {"app.kubernetes.io/name": "shop"}})

    made = head_of_service(facts(head={"template": template}), "web", OWNER, Options())

    assert made["spec"]["selector"]["app.kubernetes.io/name"] == "shop"
    assert made["spec"]["selector"]["app.kubernetes.io/created-by"] == "kuberay-operator"


def test_the_serve_service_selects_open_doors_of_the_cluster(facts: FactsOf) -> None:
    made = serving(facts())

    assert made["metadata"] == {
        "name": "web-serve-svc",
        "namespace": "ns",
        "labels": {**ORIGIN, "ray.io/serve": "web-serve"},
        "ownerReferences": [OWNER],
    }
    assert made["spec"] == {
        "selector": {"ray.io/cluster": "r", "ray.io/serve": "true"},
        "ports": [{"name": "serve", "port": 8000}],
    }


def ported(a_template: Maker, a_container: Maker, *ports: Json) -> dict[str, Any]:
    return {"head": {"template": a_template(a_container(ports=list(ports)))}}


@pytest.mark.spec("rayservice:E41")
@pytest.mark.parametrize(
    ("declared", "wanted", "offered"),
    [
        ([("serve", 9000), ("dashboard", 8265)], [], [{"name": "serve", "port": 9000}]),
        (
            [("serve-grpc", 9001), ("serve", 9000), ("server", 1)],
            [],
            [{"name": "serve", "port": 9000}, {"name": "serve-grpc", "port": 9001}],
        ),
        (
            [("serve", 9000)],
            [{"name": "serve", "port": 80, "targetPort": 9000, "appProtocol": "kubernetes.io/h2c"}],
            [{"name": "serve", "port": 80, "targetPort": 9000, "appProtocol": "kubernetes.io/h2c"}],
        ),
        ([("serve", 9000)], [{"name": "custom", "port": 81}], [{"name": "serve", "port": 9000}]),
        ([("dashboard", 8265)], [{"name": "custom", "port": 81}], [{"name": "custom", "port": 81}]),
    ],
)
def test_which_ports_it_offers(
    facts: FactsOf,
    a_template: Maker,
    a_container: Maker,
    declared: list[tuple[str, int]],
    wanted: list[Json],
    offered: list[Json],
) -> None:
    """Those that serve, as the user spelt them where one has the same name; the user's own where none serves."""
    ports = [{"name": name, "containerPort": number} for name, number in declared]

    made = serving(facts(**ported(a_template, a_container, *ports)), {"spec": {"ports": wanted}})

    assert made["spec"]["ports"] == offered


def test_a_head_that_serves_nothing_has_none(facts: FactsOf, a_template: Maker, a_container: Maker) -> None:
    ports = {"name": "dashboard", "containerPort": 8265}

    assert serve_of_service(facts(**ported(a_template, a_container, ports)), "web", None, OWNER) is None


@pytest.mark.spec("rayservice:E42")
def test_of_a_user_s_service_all_stays_but_what_must_be_ours(facts: FactsOf) -> None:
    custom = {
        "metadata": {
            "name": "front",
            "namespace": "elsewhere",
            "labels": {"a": "b", "ray.io/serve": "mine"},
            "annotations": {"c": "d"},
        },
        "spec": {"type": "LoadBalancer", "selector": {"x": "y"}, "loadBalancerClass": "z"},
    }

    made = serving(facts(), custom)

    assert (made["metadata"]["name"], made["metadata"]["namespace"]) == ("front", "ns")
    assert made["metadata"]["labels"] == {"a": "b", **ORIGIN, "ray.io/serve": "web-serve"}
    assert made["metadata"]["annotations"] == {"c": "d"}
    assert made["spec"]["selector"] == {"ray.io/cluster": "r", "ray.io/serve": "true"}
    assert (made["spec"]["type"], made["spec"]["loadBalancerClass"]) == ("LoadBalancer", "z")


def test_the_type_is_the_head_group_s_unless_the_user_says(facts: FactsOf) -> None:
    exposed = facts(head={"serviceType": "NodePort"})

    assert serving(exposed)["spec"]["type"] == "NodePort"
    assert serving(exposed, {"spec": {"type": "ClusterIP"}})["spec"]["type"] == "ClusterIP"
