"""The operator as a process: credentials, signals, ports, the lease, and what it says when it cannot start or go on.

Two threads. The first runs everything; the second answers liveness and holds the lease, on a connection of its own,
so that a long decode on the first costs neither (spec runtime LE-8, HLT-3).
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import socket
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, NoReturn
from urllib.parse import urlsplit

import structlog
from prometheus_client import ProcessCollector

from api.core import LEASES
from controller.admission import account_of
from controller.main import runtime_of
from controller.ray.dashboard.http import AiohttpRayTransport
from controller.runtime.background import background
from controller.runtime.beside import Beside, beside
from controller.runtime.client.config import (
    BadConfig,
    ServerConfig,
    connect,
    from_kubeconfig,
    in_cluster,
    with_proxy,
)
from controller.runtime.client.rest import Identity, RestClient
from controller.runtime.client.transport import Pool, TcpConnector
from controller.runtime.clock import SystemClock
from controller.runtime.debug import debugged
from controller.runtime.election.elector import Elector, Heartbeat, LeaseLost, LeaseName, leading
from controller.runtime.election.series import ElectionSeries
from controller.runtime.errors import RuntimeProblem
from controller.runtime.health import CannotListen, Health
from controller.runtime.health import serving as http_serving
from controller.runtime.manager import Kit, Runtime, run, stopped_by_signals
from controller.runtime.plan import Announcement
from controller.settings import VERSION, Settings

__all__ = ["serve"]

LEASE: Final = "ray-operator-leader"  # spec deployment §1.7: the reference's, so that never both write
BEAT_SECONDS: Final = 1.0
STUCK_SECONDS: Final = 10.0  # HLT-2: the event loop has not moved for that long: restart us
ADDRESS_FLAGS: Final = {
    "metrics": "metrics-addr",
    "health": "health-probe-bind-address",
    "debug pages": "debug-address",
    "webhooks": "webhook-bind-address",
}
LAST_WORDS_SECONDS: Final = 1.0  # for the log, when the lease is lost

log = structlog.get_logger("setup")


def serve(settings: Settings) -> int:
    """Run until a signal; the exit code: 0 when asked to end, 1 when it could not start or go on."""
    from controller.runtime.logs import configure

    try:
        configure(
            encoding=settings.log_encoder,
            level=settings.log_level,
            output=sys.stderr,
            file=Path(settings.log_file) if settings.log_file else None,
            file_encoding=settings.log_file_encoder,
        )
    except OSError as error:
        sys.stderr.write(f"manta-operator: cannot write -log-file-path {settings.log_file}: {error.strerror}\n")
        return 1
    for notice in settings.notices:
        log.warning(notice)
    try:
        asyncio.run(_serving(settings))
    except Exception as error:  # noqa: BLE001 - the end of the process, told to whoever reads its log
        for problem in leaves(error):
            _explain(problem)
        return 1
    return 0


def _explain(problem: BaseException) -> None:
    """Why it ended: a sentence for what the world did to us, a traceback for what we did."""
    if isinstance(problem, BadConfig):
        sys.stderr.write(f"manta-operator: {problem}\n")
    elif isinstance(problem, CannotListen):
        sys.stderr.write(f"manta-operator: {problem}: free it, or give another -{ADDRESS_FLAGS[problem.what]}\n")
    elif isinstance(problem, RuntimeProblem | OSError):
        log.error("the operator cannot go on", problem=str(problem))
    else:
        log.error("the operator cannot go on", problem=repr(problem), exc_info=problem)


def leaves(error: BaseException) -> Iterable[BaseException]:
    """The exceptions inside a group, however deep; an exception that is none, itself."""
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for member in error.exceptions:
        yield from leaves(member)


def server_of(settings: Settings) -> ServerConfig:
    """The first of: the kubeconfig that was named, the cluster we run in, ~/.kube/config (spec deployment §1.1 step 8).

    With the proxy that it names, or the environment (DC-25). Raises BadConfig.
    """
    return with_proxy(_named_server(settings), os.environ)


def _named_server(settings: Settings) -> ServerConfig:
    if settings.kubeconfig:
        return from_kubeconfig([Path(one) for one in settings.kubeconfig.split(os.pathsep) if one])
    if _in_a_cluster():
        return in_cluster(os.environ)
    usual = Path.home() / ".kube" / "config"
    if not usual.exists():
        raise BadConfig(f"no API server: not in a cluster, and no kubeconfig at {usual}; give one with -kubeconfig")
    return from_kubeconfig([usual])


def lease_namespace(settings: Settings) -> str:
    """The namespace that was named, or our pod's own. Raises BadConfig where there is neither."""
    if settings.leader_election_namespace:
        return settings.leader_election_namespace
    if _in_a_cluster():
        return in_cluster(os.environ).namespace
    raise BadConfig(
        "leader election needs a namespace for its lease outside a cluster: "
        "give -leader-election-namespace, or switch it off with -enable-leader-election=false"
    )


def placed(settings: Settings, config: ServerConfig) -> Settings:
    """With the namespace that the webhooks' certificates are kept in, and our own user name, if there are webhooks."""
    if settings.webhooks is None:
        return settings
    ours = _in_a_cluster() and not settings.kubeconfig
    namespace = config.namespace if ours else settings.leader_election_namespace or config.namespace
    token = config.token_file.read_text().strip() if config.token_file is not None else config.token
    return replace(settings, webhooks=replace(settings.webhooks, namespace=namespace, account=account_of(token)))


