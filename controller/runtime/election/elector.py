"""Gets the lease, keeps it, gives it up (spec runtime §14); and says at any moment whether we may write.

The elector runs on whatever loop it is given: in the process that is a thread of its own, with a connection of its
own, so that no decoding and no herd of requests of ours can cost the lease (LE-8); in tests it is the loop of the
stories, in virtual time. `may_write` may be asked from any thread.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NoReturn, Protocol

import structlog

from api.core import LEASES
from api.meta import Json
from controller.runtime.background import background
from controller.runtime.election.lease import (
    JITTER,
    WRITE_MARGIN_SECONDS,
    Taken,
    Timing,
    View,
    holder_of,
    judge,
    released,
)
from controller.runtime.errors import AlreadyExists, Conflict, Forbidden, NotFound, RuntimeProblem
from controller.runtime.metrics import Tally

__all__ = ["Elector", "Heartbeat", "LeaseClient", "LeaseLost", "LeaseName", "Runner", "here", "leading"]

RELEASE_SECONDS = 5.0  # LE-5
HEALTH_TOLERANCE_SECONDS = 20.0  # LE-9
SAID_AGAIN_SECONDS = 60.0  # the same trouble, in the log
RENEW_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

_log = structlog.get_logger("leader election")


class LeaseLost(RuntimeProblem):
    """We led, and somebody else does now, or we cannot go on; the message says why."""


class LeaseClient(Protocol):
    """What the elector asks of the API server: get, create, update of one Lease. Raises as interfaces.Client."""

    async def get(self, resource: Any, namespace: str, name: str) -> Json: ...
    async def create(self, resource: Any, body: Json) -> Json: ...
    async def update(self, resource: Any, body: Json) -> Json: ...


class Heartbeat:
    """The other loop's sign of life: it beats each second, and whoever watches it on another thread reads the time."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._at = time()

    def beat(self) -> None:
        """I am alive."""
        self._at = self._time()

    @property
    def silent_seconds(self) -> float:
        """Since the last beat."""
        return self._time() - self._at


@dataclass(frozen=True, slots=True)
class LeaseName:
    """Which Lease, and who we are."""

    namespace: str
    name: str
    identity: str


Work = Callable[[], Coroutine[Any, Any, None]]
Runner = Callable[[Work], Awaitable[None]]  # runs what the elector does where the elector lives


async def here(work: Work) -> None:
    """On this loop."""
    await work()


