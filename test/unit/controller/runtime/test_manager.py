"""Start and stop order is nesting order, and whatever fails ends everything. The test is the server."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from api.core import PODS
from api.meta import Json, Ref
from controller.runtime.cache.informer import Watched
from controller.runtime.client.rest import Identity
from controller.runtime.clock import SystemClock
from controller.runtime.handlers import Source, for_object
from controller.runtime.loop import Controller, CutShort
from controller.runtime.manager import Kit, Runtime, run, running, stopped_by_signals
from controller.runtime.plan import DONE, Announcement, Result
from localcluster.testing.scripted_api import Exchange, ScriptedTransport, Stream

pytestmark = pytest.mark.looptime


def a_pod(name: str, rv: int) -> Json:
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": str(rv)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


class App:
    """An application of one controller, on a scripted server; keeps what happened, in order."""

    def __init__(self) -> None:
        self.story: list[str] = []
        self.streams: list[Stream] = []
        self.wire = ScriptedTransport(self._respond)
        self.reconcile_takes = 0.0
        self.loading_takes = 0.0
        self.fails_at_build = False
        self.kit: Kit | None = None

    def _respond(self, exchange: Exchange) -> None:
        if exchange.watches:
            stream = exchange.stream()
            self.streams.append(stream)
            loaded = partial(stream.bookmark, "Pod", "10", ends_initial_events=True)
            asyncio.get_running_loop().call_later(self.loading_takes, loaded)
        else:
            self.story.append(f"{exchange.method} {exchange.path.rsplit('/', 1)[-1]}")
            exchange.answer({"kind": "Event", "metadata": {"name": "e"}}, 201)

    async def reconcile(self, key: Ref) -> Result:
        self.story.append(f"reconcile {key.name}")
        assert self.kit is not None
        await asyncio.sleep(self.reconcile_takes)
        record = await self.kit.caches.get(PODS, key.namespace, key.name)
        assert record is not None
        self.kit.recorder.about(PODS, record.object(), "pods")(Announcement("Normal", "Seen", "See", "it"))
        self.story.append(f"reconciled {key.name}")
        return DONE

    @asynccontextmanager
    async def build(self, kit: Kit) -> AsyncIterator[Sequence[Controller]]:
        if self.fails_at_build:
            raise LookupError("no such gate")
        self.kit = kit
        self.story.append("built")
        parts: Any = {"clock": kit.clock, "rng": kit.rng, "metrics": kit.metrics}
        yield [Controller("pods", self, [Source(PODS, for_object)], **parts)]
        self.story.append("taken down")

    @asynccontextmanager
    async def leading(self, kit: Kit) -> AsyncIterator[None]:
        self.story.append("leading")
        yield
        self.story.append("released")

    def runtime(self, **options: Any) -> Runtime:
        return Runtime(
            transport=self.wire,
            watched=[Watched(PODS)],
            build=self.build,
            clock=SystemClock(),
            rng=random.Random(1),
            identity=Identity("op", "1"),
            leading=self.leading,
            **options,
        )


@pytest.mark.spec("runtime:MGR-1", "runtime:MGR-7")
async def test_what_starts_first_stops_last_and_running_work_finishes_before_its_ground_is_taken_away() -> None:
    """A reconcile still reads caches and records events while it is drained; the lease goes after all work."""
    app = App()
    app.reconcile_takes = 10
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(run(app.runtime(), stop))
        await asyncio.sleep(1)
        app.streams[0].event("ADDED", a_pod("a", 11))
        await asyncio.sleep(1)
        app.streams[0].event("ADDED", a_pod("b", 12))
        await asyncio.sleep(1)
        stop.set()

    assert [what for what in app.story if what != "POST events"] == [
        *("leading", "built", "reconcile a", "reconcile b"),
        *("reconciled a", "reconciled b", "taken down", "released"),
    ]
    assert app.story.count("POST events") == 2
    assert app.wire.open == 0


async def ended_after(app: App, seconds: float, **options: Any) -> None:
    """It runs, gets a pod after a second, and is asked to end."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(run(app.runtime(**options), stop))
        await asyncio.sleep(1)
        app.streams[0].event("ADDED", a_pod("a", 11))
        await asyncio.sleep(seconds - 1)
        stop.set()


@pytest.mark.spec("runtime:MGR-9")
async def test_who_may_not_write_any_more_drains_nothing() -> None:
    """What still runs is somebody else's work now."""
    app = App()
    app.reconcile_takes = 10_000
    time = asyncio.get_running_loop().time
    with pytest.raises(ExceptionGroup):
        await ended_after(app, 2, may_write=lambda: time() < 1.5)

    assert time() <= 2 + 2 + 0.1


