"""The nesting order of everything that runs (spec runtime §13; style.md §2).

Start and stop order are nesting order: servers first up and last down, then the caches, then the lease, then the
application's own parts, then the controllers, which are last up and first down. Whatever fails ends the block, and
with it everything inside and outside of it, in that order.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import structlog

from controller.runtime.background import background
from controller.runtime.blocking import blocking_told
from controller.runtime.cache.caches import Caches
from controller.runtime.cache.informer import Watched
from controller.runtime.client.credentials import ANONYMOUS, Credentials
from controller.runtime.client.rest import EVENTS_AT_ONCE, WRITES_AT_ONCE, Identity, RestClient
from controller.runtime.client.transport import Transport
from controller.runtime.collector import calm_collector
from controller.runtime.events import Recorder
from controller.runtime.health import Health, metrics_application, serving
from controller.runtime.interfaces import Clock, MayWrite
from controller.runtime.ledger import Ledger
from controller.runtime.loop import Controller
from controller.runtime.metrics import Metrics

__all__ = ["Kit", "Runtime", "run", "running", "stopped_by_signals"]

GRACE = timedelta(seconds=30)  # MGR-8
LAG_PROBE_SECONDS = 1.0

_log = structlog.get_logger("manager")


@dataclass(frozen=True, slots=True)
class Kit:
    """What the application builds its controllers from."""

    client: RestClient
    caches: Caches
    recorder: Recorder
    clock: Clock
    rng: random.Random
    metrics: Metrics
    health: Health
    may_write: MayWrite
    unled: RestClient  # writes without the lease, too: for what every replica keeps under a resourceVersion


Controllers = Sequence[Controller]
# A block, because an application has parts of its own that run around its controllers: dashboard sessions.
Build = Callable[[Kit], AbstractAsyncContextManager[Controllers]]
Serve = Callable[[Kit], AbstractAsyncContextManager[object]]


def _always() -> bool:
    return True


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything that is handed in (decision D9). Addresses and sockets left out are not served.

    `leading` is entered after the caches and before the controllers, and ends the block when the lease is lost.
    """

    transport: Transport
    watched: Sequence[Watched]
    build: Build
    clock: Clock
    rng: random.Random
    identity: Identity
    instance: str = "local"  # the pod's name, in events
    namespaces: Sequence[str] = ()  # none: all
    credentials: Credentials = ANONYMOUS
    may_write: MayWrite = _always
    leading: Callable[[Kit], AbstractAsyncContextManager[None]] | None = None
    servers: Sequence[Serve] = ()  # the application's own: up before the caches, without the lease, and down after both
    metrics: Metrics = field(default_factory=Metrics)
    health: Health = field(default_factory=Health)
    server_host: str = ""  # for metrics
    health_address: tuple[str, int] | None = None  # host, "" for all of them, and port
    metrics_address: tuple[str, int] | None = None
    health_socket: str = ""  # a Unix socket instead
    metrics_socket: str = ""
    grace: timedelta = GRACE
    measure_loop_lag: bool = False  # the process is ours: watch its loop, keep its collector calm; off in virtual time


@asynccontextmanager
async def running(runtime: Runtime) -> AsyncIterator[Kit]:
    """Everything runs while the block is open; entered once the controllers work.

    Raises what any part raised, in an ExceptionGroup. Left, it drains the controllers for `grace`, then stops the
    caches, writes what events are left, and closes the servers last.
    """
    started_at = runtime.clock.monotonic()
    async with AsyncExitStack() as stack:
        for what, app, address, path in (
            ("health", runtime.health.application, runtime.health_address, runtime.health_socket),
            ("metrics", lambda: metrics_application(runtime.metrics), runtime.metrics_address, runtime.metrics_socket),
        ):
            if address is not None or path:
                host, port = address or ("", 0)
                await stack.enter_async_context(serving(app(), what=what, host=host, port=port, unix_socket=path))
        loaded: Callable[[], None] = _nothing
        if runtime.measure_loop_lag:
            await stack.enter_async_context(background(("loop lag", _measure_lag(runtime))))
            stack.enter_context(blocking_told(runtime.metrics))
            loaded = stack.enter_context(calm_collector(runtime.metrics, runtime.clock))
        kit = _kit(runtime)
        await stack.enter_async_context(_recording(kit.recorder))
        for serve in runtime.servers:
            await stack.enter_async_context(serve(kit))
        await stack.enter_async_context(kit.caches.running())
        loaded()
        _log.info("caches are loaded", kinds=len(runtime.watched))
        runtime.health.serve_traffic = True  # a standby is ready too
        loaded_at = runtime.clock.monotonic()
        if runtime.leading is not None:
            await stack.enter_async_context(runtime.leading(kit))
        led_at = runtime.clock.monotonic()
        controllers = await stack.enter_async_context(runtime.build(kit))
        await stack.enter_async_context(_working(controllers, kit.caches, partial(_grace, runtime)))
        _log.info(
            "controllers work",
            controllers=[one.name for one in controllers],
            seconds={
                "caches": round(loaded_at - started_at, 3),
                "lease": round(led_at - loaded_at, 3),
                "controllers": round(runtime.clock.monotonic() - led_at, 3),
            },
            loaded={kind: round(at - started_at, 3) for kind, at in kit.caches.loaded_at().items()},
        )
        try:
            yield kit
        finally:
            runtime.health.serve_traffic = False


