"""Requests: what is sent, what is sent again, and what the ledger learns."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from multidict import CIMultiDict

from api.core import PODS
from api.meta import Json, Ref
from controller.runtime import errors
from controller.runtime.client.credentials import TokenFile
from controller.runtime.client.rest import Identity, RestClient
from controller.runtime.client.transport import Pool
from controller.runtime.clock import SystemClock
from controller.runtime.ledger import Ledger
from controller.runtime.metrics import Metrics
from localcluster.testing.scripted_api import Exchange, ScriptedTransport, status

pytestmark = pytest.mark.looptime


class Watched:
    """A client on a scripted wire, with a ledger that keeps pods."""

    def __init__(self, **options: Any) -> None:
        self.wire = ScriptedTransport()
        self.ledger = Ledger()
        self.ledger.watch(PODS)
        self.client = RestClient(
            self.wire, clock=SystemClock(), identity=Identity("op", "1.2"), ledger=self.ledger, **options
        )

    def required(self, name: str = "a") -> list[tuple[str, set[str], bool]]:
        found = self.ledger.open(PODS, ref=Ref("Pod", "ns", name))
        return [(entry.version, entry.gone, entry.uncertain) for entry in found]


def a_pod(name: str = "a", rv: str = "7", **metadata: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": rv, **metadata},
    }


@pytest.mark.spec("runtime:RYW-1", "runtime:TRN-13", "runtime:TST-12")
async def test_a_create_is_in_the_ledger_before_its_caller_goes_on() -> None:
    """And it says who we are, in the header and as field manager."""
    at = Watched()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(at.client.named("pods").create(PODS, a_pod(rv="")))
        exchange = await at.wire.next("POST", "/api/v1/namespaces/ns/pods")
        assert at.ledger.open(PODS, ref=Ref("Pod", "ns", "a"))[0].in_flight == 1
        exchange.answer(a_pod(rv="8"), 201)

    assert task.result()["metadata"]["resourceVersion"] == "8"
    assert at.required() == [("8", set(), False)]
    assert exchange.query == {"fieldManager": "op"}
    assert re.fullmatch(r"op/1\.2 \(linux/\w+\) pods", exchange.headers["User-Agent"])


@pytest.mark.spec("runtime:RYW-4", "runtime:CLI-16")
async def test_a_write_whose_answer_is_lost_is_not_repeated_and_stays_uncertain() -> None:
    """It may have happened (design W8)."""
    at = Watched()

    async def create() -> None:
        with pytest.raises(errors.LostAnswer, match="cannot tell whether create Pod ns/a happened"):
            await at.client.create(PODS, a_pod())

    async with asyncio.TaskGroup() as group:
        group.create_task(create())
        (await at.wire.next()).cut()

    assert len(at.wire.log) == 1
    assert at.required() == [("", set(), True)]


@pytest.mark.spec("runtime:CLI-17")
async def test_a_write_that_nobody_answers_within_a_minute_is_lost_too() -> None:
    """The server's own limit is a minute (CLI-17)."""
    at = Watched()
    before = asyncio.get_running_loop().time()

    with pytest.raises(errors.LostAnswer, match="within 60 s"):
        await at.client.patch(PODS, "ns", "a", {})

    assert asyncio.get_running_loop().time() - before == pytest.approx(60, abs=0.5)
    assert at.required() == [("", set(), True)]


@pytest.mark.spec("runtime:CLI-16")
async def test_a_read_is_tried_once_more_on_a_new_connection() -> None:
    """A stale keep-alive connection is no news."""
    at = Watched()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(at.client.get(PODS, "ns", "a"))
        (await at.wire.next("GET")).cut()
        (await at.wire.next("GET")).answer(a_pod())

    assert task.result()["metadata"]["name"] == "a"


async def test_a_read_that_breaks_twice_fails() -> None:
    """Once is chance."""
    at = Watched()

    async def read() -> None:
        with pytest.raises(errors.Unreachable):
            await at.client.get(PODS, "ns", "a")

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        (await at.wire.next()).cut()
        (await at.wire.next()).cut()


@pytest.mark.spec("runtime:CLI-15")
async def test_a_server_that_asks_to_wait_is_waited_for_also_with_writes() -> None:
    """It did not process the request, so repeating it is safe."""
    at = Watched()
    before = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as group:
        group.create_task(at.client.create(PODS, a_pod()))
        (await at.wire.next()).refuse(429, "TooManyRequests", headers={"Retry-After": "7"})
        (await at.wire.next()).refuse(503, "ServiceUnavailable", headers={"Retry-After": "5"})
        (await at.wire.next()).answer(a_pod(rv="8"), 201)

    assert asyncio.get_running_loop().time() - before == pytest.approx(12, abs=0.1)


