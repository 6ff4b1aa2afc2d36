"""What is installed with webhooks: objects that fit each other, and no right more than their certificates need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.crds.installed import custom_resource_definitions
from controller.rights import RIGHTS, WEBHOOK_CONFIGURATIONS, WEBHOOK_SECRET
from controller.runtime.webhook import IN_FLIGHT_SECONDS
from controller.settings import load
from webhooks.registration import (
    MUTATING,
    SECRET,
    SERVICE,
    VALIDATING,
    Registration,
    mutating,
    operator_account,
    validating,
)
from webhooks.settings import WebhookSettings

CONFIG = Path(__file__).parents[3] / "config"
NAMESPACE = "ray-system"


def documents(name: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all((CONFIG / name).read_text()) if one]


def patched_deployment() -> dict[str, Any]:
    spec: dict[str, Any] = documents("default-with-webhooks/operator/webhooks_on.yaml")[0]["spec"]["template"]["spec"]
    return spec


@pytest.mark.spec("runtime:WH-10", "deployment:DC-19")
def test_the_configurations_are_what_the_code_says_of_one_replica_in_the_usual_namespace() -> None:
    here = Registration(namespace=NAMESPACE, account=operator_account(NAMESPACE))

    assert documents("webhook/manifests.yaml") == [validating(here), mutating(here)]
    assert [one["metadata"]["name"] for one in documents("webhook/manifests.yaml")] == [
        "kuberay-validating-webhook-configuration",
        "kuberay-mutating-webhook-configuration",
    ]


@pytest.mark.spec("deployment:DC-19")
def test_the_certificate_is_for_the_service_and_in_the_secret_that_the_operator_looks_for() -> None:
    (service,) = documents("webhook/service.yaml")
    issuer, certificate = documents("certmanager/certificate.yaml")
    (overlay,) = documents("default-with-certmanager/kustomization.yaml")
    mount = next(yaml.safe_load(one["patch"]) for one in overlay["patches"] if one.get("target", {}).get("kind"))

    host = f"{service['metadata']['name']}.{NAMESPACE}.svc"
    assert service["metadata"]["name"] == SERVICE == WebhookSettings().service
    assert certificate["spec"]["dnsNames"] == [host, f"{host}.cluster.local"]
    assert certificate["spec"]["issuerRef"]["name"] == issuer["metadata"]["name"]
    assert certificate["spec"]["secretName"] == mount[0]["value"][0]["secret"]["secretName"] == SECRET
    assert mount[1]["value"][0]["mountPath"] == WebhookSettings().folder
    assert overlay["namespace"] == NAMESPACE


def test_every_validating_webhook_refuses_where_there_are_two_replicas() -> None:
    (component,) = documents("webhook/replicated/kustomization.yaml")
    policies = yaml.safe_load((CONFIG / "webhook/replicated/failure_policy.yaml").read_text())
    replicas = yaml.safe_load(component["patches"][0]["patch"])[0]["value"]

    how = Registration(namespace=NAMESPACE, replicas=replicas)
    wanted = {f"/webhooks/{n}/failurePolicy": one["failurePolicy"] for n, one in enumerate(validating(how)["webhooks"])}
    assert {one["path"]: one["value"] for one in policies} == wanted


def test_of_two_replicas_one_answers_while_nodes_are_drained() -> None:
    """Their nodes differ where there are several, and both selectors mean the operator's pods."""
    (component,) = documents("webhook/replicated/kustomization.yaml")
    (budget,) = documents("webhook/replicated/pod_disruption_budget.yaml")
    (overlay,) = documents("default/operator/kustomization.yaml")
    patched = {one["path"]: one["value"] for one in yaml.safe_load(component["patches"][0]["patch"])}
    (spread,) = patched["/spec/template/spec/topologySpreadConstraints"]
    pods = overlay["labels"][0]["pairs"]

    assert "pod_disruption_budget.yaml" in component["resources"]
    assert budget["spec"] == {"maxUnavailable": 1, "selector": {"matchLabels": pods}}
    assert budget["metadata"]["namespace"] == NAMESPACE
    assert (spread["topologyKey"], spread["labelSelector"]) == ("kubernetes.io/hostname", {"matchLabels": pods})
    assert spread["whenUnsatisfiable"] == "ScheduleAnyway"


def test_the_pod_serves_webhooks_at_the_service_s_port_and_has_time_to_leave() -> None:
    (container,) = patched_deployment()["containers"]
    environment = {one["name"]: one["value"] for one in container["env"]}
    settings = load([], environment).webhooks

    assert settings is not None
    assert container["ports"][0]["containerPort"] == settings.address[1]
    assert documents("webhook/service.yaml")[0]["spec"]["ports"][0]["targetPort"] == settings.address[1]
    grace = patched_deployment()["terminationGracePeriodSeconds"]
    assert grace >= 30 + settings.lame_duck_seconds + IN_FLIGHT_SECONDS + 5 + 2


def test_the_rights_for_certificates_of_our_own_are_for_objects_by_name_alone() -> None:
    """And none of them is needed without webhooks."""
    configurations, secret = documents("webhook/rights/role.yaml")

    assert [(one["resourceNames"], one["verbs"]) for one in configurations["rules"]] == [
        ([MUTATING], ["get", "patch"]),
        ([VALIDATING], ["get", "patch"]),
    ]
    assert secret["kind"] == "Role"
    assert [(one["resourceNames"], one["verbs"]) for one in secret["rules"]] == [([SECRET], ["get", "update"])]
    assert all(right.why and right.names for right in (*WEBHOOK_CONFIGURATIONS, *WEBHOOK_SECRET))
    assert not any(right.group == "admissionregistration.k8s.io" for right in RIGHTS)


def test_with_cert_manager_those_rights_are_taken_away() -> None:
    (overlay,) = documents("default-with-certmanager/kustomization.yaml")
    deleted = [yaml.safe_load(one["patch"]) for one in overlay["patches"] if "target" not in one]
    granted = [*documents("webhook/rights/role.yaml"), *documents("webhook/rights/role_binding.yaml")]

    assert {(one["kind"], one["metadata"]["name"]) for one in deleted} == {
        (one["kind"], one["metadata"]["name"]) for one in granted
    }


@pytest.mark.spec("runtime:WH-11")
@pytest.mark.parametrize("definition", custom_resource_definitions(), ids=lambda one: one["spec"]["names"]["kind"])
def test_no_conversion_webhook_is_needed_since_an_older_version_s_spec_means_the_same_in_v1(definition: Any) -> None:
    """The API server's own conversion changes the version and prunes: nothing of a spec may get lost by that."""
    schemas = {one["name"]: one["schema"]["openAPIV3Schema"] for one in definition["spec"]["versions"]}
    v1 = dict(fields(schemas.pop("v1")["properties"]["spec"]))

    assert "conversion" not in definition["spec"]
    for schema in schemas.values():
        assert dict(fields(schema["properties"]["spec"])).items() <= v1.items()


def fields(schema: Any, path: str = "spec") -> Iterator[tuple[str, Any]]:
    """Every place of a schema with the type of what stands there."""
    yield path, schema.get("type")
    for name, inner in schema.get("properties", {}).items():
        yield from fields(inner, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield from fields(schema[word], f"{path}[]")
