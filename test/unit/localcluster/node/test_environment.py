"""What containers find in their environment and volumes."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from localcluster.node.environment import (
    Missing,
    NodeFacts,
    environment,
    expand,
    field_of,
    resource_of,
    service_links,
    volume_contents,
)
from localcluster.quantities import quantity

FACTS = NodeFacts("10.9.9.9", "10.0.0.1", {"cpu": "8", "memory": "16Gi"})
POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"ray.io/cluster": "r"}},
    "spec": {"nodeName": "n", "serviceAccountName": "sa", "containers": []},
}
THERE = {
    ("configmaps", "ns", "cm"): {"kind": "ConfigMap", "data": {"A": "1", "bad key": "x"}},
    ("secrets", "ns", "s"): {"kind": "Secret", "data": {"token": base64.b64encode(b"geheim").decode()}},
}


async def fetch(resource: str, namespace: str, name: str) -> dict[str, Any] | None:
    """What is there."""
    return THERE.get((resource, namespace, name))


async def token(pod: dict[str, Any], source: dict[str, Any]) -> str:
    """A service account's token."""
    return f"token for {source['path']}"


def env_of(*entries: dict[str, Any], **container: Any) -> dict[str, str]:
    """The environment of a container with those entries."""
    made = environment(POD, {"name": "c", "env": list(entries), **container}, fetch, [("LINK", "l")], FACTS)
    return dict(asyncio.run(made))


def ref(name: str, kind: str, /, **reference: Any) -> dict[str, Any]:
    """An entry with valueFrom."""
    return {"name": name, "valueFrom": {kind: reference}}


def test_values_come_from_fields_resources_config_maps_and_secrets() -> None:
    """Everything that valueFrom knows."""
    env = env_of(
        ref("NAME", "fieldRef", fieldPath="metadata.name"),
        ref("CLUSTER", "fieldRef", fieldPath="metadata.labels['ray.io/cluster']"),
        ref("IP", "fieldRef", fieldPath="status.podIP"),
        ref("CPU", "resourceFieldRef", resource="limits.cpu"),
        ref("MIB", "resourceFieldRef", resource="requests.memory", divisor="1Mi"),
        ref("A", "configMapKeyRef", name="cm", key="A"),
        ref("TOKEN", "secretKeyRef", name="s", key="token"),
        resources={"limits": {"cpu": "1500m"}, "requests": {"memory": "1Gi"}},
    )

    assert env == {
        "LINK": "l",
        "NAME": "p",
        "CLUSTER": "r",
        "IP": "10.0.0.1",
        "CPU": "2",
        "MIB": "1024",
        "A": "1",
        "TOKEN": "geheim",
    }


def test_a_limit_that_is_not_set_is_what_the_node_has() -> None:
    """So a process asks for no more than there is."""
    assert resource_of({}, {"resource": "limits.cpu"}, FACTS) == "8"
    assert resource_of({}, {"resource": "requests.cpu"}, FACTS) == "0"


def test_env_from_takes_whole_objects_with_a_prefix_and_env_overrides() -> None:
    """Keys that are no variable names are skipped."""
    env = env_of({"name": "X_A", "value": "2"}, envFrom=[{"configMapRef": {"name": "cm"}, "prefix": "X_"}])

    assert env == {"LINK": "l", "X_A": "2"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)-$(B)", "1-$(B)"),
        ("$$(A)", "$(A)"),
        ("$(A", "$(A"),
        ("$A", "$A"),
        ("$$$$", "$$"),
        ("$$", "$"),
    ],
)
def test_references_are_expanded_as_a_kubelet_does(text: str, expanded: str) -> None:
    """Unknown ones stay, doubled dollars protect."""
    assert expand(text, {"A": "1"}) == expanded


def test_a_variable_may_refer_to_those_before_it() -> None:
    """In order."""
    assert env_of({"name": "A", "value": "1"}, {"name": "B", "value": "$(A)2"})["B"] == "12"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (ref("X", "secretKeyRef", name="no", key="k"), 'secret "no" not found'),
        (ref("X", "configMapKeyRef", name="cm", key="no"), "couldn't find key no in ConfigMap ns/cm"),
        (ref("X", "fieldRef", fieldPath="spec.nope"), "unsupported fieldPath: spec.nope"),
    ],
)
def test_what_is_missing_is_said_in_the_words_of_a_kubelet(entry: dict[str, Any], message: str) -> None:
    """The container waits in CreateContainerConfigError with it."""
    with pytest.raises(Missing, match=f"^{message}$"):
        env_of(entry)


