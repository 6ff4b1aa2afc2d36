"""The real wire, aiohttp over a Unix socket and over TCP, in real time: failures are told by how far they came."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import HttpVersion11, web

from api.core import EVENTS, PODS
from controller.ray.dashboard.http import AiohttpRayTransport
from controller.runtime.client.rest import EVENTS_AT_ONCE, WRITES_AT_ONCE, Identity, RestClient
from controller.runtime.client.transport import (
    REQUESTS_AT_ONCE,
    AiohttpTransport,
    Broken,
    Pool,
    TcpConnector,
    connected,
)
from controller.runtime.clock import SystemClock
from controller.runtime.errors import LostAnswer, NotLeading, Unreachable
from controller.runtime.permit import permitting

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def a_server(tmp_path: Path, answer: Handle) -> AsyncIterator[AiohttpTransport]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    try:
        path = str(tmp_path / "s")
        await web.UnixSite(runner, path).start()
        async with connected("http://localhost", unix_socket=path) as transport:
            yield transport
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("server", "host"),
    [
        ("https://[fd00::1]:6443", "[fd00::1]:6443"),
        ("https://me:secret@api.example.com/prefix", "api.example.com:443"),
    ],
)
async def test_the_server_has_one_name_in_figures_also_with_ipv6(server: str, host: str) -> None:
    """As client-go labels it; credentials and paths are no part of it."""
    async with connected(server) as transport:
        assert transport.host == host


@pytest.mark.spec("runtime:TRN-2")
async def test_a_request_arrives_as_it_was_meant(tmp_path: Path) -> None:
    """Method, path, query and body; selectors are encoded on the way."""
    seen: list[tuple[str, str, str, bytes]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.version == HttpVersion11
        seen.append((request.method, request.path, request.query["labelSelector"], await request.read()))
        return web.json_response({"ok": True}, status=201, headers={"Retry-After": "3"})

    query = {"labelSelector": "a in (b,c),d!=e"}
    async with (
        a_server(tmp_path, answer) as transport,
        transport.request("POST", "/api/v1/pods", query=query, headers={}, body=b"{}") as got,
    ):
        assert (got.status, got.headers["retry-after"]) == (201, "3")
        assert await got.read() == b'{"ok": true}'

    assert seen == [("POST", "/api/v1/pods", "a in (b,c),d!=e", b"{}")]


@pytest.mark.spec("runtime:TRN-6")
async def test_chunks_come_as_the_server_sends_them_and_not_at_the_end(tmp_path: Path) -> None:
    """A watch that is buffered is none."""
    go_on = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await go_on.wait()
        await response.write(b"second")
        return response

    async with (
        a_server(tmp_path, answer) as transport,
        transport.request("GET", "/", query={}, headers={}, pool=Pool.WATCH) as got,
    ):
        chunks = got.chunks()
        assert await anext(chunks) == b"first"
        go_on.set()
        assert [chunk async for chunk in chunks] == [b"second"]


async def test_a_stream_that_is_cut_is_broken(tmp_path: Path) -> None:
    """An end without the closing chunk is no end."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        assert request.transport is not None
        request.transport.abort()
        return response

    async def read(transport: AiohttpTransport) -> None:
        async with transport.request("GET", "/", query={}, headers={}) as got:
            await got.read()

    async with a_server(tmp_path, answer) as transport:
        with pytest.raises(Broken):
            await read(transport)


async def test_a_server_that_hangs_up_without_an_answer_may_have_done_it(tmp_path: Path) -> None:
    """Broken, not Unreachable: the bytes were sent."""

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with a_server(tmp_path, answer) as transport:
        with pytest.raises(Broken):
            async with transport.request("POST", "/", query={}, headers={}, body=b"{}"):
                pass


@pytest.mark.parametrize("where", ["socket", "port"])
async def test_where_nobody_listens_nothing_happened(tmp_path: Path, where: str) -> None:
    """So a write may be repeated."""
    unix = str(tmp_path / "nobody") if where == "socket" else ""
    async with connected("http://127.0.0.1:1", unix_socket=unix) as transport:
        with pytest.raises(Unreachable):
            async with transport.request("POST", "/", query={}, headers={}, body=b"{}"):
                pass


