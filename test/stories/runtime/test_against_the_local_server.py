"""The runtime against the local API server, over HTTP, in virtual time: what comes in, and what comes in after a fault.

The controller is a toy: a ConfigMap that wants so many children gets them, under names that are *random*, so nothing
but reading our own writes keeps it from making too many.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from api.core import CONFIG_MAPS
from api.meta import Json, Ref, owner_reference
from controller.runtime.apply import apply
from controller.runtime.cache.informer import Watched
from controller.runtime.client.rest import Identity
from controller.runtime.client.transport import Answer, Broken, Pool, Transport, connected
from controller.runtime.errors import Unreachable
from controller.runtime.handlers import Source, for_object, for_owner
from controller.runtime.loop import Controller
from controller.runtime.manager import Kit, Runtime, running
from controller.runtime.plan import DONE, Announcement, Create, Delete, Plan, Result, Step
from localcluster.faults import When
from localcluster.testing.cluster import Cluster, a_cluster

CHILD = "child"  # label
US = "toy*"  # our User-Agent


class Line:
    """Our line to the server, which can be cut."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._reads: set[asyncio.Timeout] = set()
        self.down = False
        self.tries = 0

    def cut(self) -> None:
        """Every stream that somebody reads from breaks."""
        for read in self._reads:
            read.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None = None,
        pool: Pool = Pool.REQUEST,
    ) -> AsyncIterator[Answer]:
        self.tries += 1
        if self.down:
            raise Unreachable("the line is down")
        async with self._transport.request(method, path, query=query, headers=headers, body=body, pool=pool) as answer:
            yield _Cuttable(answer, self._reads)


class _Cuttable:
    def __init__(self, answer: Answer, reads: set[asyncio.Timeout]) -> None:
        self.status, self.headers = answer.status, answer.headers
        self._answer, self._reads = answer, reads

    async def read(self) -> bytes:
        return await self._answer.read()

    async def chunks(self) -> AsyncIterator[bytes]:
        chunks = self._answer.chunks()
        while (chunk := await self._next(chunks)) is not None:
            yield chunk

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        try:
            async with asyncio.timeout(None) as read:
                self._reads.add(read)
                try:
                    return await anext(chunks, None)
                finally:
                    self._reads.discard(read)
        except TimeoutError:
            if not read.expired():
                raise
            raise Broken("cut by the story") from None


