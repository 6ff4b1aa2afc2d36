"""Cached reads are at least as new as our own writes, and wait for no others. The test is the server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from api.core import PODS, SERVICES
from api.meta import Json
from controller.runtime.cache.caches import CacheNotSynced, Caches
from controller.runtime.cache.informer import Watched
from controller.runtime.client.rest import Identity, RestClient
from controller.runtime.clock import SystemClock
from controller.runtime.errors import LostAnswer, StaleCache
from controller.runtime.ledger import WRITER, Ledger
from controller.runtime.metrics import Metrics
from localcluster.testing.scripted_api import Exchange, ScriptedTransport, Stream

pytestmark = pytest.mark.looptime


def a_pod(name: str, rv: int, owner: str = "", **metadata: Any) -> Json:
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": str(rv), **metadata}
    if owner:
        metadata["ownerReferences"] = [
            {"apiVersion": "v1", "kind": "X", "name": owner, "uid": owner, "controller": True}
        ]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


class Server:
    """Serves watches by itself; writes and gets wait for the test."""

    def __init__(self) -> None:
        self.wire = ScriptedTransport(self._respond)
        self.streams: dict[str, Stream] = {}
        self.waiting: asyncio.Queue[Exchange] = asyncio.Queue()
        self.refuse_watches = False

    def _respond(self, exchange: Exchange) -> None:
        if not exchange.watches:
            self.waiting.put_nowait(exchange)
        elif self.refuse_watches:
            exchange.refuse(403, "Forbidden")
        else:
            stream = self.streams[exchange.path] = exchange.stream()
            stream.bookmark("Pod", "10", ends_initial_events=True)

    @property
    def pods(self) -> Stream:
        return self.streams["/api/v1/pods"]


class Cached:
    def __init__(self, *watched: Watched, namespaces: tuple[str, ...] = ()) -> None:
        self.server = Server()
        self.metrics = Metrics()
        self.client = RestClient(self.server.wire, clock=SystemClock(), identity=Identity("op", "1"), ledger=Ledger())
        self.caches = Caches(
            self.client,
            watched or (Watched(PODS, labels=("app",)),),
            namespaces=namespaces,
            clock=SystemClock(),
            rng=random.Random(1),
            metrics=self.metrics,
        )

    async def create(self, name: str, rv: int, owner: str = "", **metadata: Any) -> None:
        """A write of ours that is answered, and whose event is still on its way."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.client.create(PODS, a_pod(name, 0, owner, **metadata)))
            (await self.server.waiting.get()).answer(a_pod(name, rv, owner, **metadata), 201)


@asynccontextmanager
async def running(*watched: Watched, namespaces: tuple[str, ...] = ()) -> AsyncIterator[Cached]:
    at = Cached(*watched, namespaces=namespaces)
    async with at.caches.running():
        yield at


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.spec("runtime:RYW-6")
async def test_a_read_waits_until_our_own_write_has_come_in() -> None:
    """Invariant P1: a create is never followed by a read that does not find it."""
    async with running() as at:
        await at.create("a", 20)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(at.caches.get(PODS, "ns", "a"))
            await asyncio.sleep(3)
            assert not reading.done()
            at.server.pods.event("ADDED", a_pod("a", 20))

        found = reading.result()
        assert found is not None
        assert found.resource_version == "20"
        read = at.metrics.registry.get_sample_value
        assert read("controller_stale_reads_waited_total", {"kind": "Pod"}) == 1


async def test_a_write_whose_answer_was_lost_puts_no_key_off() -> None:
    """Only a live look tells, and the read of the next pass takes it."""
    async with running() as at:

        async def create() -> None:
            WRITER.set("key")
            with pytest.raises(LostAnswer):
                await at.client.create(PODS, a_pod("a", 0))

        async with asyncio.TaskGroup() as group:
            group.create_task(create())
            exchange = await at.server.waiting.get()
            assert at.caches.behind("key"), "on its way"
            exchange.cut()

        assert not at.caches.behind("key")


async def test_what_another_task_is_writing_is_waited_for_too() -> None:
    """A read that starts after the write did cannot miss it (RYW-2)."""
    async with running() as at, asyncio.TaskGroup() as group:
        group.create_task(at.client.create(PODS, a_pod("a", 0, "mine")))
        exchange = await at.server.waiting.get()
        reading = group.create_task(at.caches.owned(PODS, "mine"))
        await asyncio.sleep(1)
        exchange.answer(a_pod("a", 20, "mine"), 201)
        await asyncio.sleep(1)
        assert not reading.done()
        at.server.pods.event("ADDED", a_pod("a", 20, "mine"))
        assert [one.ref.name for one in await reading] == ["a"]