async def test_a_server_that_always_asks_to_wait_is_asked_eleven_times() -> None:
    """Then the caller backs off."""
    wire = ScriptedTransport(lambda exchange: exchange.refuse(429, "TooManyRequests", headers={"Retry-After": "1"}))
    client = RestClient(wire, clock=SystemClock(), identity=Identity("op", "1"))

    with pytest.raises(errors.TooManyRequests) as caught:
        await client.get(PODS, "ns", "a")

    assert len(wire.log) == 11
    assert caught.value.retry_after_seconds == 1.0


async def test_a_refused_write_requires_nothing() -> None:
    """The server said no, so nothing happened."""
    at = Watched()

    async def create() -> None:
        with pytest.raises(errors.Forbidden):
            await at.client.create(PODS, a_pod())

    async with asyncio.TaskGroup() as group:
        group.create_task(create())
        (await at.wire.next()).refuse(403, "Forbidden", "exceeded quota")

    assert at.required() == []


async def test_a_write_that_failed_inside_the_server_may_have_happened() -> None:
    """A 5xx can come after the write went through."""
    at = Watched()

    async def create() -> None:
        with pytest.raises(errors.ServerError):
            await at.client.create(PODS, a_pod())

    async with asyncio.TaskGroup() as group:
        group.create_task(create())
        (await at.wire.next()).refuse(504, "Timeout")

    assert at.required() == [("", set(), True)]


async def test_a_cancelled_write_may_have_happened() -> None:
    """Its bytes have left."""
    at = Watched()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await at.client.create(PODS, a_pod())

    assert at.required() == [("", set(), True)]
    assert at.wire.open == 0


@pytest.mark.spec("runtime:RYW-3")
@pytest.mark.parametrize(
    ("answer", "required"),
    [
        (status(200), [("", {"uid-a"}, False)]),
        (a_pod(rv="9", deletionTimestamp="2026-01-01T00:00:00Z"), [("9", set(), False)]),
    ],
)
async def test_a_delete_names_the_uid_and_requires_what_its_answer_says(
    answer: Json, required: list[tuple[str, set[str], bool]]
) -> None:
    """A Status: that UID must go. An object: an ordinary write that marked it."""
    at = Watched()
    async with asyncio.TaskGroup() as group:
        group.create_task(at.client.delete(PODS, "ns", "a", uid="uid-a", propagation="Background"))
        exchange = await at.wire.next("DELETE", "/api/v1/namespaces/ns/pods/a")
        exchange.answer({**answer, "status": "Success"} if answer["kind"] == "Status" else answer)

    assert at.required() == required
    assert exchange.body["preconditions"] == {"uid": "uid-a"}
    assert exchange.body["propagationPolicy"] == "Background"


async def test_no_write_leaves_while_another_replica_may_lead() -> None:
    """may_write is asked each time, reads are free."""
    at = Watched(may_write=lambda: False)

    with pytest.raises(errors.NotLeading):
        await at.client.create(PODS, a_pod())

    assert at.wire.log == []
    assert at.required() == []


@pytest.mark.spec("runtime:LE-7")
@pytest.mark.parametrize("verb", ["create", "patch", "update", "delete"])
async def test_a_write_that_waited_for_a_connection_until_the_lease_was_lost_does_not_leave(verb: str) -> None:
    """Asked when its turn came, not only when it began to wait: twenty seconds are longer than the right to write."""
    leading = [True]
    at = Watched(may_write=lambda: leading[0])
    at.wire.free.clear()
    writes: dict[str, Callable[[], Awaitable[Json]]] = {
        "create": lambda: at.client.create(PODS, a_pod()),
        "patch": lambda: at.client.patch(PODS, "ns", "a", {}),
        "update": lambda: at.client.update(PODS, a_pod()),
        "delete": lambda: at.client.delete(PODS, "ns", "a", uid="uid-a"),
    }

    async def one() -> None:
        with pytest.raises(errors.NotLeading):
            await writes[verb]()

    async with asyncio.TaskGroup() as group:
        group.create_task(one())
        await asyncio.sleep(20)
        leading[0] = False
        at.wire.free.set()

    assert at.wire.log == []
    assert at.required() == [], "nothing happened: no read needs to wait for it"


async def test_a_write_that_never_got_a_connection_did_not_happen() -> None:
    """Nothing was sent within the minute, so nothing is uncertain: the caller may simply try again."""
    at = Watched()
    at.wire.free.clear()

    with pytest.raises(errors.Unreachable, match="no connection within 60 s"):
        await at.client.create(PODS, a_pod())

    assert at.required() == []


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"{"])
async def test_an_answer_that_is_unreadable_tells_nothing(body: bytes) -> None:
    """A proxy's page with code 200: the write may have happened, the read has failed."""
    wire = ScriptedTransport(lambda exchange: exchange.answer(body))
    client = RestClient(wire, clock=SystemClock(), identity=Identity("op", "1"))

    with pytest.raises(errors.LostAnswer):
        await client.create(PODS, a_pod())
    with pytest.raises(errors.Unreachable):
        await client.get(PODS, "ns", "a")