async def run(runtime: Runtime, stop: asyncio.Event) -> None:
    """Everything runs until `stop` is set or a part fails; what has not come up by then, a standby say, is given up."""
    started = asyncio.Event()

    async def everything() -> None:
        async with running(runtime):
            started.set()
            await stop.wait()
            _log.info("stopping")

    async def giving_up(whole: asyncio.Task[None]) -> None:
        await stop.wait()
        if not started.is_set():
            _log.info("stopping before everything was up")
            whole.cancel()

    async with asyncio.TaskGroup() as group:
        whole = group.create_task(everything(), name="everything")
        async with background(("giving up", giving_up(whole))):
            await asyncio.wait([whole])


@asynccontextmanager
async def stopped_by_signals() -> AsyncIterator[asyncio.Event]:
    """An event that SIGTERM or SIGINT sets; a second signal ends the process at once (MGR-6).

    At once: what would be done on the way out, a lame duck's seconds say, is what whoever asks twice will not wait for.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked() -> None:
        if stop.is_set():
            _log.warning("a second signal: ending at once")
            os._exit(1)
        stop.set()

    signals = (signal.SIGTERM, signal.SIGINT)
    for one in signals:
        loop.add_signal_handler(one, asked)
    try:
        yield stop
    finally:
        for one in signals:
            loop.remove_signal_handler(one)


def _kit(runtime: Runtime) -> Kit:
    client = _client(runtime, runtime.may_write)
    parts = {"clock": runtime.clock, "rng": runtime.rng, "metrics": runtime.metrics}
    caches = Caches(client, runtime.watched, namespaces=runtime.namespaces, **parts)  # type: ignore[arg-type]
    # Events tell what a leader did, and the last of them are written after the lease is given up (MGR-7).
    recorder = Recorder(_client(runtime, _always, writes=EVENTS_AT_ONCE), instance=runtime.instance, **parts)  # type: ignore[arg-type]
    return Kit(
        client=client,
        caches=caches,
        recorder=recorder,
        clock=runtime.clock,
        rng=runtime.rng,
        metrics=runtime.metrics,
        health=runtime.health,
        may_write=runtime.may_write,
        unled=_client(runtime, _always),
    )


def _client(runtime: Runtime, may_write: MayWrite, *, writes: int = WRITES_AT_ONCE) -> RestClient:
    return RestClient(
        runtime.transport,
        clock=runtime.clock,
        identity=runtime.identity,
        ledger=Ledger(),
        may_write=may_write,
        credentials=runtime.credentials,
        metrics=runtime.metrics,
        host=runtime.server_host,
        writes=writes,
    )


@asynccontextmanager
async def _recording(recorder: Recorder) -> AsyncIterator[None]:
    async with background(("events", recorder.run())):
        yield
        await recorder.flush()


@asynccontextmanager
async def _working(controllers: Controllers, caches: Caches, grace: Callable[[], timedelta]) -> AsyncIterator[None]:
    """All controllers at once: they start together, and end together within one grace."""
    names = [one.name for one in controllers]
    if len(set(names)) != len(names):
        raise ValueError(f"controllers need names of their own: {names}")
    up = [asyncio.Event() for _ in controllers]
    down = asyncio.Event()

    async def one(controller: Controller, started: asyncio.Event) -> None:
        async with controller.running(caches, drain=grace):
            started.set()
            await down.wait()

    async with asyncio.TaskGroup() as group:
        for controller, started in zip(controllers, up, strict=True):
            group.create_task(one(controller, started), name=f"controller {controller.name}")
        try:
            for started in up:
                await started.wait()
            yield
        finally:
            down.set()


def _grace(runtime: Runtime) -> timedelta:
    """None for who may not write any more: what still runs is somebody else's work now (MGR-9)."""
    return runtime.grace if runtime.may_write() else timedelta(0)


async def _measure_lag(runtime: Runtime) -> None:
    while True:
        due = runtime.clock.monotonic() + LAG_PROBE_SECONDS
        await asyncio.sleep(LAG_PROBE_SECONDS)
        runtime.metrics.loop_lag.observe(max(0.0, runtime.clock.monotonic() - due))
