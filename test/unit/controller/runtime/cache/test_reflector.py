"""List and watch: what is asked, when, and what comes into the store. The test is the server."""

from __future__ import annotations

import asyncio
import json
import random
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from api.core import PODS
from api.meta import Ref
from controller.runtime.background import background
from controller.runtime.cache.reflector import Reflector
from controller.runtime.cache.store import Delta, Store
from controller.runtime.client.rest import Identity, RestClient
from controller.runtime.clock import SystemClock
from controller.runtime.ledger import Ledger
from controller.runtime.metrics import Metrics
from localcluster.testing.scripted_api import Exchange, ScriptedTransport, Stream, status

pytestmark = pytest.mark.looptime


def a_pod(name: str, rv: int, **more: Any) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": str(rv), **more},
    }


def a_list(rv: int, *pods: dict[str, Any], more: str = "") -> dict[str, Any]:
    return {"kind": "PodList", "metadata": {"resourceVersion": str(rv), "continue": more}, "items": list(pods)}


class Followed:
    """A reflector on a scripted wire."""

    def __init__(self, *, watch_list: bool = True, **options: Any) -> None:
        self.wire = ScriptedTransport()
        self.metrics = Metrics()
        self.store = Store(PODS)
        self.told: list[str] = []
        self.store.emit = lambda deltas: self.told.extend(map(_short, deltas))
        self.ledger = Ledger()
        self.ledger.watch(PODS)
        client = RestClient(self.wire, clock=SystemClock(), identity=Identity("op", "1"), ledger=self.ledger)
        self.reflector = Reflector(
            client,
            self.store,
            clock=SystemClock(),
            rng=random.Random(1),
            metrics=self.metrics,
            loads=asyncio.Semaphore(4),
            watch_list=watch_list,
            **options,
        )

    @property
    def names(self) -> list[str]:
        return sorted(record.ref.name for record in self.store.all())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Followed]:
        async with background(("reflector", self.reflector.run())):
            yield self
        assert self.wire.open == 0, "a cancelled reflector leaves no connection behind"

    async def loaded(self, rv: int = 10, pods: Iterable[dict[str, Any]] = ()) -> Stream:
        """Serve the first load as a WatchList; the stream that goes on as the watch."""
        stream = (await self.wire.next("GET")).stream()
        for pod in pods:
            stream.event("ADDED", pod)
        stream.bookmark("Pod", str(rv), ends_initial_events=True)
        await self.reflector.loaded.wait()
        return stream


def _short(delta: Delta) -> str:
    return f"{delta.kind.value} {delta.record.ref.name}" + (" (gap)" if delta.final_state_unknown else "")


async def settle() -> None:
    """Let everything happen that needs no time."""
    await asyncio.sleep(0.001)


@pytest.mark.spec("runtime:REF-1")
async def test_a_watch_list_fills_a_buffer_and_replaces_the_store_at_its_marked_bookmark() -> None:
    """Then the same stream goes on as the watch; plain bookmarks before do not end the load."""
    at = Followed()
    async with at.running():
        exchange = await at.wire.next("GET", "/api/v1/pods")
        assert exchange.query["sendInitialEvents"] == "true"
        assert exchange.query["resourceVersionMatch"] == "NotOlderThan"
        assert "resourceVersion" not in exchange.query
        stream = exchange.stream()
        stream.event("ADDED", a_pod("b", 9))
        stream.event("ADDED", a_pod("a", 3))
        stream.bookmark("Pod", "8")
        stream.event("MODIFIED", a_pod("a", 11))
        stream.event("DELETED", a_pod("b", 12))
        await settle()
        assert at.told == []
        assert at.store.rv == ""

        stream.bookmark("Pod", "12", ends_initial_events=True)
        await settle()
        assert (at.told, at.store.rv) == (["added a"], "12")

        stream.event("ADDED", a_pod("c", 13))
        await settle()
        assert (at.told[1:], at.store.rv) == (["added c"], "13")
    assert len(at.wire.log) == 1