def test_optional_references_may_be_absent() -> None:
    """Object or key; the variable is not set."""
    env = env_of(
        ref("X", "secretKeyRef", name="no", key="k", optional=True),
        ref("Y", "configMapKeyRef", name="cm", key="no", optional=True),
    )

    assert env == {"LINK": "l"}


def test_services_are_told_as_variables() -> None:
    """Those of the namespace with an address, and the API server's in any."""
    services = [
        _service("ns", "my-svc", "10.96.0.7", {"name": "http", "port": 80}),
        _service("ns", "headless", "None", {"port": 1}),
        _service("other", "far", "10.96.0.8", {"port": 1}),
        _service("default", "kubernetes", "10.96.0.1", {"name": "https", "port": 443}),
    ]

    links = dict(service_links(services, "ns", own=True))

    assert links["MY_SVC_SERVICE_HOST"] == "10.96.0.7"
    assert links["MY_SVC_SERVICE_PORT_HTTP"] == "80"
    assert links["MY_SVC_PORT_80_TCP"] == "tcp://10.96.0.7:80"
    assert links["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert not [name for name in links if name.startswith(("HEADLESS", "FAR"))]
    assert all(name.startswith("KUBERNETES") for name, _ in service_links(services, "ns", own=False))


def _service(namespace: str, name: str, address: str, port: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": name}, "spec": {"clusterIP": address, "ports": [port]}}


def with_volumes(volumes: list[dict[str, Any]], *mounted: str) -> dict[str, Any]:
    """A pod whose container mounts some of its volumes."""
    container = {"name": "c", "volumeMounts": [{"name": name, "mountPath": f"/{name}"} for name in mounted]}
    return {**POD, "spec": {**POD["spec"], "containers": [container], "volumes": volumes}}


def test_volumes_hold_what_the_api_has() -> None:
    """Projected ones put several sources together."""
    projected = {
        "defaultMode": 0o400,
        "sources": [
            {"serviceAccountToken": {"path": "token"}},
            {"configMap": {"name": "cm", "items": [{"key": "A", "path": "a/b"}]}},
            {"downwardAPI": {"items": [{"path": "ns", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        ],
    }
    volumes = [
        {"name": "v", "projected": projected},
        {"name": "s", "secret": {"secretName": "s"}},
        {"name": "e", "emptyDir": {}},
    ]
    pod = with_volumes(volumes, "v", "s", "e")

    contents = asyncio.run(volume_contents(pod, fetch, token, FACTS))

    assert contents["v"].files == {"token": b"token for token", "a/b": b"1", "ns": b"ns"}
    assert contents["v"].mode == 0o400
    assert contents["s"].files == {"token": b"geheim"}
    assert set(contents) == {"v", "s"}


def test_a_volume_whose_source_is_missing_says_which() -> None:
    """FailedMount carries it."""
    pod = with_volumes([{"name": "v", "configMap": {"name": "no"}}], "v")

    with pytest.raises(Missing, match=r'MountVolume\.SetUp failed for volume "v" : configmap "no" not found'):
        asyncio.run(volume_contents(pod, fetch, token, FACTS))


def test_a_volume_that_no_container_mounts_is_not_waited_for() -> None:
    """The pod runs although its config map is absent, as on a real node."""
    pod = with_volumes([{"name": "v", "configMap": {"name": "no"}}, {"name": "s", "secret": {"secretName": "s"}}], "s")

    contents = asyncio.run(volume_contents(pod, fetch, token, FACTS))

    assert set(contents) == {"s"}


def test_labels_are_written_as_lines() -> None:
    """Quoted, as files of a downward API volume have them."""
    assert field_of(POD, "metadata.labels", FACTS) == 'ray.io/cluster="r"'


@pytest.mark.parametrize(
    ("text", "value"), [("500m", "1/2"), ("2Gi", str(2**31)), ("1e3", "1000"), ("1E", str(10**18)), ("0.5", "1/2")]
)
def test_quantities_are_exact(text: str, value: str) -> None:
    """Sums of them decide who fits."""
    assert str(quantity(text)) == value


def test_what_is_no_quantity_is_refused() -> None:
    """With the text in the message."""
    with pytest.raises(ValueError, match="'1x' is no quantity"):
        quantity("1x")