class Toy:
    """Gives each ConfigMap as many children as its `count` wants, and tells an event when it has them."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.passes = 0
        self.names = random.Random(7)

    async def reconcile(self, key: Ref) -> Result:
        self.passes += 1
        seen = await self.kit.caches.get(CONFIG_MAPS, key.namespace, key.name)
        if seen is None or "count" not in (seen.object().get("data") or {}):
            return DONE
        owner = seen.object()
        children = await self.kit.caches.owned(CONFIG_MAPS, seen.uid)
        missing = int(owner["data"]["count"]) - len(children)
        creates = [self._create(owner) for _ in range(missing)]
        deletes = [
            Delete(CONFIG_MAPS, one.ref.namespace, one.ref.name, one.uid) for one in children[: max(0, -missing)]
        ]
        done = await apply(self.kit.client, Plan(steps=(Step((tuple(creates), tuple(deletes))),)), seen.uid)
        if not done:
            tell = self.kit.recorder.about(CONFIG_MAPS, owner, "toy")
            tell(Announcement("Normal", "Complete", "Count", f"{len(children)} children"))
        failed = next((one.error for one in done if one.error is not None), None)
        return Result(error=failed) if failed is not None else DONE

    def _create(self, owner: Json) -> Create:
        name = f"{owner['metadata']['name']}-{self.names.getrandbits(40):010x}"
        metadata = {
            "name": name,
            "namespace": owner["metadata"]["namespace"],
            "labels": {"role": CHILD},
            "ownerReferences": [owner_reference(CONFIG_MAPS, owner)],
        }
        return Create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {}})


class Operated:
    """The toy at work on a cluster."""

    def __init__(self, cluster: Cluster, line: Line, kit: Kit, toy: Toy) -> None:
        self.cluster, self.line, self.kit, self.toy = cluster, line, kit, toy

    async def want(self, name: str, count: int) -> None:
        if await self.cluster.find("ConfigMap", name) is not None:
            await self.cluster.patch("ConfigMap", name, {"data": {"count": str(count)}})
            return
        metadata = {"name": name, "namespace": "default", "labels": {"role": "owner"}}
        await self.cluster.create(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"count": str(count)}}
        )

    async def children(self) -> list[str]:
        return [one.name for one in await self.cluster.all_of("ConfigMap", labels=f"role={CHILD}")]

    async def cached(self) -> list[str]:
        return sorted(one.ref.name for one in self.kit.caches.informers(CONFIG_MAPS)[0].store.all())

    def asked(self, verb: str) -> int:
        """How many requests of ours there were of that verb, for ConfigMaps."""
        mine = [one for one in self.cluster.faults.asked if one.agent.startswith("toy/")]
        return len([one for one in mine if one.verb == verb and one.resource == "configmaps"])


@asynccontextmanager
async def operated(cluster: Cluster, **watching: Any) -> AsyncIterator[Operated]:
    toys: list[Toy] = []

    @asynccontextmanager
    async def build(kit: Kit) -> AsyncIterator[Sequence[Controller]]:
        toy = Toy(kit)
        toys.append(toy)
        parts: Any = {"clock": kit.clock, "rng": kit.rng, "metrics": kit.metrics}
        sources = [Source(CONFIG_MAPS, for_object), Source(CONFIG_MAPS, for_owner(CONFIG_MAPS))]
        yield [Controller("toy", toy, sources, **parts)]

    async with connected("http://localhost", unix_socket=str(cluster.socket)) as transport:
        line = Line(transport)
        runtime = Runtime(
            transport=line,
            watched=[Watched(CONFIG_MAPS, **({"label_selector": "role"} | watching))],
            build=build,
            clock=cluster.clock,
            rng=random.Random(1),
            identity=Identity("toy", "1"),
        )
        async with running(runtime) as kit:
            yield Operated(cluster, line, kit, toys[0])


@pytest.mark.spec("runtime:RYW-2")
async def test_with_events_four_seconds_late_there_are_never_too_many_children() -> None:
    """Invariants P1 and P3: the names are random, so only reads that wait for our own writes prevent doubles."""
    async with a_cluster(operator=False) as cluster, operated(cluster) as toy:
        with cluster.faults.lagging(4.0, resource="configmaps", agent=US):
            await toy.want("a", 20)
            await toy.want("b", 3)
            await cluster.after(60)
            assert len(await toy.children()) == 23
            await toy.want("a", 5)
            await cluster.after(60)
            assert len(await toy.children()) == 8

        assert toy.asked("create") == 23
        assert toy.asked("delete") == 15


async def test_with_events_held_back_for_longer_than_a_read_waits_there_are_never_too_many_either() -> None:
    """Invariant P2: reads give up, the key comes again, and nothing is made twice."""
    async with a_cluster(operator=False) as cluster, operated(cluster) as toy:
        await toy.want("a", 1)
        await cluster.after(1)
        with cluster.faults.lagging(30.0, resource="configmaps", agent=US):
            await toy.want("a", 6)
            await cluster.after(200)

        assert len(await toy.children()) == 6
        assert toy.asked("create") == 6
        read = toy.kit.metrics.registry.get_sample_value
        assert (read("controller_stale_read_timeouts_total", {"kind": "ConfigMap"}) or 0) >= 1


async def test_a_hanging_write_for_one_owner_does_not_delay_another() -> None:
    """Reads through an owner wait for that owner's writes only (design.md §2)."""
    async with a_cluster(operator=False) as cluster, operated(cluster) as toy:
        cluster.faults.delay(When(verb="create", resource="configmaps", name="slow-*", agent=US), 50.0)
        await toy.want("slow", 2)
        await cluster.after(1)
        await toy.want("quick", 3)
        await cluster.after(3)

        assert len([name for name in await toy.children() if name.startswith("quick")]) == 3
        await cluster.after(60)
        assert len(await toy.children()) == 5