class Elector:
    """One candidate. `acquire`, then `hold`, then `release`, each on the elector's loop, never two at once.

    `time` gives seconds of a clock that goes on while the machine sleeps; `wall` only reaches the record. `on_lost` is
    called where the elector runs, before anybody else hears of it: the place to end a process whose other thread may
    not listen any more.
    """

    def __init__(
        self,
        client: LeaseClient,
        lease: LeaseName,
        *,
        time: Callable[[], float],
        wall: Callable[[], datetime],
        chance: random.Random,
        timing: Timing = Timing(),  # noqa: B008 - frozen
        heartbeat: Heartbeat | None = None,
        on_lost: Callable[[LeaseLost], None] = lambda lost: None,
    ) -> None:
        self.lease = lease
        self.timing = timing
        self.slow_paths = 0
        self.tries = Tally(RENEW_BUCKETS)
        self._client = client
        self._time = time
        self._wall = wall
        self._chance = chance
        self._heartbeat = heartbeat
        self._on_lost = on_lost
        self._view = View()
        self._told: tuple[str, float] = ("", 0.0)
        self._leader = ""
        self._tried_at = float("-inf")
        self._paused = False
        # Read by other threads; a float is replaced whole.
        self._write_until = float("-inf")
        self._leads = False

    # Asked from any thread

    def may_write(self) -> bool:
        """Whether no other replica can lead yet: true from winning until shortly after the renew deadline (LE-7)."""
        return self._time() < self._write_until

    @property
    def leads(self) -> bool:
        """Whether we hold the lease, as far as we know."""
        return self._leads

    @property
    def held(self) -> Json:
        """The Lease as last seen; {} before."""
        return self._view.lease or {}

    @property
    def transitions(self) -> int:
        """How often the lease has changed hands, as last seen."""
        return int((self.held.get("spec") or {}).get("leaseTransitions") or 0)

    async def check(self) -> str | None:
        """For liveness: leading without having *tried* to renew for long (LE-9). A server that is away is no reason."""
        age = self._time() - self._tried_at
        if self._leads and age > self.timing.duration + HEALTH_TOLERANCE_SECONDS:
            return f"leading, and the last try to renew was {age:.0f} s ago"
        return None

    # On the elector's loop

    async def acquire(self) -> None:
        """Until we lead. Never gives up: trouble is logged, and tried again (LE-1)."""
        _log.info("standing by for the lease", lease=self._place, identity=self.lease.identity)
        while True:
            if await self._try():
                break
            await asyncio.sleep(self.timing.retry * (1 + JITTER * self._chance.random()))
        _log.info("leading", lease=self._place, identity=self.lease.identity, transitions=self.transitions)

    async def hold(self) -> NoReturn:
        """Renew until somebody else has the lease. Always ends in LeaseLost.

        While the server cannot be asked, nothing is written and nothing is given up: nobody else can get the lease
        either, or we see that as soon as we can look. So an outage costs no restart.
        """
        try:
            while True:
                await asyncio.sleep(self.timing.retry)
                self._check_heart()
                await self._try()
                self._check_holder()
        except LeaseLost as lost:
            self._on_lost(lost)
            raise
        finally:
            self._write_until, self._leads = float("-inf"), False

    async def release(self) -> None:
        """Give it up, so that a successor need not wait; only after all that wrote has ended (LE-5). Best effort."""
        self._write_until, self._leads = float("-inf"), False
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                while self._view_is_ours:
                    await self._release_once()
        except (TimeoutError, RuntimeProblem) as error:
            _log.warning("the lease was not released and will expire", lease=self._place, error=str(error))

    async def _release_once(self) -> None:
        assert self._view.lease is not None
        try:
            await self._client.update(LEASES, released(self._view.lease, self._wall()))
        except Conflict:
            await self._look()
            return
        self._view = replace(self._view, lease=None)
        _log.info("released the lease", lease=self._place)

    def _check_heart(self) -> None:
        """Raises LeaseLost when the loop that works has died: a stuck operator must not stay leader (LE-8)."""
        if self._heartbeat is not None and self._heartbeat.silent_seconds > self.timing.renew_deadline:
            raise LeaseLost(f"the event loop has stood still for {self._heartbeat.silent_seconds:.0f} s")

    def _check_holder(self) -> None:
        """Raises LeaseLost when the lease is not ours any more; says when writing pauses, and when it goes on."""
        if not self._view_is_ours:
            raise LeaseLost(f"the lease {self._place} is held by {self._leader or 'nobody'} now")
        paused, self._paused = self._paused, not self.may_write()
        if self._paused and not paused:
            _log.warning("nothing is written until the lease can be renewed", lease=self._place)
        elif paused and not self._paused:
            _log.info("the lease is renewed, and nobody else had it: writing again", lease=self._place)

    async def _try(self) -> bool:
        """One try within its time (LE-3): whether we lead after it."""
        started = self._tried_at = self._time()
        try:
            async with asyncio.timeout(self.timing.try_seconds):
                won = await self._renewed_directly() or await self._looked_and_written()
        except (TimeoutError, RuntimeProblem) as error:
            self._tell(error)
            return False
        self.tries.observe(self._time() - started)
        return won

    async def _renewed_directly(self) -> bool:
        """LE-3 a: we lead, and nobody can have taken it: no need to look first."""
        if not self._leads or self._view.lease is None or self._time() >= self._view.changed_at + self.timing.duration:
            return False
        try:
            return await self._write()
        except (Conflict, NotFound):
            self.slow_paths += 1
            return False

    async def _looked_and_written(self) -> bool:
        await self._look()
        if self._leads and not self._view_is_ours and not (self._view.lease is None and self.may_write()):
            return False  # somebody had it since: to take it now would hide that from the work that goes on here
        return await self._write()

    async def _look(self) -> None:
        asked_at = self._time()
        try:
            lease: Json | None = await self._client.get(LEASES, self.lease.namespace, self.lease.name)
        except NotFound:
            lease = None
        self._saw(lease, asked_at)

    async def _write(self) -> bool:
        """Take or renew it, if it is free or ours. A version that has changed means: not this time."""
        sent_at = self._time()
        wanted = judge(
            self._view,
            self.timing,
            namespace=self.lease.namespace,
            name=self.lease.name,
            identity=self.lease.identity,
            now=sent_at,
            wall=self._wall(),
        )
        if isinstance(wanted, Taken):
            return False
        try:
            if self._view.lease is None:
                written = await self._client.create(LEASES, wanted)
            else:
                written = await self._client.update(LEASES, wanted)
        except AlreadyExists:
            return False
        self._saw(written, sent_at)
        # From before the request left: never over-estimated (LE-3 f).
        self._write_until = sent_at + self.timing.renew_deadline + WRITE_MARGIN_SECONDS
        self._leads = True
        return True

    def _saw(self, lease: Json | None, at: float) -> None:
        self._view = self._view.seeing(lease, at)
        leader = holder_of(lease) if lease is not None else ""
        if leader != self._leader:
            self._leader = leader
            _log.info("the lease has a new holder", lease=self._place, holder=leader or "nobody")

    @property
    def _view_is_ours(self) -> bool:
        return self._view.lease is not None and holder_of(self._view.lease) == self.lease.identity

    @property
    def _place(self) -> str:
        return f"{self.lease.namespace}/{self.lease.name}"

    def _tell(self, error: Exception) -> None:
        """Once, and again each minute while it lasts."""
        text = str(error) or f"no answer within {self.timing.try_seconds:.0f} s"
        if isinstance(error, Forbidden):
            text += f"; the operator needs get, create and update of leases in namespace {self.lease.namespace}"
        last, at = self._told
        if text != last or self._time() >= at + SAID_AGAIN_SECONDS:
            self._told = (text, self._time())
            _log.error("cannot get or renew the lease", lease=self._place, error=text)


@asynccontextmanager
async def leading(elector: Elector, *, run: Runner = here) -> AsyncIterator[None]:
    """Entered once we lead; LeaseLost ends the block, in an ExceptionGroup.

    Released only when the block ended well, which says that nothing writes any more: after an error, or when running
    reconciles had to be cut off, a write may still be on its way, and the lease expires by itself (MGR-8).
    """

    async def holding() -> None:
        await run(elector.hold)

    await run(elector.acquire)
    async with background(("lease", holding())):
        yield
    await run(elector.release)
