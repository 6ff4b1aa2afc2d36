"""The Ingress to the dashboard."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from api.meta import Json
from controller.ray.desired.facts import Facts
from controller.ray.desired.ingress import ingress, managed

FactsOf = Callable[..., Facts]
Maker = Callable[..., Json]

CLASS = "kubernetes.io/ingress.class"


def exposed(facts: FactsOf, **more: object) -> Facts:
    head = {"enableIngress": True, **more.pop("head", {})}  # type: ignore[dict-item]
    return facts(head=head, **more)


def test_the_dashboard_is_reached_at_any_host(facts: FactsOf) -> None:
    found = ingress(exposed(facts))

    assert found["metadata"]["name"] == "r-head-ingress"
    assert found["metadata"]["labels"] == {
        "ray.io/cluster": "r",
        "ray.io/identifier": "r-head",
        "app.kubernetes.io/name": "kuberay",
        "app.kubernetes.io/created-by": "kuberay-operator",
    }
    backend = {"service": {"name": "r-head-svc", "port": {"number": 8265}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    assert found["spec"] == {"rules": [{"http": {"paths": paths}}]}


def test_options_say_where(facts: FactsOf) -> None:
    tls = [{"hosts": ["ray.example.com"], "secretName": "cert"}]
    options = {"host": "ray.example.com", "path": "/ray", "pathType": "Exact", "tls": tls}

    spec = ingress(exposed(facts, head={"ingressOptions": options}))["spec"]

    (rule,) = spec["rules"]
    (path,) = rule["http"]["paths"]
    assert (rule["host"], path["path"], path["pathType"], spec["tls"]) == ("ray.example.com", "/ray", "Exact", tls)


def test_a_declared_dashboard_port_is_used(facts: FactsOf, a_template: Maker, a_container: Maker) -> None:
    pod = a_template(a_container(ports=[{"name": "dashboard", "containerPort": 9999}]))

    (rule,) = ingress(exposed(facts, head={"template": pod}))["spec"]["rules"]

    assert rule["http"]["paths"][0]["backend"]["service"]["port"] == {"number": 9999}


@pytest.mark.spec("raycluster:E66")
def test_the_cluster_s_annotations_go_along_but_for_class_and_our_own(facts: FactsOf) -> None:
    theirs = {"a": "b", "kubectl.kubernetes.io/last-applied-configuration": "{}"}

    found = ingress(exposed(facts, annotations={**theirs, CLASS: "nginx", "manta.ray.io/ticket": "t"}))

    assert (found["metadata"]["annotations"], found["spec"]["ingressClassName"]) == (theirs, "nginx")


def test_only_labels_annotations_and_spec_are_managed() -> None:
    body = {"metadata": {"name": "x", "labels": {"a": "b"}}, "spec": {"rules": []}, "status": {}}

    assert managed(body) == {"metadata": {"labels": {"a": "b"}, "annotations": {}}, "spec": {"rules": []}}


def test_nothing_is_exposed_unless_asked_for(facts: FactsOf) -> None:
    assert facts(head={"ingressOptions": {"host": "h"}}).ingress is None
