"""Faults do what they say, as a client over the wire sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from localcluster.faults import Crash, When
from localcluster.testing.cluster import Cluster, a_cluster

MAPS = "http://localhost/api/v1/namespaces/default/configmaps"


@asynccontextmanager
async def a_client(cluster: Cluster, agent: str = "story/1") -> AsyncIterator[aiohttp.ClientSession]:
    """A client of its own, over the socket."""
    connector = aiohttp.UnixConnector(str(cluster.socket))
    async with aiohttp.ClientSession(
        connector=connector, headers={"User-Agent": agent}, timeout=aiohttp.ClientTimeout(total=None)
    ) as session:
        yield session


def a_map(name: str) -> dict[str, Any]:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}


async def post(session: aiohttp.ClientSession, name: str) -> tuple[int, dict[str, Any]]:
    """Create one; code and body."""
    async with session.post(MAPS, json=a_map(name)) as response:
        return response.status, await response.json()


@pytest.mark.spec("runtime:TST-2")
async def test_the_nth_request_that_fits_is_refused_and_no_other() -> None:
    """With the words and the wait that the story chose."""
    async with a_cluster(operator=False) as cluster, a_client(cluster) as session:
        when = When(verb="create", resource="configmaps", nth=2)
        cluster.faults.refuse(when, 429, "TooManyRequests", "slow down", retry_after_seconds=7)

        assert (await post(session, "a"))[0] == 201
        async with session.post(MAPS, json=a_map("b")) as response:
            assert response.status == 429
            assert response.headers["Retry-After"] == "7"
            assert (await response.json())["message"] == "slow down"
        assert (await post(session, "b"))[0] == 201

        assert [(one.verb, one.name, one.code) for one in cluster.faults.asked] == [
            ("create", "a", 201),
            ("create", "b", 429),
            ("create", "b", 201),
        ]


@pytest.mark.spec("runtime:TST-2")
async def test_a_dropped_request_never_happened_and_a_dropped_answer_did() -> None:
    """The client cannot tell them apart."""
    async with a_cluster(operator=False) as cluster, a_client(cluster) as session:
        cluster.faults.drop_request(When(name="a"))
        cluster.faults.drop_answer(When(name="b"))

        for name in ("a", "b"):
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await post(session, name)

        assert await cluster.find("ConfigMap", "a") is None
        assert await cluster.find("ConfigMap", "b") is not None


async def test_a_replayed_create_answers_that_it_exists() -> None:
    """The second answer is what the client gets."""
    async with a_cluster(operator=False) as cluster, a_client(cluster) as session:
        cluster.faults.replay(When(verb="create"))

        code, body = await post(session, "a")

        assert (code, body["reason"]) == (409, "AlreadyExists")
        assert await cluster.find("ConfigMap", "a") is not None


async def test_a_delayed_request_takes_effect_later() -> None:
    """In virtual time."""
    async with a_cluster(operator=False) as cluster, a_client(cluster) as session:
        cluster.faults.delay(When(verb="create"), 30)
        before = cluster.elapsed

        assert (await post(session, "a"))[0] == 201

        assert (cluster.elapsed - before).total_seconds() == pytest.approx(30, abs=1)


@pytest.mark.parametrize(
    ("at", "applied", "answered"), [("before", False, False), ("after", True, False), ("answered", True, True)]
)
async def test_a_crash_strikes_at_an_exact_write(at: Crash, applied: bool, answered: bool) -> None:
    """Before it took effect, after it, or after its answer; reads do not count."""
    async with a_cluster(operator=False) as cluster, a_client(cluster) as session:
        crashes = 0

        def crashed() -> None:
            nonlocal crashes
            crashes += 1

        cluster.faults.crashed = crashed
        cluster.faults.crash(When(writes=True, agent="story*", nth=2), at)
        assert (await post(session, "a"))[0] == 201
        async with session.get(MAPS) as response:
            assert response.status == 200
        assert crashes == 0

        try:
            code, _ = await post(session, "b")
        except aiohttp.ServerDisconnectedError:
            code = 0

        assert (code == 201) is answered
        assert (await cluster.find("ConfigMap", "b") is not None) is applied
        assert crashes == 1


async def test_a_lagging_watch_tells_late_and_one_of_another_kind_at_once() -> None:
    """Controllers and node are not behind: only what comes over HTTP is."""
    async with a_cluster(operator=False) as cluster, a_client(cluster) as session:
        with cluster.faults.lagging(20, resource="configmaps"):
            url = MAPS + "?watch=true&resourceVersion=" + await _version(session)
            async with session.get(url) as stream:
                await cluster.create(a_map("late"))
                before = cluster.elapsed

                event = json.loads(await stream.content.readline())

        assert event["object"]["metadata"]["name"] == "late"
        assert (cluster.elapsed - before).total_seconds() == pytest.approx(20, abs=1)


async def test_a_held_watch_tells_everything_at_the_end() -> None:
    """In order, nothing lost."""
    async with a_cluster(operator=False) as cluster, a_client(cluster) as session:
        url = MAPS + "?watch=true&resourceVersion=" + await _version(session)
        async with session.get(url) as stream:
            with cluster.faults.holding_watches(resource="configmaps"):
                for name in ("a", "b"):
                    await cluster.create(a_map(name))
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(600):
                        await stream.content.readline()

            names = [json.loads(await stream.content.readline())["object"]["metadata"]["name"] for _ in range(2)]

        assert names == ["a", "b"]


async def test_a_cut_watch_breaks_for_its_client_and_no_other() -> None:
    """After a compaction its old version is too old."""
    async with a_cluster(operator=False) as cluster, a_client(cluster) as session, a_client(cluster, "other") as other:
        version = await _version(session)
        url = f"{MAPS}?watch=true&resourceVersion={version}"
        async with session.get(url) as stream, other.get(url) as kept:
            assert cluster.faults.cut_watches(agent="story*") == 1
            with pytest.raises(aiohttp.ClientPayloadError):
                await stream.content.readline()
            await cluster.create(a_map("a"))
            assert json.loads(await kept.content.readline())["type"] == "ADDED"
        await cluster.create(a_map("b"))
        cluster.server.compact()

        async with session.get(url) as stream:
            event = json.loads(await stream.content.readline())

        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
        assert not cluster.faults.watches


async def _version(session: aiohttp.ClientSession) -> str:
    async with session.get(MAPS) as response:
        return str((await response.json())["metadata"]["resourceVersion"])


@pytest.mark.parametrize(("times", "codes"), [(1, [409, 201, 201]), (2, [409, 409, 201]), (None, [409, 409, 409])])
async def test_a_fault_strikes_as_often_as_it_was_told_to(times: int | None, codes: list[int]) -> None:
    """Once by default; with None for ever."""
    async with a_cluster(operator=False) as cluster, a_client(cluster) as session:
        cluster.faults.refuse(When(verb="create", resource="configmaps"), 409, "Conflict", "no", times=times)

        assert [(await post(session, f"m{number}"))[0] for number in range(3)] == codes
