"""The operator against a real API server: how soon a new RayCluster has all its pods, and in how many writes.

    python -m benchmarks.judge

The reference is a client that does nothing but watch for RayClusters and write the same objects for each: a Service,
then four pods at once. The two take turns, so that whoever else uses the machine slows both.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from api.crds.installed import custom_resource_definitions
from benchmarks.figure import Figure
from hack.kube.judge import AUDIT_LOG, Judge, judge
from localcluster.testing.factories import a_raycluster
from localcluster.testing.operator_process import operator_process
from localcluster.testing.rights import audited, signed_in
from localcluster.testing.wire import Endpoint, Json, Wire

__all__ = ["figures", "namespace"]

CLUSTERS = 40
WORKERS = 3
RUNNING = {
    "phase": "Running",
    "podIP": "10.9.0.1",
    "podIPs": [{"ip": "10.9.0.1"}],
    "conditions": [{"type": "Ready", "status": "True"}],
}


async def figures() -> Sequence[Figure]:
    """Start a control plane, take the figures, end it."""
    with judge() as server:
        return await _figures(server)


async def _figures(server: Judge) -> Sequence[Figure]:
    async with namespace(server, "ours") as ours, namespace(server, "bare") as bare:
        for definition in custom_resource_definitions():
            await ours.serve(dict(definition))
        with tempfile.TemporaryDirectory() as folder:
            kubeconfig = Path(folder) / "kubeconfig"
            kubeconfig.write_text(json.dumps(await signed_in(ours)))
            async with operator_process(kubeconfig, f"--watch-namespace={ours.namespace}"):
                async with _ended(_bare_operator(bare)):
                    mine, theirs = await _latencies(ours, bare)
                writes, events = await _writes(ours, server.kubeconfig.with_name(AUDIT_LOG))
    return [
        Figure(
            "RayCluster created -> 4 pods created, p50",
            statistics.median(mine),
            "ms",
            30,
            reference=statistics.median(theirs),
            reference_is="a client that only writes the same",
        ),
        Figure(
            "the same, p90",
            statistics.quantiles(mine, n=10)[-1],
            "ms",
            reference=statistics.quantiles(theirs, n=10)[-1],
            reference_is="the same client",
        ),
        Figure("writes of a 1+3 cluster until ready", writes, "", 7, reference=7, reference_is="KubeRay's operator"),
        Figure("events of it", events, "", 3, reference=4, reference_is="KubeRay's operator"),
    ]


@asynccontextmanager
async def namespace(server: Judge, name: str) -> AsyncIterator[Wire]:
    """An administrator's client with a namespace of that name, in which pods can be made."""
    endpoint = Endpoint("judge", server.url, server.token, server.tls, server.kubeconfig, Path, server.forget_history)
    connector = aiohttp.TCPConnector(ssl=server.tls, limit=0)
    headers = {"Authorization": f"Bearer {server.token}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        wire = Wire(endpoint, session, name)
        await wire.make_namespace(name)
        yield wire


@asynccontextmanager
async def _ended(work: Awaitable[None]) -> AsyncIterator[None]:
    """The work runs while the block is open."""

    async def run() -> None:
        await work

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run())
        yield
        task.cancel()


async def _latencies(ours: Wire, bare: Wire) -> tuple[list[float], list[float]]:
    """Milliseconds of each, in turn. The first of both warms everything up and does not count."""
    mine, theirs = [], []
    for number in range(CLUSTERS + 1):
        mine.append(await _milliseconds(ours, f"c{number}"))
        theirs.append(await _milliseconds(bare, f"c{number}"))
    return mine[1:], theirs[1:]


async def _milliseconds(wire: Wire, name: str) -> float:
    """From the moment the RayCluster is sent to the moment a watcher has seen its last pod."""
    body = a_raycluster(name, workers=WORKERS, namespace=wire.namespace)
    async with wire.watch(wire.path("pods"), labelSelector=f"ray.io/cluster={name}") as events:
        started = time.perf_counter()
        (await wire.post(wire.path("rayclusters.ray.io"), body)).ok(201)
        seen = 0
        while seen < 1 + WORKERS:
            kind, _ = await events.next()
            seen += kind == "ADDED"
        return 1000 * (time.perf_counter() - started)


async def _bare_operator(wire: Wire) -> None:
    """The least that does the job: no cache, no queue, no decision, no status."""
    async with wire.watch(wire.path("rayclusters.ray.io")) as events:
        events.seconds = 3600.0
        while True:
            kind, cluster = await events.next()
            if kind == "ADDED":
                await _write_all(wire, cluster["metadata"]["name"])


async def _write_all(wire: Wire, name: str) -> None:
    labels = {"ray.io/cluster": name}
    service = {"metadata": {"name": f"{name}-head-svc", "labels": labels}, "spec": {"ports": [{"port": 8265}]}}
    (await wire.post(wire.path("services"), service)).ok(201)
    pod = {"spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.52.0", "args": ["ray start"]}]}}
    async with asyncio.TaskGroup() as group:
        for number in range(1 + WORKERS):
            made = {"metadata": {"name": f"{name}-{number}", "labels": labels}, **pod}
            group.create_task(wire.post(wire.path("pods"), made))


async def _writes(wire: Wire, log: Path) -> tuple[int, int]:
    """Writes and events of one more cluster until it is ready; its pods come up as soon as they are there."""
    name = "counted"
    await _milliseconds(wire, name)
    pods = await wire.get(wire.path("pods"), labelSelector=f"ray.io/cluster={name}")
    for pod in pods.ok()["items"]:
        path = wire.path("pods", f"{pod['metadata']['name']}/status")
        (await wire.patch(path, {"status": RUNNING})).ok()
    await wire.until(wire.path("rayclusters.ray.io", name), _ready)
    await asyncio.sleep(2)  # longer than it holds back an event, and for what it might write afterwards
    of_it = [one for one in audited(log, wire.namespace) if one.name.startswith(name)]
    events = sum(one.resource == "events" for one in of_it)
    return len(of_it) - events, events


def _ready(cluster: Json) -> bool:
    return bool((cluster.get("status") or {}).get("state") == "ready")


if __name__ == "__main__":
    for one in asyncio.run(figures()):
        print(json.dumps(one.cells(), ensure_ascii=False))