@pytest.mark.spec("runtime:TRN-1")
async def test_a_hundred_open_watches_leave_room_for_requests(tmp_path: Path) -> None:
    """A pool that they shared would lock up."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        if "watch" in request.query:
            await asyncio.get_running_loop().create_future()
        return response

    async with a_server(tmp_path, answer) as transport, asyncio.TaskGroup() as group:

        async def watch(opened: asyncio.Event) -> None:
            async with transport.request("GET", "/", query={"watch": "1"}, headers={}, pool=Pool.WATCH):
                opened.set()
                await asyncio.get_running_loop().create_future()

        events = [asyncio.Event() for _ in range(100)]
        watches = [group.create_task(watch(event)) for event in events]
        for event in events:
            await event.wait()
        async with transport.request("GET", "/", query={}, headers={}) as got:
            assert await got.read() == b""
        for task in watches:
            task.cancel()


@pytest.mark.spec("runtime:CLI-20")
async def test_writes_that_all_hang_leave_room_for_events_and_reads(tmp_path: Path) -> None:
    """An admission webhook that does not answer holds writes for half a minute; what it does not judge goes on."""
    hanging = asyncio.Semaphore(0)

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "POST" and request.path.endswith("/pods"):
            hanging.release()
            await asyncio.get_running_loop().create_future()
        return web.json_response({"metadata": {"name": "a"}})

    async with a_server(tmp_path, answer) as transport, asyncio.TaskGroup() as group, asyncio.timeout(10):
        work = RestClient(transport, clock=SystemClock(), identity=Identity("op", "1"))
        telling = RestClient(transport, clock=SystemClock(), identity=Identity("op", "1"), writes=EVENTS_AT_ONCE)
        body = {"metadata": {"namespace": "ns", "name": "a"}}
        stuck = [group.create_task(work.create(PODS, body)) for _ in range(2 * WRITES_AT_ONCE)]
        for _ in range(WRITES_AT_ONCE):
            await hanging.acquire()

        assert (await telling.create(EVENTS, body))["metadata"] == {"name": "a"}
        assert (await work.get(PODS, "ns", "a"))["metadata"] == {"name": "a"}
        for task in stuck:
            task.cancel()


@pytest.mark.spec("runtime:LE-7")
async def test_the_right_to_write_is_asked_for_when_a_connection_is_there_and_not_before(tmp_path: Path) -> None:
    """All connections hang, one write waits for the next free one; meanwhile its right is gone."""
    arrived: list[str] = []
    hanging, go_on = asyncio.Semaphore(0), asyncio.Event()
    asked: list[bool] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        arrived.append(request.method)
        hanging.release()
        await go_on.wait()
        return web.json_response({})

    def permit() -> None:
        asked.append(go_on.is_set())
        raise NotLeading

    async def read(transport: AiohttpTransport) -> None:
        async with transport.request("GET", "/", query={}, headers={}) as got:
            await got.read()

    async def write(transport: AiohttpTransport) -> None:
        with pytest.raises(NotLeading):
            async with transport.request("POST", "/", query={}, headers={}, body=b"{}", permit=permit):
                pass

    async with a_server(tmp_path, answer) as transport:
        async with asyncio.TaskGroup() as group, asyncio.timeout(10):
            for _ in range(REQUESTS_AT_ONCE):
                group.create_task(read(transport))
            for _ in range(REQUESTS_AT_ONCE):
                await hanging.acquire()
            group.create_task(write(transport))
            await asyncio.sleep(0)
            go_on.set()
        await read(transport)  # the connection that was not used is given back

    assert asked == [True]
    assert "POST" not in arrived


async def test_a_granted_request_leaves_and_the_next_one_is_not_asked_about(tmp_path: Path) -> None:
    """The right belongs to one request, not to the task or the connection."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({})

    async with a_server(tmp_path, answer) as transport:
        for permit in (lambda: asked.append("first"), None):
            async with transport.request("POST", "/", query={}, headers={}, body=b"{}", permit=permit) as got:
                assert got.status == 200

    assert asked == ["first"]


