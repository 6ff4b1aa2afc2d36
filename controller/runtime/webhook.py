"""An HTTPS server for admission webhooks whose certificate can change (spec runtime §18).

It knows the envelope: AdmissionReview v1, a uid that comes in and goes out, a deadline. What is judged it does not
know. A hook is a plain function, so it cannot wait for the API server, which is waiting for it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeAlias

import msgspec
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from api.meta import Json
from controller.runtime.contained import contained
from controller.runtime.health import CannotListen
from controller.runtime.interfaces import Clock
from controller.runtime.metrics import Histograms, Numbers
from controller.runtime.tls import BadPair, Pair, ServerTls

__all__ = ["Hook", "WebhookSeries", "WebhookServer", "webhooks_served"]

Hook: TypeAlias = Callable[[Json], Json]  # `request` of a review -> `response`, but for its uid

API_VERSION: Final = "admission.k8s.io/v1"
KIND: Final = "AdmissionReview"
MOST_BYTES: Final = 7 * 1024 * 1024  # WH-2
INLINE_BYTES: Final = 128 * 1024  # more is judged on a thread: 5 ms of this loop, and every watch waits (LOOP-2)
LARGE_AT_ONCE: Final = 2  # judged so; more wait, and each may take the memory of ten times its body
DEFAULT_SECONDS: Final = 10.0  # the API server's own, where the query says nothing
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 30.0  # what a configuration may say
ANSWER_SECONDS: Final = 0.5  # WH-9: kept back for the way
IDLE_SECONDS: Final = 300.0  # the API server drops idle connections after 90 s; were we first, its next request is lost
IN_FLIGHT_SECONDS: Final = 5.0  # WH-14; whom we tell the API server to wait for no longer needs no more
WARNED_BEFORE: Final = timedelta(days=7)  # WH-12
WARNED_EVERY_SECONDS: Final = 3600.0
LATENCY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

_log = structlog.get_logger("webhook")
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s)")


class _Refused(Exception):
    """The request is none that we answer with a review."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Review:
    uid: str
    request: Json


class WebhookSeries:
    """What WH-16 asks for, under the reference's names."""

    def __init__(self, registry: CollectorRegistry) -> None:
        start = "controller_runtime_webhook_"
        self.requests = Numbers(CounterMetricFamily, f"{start}requests_total", "Answers.", ("webhook", "code"))
        self.latency = Histograms(f"{start}latency_seconds", "Time to an answer.", LATENCY_BUCKETS, ("webhook",))
        self.in_flight = Numbers(
            GaugeMetricFamily, f"{start}requests_in_flight", "Requests without an answer yet.", ("webhook",)
        )
        panics = Numbers(CounterMetricFamily, f"{start}panics_total", "Hooks that failed by a bug.", ())
        reads = Numbers(CounterMetricFamily, "certwatcher_read_certificate_total", "Certificates read.", ())
        failures = Numbers(
            CounterMetricFamily, "certwatcher_read_certificate_errors_total", "Certificates that were unusable.", ()
        )
        ends = Numbers(
            GaugeMetricFamily, "webhook_certificate_not_after_seconds", "When the certificate in use ends.", ()
        )
        for one in (self.requests, self.latency, self.in_flight, panics, reads, failures, ends):
            registry.register(one)
        self.panics, self.reads, self.read_failures, self.ends = (
            one.labels() for one in (panics, reads, failures, ends)
        )


