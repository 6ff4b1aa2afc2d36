"""Events for users (spec runtime §19): events.k8s.io/v1, repeated ones as a series.

Best effort, in a task of its own: recording never blocks, never raises and never delays a write of a reconcile. What
cannot be kept or delivered is dropped and counted.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeAlias

import msgspec
import structlog

from api.core import EVENTS
from api.meta import Json, Resource, format_micro_time
from controller.runtime.errors import (
    AlreadyExists,
    ApiError,
    Forbidden,
    Invalid,
    LostAnswer,
    NotFound,
    NotLeading,
    RuntimeProblem,
    TooManyRequests,
)
from controller.runtime.interfaces import Client, Clock
from controller.runtime.metrics import Metrics
from controller.runtime.plan import Announcement

__all__ = ["Announce", "Recorder"]

MOST_WAITING = 1_000  # EVT-1
MOST_SERIES = 4_096
LONGEST_NAME, LONGEST_WORD, LONGEST_NOTE = 253, 128, 1_024
SERIES_ENDS_AFTER = 6 * 60.0  # seconds without a repetition (EVT-2)
SERIES_WRITTEN_EVERY = 30 * 60.0
TRIES, TRY_SECONDS, TRY_JITTER = 12, 10.0, 0.25  # EVT-4
AT_ONCE = 8
FLUSH = timedelta(seconds=2)  # EVT-7

Announce: TypeAlias = Callable[[Announcement], None]
_Identity: TypeAlias = tuple[str, ...]

_log = structlog.get_logger("events")


@dataclass(slots=True, eq=False)
class _Series:
    """One event and its repetitions."""

    body: bytes  # of the event as it was first: as a tree it takes thrice as much
    count: int
    last: datetime
    last_at: float
    written_at: float  # when a count was last handed to delivery


@dataclass(frozen=True, slots=True)
class _Delivery:
    series: _Series
    count: int
    last: datetime


class Recorder:
    """Takes announcements and writes them. `run` delivers; without it they wait, a thousand at most."""

    def __init__(self, client: Client, *, clock: Clock, rng: random.Random, metrics: Metrics, instance: str) -> None:
        self._client = client
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._instance = _cut(instance, LONGEST_WORD)
        self._series: OrderedDict[_Identity, _Series] = OrderedDict()  # that which is quiet longest comes first
        self._untold: dict[_Identity, _Series] = {}  # those of them that were repeated since they were last written
        self._waiting: deque[_Delivery] = deque()
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._in_flight = 0
        self._last_name = 0

    def about(self, resource: Resource, regarding: Mapping[str, Any], controller: str) -> Announce:
        """A function that announces things about one object, in the name of one controller."""
        metadata = regarding["metadata"]
        reference = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "namespace": metadata.get("namespace", ""),
            "name": metadata["name"],
            "uid": metadata.get("uid", ""),
        }
        return lambda announcement: self.record(reference, announcement, controller)

    def record(self, regarding: Mapping[str, str], announcement: Announcement, controller: str) -> None:
        """Keep it for delivery. Never raises; an announcement without reason or action is a bug, and dropped."""
        if not announcement.reason or not announcement.action:
            self._metrics.events_dropped.labels("invalid").inc()
            _log.error("an event needs a reason and an action", note=announcement.note)
            return
        self._metrics.events.labels(announcement.type).inc()
        identity = _identity(regarding, announcement, controller)
        now, moment = self._clock.monotonic(), self._clock.now()
        series = self._series.get(identity)
        if series is not None and now - series.last_at < SERIES_ENDS_AFTER:
            series.count += 1
            series.last, series.last_at = moment, now
            self._series.move_to_end(identity)
            self._untold[identity] = series
            if series.count == 2:
                self._deliver_later(identity, series, now)
            return
        if series is not None:
            self._close(identity, series, now)
        body = msgspec.json.encode(self._body(regarding, announcement, controller, moment))
        series = self._series[identity] = self._untold[identity] = _Series(body, 1, moment, now, now)
        if len(self._series) > MOST_SERIES:
            self._close(*next(iter(self._series.items())), now)
        self._deliver_later(identity, series, now)

    # Delivery

    async def run(self) -> None:
        """Deliver for ever, a few at a time."""
        slots = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            while True:
                await self._until_news()
                while self._waiting:
                    await slots.acquire()
                    # Counted in flight before it leaves the line: a flush must not see neither.
                    self._in_flight += 1
                    delivery = self._waiting.popleft()
                    group.create_task(self._deliver(delivery, slots), name="event")

    async def flush(self, within: timedelta = FLUSH) -> None:
        """Write what series still have to say, then wait until all is delivered or the time is over."""
        now = self._clock.monotonic()
        for identity, series in list(self._series.items()):
            self._close(identity, series, now)
        try:
            async with asyncio.timeout(within.total_seconds()):
                while self._waiting or self._in_flight:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            _log.info("events were not delivered in time", waiting=len(self._waiting), in_flight=self._in_flight)

    async def _until_news(self) -> None:
        """Until something is to be delivered; series are looked after meanwhile."""
        while not self._waiting:
            self._news.clear()
            due = self._next_look()
            try:
                async with asyncio.timeout_at(due):
                    await self._news.wait()
            except TimeoutError:
                # The loop may be early by its clock's resolution: what it was called for is due all the same.
                self._look_after_series(max(due or 0.0, self._clock.monotonic()))

    def _next_look(self) -> float | None:
        """When the first series ends or is to be written; None while there is none. Asked after each delivery."""
        ends = [one.last_at + SERIES_ENDS_AFTER for one in islice(self._series.values(), 1)]
        return min((*ends, *map(_to_be_written, self._untold.values())), default=None)

    def _look_after_series(self, now: float) -> None:
        while self._series:
            identity, quietest = next(iter(self._series.items()))
            if now < quietest.last_at + SERIES_ENDS_AFTER:
                break
            self._close(identity, quietest, now)
        for identity, series in list(self._untold.items()):
            if now >= _to_be_written(series):
                self._deliver_later(identity, series, now)

    def _close(self, identity: _Identity, series: _Series, now: float) -> None:
        del self._series[identity]
        if self._untold.pop(identity, None) is not None:
            self._deliver_later(identity, series, now)

    def _deliver_later(self, identity: _Identity, series: _Series, now: float) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._metrics.events_dropped.labels("overflow").inc()
            return
        series.written_at = now
        self._untold.pop(identity, None)
        self._waiting.append(_Delivery(series, series.count, series.last))
        self._news.set()

    async def _deliver(self, delivery: _Delivery, slots: asyncio.Semaphore) -> None:
        try:
            for attempt in range(TRIES):
                try:
                    await self._write(delivery)
                except (NotLeading, Forbidden, Invalid) as error:
                    self._drop("refused", error)
                except RuntimeProblem as error:
                    if attempt + 1 == TRIES or _is_bad_request(error):
                        self._drop("failed", error)
                    else:
                        await asyncio.sleep(self._pause(error))
                        continue
                return
        finally:
            slots.release()
            self._in_flight -= 1
            if not self._waiting and not self._in_flight:
                self._idle.set()

    async def _write(self, delivery: _Delivery) -> None:
        """Create the event, or tell how often it was repeated; whichever the server needs."""
        body: Json = msgspec.json.decode(delivery.series.body)
        metadata = body["metadata"]
        if delivery.count == 1:
            try:
                await self._client.create(EVENTS, body)
            except AlreadyExists:
                return  # an earlier try of ours went through
            return
        series = {"count": delivery.count, "lastObservedTime": format_micro_time(delivery.last)}
        try:
            await self._client.patch(EVENTS, metadata["namespace"], metadata["name"], {"series": series})
        except NotFound:
            await self._client.create(EVENTS, {**body, "series": series})

    def _pause(self, error: RuntimeProblem) -> float:
        if isinstance(error, TooManyRequests) and error.retry_after_seconds is not None:
            return error.retry_after_seconds
        if isinstance(error, LostAnswer):
            return 0.0
        return TRY_SECONDS * self._rng.uniform(1.0, 1.0 + TRY_JITTER)

    def _drop(self, cause: str, error: Exception) -> None:
        self._metrics.events_dropped.labels(cause).inc()
        _log.info("an event was not delivered", cause=cause, error=str(error))

    def _body(
        self, regarding: Mapping[str, str], announcement: Announcement, controller: str, moment: datetime
    ) -> Json:
        namespace = regarding["namespace"] or "default"
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": self._name(regarding["name"], moment), "namespace": namespace},
            "eventTime": format_micro_time(moment),
            "reportingController": controller,
            "reportingInstance": self._instance,
            "type": announcement.type,
            "reason": _cut(announcement.reason, LONGEST_WORD),
            "action": _cut(announcement.action, LONGEST_WORD),
            "note": _cut(announcement.note, LONGEST_NOTE),
            "regarding": {key: value for key, value in regarding.items() if value},
        }

    def _name(self, about: str, moment: datetime) -> str:
        """`<object>.<hex of the time>`; never the same twice, also within one microsecond (EVT-5)."""
        self._last_name = max(self._last_name + 1, int(moment.timestamp() * 1_000_000) * 1_000)
        ending = f".{self._last_name:x}"
        return about[: LONGEST_NAME - len(ending)].rstrip(".-") + ending


def _to_be_written(series: _Series) -> float:
    return series.written_at + SERIES_WRITTEN_EVERY


def _identity(regarding: Mapping[str, str], announcement: Announcement, controller: str) -> _Identity:
    """What makes two events one series; the note is no part of it (EVT-2)."""
    about = (regarding["kind"], regarding["namespace"], regarding["name"], regarding["uid"])
    return (announcement.type, announcement.action, announcement.reason, controller, *about)


def _is_bad_request(error: RuntimeProblem) -> bool:
    return isinstance(error, ApiError) and error.code == 400


def _cut(text: str, most: int) -> str:
    """At most that many bytes of UTF-8, cut between characters, with an ellipsis where something is missing."""
    encoded = text.encode()
    if len(encoded) <= most:
        return text
    return encoded[: most - 3].decode(errors="ignore") + "…"
