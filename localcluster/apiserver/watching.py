"""A watch: changes of one resource as a stream, from a version on (spec kube-api §11).

Nobody polls: a watch is a listener of its collection, and waits for an `asyncio.Event` that a commit sets. What a
change looks like on the wire is made once and shared by all watches that show it alike.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import orjson

from localcluster.api import Refusal
from localcluster.apiserver.core import Core
from localcluster.apiserver.refusals import expired, too_large_version
from localcluster.apiserver.requests import WatchEvent
from localcluster.apiserver.selectors import FieldTest, LabelTest
from localcluster.apiserver.store import Change, ChangeType, Entry, Expired
from localcluster.resources import ResourceInfo

__all__ = ["Selection", "Start", "Watch"]

BOOKMARK_SECONDS: Final = 60.0  # WATCH-7
# A loop may call a timer early by its clock's resolution: in virtual time "not yet" would then repeat for ever.
_RESOLUTION_SECONDS: Final = 1e-6
_LAST_BOOKMARK_SECONDS: Final = 2.0  # before the end that timeoutSeconds sets
PATIENCE_SECONDS: Final = 3.0  # for a version that has not happened yet (WATCH-10)
_INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a resource a request is about."""

    resource: ResourceInfo
    namespace: str = ""
    labels: LabelTest | None = None
    fields: FieldTest | None = None

    def holds(self, entry: Entry) -> bool:
        """Whether the object is one of them."""
        if self.namespace and entry.namespace != self.namespace:
            return False
        if self.labels is not None and not self.labels(entry.labels):
            return False
        if self.fields is None:
            return True
        own = {"metadata.name": entry.name, "metadata.namespace": entry.namespace}
        return self.fields.holds({**entry.fields, **own})

    @property
    def everything(self) -> bool:
        """Whether every object is selected."""
        return not self.namespace and self.labels is None and self.fields is None


@dataclass(frozen=True, slots=True)
class Start:
    """Where a watch begins, and how it ends.

    `after` is the version whose later changes are wanted. With `present`, all objects come first as ADDED (WATCH-3);
    with `mark_end`, a bookmark tells when they have (WATCH-11).
    """

    after: int
    present: bool = False
    mark_end: bool = False
    bookmarks: bool = False
    timeout_seconds: float | None = None