class WebhookServer:
    """Answers reviews by path. Every answer carries its review's uid from the moment that one could be read."""

    def __init__(self, hooks: Mapping[str, Hook], tls: ServerTls, *, clock: Clock, series: WebhookSeries) -> None:
        self._hooks = hooks
        self._clock = clock
        self._series = series
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        self.tls = tls
        self.address: tuple[str, int] | str | None = None  # while it is served: to whom we say hello ourselves

    def application(self) -> web.Application:
        """Every path and every method comes to us: what is not answered is counted, too."""
        app = web.Application(client_max_size=MOST_BYTES)
        app.router.add_route("*", "/{path:.*}", self._counted)
        return app

    async def check(self) -> str | None:
        """Readiness (WH-14): a handshake with ourselves, and a certificate that is still good. Runs on any loop."""
        if self.tls.not_after is None:
            return "there is no certificate yet"
        if self.tls.not_after <= self._clock.now():
            return f"the certificate ended at {self.tls.not_after:%Y-%m-%d %H:%M:%S} UTC"
        if self.address is None:
            return "the listener is not up"
        try:
            await _greet(self.address)
        except OSError as error:
            return f"no handshake with ourselves: {error}"
        return None

    def show(self, pair: Pair) -> None:
        """Make handshakes with this pair from now on; counted. Raises BadPair, and goes on with the one before."""
        self._series.reads.inc()
        try:
            self.tls.use(pair.certificate, pair.key)
        except BadPair:
            self._series.read_failures.inc()
            raise
        assert self.tls.not_after is not None
        self._series.ends.set(self.tls.not_after.timestamp())

    async def warn_of_end(self) -> None:
        """For ever: say in the log when the certificate ends within a week."""
        while True:
            left = self.tls.not_after - self._clock.now() if self.tls.not_after is not None else WARNED_BEFORE
            if left < WARNED_BEFORE:
                _log.warning("the webhooks' certificate ends soon", days=round(left / timedelta(days=1), 1))
            await asyncio.sleep(WARNED_EVERY_SECONDS)

    async def _counted(self, request: web.Request) -> web.Response:
        path = request.path if request.path in self._hooks else "unknown"
        in_flight = self._series.in_flight.labels(path)
        started = self._clock.monotonic()
        in_flight.inc()
        try:
            response = await self._answered(request)
        finally:
            in_flight.dec()
        self._series.latency.labels(path).observe(self._clock.monotonic() - started)
        self._series.requests.labels(path, str(response.status)).inc()
        return response

    async def _answered(self, request: web.Request) -> web.Response:
        """What `request` gets: a review for a review, else a 4xx with a sentence."""
        deadline = self._clock.monotonic() + _seconds(request.query.get("timeout", "")) - ANSWER_SECONDS
        try:
            hook = self._hooks.get(request.path)
            if hook is None:
                raise _Refused(404, "no webhook of that path")
            body = await self._body(request, deadline)
            if len(body) <= INLINE_BYTES:
                answer = self._answer_inline(request.path, hook, body, deadline)
            else:
                answer = await self._answer_large(request.path, hook, body, deadline)
        except _Refused as refused:
            headers = {"Allow": "POST"} if refused.status == 405 else None
            return web.Response(status=refused.status, text=f"{refused}\n", headers=headers)
        return web.Response(body=answer, content_type="application/json")

    async def _body(self, request: web.Request, deadline: float) -> bytes:
        if request.method != "POST":
            raise _Refused(405, "reviews are POSTed")
        if "Content-Type" not in request.headers:
            raise _Refused(400, "a review needs the content type application/json")
        if request.content_type != "application/json":
            raise _Refused(415, f"a review is application/json, not {request.content_type}")
        too_large = f"a review has at most {MOST_BYTES} bytes"
        if (request.content_length or 0) > MOST_BYTES:
            raise _Refused(413, too_large)
        try:
            async with asyncio.timeout(max(0.0, deadline - self._clock.monotonic())):
                return await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise _Refused(413, too_large) from error
        except TimeoutError as error:
            raise _Refused(408, "the body did not come in time") from error
        except (web.RequestPayloadError, ValueError) as error:
            raise _Refused(400, "the body is broken") from error

    def _answer_inline(self, path: str, hook: Hook, body: bytes, deadline: float) -> bytes:
        review = _read(body)
        answer = self._judged(path, hook, review, self._series.panics.inc)
        return answer if self._clock.monotonic() <= deadline else _written(review.uid, _late())

    async def _answer_large(self, path: str, hook: Hook, body: bytes, deadline: float) -> bytes:
        """On a thread. Past the deadline it is answered for, and goes on to its end."""
        review, loop = None, asyncio.get_running_loop()

        def failed() -> None:
            loop.call_soon_threadsafe(self._series.panics.inc)

        try:
            async with asyncio.timeout(max(0.0, deadline - self._clock.monotonic())), self._large:
                review = await asyncio.to_thread(_read, body)
                return await asyncio.to_thread(self._judged, path, hook, review, failed)
        except TimeoutError as error:
            if review is None:
                raise _Refused(503, "too many large reviews at once") from error
            return _written(review.uid, _late())

    def _judged(self, path: str, hook: Hook, review: _Review, failed: Callable[[], None]) -> bytes:
        """The hook's answer; that it failed, where it did: what then happens is not for a failure policy to say."""
        with contained("webhook", path=path, uid=review.uid, on_error=lambda _: failed()):
            return _written(review.uid, hook(review.request))
        return _written(review.uid, _failure(500, "InternalError", "the webhook failed; the operator's log says why"))


