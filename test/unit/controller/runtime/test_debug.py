"""What a developer reads about a running operator."""

from __future__ import annotations

import asyncio
import random
import socket
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from api.core import PODS, SERVICES
from api.meta import Json, Ref
from controller.runtime.background import background
from controller.runtime.cache.caches import Caches
from controller.runtime.cache.informer import Watched
from controller.runtime.client.rest import Identity, RestClient
from controller.runtime.clock import SystemClock
from controller.runtime.debug import Debug, debugged
from controller.runtime.handlers import Source, for_object
from controller.runtime.health import serving
from controller.runtime.loop import Controller
from controller.runtime.manager import Kit, Runtime, run
from controller.runtime.metrics import Metrics
from controller.runtime.plan import DONE, Result
from localcluster.testing.scripted_api import Exchange, ScriptedTransport


def a_pod(name: str, rv: int) -> Json:
    return {"kind": "Pod", "metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": str(rv)}}


class Slow:
    """A reconciler that waits until it is let go."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.let_go = asyncio.Event()

    async def reconcile(self, key: Ref) -> Result:
        self.begun.set()
        await self._asking_somebody()
        return DONE

    async def _asking_somebody(self) -> None:
        await self.let_go.wait()


@asynccontextmanager
async def an_operator() -> AsyncIterator[Debug]:
    """Pods are there and one of two is worked on; Services may not be read."""

    def respond(exchange: Exchange) -> None:
        if "services" in exchange.path:
            exchange.refuse(403, "Forbidden", "no rights to services")
            return
        stream = exchange.stream()
        stream.event("ADDED", a_pod("a", 5))
        stream.event("ADDED", a_pod("b", 6))
        stream.bookmark("Pod", "10", ends_initial_events=True)

    clock, rng, metrics, slow = SystemClock(), random.Random(1), Metrics(), Slow()
    client = RestClient(ScriptedTransport(respond), clock=clock, identity=Identity("op", "1"))
    watched = (Watched(PODS), Watched(SERVICES, optional=True))
    caches = Caches(client, watched, clock=clock, rng=rng, metrics=metrics)
    controller = Controller(
        *("pods", slow, [Source(PODS, for_object)]), clock=clock, rng=rng, metrics=metrics, workers=1
    )
    debug = Debug(clock)
    debug.caches, debug.controllers = caches, (controller,)
    async with caches.running(), controller.running(caches):
        await slow.begun.wait()
        yield debug
        slow.let_go.set()


@asynccontextmanager
async def asking(debug: Debug, path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with (
        serving(debug.application(), unix_socket=str(path)),
        aiohttp.ClientSession("http://op", connector=aiohttp.UnixConnector(str(path))) as session,
    ):
        yield session


async def page(session: aiohttp.ClientSession, name: str) -> str:
    async with session.get(f"/debug/{name}") as answer:
        assert (answer.status, answer.content_type) == (200, "text/plain")
        return await answer.text()


@pytest.mark.spec("runtime:HLT-5")
async def test_the_pages_say_what_waits_what_is_worked_on_and_what_is_not_loaded(tmp_path: Path) -> None:
    """The three questions about an operator that seems to do nothing."""
    async with an_operator() as debug, asking(debug, tmp_path / "s") as session:
        queues, informers, tasks = [await page(session, name) for name in ("queues", "informers", "tasks")]

    first, second = queues.splitlines()
    assert first.startswith("pods: 1 ready (the oldest for 0.")
    assert first.endswith(" s), 0 later, 1 in work")
    assert second.startswith("  ns/a for 0.")
    assert "pods: 2 objects at version 10, last heard 0." in informers
    assert "services: not loaded (cannot list Service" in informers
    assert "no rights to services" in informers
    at = tasks.index("pods ns/a\n"), tasks.index("Slow._asking_somebody\n")
    assert at[0] < tasks.index("Slow.reconcile\n") < at[1], "what the worker works on, and where it stands"


async def test_a_runtime_has_its_pages_from_before_its_caches_are_loaded_until_it_ends(tmp_path: Path) -> None:
    """What is waited for at the start is the first question of all."""
    up, stop = asyncio.Event(), asyncio.Event()

    def respond(exchange: Exchange) -> None:
        exchange.stream()  # whose initial events never end

    @asynccontextmanager
    async def build(kit: Kit) -> AsyncIterator[Sequence[Controller]]:
        yield ()

    @asynccontextmanager
    async def served(kit: Kit) -> AsyncIterator[None]:
        up.set()
        yield

    plain = Runtime(
        *(ScriptedTransport(respond), [Watched(PODS)], build, SystemClock(), random.Random(1), Identity("op", "1"))
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    whole = debugged(plain, "127.0.0.1", port)
    operator = run(replace(whole, servers=(*whole.servers, served)), stop)
    async with background(("operator", operator)), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        await up.wait()
        informers = await page(session, "informers")
        stop.set()

    assert informers == "pods: not loaded (no answer yet)\n"


async def test_before_anything_is_up_there_is_nothing_to_tell(tmp_path: Path) -> None:
    """An operator that waits for its caches can be looked at, too."""
    async with asking(Debug(SystemClock()), tmp_path / "s") as session:
        assert await page(session, "queues") == ""
        assert await page(session, "informers") == ""


async def test_memory_is_told_where_it_is_counted(tmp_path: Path) -> None:
    """Counting makes everything slower, so it is not begun by looking."""
    async with asking(Debug(SystemClock()), tmp_path / "s") as session:
        assert "start the operator with PYTHONTRACEMALLOC=1" in await page(session, "memory")
        tracemalloc.start()
        try:
            held = [bytes(10_000) for _ in range(200)]
            told = await page(session, "memory")
        finally:
            tracemalloc.stop()

    assert len(held) == 200
    assert "test_debug.py:" in told.splitlines()[0]
