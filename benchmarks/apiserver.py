"""Writes per second through the HTTP face of the local API server, with one watcher, in one process.

    python -m benchmarks.apiserver

Server, writers and watcher share one loop and one core, as in a story; a client beside it would leave the server more.
Counted is the processor's time of this one thread, so that a busy machine does not change the figures. The reference
is a bare aiohttp server that reads the same bodies as JSON and answers them, to the same writers and with no watcher.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
from aiohttp import web

from benchmarks.figure import Figure
from localcluster.apiserver.http import HttpFace, serving
from localcluster.apiserver.server import ApiServer

WRITES = 3000
WRITERS = 16
AIM = 1500
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"labels": {"ray.io/cluster": "c", "ray.io/node-type": "worker"}},
    "spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.52.0", "args": ["ray start --block"]}]},
}
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}, "data": {"a": "1"}}
BODIES = {"configmaps": CONFIG_MAP, "pods": POD}


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


async def figures() -> Sequence[Figure]:
    """All of them."""
    async with _bare_server() as url, aiohttp.ClientSession(url) as session:
        bare = {resource: await rate(WRITES, _creating(session, resource)) for resource in BODIES}
    server = ApiServer(now=_now, chance=random.Random(1))
    found: list[Figure] = []
    async with serving(HttpFace(server, now=_now)) as url, aiohttp.ClientSession(url) as session:
        for resource in BODIES:
            for what, write in (("creates", _creating), ("patches", _patching)):
                value = await _watched_rate(session, resource, write(session, resource))
                name = f"local API server, {what} of {resource}"
                found.append(Figure(name, value, "/s", AIM, True, bare[resource], "a bare aiohttp server, creates"))
    return found


async def _watched_rate(
    session: aiohttp.ClientSession, resource: str, write: Callable[[int], Awaitable[None]]
) -> float:
    """While one watcher looks on, who must have kept up."""
    async with asyncio.TaskGroup() as group:
        seen: list[int] = []
        ready = asyncio.Event()
        watching = group.create_task(watched(session, _path(resource), seen, ready))
        await ready.wait()
        found = await rate(WRITES, write)
        watching.cancel()
    assert sum(seen) >= WRITES - WRITERS, "the watcher fell behind"
    return found


def _creating(session: aiohttp.ClientSession, resource: str) -> Callable[[int], Awaitable[None]]:
    async def create(number: int) -> None:
        made = json.loads(json.dumps(BODIES[resource]))
        made["metadata"]["name"] = f"n{number}"
        async with session.post(_path(resource), json=made) as answer:
            assert answer.status == 201, await answer.text()
            await answer.read()

    return create


def _patching(session: aiohttp.ClientSession, resource: str) -> Callable[[int], Awaitable[None]]:
    async def patch(number: int) -> None:
        change = json.dumps({"metadata": {"labels": {"n": str(number)}}})
        headers = {"Content-Type": "application/merge-patch+json"}
        async with session.patch(f"{_path(resource)}/n{number % 100}", data=change, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            await answer.read()

    return patch


@asynccontextmanager
async def _bare_server() -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response(await request.json(), status=201)

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _path(resource: str) -> str:
    return f"/api/v1/namespaces/default/{resource}"


def _now() -> datetime:
    return datetime.now(UTC)


async def watched(session: aiohttp.ClientSession, path: str, seen: list[int], ready: asyncio.Event) -> None:
    """Count the lines of a watch until cancelled."""
    async with session.get(path, params={"watch": "true", "resourceVersion": "0"}) as answer:
        ready.set()
        while chunk := await answer.content.readany():
            seen.append(chunk.count(b"\n"))


if __name__ == "__main__":
    for one in asyncio.run(figures()):
        print(json.dumps(one.cells(), ensure_ascii=False))
