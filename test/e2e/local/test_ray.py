"""Real Ray in pods as the RayCluster controller makes them (test/golden), without an operator."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from localcluster.node.images import Images
from localcluster.testing.celled import Celled, Traces, a_celled_cluster, a_pod, is_ready, nothing_lives

pytestmark = [pytest.mark.local, pytest.mark.timeout(300)]

GOLDEN = Path(__file__).parents[2] / "golden"
IMAGE = "rayproject/ray:2.53.0"  # the golden pods are of a cluster of that version: its agents answer /api/healthz


def golden(name: str) -> dict[str, Any]:
    """A pod as it is made, but for its owner, who does not exist here."""
    pod: dict[str, Any] = json.loads((GOLDEN / f"raycluster-{name}.json").read_text())
    del pod["metadata"]["ownerReferences"]
    for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
        container["image"] = IMAGE
    return pod


def a_head_service() -> dict[str, Any]:
    ports = [{"name": name, "port": port} for name, port in (("gcs-server", 6379), ("dashboard", 8265))]
    selector = {"ray.io/cluster": "demo", "ray.io/node-type": "head"}
    spec = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": selector, "ports": ports}
    return {"metadata": {"name": "demo-head-svc", "namespace": "ns"}, "spec": spec}


@asynccontextmanager
async def a_ray(directory: Path) -> AsyncIterator[Celled]:
    """A head and a worker that are ready, in the namespace `ns`; the image made before, since that takes a network."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "manta"
    await Images(cache).make(IMAGE)
    async with a_celled_cluster(directory, cache) as cluster:
        await cluster.api.create("namespaces", "", {"metadata": {"name": "ns"}})
        await cluster.until("serviceaccounts", "default", lambda account: True, namespace="ns")
        await cluster.api.create("services", "ns", a_head_service())
        for name in ("head", "worker"):
            pod = golden(name)
            await cluster.api.create("pods", "ns", pod)
        for name in ("head", "worker"):
            await cluster.until("pods", golden(name)["metadata"]["name"], is_ready, namespace="ns")
        yield cluster
        traces = Traces(cluster.cell.process.pid)
    await nothing_lives(directory, traces)


@pytest.mark.spec("ray-side:S10-1")
async def test_a_head_and_a_worker_find_each_other_at_their_pods_addresses(tmp_path: Path) -> None:
    """Ray finds its address by the default route, which leads nowhere but is there."""
    async with a_ray(tmp_path) as cluster:
        pods = (await cluster.api.list("pods", "ns")).items
        addresses = sorted(pod["status"]["podIP"] for pod in pods)

        await cluster.api.create("pods", "default", a_pod("client", status_of_the_cluster(), image=IMAGE))
        await cluster.ended("client")

        said = json.loads(await cluster.log("client"))
        assert sorted(said) == addresses


def status_of_the_cluster() -> str:
    """Asks the dashboard, as any other pod may."""
    return """python - <<'EOF'
import json, urllib.request
url = "http://demo-head-svc.ns.svc.cluster.local:8265/nodes?view=summary"
nodes = json.load(urllib.request.urlopen(url))["data"]["summary"]
print(json.dumps([node["raylet"]["nodeManagerAddress"] for node in nodes]))
EOF"""


@pytest.mark.spec("ray-side:S1-21")
async def test_a_worker_that_is_told_to_end_leaves_the_cluster_and_exits_with_1(tmp_path: Path) -> None:
    """TERM reaches `ray start`, which is PID 1: bash replaced itself by its last command."""
    async with a_ray(tmp_path) as cluster:
        worker = golden("worker")["metadata"]["name"]
        async with asyncio.TaskGroup() as group:
            ended = group.create_task(
                cluster.until("pods", worker, lambda pod: "terminated" in main_state(pod), namespace="ns")
            )
            await cluster.api.delete("pods", "ns", worker, grace_seconds=60)

        assert main_state(ended.result())["terminated"]["exitCode"] == 1


def main_state(pod: dict[str, Any]) -> dict[str, Any]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{"state": {}}]
    state: dict[str, Any] = statuses[0]["state"]
    return state