@pytest.mark.spec("runtime:REF-1", "runtime:REF-2")
async def test_a_server_without_watch_list_is_listed_instead() -> None:
    """Any cached version will do the first time; the watch starts at the version of the list."""
    at = Followed()
    async with at.running():
        (await at.wire.next()).refuse(422, "Invalid", "sendInitialEvents is forbidden")
        listing = await at.wire.next("GET")
        assert (listing.query, listing.watches) == ({"resourceVersion": "0"}, False)
        listing.answer(a_list(20, a_pod("a", 3)))

        watch = await at.wire.next()
        assert watch.watches
        assert watch.query["resourceVersion"] == "20"
        assert "sendInitialEvents" not in watch.query
        assert at.names == ["a"]


async def test_a_stream_that_ends_within_its_initial_events_counts_for_nothing() -> None:
    """Half a collection in the store would look like deletions."""
    at = Followed()
    async with at.running():
        stream = (await at.wire.next()).stream()
        stream.event("ADDED", a_pod("a", 3))
        stream.end()
        before = asyncio.get_running_loop().time()
        again = await at.wire.next()

        assert asyncio.get_running_loop().time() - before >= 0.8
        assert again.query["sendInitialEvents"] == "true"
        assert at.told == []


@pytest.mark.spec("runtime:REF-3", "runtime:REF-5", "runtime:RV-5")
async def test_fault_f1_all_pages_come_in_and_the_watch_starts_from_the_last_version() -> None:
    """1,200 objects, pages of 500: one addition each."""
    at = Followed(watch_list=False)
    pods = [a_pod(f"p{n:04}", n + 1) for n in range(1200)]
    async with at.running():
        first = await at.wire.next()
        first.answer(a_list(2000, *pods[:500], more="page2"))
        second = await at.wire.next()
        assert second.query["continue"] == "page2"
        assert "resourceVersion" not in second.query
        second.answer(a_list(2000, *pods[500:1000], more="page3"))
        assert at.told == []
        (await at.wire.next()).answer(a_list(2001, *pods[1000:]))
        watch = await at.wire.next()

    assert watch.query["resourceVersion"] == "2001"
    assert len(at.store) == 1200
    assert len(set(at.told)) == len(at.told) == 1200


@pytest.mark.spec("runtime:REF-3")
async def test_a_list_from_the_watch_cache_is_not_paged_and_one_that_was_has_no_such_cache() -> None:
    """From then on pages of 500 are asked for, with no version: it would be ignored, or the limit would."""
    at = Followed(watch_list=False)
    async with at.running():
        first = await at.wire.next()
        assert (first.query["resourceVersion"], "limit" in first.query) == ("0", False)
        first.answer(a_list(10, a_pod("a", 1), more="page2"))
        (await at.wire.next()).answer(a_list(10, a_pod("b", 2)))
        (await at.wire.next()).refuse(410, "Expired")
        again = await at.wire.next()

    assert (again.query["limit"], "resourceVersion" in again.query) == ("500", False)


@pytest.mark.spec("runtime:REF-3")
async def test_more_than_five_thousand_objects_are_paged() -> None:
    """A list in one piece would hold up everything else."""
    at = Followed(watch_list=False)
    async with at.running():
        (await at.wire.next()).answer(a_list(9000, *(a_pod(f"p{n}", n + 1) for n in range(5001))))
        (await at.wire.next()).refuse(410, "Expired")
        again = await at.wire.next()

    assert (again.query["limit"], "resourceVersion" in again.query) == ("500", False)


@pytest.mark.spec("runtime:MEM-8")
@pytest.mark.parametrize("watch_list", [False, True])
async def test_a_load_needs_little_more_memory_than_what_is_kept_of_it(watch_list: bool) -> None:
    """A page and a fifth at the most: never everything twice, as it came and as it is kept."""
    containers = [{"name": f"c{n}", "args": ["x" * 100] * 8} for n in range(10)]
    pods = [json.dumps(a_pod(f"p{n}", 1 + n) | {"spec": {"containers": containers}}) for n in range(2_000)]
    begin = '{"kind":"PodList","metadata":{"resourceVersion":"2000","continue":"%s"},"items":['
    pages = [
        (begin % ("more" if n < 1_500 else "") + ",".join(pods[n : n + 500]) + "]}").encode()
        for n in range(0, 2_000, 500)
    ]
    chunks = [('{"type":"ADDED","object":' + pod + "}\n").encode() for pod in pods]
    at = Followed(watch_list=watch_list)
    tracemalloc.start()
    try:
        async with at.running():
            if watch_list:
                stream = (await at.wire.next("GET")).stream()
                for chunk in chunks:
                    stream.send(chunk)
                stream.bookmark("Pod", "2000", ends_initial_events=True)
            else:
                for page in pages:
                    (await at.wire.next("GET")).answer(page)
            await at.reflector.loaded.wait()
            kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(at.store) == 2_000
    assert kept > 0.9 * sum(map(len, pods))
    assert peak <= 1.2 * kept + len(pages[0])


