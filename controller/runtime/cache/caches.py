"""All collections that are watched, and the reads from them (spec runtime §7, §8). Implements interfaces.Reader.

A read waits until our own writes are in: those of the object, or of the owner, that it is about, and no others
(design.md §2). It waits for at most five seconds; then it fails with StaleCache, and the key is looked at again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

import structlog

from api.meta import Ref, Resource
from controller.runtime.background import background
from controller.runtime.cache.informer import Informer, Watched
from controller.runtime.cache.record import StoredRecord
from controller.runtime.cache.store import BY_CONTROLLER, BY_NAMESPACE, Store, by_label
from controller.runtime.client.rest import RestClient
from controller.runtime.errors import Forbidden, NotFound, RuntimeProblem, StaleCache, Unauthorized
from controller.runtime.interfaces import Clock
from controller.runtime.ledger import Entry
from controller.runtime.metrics import Metrics

__all__ = ["CacheNotSynced", "Caches"]

STALE_SECONDS = 5.0  # RYW-7
SYNC_SECONDS = 120.0  # CAC-7
REPORT_SECONDS = 10.0
REPORT_SELDOM_SECONDS = 60.0  # once it has lasted that long, too
LOADS_AT_ONCE = 4  # REF-14

_log = structlog.get_logger("caches")


class CacheNotSynced(RuntimeProblem):
    """A collection could not be loaded in time; the message names it and says why."""


class Caches:
    """Declared collections, in all namespaces or in some. `running` keeps them in step; reads are valid within it."""

    def __init__(
        self,
        client: RestClient,
        watched: Iterable[Watched],
        *,
        namespaces: Sequence[str] = (),
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
    ) -> None:
        self._client = client
        self._ledger = client.ledger
        self._clock = clock
        self._metrics = metrics
        self._changes = _Changes()
        self._informers: dict[Resource, list[Informer]] = {}
        loads = asyncio.Semaphore(LOADS_AT_ONCE)
        self._ledger.ended = self._changes.happened
        self._ledger.released = self._caught_up
        self._behind: dict[Hashable, Callable[[], None]] = {}
        for one in watched:
            if one.resource in self._informers:
                raise ValueError(f"{one.resource.plural} are declared twice")
            self._ledger.watch(one.resource)
            places: Sequence[str | None] = namespaces if namespaces and one.resource.namespaced else (None,)
            self._informers[one.resource] = [
                Informer(
                    one,
                    client,
                    namespace=place,
                    clock=clock,
                    rng=rng,
                    metrics=metrics,
                    loads=loads,
                    changed=partial(self._settle, one.resource),
                )
                for place in places
            ]
            for informer in self._informers[one.resource]:
                for label in one.labels:
                    informer.store.add_index(f"label:{label}", by_label(label))
        self._export(metrics)

    # Life

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Caches]:
        """Entered once every collection that is not optional has loaded.

        Raises CacheNotSynced, in an ExceptionGroup, when the server has refused one for two minutes, for want of rights
        or credentials. A server that is away and a kind that is not installed yet are waited for, and said so.
        """
        informers = list(self.every_informer())
        # Own writes are never waited for in a store that nobody fills.
        async with background(
            *((f"reflector {one.watched.resource.plural}", one.reflector.run()) for one in informers)
        ):
            await self._synced([one for one in informers if not one.watched.optional])
            yield self

    async def _synced(self, informers: Sequence[Informer]) -> None:
        waited = 0.0
        while missing := [one for one in informers if not one.loaded]:
            if waited >= SYNC_SECONDS and any(_is_refusal(one.reflector.unavailable) for one in missing):
                raise CacheNotSynced(f"not loaded within {waited:.0f} s: {_named(missing)}")
            if waited:
                _log.warning("waiting for the first load", missing=_named(missing), seconds=waited)
            patience = REPORT_SECONDS if waited < REPORT_SELDOM_SECONDS else REPORT_SELDOM_SECONDS
            try:
                async with asyncio.timeout(patience):
                    for one in missing:
                        await one.reflector.loaded.wait()
            except TimeoutError:
                waited += patience

    # Reading (interfaces.Reader)

    async def get(self, resource: Resource, namespace: str, name: str) -> StoredRecord | None:
        """The object, or None. Raises StaleCache; LookupError for a kind or namespace that is not watched."""
        informer = self._informer(resource, namespace)
        ref = Ref(resource.kind, namespace, name)
        await self._fresh(informer, ref=ref)
        return informer.store.seen(ref)

    async def owned(self, resource: Resource, owner_uid: str) -> Sequence[StoredRecord]:
        """All whose controlling owner has that UID; waits for that owner's writes only."""
        return await self._find(resource, None, BY_CONTROLLER, owner_uid, owner_uid)

    async def labelled(
        self, resource: Resource, namespace: str, label: str, value: str, *, owner_uid: str = ""
    ) -> Sequence[StoredRecord]:
        """All in the namespace with that label; the label must be declared for the kind."""
        found = await self._find(resource, namespace, f"label:{label}", value, owner_uid)
        return [record for record in found if record.ref.namespace == namespace]

    async def every(self, resource: Resource, namespace: str | None = None) -> Sequence[StoredRecord]:
        """All, or all of a namespace; waits for our writes there."""
        informers = self._of(resource) if namespace is None else [self._informer(resource, namespace)]
        result: list[StoredRecord] = []
        for informer in informers:
            await self._fresh(informer, namespace=namespace or "")
            found = informer.store.all() if namespace is None else informer.store.find(BY_NAMESPACE, namespace)
            result += found
        return result

    async def _find(
        self, resource: Resource, namespace: str | None, index: str, value: str, owner_uid: str
    ) -> Sequence[StoredRecord]:
        informers = self._of(resource) if namespace is None else [self._informer(resource, namespace)]
        result: list[StoredRecord] = []
        for informer in informers:
            if owner_uid:
                await self._fresh(informer, owner_uid=owner_uid)
            result += informer.store.find(index, value)
        return result

    def loaded_at(self) -> Mapping[str, float]:
        """When each kind that has loaded had done so in all namespaces, by the clock that was handed in."""
        at = {
            resource.plural: max(one.reflector.loaded_at for one in found)
            for resource, found in self._informers.items()
        }
        return {plural: moment for plural, moment in at.items() if moment < float("inf")}

    def informers(self, resource: Resource) -> Sequence[Informer]:
        """For those who want to listen. Raises LookupError for a kind that is not watched (CAC-2)."""
        return self._of(resource)

    def available(self, resource: Resource) -> bool:
        """Is the kind declared and its first load in? For optional kinds."""
        return all(one.loaded for one in self._informers.get(resource, ())) and resource in self._informers

    def _of(self, resource: Resource) -> list[Informer]:
        try:
            return self._informers[resource]
        except KeyError:
            raise LookupError(f"{resource.plural} are not watched: declare them, or read them live") from None

    def _informer(self, resource: Resource, namespace: str) -> Informer:
        for informer in self._of(resource):
            if informer.namespace in (None, namespace):
                return informer
        raise LookupError(f"{resource.plural} of namespace {namespace!r} are not watched")

    def every_informer(self) -> Iterator[Informer]:
        """Those of all kinds, and of all namespaces."""
        return iter([informer for informers in self._informers.values() for informer in informers])

    # Waiting for our own writes

    def has_written(self, writer: Hashable) -> bool:
        """Has that writer begun a write since this was asked last?"""
        return self._ledger.has_written(writer)

    def behind(self, writer: Hashable) -> bool:
        """Do the caches lack something that this writer wrote?

        What only a live read can tell is no reason to wait: the read will ask. A kind that is not watched is none
        either.
        """
        return any(self._lacks(entry) for entry in self._ledger.of_writer(writer))

    def when_caught_up(self, writer: Hashable, tell: Callable[[], None]) -> None:
        """Call `tell`, once, when the caches lack nothing any more of what this writer wrote."""
        self._behind[writer] = tell

    def _lacks(self, entry: Entry) -> bool:
        """An entry that is settled meanwhile is taken away here."""
        if entry.uncertain and not entry.in_flight:
            return False
        informers = self._informers[entry.resource]
        store = next((one.store for one in informers if one.namespace in (None, entry.ref.namespace)), None)
        return store is not None and not self._ledger.settle_one(entry, store)

    def _caught_up(self, writer: Hashable) -> None:
        tell = self._behind.pop(writer, None)
        if tell is not None:
            tell()

    async def _fresh(
        self, informer: Informer, *, ref: Ref | None = None, owner_uid: str = "", namespace: str = ""
    ) -> None:
        """Return once nothing we wrote stands in the way of the read. Raises StaleCache."""
        started: float | None = None
        resource, store = informer.watched.resource, informer.store
        while blocking := self._blocking(informer, ref=ref, owner_uid=owner_uid, namespace=namespace):
            uncertain = [entry for entry in blocking if entry.uncertain and not entry.in_flight]
            for entry in uncertain:
                await self._look(entry, store)
            if uncertain:
                continue
            if started is None:
                started = self._clock.monotonic()
                self._metrics.stale_waits.labels(resource.kind).inc()
            if not await self._changes.next(started + STALE_SECONDS):
                self._metrics.stale_timeouts.labels(resource.kind).inc()
                raise StaleCache(f"the cache does not have our write of {blocking[0].ref} after {STALE_SECONDS:.0f} s")
        if started is not None:
            self._metrics.stale_wait_seconds.labels(resource.kind).observe(self._clock.monotonic() - started)

    def _blocking(self, informer: Informer, *, ref: Ref | None, owner_uid: str, namespace: str) -> Sequence[Entry]:
        found = self._ledger.open(informer.watched.resource, ref=ref, owner_uid=owner_uid, namespace=namespace)
        return [
            entry
            for entry in found
            if informer.namespace in (None, entry.ref.namespace) and not self._ledger.settle_one(entry, informer.store)
        ]

    async def _look(self, entry: Entry, store: Store) -> None:
        """An answer was lost: ask the server how it is, once (RYW-4)."""
        try:
            found = await self._client.get(entry.resource, entry.ref.namespace, entry.ref.name)
        except NotFound:
            there = store.seen(entry.ref)
            self._ledger.looked(entry, None, {}, uid=there.uid if there is not None else "")
            return
        metadata = found["metadata"]
        self._ledger.looked(entry, metadata["resourceVersion"], metadata.get("labels") or {})

    def _settle(self, resource: Resource) -> None:
        now = self._clock.monotonic()
        for informer in self._informers[resource]:
            self._ledger.settle(resource, informer.store, now, namespace=informer.namespace)
        self._changes.happened()

    # Metrics

    def _export(self, metrics: Metrics) -> None:
        metrics.store_objects.sources.append(
            lambda: [(one.watched.resource.kind, float(len(one.store))) for one in self.every_informer()]
        )
        metrics.store_bytes.sources.append(
            lambda: [(one.watched.resource.kind, float(one.store.body_bytes)) for one in self.every_informer()]
        )
        metrics.progress_age.sources.append(self._ages)

    def _ages(self) -> Iterable[tuple[str, float]]:
        now = self._clock.monotonic()
        return [(one.watched.resource.kind, now - one.reflector.progress_at) for one in self.every_informer()]


