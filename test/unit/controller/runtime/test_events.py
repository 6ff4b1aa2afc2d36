"""Events for users: best effort, a few writes for any number of repetitions. The test is the server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Literal

import pytest

from api.core import PODS
from controller.runtime.background import background
from controller.runtime.client.rest import Identity, RestClient
from controller.runtime.clock import LoopClock
from controller.runtime.events import Recorder
from controller.runtime.metrics import Metrics
from controller.runtime.plan import Announcement
from localcluster.testing.scripted_api import Exchange, ScriptedTransport

pytestmark = pytest.mark.looptime

POD = {"metadata": {"name": "a", "namespace": "ns", "uid": "u"}}


def said(
    note: str = "made it", reason: str = "Created", type_: Literal["Normal", "Warning"] = "Normal"
) -> Announcement:
    return Announcement(type_, reason, "Create", note)


def accept(exchange: Exchange) -> None:
    exchange.answer({"kind": "Event", "metadata": {"name": "e"}}, 201)


class Recording:
    def __init__(self, respond: Callable[[Exchange], None]) -> None:
        clock = LoopClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.wire = ScriptedTransport(respond)
        self.metrics = Metrics()
        client = RestClient(self.wire, clock=clock, identity=Identity("op", "1"))
        self.recorder = Recorder(client, clock=clock, rng=random.Random(1), metrics=self.metrics, instance="op-1")
        self.announce = self.recorder.about(PODS, POD, "pod-controller")

    def sent(self) -> list[tuple[str, Any]]:
        return [(exchange.method, exchange.body) for exchange in self.wire.log]

    def dropped(self, cause: str) -> float | None:
        return self.metrics.registry.get_sample_value("events_dropped_total", {"cause": cause})


@asynccontextmanager
async def recording(respond: Callable[[Exchange], None] = accept) -> AsyncIterator[Recording]:
    at = Recording(respond)
    async with background(("events", at.recorder.run())):
        yield at


@pytest.mark.spec("runtime:EVT-5", "runtime:EVT-6")
async def test_an_event_says_who_reports_what_about_whom() -> None:
    """events.k8s.io/v1, in the namespace of its object, under a name of its own."""
    async with recording() as at:
        at.announce(said())
        at.announce(said(reason="Other"))
        await asyncio.sleep(1)

    (sent, other) = at.wire.log
    assert (sent.method, sent.path) == ("POST", "/apis/events.k8s.io/v1/namespaces/ns/events")
    assert sent.body["metadata"]["name"].startswith("a.")
    assert sent.body["metadata"]["name"] != other.body["metadata"]["name"]
    assert {key: sent.body[key] for key in sent.body if key != "metadata"} == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "pod-controller",
        "reportingInstance": "op-1",
        "type": "Normal",
        "reason": "Created",
        "action": "Create",
        "note": "made it",
        "regarding": {"apiVersion": "v1", "kind": "Pod", "namespace": "ns", "name": "a", "uid": "u"},
    }


@pytest.mark.spec("runtime:EVT-2")
async def test_a_thousand_repetitions_in_two_hours_are_a_handful_of_writes_and_the_last_count_is_right() -> None:
    """Writes <= 2 + t / 30 min + 1; the note is no part of what makes a series."""
    async with recording() as at:
        for n in range(1000):
            at.announce(said(note=f"try {n}"))
            await asyncio.sleep(7.2)
        await asyncio.sleep(400)

    methods = [method for method, _ in at.sent()]
    assert methods[:2] == ["POST", "PATCH"]
    assert at.sent()[1][1]["series"]["count"] == 2
    assert at.sent()[-1][1]["series"]["count"] == 1000
    assert len(methods) <= 2 + 4 + 1


async def test_after_six_quiet_minutes_the_same_thing_is_a_new_event() -> None:
    """The series is closed, and forgotten."""
    async with recording() as at:
        at.announce(said())
        await asyncio.sleep(361)
        at.announce(said())
        await asyncio.sleep(1)

    assert [method for method, _ in at.sent()] == ["POST", "POST"]


@pytest.mark.spec("runtime:EVT-1")
async def test_recording_never_blocks_and_drops_what_is_too_much() -> None:
    """A thousand wait at most; the newest are dropped and counted."""
    at = Recording(accept)

    for n in range(1010):
        at.announce(said(reason=f"R{n}"))

    assert at.dropped("overflow") == 10
    assert at.wire.log == []
    async with background(("events", at.recorder.run())):
        await at.recorder.flush()
    assert [body["reason"] for _, body in at.sent()] == [f"R{n}" for n in range(1000)]


@pytest.mark.spec("runtime:EVT-1")
async def test_long_words_are_cut_between_characters() -> None:
    """1,024 bytes of note, 128 of reason."""
    async with recording() as at:
        at.announce(said(note="é" * 2000, reason="R" * 200))
        await asyncio.sleep(1)

    ((_, body),) = at.sent()
    assert len(body["note"].encode()) <= 1024
    assert body["note"].endswith("é…")
    assert body["reason"] == "R" * 125 + "…"


@pytest.mark.spec("runtime:EVT-1")
async def test_an_announcement_without_a_reason_or_an_action_is_dropped_as_the_bug_it_is() -> None:
    """The server would refuse it each time."""
    async with recording() as at:
        at.announce(said(reason=""))
        at.announce(Announcement("Normal", "Created", "", "made it"))
        await asyncio.sleep(1)

    assert at.wire.log == []
    assert at.dropped("invalid") == 2


@pytest.mark.spec("runtime:EVT-4")
@pytest.mark.parametrize(
    ("code", "reason", "tries"),
    [(403, "Forbidden", 1), (422, "Invalid", 1), (400, "BadRequest", 1), (500, "InternalError", 12)],
)
async def test_what_will_never_be_accepted_is_dropped_and_the_rest_is_tried_for_two_minutes(
    code: int, reason: str, tries: int
) -> None:
    """A terminating namespace accepts nothing."""
    async with recording(lambda exchange: exchange.refuse(code, reason)) as at:
        at.announce(said())
        await asyncio.sleep(1000)

    assert len(at.wire.log) == tries
    assert (at.dropped("refused") or 0) + (at.dropped("failed") or 0) == 1


@pytest.mark.spec("runtime:EVT-4")
async def test_a_delivery_that_fails_is_tried_again_after_ten_seconds_or_so() -> None:
    """Or as long as the server asks; not all of a crowd at the same moment."""
    times: list[float] = []

    def respond(exchange: Exchange) -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) == 3:
            exchange.refuse(429, "TooManyRequests", headers={"Retry-After": "30"})
        elif len(times) <= 4:
            exchange.refuse(500, "InternalError")
        else:
            accept(exchange)

    async with recording(respond) as at:
        at.announce(said())
        await asyncio.sleep(200)

    first, second, asked, last = (after - before for before, after in pairwise(times))
    assert 10 <= first <= 12.5
    assert 10 <= second <= 12.5
    assert first != second
    assert asked == pytest.approx(30, abs=0.1)
    assert 10 <= last <= 12.5


@pytest.mark.spec("runtime:EVT-4")
async def test_eight_events_are_on_their_way_at_a_time() -> None:
    """The server has more important things to do."""
    held: list[Exchange] = []
    async with recording(held.append) as at:
        for n in range(20):
            at.announce(said(reason=f"R{n}"))
        await asyncio.sleep(1)
        assert len(held) == 8

        for exchange in held[:3]:
            accept(exchange)
        await asyncio.sleep(1)
        assert len(held) == 11
        for exchange in held[3:]:
            accept(exchange)


async def test_a_series_whose_event_is_gone_is_created_anew() -> None:
    """Events live for an hour; a patch then meets 404."""

    def respond(exchange: Exchange) -> None:
        exchange.refuse(404, "NotFound") if exchange.method == "PATCH" else accept(exchange)

    async with recording(respond) as at:
        at.announce(said())
        await asyncio.sleep(1)
        at.announce(said())
        await asyncio.sleep(1)

    assert [method for method, _ in at.sent()] == ["POST", "PATCH", "POST"]
    assert at.sent()[-1][1]["series"]["count"] == 2


async def test_at_most_eight_deliveries_are_under_way() -> None:
    """Events have the lowest priority of all traffic."""
    async with recording(lambda exchange: None) as at:
        for n in range(20):
            at.announce(said(reason=f"R{n}"))
        await asyncio.sleep(1)

        assert len(at.wire.log) == 8


@pytest.mark.spec("runtime:EVT-7")
async def test_at_the_end_what_is_left_is_written_within_two_seconds() -> None:
    """Also the count of a series that still runs; a server that hangs does not hold us up."""
    async with recording() as at:
        for _ in range(5):
            at.announce(said())
        await asyncio.sleep(1)
        await at.recorder.flush()
        assert at.sent()[-1][1]["series"]["count"] == 5

    async with recording(lambda exchange: None) as at:
        at.announce(said())
        before = asyncio.get_running_loop().time()
        await at.recorder.flush()
        assert asyncio.get_running_loop().time() - before == pytest.approx(2)


async def test_what_is_on_its_way_counts_as_not_delivered_yet() -> None:
    """A flush returns once the server has it, and no later."""
    held: list[Exchange] = []
    async with recording(held.append) as at, asyncio.TaskGroup() as group:
        at.announce(said())
        await asyncio.sleep(0.1)
        flushing = group.create_task(at.recorder.flush())
        await asyncio.sleep(1)
        assert not flushing.done()

        accept(held[0])
        await asyncio.sleep(0.1)
        assert flushing.done()


@pytest.mark.spec("runtime:EVT-4")
async def test_an_event_that_is_there_already_is_an_earlier_try_that_went_through() -> None:
    """Nothing is lost, and nothing is tried again."""
    async with recording(lambda exchange: exchange.refuse(409, "AlreadyExists")) as at:
        at.announce(said())
        await asyncio.sleep(200)

    assert len(at.wire.log) == 1
    assert (at.dropped("refused"), at.dropped("failed")) == (None, None)


async def test_of_too_many_series_the_one_that_is_quiet_longest_is_closed() -> None:
    """4,096 are remembered, whatever happens."""
    async with recording() as at:
        for n in range(4097):
            at.announce(said(reason=f"R{n}"))
            if n % 500 == 0:
                await asyncio.sleep(0.01)
        at.announce(said(reason="R1"))
        at.announce(said(reason="R0"))
        await asyncio.sleep(1)

    assert [method for method, _ in at.sent()[4097:]] == ["PATCH", "POST"]
