"""Who holds the loop is told. In real time, since a thread looks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from controller.runtime.blocking import blocking_told
from controller.runtime.metrics import Metrics

EVERY, HELD = 0.005, 0.05
LONG = 0.5  # no busy machine holds a thread up for that long


@pytest.fixture
def told() -> Iterator[threading.Event]:
    """Set once something was logged: the log is written by the watching thread."""
    event = threading.Event()

    def note(logger: object, method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
        lines.append(line)
        event.set()
        raise structlog.DropEvent

    lines.clear()
    before = structlog.get_config()
    structlog.configure(processors=[note], cache_logger_on_first_use=False)
    yield event
    structlog.configure(**before)


lines: list[structlog.typing.EventDict] = []


def computing(until: threading.Event) -> bool:
    """Holds the loop until it has been told, or for as long as a test may take."""
    return until.wait(10)


@pytest.mark.spec("runtime:CTL-8")
async def test_a_task_that_holds_the_loop_is_named_with_its_stack(told: threading.Event) -> None:
    """Once for each time, however long it holds it."""
    metrics = Metrics()

    async def reconcile() -> None:
        assert computing(told)
        assert not threading.Event().wait(5 * HELD)

    with blocking_told(metrics, every=EVERY, held=HELD):
        async with asyncio.TaskGroup() as group:
            group.create_task(reconcile(), name="raycluster-controller ns/a")

    # On a busy machine the test's own task may be held up beside it.
    (line,) = (one for one in lines if one["task"] == "raycluster-controller ns/a")
    assert line["event"] == "the event loop is held up"
    assert "in computing" in line["stack"]
    assert "/asyncio/" not in line["stack"]
    assert metrics.loop_blocked.value == len(lines)


def watching() -> bool:
    return any(one.name == "loop watch" for one in threading.enumerate())


async def test_the_thread_ends_with_its_block() -> None:
    """Also while it waits for its next look."""
    with blocking_told(Metrics(), every=3600):
        assert watching()

    assert not watching()


async def test_the_end_of_the_block_is_not_taken_for_a_task_that_holds_the_loop(told: threading.Event) -> None:
    """The loop's thread waits for the watching one then, which may just have asked for a sign of life."""
    metrics, loop = Metrics(), asyncio.get_running_loop()
    asked = threading.Event()
    ask = loop.call_soon_threadsafe

    def heard(*arguments: Any, **options: Any) -> asyncio.Handle:
        handle = ask(*arguments, **options)
        asked.set()
        return handle

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop, "call_soon_threadsafe", heard)
        with blocking_told(metrics, every=EVERY, held=LONG):
            assert asked.wait(10)

    assert (lines, metrics.loop_blocked.value) == ([], 0)