async def test_lost_answers_make_no_doubles() -> None:
    """Of a create that went through, and of one that did not: both are looked for before anything is repeated."""
    async with a_cluster(operator=False) as cluster, operated(cluster) as toy:
        cluster.faults.drop_answer(When(verb="create", resource="configmaps", nth=2, agent=US))
        cluster.faults.drop_request(When(verb="create", resource="configmaps", nth=4, agent=US))
        await toy.want("a", 8)
        await cluster.after(60)

        assert len(await toy.children()) == 8


async def test_a_quota_that_refuses_everything_is_asked_once_a_pass_and_obeyed_when_it_goes() -> None:
    """Slow start: not a hundred refusals a pass."""
    async with a_cluster(operator=False) as cluster, operated(cluster) as toy:
        cluster.faults.refuse(
            When(verb="create", resource="configmaps", agent=US), 403, "Forbidden", "exceeded quota: q", times=None
        )
        await toy.want("a", 100)
        await cluster.after(30)
        assert toy.asked("create") == toy.toy.passes <= 20
        cluster.faults.clear()
        await cluster.after(60)

        assert len(await toy.children()) == 100


async def test_a_stream_that_breaks_is_resumed_where_it_was_without_a_list() -> None:
    """What happened in between is told then; nothing is lost and nothing is listed again."""
    async with a_cluster(operator=False) as cluster, operated(cluster) as toy:
        await toy.want("a", 2)
        await cluster.after(5)
        lists, watches = toy.asked("list"), toy.asked("watch")
        toy.line.cut()
        (gone, _) = await toy.children()
        await cluster.delete("ConfigMap", gone)
        await cluster.after(5)

        assert len(await toy.children()) == 2
        assert await toy.cached() == sorted([*await toy.children(), "a"])
        assert toy.asked("list") == lists
        assert toy.asked("watch") == watches + 1


async def test_fault_f2_a_410_with_a_deletion_in_the_gap_is_one_reload_and_the_deletion_is_acted_upon() -> None:
    """The history that held the deletion is gone; the reload tells that it happened."""
    async with a_cluster(operator=False) as cluster, operated(cluster) as toy:
        await toy.want("a", 2)
        await cluster.after(5)
        opened = toy.asked("watch") + toy.asked("list")
        toy.line.down = True
        toy.line.cut()
        (gone, _) = await toy.children()
        await cluster.delete("ConfigMap", gone)
        await toy.want("other", 0)
        cluster.server.compact()
        toy.line.down = False
        await cluster.after(30)

        children = await toy.children()
        assert len(children) == 2
        assert gone not in children
        assert await toy.cached() == sorted([*children, "a", "other"])
        # The watch that met the 410, and the WatchList that reloaded and goes on.
        assert toy.asked("watch") + toy.asked("list") == opened + 2


async def test_fault_f4_a_server_whose_cache_lags_is_asked_without_a_version_at_once() -> None:
    """After a switch of API servers; the answer is not a long wait."""
    async with a_cluster(operator=False) as cluster, operated(cluster) as toy:
        await toy.want("a", 1)
        await cluster.after(5)
        cluster.faults.refuse(
            When(verb="watch", resource="configmaps", agent=US),
            504,
            "Timeout",
            "Too large resource version: 99999, current: 5",
        )
        toy.line.cut()
        await toy.want("a", 3)
        await cluster.after(4)

        assert len(await toy.children()) == 3


@pytest.mark.spec("runtime:REF-11")
async def test_fault_f7_a_throttled_watch_waits_as_told_and_goes_on() -> None:
    """No list, and not before its time."""
    async with a_cluster(operator=False) as cluster, operated(cluster) as toy:
        await toy.want("a", 1)
        await cluster.after(5)
        lists = toy.asked("list")
        cluster.faults.refuse(
            When(verb="watch", resource="configmaps", agent=US), 429, "TooManyRequests", retry_after_seconds=20
        )
        toy.line.cut()
        await toy.want("a", 2)
        await cluster.after(15)
        assert len(await toy.children()) == 1
        await cluster.after(15)

        assert len(await toy.children()) == 2
        assert toy.asked("list") == lists