async def test_a_live_look_settles_what_a_lost_answer_left_open() -> None:
    """Whoever looked after a lost write has asked the server; the next cached read need not."""
    at = Watched()
    at.ledger.lost(at.ledger.begin(PODS, Ref("Pod", "ns", "a"), 0.0))
    async with asyncio.TaskGroup() as group:
        group.create_task(at.client.get(PODS, "ns", "a"))
        (await at.wire.next()).answer(a_pod(rv="9"))

    assert at.required() == [("9", set(), False)]


@pytest.mark.spec("runtime:CLI-5")
async def test_a_warning_of_the_server_is_logged_once_for_each_text_and_kind() -> None:
    """A deprecated field in a hot loop must not fill the log."""
    texts = iter(['299 - "old"', '299 - "old"', '299 - "other"'])
    wire = ScriptedTransport(lambda exchange: exchange.answer(a_pod(), headers={"Warning": next(texts)}))
    client = RestClient(wire, clock=SystemClock(), identity=Identity("op", "1"))

    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            await client.get(PODS, "ns", "a")

    assert [one["text"] for one in logs if one["event"] == "the API server warns"] == ['299 - "old"', '299 - "other"']


@pytest.mark.spec("runtime:CLI-5")
async def test_each_warning_of_an_answer_is_logged() -> None:
    """An API server sends a header for each: a pod template has several things that a policy does not like."""
    headers = CIMultiDict([("warning", '299 - "runAsNonRoot"'), ("Warning", '299 - "seccompProfile"')])
    wire = ScriptedTransport(lambda exchange: exchange.answer(a_pod(), headers=headers))
    client = RestClient(wire, clock=SystemClock(), identity=Identity("op", "1"))

    with structlog.testing.capture_logs() as logs:
        await client.get(PODS, "ns", "a")

    assert [one["text"] for one in logs] == ['299 - "runAsNonRoot"', '299 - "seccompProfile"']


@pytest.mark.spec("runtime:CLI-14")
async def test_a_list_comes_in_pages_and_one_that_expires_is_no_list() -> None:
    """What was yielded before is not the whole; the caller must know."""
    at = Watched()
    seen: list[str] = []

    async def read() -> None:
        async for page in at.client.list(PODS, "ns", label_selector="a=b"):
            seen.extend(item["metadata"]["name"] for item in page.items)

    async def expire() -> None:
        with pytest.raises(errors.Gone):
            await read()

    async with asyncio.TaskGroup() as group:
        group.create_task(expire())
        first = await at.wire.next()
        first.answer({"kind": "PodList", "metadata": {"resourceVersion": "5", "continue": "more"}, "items": [a_pod()]})
        second = await at.wire.next()
        second.refuse(410, "Expired")

    assert seen == ["a"]
    assert first.query == {"limit": "500", "labelSelector": "a=b"}
    assert second.query == {"limit": "500", "labelSelector": "a=b", "continue": "more"}


@pytest.mark.spec("runtime:REF-6")
async def test_a_table_is_no_list() -> None:
    """A wrong Accept header reached a cache on the way: rows must not become objects."""
    wire = ScriptedTransport(lambda exchange: exchange.answer({"kind": "Table", "metadata": {}, "rows": []}))
    client = RestClient(wire, clock=SystemClock(), identity=Identity("op", "1"))

    with pytest.raises(errors.ApiError, match="answered a Table"):
        await client.list_page(PODS, None, {})


class Renewed:
    """Credentials whose second token is good."""

    def __init__(self) -> None:
        self.token = "old"

    def authorization(self) -> str:
        return f"Bearer {self.token}"

    async def refresh(self, sent: str) -> bool:
        self.token = "new"
        return True


@pytest.mark.spec("runtime:TRN-9")
async def test_a_refused_token_is_read_again_and_the_request_repeated_once() -> None:
    """A second refusal is the answer."""

    def respond(exchange: Exchange) -> None:
        exchange.refuse(401, "Unauthorized")

    wire = ScriptedTransport(respond)
    client = RestClient(wire, clock=SystemClock(), identity=Identity("op", "1"), credentials=Renewed())

    with pytest.raises(errors.Unauthorized):
        await client.get(PODS, "ns", "a")

    assert [exchange.headers["Authorization"] for exchange in wire.log] == ["Bearer old", "Bearer new"]