@pytest.mark.spec("runtime:REF-4")
async def test_pages_that_expire_under_way_are_dropped_and_listed_once_more_in_one_piece() -> None:
    """Pages from before and after a 410 are never put together."""
    at = Followed(watch_list=False)
    async with at.running():
        (await at.wire.next()).answer(a_list(20, a_pod("a", 3), more="page2"))
        (await at.wire.next()).refuse(410, "Expired")
        # The first list was asked for at version "0", so it is not retried in place: a reload pages from etcd.
        again = await at.wire.next()
        assert again.query == {"limit": "500"}
        again.answer(a_list(30, a_pod("b", 21), more="page2"))
        (await at.wire.next()).refuse(410, "Expired")
        whole = await at.wire.next()
        assert whole.query == {}
        whole.answer(a_list(40, a_pod("c", 31)))
        await at.wire.next()

    assert at.names == ["c"]


@pytest.mark.spec("runtime:REF-7", "runtime:REF-9", "runtime:RV-6")
async def test_a_watch_that_ends_is_opened_again_at_once_from_the_last_version() -> None:
    """Bookmarks count as progress; no list is needed."""
    at = Followed()
    async with at.running():
        stream = await at.loaded(10)
        stream.event("ADDED", a_pod("a", 11))
        stream.bookmark("Pod", "15")
        await asyncio.sleep(300)
        stream.end()
        before = asyncio.get_running_loop().time()
        again = await at.wire.next()

        assert asyncio.get_running_loop().time() == before
        assert again.query["resourceVersion"] == "15"
        assert again.query["allowWatchBookmarks"] == "true"
        assert 300 <= int(again.query["timeoutSeconds"]) <= 600
    assert at.told == ["added a"]