async def test_fault_f9_ten_minutes_without_a_server_cost_few_tries_and_no_list() -> None:
    """And what changed meanwhile is dealt with afterwards."""
    async with a_cluster(operator=False) as cluster, operated(cluster) as toy:
        await toy.want("a", 1)
        await cluster.after(5)
        lists, before = toy.asked("list"), toy.line.tries
        toy.line.down = True
        toy.line.cut()
        await toy.want("a", 3)
        await cluster.after(600)
        assert toy.line.tries - before <= 30
        toy.line.down = False
        await cluster.after(70)

        assert len(await toy.children()) == 3
        assert toy.asked("list") == lists


@pytest.mark.parametrize("watch_list", [True, False])
@pytest.mark.parametrize("metadata_only", [True, False])
async def test_fault_f1_twelve_hundred_objects_come_in_once_each(watch_list: bool, metadata_only: bool) -> None:
    """By WatchList or by list, whole or metadata only; foreign objects are never transferred."""
    async with a_cluster(operator=False) as cluster:
        for n in range(1200):
            await cluster.api.create(
                "configmaps",
                "default",
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": f"c{n}", "labels": {"role": "x"} if n else {}},
                    "data": {"key": "value"},
                },
            )
        async with operated(cluster, watch_list=watch_list, metadata_only=metadata_only) as toy:
            store = toy.kit.caches.informers(CONFIG_MAPS)[0].store
            assert len(store) == 1199
            one = store.all()[0].object()
            assert one["kind"] == "ConfigMap"
            assert "managedFields" not in one["metadata"]
            assert ("data" in one) is not metadata_only
            await cluster.after(5)
            assert toy.toy.passes == 1199
            assert toy.asked("watch") == 1 if watch_list else toy.asked("list") == 1


async def test_a_quiet_system_asks_nothing_but_its_watches() -> None:
    """An hour in which nothing happens: a handful of watches opened anew, no list, no get, no write."""
    async with a_cluster(operator=False) as cluster, operated(cluster) as toy:
        await toy.want("a", 3)
        await cluster.after(10)
        before = len(cluster.faults.asked)
        passes = toy.toy.passes
        await cluster.after(3600)

        asked = [one.verb for one in cluster.faults.asked[before:] if one.agent.startswith("toy/")]
        assert set(asked) == {"watch"}
        assert 6 <= len(asked) <= 13
        assert toy.toy.passes == passes


async def test_an_event_is_seen_in_both_of_its_apis() -> None:
    """Recorded in events.k8s.io/v1, read by users as core/v1."""
    async with a_cluster(operator=False) as cluster, operated(cluster) as toy:
        await toy.want("a", 2)
        await cluster.after(10)

        (told,) = await cluster.events("a")
        assert (told["reason"], told["message"], told["type"]) == ("Complete", "2 children", "Normal")
        assert told["reportingComponent"] == "toy"


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_breaks_in_whatever_order_the_number_of_children_is_right_in_the_end(seed: int) -> None:
    """Random wishes, cuts, lost answers, refusals, lags and forgotten histories (invariants I1, P3)."""
    chance = random.Random(seed)
    async with a_cluster(operator=False, seed=seed) as cluster, operated(cluster) as toy:
        wanted: dict[str, int] = {}
        for _ in range(25):
            name = chance.choice("abc")
            match chance.randrange(7):
                case 0:
                    toy.line.cut()
                case 1:
                    cluster.faults.drop_answer(When(verb=chance.choice(["create", "delete"]), agent=US, nth=1))
                case 2:
                    cluster.faults.drop_request(When(verb=chance.choice(["create", "delete"]), agent=US, nth=1))
                case 3:
                    cluster.faults.refuse(When(writes=True, agent=US, nth=2), chance.choice([429, 500, 403]), times=2)
                case 4:
                    toy.line.down = True
                    toy.line.cut()
                    await cluster.after(chance.uniform(0, 20))
                    cluster.server.compact()
                    toy.line.down = False
                case _:
                    wanted[name] = chance.randrange(8)
                    await toy.want(name, wanted[name])
            with cluster.faults.lagging(chance.choice([0.0, 0.5, 3.0]), resource="configmaps", agent=US):
                await cluster.after(chance.uniform(0, 8))
        cluster.faults.clear()
        await cluster.after(1200)

        assert len(await toy.children()) == sum(wanted.values())
        assert await toy.cached() == sorted([*await toy.children(), *wanted])
        assert list(toy.kit.client.ledger) == []
        assert toy.kit.client.ledger.expired == 0
