"""The runtime against the local API server, over HTTP, in virtual time: what comes in, and what comes in after a fault.

The controller is a toy (localcluster.testing.toy): a ConfigMap that wants so many children gets them, under names that
are random, so nothing but reading our own writes keeps it from making too many.
"""

from __future__ import annotations

import random

import pytest

from api.core import CONFIG_MAPS
from localcluster.faults import When
from localcluster.testing.cluster import a_cluster
from localcluster.testing.toy import US, operated


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
        assert toy.line.tries - before <= 20
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


@pytest.mark.spec("runtime:REF-13")
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