@pytest.mark.spec("runtime:RV-6")
async def test_a_bookmark_behind_changes_in_one_chunk_is_the_version_to_go_on_from() -> None:
    """What comes in one piece is taken in its order."""
    at = Followed()
    async with at.running():
        stream = await at.loaded()
        bookmark = {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": "20"}}
        lines = [{"type": "ADDED", "object": a_pod("a", 11)}, {"type": "BOOKMARK", "object": bookmark}]
        stream.send(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        stream.end()
        again = await at.wire.next()

    assert again.query["resourceVersion"] == at.store.rv == "20"


async def test_a_watch_that_ends_at_once_and_empty_is_not_opened_in_a_tight_loop() -> None:
    """A server that closes each stream is asked a few times in half a minute."""
    at = Followed()
    at.wire.responder = lambda exchange: _load_or_end(exchange)
    async with at.running():
        await asyncio.sleep(30)

    assert 3 <= len(at.wire.log) <= 10


def _load_or_end(exchange: Exchange) -> None:
    stream = exchange.stream()
    if "sendInitialEvents" in exchange.query:
        stream.bookmark("Pod", "10", ends_initial_events=True)
    stream.end()


@pytest.mark.spec("runtime:REF-8")
async def test_fault_f2_a_410_in_the_stream_with_a_deletion_in_the_gap() -> None:
    """One reload; the deletion is delivered, once."""
    at = Followed(watch_list=False)
    async with at.running():
        (await at.wire.next()).answer(a_list(10, a_pod("a", 1), a_pod("b", 2)))
        (await at.wire.next()).stream().event("ERROR", status(410, "Expired", "too old resource version"))
        reload = await at.wire.next()
        assert reload.query == {"resourceVersion": "10"}
        reload.answer(a_list(50, a_pod("a", 1)))
        watch = await at.wire.next()

    assert watch.query["resourceVersion"] == "50"
    assert at.told == ["added a", "added b", "deleted b (gap)", "updated a"]


async def test_fault_f3_a_410_when_a_watch_is_opened_reloads_too() -> None:
    """The same, as an HTTP status."""
    at = Followed(watch_list=False)
    async with at.running():
        (await at.wire.next()).answer(a_list(10, a_pod("a", 1), a_pod("b", 2)))
        (await at.wire.next()).refuse(410, "Expired")
        (await at.wire.next()).answer(a_list(50, a_pod("a", 1)))
        await at.wire.next()

    assert "deleted b (gap)" in at.told


async def test_a_reload_that_expires_likewise_asks_for_no_version_at_once() -> None:
    """Only then is the version given up."""
    at = Followed(watch_list=False)
    async with at.running():
        (await at.wire.next()).answer(a_list(10))
        (await at.wire.next()).refuse(410, "Expired")
        (await at.wire.next()).refuse(410, "Expired")
        before = asyncio.get_running_loop().time()
        again = await at.wire.next()

        assert asyncio.get_running_loop().time() == before
        assert again.query == {"limit": "500"}


async def test_fault_f4_a_version_too_large_for_this_server_is_given_up_at_once() -> None:
    """Its cache lags behind the server that told it to us."""
    at = Followed(watch_list=False)
    async with at.running():
        (await at.wire.next()).answer(a_list(10, a_pod("a", 1)))
        (await at.wire.next()).refuse(504, "Timeout", "Too large resource version: 10, current: 5")
        before = asyncio.get_running_loop().time()
        again = await at.wire.next()
        assert asyncio.get_running_loop().time() == before
        assert again.query == {"limit": "500"}
        again.answer(a_list(11, a_pod("a", 1), a_pod("b", 11)))
        watch = await at.wire.next()

    assert watch.query["resourceVersion"] == "11"
    assert at.names == ["a", "b"]


@pytest.mark.spec("runtime:REF-12")
async def test_fault_f5_a_silent_server_is_noticed_within_150_seconds() -> None:
    """Once a bookmark was seen; no FIN, no bytes."""
    at = Followed()
    async with at.running():
        stream = await at.loaded(10)
        stream.bookmark("Pod", "12")
        await settle()
        before = asyncio.get_running_loop().time()
        again = await at.wire.next()

        assert asyncio.get_running_loop().time() - before <= 152
        assert again.query["resourceVersion"] == "12"
        assert stream.closed


async def test_before_any_bookmark_the_servers_own_time_limit_is_the_bound() -> None:
    """A server that sends none must not be thought dead each two minutes."""
    at = Followed(watch_list=False)
    async with at.running():
        (await at.wire.next()).answer(a_list(10))
        watch = await at.wire.next()
        watch.stream()
        opened = asyncio.get_running_loop().time()
        await at.wire.next()

        lived = asyncio.get_running_loop().time() - opened
        assert int(watch.query["timeoutSeconds"]) <= lived <= int(watch.query["timeoutSeconds"]) + 8


async def test_fault_f7_a_watch_that_is_told_to_wait_waits_and_goes_on_without_a_list() -> None:
    """429 with Retry-After."""
    at = Followed()
    async with at.running():
        stream = await at.loaded(10)
        stream.event("ADDED", a_pod("a", 11))
        await asyncio.sleep(5)
        stream.end()
        (await at.wire.next()).refuse(429, "TooManyRequests", headers={"Retry-After": "17"})
        before = asyncio.get_running_loop().time()
        again = await at.wire.next()

        assert asyncio.get_running_loop().time() - before == pytest.approx(17, abs=0.1)
        assert again.watches
        assert again.query["resourceVersion"] == "11"


async def test_fault_f8_a_500_on_the_first_list_is_backed_off_and_tried_again() -> None:
    """The informer does not die of it."""
    at = Followed(watch_list=False)
    async with at.running():
        for _ in range(3):
            (await at.wire.next()).refuse(500, "InternalError")
        (await at.wire.next()).answer(a_list(10, a_pod("a", 1)))
        await at.reflector.loaded.wait()

    assert at.names == ["a"]


@pytest.mark.spec("runtime:REF-11")
async def test_fault_f9_a_server_that_is_down_for_ten_minutes_is_tried_rarely_and_resumed_without_a_list() -> None:
    """At most twenty tries, and no list if the version is still good."""
    at = Followed()
    async with at.running():
        stream = await at.loaded(10)
        stream.cut()
        await settle()
        at.wire.responder = lambda exchange: exchange.unreachable()
        before = len(at.wire.log)
        await asyncio.sleep(600)
        tries = len(at.wire.log) - before
        at.wire.responder = None
        back = await at.wire.next()

    assert 10 <= tries <= 20
    assert back.watches
    assert back.query["resourceVersion"] == "10"
    assert "sendInitialEvents" not in back.query


async def test_a_server_that_always_says_410_is_asked_at_most_ten_times_in_half_a_minute() -> None:
    """Invariant I6."""
    at = Followed(watch_list=False)
    at.wire.responder = lambda exchange: exchange.refuse(410, "Expired")
    async with at.running():
        await asyncio.sleep(30)

    assert 3 <= len(at.wire.log) <= 10


async def test_after_a_long_absence_a_version_that_expired_costs_no_further_wait() -> None:
    """The pauses have grown to a minute by then; the server is there, and we know nothing of what happened since."""
    at = Followed()
    now = asyncio.get_running_loop().time
    async with at.running():
        (await at.loaded(10)).cut()
        await settle()
        at.wire.responder = lambda exchange: exchange.unreachable()
        await asyncio.sleep(600)
        at.wire.responder = None
        (await at.wire.next()).refuse(410, "Expired")
        back = now()
        again = await at.wire.next()

    assert "sendInitialEvents" in again.query
    assert now() == back


async def test_a_server_that_loads_and_then_says_410_to_each_watch_is_not_asked_in_a_tight_loop() -> None:
    """The second time within ten seconds it is a fault of the server's, and waits grow."""
    at = Followed(watch_list=False)

    def respond(exchange: Exchange) -> None:
        exchange.refuse(410, "Expired") if exchange.watches else exchange.answer(a_list(10))

    at.wire.responder = respond
    async with at.running():
        await asyncio.sleep(60)

    assert 4 <= len(at.wire.log) <= 20


async def test_a_few_restarts_in_a_row_do_not_leave_a_server_alone_for_long() -> None:
    """Each time the stream lived for a while: that is no tight loop."""
    at = Followed()
    now = asyncio.get_running_loop().time
    absences = []
    async with at.running():
        stream = await at.loaded(10)
        for _ in range(5):
            await asyncio.sleep(15)
            stream.cut()
            cut = now()
            stream = (await at.wire.next()).stream()
            absences.append(now() - cut)

    assert max(absences) <= 1.7


async def test_an_object_that_cannot_be_read_is_skipped_and_counted_and_the_rest_goes_on() -> None:
    """One broken object must not blind us for the others."""
    at = Followed()
    async with at.running():
        stream = await at.loaded(10)
        stream.event("ADDED", {"kind": "Node", "metadata": {"name": "n", "resourceVersion": "11"}})
        stream.event("SOMETHING", a_pod("x", 12))
        stream.event("ADDED", a_pod("a", 13))
        await settle()

    assert at.told == ["added a"]
    assert at.metrics.registry.get_sample_value("informer_decode_errors_total", {"kind": "Pod"}) == 2


async def test_a_kind_that_is_not_served_is_reported_while_it_is_tried_again() -> None:
    """Who waits for the first load can say why (fault F14)."""
    at = Followed(watch_list=False)
    async with at.running():
        (await at.wire.next()).refuse(404, "NotFound")
        installed = await at.wire.next()
        assert "HTTP 404" in str(at.reflector.unavailable)
        installed.answer(a_list(10, a_pod("a", 1)))
        await at.reflector.loaded.wait()

        assert at.reflector.unavailable is None


async def test_a_kind_that_may_not_be_watched_any_more_is_a_warning() -> None:
    """What was loaded grows old: no silent half-life. A server that is away is no news, and no refusal."""
    at = Followed()
    async with at.running():
        with capture_logs() as logs:
            (await at.loaded(10)).cut()
            (await at.wire.next()).cut()
            (await at.wire.next()).cut()
            (await at.wire.next()).refuse(403, "Forbidden", "you cannot watch pods")
            await settle()

    levels = [(line["cause"], line["log_level"]) for line in logs if line["event"] == "list or watch failed"]
    assert levels[-1] == ("unavailable", "warning")
    assert {level for cause, level in levels if cause != "unavailable"} == {"info"}


@pytest.mark.spec("runtime:REF-16")
async def test_metadata_only_asks_for_the_metadata_alone() -> None:
    """By the Accept header, in lists and watches."""
    at = Followed(watch_list=False, metadata_only=True, label_selector="app=ray", namespace="ns")
    async with at.running():
        listing = await at.wire.next("GET", "/api/v1/namespaces/ns/pods")
        assert listing.headers["Accept"] == "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
        assert listing.query["labelSelector"] == "app=ray"
        partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", **a_pod("a", 1)}
        listing.answer({"kind": "PartialObjectMetadataList", "metadata": {"resourceVersion": "9"}, "items": [partial]})
        watch = await at.wire.next()
        assert watch.headers["Accept"] == "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
        assert watch.query["labelSelector"] == "app=ray"

    assert at.store.all()[0].object()["kind"] == "Pod"


async def test_a_restored_server_begins_a_new_epoch() -> None:
    """Fault F10: its versions are lower, and every object may be another one."""
    at = Followed(watch_list=False)
    async with at.running():
        (await at.wire.next()).answer(a_list(1000, a_pod("a", 900), a_pod("b", 901)))
        (await at.wire.next()).stream().event("ERROR", status(410, "Expired"))
        at.ledger.wrote(at.ledger.begin(PODS, Ref("Pod", "ns", "c"), 0.0), "950", {})
        (await at.wire.next()).answer(a_list(500, a_pod("a", 400)))
        consistent = await at.wire.next()
        assert consistent.query == {"limit": "500"}
        consistent.answer(a_list(500, a_pod("a", 400)))
        watch = await at.wire.next()

    assert watch.query["resourceVersion"] == "500"
    assert at.store.epoch == 1
    assert at.told[2:] == ["deleted b (gap)", "updated a"]
    assert list(at.ledger) == [], "version 950 may never come again"


@pytest.mark.spec("runtime:REF-18")
async def test_a_chunk_of_many_events_is_applied_in_batches_of_a_thousand_and_others_run_in_between() -> None:
    """After an outage thousands come at once; liveness and leases of this loop must not wait for all of them."""
    at = Followed()
    batches: list[tuple[int, int]] = []
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with at.running():
        stream = await at.loaded()
        at.store.emit = lambda deltas: batches.append((len(deltas), turns))
        lines = [json.dumps({"type": "ADDED", "object": a_pod(f"p{n}", 20 + n)}) for n in range(3_500)]
        async with background(("others", others())):
            await asyncio.sleep(0)
            stream.send(("\n".join(lines) + "\n").encode())
            while len(at.names) < 3_500:  # noqa: ASYNC110 - the turns are what is counted
                await asyncio.sleep(0)

    assert [size for size, _ in batches] == [1_000, 1_000, 1_000, 500]
    assert len({turn for _, turn in batches}) == 4


@pytest.mark.spec("runtime:REF-14")
async def test_at_most_four_loads_are_in_flight_at_a_time() -> None:
    """Twenty kinds must not fall upon a server that comes up."""
    wire = ScriptedTransport()
    client = RestClient(wire, clock=SystemClock(), identity=Identity("op", "1"))
    loads = asyncio.Semaphore(4)
    reflectors = [
        Reflector(
            *(client, Store(PODS)),
            clock=SystemClock(),
            rng=random.Random(1),
            metrics=Metrics(),
            loads=loads,
        )
        for _ in range(6)
    ]
    async with background(*((str(n), one.run()) for n, one in enumerate(reflectors))):
        await settle()
        assert len(wire.log) == 4
        (await wire.next()).stream().bookmark("Pod", "5", ends_initial_events=True)
        await settle()
        assert len(wire.log) == 5, "the slot is given back when the load is over, not the stream"
