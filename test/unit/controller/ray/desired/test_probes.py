"""Probes of the Ray container."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from api.meta import Json
from controller.ray.desired.facts import Facts, Group
from controller.ray.desired.probes import missing_probes
from controller.ray.desired.ray_start import parameters

FactsOf = Callable[..., Facts]
Maker = Callable[..., Json]

RAYLET = "wget --tries 1 -T 2 -q -O- http://localhost:52365/api/local_raylet_healthz | grep success"
GCS = "wget --tries 1 -T 10 -q -O- http://localhost:8265/api/gcs_healthz | grep success"
PROXY = "wget --tries 1 -T 10 -q -O- http://localhost:8000/-/healthz | grep success"
SERVICE = {"ray.io/originated-from-crd": "RayService"}


def probes(facts: Facts, group: Group) -> Json:
    return missing_probes(facts, group, parameters(facts, group))


def shell(*checks: str) -> Json:
    return {"command": ["bash", "-c", " && ".join(checks)]}


def test_a_head_is_asked_about_its_raylet_and_the_gcs(facts: FactsOf) -> None:
    found = facts()

    assert probes(found, found.head) == {
        "livenessProbe": {
            "initialDelaySeconds": 30,
            "periodSeconds": 5,
            "timeoutSeconds": 5,
            "successThreshold": 1,
            "failureThreshold": 120,
            "exec": shell(RAYLET, GCS),
        },
        "readinessProbe": {
            "initialDelaySeconds": 10,
            "periodSeconds": 5,
            "timeoutSeconds": 5,
            "successThreshold": 1,
            "failureThreshold": 10,
            "exec": shell(RAYLET, GCS),
        },
    }


def test_a_worker_is_asked_about_its_raylet_and_answers_sooner(facts: FactsOf) -> None:
    found = facts()

    worker = probes(found, found.workers[0])

    assert {probe["timeoutSeconds"] for probe in worker.values()} == {2}
    assert [probe["exec"] for probe in worker.values()] == [shell(RAYLET)] * 2


@pytest.mark.spec("raycluster:E15", "raycluster:E55")
@pytest.mark.parametrize(
    ("version", "style"),
    [
        ("2.53.0", "httpGet"),
        ("v2.53", "httpGet"),
        ("2.53.0rc1", "httpGet"),
        ("3.0", "httpGet"),
        ("2.52.9", "exec"),
        ("nightly", "exec"),
        ("", "exec"),
    ],
)
def test_ray_answers_for_the_whole_node_since_2_53(facts: FactsOf, version: str, style: str) -> None:
    found = facts(rayVersion=version)

    assert all(style in probe for group in (found.head, found.workers[0]) for probe in probes(found, group).values())


def test_the_whole_node_answers_at_the_agent_s_port(facts: FactsOf) -> None:
    found = facts(rayVersion="2.53.0", head={"rayStartParams": {"dashboard-agent-listen-port": "1234"}})

    assert probes(found, found.head)["livenessProbe"]["httpGet"] == {"path": "/api/healthz", "port": 1234}


@pytest.mark.parametrize(("said", "port"), [("1234", 1234), ("none", 52365), ("", 52365), ("12.5", 52365)])
def test_a_port_that_is_no_number_is_the_default_one(facts: FactsOf, said: str, port: int) -> None:
    found = facts(rayVersion="2.53.0", head={"rayStartParams": {"dashboard-agent-listen-port": said}})

    assert probes(found, found.head)["livenessProbe"]["httpGet"]["port"] == port


def test_the_gcs_is_asked_at_the_dashboard_s_port(facts: FactsOf) -> None:
    found = facts(head={"rayStartParams": {"dashboard-port": "9999"}})

    assert "http://localhost:9999/api/gcs_healthz" in probes(found, found.head)["livenessProbe"]["exec"]["command"][2]


@pytest.mark.spec("raycluster:E56")
@pytest.mark.parametrize("labels", [{}, SERVICE])
def test_a_user_s_probe_stays(facts: FactsOf, a_template: Maker, a_container: Maker, labels: Any) -> None:
    pod = a_template(a_container(readinessProbe={"tcpSocket": {"port": 1}}))
    found = facts(groups=[{"template": pod}], labels=labels)

    assert probes(found, found.workers[0]).keys() == {"livenessProbe"}


@pytest.mark.parametrize("version", ["2.52.0", "2.53.0"])
def test_a_ray_service_s_worker_is_ready_while_its_proxy_answers(facts: FactsOf, version: str) -> None:
    found = facts(labels=SERVICE, rayVersion=version)

    readiness = probes(found, found.workers[0])["readinessProbe"]

    assert (readiness["exec"], readiness["failureThreshold"]) == (shell(RAYLET, PROXY), 1)
    assert "httpGet" not in readiness


def test_the_proxy_is_asked_at_the_port_named_serve(facts: FactsOf, a_template: Maker, a_container: Maker) -> None:
    pod = a_template(a_container(ports=[{"name": "serve", "containerPort": 8111}]))
    found = facts(labels=SERVICE, groups=[{"template": pod}])

    readiness = probes(found, found.workers[0])["readinessProbe"]

    assert "http://localhost:8111/-/healthz" in readiness["exec"]["command"][2]


def test_a_ray_service_s_head_is_never_asked_about_a_proxy(facts: FactsOf) -> None:
    found = facts(labels=SERVICE)

    assert "-/healthz" not in str(probes(found, found.head))