async def test_one_hanging_write_delays_the_reads_of_its_owner_only() -> None:
    """Other owners, and other names, are read at once."""
    async with running() as at:
        await at.create("a", 20, "mine")
        before = now()

        assert await at.caches.owned(PODS, "theirs") == []
        assert await at.caches.get(PODS, "ns", "b") is None

        assert now() == before


@pytest.mark.spec("runtime:RYW-7")
async def test_no_read_waits_without_bound() -> None:
    """Invariant P2: after five seconds the key is to be looked at again."""
    async with running() as at:
        await at.create("a", 20)
        before = now()

        with pytest.raises(StaleCache, match="our write of Pod ns/a"):
            await at.caches.get(PODS, "ns", "a")

        assert now() - before == pytest.approx(5, abs=0.1)


@pytest.mark.spec("runtime:RYW-9")
async def test_a_write_that_changed_nothing_is_not_waited_for() -> None:
    """Its answer carries the version that is known (RYW-9)."""
    async with running() as at:
        at.server.pods.event("ADDED", a_pod("a", 15))
        await asyncio.sleep(0.1)
        async with asyncio.TaskGroup() as group:
            group.create_task(at.client.patch(PODS, "ns", "a", {}))
            (await at.server.waiting.get()).answer(a_pod("a", 15))
        before = now()

        assert await at.caches.get(PODS, "ns", "a") is not None
        assert now() == before