@pytest.mark.spec("runtime:TRN-9")
async def test_of_many_requests_that_a_dead_token_was_refused_to_each_is_repeated(tmp_path: Path) -> None:
    """The first of them reads the new one, and the others must not think that there is none."""
    file = tmp_path / "token"
    file.write_text("old")
    wire, clock = ScriptedTransport(), SystemClock()
    token = TokenFile(file, clock)
    client = RestClient(wire, clock=clock, identity=Identity("op", "1"), credentials=token)

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(client.get(PODS, "ns", name)) for name in "abc"]
        with_the_old = [await wire.next() for _ in asked]
        file.write_text("new")
        for exchange in with_the_old:
            exchange.refuse(401, "Unauthorized")
        for _ in asked:
            exchange = await wire.next()
            assert exchange.headers["Authorization"] == "Bearer new"
            exchange.answer(a_pod())

    assert {exchange.headers["Authorization"] for exchange in with_the_old} == {"Bearer old"}


@pytest.mark.spec("runtime:TRN-4", "runtime:TRN-5")
async def test_everything_is_asked_for_as_json_and_uncompressed() -> None:
    """To compress costs the server more than the way from a pod to it; CBOR would cost us twice as much as it saves."""
    wire = ScriptedTransport(lambda exchange: exchange.answer({**a_pod(), "items": []}))
    client = RestClient(wire, clock=SystemClock(), identity=Identity("op", "1"))

    await client.get(PODS, "ns", "a")
    await client.create(PODS, a_pod())
    await client.list_page(PODS, None, {}, metadata_only=True)
    async with client.watch(PODS, None, {}):
        pass

    assert {exchange.headers["Accept-Encoding"] for exchange in wire.log} == {"identity"}
    assert {exchange.headers["Accept"].partition(";")[0] for exchange in wire.log} == {"application/json"}
    assert len(wire.log) == 4


async def test_a_watch_has_a_pool_of_its_own_and_no_limit_in_time() -> None:
    """Only its headers must come within half a minute."""
    at = Watched()
    async with asyncio.TaskGroup() as group:

        async def read() -> list[str]:
            async with at.client.watch(PODS, None, {"resourceVersion": "5"}) as batches:
                return [event.type async for events in batches for event in events]

        task = group.create_task(read())
        exchange = await at.wire.next("GET", "/api/v1/pods")
        stream = exchange.stream()
        await asyncio.sleep(3000)
        stream.event("ADDED", a_pod())
        stream.end()

    assert task.result() == ["ADDED"]
    assert exchange.pool is Pool.WATCH
    assert exchange.query == {"watch": "true", "resourceVersion": "5"}


async def test_a_watch_whose_headers_do_not_come_is_given_up() -> None:
    """Half a minute, then somebody else must be asked (CLI-17)."""
    at = Watched()
    before = asyncio.get_running_loop().time()

    with pytest.raises(errors.Unreachable, match="no headers within 30 s"):
        async with at.client.watch(PODS, None, {}):
            pass

    assert asyncio.get_running_loop().time() - before == pytest.approx(30, abs=0.1)
    assert at.wire.open == 0


@pytest.mark.spec("runtime:TRN-14")
async def test_each_request_is_counted_with_its_code_and_timed_by_its_verb() -> None:
    """Sent again, it is counted again; without an answer its code is <error>. No path and no name is a label."""
    metrics = Metrics()
    at = Watched(metrics=metrics, host="api:6443")
    async with asyncio.TaskGroup() as group:
        group.create_task(at.client.get(PODS, "ns", "a"))
        (await at.wire.next()).cut()
        (await at.wire.next()).refuse(429, "TooManyRequests", headers={"Retry-After": "2"})
        (await at.wire.next()).answer(a_pod())

    value = metrics.registry.get_sample_value
    for code in ("<error>", "429", "200"):
        assert value("rest_client_requests_total", {"code": code, "method": "GET", "host": "api:6443"}) == 1
    for code in ("<error>", "429"):
        assert value("rest_client_request_retries_total", {"code": code, "verb": "get", "host": "api:6443"}) == 1
    assert value("rest_client_request_duration_seconds_count", {"verb": "get", "host": "api:6443"}) == 3


@pytest.mark.spec("runtime:CLI-18")
async def test_no_limiter_of_ours_holds_a_request_back() -> None:
    """The server's own fairness protects it: two hundred reads and sixty writes leave at once."""
    wire = ScriptedTransport(lambda exchange: exchange.answer(a_pod(), 200))
    client = RestClient(wire, clock=SystemClock(), identity=Identity("op", "1"))
    before = asyncio.get_running_loop().time()

    async with asyncio.TaskGroup() as group:
        for _ in range(200):
            group.create_task(client.get(PODS, "ns", "a"))
        for _ in range(60):
            group.create_task(client.create(PODS, a_pod()))

    assert len(wire.log) == 260
    assert asyncio.get_running_loop().time() - before < 0.1