class Watch:
    """The events of one watch, in order. It ends after `timeoutSeconds`, after an ERROR event, or when closed.

    `async for event in watch` gives one event at a time, `batch()` all that are there, for one write to a socket.
    One consumer only. Close it when done: `with contextlib.closing(watch)`.
    """

    def __init__(self, core: Core, selection: Selection, start: Start) -> None:
        self._core = core
        self._selection = selection
        self._start = start
        self._collection = core.store.collection(selection.resource.store)
        self._awake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._pending: list[WatchEvent] = []
        self._last = start.after  # everything up to this version has been told
        begun = self._loop.time()
        self._end = None if start.timeout_seconds is None else begun + start.timeout_seconds
        self._next_bookmark = begun + BOOKMARK_SECONDS
        self._last_bookmark_sent = False
        self._patience = begun + PATIENCE_SECONDS
        self._collection.listeners[id(self)] = self._awake.set
        self._number: int | None = None  # of the next change to tell; None until begun
        self._begin()

    def _begin(self) -> None:
        """Queue what comes before the changes, and note the first change to tell; later, if that is in the future."""
        version = self._core.store.version
        if self._start.present:
            if self._start.after <= version:
                self._queue_present(version)
                self._number = self._collection.next_number
            return
        try:
            self._number = self._collection.number_after(self._start.after)
        except Expired as reason:
            self._fail(expired(f"too old resource version: {self._start.after} ({reason.oldest})"))

    def _queue_present(self, version: int) -> None:
        snapshot = self._core.store.snapshot(self._selection.resource.store)
        for entry in snapshot.range(self._selection.namespace):
            if self._selection.holds(entry):
                self._pending.append(self._event("ADDED", entry))
        self._last = version
        if self._start.mark_end:
            self._pending.append(self._bookmark({_INITIAL_EVENTS_END: "true"}))

    def close(self) -> None:
        """End the stream: a waiting `batch()` returns an empty list."""
        self._closed = True
        self._collection.listeners.pop(id(self), None)
        self._awake.set()

    async def __aiter__(self) -> AsyncIterator[WatchEvent]:
        while events := await self.batch():
            for event in events:
                yield event

    async def batch(self) -> list[WatchEvent]:
        """At least one event, in order; an empty list when the stream has ended."""
        while not self._closed or self._pending:
            if events := self._collect():
                return events
            if self._closed or not await self._wait():
                break
        self.close()
        return []

    def _collect(self) -> list[WatchEvent]:
        """What there is to tell now."""
        self._awake.clear()
        if self._number is None and not self._closed:
            self._begin()
        events, self._pending = self._pending, []
        if self._closed or self._number is None:
            return events
        try:
            changes = self._collection.changes(self._number)
        except Expired as reason:
            self._fail(expired(f"too old resource version: {self._last} ({reason.oldest})"))
            return events + self._pending
        self._number += len(changes)
        for change in changes:
            if change.version > self._start.after and (event := self._told(change)) is not None:
                events.append(event)
        self._last = max(self._last, self._core.store.version)
        return events

    async def _wait(self) -> bool:
        """Until something may be there to tell; False when the time is over."""
        now = self._loop.time() + _RESOLUTION_SECONDS
        if self._end is not None and now >= self._end:
            return False
        if self._number is None and now >= self._patience:
            self._fail(too_large_version(self._start.after, self._core.store.version))
            return True
        due = self._bookmark_due()
        if due is not None and now >= due:
            self._send_bookmark(now)
            return True
        patience = self._patience if self._number is None else None
        moments = [moment for moment in (self._end, due, patience) if moment is not None]
        with contextlib.suppress(TimeoutError):  # the next round finds out which moment has come
            async with asyncio.timeout_at(min(moments) if moments else None):
                await self._awake.wait()
        return True

    def _bookmark_due(self) -> float | None:
        if not self._start.bookmarks or self._start.after > self._core.store.version:
            return None
        if self._end is None or self._last_bookmark_sent:
            return self._next_bookmark
        last = self._end - _LAST_BOOKMARK_SECONDS
        too_short = (self._start.timeout_seconds or 0) <= 2 * _LAST_BOOKMARK_SECONDS
        return self._next_bookmark if too_short else min(self._next_bookmark, last)

    def _send_bookmark(self, now: float) -> None:
        self._last = self._core.store.version
        self._pending.append(self._bookmark({}))
        if self._end is not None and now >= self._end - _LAST_BOOKMARK_SECONDS:
            self._last_bookmark_sent = True
        self._next_bookmark = now + BOOKMARK_SECONDS

    def _fail(self, refusal: Refusal) -> None:
        """An error ends the stream, as its last event (TOP-8)."""
        raw = orjson.dumps(refusal.status)
        self._pending.append(WatchEvent("ERROR", raw, "", _line("ERROR", raw)))
        self._closed = True
        self._collection.listeners.pop(id(self), None)

    def _bookmark(self, annotations: dict[str, str]) -> WatchEvent:
        resource = self._selection.resource
        metadata: dict[str, object] = {"resourceVersion": str(self._last)}
        if annotations:
            metadata["annotations"] = annotations
        raw = orjson.dumps({"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata})
        return WatchEvent("BOOKMARK", raw, str(self._last), _line("BOOKMARK", raw))

    def _event(self, event_type: str, entry: Entry) -> WatchEvent:
        raw = self._core.shown(self._selection.resource, entry)
        return WatchEvent(event_type, raw, str(entry.version), _line(event_type, raw))

    def _told(self, change: Change) -> WatchEvent | None:
        """How this watch sees the change: what enters or leaves its selection is added or deleted (WATCH-5)."""
        if self._selection.everything:
            return self._shared(change)
        before = change.previous is not None and self._selection.holds(change.previous)
        after = change.type != "DELETED" and self._selection.holds(change.entry)
        if not before:
            return self._as("ADDED", change) if after else None
        if after:
            return self._as("MODIFIED", change)
        if change.type == "DELETED":
            return self._as("DELETED", change)
        assert change.previous is not None
        resource = self._selection.resource
        return self._event("DELETED", self._core.reversioned(resource, change.previous, change.version))

    def _as(self, seen: ChangeType, change: Change) -> WatchEvent:
        return self._shared(change) if seen == change.type else self._event(seen, change.entry)

    def _shared(self, change: Change) -> WatchEvent:
        """The event in the text that all watches of this resource share."""
        resource = self._selection.resource
        entry = change.entry
        if not self._core.shows_as_stored(resource, entry):
            return self._event(change.type, entry)
        line = change.lines.get("plain")
        if line is None:
            line = change.lines["plain"] = _line(change.type, entry.raw)
        return WatchEvent(change.type, entry.raw, str(entry.version), line)


def _line(event_type: str, raw: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (event_type.encode(), raw)
