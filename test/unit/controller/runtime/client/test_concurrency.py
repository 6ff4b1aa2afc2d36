"""How many writes may be on their way at once: fewer when the server says so, and slowly more again."""

from __future__ import annotations

import asyncio
import random

import pytest

from api.core import PODS
from api.meta import Json
from controller.runtime.client.concurrency import Concurrency, Turn
from controller.runtime.client.rest import Identity, RestClient
from controller.runtime.clock import SystemClock
from localcluster.testing.scripted_api import Exchange, ScriptedTransport

pytestmark = pytest.mark.looptime


class Crowd:
    """Writes that hold their turns until they are told how it went."""

    def __init__(self, limits: Concurrency) -> None:
        self.limits = limits
        self.under_way: list[tuple[Turn, asyncio.Event]] = []

    async def one(self) -> None:
        async with self.limits.turn() as turn:
            done = asyncio.Event()
            self.under_way.append((turn, done))
            await done.wait()

    async def end(self, number: int, *, well: bool) -> None:
        """The oldest so many end; whoever waits gets their turns."""
        for _ in range(number):
            turn, done = self.under_way.pop(0)
            turn.went_well() if well else turn.refused()
            done.set()
        await asyncio.sleep(0.001)


@pytest.mark.spec("runtime:CLI-19")
async def test_a_refused_round_halves_the_limit_once_and_each_good_round_gives_one_back() -> None:
    """Eight met the same full server: that is one piece of news, not eight."""
    limits = Concurrency(8)
    crowd = Crowd(limits)
    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(crowd.one())
        await asyncio.sleep(0.001)
        assert len(crowd.under_way) == 8

        await crowd.end(8, well=False)
        assert (limits.limit, len(crowd.under_way)) == (4, 4)
        await crowd.end(4, well=False)
        assert (limits.limit, len(crowd.under_way)) == (2, 2)
        await crowd.end(2, well=True)
        assert (limits.limit, len(crowd.under_way)) == (3, 3)
        await crowd.end(3, well=True)
        assert (limits.limit, len(crowd.under_way)) == (4, 4)

        while crowd.under_way:
            await crowd.end(len(crowd.under_way), well=True)
    assert limits.limit == 8, "never more than at the start"


async def test_one_write_at_a_time_is_the_least() -> None:
    limits = Concurrency(2)
    for _ in range(5):
        async with limits.turn() as turn:
            turn.refused()

    assert limits.limit == 1


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_no_more_leave_than_may_and_none_is_forgotten(seed: int) -> None:
    """Refusals, successes and cancelled waits in any order: a turn is neither doubled nor lost."""
    chance = random.Random(seed)
    limits = Concurrency(5)
    at_once = done = 0

    async def one() -> None:
        nonlocal at_once, done
        try:
            async with asyncio.timeout(chance.choice((0.5, 50))), limits.turn() as turn:
                at_once += 1
                assert at_once <= 5
                try:
                    await asyncio.sleep(chance.random())
                    chance.choice((turn.refused, turn.went_well, turn.went_well, lambda: None))()
                finally:
                    at_once -= 1
        except TimeoutError:
            pass
        done += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(200):
            group.create_task(one())
            await asyncio.sleep(chance.random() / 5)

    assert done == 200
    for _ in range(50):  # what is left of the limit is really there, and grows to what it was
        async with asyncio.timeout(1), limits.turn() as turn:
            turn.went_well()
    assert limits.limit == 5
    async with asyncio.timeout(1), limits.turn(), limits.turn(), limits.turn(), limits.turn(), limits.turn():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1), limits.turn():
                pass


@pytest.mark.spec("runtime:CLI-19")
async def test_a_herd_of_writes_finds_how_many_the_server_takes() -> None:
    """It takes ten at once, and refuses more with 429: after the first moments few are refused, and all get through."""
    busy = refused = 0

    async def serve(exchange: Exchange) -> None:
        nonlocal busy, refused
        if busy >= 10:
            refused += 1
            exchange.refuse(429, "TooManyRequests", headers={"Retry-After": "1"})
            return
        busy += 1
        await asyncio.sleep(0.1)
        busy -= 1
        body: Json = exchange.body
        exchange.answer(body, 201)

    async with asyncio.TaskGroup() as group:
        wire = ScriptedTransport(lambda exchange: [group.create_task(serve(exchange))].clear())
        client = RestClient(wire, clock=SystemClock(), identity=Identity("op", "1"))
        herd = [
            group.create_task(client.create(PODS, {"metadata": {"namespace": "ns", "name": f"p{n}"}}))
            for n in range(2000)
        ]

    assert all(one.result()["metadata"]["name"] for one in herd)
    assert len(wire.log) == 2000 + refused
    assert refused < 300  # without it, writes fail after eleven refusals each
