"""Services before a cluster."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from api.meta import Json
from controller.ray.desired import services
from controller.ray.desired.facts import Facts
from controller.ray.options import Options

FactsOf = Callable[..., Facts]
Maker = Callable[..., Json]

SELECTOR = {
    "ray.io/cluster": "r",
    "ray.io/node-type": "head",
    "ray.io/identifier": "r-head",
    "app.kubernetes.io/name": "kuberay",
    "app.kubernetes.io/created-by": "kuberay-operator",
}
DEFAULT_PORTS = [
    {"name": "client", "port": 10001, "appProtocol": "tcp"},
    {"name": "dashboard", "port": 8265, "appProtocol": "tcp"},
    {"name": "gcs-server", "port": 6379, "appProtocol": "tcp"},
    {"name": "metrics", "port": 8080, "appProtocol": "tcp"},
    {"name": "serve", "port": 8000, "appProtocol": "tcp"},
]


def head(facts: Facts, options: Options | None = None) -> Json:
    return services.head(facts, options or Options())


def test_the_head_service_is_headless_and_names_the_head_before_it_is_ready(facts: FactsOf) -> None:
    found = head(facts())

    assert found["metadata"]["name"] == "r-head-svc"
    assert found["metadata"]["labels"] == SELECTOR
    assert found["metadata"]["ownerReferences"][0]["uid"] == "8f2a"
    assert found["spec"] == {
        "selector": SELECTOR,
        "ports": DEFAULT_PORTS,
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
    }


@pytest.mark.parametrize(
    ("service_type", "cluster_ip_service", "headless"),
    [
        ("", False, True),
        ("ClusterIP", False, True),
        ("NodePort", False, False),
        ("LoadBalancer", False, False),
        ("", True, False),
        ("ClusterIP", True, False),
    ],
)
def test_only_a_cluster_ip_service_is_headless(
    facts: FactsOf, service_type: str, cluster_ip_service: bool, headless: bool
) -> None:
    spec = head(facts(head={"serviceType": service_type}), Options(head_cluster_ip_service=cluster_ip_service))["spec"]

    assert ("clusterIP" in spec, "publishNotReadyAddresses" in spec) == (headless, headless)
    assert spec.get("type", "") == service_type


def with_ports(template: Maker, container: Maker, *ports: Json) -> Json:
    return {"template": template(container(ports=list(ports)))}


@pytest.mark.parametrize(
    ("declared", "offered"),
    [
        ([{"name": "a", "containerPort": 1}], {"a": 1, "metrics": 8080}),
        ([{"containerPort": 7}], {"7-port": 7, "metrics": 8080}),
        ([{"name": "metrics", "containerPort": 9}], {"metrics": 9}),
        ([{"name": "a", "containerPort": 1}, {"name": "a", "containerPort": 2}], {"a": 2, "metrics": 8080}),
        ([{"name": "u", "containerPort": 5, "protocol": "UDP"}], {"metrics": 8080, "u": 5}),
    ],
)
@pytest.mark.spec("raycluster:E62")
def test_declared_ports_replace_the_defaults(
    facts: FactsOf, a_template: Maker, a_container: Maker, declared: list[Json], offered: dict[str, int]
) -> None:
    found = head(facts(head=with_ports(a_template, a_container, *declared)))

    assert found["spec"]["ports"] == [
        {"name": name, "port": port, "appProtocol": "tcp"} for name, port in sorted(offered.items())
    ]


@pytest.mark.spec("raycluster:E43")
def test_of_the_head_s_labels_only_the_application_s_name_is_followed(facts: FactsOf, a_template: Maker) -> None:
    theirs = {"app.kubernetes.io/name": "mine", "ray.io/identifier": "x", "app.kubernetes.io/created-by": "me"}
    found = head(facts(head={"template": a_template(metadata={"labels": theirs})}))

    assert found["spec"]["selector"] == SELECTOR | {"app.kubernetes.io/name": "mine"}
    assert found["metadata"]["labels"] == found["spec"]["selector"]


def test_annotations_for_the_head_service_reach_it(facts: FactsOf) -> None:
    assert head(facts(headServiceAnnotations={"a": "b"}))["metadata"]["annotations"] == {"a": "b"}


CUSTOM = {
    "metadata": {"name": "mine", "namespace": "elsewhere", "labels": {"x": "y"}, "annotations": {"a": "1", "b": "2"}},
    "spec": {
        "type": "LoadBalancer",
        "clusterIP": "10.0.0.9",
        "ports": [{"name": "z", "port": 1}],
        "selector": {"q": "r"},
    },
}


def test_a_user_s_head_service_keeps_what_is_not_the_operator_s(facts: FactsOf) -> None:
    found = head(facts(head={"headService": CUSTOM, "serviceType": "NodePort"}, headServiceAnnotations={"b": "3"}))

    assert found["metadata"] | {"ownerReferences": []} == {
        "name": "mine",
        "namespace": "ns",
        "labels": {"x": "y"} | SELECTOR,
        "annotations": {"a": "1", "b": "3"},
        "ownerReferences": [],
    }
    assert found["spec"] == {
        "type": "LoadBalancer",
        "clusterIP": "10.0.0.9",
        "selector": SELECTOR,
        "ports": [{"name": "z", "port": 1}, *DEFAULT_PORTS],
    }


def test_a_user_s_head_service_without_name_and_type_gets_the_usual_ones(facts: FactsOf) -> None:
    found = head(facts(head={"headService": {"spec": {}}, "serviceType": "NodePort"}))

    assert (found["metadata"]["name"], found["spec"]["type"]) == ("r-head-svc", "NodePort")
    assert "clusterIP" not in found["spec"]


@pytest.mark.spec("raycluster:E63")
def test_a_port_that_the_user_repeats_is_there_twice(facts: FactsOf) -> None:
    """The API server refuses such a Service, and its words tell the user which port it is."""
    custom = {"spec": {"ports": [{"name": "mine", "port": 8265}]}}

    numbers = [port["port"] for port in head(facts(head={"headService": custom}))["spec"]["ports"]]

    assert numbers.count(8265) == 2


def test_building_leaves_the_user_s_service_alone(facts: FactsOf) -> None:
    custom = {"metadata": {"name": "mine"}, "spec": {"ports": [{"name": "z", "port": 1}]}}

    head(facts(head={"headService": custom}))

    assert custom == {"metadata": {"name": "mine"}, "spec": {"ports": [{"name": "z", "port": 1}]}}


def test_hosts_of_a_replica_find_each_other_before_they_are_ready(facts: FactsOf) -> None:
    found = services.headless(facts())

    assert found["metadata"]["name"] == "r-headless"
    assert found["metadata"]["labels"] == {"ray.io/headless-worker-svc": "r"}
    assert found["spec"] == {
        "type": "ClusterIP",
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {"ray.io/cluster": "r", "ray.io/node-type": "worker"},
    }


@pytest.mark.parametrize(("annotation", "asked"), [("true", True), ("True", False), ("", False), ("yes", False)])
def test_a_serve_service_is_asked_for_by_exactly_true(facts: FactsOf, annotation: str, asked: bool) -> None:
    assert services.asks_for_serve_service(facts(annotations={"ray.io/enable-serve-service": annotation})) is asked


def test_the_serve_service_stands_before_all_pods_of_the_cluster(facts: FactsOf) -> None:
    found = services.serve(facts(head={"serviceType": "NodePort"}))

    assert found is not None
    assert found["metadata"]["name"] == "r-serve-svc"
    assert found["metadata"]["labels"] == {
        "ray.io/originated-from-cr-name": "r",
        "ray.io/originated-from-crd": "RayCluster",
        "ray.io/serve": "r-serve",
    }
    assert found["spec"] == {
        "selector": {"ray.io/cluster": "r"},
        "ports": [{"name": "serve", "port": 8000}],
        "type": "NodePort",
    }


@pytest.mark.parametrize(
    ("declared", "serving"),
    [
        (
            [{"name": "serve", "containerPort": 1}, {"name": "serve-grpc", "containerPort": 2}],
            {"serve": 1, "serve-grpc": 2},
        ),
        ([{"name": "server", "containerPort": 1}], None),
    ],
)
@pytest.mark.spec("raycluster:E62")
def test_only_ports_that_serve_are_offered(
    facts: FactsOf, a_template: Maker, a_container: Maker, declared: list[Json], serving: dict[str, int] | None
) -> None:
    found = services.serve(facts(head=with_ports(a_template, a_container, *declared)))

    assert (found and {port["name"]: port["port"] for port in found["spec"]["ports"]}) == serving


JOB = {"apiVersion": "ray.io/v1", "kind": "RayJob", "name": "j", "uid": "1", "controller": True}


def test_a_ray_job_s_head_service_belongs_to_the_job_and_selects_its_cluster(facts: FactsOf) -> None:
    found = services.of_ray_job(facts(headServiceAnnotations={"a": "b"}), "j", JOB, Options())

    assert found["metadata"] == {
        "name": "j-head-svc",
        "namespace": "ns",
        "labels": {
            "ray.io/originated-from-cr-name": "j",
            "ray.io/originated-from-crd": "RayJob",
            "ray.io/node-type": "head",
            "ray.io/identifier": "r-head",
        },
        "ownerReferences": [JOB],
    }
    assert found["spec"] == {
        "selector": SELECTOR,
        "ports": DEFAULT_PORTS,
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
    }


def test_a_ray_job_s_head_service_keeps_the_annotations_of_a_user_s_service(facts: FactsOf) -> None:
    found = services.of_ray_job(facts(head={"headService": CUSTOM}), "j", JOB, Options())

    assert found["metadata"]["annotations"] == {"a": "1", "b": "2"}
    assert found["metadata"]["name"] == "j-head-svc"
    assert found["spec"]["clusterIP"] == "10.0.0.9"
