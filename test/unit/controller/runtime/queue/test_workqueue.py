"""The queue around its line: workers that wait, the timer, the end."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest

from controller.runtime.clock import SystemClock
from controller.runtime.metrics import Metrics
from controller.runtime.queue.workqueue import ShutDown, WorkQueue

pytestmark = pytest.mark.looptime


def a_queue(metrics: Metrics | None = None) -> WorkQueue[str]:
    return WorkQueue("q", clock=SystemClock(), rng=random.Random(1), metrics=metrics or Metrics())


def now() -> float:
    return asyncio.get_running_loop().time()


async def held(queue: WorkQueue[str]) -> str:
    async with queue.hold() as one:
        return one.key


@pytest.mark.spec("runtime:WQ-4")
async def test_a_worker_that_stops_waiting_takes_no_key_with_it() -> None:
    """Cancelled in the same step in which the key came: somebody else gets it."""
    queue = a_queue()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(held(queue))
        second = group.create_task(held(queue))
        await asyncio.sleep(1)
        queue.add("a")
        first.cancel()
        await asyncio.sleep(1)

        assert second.result() == "a"


async def test_a_key_added_while_it_is_held_waits_again_when_the_block_ends() -> None:
    """Also when the block ends with an exception."""
    queue = a_queue()
    queue.add("a")

    async def fail() -> None:
        async with queue.hold():
            queue.add("a")
            assert queue.statistics().ready == 0, "never two at a time"
            raise RuntimeError("by the worker")

    with pytest.raises(RuntimeError, match="by the worker"):
        await fail()

    assert await held(queue) == "a"
    assert queue.statistics().in_work == 0


@pytest.mark.spec("runtime:WQ-10")
async def test_no_delay_is_longer_than_a_day() -> None:
    """A timer that is too far off may never ring."""
    queue = a_queue()
    queue.add("a", after=timedelta(days=1000))
    started = now()

    assert await held(queue) == "a"
    assert now() - started == pytest.approx(86_400)


@pytest.mark.spec("runtime:WQ-6")
async def test_a_retried_key_keeps_its_priority() -> None:
    """Or one key's failures would send it behind what is less important."""
    queue = a_queue()
    queue.retry("a", priority=5)
    await asyncio.sleep(1)

    async with queue.hold() as one:
        assert (one.key, one.priority) == ("a", 5)


@pytest.mark.spec("runtime:WQ-6")
async def test_of_two_wishes_the_higher_priority_holds() -> None:
    """Whichever came first, while the key waits and while it is in work."""
    queue = a_queue()
    for first, second in ((5, 0), (0, 5)):
        queue.add("a", after=timedelta(seconds=1), priority=first)
        queue.add("a", after=timedelta(seconds=1), priority=second)
        async with queue.hold() as one:
            assert one.priority == 5
            queue.add("a", priority=first)
            queue.add("a", priority=second)
        async with queue.hold() as again:
            assert again.priority == 5


@pytest.mark.spec("runtime:WQ-2", "runtime:WQ-10")
async def test_a_delayed_key_comes_when_its_time_has_come_and_of_two_wishes_the_earlier_wins() -> None:
    """One timer, for whichever is first."""
    queue = a_queue()
    queue.add("later", after=timedelta(seconds=50))
    queue.add("a", after=timedelta(seconds=90))
    queue.add("a", after=timedelta(seconds=10))
    started = now()

    assert await held(queue) == "a"
    assert now() - started == pytest.approx(10)
    assert await held(queue) == "later"
    assert now() - started == pytest.approx(50)


@pytest.mark.spec("runtime:WQ-3", "runtime:WQ-12")
async def test_a_retried_key_waits_longer_each_time_and_never_for_good() -> None:
    """forget resets the back-off and does not take the key away."""
    queue = a_queue()
    waits = []
    for _ in range(30):
        waits.append(queue.retry("a").total_seconds())
        await held(queue)
    queue.forget("a")

    assert waits[5] > 4 * waits[2]
    assert waits[-1] == pytest.approx(1000, rel=0.1)
    assert queue.failures("a") == 0
    assert queue.retry("a") < timedelta(milliseconds=6)


@pytest.mark.spec("runtime:WQ-11")
async def test_the_end_drops_what_waits_and_lets_what_is_held_finish() -> None:
    """Every worker is told, present and later; adds are ignored and counted."""
    queue = a_queue()
    queue.add("a")
    finished = asyncio.Event()

    async def work() -> None:
        async with queue.hold():
            await asyncio.sleep(20)
        finished.set()

    async def wait() -> None:
        with pytest.raises(ShutDown):
            await held(queue)

    async with asyncio.TaskGroup() as group:
        group.create_task(work())
        await asyncio.sleep(1)
        queue.add("b", after=timedelta(seconds=5))
        group.create_task(wait())
        await asyncio.sleep(1)

        assert await queue.drain(timedelta(seconds=60)) == ()
        assert finished.is_set()
        assert now() == pytest.approx(20, abs=1)
    queue.add("c")
    with pytest.raises(ShutDown):
        await held(queue)
    assert queue.statistics().ignored_adds == 1


async def test_a_drain_ends_at_its_deadline_and_names_what_is_still_held() -> None:
    """Invariant Q6."""
    queue = a_queue()
    queue.add("a")
    async with asyncio.TaskGroup() as group:

        async def work() -> None:
            async with queue.hold():
                await asyncio.sleep(600)

        task = group.create_task(work())
        await asyncio.sleep(1)
        started = now()
        assert await queue.drain(timedelta(seconds=30)) == ["a"]
        assert now() - started == pytest.approx(30)
        task.cancel()


@pytest.mark.spec("runtime:WQ-13")
async def test_the_statistics_show_states_levels_ages_and_the_longest_running() -> None:
    """What tests and debuggers read instead of private fields."""
    queue = a_queue()
    queue.add("run")
    async with queue.hold():
        queue.add("a")
        queue.add("low", priority=-100)
        queue.add("later", after=timedelta(seconds=60))
        await asyncio.sleep(7)
        seen = queue.statistics()

    assert (seen.ready, seen.waiting, seen.in_work) == (2, 1, 1)
    assert seen.ready_by_priority == {0: 1, -100: 1}
    assert seen.oldest_ready_seconds == pytest.approx(7)
    assert [(key, round(seconds)) for key, seconds in seen.longest_running] == [("run", 7)]


async def test_the_figures_have_the_names_of_the_reference() -> None:
    """Dashboards look them up; a duplicate add is not counted."""
    metrics = Metrics()
    queue = a_queue(metrics)
    labels = {"name": "q", "controller": "q"}
    queue.add("a")
    queue.add("a")
    queue.add("b", priority=5)
    read = metrics.registry.get_sample_value

    assert read("workqueue_adds_total", labels) == 2
    assert read("workqueue_depth", {**labels, "priority": "0"}) == 1
    assert read("workqueue_depth", {**labels, "priority": "5"}) == 1
    async with queue.hold() as one:
        assert one.key == "b"
        await asyncio.sleep(3)
        assert read("workqueue_unfinished_work_seconds", labels) == pytest.approx(3)
        assert read("workqueue_longest_running_processor_seconds", labels) == pytest.approx(3)
    queue.retry("b")
    assert read("workqueue_work_duration_seconds_sum", labels) == pytest.approx(3)
    assert read("workqueue_queue_duration_seconds_count", labels) == 1
    assert read("workqueue_retries_total", labels) == 1