@pytest.mark.spec("runtime:MGR-6")
async def test_a_standby_ends_when_asked() -> None:
    """It waits for the lease, perhaps for ever; nothing of it is up yet but what must not delay the end."""
    app = App()

    @asynccontextmanager
    async def standing_by(kit: Kit) -> AsyncIterator[None]:
        await asyncio.Event().wait()
        yield

    app.leading = standing_by  # type: ignore[method-assign]
    await ended_after(app, 2)

    assert asyncio.get_running_loop().time() <= 2 + 2 + 0.1
    assert app.wire.open == 0


@pytest.mark.spec("runtime:MGR-8")
async def test_the_end_does_not_wait_for_ever() -> None:
    """Thirty seconds for what runs, and two for events. The lease is not released: a write may be on its way."""
    app = App()
    app.reconcile_takes = 10_000

    with pytest.raises(ExceptionGroup) as caught:
        await ended_after(app, 2)

    assert caught.value.subgroup(CutShort) is not None
    assert "released" not in app.story
    assert asyncio.get_running_loop().time() <= 2 + 30 + 2 + 0.1
    assert "reconciled a" not in app.story


@pytest.mark.spec("runtime:MGR-3")
async def test_a_part_that_fails_ends_everything_with_its_own_error() -> None:
    """Nothing is left open, nothing runs on."""
    app = App()
    app.fails_at_build = True

    with pytest.raises(ExceptionGroup) as caught:
        await run(app.runtime(), asyncio.Event())

    assert caught.value.subgroup(LookupError) is not None
    assert app.story == ["leading"]
    assert app.wire.open == 0


@pytest.mark.looptime(False)
@pytest.mark.spec("runtime:MGR-6")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_asks_to_stop_and_the_handlers_go_with_the_block(number: signal.Signals) -> None:
    """In real time: signals know no other."""
    before = signal.getsignal(number)
    async with stopped_by_signals() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        async with asyncio.timeout(5):
            await stop.wait()

    assert signal.getsignal(number) in (before, signal.default_int_handler), "asyncio gives SIGINT back to Python"


IMPATIENT = """
import asyncio, os, signal
from controller.runtime.manager import stopped_by_signals

async def main():
    async with stopped_by_signals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.sleep(60)
        finally:  # a lame duck, say
            await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.spec("runtime:MGR-6")
def test_a_second_signal_ends_the_process_at_once() -> None:
    """Whoever asks twice does not want to wait for what still drains."""
    assert subprocess.run([sys.executable, "-c", IMPATIENT], timeout=30, check=False).returncode == 1


async def test_two_controllers_of_one_name_are_refused_at_the_start() -> None:
    """Their figures and logs could not be told apart."""
    app = App()

    @asynccontextmanager
    async def build(kit: Kit) -> AsyncIterator[Sequence[Controller]]:
        parts: Any = {"clock": kit.clock, "rng": kit.rng, "metrics": kit.metrics}
        yield [Controller("same", app, [], **parts), Controller("same", app, [], **parts)]

    runtime = app.runtime()
    with pytest.raises(ExceptionGroup) as caught:
        await run(
            Runtime(
                transport=app.wire,
                watched=runtime.watched,
                build=build,
                clock=runtime.clock,
                rng=runtime.rng,
                identity=runtime.identity,
            ),
            asyncio.Event(),
        )

    assert caught.value.subgroup(ValueError) is not None


async def test_it_is_ready_once_the_caches_are_loaded_and_no_longer_when_it_stops(tmp_path: Path) -> None:
    """Standby or leader: leadership is no part of readiness."""
    app = App()
    socket = str(tmp_path / "s")
    app.reconcile_takes = 10
    codes: list[int] = []

    async def probe(session: aiohttp.ClientSession) -> None:
        async with session.get("/readyz") as answer:
            codes.append(answer.status)

    async with (
        aiohttp.ClientSession("http://localhost", connector=aiohttp.UnixConnector(socket)) as session,
        asyncio.TaskGroup() as group,
        running(app.runtime(health_socket=socket, metrics_socket=str(tmp_path / "m"))),
    ):
        app.streams[0].event("ADDED", a_pod("a", 11))
        await asyncio.sleep(1)
        await probe(session)
        group.create_task(_later(5, probe, session))

    assert codes == [200, 500]


async def _later(seconds: float, probe: Any, session: aiohttp.ClientSession) -> None:
    await asyncio.sleep(seconds)
    await probe(session)


@pytest.mark.spec("runtime:MGR-5")
async def test_one_line_says_how_long_each_step_of_the_start_took() -> None:
    """Whoever waits for an operator sees what it waited for: here for its pods, and then for the lease."""
    app = App()
    app.loading_takes = 3.0

    @asynccontextmanager
    async def leading(kit: Kit) -> AsyncIterator[None]:
        await asyncio.sleep(7)
        yield

    with capture_logs() as logs:
        async with running(replace(app.runtime(), leading=leading)):
            pass

    (line,) = (one for one in logs if one["event"] == "controllers work")
    assert line["seconds"] == {"caches": 3.0, "lease": 7.0, "controllers": 0.0}
    assert line["loaded"] == {"pods": 3.0}