async def test_a_delete_that_met_a_closed_connection_is_not_sent_again_by_who_lost_the_lease(tmp_path: Path) -> None:
    """The first one may have arrived: what became of it is not known."""
    arrived: list[str] = []
    leading = [True]

    async def answer(request: web.Request) -> web.StreamResponse:
        arrived.append(request.method)
        if request.method == "DELETE":
            leading[0] = False
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"metadata": {}})

    async with a_server(tmp_path, answer) as transport:
        client = RestClient(transport, clock=SystemClock(), identity=Identity("op", "1"), may_write=lambda: leading[0])
        await client.get(PODS, "ns", "a")  # leaves a connection that is kept
        with pytest.raises(LostAnswer):
            await client.delete(PODS, "ns", "a", uid="uid-a")

    assert arrived == ["GET", "DELETE"]


class Chance(random.Random):
    """Connections live for as long as the test says, of which they know only the bounds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(1)
        self.seconds = seconds

    def uniform(self, a: float, b: float) -> float:
        assert (a, b) == (300.0, 600.0)
        return self.seconds


@pytest.mark.spec("runtime:TRN-3")
@pytest.mark.parametrize(("seconds", "connections"), [(0.0, 5), (300.0, 1)])
async def test_an_old_connection_is_not_used_again(tmp_path: Path, seconds: float, connections: int) -> None:
    """Servers behind one address get their shares again after one of them was restarted."""
    seen: set[int] = set()
    kept: list[object] = []  # so that no two have one id

    async def answer(request: web.Request) -> web.StreamResponse:
        kept.append(request.transport)
        seen.add(id(request.transport))
        return web.Response()

    async with (
        a_server(tmp_path, answer),
        connected("http://localhost", unix_socket=str(tmp_path / "s"), chance=Chance(seconds)) as transport,
    ):
        for _ in range(5):
            async with transport.request("GET", "/", query={}, headers={}) as got:
                await got.read()

    assert len(seen) == connections


@pytest.mark.spec("runtime:TRN-3")
async def test_a_server_that_closes_a_connection_after_its_answer_does_no_harm(tmp_path: Path) -> None:
    """As one does that wants to be rid of us; the next request finds another connection."""
    arrived = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal arrived
        arrived += 1
        response = web.Response()
        response.force_close()
        return response

    async with a_server(tmp_path, answer) as transport:
        for _ in range(3):
            async with transport.request("POST", "/", query={}, headers={}, body=b"{}") as got:
                assert got.status == 200

    assert arrived == 3


@pytest.mark.spec("runtime:LE-7")
async def test_what_is_asked_of_ray_needs_leave_when_it_has_its_connection() -> None:
    """On the connections that the operator's process gives to its dashboards; here there is one, and it is taken."""
    arrived: list[str] = []
    hanging, go_on = asyncio.Event(), asyncio.Event()
    leading = [True]

    async def answer(request: web.Request) -> web.StreamResponse:
        arrived.append(request.method)
        hanging.set()
        await go_on.wait()
        return web.Response()

    def permit() -> None:
        if not leading[0]:
            raise NotLeading

    app = web.Application()
    app.router.add_route("*", "/", answer)
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    more: Any = {"headers": {}, "body": None, "timeout": timedelta(seconds=10)}
    async with aiohttp.ClientSession(connector=TcpConnector(limit=1)) as session, asyncio.TaskGroup() as group:
        ray = AiohttpRayTransport(session)

        async def put() -> None:
            with permitting(permit), pytest.raises(NotLeading):
                await ray.request("PUT", url, **more)

        group.create_task(ray.request("GET", url, **more))
        await hanging.wait()
        group.create_task(put())
        await asyncio.sleep(0)
        leading[0] = False
        go_on.set()
    await runner.cleanup()

    assert arrived == ["GET"]
