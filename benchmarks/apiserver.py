"""Writes per second through the HTTP face of the local API server, with one watcher, in one process.

    python -m benchmarks.apiserver

Server, writers and watcher share one loop and one core, as in a story; a client beside it would leave the server more.
Counted is the processor's time of this one thread, so that a busy machine does not change the figures.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import aiohttp

from localcluster.apiserver.http import HttpFace, serving
from localcluster.apiserver.server import ApiServer

WRITES = 3000
WRITERS = 16
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"labels": {"ray.io/cluster": "c", "ray.io/node-type": "worker"}},
    "spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.52.0", "args": ["ray start --block"]}]},
}
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}, "data": {"a": "1"}}


async def rate(count: int, write: Callable[[int], Awaitable[None]]) -> float:
    """How many per second of processor time, with WRITERS at a time."""
    started = time.process_time()

    async def writer(first: int) -> None:
        for number in range(first, count, WRITERS):
            await write(number)

    async with asyncio.TaskGroup() as writers:
        for first in range(WRITERS):
            writers.create_task(writer(first))
    return count / (time.process_time() - started)


async def measured() -> dict[str, float]:
    """Figures by what was written."""
    server = ApiServer(now=lambda: datetime.now(UTC), chance=random.Random(1))
    figures: dict[str, float] = {}
    async with serving(HttpFace(server, now=lambda: datetime.now(UTC))) as url, aiohttp.ClientSession(url) as session:
        for what, resource, body in (("config maps", "configmaps", CONFIG_MAP), ("pods", "pods", POD)):
            path = f"/api/v1/namespaces/default/{resource}"

            async def create(number: int, path: str = path, body: object = body) -> None:
                made = json.loads(json.dumps(body))
                made["metadata"]["name"] = f"n{number}"
                async with session.post(path, json=made) as answer:
                    assert answer.status == 201, await answer.text()
                    await answer.read()

            async def patch(number: int, path: str = path) -> None:
                change = json.dumps({"metadata": {"labels": {"n": str(number)}}})
                headers = {"Content-Type": "application/merge-patch+json"}
                async with session.patch(f"{path}/n{number % 100}", data=change, headers=headers) as answer:
                    assert answer.status == 200, await answer.text()
                    await answer.read()

            async with asyncio.TaskGroup() as group:
                seen: list[int] = []
                ready = asyncio.Event()
                watching = group.create_task(watched(session, path, seen, ready))
                await ready.wait()
                figures[f"creates of {what} per second"] = await rate(WRITES, create)
                figures[f"patches of {what} per second"] = await rate(WRITES, patch)
                watching.cancel()
            assert sum(seen) >= 2 * WRITES - WRITERS, "the watcher fell behind"
    return figures


async def watched(session: aiohttp.ClientSession, path: str, seen: list[int], ready: asyncio.Event) -> None:
    """Count the lines of a watch until cancelled."""
    async with session.get(path, params={"watch": "true", "resourceVersion": "0"}) as answer:
        ready.set()
        while chunk := await answer.content.readany():
            seen.append(chunk.count(b"\n"))


if __name__ == "__main__":
    for name, figure in asyncio.run(measured()).items():
        print(f"{figure:8.0f} {name}")
