"""One controller: sources feed its queue, workers take keys from it and have them reconciled (spec runtime §12).

A worker never dies of what a reconcile does. What becomes of the key is the table of CTL-5: forgotten, looked at
again later, or backed off. The reconciler gets a name and never an event.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import structlog
from structlog.contextvars import bind_contextvars

from api.meta import Ref
from controller.runtime.background import background
from controller.runtime.brake import Brake
from controller.runtime.cache.caches import SYNC_SECONDS, CacheNotSynced, Caches
from controller.runtime.cache.informer import Listener
from controller.runtime.cache.store import Delta
from controller.runtime.contained import contained
from controller.runtime.errors import ApiError, Conflict, NotLeading, RuntimeProblem, StaleCache, Terminal
from controller.runtime.handlers import Source, for_object
from controller.runtime.interfaces import Clock, Reconciler
from controller.runtime.ledger import WRITER
from controller.runtime.metrics import Metrics
from controller.runtime.plan import Result
from controller.runtime.queue.workqueue import LOW, Held, ShutDown, WorkQueue
from controller.runtime.tracing import Tracer, no_tracing

__all__ = ["Controller", "CutShort", "TookTooLong", "by_namespace"]

WORKERS = 16  # they wait for the network most of their time
TIMEOUT = timedelta(minutes=2)
DRAIN = timedelta(seconds=30)
QUIET_CONFLICTS = 3  # in a row; more of them say that two writers fight
STALE_PAUSE = timedelta(seconds=1)
GATE = timedelta(seconds=5)  # longest time that a key is put off because the caches lag (RYW-11)
ZERO = timedelta(0)
_BUGS = (TypeError, AttributeError, NameError, AssertionError, LookupError, ArithmeticError)

_log = structlog.get_logger("controller")


class TookTooLong(RuntimeProblem):
    """A reconcile ran into its time limit and was cancelled."""


class CutShort(RuntimeProblem):
    """Reconciles did not finish within the grace and were cancelled (spec runtime MGR-8)."""


class _Failed(RuntimeProblem):
    """A reconcile raised what is no RuntimeProblem; the traceback was logged."""


def by_namespace(key: Ref) -> Hashable:
    """Fair between namespaces."""
    return key.namespace


class Controller:
    """A name, a reconciler, the kinds that wake it. `queue` and `wake` are there before it runs."""

    def __init__(
        self,
        name: str,
        reconciler: Reconciler,
        sources: Iterable[Source],
        *,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        workers: int = WORKERS,
        timeout: timedelta = TIMEOUT,
        group_of: Callable[[Ref], Hashable] = by_namespace,
        tracer: Tracer = no_tracing,
    ) -> None:
        self.name = name
        self.sources = tuple(sources)
        self.queue: WorkQueue[Ref] = WorkQueue(name, clock=clock, rng=rng, metrics=metrics, group_of=group_of)
        self._reconciler = reconciler
        self._clock = clock
        self._rng = rng
        self._workers = workers
        self._timeout = timeout.total_seconds()
        self._tracer = tracer
        self._caches: Caches | None = None
        self._parked: dict[Ref, float] = {}  # since when
        self._brake = Brake()
        self._count_results(metrics)

    def _count_results(self, metrics: Metrics) -> None:
        """All series of this controller exist from the start, at zero (CTL-3)."""
        name = self.name
        results = ("success", "error", "requeue", "requeue_after")
        self._results = {result: metrics.reconciles.labels(name, result) for result in results}
        self._errors = metrics.reconcile_errors.labels(name)
        self._terminal = metrics.reconcile_terminal.labels(name)
        self._panics = metrics.reconcile_panics.labels(name)
        self._timeouts = metrics.reconcile_timeouts.labels(name)
        self._seconds = metrics.reconcile_seconds.labels(name)
        self._active = metrics.active_workers.labels(name)
        self._braked = metrics.braked.labels(name)
        self._gate_parked = metrics.gate_parked.labels(name)
        self._gate_timeouts = metrics.gate_timeouts.labels(name)
        metrics.workers.labels(name).set(self._workers)

    def wake(self, key: Ref, *, after: timedelta = ZERO) -> None:
        """Look at that key, for a reason that no watch tells: a dashboard has news."""
        self.queue.add(key, after=after)

    # Life

    @asynccontextmanager
    async def running(
        self, caches: Caches, *, drain: Callable[[], timedelta] = lambda: DRAIN
    ) -> AsyncIterator[Controller]:
        """Listens first, works once all that was there is queued; when the block ends, lets running reconciles finish.

        Raises CacheNotSynced. `drain`, asked at the end, bounds it: what still runs then is cancelled, and CutShort
        says so, since a write of it may still be on its way.
        """
        left: Sequence[Ref] = ()
        self._caches = caches
        async with self._listening(caches) as listeners:
            await self._synced(listeners)
            async with background(*((f"{self.name} worker {n}", self._work()) for n in range(self._workers))):
                try:
                    yield self
                finally:
                    left = await self.queue.drain(drain())
        if left:
            raise CutShort(f"controller {self.name} was stopped while it worked on {', '.join(map(str, left))}")

    @asynccontextmanager
    async def _listening(self, caches: Caches) -> AsyncIterator[Sequence[Listener]]:
        """All sources are heard while the block is open; those that must have loaded before work starts."""
        heard = [
            (source, informer, informer.listen(source.resource.plural, partial(self._enqueue, source)))
            for source in self.sources
            for informer in caches.informers(source.resource)
        ]
        try:
            async with background(*((f"{self.name} {one.name}", one.run()) for _, _, one in heard)):
                yield [one for source, _, one in heard if not source.optional]
        finally:
            for _, informer, one in heard:
                informer.unlisten(one)

    async def _synced(self, listeners: Sequence[Listener]) -> None:
        try:
            async with asyncio.timeout(SYNC_SECONDS):
                for listener in listeners:
                    await listener.synced.wait()
        except TimeoutError as error:
            missing = ", ".join(one.name for one in listeners if not one.synced.is_set())
            raise CacheNotSynced(f"controller {self.name} cannot start: {missing} not there") from error

    def _enqueue(self, source: Source, delta: Delta) -> None:
        keys: Iterable[Ref] = ()
        with contained("source", controller=self.name, object=delta.record.ref):
            if source.handler is for_object and _asks_anew(delta):
                self._brake.release(delta.record.ref)
            keys = source.keys(delta)
            if keys:
                self._add_all(keys, delta, source.delay(delta))
            return
        if source.handler is for_object:
            self._add_all((delta.record.ref,), delta)  # fail open: rather look once too often (SRC-7)

    def _add_all(self, keys: Iterable[Ref], delta: Delta, after: timedelta = ZERO) -> None:
        priority = LOW if delta.initial or delta.same_version else 0
        for key in keys:
            self.queue.add(key, after=after, priority=priority)

    # Work

    async def _work(self) -> None:
        """One worker: keys until the queue is shut down. Each is a task, so what it binds for its logs is its own."""
        bind_contextvars(controller=self.name)
        worker = asyncio.current_task()
        assert worker is not None
        while True:
            try:
                async with self.queue.hold() as held:
                    if not (self._brakes(held) or self._parks(held)):
                        # For whoever looks at the tasks; like its log context it stays until the worker's next key.
                        worker.set_name(f"{self.name} {held.key.namespace}/{held.key.name}")
                        await self._pass(held)
            except ShutDown:
                return

    def _brakes(self, held: Held[Ref]) -> bool:
        """Put the key off, if its passes have written too often (CTL-13); what wakes it meanwhile waits, too."""
        left = self._brake.seconds(held.key, self._clock.monotonic())
        if left <= 0:
            return False
        self._braked.inc()
        self.queue.add(held.key, after=timedelta(seconds=left), priority=held.priority)
        return True

    def _parks(self, held: Held[Ref]) -> bool:
        """Put the key off, as long as the caches lack what its last pass wrote (spec runtime §8.4); it keeps no worker.

        The event that brings the last of it wakes the key, and after `GATE` it is looked at all the same: then its
        reads wait. Failures are not counted.
        """
        key, caches = held.key, self._caches
        if caches is None or not caches.behind((self.name, key)):
            if self._parked:
                self._parked.pop(key, None)
            return False
        now = self._clock.monotonic()
        if key not in self._parked:
            self._parked[key] = now
            self._gate_parked.inc()
        left = self._parked[key] + GATE.total_seconds() - now
        if left <= 0:
            del self._parked[key]
            self._gate_timeouts.inc()
            return False
        caches.when_caught_up((self.name, key), partial(self.queue.add, key, priority=held.priority))
        self.queue.add(key, after=timedelta(seconds=left), priority=held.priority)
        return True

    async def _pass(self, held: Held[Ref]) -> None:
        """One reconcile of one key, and what becomes of the key."""
        key = held.key
        started = self._clock.monotonic()
        reconcile_id = f"{self._rng.getrandbits(128):032x}"
        # Stays bound until the worker's next key, between which nothing is logged: to unbind costs as much as to bind.
        bind_contextvars(
            kind=key.kind,
            namespace=key.namespace,
            name=key.name,
            reconcile_id=reconcile_id,
            attempt=self.queue.failures(key) + 1,
        )
        WRITER.set((self.name, key))  # its writes are its own, for as long as it is bound
        self._active.inc()
        try:
            with self._tracer(self.name, key, reconcile_id):
                result = await self._reconcile(key)
                self._count_writes(key, result)
                label = self._settle(held, result)
        finally:
            self._active.dec()
        self._seconds.observe(self._clock.monotonic() - started)
        self._results[label].inc()

    def _count_writes(self, key: Ref, result: Result) -> None:
        """For the brake. A pass that failed has its back-off."""
        wrote = self._caches is not None and self._caches.has_written((self.name, key))
        if wrote and result.error is None and self._brake.wrote(key, self._clock.monotonic()):
            _log.warning("this object's parts are written over and over: does somebody else undo it?")

    async def _reconcile(self, key: Ref) -> Result:
        """The reconciler's result; whatever it raises becomes one with an error."""
        caught: list[Exception] = []
        with contained("reconcile", on_error=caught.append):
            try:
                async with asyncio.timeout(self._timeout) as limit:
                    return await self._reconciler.reconcile(key)
            except RuntimeProblem as error:
                return Result(error=error)
            except TimeoutError:
                if not limit.expired():
                    raise
                self._timeouts.inc()
                return Result(error=TookTooLong(f"{key} took longer than {self._timeout:.0f} s"))
            except ExceptionGroup as group:
                problem = _of_group(group)
                if problem is None:
                    raise
                return Result(error=problem)
            except asyncio.CancelledError as error:
                if _being_cancelled():
                    raise
                return Result(error=_Failed(f"the reconcile of {key} raised {error!r} by itself"))
        if any(_is_bug(error) for error in caught):
            self._panics.inc()
        return Result(error=_Failed(f"the reconcile of {key} failed: {caught[0]!r}"))

    def _settle(self, held: Held[Ref], result: Result) -> str:
        """The table of CTL-5; answers the label under which the pass is counted."""
        key = held.key
        if result.error is not None:
            return self._settle_error(held, result.error, result.requeue_after)
        if result.requeue_after is None:
            self.queue.forget(key)
            return "success"
        if result.requeue_after == ZERO:
            self.queue.add(key, priority=held.priority)  # it only recorded something: the back-off stays (design W5)
            return "requeue_after"
        self.queue.forget(key)
        self.queue.add(key, after=result.requeue_after, priority=held.priority)
        return "requeue_after"

    def _settle_error(self, held: Held[Ref], error: Exception, wanted: timedelta | None) -> str:
        key = held.key
        if isinstance(error, StaleCache):
            _log.info("the cache lags behind our own writes", error=str(error))
            # It has waited long, and the event that brings our write wakes the key earlier: leave the worker to others.
            self.queue.add(key, after=STALE_PAUSE, priority=held.priority)
            return "requeue_after"
        self._errors.inc()
        if isinstance(error, Terminal):
            _log.error("failed for good", error=str(error))
            self._terminal.inc()
            self.queue.forget(key)
            return "error"
        quiet = isinstance(error, NotLeading) or (
            isinstance(error, Conflict) and self.queue.failures(key) < QUIET_CONFLICTS
        )
        delay = self.queue.retry(key, hint=_hint(error), priority=held.priority)
        if wanted:
            self.queue.add(key, after=wanted, priority=held.priority)  # a deadline: the earlier of the two wins
        (_log.debug if quiet else _log.warning)("failed", error=str(error), again_in=round(delay.total_seconds(), 3))
        return "error"


def _asks_anew(delta: Delta) -> bool:
    """Has the spec changed?"""
    return delta.old is not None and delta.new is not None and delta.old.generation != delta.new.generation


def _hint(error: Exception) -> timedelta | None:
    """How long the server asked us to wait (RL-5)."""
    seconds = error.retry_after_seconds if isinstance(error, ApiError) else None
    return None if seconds is None else timedelta(seconds=seconds)


def _of_group(group: ExceptionGroup[Exception]) -> RuntimeProblem | None:
    """The member that decides: one that can be retried, unless all are terminal; None when a bug is among them."""
    problems, bugs = group.split(RuntimeProblem)
    if bugs is not None or problems is None:
        return None
    members = list(_leaves(problems))
    return next((one for one in members if not isinstance(one, Terminal)), members[0])


def _leaves(group: BaseExceptionGroup[RuntimeProblem]) -> Iterable[RuntimeProblem]:
    for one in group.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from _leaves(one)
        else:
            yield one


def _is_bug(error: Exception) -> bool:
    if isinstance(error, ExceptionGroup):
        return any(_is_bug(one) for one in error.exceptions)
    return isinstance(error, _BUGS)


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
