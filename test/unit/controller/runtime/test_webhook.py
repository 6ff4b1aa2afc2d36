"""The webhook server over TLS on loopback: what it refuses, whose uid it echoes, a certificate that changes."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from api.meta import Json
from controller.runtime.errors import RuntimeProblem
from controller.runtime.health import CannotListen
from controller.runtime.tls import BadPair, ServerTls
from controller.runtime.webhook import INLINE_BYTES, MOST_BYTES, WebhookSeries, WebhookServer, webhooks_served
from localcluster.certificates import Certified, certified

PATH = "/validate-test-v1-thing"
START = datetime.now(UTC)  # noqa: TID251 - certificates are checked by the client's own clock


class Hands:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.moved = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.moved)

    def monotonic(self) -> float:
        return self.moved


def allowing(request: Json) -> Json:
    return {"allowed": True, "warnings": [request.get("operation", "")]}


def failing(_request: Json) -> Json:
    raise ValueError("a bug")


def a_review(uid: str = "u-1", **request: Any) -> Json:
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": uid, **request}}


def an_authority() -> Certified:
    return certified(START)


def trusting(*authorities: Certified) -> ssl.SSLContext:
    return ssl.create_default_context(cadata="".join(one.authority for one in authorities))


@dataclass(frozen=True, slots=True)
class Asked:
    session: aiohttp.ClientSession
    server: WebhookServer
    tls: ServerTls
    clock: Hands
    registry: CollectorRegistry

    async def review(self, review: Any, path: str = PATH, timeout: str = "5s") -> Json:
        async with self.session.post(f"{path}?timeout={timeout}", json=review) as answer:
            assert answer.status == 200, await answer.text()
            content: Json = await answer.json()
            return content

    async def status(self, method: str = "POST", path: str = PATH, **how: Any) -> int:
        async with self.session.request(method, path, **how) as answer:
            await answer.read()
            return answer.status

    def sample(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@asynccontextmanager
async def asked(
    hooks: Mapping[str, Callable[[Json], Json]] | None = None, *, authority: Certified | None = None
) -> AsyncIterator[Asked]:
    shown = authority or an_authority()
    clock, registry, tls = Hands(), CollectorRegistry(), ServerTls()
    server = WebhookServer(hooks or {PATH: allowing}, tls, clock=clock, series=WebhookSeries(registry))
    tls.use(shown.certificate.encode(), shown.key.encode())
    async with webhooks_served(server, host="127.0.0.1", lame_duck_seconds=0):
        assert isinstance(server.address, tuple)
        connector = aiohttp.TCPConnector(ssl=trusting(shown), limit=8)
        base = f"https://127.0.0.1:{server.address[1]}"
        async with aiohttp.ClientSession(base, connector=connector) as session:
            yield Asked(session, server, tls, clock, registry)


@pytest.mark.spec("runtime:WH-2")
async def test_an_answer_echoes_the_uid_and_the_kind_of_the_review() -> None:
    async with asked() as it:
        answer = await it.review(a_review("u-7", operation="CREATE"))

    assert answer == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": "u-7", "allowed": True, "warnings": ["CREATE"]},
    }


@pytest.mark.spec("runtime:WH-2")
@pytest.mark.parametrize(
    ("status", "method", "path", "how"),
    [
        (405, "GET", PATH, {}),
        (405, "PUT", PATH, {"json": a_review()}),
        (404, "POST", "/validate-other", {"json": a_review()}),
        (404, "POST", "/", {"json": a_review()}),
        (400, "POST", PATH, {"data": b"{}", "skip_auto_headers": ["Content-Type"]}),
        (415, "POST", PATH, {"data": b"{}", "headers": {"Content-Type": "application/yaml"}}),
        (400, "POST", PATH, {"json": {}}),
        (400, "POST", PATH, {"json": []}),
        (400, "POST", PATH, {"json": {**a_review(), "apiVersion": "admission.k8s.io/v1beta1"}}),
        (400, "POST", PATH, {"json": {**a_review(), "kind": "ConversionReview"}}),
        (400, "POST", PATH, {"json": a_review("")}),
        (400, "POST", PATH, {"json": {**a_review(), "request": None}}),
        (400, "POST", PATH, {"data": b"{", "headers": {"Content-Type": "application/json"}}),
        (400, "POST", PATH, {"data": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}),
        (400, "POST", PATH, {"data": b"\xff\xfe{}", "headers": {"Content-Type": "application/json"}}),
        (
            413,
            "POST",
            PATH,
            {"data": io.BytesIO(b" " * (MOST_BYTES + 1)), "headers": {"Content-Type": "application/json"}},
        ),
    ],
)
async def test_what_is_no_review_is_refused_with_a_status_of_its_own(
    status: int, method: str, path: str, how: Any
) -> None:
    async with asked() as it:
        assert await it.status(method, path, **how) == status
        assert (await it.review(a_review()))["response"]["allowed"] is True


@pytest.mark.spec("runtime:WH-2")
async def test_a_body_of_unknown_length_is_not_read_beyond_the_limit() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(MOST_BYTES // 65536 + 2):
            yield b" " * 65536

    async with asked() as it:
        assert await it.status(data=endless(), headers={"Content-Type": "application/json"}) == 413


@pytest.mark.spec("runtime:WH-15")
async def test_a_bug_in_a_hook_is_a_refusal_with_the_uid_and_is_counted() -> None:
    """Failure policies are for webhooks that are away."""
    async with asked({PATH: failing}) as it:
        answer = (await it.review(a_review("u-9")))["response"]

        assert (answer["uid"], answer["allowed"], answer["status"]["code"]) == ("u-9", False, 500)
        assert "a bug" not in json.dumps(answer)
        assert it.sample("controller_runtime_webhook_panics_total") == 1


@pytest.mark.spec("runtime:WH-9")
@pytest.mark.parametrize(
    ("timeout", "takes", "code"),
    [("5s", 4.4, None), ("5s", 4.6, 504), ("1s", 0.6, 504), ("1500ms", 0.9, None), ("", 9.4, None), ("soon", 9.6, 504)],
)
async def test_who_judges_longer_than_the_server_waits_refuses_in_time_for_its_answer(
    timeout: str, takes: float, code: int | None
) -> None:
    """Half a second is kept back for the way."""
    clocks: list[Hands] = []

    def slow(_request: Json) -> Json:
        clocks[0].moved += takes
        return {"allowed": True}

    async with asked({PATH: slow}) as it:
        clocks.append(it.clock)
        answer = (await it.review(a_review("u-3"), timeout=timeout))["response"]

    assert answer["uid"] == "u-3"
    assert answer.get("status", {}).get("code") == code


@pytest.mark.spec("runtime:WH-9")
async def test_a_large_object_is_judged_beside_the_loop_and_answered_for_when_it_is_late() -> None:
    """Meanwhile others are answered."""
    let_go = threading.Event()

    def judge(request: Json) -> Json:
        if request["uid"] == "large":
            let_go.wait(30)
        return {"allowed": True}

    async with asked({PATH: judge}) as it, asyncio.TaskGroup() as group:
        late = group.create_task(it.review(a_review("large", object={"x": "y" * INLINE_BYTES}), timeout="1s"))
        await asyncio.sleep(0)
        assert (await it.review(a_review("small")))["response"] == {"uid": "small", "allowed": True}
        answer = (await late)["response"]
        let_go.set()

    assert (answer["uid"], answer["allowed"], answer["status"]["code"]) == ("large", False, 504)


async def test_a_large_object_in_time_is_answered_as_a_small_one() -> None:
    async with asked() as it:
        answer = await it.review(a_review("large", operation="UPDATE", object={"x": "y" * INLINE_BYTES}))
        broken = await it.status(data=b"[" * (2 * INLINE_BYTES), headers={"Content-Type": "application/json"})

    assert answer["response"] == {"uid": "large", "allowed": True, "warnings": ["UPDATE"]}
    assert broken == 400


@pytest.mark.spec("runtime:WH-16")
async def test_answers_are_counted_by_path_and_status_and_unknown_paths_as_one() -> None:
    """Else a scanner would make a series of each path that it tries."""
    async with asked() as it:
        await it.review(a_review())
        await it.status("GET")
        for number in range(3):
            await it.status(path=f"/scan/{number}", json={})

        requests = "controller_runtime_webhook_requests_total"
        assert it.sample(requests, webhook=PATH, code="200") == 1
        assert it.sample(requests, webhook=PATH, code="405") == 1
        assert it.sample(requests, webhook="unknown", code="404") == 3
        assert it.sample("controller_runtime_webhook_latency_seconds_count", webhook=PATH) == 2
        assert it.sample("controller_runtime_webhook_requests_in_flight", webhook=PATH) == 0


@pytest.mark.spec("runtime:WH-1")
async def test_neither_plain_http_nor_tls_before_1_2_is_answered() -> None:
    async with asked() as it:
        assert isinstance(it.server.address, tuple)
        host, port = it.server.address
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="deprecated"):
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with pytest.raises(OSError):  # noqa: PT011 - a reset or an alert, as the platform has it
            await asyncio.open_connection(host, port, ssl=old)
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.post(f"http://{host}:{port}{PATH}", json=a_review())


@pytest.mark.spec("runtime:WH-1")
async def test_where_clients_must_be_known_others_get_nothing() -> None:
    """An authority may be given: that of the API server."""
    api_server, shown = an_authority(), an_authority()
    tls = ServerTls(api_server.authority.encode())
    tls.use(shown.certificate.encode(), shown.key.encode())
    server = WebhookServer({PATH: allowing}, tls, clock=Hands(), series=WebhookSeries(CollectorRegistry()))

    async with webhooks_served(server, host="127.0.0.1", lame_duck_seconds=0):
        assert isinstance(server.address, tuple)
        url = f"https://127.0.0.1:{server.address[1]}{PATH}"
        connector = aiohttp.TCPConnector(ssl=trusting(shown))
        async with aiohttp.ClientSession(connector=connector) as session:
            with pytest.raises(aiohttp.ClientError):
                await session.post(url, json=a_review())
        assert await server.check() is None

    with pytest.raises(BadPair):
        ServerTls(b"no authority")


@pytest.mark.spec("runtime:WH-12")
async def test_a_certificate_that_changes_under_load_loses_no_request() -> None:
    """Old connections go on; new ones are shown the new certificate, and trust both authorities meanwhile."""
    first, second = an_authority(), an_authority()
    answers: asyncio.Queue[int] = asyncio.Queue()

    async def load(it: Asked, done: asyncio.Event, *, anew: bool) -> None:
        assert isinstance(it.server.address, tuple)
        url = f"https://127.0.0.1:{it.server.address[1]}{PATH}"
        connector = aiohttp.TCPConnector(ssl=trusting(first, second), force_close=anew)
        async with aiohttp.ClientSession(connector=connector) as session:
            while not done.is_set():
                async with session.post(url, json=a_review()) as answer:
                    await answer.read()
                    answers.put_nowait(answer.status)

    async with asked(authority=first) as it, asyncio.TaskGroup() as group:
        done = asyncio.Event()
        for anew in (False, False, True, True):
            group.create_task(load(it, done, anew=anew))
        for turn in range(20):
            one = (first, second)[turn % 2]
            it.tls.use(one.certificate.encode(), one.key.encode())
            assert {await answers.get() for _ in range(10)} == {200}
            assert isinstance(it.server.address, tuple)
            _, writer = await asyncio.open_connection(*it.server.address, ssl=trusting(one))  # it alone is trusted
            writer.transport.abort()
        done.set()


@pytest.mark.spec("runtime:WH-12")
def test_a_pair_that_does_not_fit_is_refused_and_the_one_before_stays() -> None:
    one, other = an_authority(), an_authority()
    tls = ServerTls()
    tls.use(one.certificate.encode(), one.key.encode())
    not_after = tls.not_after

    for certificate, key in ((one.certificate, other.key), (one.certificate, ""), ("", one.key), ("-----", "-----")):
        with pytest.raises(BadPair):
            tls.use(certificate.encode(), key.encode())

    assert tls.not_after == not_after


@pytest.mark.spec("runtime:WH-14", "runtime:WH-12")
async def test_it_is_ready_while_a_handshake_with_itself_works_and_its_certificate_is_good() -> None:
    clock, tls, shown = Hands(), ServerTls(), an_authority()
    server = WebhookServer({PATH: allowing}, tls, clock=clock, series=WebhookSeries(CollectorRegistry()))

    assert await server.check() == "there is no certificate yet"
    async with webhooks_served(server, lame_duck_seconds=0):
        assert await server.check() == "there is no certificate yet"
        tls.use(shown.certificate.encode(), shown.key.encode())
        assert await server.check() is None
        assert tls.not_after is not None
        clock.moved = (tls.not_after - START).total_seconds()
        assert "ended" in (await server.check() or "")
        clock.moved -= 1
        assert await server.check() is None
    assert await server.check() == "the listener is not up"


async def test_a_handshake_that_is_not_answered_is_said() -> None:
    tls, shown = ServerTls(), an_authority()
    tls.use(shown.certificate.encode(), shown.key.encode())
    server = WebhookServer({}, tls, clock=Hands(), series=WebhookSeries(CollectorRegistry()))
    async with webhooks_served(server, host="127.0.0.1", lame_duck_seconds=0):
        address = server.address
    server.address = address

    assert "no handshake with ourselves" in (await server.check() or "")


async def test_a_port_that_is_taken_is_said_at_once() -> None:
    server = WebhookServer({}, ServerTls(), clock=Hands(), series=WebhookSeries(CollectorRegistry()))
    async with webhooks_served(server, host="127.0.0.1", lame_duck_seconds=0):
        assert isinstance(server.address, tuple)
        other = WebhookServer({}, ServerTls(), clock=Hands(), series=WebhookSeries(CollectorRegistry()))
        with pytest.raises(CannotListen, match="cannot serve webhooks"):
            async with webhooks_served(other, host="127.0.0.1", port=server.address[1], lame_duck_seconds=0):
                pass
    assert issubclass(CannotListen, RuntimeProblem)


@asynccontextmanager
async def leaving(
    lame_duck_seconds: float, hook: Callable[[Json], Json] = allowing
) -> AsyncIterator[tuple[aiohttp.ClientSession, str, asyncio.Event]]:
    """A server that begins to leave when the event is set."""
    shown, tls = an_authority(), ServerTls()
    tls.use(shown.certificate.encode(), shown.key.encode())
    server = WebhookServer({PATH: hook}, tls, clock=Hands(), series=WebhookSeries(CollectorRegistry()))
    leave, up = asyncio.Event(), asyncio.Event()

    async def serve() -> None:
        async with webhooks_served(server, host="127.0.0.1", lame_duck_seconds=lame_duck_seconds):
            up.set()
            await leave.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(serve())
        await up.wait()
        assert isinstance(server.address, tuple)
        url = f"https://127.0.0.1:{server.address[1]}{PATH}"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting(shown))) as session:
            yield session, url, leave


@pytest.mark.spec("runtime:WH-14", "runtime:MGR-10")
async def test_a_lame_duck_answers_who_still_comes() -> None:
    """Endpoints are withdrawn a moment after readiness went false."""
    async with leaving(lame_duck_seconds=0.3) as (session, url, leave):
        leave.set()
        await asyncio.sleep(0)
        async with session.post(url, json=a_review("after")) as answer:
            assert (await answer.json())["response"]["uid"] == "after"
    with pytest.raises(aiohttp.ClientConnectionError):
        async with aiohttp.ClientSession() as other:
            await other.post(url, json=a_review())


@pytest.mark.spec("runtime:WH-14")
async def test_whose_request_is_judged_when_the_port_closes_is_answered() -> None:
    judging, told = threading.Event(), threading.Event()

    def slow(_request: Json) -> Json:
        judging.set()
        told.wait(30)
        return {"allowed": True}

    async with leaving(lame_duck_seconds=0, hook=slow) as (session, url, leave), asyncio.TaskGroup() as group:

        async def last() -> Any:
            async with session.post(url, json=a_review("slow", object={"x": "y" * INLINE_BYTES})) as answer:
                return await answer.json()

        slow_one = group.create_task(last())
        await asyncio.to_thread(judging.wait, 30)
        leave.set()
        await asyncio.sleep(0.05)  # the port closes
        told.set()
        assert (await slow_one)["response"] == {"uid": "slow", "allowed": True}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
BODIES = st.one_of(
    st.binary(max_size=200),
    JSON.map(lambda value: json.dumps(value).encode()),
    JSON.map(lambda value: json.dumps({**a_review(), "request": value}).encode()),
    JSON.map(lambda value: json.dumps(a_review(object=value)).encode()),
    st.text().map(lambda uid: json.dumps(a_review(uid)).encode()),
    st.tuples(st.integers(0, 90), st.binary(max_size=3)).map(
        lambda cut: json.dumps(a_review()).encode()[: cut[0]] + cut[1]
    ),
    st.just(json.dumps(a_review("\ud800")).encode()),
)


@pytest.mark.spec("runtime:WH-2", "runtime:WH-15")
async def test_no_body_makes_the_server_fail_and_what_is_decoded_is_answered_with_its_uid() -> None:
    """Each body gets a 4xx, or a review with its uid."""
    bodies: list[bytes] = []

    @settings(max_examples=300, derandomize=True, database=None, deadline=None)
    @given(BODIES)
    def collect(body: bytes) -> None:
        bodies.append(body)

    collect()
    async with asked() as it:
        for body in bodies:
            async with it.session.post(PATH, data=body, headers={"Content-Type": "application/json"}) as answer:
                if answer.status == 200:
                    assert (await answer.json())["response"]["uid"] == json.loads(body)["request"]["uid"]
                else:
                    assert 400 <= answer.status < 500, body
        assert (it.sample("controller_runtime_webhook_panics_total") or 0) == 0
