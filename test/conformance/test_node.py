"""The scheduler and the scripted node live on any API server: what they write is what a real one takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from localcluster.controllers.manager import mirroring
from localcluster.httpapi import HttpApi
from localcluster.node.kubelet import Kubelet, NodeSettings
from localcluster.node.scheduler import Scheduler
from localcluster.node.scripted import Scripted
from localcluster.testing.wire import Json, Wire

BOUND = None

pytestmark = pytest.mark.timeout(120)


def wall_clock() -> datetime:
    """A real server lives in real time."""
    return datetime.now(UTC)  # noqa: TID251


@asynccontextmanager
async def a_node(cluster: Wire) -> AsyncIterator[Scripted]:
    """A node of the cluster, on which containers start at once; the local server has a scheduler already."""
    api = HttpApi(cluster.session, cluster.endpoint.url)
    runtime = Scripted()
    runtime.script(sandbox_seconds=0.0, start_seconds=0.0)
    name = f"node-{cluster.namespace}"
    settings = NodeSettings(name=name, ip="10.9.9.9", issue_tokens=False)
    async with (
        mirroring(api) as mirrors,
        Kubelet(api, mirrors, runtime, settings, now=wall_clock).running(),
        asyncio.TaskGroup() as group,
    ):
        task = group.create_task(Scheduler(api, mirrors, now=wall_clock).run())
        yield runtime
        task.cancel()
    (await cluster.delete(f"/api/v1/nodes/{name}")).ok()


def a_pod(name: str, **spec: Any) -> Json:
    """A pod whose readiness is probed."""
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    container = {"name": "c", "image": "i:1", "readinessProbe": probe}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container], **spec}}


def ready(pod: Json) -> bool:
    """The Ready condition is True."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


async def test_a_pod_is_bound_runs_becomes_ready_and_goes(cluster: Wire) -> None:
    """Every write on its way is accepted, and nothing of it is dropped."""
    async with a_node(cluster):
        (await cluster.post(cluster.path("pods"), a_pod("p"))).ok(201)

        pod = await cluster.until(cluster.path("pods", "p"), ready)

        assert pod["spec"]["nodeName"] == f"node-{cluster.namespace}"
        status = pod["status"]
        assert (status["phase"], status["hostIP"]) == ("Running", "10.9.9.9")
        assert status["podIPs"] == [{"ip": status["podIP"]}]
        types = {one["type"] for one in status["conditions"]}
        assert types == {"PodScheduled", "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"}
        (container,) = status["containerStatuses"]
        assert (container["ready"], container["started"], container["restartCount"]) == (True, True, 0)
        assert set(container["state"]) == {"running"}

        (await cluster.delete(cluster.path("pods", "p"))).ok()
        await cluster.gone(cluster.path("pods", "p"))


async def test_a_crash_loop_is_told_whole(cluster: Wire) -> None:
    """State, last state and count, as a real server stores them."""
    async with a_node(cluster) as runtime:
        runtime.fail_container("p", code=3)
        (await cluster.post(cluster.path("pods"), a_pod("p"))).ok(201)

        def loops(pod: Json) -> bool:
            statuses = pod.get("status", {}).get("containerStatuses", [])
            return bool(statuses) and statuses[0]["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"

        pod = await cluster.until(cluster.path("pods", "p"), loops)

        (container,) = pod["status"]["containerStatuses"]
        assert container["restartCount"] == 1
        assert container["lastState"]["terminated"]["exitCode"] == 3
        assert container["lastState"]["terminated"]["reason"] == "Error"


async def test_a_pod_that_fits_nowhere_says_so(cluster: Wire) -> None:
    """In its PodScheduled condition."""
    async with a_node(cluster):
        pod = a_pod("p")
        pod["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "1"}}
        (await cluster.post(cluster.path("pods"), pod)).ok(201)

        def told(pod: Json) -> bool:
            conditions = pod.get("status", {}).get("conditions", [])
            return any("Insufficient nvidia.com/gpu" in one.get("message", "") for one in conditions)

        pod = await cluster.until(cluster.path("pods", "p"), told)

        (condition,) = pod["status"]["conditions"]
        assert (condition["type"], condition["status"], condition["reason"]) == (
            "PodScheduled",
            "False",
            "Unschedulable",
        )


async def test_status_and_conditions_of_a_pod_say_their_generation(cluster: Wire) -> None:
    """Those of the node; PodScheduled is written by the API server when the pod is bound."""
    async with a_node(cluster):
        (await cluster.post(cluster.path("pods"), a_pod("p"))).ok(201)

        pod = await cluster.until(cluster.path("pods", "p"), ready)

        generation = pod["metadata"]["generation"]
        assert pod["status"]["observedGeneration"] == generation
        told = {one["type"]: one.get("observedGeneration") for one in pod["status"]["conditions"]}
        assert told == dict.fromkeys(told, generation) | {"PodScheduled": BOUND}


async def test_a_scheduler_tells_its_events_in_the_new_way(cluster: Wire) -> None:
    """Who reports and what was done, with a precise time; no source and no count, as events.k8s.io has it."""
    async with a_node(cluster):
        (await cluster.post(cluster.path("pods"), a_pod("p", nodeSelector={"no": "where"}))).ok(201)

        async with cluster.watch(cluster.path("events")) as events:
            _, event = await events.next()
            while event["reason"] != "FailedScheduling" or event["message"].startswith("no nodes"):
                _, event = await events.next()  # the first try may come before the scheduler has seen a node

        assert (event["reportingComponent"], event["action"], event["source"]) == (
            "default-scheduler",
            "Scheduling",
            {},
        )
        assert event["eventTime"]
        assert event["firstTimestamp"] is None
        assert event["message"].startswith("0/")
        assert ". no new claims to deallocate, preemption: 0/" in event["message"]


async def test_the_first_watch_of_a_new_kind_is_served_or_asked_to_come_again(cluster: Wire) -> None:
    """A real server may answer 429 for a moment; ours never does."""
    name = f"g{cluster.namespace}s.late.example.com"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": name.partition(".")[0], "kind": f"G{cluster.namespace}"}
    spec = {"group": "late.example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    body = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name}}
    (await cluster.post(definitions, {**body, "spec": spec})).ok(201)
    try:
        await cluster.until(f"{definitions}/{name}", established)
        async with cluster.watch(f"/apis/late.example.com/v1/{names['plural']}", timeoutSeconds=1) as events:
            assert events.code in {200, 404, 429}
            assert events.code != 429 or int(events.headers["Retry-After"]) > 0
        assert cluster.endpoint.name != "local" or events.code == 200
    finally:
        (await cluster.delete(f"{definitions}/{name}")).ok()


def established(definition: Json) -> bool:
    """The kind is served, or soon will be."""
    conditions = definition.get("status", {}).get("conditions") or []
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)