@asynccontextmanager
async def webhooks_served(
    server: WebhookServer,
    *,
    host: str = "",
    port: int = 0,
    unix_socket: str = "",
    lame_duck_seconds: float,
) -> AsyncIterator[None]:
    """Serve while the block is open; left, go on for the lame-duck time, in which endpoints are withdrawn (MGR-10).

    Then the port is closed, and what is under way is finished. Handshakes fail until the server's TLS has a
    certificate. Raises CannotListen when the address is taken.
    """
    runner = web.AppRunner(
        server.application(),
        access_log=None,
        handle_signals=False,
        shutdown_timeout=IN_FLIGHT_SECONDS,
        keepalive_timeout=IDLE_SECONDS,
    )
    await runner.setup()
    try:
        site: web.BaseSite
        if unix_socket:
            site = web.UnixSite(runner, unix_socket, ssl_context=server.tls.context)
        else:
            site = web.TCPSite(runner, host or None, port, ssl_context=server.tls.context)
        try:
            await site.start()
        except OSError as error:
            raise CannotListen("webhooks", unix_socket or f"{host}:{port}", error) from error
        server.address = unix_socket or _reachable(runner.addresses[0])
        try:
            yield
        finally:
            await asyncio.sleep(lame_duck_seconds)
    finally:
        server.address = None
        await runner.cleanup()


def _reachable(address: Any) -> tuple[str, int]:
    """Where a listener that is bound to `address` is reached from here."""
    host, port = address[0], address[1]
    ip = ipaddress.ip_address(host)
    if ip.is_unspecified:
        return ("127.0.0.1" if ip.version == 4 else "::1"), port
    return host, port


async def _greet(address: tuple[str, int] | str) -> None:
    """One handshake. Raises OSError, which TLS errors are."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # whose it is, is the API server's question; that it is shown, is ours
    context.minimum_version = ssl.TLSVersion.TLSv1_3  # done before the server asks for a certificate of ours
    if isinstance(address, str):
        _, writer = await asyncio.open_unix_connection(address, ssl=context, server_hostname="localhost")
    else:
        _, writer = await asyncio.open_connection(*address, ssl=context)
    writer.transport.abort()


def _seconds(text: str) -> float:
    """The API server's `?timeout`; what is none, or beyond what a configuration may say, is the nearest that is."""
    found = _DURATION.fullmatch(text)
    if found is None:
        return DEFAULT_SECONDS
    seconds = float(found[1]) / (1000 if found[2] == "ms" else 1)
    return min(LONGEST_SECONDS, max(SHORTEST_SECONDS, seconds))


def _read(body: bytes) -> _Review:
    """The review in a body. Raises _Refused."""
    content: Any = None
    with suppress(msgspec.MsgspecError, ValueError, RecursionError):
        content = msgspec.json.decode(body)
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise _Refused(400, f"the body is no {KIND} in JSON")
    if content.get("apiVersion") != API_VERSION:
        raise _Refused(400, f"only {KIND} of {API_VERSION} is answered")
    request = content.get("request")
    if not isinstance(request, dict) or not isinstance(request.get("uid"), str) or not request["uid"]:
        raise _Refused(400, f"the {KIND} has no request with a uid")
    return _Review(request["uid"], request)


def _written(uid: str, response: Json) -> bytes:
    return msgspec.json.encode({"apiVersion": API_VERSION, "kind": KIND, "response": {**response, "uid": uid}})


def _late() -> Json:
    return _failure(504, "Timeout", "the webhook could not judge the object in time")


def _failure(code: int, reason: str, message: str) -> Json:
    return {"allowed": False, "status": {"status": "Failure", "code": code, "reason": reason, "message": message}}
