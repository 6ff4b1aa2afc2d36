"""Events are told in the background, counted when they come again, and never missed when refused."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from localcluster.api import Refusal
from localcluster.apiserver.local import LocalApi
from localcluster.apiserver.server import ApiServer
from localcluster.recorder import Recorder

pytestmark = pytest.mark.looptime
POD: dict[str, Any] = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "p", "namespace": "default", "uid": "u", "resourceVersion": "7"},
}


def now() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


class Api(LocalApi):
    """Refuses the first so many writes."""

    refusals = 0

    async def create(self, resource: str, namespace: str, body: Any, *, subresource: str = "") -> Any:
        if self.refusals:
            self.refusals -= 1
            raise Refusal(403, "Forbidden", "the namespace is going")
        return await super().create(resource, namespace, body, subresource=subresource)


async def told(api: LocalApi, *said: tuple[str, str], action: str = "") -> list[dict[str, Any]]:
    """Say reason and message, each; the events that are there then."""
    recorder = Recorder(api, "kubelet", now=now, host="n", new_style=action)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(recorder.run())
        for reason, message in said:
            recorder.say(POD, "Warning", reason, message, field="spec.containers{c}")
        await asyncio.sleep(1)
        running.cancel()
    return list((await api.list("events", "default")).items)


async def test_an_event_says_what_who_when_and_about_whom() -> None:
    """In the words of core/v1."""
    api = Api(ApiServer(now=now, chance=random.Random(0)))

    (event,) = await told(api, ("BackOff", "m"))

    assert event["involvedObject"] == {
        "kind": "Pod",
        "apiVersion": "v1",
        "name": "p",
        "namespace": "default",
        "uid": "u",
        "resourceVersion": "7",
        "fieldPath": "spec.containers{c}",
    }
    assert (event["type"], event["reason"], event["message"], event["count"]) == ("Warning", "BackOff", "m", 1)
    assert event["source"] == {"component": "kubelet", "host": "n"}
    assert event["firstTimestamp"] == "2026-01-01T00:00:00Z"


async def test_what_is_said_again_is_counted() -> None:
    """One object, however often; another message is another event."""
    api = Api(ApiServer(now=now, chance=random.Random(0)))

    events = await told(api, ("BackOff", "m"), ("BackOff", "m"), ("BackOff", "n"), ("BackOff", "m"))

    assert sorted((one["message"], one["count"]) for one in events) == [("m", 3), ("n", 1)]


async def test_a_refused_event_is_dropped_and_the_next_one_is_told() -> None:
    """Nothing waits for an event."""
    api = Api(ApiServer(now=now, chance=random.Random(0)))
    api.refusals = 1

    events = await told(api, ("A", "m"), ("B", "m"))

    assert [one["reason"] for one in events] == ["B"]


async def test_an_event_of_the_new_way_counts_in_a_series() -> None:
    """As events.k8s.io has it: who and what with a precise time, neither source nor count."""
    api = Api(ApiServer(now=now, chance=random.Random(0)))

    (event,) = await told(api, ("FailedScheduling", "m"), ("FailedScheduling", "m"), action="Scheduling")

    assert (event["reportingComponent"], event["action"], event["source"]) == ("kubelet", "Scheduling", {})
    assert event["eventTime"] == "2026-01-01T00:00:00.000000Z"
    assert event["series"] == {"count": 2, "lastObservedTime": "2026-01-01T00:00:00.000000Z"}
    assert "count" not in event
