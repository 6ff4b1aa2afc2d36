"""Keeps one store in step with one collection: load, watch, and what follows when either fails (spec runtime §2).

A loop over two steps. Each returns the next one or raises; `reactions.react` says what a failure means. The theory:

- LOAD is a WatchList where the server has it: the initial events fill a buffer, a marked bookmark ends them, the store
  is replaced in one step, and the same stream goes on as the watch. Else it is a LIST in pages.
- WATCH goes on from the last version seen. It never starts without one: deletions in the gap would be lost.
- Three guards notice a dead stream (decision D4): the server's own time limit, a deadline a little behind it, and,
  once bookmarks were seen, silence.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack

import msgspec
import structlog

from api.meta import Ref, Resource
from controller.runtime.cache.reactions import EndedEarly, Reaction, Step, StreamTooShort, lacks_watch_list, react
from controller.runtime.cache.record import (
    Decode,
    FieldSet,
    StoredRecord,
    UnreadableObject,
    Words,
    bookmark_of,
    record_of,
)
from controller.runtime.cache.store import Change, Store
from controller.runtime.client.rest import PAGE_SIZE, RestClient
from controller.runtime.client.status import refusal
from controller.runtime.errors import ApiError, Forbidden, Gone, NotFound, RuntimeProblem, Unauthorized
from controller.runtime.interfaces import Clock, WatchEvent
from controller.runtime.metrics import Metrics

__all__ = ["Reflector"]

WATCH_SECONDS = (300.0, 600.0)  # REF-7
BEHIND_SECONDS = 5.0  # our deadline, behind the server's own (REF-12)
IDLE_SECONDS = 150.0  # bookmarks come about once a minute (REF-12)
SHORT_SECONDS = 1.0  # REF-9
MANY_OBJECTS = 5_000  # more are listed consistently and in pages (REF-3)
SLICE_EVENTS = 1_000  # REF-18: then others may run
SLICE_SECONDS = 0.005
WATCH_LIST_AGAIN_SECONDS = 3600.0  # a server without WatchList may have been upgraded (REF-1)
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, CALM_SECONDS = 0.8, 30.0, 10.0  # REF-11

_log = structlog.get_logger("reflector")


class Waits:
    """The growing pauses of REF-11: 0.8 s, doubled up to 30 s, times 1 to 2; ten calm seconds start anew."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._base = 0.0
        self._last = float("-inf")

    def next(self, now: float) -> float:
        """How long to wait after a failure at that time."""
        calm = now - self._last > CALM_SECONDS
        self._base = FIRST_WAIT_SECONDS if calm else min(self._base * 2, LONGEST_WAIT_SECONDS)
        wait = self._base * self._rng.uniform(1.0, 2.0)
        self._last = now + wait
        return wait


