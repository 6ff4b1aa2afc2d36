"""Two hundred RayServices that serve for an hour, then a change of one: what that costs, and how soon it is acted on.

    python -m benchmarks.services [SERVICES]

In virtual time, with operator, API server, node and a stand-in for Ray in one loop. In the hour nothing is written and
nothing changes, so what it takes is the asking: every head for its applications and for its proxy, every three seconds.
The reference asks the same stand-in the same questions as often, with nothing around them. Both counts hold the
stand-in's own work, and that of the virtual clock, which is most of them.

It takes a process of its own: the clock of the loop is virtual there.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

import looptime
import structlog

from benchmarks.figure import Figure, table
from controller.ray.dashboard.sessions import POLL_SECONDS
from localcluster.testing.cluster import Cluster, a_cluster
from localcluster.testing.factories import a_rayservice

__all__ = ["figures"]

SERVICES = 200
QUIET = 120.0  # virtual seconds after the last of them is ready
HOUR = 3600.0
CHANGE = {"spec": {"rayClusterConfig": {"rayVersion": "2.53.0"}}}
REFERENCE = "the same questions, nothing else"


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured. Seconds are the processor's, but of `acted_after`, which are the virtual clock's."""

    services: int
    up_seconds: float
    hour_seconds: float
    asked_seconds: float
    writes: int
    acted_after: float
    kept_mib: float


async def figures(services: int = SERVICES) -> Sequence[Figure]:
    """Measured in another process."""
    module = ("-m", "benchmarks.services", str(services), "--json")
    process = await asyncio.create_subprocess_exec(sys.executable, *module, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"benchmarks.services ended with {process.returncode}")
    return shown(Found(**json.loads(said)))


def shown(found: Found) -> Sequence[Figure]:
    """As lines of the table."""
    many = f"{found.services} RayServices"
    asked = found.asked_seconds
    return [
        Figure(f"{many}: writes of a steady hour", found.writes, "", 0),
        Figure("processor's time of that hour", found.hour_seconds, "s", None, False, asked, REFERENCE),
        Figure("an edit after it: first write after", found.acted_after * 1000, "ms", 1000),
        Figure("processor's time until all served", found.up_seconds, "s"),
        Figure("memory that an operator keeps for them", found.kept_mib, "MiB"),
    ]


async def measured(services: int) -> Found:
    """Bring them up, let an hour pass, change one; then ask alone; then see what another operator keeps."""
    async with a_cluster(tell_events=False) as cluster:
        began = time.process_time()
        for number in range(services):
            await cluster.create(a_rayservice(f"web-{number}", workers=0))
        for number in range(services):
            await cluster.until("RayService", f"web-{number}", condition="Ready")
        await cluster.after(QUIET)
        up = time.process_time() - began

        began = time.process_time()
        writes = len(await cluster.writes_during(HOUR))
        hour = time.process_time() - began
        acted = await _acted_after(cluster)

        cluster.kill_operator()
        asked = await _asked(cluster, services)
        return Found(services, up, hour, asked, writes, acted, await _kept(cluster))


async def _acted_after(cluster: Cluster) -> float:
    """Virtual seconds from an edit to the first write that it leads to."""
    before, edited = len(cluster.writes), cluster.clock.now()
    await cluster.patch("RayService", "web-0", CHANGE)
    await cluster.until("RayService", "web-0", condition="UpgradeInProgress")
    return (cluster.writes[before].when - edited).total_seconds()


async def _asked(cluster: Cluster, services: int) -> float:
    """Processor's seconds of an hour of the same questions."""
    heads = [pod for pod in await cluster.all_of("Pod") if pod["metadata"]["labels"]["ray.io/node-type"] == "head"]
    ends, limit, chance = cluster.clock.monotonic() + HOUR, timedelta(seconds=10), random.Random(0)

    async def ask(dashboard: str, proxy: str) -> None:
        while cluster.clock.monotonic() < ends:
            for url in (f"{proxy}/-/healthz", f"{proxy}/-/routes", f"{dashboard}/api/serve/applications/"):
                await cluster.dashboards.request("GET", url, headers={}, body=None, timeout=limit)
            await asyncio.sleep(POLL_SECONDS * chance.uniform(0.9, 1.1))  # as sessions do, so none asks with another

    began = time.process_time()
    async with asyncio.TaskGroup() as group:
        for pod in heads[:services]:
            name = f"{pod['metadata']['labels']['ray.io/cluster']}-head-svc.default.svc"
            group.create_task(ask(f"http://{name}:8265", f"http://{pod['status']['podIP']}:8000"))
    return time.process_time() - began


async def _kept(cluster: Cluster) -> float:
    """MiB that an operator allocates which starts with all of them there, once it has looked at each."""
    gc.collect()
    tracemalloc.start()
    await cluster.start_operator()
    await cluster.after(QUIET)
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return kept / 2**20


def main(arguments: Sequence[str]) -> None:
    """Measure, and print a table, or JSON."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    numbers = [int(one) for one in arguments if one.isdecimal()]
    loop = looptime.new_event_loop()
    try:
        found = loop.run_until_complete(measured(numbers[0] if numbers else SERVICES))
    finally:
        loop.close()
    print(json.dumps(asdict(found)) if "--json" in arguments else table(shown(found)))


if __name__ == "__main__":
    main(sys.argv[1:])