def _identity() -> str:
    """Unlike that of every other replica, and of ourselves before a restart."""
    return f"{socket.gethostname()}_{uuid.UUID(bytes=secrets.token_bytes(16), version=4)}"


def _in_a_cluster() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ


@dataclass(frozen=True, slots=True)
class _Watch:
    """What the second thread needs to know."""

    settings: Settings
    config: ServerConfig
    lease: LeaseName | None  # none: leader election is off
    health: Health
    heartbeat: Heartbeat


async def _serving(settings: Settings) -> None:
    """Connect, run everything, leave on SIGTERM or SIGINT."""
    import aiohttp

    config = server_of(settings)
    settings = placed(settings, config)
    lease = None
    if settings.leader_election:
        lease = LeaseName(lease_namespace(settings), LEASE, _identity())
    watch = _Watch(settings, config, lease, Health(), Heartbeat(_boot_time))
    rng, clock = random.Random(secrets.randbits(64)), SystemClock()
    log.info("starting", version=VERSION, gates=dict(settings.options.gates.by_name))
    if config.proxy:
        log.info("the API server is reached through a proxy", proxy=urlsplit(config.proxy).hostname)
    async with (
        stopped_by_signals() as stop,
        background(("heartbeat", _beating(watch.heartbeat))),
        beside(partial(_watching, watch), name="watch") as side,
        connect(config, clock, rng) as (transport, credentials),
        aiohttp.ClientSession(connector=TcpConnector(), cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        ray = AiohttpRayTransport(session)
        whole = runtime_of(settings, transport, ray, clock, rng, auth_token, credentials, socket.gethostname())
        whole = replace(exposed(whole, settings, watch.health), server_host=transport.host)
        if (debug := address_of(settings.debug_address)) is not None:
            whole = debugged(whole, *debug)
        await run(_led(whole, side), stop)


def exposed(whole: Runtime, settings: Settings, health: Health) -> Runtime:
    """With what only a process has: a port for its figures, and figures of its own (CPU, memory, files)."""
    ProcessCollector(registry=whole.metrics.registry)
    return replace(whole, health=health, metrics_address=address_of(settings.metrics_address), measure_loop_lag=True)


def _led(whole: Runtime, side: Beside[Elector | None]) -> Runtime:
    """With leader election, if it is on: the elector lives on the second thread."""
    elector = side.value
    if elector is None:
        return whole
    whole.metrics.registry.register(ElectionSeries(elector))

    @asynccontextmanager
    async def led(kit: Kit) -> AsyncIterator[None]:
        async with leading(elector, run=side.run):
            note = f"{elector.lease.identity} became leader"
            kit.recorder.about(LEASES, elector.held, "leader-election")(
                Announcement("Normal", "LeaderElection", "LeaderElection", note)
            )
            yield

    return replace(whole, leading=led, may_write=elector.may_write)


@asynccontextmanager
async def _watching(watch: _Watch) -> AsyncIterator[Elector | None]:
    """What runs on the second thread: health and readiness for whoever asks, and the elector."""
    watch.health.live["event loop"] = partial(_stuck, watch.heartbeat)
    async with AsyncExitStack() as stack:
        address = address_of(watch.settings.health_address)
        elector = await stack.enter_async_context(_elector(watch)) if watch.lease is not None else None
        if elector is not None:
            watch.health.live["leaderElection"] = elector.check
        if address is not None:
            host, port = address
            served = http_serving(watch.health.application(), what="health", host=host, port=port)
            await stack.enter_async_context(served)
        yield elector


@asynccontextmanager
async def _elector(watch: _Watch) -> AsyncIterator[Elector]:
    clock = SystemClock()
    async with connect(watch.config, clock) as (transport, credentials):
        client = RestClient(
            transport,
            clock=clock,
            identity=Identity("kuberay-operator", watch.settings.options.version, "leader-election"),
            credentials=credentials,
            host=transport.host,
            pool=Pool.LEASE,
        )
        assert watch.lease is not None
        yield Elector(
            client,
            watch.lease,
            time=_boot_time,
            wall=clock.now,
            chance=random.Random(secrets.randbits(64)),
            timing=watch.settings.lease_timing,
            heartbeat=watch.heartbeat,
            on_lost=_end,
        )


def _end(lost: LeaseLost) -> NoReturn:
    """The end of the process, at once: what the first thread still does must reach nobody (MGR-9).

    Also when the log cannot be written any more: a pipe that nobody reads must not keep us.
    """
    threading.Thread(target=_end_soon, daemon=True).start()
    log.critical("lost the lease: ending at once", reason=str(lost))
    sys.stderr.flush()
    os._exit(1)


def _end_soon() -> NoReturn:
    time.sleep(LAST_WORDS_SECONDS)
    os._exit(1)


async def _beating(heartbeat: Heartbeat) -> None:
    while True:
        heartbeat.beat()
        await asyncio.sleep(BEAT_SECONDS)


async def _stuck(heartbeat: Heartbeat) -> str | None:
    silent = heartbeat.silent_seconds
    return f"the event loop has stood still for {silent:.0f} s" if silent > STUCK_SECONDS else None


def _boot_time() -> float:
    """Seconds of a clock that goes on while the machine sleeps (LE-4)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def address_of(text: str) -> tuple[str, int] | None:
    """Host and port of "[::1]:8080", host "" for all; None for "0" and "", which switch the server off."""
    if text in ("", "0"):
        return None
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def auth_token() -> str:
    """32 random bytes in standard base64 (spec raycluster §7.4)."""
    import base64

    return base64.b64encode(secrets.token_bytes(32)).decode()
