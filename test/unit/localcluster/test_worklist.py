"""Keys are looked at as often as needed and never twice at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from localcluster.api import Refusal
from localcluster.worklist import Worklist

pytestmark = pytest.mark.looptime


@asynccontextmanager
async def working(look: Callable[[str], Awaitable[float | None]]) -> AsyncIterator[Worklist[str]]:
    """A list at work."""
    async with asyncio.TaskGroup() as group:
        work = Worklist(look)
        task = group.create_task(work.run())
        yield work
        task.cancel()


async def test_a_key_added_often_is_looked_at_once() -> None:
    """As long as it waits."""
    looked: list[str] = []

    async def look(key: str) -> None:
        looked.append(key)

    async with working(look) as work:
        for _ in range(5):
            work.add("k")
        await asyncio.sleep(1)

    assert looked == ["k"]


async def test_a_key_added_while_it_is_looked_at_is_looked_at_again_afterwards() -> None:
    """Never at the same time."""
    now, most, looks = 0, 0, 0

    async def look(key: str) -> None:
        nonlocal now, most, looks
        now, looks = now + 1, looks + 1
        most = max(most, now)
        await asyncio.sleep(10)
        now -= 1

    async with working(look) as work:
        work.add("k")
        await asyncio.sleep(5)
        work.add("k")
        work.add("k")
        await asyncio.sleep(60)

    assert (looks, most) == (2, 1)


async def test_a_look_says_when_to_look_again() -> None:
    """None: not by itself."""
    times: list[float] = []

    async def look(key: str) -> float | None:
        times.append(round(asyncio.get_running_loop().time() - begun))
        return 30 if len(times) < 3 else None

    begun = asyncio.get_running_loop().time()
    async with working(look) as work:
        work.add("k")
        await asyncio.sleep(600)

    assert times == [0, 30, 60]


async def test_a_refusal_is_tried_again_with_growing_waits() -> None:
    """Until it goes well."""
    times: list[float] = []

    async def look(key: str) -> None:
        times.append(round(asyncio.get_running_loop().time() - begun, 2))
        if len(times) < 5:
            raise Refusal(500, "InternalError", "not now")

    begun = asyncio.get_running_loop().time()
    async with working(look) as work:
        work.add("k")
        await asyncio.sleep(600)

    assert times == [0, 0.05, 0.15, 0.35, 0.75]


async def test_a_bug_is_not_hidden() -> None:
    """It ends the run."""

    async def look(key: str) -> None:
        raise KeyError(key)

    async def a_run() -> None:
        async with working(look) as work:
            work.add("k")
            await asyncio.sleep(1)

    with pytest.raises(ExceptionGroup):
        await a_run()
