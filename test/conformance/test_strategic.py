"""Strategic merge patches, and blind puts: spec kube-api §7, §9."""

from __future__ import annotations

from typing import Any

import pytest

from localcluster.testing.wire import Json, Wire

SERVICE: Json = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "sv", "finalizers": ["example.com/a"]},
    "spec": {"selector": {"a": "b"}, "ports": [{"name": "h", "port": 80}, {"name": "i", "port": 81}]},
}


@pytest.fixture
async def service(cluster: Wire) -> Any:
    """The path of a Service with two ports and a finalizer."""
    (await cluster.post(cluster.path("services"), SERVICE)).ok(201)
    return cluster.path("services", "sv")


async def ports(cluster: Wire, service: str, spec: Json) -> list[tuple[str, int]]:
    """Names and numbers of the ports after a patch of the spec."""
    answer = (await cluster.patch(service, {"spec": spec}, "strategic")).ok()
    return [(one["name"], one["port"]) for one in answer["spec"]["ports"]]


@pytest.mark.spec("kube-api:PATCH-7")
@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"ports": [{"name": "z", "port": 82}]}, [("z", 82), ("h", 80), ("i", 81)]),
        ({"ports": [{"name": "j", "port": 81}]}, [("h", 80), ("j", 81)]),
        ({"ports": [{"$patch": "delete", "port": 80}]}, [("i", 81)]),
        ({"ports": [{"$patch": "replace"}, {"name": "z", "port": 82}]}, [("z", 82)]),
        ({"$setElementOrder/ports": [{"port": 81}, {"port": 80}]}, [("i", 81), ("h", 80)]),
        (
            {
                "$setElementOrder/ports": [{"port": 80}, {"port": 82}, {"port": 81}],
                "ports": [{"name": "z", "port": 82}],
            },
            [("h", 80), ("z", 82), ("i", 81)],
        ),
    ],
)
async def test_ports_are_merged_by_number(
    cluster: Wire, service: str, spec: Json, expected: list[tuple[str, int]]
) -> None:
    """Added, renamed, deleted, replaced, arranged."""
    assert await ports(cluster, service, spec) == expected


@pytest.mark.spec("kube-api:PATCH-7")
async def test_finalizers_are_merged_as_a_set(cluster: Wire, service: str) -> None:
    """New ones first; a directive takes some out."""
    more = {"metadata": {"finalizers": ["example.com/b"]}}
    fewer = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/a", "example.com/b"]}}

    added = (await cluster.patch(service, more, "strategic")).ok()
    removed = (await cluster.patch(service, fewer, "strategic")).ok()

    assert added["metadata"]["finalizers"] == ["example.com/b", "example.com/a"]
    assert "finalizers" not in removed["metadata"]


@pytest.mark.spec("kube-api:PATCH-8")
async def test_a_patch_that_cannot_be_merged_is_refused(cluster: Wire, service: str) -> None:
    """An item without its key, a text for a list, keys to retain that the patch itself does not keep."""
    no_key = await cluster.patch(service, {"spec": {"ports": [{"name": "x"}]}}, "strategic")
    no_list = await cluster.patch(service, {"spec": {"ports": "x"}}, "strategic")
    no_keys = await cluster.patch(service, {"spec": {"$retainKeys": ["type"], "ports": []}}, "strategic")

    assert no_key.ok(500)["message"] == "map: map[name:x] does not contain declared merge key: port"
    assert no_list.ok(422)["message"].endswith('"map[spec:map[ports:x]]": cannot restore slice from string')
    assert no_keys.ok(400)["message"] == "invalid patch format of retainKeys"
    await cluster.patch(service, {"metadata": {"finalizers": None}}, "merge")


LEASE: Json = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {"leaseDurationSeconds": 5}}
BUDGET: Json = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "spec": {"minAvailable": 1}}
ROLE: Json = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": []}
SLICE: Json = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "addressType": "IPv4",
    "endpoints": [],
    "ports": [],
}
ACCOUNT: Json = {"apiVersion": "v1", "kind": "ServiceAccount"}


@pytest.mark.spec("kube-api:UPD-1")
@pytest.mark.parametrize(
    ("resource", "body", "allowed"),
    [
        ("leases.coordination.k8s.io", LEASE, False),
        ("poddisruptionbudgets.policy", BUDGET, False),
        ("roles.rbac.authorization.k8s.io", ROLE, True),
        ("endpointslices.discovery.k8s.io", SLICE, True),
        ("serviceaccounts", ACCOUNT, True),
    ],
)
async def test_some_kinds_take_no_put_without_a_version(
    cluster: Wire, resource: str, body: Json, allowed: bool
) -> None:
    """Those whose blind replacement would do harm."""
    named = {**body, "metadata": {"name": "blind", "labels": {"x": "1"}}}
    (await cluster.post(cluster.path(resource), named)).ok(201)
    changed = {**body, "metadata": {"name": "blind", "labels": {"x": "2"}}}

    answer = await cluster.put(cluster.path(resource, "blind"), changed)

    if allowed:
        assert answer.ok()["metadata"]["labels"] == {"x": "2"}
    else:
        answer.ok(422)
        assert [cause[1] for cause in answer.causes] == ["metadata.resourceVersion"]