class Reflector:
    """One collection: a resource, in a namespace or in all, under a label selector. `run` it in a task of its own."""

    def __init__(
        self,
        client: RestClient,
        store: Store,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        metadata_only: bool = False,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        loads: asyncio.Semaphore,
        watch_list: bool = True,
        field_set: type[FieldSet] | None = None,
    ) -> None:
        self.resource: Resource = store.resource
        self.store = store
        self.loaded = asyncio.Event()
        self.unavailable: Exception | None = None  # why there is no first load yet
        self.progress_at = 0.0  # when the last byte came
        self.loaded_at = float("inf")  # when the first load was complete
        self._client = client
        self._namespace = namespace
        self._selector = {"labelSelector": label_selector} if label_selector else {}
        self._metadata_only = metadata_only
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._loads = loads
        self._no_watch_list_until = float("-inf") if watch_list else float("inf")
        self._words = Words()
        self._decode: Decode | None = msgspec.json.Decoder(field_set).decode if field_set is not None else None
        self._waits = Waits(rng)
        self._rv = ""
        self._rv_unusable = False
        self._pages_from_etcd = False  # no watch cache there: a list at version "0" is paged all the same (REF-3)
        self._bookmarks_seen = False
        self._reload_cause = "initial"
        self._kind = self.resource.kind
        self._step = Step.LOAD
        self._expired_at = float("-inf")

    async def run(self) -> None:
        """For ever; ends only when cancelled, and leaves no connection behind."""
        while True:
            version_used = self._step is Step.WATCH or self._version_to_ask() != ""
            try:
                self._step = await (self._load() if self._step is Step.LOAD else self._follow(None))
            except (RuntimeProblem, TimeoutError) as error:
                self._step = await self._recover(react(error, self._step, version_used=version_used), error)

    async def _recover(self, reaction: Reaction, error: Exception) -> Step:
        """Take note, wait as long as it says, and go on."""
        if reaction.forget_version:
            self._rv_unusable = True
        if not self.loaded.is_set():
            self.unavailable = error
        if reaction.next is Step.LOAD:
            self._reload_cause = reaction.cause if self.loaded.is_set() else "initial"
        else:
            self._metrics.stream_restarts.labels(self._kind, reaction.cause).inc()
        wait = 0.0
        if reaction.wait or self._expired_again(reaction):
            wait = max(self._waits.next(self._clock.monotonic()), reaction.at_least_seconds)
        # What was loaded grows old now. (Before the first load, whoever waits for it says why.)
        grows_old = self.loaded.is_set() and isinstance(error, Forbidden | NotFound | Unauthorized)
        tell = _log.warning if grows_old else _log.info
        tell(
            "list or watch failed", kind=self._kind, cause=reaction.cause, error=str(error), wait=round(wait, 2),
            then=reaction.next.value,
        )  # fmt: skip
        await asyncio.sleep(wait)
        return reaction.next

    def _expired_again(self, reaction: Reaction) -> bool:
        """A version that expired is no reason to wait, unless a server says so of each one that it gives us."""
        if reaction.cause != "expired" or self._step is not Step.WATCH:
            return False
        now, before = self._clock.monotonic(), self._expired_at
        self._expired_at = now
        return now - before < CALM_SECONDS

    # Load

    def _version_to_ask(self) -> str:
        return "" if self._rv_unusable else self._rv

    async def _load(self) -> Step:
        self._metrics.informer_reloads.labels(self._kind, self._reload_cause).inc()
        async with AsyncExitStack() as slot:
            await slot.enter_async_context(self._loads)  # a few at a time: REF-14
            if self._clock.monotonic() >= self._no_watch_list_until:
                try:
                    return await self._follow(slot)
                except ApiError as error:
                    if self._step is Step.WATCH or not lacks_watch_list(error):
                        raise
                    _log.info("no WatchList here, listing", kind=self._kind, error=str(error))
                    self._no_watch_list_until = self._clock.monotonic() + WATCH_LIST_AGAIN_SECONDS
            await self._list()
        return Step.WATCH

    async def _list(self) -> None:
        """The pages of one list; only the last one's version counts, and nothing is kept of a list that broke."""
        rv = self._version_to_ask() or ("" if self._rv_unusable else "0")
        paged = rv == "" or self._pages_from_etcd or len(self.store) > MANY_OBJECTS
        if paged:
            rv = ""
        try:
            records, listed_rv = await self._pages(rv, PAGE_SIZE if paged else 0)
        except Gone:
            if not paged:
                raise
            # The pages expired under way: once more, in one piece unless that is too large a piece (REF-4).
            records, listed_rv = await self._pages("", PAGE_SIZE if len(self.store) > MANY_OBJECTS else 0)
            rv = ""
        self._loaded(records, listed_rv, consistent=rv == "")

    async def _pages(self, rv: str, limit: int) -> tuple[list[StoredRecord], str]:
        query = dict(self._selector)
        if rv:
            query["resourceVersion"] = rv
        if limit:
            query["limit"] = str(limit)
        records: list[StoredRecord] = []
        while True:
            page = await self._client.list_page(
                self.resource, self._namespace, query, metadata_only=self._metadata_only
            )
            self.progress_at = self._clock.monotonic()
            records += [record async for record in self._read_in_slices(page.items)]
            if not page.continue_:
                return records, page.resource_version
            self._pages_from_etcd = self._pages_from_etcd or rv == "0"
            query.pop("resourceVersion", None)
            query["continue"] = page.continue_

    async def _read_in_slices(self, items: Sequence[msgspec.Raw]) -> AsyncIterator[StoredRecord]:
        for start in range(0, len(items), PAGE_SIZE):
            for item in items[start : start + PAGE_SIZE]:
                record = self._read(item)
                if record is not None:
                    yield record
            await asyncio.sleep(0)

    def _loaded(self, records: Sequence[StoredRecord], rv: str, *, consistent: bool) -> None:
        epoch = self.store.epoch
        self.store.replace(records, rv, consistent=consistent)
        if self.store.epoch != epoch:
            self._metrics.epochs.labels(self._kind).inc()
            self._client.ledger.forget(self.resource)
            _log.error("the server's history was rewound", kind=self._kind, epoch=self.store.epoch, version=rv)
        self._rv = rv
        self._rv_unusable = False
        self._step = Step.WATCH  # from here on a failure breaks a watch, also within the same stream
        self.unavailable = None
        self.loaded_at = min(self.loaded_at, self._clock.monotonic())
        self.loaded.set()

    # Watch

    async def _follow(self, loading: AsyncExitStack | None) -> Step:
        """One stream until it ends; with `loading`, a WatchList, which gives that slot back once it has loaded."""
        seconds = self._rng.uniform(*WATCH_SECONDS)
        query = self._watch_query(seconds, initial=loading is not None)
        consistent = "resourceVersion" not in query
        stream = _Stream(buffer={} if loading is not None else None, consistent=consistent)
        opened = self._clock.monotonic()
        end = opened + seconds + BEHIND_SECONDS
        async with (
            asyncio.timeout_at(end) as deadline,
            self._client.watch(self.resource, self._namespace, query, metadata_only=self._metadata_only) as batches,
        ):
            async for events in batches:
                now = self.progress_at = self._clock.monotonic()
                if self._bookmarks_seen:
                    deadline.reschedule(min(end, now + IDLE_SECONDS))
                await self._take(events, stream)
                if loading is not None and stream.buffer is None:
                    await loading.aclose()
                    loading = None
        if stream.buffer is not None:
            raise EndedEarly(f"the watch of {self._kind} ended within its initial events")
        if not stream.delivered and self._clock.monotonic() - opened < SHORT_SECONDS:
            raise StreamTooShort(f"the watch of {self._kind} ended at once")
        self._metrics.stream_restarts.labels(self._kind, "closed").inc()
        return Step.WATCH

    def _watch_query(self, seconds: float, *, initial: bool) -> Mapping[str, str]:
        query = {**self._selector, "allowWatchBookmarks": "true", "timeoutSeconds": str(int(seconds))}
        version = self._version_to_ask()
        if initial:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
            return query | ({"resourceVersion": version} if version else {})
        return query | {"resourceVersion": self._rv}

    async def _take(self, events: Iterable[WatchEvent], stream: _Stream) -> None:
        """Apply what came with one chunk, as one batch where it is plain events; others run in between (REF-18)."""
        changes: list[Change] = []
        until = self._clock.monotonic() + SLICE_SECONDS
        for event in events:
            stream.delivered = True
            if event.type in _OBJECT_TYPES:
                self._read_change(event, stream, changes)
            else:
                self._flush(changes)
                self._take_other(event, stream)
            if len(changes) >= SLICE_EVENTS or self._clock.monotonic() >= until:
                self._flush(changes)
                await asyncio.sleep(0)
                until = self._clock.monotonic() + SLICE_SECONDS
        self._flush(changes)

    def _read_change(self, event: WatchEvent, stream: _Stream, changes: list[Change]) -> None:
        self._metrics.informer_events.labels(self._kind, event.type).inc()
        record = self._read(event.body)
        if record is None:
            return
        if stream.buffer is None:
            changes.append(Change(record, deleted=event.type == "DELETED"))
        elif event.type == "DELETED":
            stream.buffer.pop(record.ref, None)
        else:
            stream.buffer[record.ref] = record

    def _flush(self, changes: list[Change]) -> None:
        if changes:
            self._rv = changes[-1].record.resource_version
            self.store.apply(changes)
            changes.clear()

    def _take_other(self, event: WatchEvent, stream: _Stream) -> None:
        if event.type == "BOOKMARK":
            bookmark = bookmark_of(event.body)
            self._bookmarks_seen = True
            if stream.buffer is None:
                self._rv = bookmark.resource_version
                self.store.set_rv(bookmark.resource_version)
            elif bookmark.ends_initial_events:
                self._loaded(list(stream.buffer.values()), bookmark.resource_version, consistent=stream.consistent)
                stream.buffer = None
        elif event.type == "ERROR":
            raise refusal("watch", Ref(self._kind, self._namespace or "", ""), msgspec.json.decode(event.body))
        else:
            self._metrics.decode_errors.labels(self._kind).inc()
            _log.warning("unknown watch event", kind=self._kind, type=event.type)

    def _read(self, body: bytes | msgspec.Raw) -> StoredRecord | None:
        """The record, or None for an object that cannot be read: what was stored of it before stays (REF-15)."""
        try:
            return record_of(self.resource, body, self._words, self._decode)
        except UnreadableObject as error:
            self._metrics.decode_errors.labels(self._kind).inc()
            _log.warning("unreadable object", kind=self._kind, error=str(error))
            return None


class _Stream:
    """What one open watch has brought so far."""

    __slots__ = ("buffer", "consistent", "delivered")

    def __init__(self, *, buffer: dict[Ref, StoredRecord] | None, consistent: bool) -> None:
        self.buffer = buffer  # initial events, until their end
        self.consistent = consistent
        self.delivered = False


_OBJECT_TYPES = frozenset({"ADDED", "MODIFIED", "DELETED"})