@pytest.mark.spec("runtime:RYW-10")
async def test_a_store_of_metadata_alone_takes_part_in_the_same_way() -> None:
    """Its versions are the same."""
    async with running(Watched(PODS, metadata_only=True)) as at, asyncio.TaskGroup() as group:
        await at.create("a", 20)
        reading = group.create_task(at.caches.get(PODS, "ns", "a"))
        await asyncio.sleep(1)
        assert not reading.done()
        partial = {**a_pod("a", 20), "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
        at.server.pods.event("ADDED", partial)
        assert (await reading) is not None


async def test_a_deleted_object_is_not_read_again() -> None:
    """Until it is gone, or on its way out, the read waits."""
    async with running() as at, asyncio.TaskGroup() as group:
        at.server.pods.event("ADDED", a_pod("a", 15))
        await asyncio.sleep(0.1)
        deleting = group.create_task(at.client.delete(PODS, "ns", "a", uid="uid-a"))
        (await at.server.waiting.get()).answer({"kind": "Status", "status": "Success"})
        await deleting
        reading = group.create_task(at.caches.get(PODS, "ns", "a"))
        await asyncio.sleep(1)
        assert not reading.done()
        at.server.pods.event("DELETED", a_pod("a", 16))
        assert await reading is None


async def test_a_lost_answer_makes_the_next_read_ask_the_server_once() -> None:
    """Then it waits for the version that the server told (RYW-4)."""
    async with running() as at, asyncio.TaskGroup() as group:

        async def create() -> None:
            with pytest.raises(LostAnswer):
                await at.client.create(PODS, a_pod("a", 0))

        creating = group.create_task(create())
        (await at.server.waiting.get()).cut()
        await creating
        reading = group.create_task(at.caches.get(PODS, "ns", "a"))
        look = await at.server.waiting.get()
        assert (look.method, look.path) == ("GET", "/api/v1/namespaces/ns/pods/a")
        look.answer(a_pod("a", 20))
        await asyncio.sleep(1)
        assert not reading.done()
        at.server.pods.event("ADDED", a_pod("a", 20))
        assert (await reading) is not None
        assert at.server.waiting.empty()


@pytest.mark.spec("runtime:CAC-2", "runtime:CAC-6")
async def test_a_kind_that_is_not_declared_is_an_error_and_no_silent_request() -> None:
    """A forgotten declaration must not open a cluster-wide watch, nor read live."""
    async with running() as at:
        before = len(at.server.wire.log)

        with pytest.raises(LookupError, match="services are not watched"):
            await at.caches.get(SERVICES, "ns", "a")

        assert len(at.server.wire.log) == before


@pytest.mark.spec("runtime:CAC-3")
async def test_with_namespaces_each_has_a_watch_of_its_own_and_others_are_refused() -> None:
    """They are presented as one."""
    async with running(namespaces=("ns", "two")) as at:
        at.server.streams["/api/v1/namespaces/ns/pods"].event("ADDED", a_pod("a", 11, "o"))
        at.server.streams["/api/v1/namespaces/two/pods"].event("ADDED", a_pod("b", 11, "o", namespace="two"))
        await asyncio.sleep(0.1)

        assert sorted(str(one.ref) for one in await at.caches.owned(PODS, "o")) == ["Pod ns/a", "Pod two/b"]
        with pytest.raises(LookupError, match="namespace 'three'"):
            await at.caches.get(PODS, "three", "a")


async def test_a_write_in_one_namespace_is_not_taken_as_seen_by_the_watch_of_another() -> None:
    """Each store knows its own namespace only."""
    async with running(namespaces=("ns", "two")) as at:
        await at.create("a", 20)
        at.server.streams["/api/v1/namespaces/two/pods"].bookmark("Pod", "30")
        await asyncio.sleep(0.1)

        with pytest.raises(StaleCache):
            await at.caches.get(PODS, "ns", "a")


async def test_objects_are_found_by_a_declared_label_within_a_namespace() -> None:
    """A label that is not declared is an error (IDX-7)."""
    async with running() as at:
        at.server.pods.event("ADDED", a_pod("a", 11, labels={"app": "x"}))
        at.server.pods.event("ADDED", a_pod("b", 12, labels={"app": "x"}, namespace="two"))
        await asyncio.sleep(0.1)

        assert [str(one.ref) for one in await at.caches.labelled(PODS, "ns", "app", "x")] == ["Pod ns/a"]
        assert len(await at.caches.every(PODS)) == 2
        assert len(await at.caches.every(PODS, "two")) == 1
        with pytest.raises(LookupError, match="no index 'label:tier'"):
            await at.caches.labelled(PODS, "ns", "tier", "x")


@pytest.mark.spec("runtime:CAC-7")
async def test_a_kind_that_does_not_load_is_named_after_two_minutes_with_the_servers_words() -> None:
    """Waiting for ever without a message is the complaint about others."""
    at = Cached()
    at.server.refuse_watches = True

    async def answer_lists() -> None:
        while True:
            (await at.server.waiting.get()).refuse(403, "Forbidden", "pods is forbidden")

    async def start() -> None:
        async with at.caches.running():
            raise AssertionError("it must not start")

    lists = asyncio.TaskGroup()
    async with lists:
        answering = lists.create_task(answer_lists())
        with pytest.raises(ExceptionGroup) as caught:
            await start()
        answering.cancel()

    (error,) = caught.value.exceptions
    assert isinstance(error, CacheNotSynced)
    assert "pods (cannot list Pod" in str(error)
    assert now() == pytest.approx(120, abs=1)


@pytest.mark.spec("deployment:DC-4")
async def test_a_kind_that_is_not_installed_is_waited_for_and_that_is_said_each_minute() -> None:
    """Fault F14 at the start: whoever installs the operator before its CRDs need not restart it."""
    at = Cached()
    empty = {"kind": "PodList", "metadata": {"resourceVersion": "9"}, "items": []}
    at.server.refuse_watches = True

    async def answer_lists() -> None:
        while now() < 600:
            (await at.server.waiting.get()).refuse(404, "NotFound", "the server could not find the requested resource")
        (await at.server.waiting.get()).answer(empty)

    async with asyncio.TaskGroup() as lists:
        lists.create_task(answer_lists())
        with capture_logs() as logs:
            async with at.caches.running():
                started_at = now()

    told = [line for line in logs if line["event"] == "waiting for the first load"]
    assert 600 < started_at < 660
    assert 6 + 8 <= len(told) <= 6 + 10
    assert "is the CustomResourceDefinition pods. installed?" in told[-1]["missing"]


@pytest.mark.spec("runtime:SRC-3")
async def test_fault_f14_an_optional_kind_holds_nobody_up_and_appears_when_it_is_served() -> None:
    """The CRD is installed later."""
    at = Cached(Watched(PODS, optional=True, watch_list=False))
    async with at.caches.running():
        (await at.server.waiting.get()).refuse(404, "NotFound")
        assert not at.caches.available(PODS)
        (await at.server.waiting.get()).answer({"kind": "PodList", "metadata": {"resourceVersion": "9"}, "items": []})
        await asyncio.sleep(0.1)

        assert at.caches.available(PODS)
    assert not at.caches.available(SERVICES)
