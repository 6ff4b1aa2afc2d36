"""A second thread with its own loop: entered and left as if it stood here. In real time: it is about threads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from controller.runtime.beside import beside

pytestmark = [pytest.mark.looptime(False), pytest.mark.timeout(20)]


class Block:
    """Says what happens to it, and where."""

    def __init__(self, *, fails_at_entry: bool = False, hangs_at_entry: bool = False) -> None:
        self.story: list[str] = []
        self.fall = asyncio.Event()
        self._fails, self._hangs = fails_at_entry, hangs_at_entry

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[str]:
        self.story.append(f"entering on {threading.current_thread().name}")
        try:
            if self._fails:
                raise LookupError("cannot start")
            if self._hangs:
                await asyncio.sleep(1000)
            async with asyncio.TaskGroup() as group:
                ticking = group.create_task(self._tick())
                yield "value"
                ticking.cancel()
        finally:
            self.story.append("left")

    async def _tick(self) -> None:
        await self.fall.wait()
        raise LookupError("it fell")


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == "other"]


async def test_the_other_block_is_open_while_this_one_is() -> None:
    block = Block()
    async with beside(block, name="other") as other:
        assert other.value == "value"
        assert block.story == ["entering on other"]
        assert threads() == ["other"]

    assert block.story[-1] == "left"
    assert threads() == []


async def test_work_runs_there_while_this_loop_stands_still() -> None:
    """What it is for: the other loop goes on."""
    ticks: list[float] = []

    async def work() -> None:
        for _ in range(10):
            ticks.append(time.monotonic())
            await asyncio.sleep(0.01)

    async with beside(Block(), name="other") as other, asyncio.TaskGroup() as group:
        group.create_task(other.run(work))
        await asyncio.sleep(0)
        time.sleep(0.5)  # noqa: ASYNC251 - stands still on purpose
        assert len(ticks) == 10


async def test_work_that_is_cancelled_here_is_cancelled_there() -> None:
    ended = threading.Event()
    begun = asyncio.Event()
    ours = asyncio.get_running_loop()

    async def work() -> None:
        ours.call_soon_threadsafe(begun.set)
        try:
            await asyncio.sleep(1000)
        finally:
            ended.set()

    async with beside(Block(), name="other") as other:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(other.run(work))
            await begun.wait()
            task.cancel()
        assert await asyncio.to_thread(ended.wait, 5)


async def test_what_work_raises_is_raised_here() -> None:
    async def work() -> None:
        raise LookupError("no")

    async with beside(Block(), name="other") as other:
        with pytest.raises(LookupError):
            await other.run(work)


async def test_an_entry_that_fails_fails_here() -> None:
    with pytest.raises(LookupError, match="cannot start"):
        async with beside(Block(fails_at_entry=True), name="other"):
            pytest.fail("entered")

    assert threads() == []


async def test_a_block_that_falls_ends_this_one() -> None:
    block = Block()

    async def whole() -> None:
        async with beside(block, name="other") as other:
            other.loop.call_soon_threadsafe(block.fall.set)
            await asyncio.sleep(1000)

    with pytest.raises(ExceptionGroup) as caught:
        await whole()

    assert caught.value.subgroup(LookupError) is not None
    assert threads() == []


async def test_whoever_does_not_want_to_wait_for_the_entry_leaves_nothing_behind() -> None:
    block = Block(hangs_at_entry=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2), beside(block, name="other"):
            pytest.fail("entered")

    assert block.story[-1] == "left"
    assert threads() == []
