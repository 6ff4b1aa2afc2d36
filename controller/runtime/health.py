"""Whether we live, whether we are ready, and the figures: small HTTP endpoints (spec runtime §15).

Liveness must not depend on the API server: an outage there must not restart operators.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import structlog
from aiohttp import web
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from controller.runtime.contained import contained
from controller.runtime.errors import RuntimeProblem
from controller.runtime.metrics import Metrics

__all__ = ["CannotListen", "Check", "Health", "rendered", "serving"]

CHECK_SECONDS = 1.0  # HLT-1
CLOSE_SECONDS = 1.0
SLICE_SERIES = 500  # HLT-6: some 3 ms
END = b"# EOF\n"  # of OpenMetrics, once

# A check answers None, or what is wrong.
Check: TypeAlias = Callable[[], Awaitable[str | None]]

_log = structlog.get_logger("health")


class CannotListen(RuntimeProblem):
    """The address is taken, or not ours; `what` was to be served there."""

    def __init__(self, what: str, where: str, error: OSError) -> None:
        super().__init__(f"cannot serve {what} on {where}: {error.strerror or error}")
        self.what = what


class Health:
    """Named checks of the two kinds. Ready only while `serve_traffic` is true: it goes false first when we stop."""

    def __init__(self) -> None:
        self.live: dict[str, Check] = {"ping": _ping}
        self.ready: dict[str, Check] = {"serving": self._serving}
        self.serve_traffic = False

    async def _serving(self) -> str | None:
        return None if self.serve_traffic else "not started, or stopping"

    def application(self) -> web.Application:
        """/healthz, /livez, /readyz, and each check under its own path."""
        app = web.Application()
        for path, checks in (("/healthz", self.live), ("/livez", self.live), ("/readyz", self.ready)):
            app.router.add_get(path, _answering(checks))
            app.router.add_get(path + "/{check}", _answering(checks))
        return app


def metrics_application(metrics: Metrics) -> web.Application:
    """/metrics, in the text format or in OpenMetrics, as the reader asks."""

    async def scrape(request: web.Request) -> web.Response:
        from prometheus_client.exposition import choose_encoder

        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        body = await rendered(metrics.registry, encode)
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = web.Application()
    app.router.add_get("/metrics", scrape)
    return app


class _Family:
    """One family as a registry, for an encoder."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return (self._family,)


async def rendered(registry: Collector, encode: Callable[[Any], bytes]) -> bytes:
    """What `encode` makes of the registry, in slices; others run after every few hundred series (HLT-6)."""
    parts: list[bytes] = []
    end, series = b"", 0
    for family in registry.collect():
        for number, piece in enumerate(_slices(family)):
            part = encode(_Family(piece))
            if part.endswith(END):
                part, end = part.removesuffix(END), END
            heading = encode(_Family(_with(family, []))).removesuffix(END) if number else b""  # said once
            parts.append(part.removeprefix(heading))
            series += len(piece.samples)
            if series >= SLICE_SERIES:
                series = 0
                await asyncio.sleep(0)
    return b"".join(parts) + end


def _slices(family: Metric) -> Iterator[Metric]:
    """The family in pieces, each with its heading. Only gauges are cut: encoders sort the series of other types."""
    if family.type != "gauge" or len(family.samples) <= SLICE_SERIES:
        yield family
        return
    for start in range(0, len(family.samples), SLICE_SERIES):
        yield _with(family, family.samples[start : start + SLICE_SERIES])


def _with(family: Metric, samples: list[Sample]) -> Metric:
    one = Metric(family.name, family.documentation, family.type, family.unit)
    one.samples = samples
    return one


@asynccontextmanager
async def serving(
    app: web.Application, *, what: str = "", host: str = "", port: int = 0, unix_socket: str = ""
) -> AsyncIterator[None]:
    """Serve while the block is open, on all addresses where no host is named. Raises CannotListen."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=CLOSE_SECONDS)
    await runner.setup()
    try:
        site: web.BaseSite
        try:
            if unix_socket:
                site = web.UnixSite(runner, unix_socket)
            else:
                site = web.TCPSite(runner, await _address(host) if host else None, port)
            await site.start()
        except OSError as error:
            raise CannotListen(what, unix_socket or f"{host}:{port}", error) from error
        yield
    finally:
        await runner.cleanup()


async def _address(host: str) -> str:
    """One address of a name, IPv4 first, as Go listens: localhost may also be ::1, which a pod need not have."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    address = min(found, key=lambda one: one[0] is not socket.AF_INET)[4][0]
    assert isinstance(address, str)
    return address


async def _ping() -> str | None:
    return None


def _answering(checks: Mapping[str, Check]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        wanted = request.match_info.get("check")
        if wanted is not None and wanted not in checks:
            return web.Response(status=404, text=f"no check {wanted}")
        excluded = set(request.query.getall("exclude", []))
        names = [wanted] if wanted is not None else [name for name in checks if name not in excluded]
        failures = await _run_all({name: checks[name] for name in names})
        lines = [f"[{'-' if name in failures else '+'}]{name} {_word(name, failures)}" for name in names]
        lines += [f"warn: no check {name} to exclude" for name in sorted(excluded - set(checks))]
        good = not failures
        if not good or "verbose" in request.query:
            lines.append("checks passed" if good else "checks failed")
            return web.Response(status=200 if good else 500, text="\n".join(lines) + "\n")
        return web.Response(text="ok")

    return answer


def _word(name: str, failures: Mapping[str, str]) -> str:
    """Reasons are logged, not shown: the endpoint has no authentication."""
    return "failed: reason withheld" if name in failures else "ok"


async def _run_all(checks: Mapping[str, Check]) -> Mapping[str, str]:
    """What is wrong, by check; all run at once, each for a second at most."""
    async with asyncio.TaskGroup() as group:
        running = {name: group.create_task(_run_one(name, check)) for name, check in checks.items()}
    failures = {name: text for name, task in running.items() if (text := task.result()) is not None}
    for name, text in failures.items():
        _log.info("check failed", check=name, reason=text)
    return failures


async def _run_one(name: str, check: Check) -> str | None:
    raised: list[Exception] = []
    with contained("check", check=name, on_error=raised.append):
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                return await check()
        except TimeoutError:
            return f"no answer within {CHECK_SECONDS:.0f} s"
    return f"raised {raised[0]!r}"
