"""Reviews per second of the webhooks, and how long a large RayJob takes, over TLS.

    python -m benchmarks.admission

Server and client are processes of their own. Counted is the processor's time of the server, so that a busy machine does
not change the figure; latency is what the client waits, one request after the other. The reference is the same server
with a hook that allows everything, so the ratio is what judging costs. Python's collector is kept calm as it is in the
operator: where it is not, one review in a hundred waits 50 ms for it.
"""

from __future__ import annotations

import asyncio
import copy
import json
import ssl
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from benchmarks.figure import Figure

SAMPLES = Path(__file__).parents[1] / "config" / "samples"
REVIEWS = 3000
LARGE_REVIEWS = 500
CONNECTIONS = 8
GROUPS = 50
RATE_AIM = 500
LATENCY_AIM_MS = 10.0
PATHS = {kind: f"/validate-ray-io-v1-{kind.lower()}" for kind in ("RayCluster", "RayJob")}


def a_cluster() -> Any:
    """The sample."""
    return next(yaml.safe_load_all((SAMPLES / "raycluster.yaml").read_text()))


def a_large_job() -> Any:
    """The sample with fifty worker groups, each with all that a pod of a big installation has."""
    job = next(yaml.safe_load_all((SAMPLES / "rayjob.yaml").read_text()))
    cluster = job["spec"]["rayClusterSpec"]
    (group,) = cluster["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    container["env"] = [{"name": f"NAME_{number}", "value": f"value {number}"} for number in range(20)]
    container["volumeMounts"] = [{"name": f"v{number}", "mountPath": f"/mnt/{number}"} for number in range(4)]
    group["template"]["spec"]["volumes"] = [{"name": f"v{number}", "emptyDir": {}} for number in range(4)]
    groups = [copy.deepcopy(group) | {"groupName": f"group-{number}"} for number in range(GROUPS)]
    cluster["workerGroupSpecs"] = groups
    return job


def a_review(new: Any) -> bytes:
    """As the API server sends it for a creation."""
    group, _, version = new["apiVersion"].partition("/")
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": group, "version": version, "kind": new["kind"]},
        "name": new["metadata"]["name"],
        "namespace": "default",
        "operation": "CREATE",
        "userInfo": {"username": "jane"},
        "object": new,
        "oldObject": None,
        "dryRun": False,
    }
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


async def figures() -> Sequence[Figure]:
    """All of them."""
    found = []
    small, large = a_review(a_cluster()), a_review(a_large_job())
    values: dict[str, tuple[float, float, float]] = {}
    for how in ("allow", "judge"):
        async with a_server(how) as served:
            await served.asked("RayCluster", small, 200)
            await served.asked("RayJob", large, 20)
            rate = REVIEWS / await served.seconds_for("RayCluster", small, REVIEWS, CONNECTIONS)
            busy = await served.seconds_for("RayJob", large, LARGE_REVIEWS, 1) / LARGE_REVIEWS * 1000
            waited = sorted(await served.asked("RayJob", large, LARGE_REVIEWS))
            values[how] = (rate, busy, waited[int(LARGE_REVIEWS * 0.99)] * 1000)
    (rate, busy, p99), (free_rate, free_busy, free_p99) = values["judge"], values["allow"]
    reference = "the same server, judging nothing"
    found.append(Figure("webhooks, reviews of a RayCluster", rate, "/s", RATE_AIM, True, free_rate, reference))
    name = f"webhooks, a RayJob of {GROUPS} groups ({len(large) // 1024} KiB)"
    found.append(Figure(f"{name}: processor's time", busy, "ms", LATENCY_AIM_MS, False, free_busy, reference))
    found.append(Figure(f"{name}: p99", p99, "ms", LATENCY_AIM_MS, False, free_p99, reference))
    return found


class Served:
    """The server's process, and a client."""

    def __init__(self, process: asyncio.subprocess.Process, session: aiohttp.ClientSession) -> None:
        self._process = process
        self._session = session

    async def seconds_for(self, kind: str, body: bytes, count: int, at_once: int) -> float:
        """The server's processor's time for so many."""
        before = await self._busy()

        async def some() -> None:
            await self.asked(kind, body, count // at_once)

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(some())
        return await self._busy() - before

    async def asked(self, kind: str, body: bytes, count: int) -> list[float]:
        """How long each took, one after the other."""
        waited = []
        for _ in range(count):
            started = time.perf_counter()
            async with self._session.post(PATHS[kind], data=body) as answer:
                content = await answer.json()
            waited.append(time.perf_counter() - started)
            assert content["response"]["allowed"], content
        return waited

    async def _busy(self) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        return float(await self._process.stdout.readline())


@asynccontextmanager
async def a_server(how: str) -> AsyncIterator[Served]:
    """One that judges, or allows everything."""
    pipe = asyncio.subprocess.PIPE
    arguments = (sys.executable, "-m", "benchmarks.admission", how)
    process = await asyncio.create_subprocess_exec(*arguments, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    port, authority = json.loads(await process.stdout.readline())
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cadata=authority))
    headers = {"Content-Type": "application/json"}
    try:
        async with aiohttp.ClientSession(f"https://127.0.0.1:{port}", connector=connector, headers=headers) as session:
            yield Served(process, session)
    finally:
        process.terminate()
        await process.wait()


async def serve(how: str) -> None:
    """The other process: tells its port, then its processor's time whenever it is asked."""
    from prometheus_client import CollectorRegistry

    from api.v1.rules.model import Context
    from controller.runtime.certificates import Authority
    from controller.runtime.clock import SystemClock
    from controller.runtime.collector import calm_collector
    from controller.runtime.metrics import Metrics
    from controller.runtime.tls import ServerTls
    from controller.runtime.webhook import Hook, WebhookSeries, WebhookServer, webhooks_served
    from webhooks.server import hooks

    registry = CollectorRegistry()
    judging = hooks(Context({}), lambda _kind, new, _old, _context: new, registry)
    allowing: Mapping[str, Hook] = dict.fromkeys(judging, lambda _request: {"allowed": True})
    server = WebhookServer(
        judging if how == "judge" else allowing, ServerTls(), clock=SystemClock(), series=WebhookSeries(registry)
    )
    authority = Authority.new("benchmark", datetime.now(UTC), timedelta(days=1))
    server.show(authority.serving(["127.0.0.1"], datetime.now(UTC), timedelta(days=1)))
    with calm_collector(Metrics(), SystemClock()) as loaded:
        loaded()
        async with webhooks_served(server, host="127.0.0.1", lame_duck_seconds=0):
            assert isinstance(server.address, tuple)
            print(json.dumps([server.address[1], authority.pair.certificate.decode()]), flush=True)
            while await asyncio.to_thread(sys.stdin.readline):
                print(time.process_time(), flush=True)


async def main() -> None:
    from benchmarks.figure import table

    print(table(await figures()))


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]) if len(sys.argv) > 1 else main())