class _Changes:
    """Wakes all who wait whenever any store moved or a write ended."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def happened(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def next(self, until: float) -> bool:
        """Wait for the next change; False when that time of the loop came first."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            async with asyncio.timeout_at(until):
                await future
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(future)
        return True


def _named(informers: Iterable[Informer]) -> str:
    """What is missing, together with what has the same cause: "pods, jobs: the cause and the way out; roles: ..."."""
    by_cause: dict[str, list[str]] = {}
    for one in informers:
        plural = one.watched.resource.plural
        by_cause.setdefault(_cause(one.reflector.unavailable, one.watched.resource), []).append(plural)
    return "; ".join(", ".join(dict.fromkeys(names)) + cause for cause, names in by_cause.items())


def _cause(error: Exception | None, resource: Resource) -> str:
    match error:
        case None:
            return ""
        case Forbidden():
            return f" ({error}; its role must allow list and watch of {resource.plural})"
        case NotFound():
            return f" ({error}; is the CustomResourceDefinition {resource.plural}.{resource.group} installed?)"
        case Unauthorized():
            return f" ({error}; is the token or the client certificate still good?)"
        case _:
            return f" ({error})"


def _is_refusal(error: Exception | None) -> bool:
    """Will waiting not help?"""
    return isinstance(error, Forbidden | Unauthorized)
