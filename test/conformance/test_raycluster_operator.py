"""The operator brings a RayCluster up and down on an API server, real or local, with the test for a kubelet."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from api.crds.installed import custom_resource_definitions
from controller.main import operating
from controller.ray.dashboard.http import NoAnswer
from controller.runtime.client.config import connect, from_kubeconfig
from controller.runtime.clock import SystemClock
from controller.settings import Settings
from localcluster.testing.factories import a_raycluster
from localcluster.testing.wire import Json, Wire

HEAD = "ray.io/node-type"


class NoRay:
    """No dashboard is there to be asked."""

    async def request(
        self, method: str, url: str, *, headers: object, body: bytes | None, timeout: timedelta
    ) -> tuple[int, bytes]:
        raise NoAnswer("nobody runs Ray here")


@pytest.fixture
async def operated(cluster: Wire) -> AsyncIterator[Wire]:
    """A namespace in which the operator works."""
    for definition in custom_resource_definitions():
        await cluster.serve(definition)
    clock = SystemClock()
    async with (
        connect(from_kubeconfig([cluster.endpoint.kubeconfig]), clock) as (transport, credentials),
        operating(
            Settings(namespaces=(cluster.namespace,)),
            transport,
            ray=NoRay(),
            clock=clock,
            rng=random.Random(cluster.namespace),
            secret=lambda: "dG9rZW4=",
            credentials=credentials,
        ),
    ):
        yield cluster


async def pods(cluster: Wire) -> list[Json]:
    found: list[Json] = (await cluster.get(cluster.path("pods"), labelSelector="ray.io/cluster=r")).ok()["items"]
    return found


async def until_condition(cluster: Wire, type_: str, status: str) -> Json:
    def holds(found: Json) -> bool:
        conditions = (found.get("status") or {}).get("conditions") or ()
        return any((one["type"], one["status"]) == (type_, status) for one in conditions)

    return await cluster.until(cluster.path("rayclusters.ray.io", "r"), holds)


async def come_up(cluster: Wire) -> None:
    """Every pod runs and is ready, says the test."""
    for number, pod in enumerate(await pods(cluster)):
        status = {
            "phase": "Running",
            "podIPs": [{"ip": f"10.9.0.{number + 1}"}],
            "podIP": f"10.9.0.{number + 1}",
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        path = cluster.path("pods", f"{pod['metadata']['name']}/status")
        (await cluster.patch(path, {"status": status})).ok()


async def test_a_cluster_comes_up_and_is_suspended(operated: Wire) -> None:
    body = a_raycluster("r", workers=2, namespace=operated.namespace)
    (await operated.post(operated.path("rayclusters.ray.io"), body)).ok(201)
    begun = await until_condition(operated, "RayClusterProvisioned", "False")
    made = await pods(operated)
    await come_up(operated)
    up = await until_condition(operated, "RayClusterProvisioned", "True")

    change = {"spec": {"suspend": True}}
    (await operated.patch(operated.path("rayclusters.ray.io", "r"), change)).ok()
    down = await until_condition(operated, "RayClusterSuspended", "True")

    assert len(made) == 3
    assert begun["status"]["desiredWorkerReplicas"] == 2
    assert (up["status"]["state"], up["status"]["readyWorkerReplicas"]) == ("ready", 2)
    assert up["status"]["endpoints"]["dashboard"] == "8265"
    assert (down["status"]["state"], await pods(operated)) == ("suspended", [])


async def test_a_full_quota_is_reported_in_the_server_s_words(operated: Wire) -> None:
    if operated.endpoint.name == "local":
        pytest.skip("the local server does not account for quotas yet")
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    (await operated.post(operated.path("resourcequotas"), quota)).ok(201)
    await operated.until(operated.path("resourcequotas", "none"), lambda found: "hard" in (found.get("status") or {}))
    body = a_raycluster("r", workers=1, namespace=operated.namespace)
    (await operated.post(operated.path("rayclusters.ray.io"), body)).ok(201)

    found = await until_condition(operated, "ReplicaFailure", "True")

    (failure,) = [one for one in found["status"]["conditions"] if one["type"] == "ReplicaFailure"]
    assert failure["reason"] == "FailedCreateHeadPod"
    assert failure["message"].startswith("FailedCreateHeadPod\npods ")
    assert "exceeded quota: none" in failure["message"]
