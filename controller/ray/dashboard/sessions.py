"""Watched dashboards: one session per (cluster, head pod), each a task of its own (design.md §2).

A session polls the jobs that somebody asks about, has the effects that somebody wants, keeps the last answer with its
age, and wakes the keys whose knowledge changed. It has its own time limits, so a head that hangs delays nobody else.

Effects are writes: may_write() is asked before each. A job is submitted only after an answer that says it is not
there, given since the effect was wanted, so a submission whose answer was lost is not repeated blindly.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import structlog

from api.meta import Ref
from controller.ray.dashboard.http import (
    Dashboard,
    DashboardError,
    IdTaken,
    NoAnswer,
    NoSuchJob,
    NotAuthenticated,
    RayTransport,
)
from controller.ray.dashboard.protocol import DeleteJob, Effect, EffectState, Known, StopJob, SubmitJob, Wants
from controller.ray.dashboard.session import Session, already_there, job_of
from controller.runtime.contained import contained
from controller.runtime.interfaces import Clock, MayWrite

__all__ = ["POLL_SECONDS", "DashboardSessions", "ReadToken"]

POLL_SECONDS: Final = 3.0  # the reference's cadence; users' scripts expect a status about as fresh as that

ReadToken = Callable[[str, str], Awaitable[str]]  # (namespace, secret) -> its auth_token; raises KeyError, ApiError

log = structlog.get_logger(__name__)


class DashboardSessions:
    """All sessions of the process; `Sessions` of the protocol.

    Use: `async with sessions.running(): ...`. `wake` puts a key into its controller's queue.
    """

    def __init__(
        self,
        transport: RayTransport,
        *,
        clock: Clock,
        chance: random.Random,
        read_token: ReadToken,
        wake: Callable[[Ref], None],
        may_write: MayWrite,
    ) -> None:
        self.transport, self.clock, self.chance = transport, clock, chance
        self.read_token, self.wake, self.may_write = read_token, wake, may_write
        self.sessions: dict[tuple[str, str], Session] = {}
        self.places: dict[Ref, tuple[str, str]] = {}
        self.group: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[DashboardSessions]:
        """Sessions live inside this block; leaving it ends them all, and drops what they had not yet sent."""
        async with asyncio.TaskGroup() as group:
            self.group = group
            try:
                yield self
            finally:
                self.group = None
                for session in self.sessions.values():
                    if session.task is not None:
                        session.task.cancel()
                self.sessions.clear()
                self.places.clear()

    def want(self, key: Ref, wants: Wants | None) -> None:
        """See Sessions.want."""
        place = (wants.target.cluster_uid, wants.target.head_run) if wants else None
        before = self.places.get(key)
        if before and before != place:
            del self.places[key]
            self.sessions[before].leave(key)
        if wants is None or place is None or self.group is None:
            return
        self.places[key] = place
        session = self.sessions.get(place)
        if session is None:
            session = self.sessions[place] = Session(wants.target)
            name = f"dashboard {wants.target.namespace} {wants.target.url}"
            session.task = self.group.create_task(self.keep(place, session), name=name)
        session.want(key, wants)

    def known(self, key: Ref) -> Known:
        """See Sessions.known."""
        place = self.places.get(key)
        session = self.sessions.get(place) if place else None
        return session.known(key) if session else Known()

    async def keep(self, place: tuple[str, str], session: Session) -> None:
        """One session's life: ask, act, wait for a change or for the next poll; the last one to leave ends it."""
        while session.wants:
            session.changed.clear()
            with contained("dashboard", on_error=partial(self.broken, session), dashboard=session.target.url):
                await self.look(session)
            await self.pause(session)
        if self.sessions.get(place) is session:
            del self.sessions[place]

    async def look(self, session: Session) -> None:
        """Ask about every job, then try to have what is wanted."""
        dashboard = await self.connect(session)
        if dashboard is None:
            return
        for job in session.wanted_jobs:
            await self.poll(session, dashboard, job)
        for key, effect in session.open_effects():
            await self.have(session, dashboard, key, effect)

    async def pause(self, session: Session) -> None:
        """Until something else is wanted, or the next poll is due; a settled session needs no poll."""
        wait = None if session.settled else POLL_SECONDS * self.chance.uniform(0.9, 1.1)
        try:
            async with asyncio.timeout(wait):
                await session.changed.wait()
        except TimeoutError:
            return

    async def connect(self, session: Session) -> Dashboard | None:
        """The dashboard with its token; a token that cannot be read is a failing poll of every job."""
        target = session.target
        if target.token_secret and session.token is None:
            try:
                session.token = await self.read_token(target.namespace, target.token_secret)
            except Exception as error:  # noqa: BLE001 whatever it is, the user must read it and the next poll retries
                words = f"cannot read Secret {target.namespace}/{target.token_secret}: {error}"
                for job in session.wanted_jobs:
                    self.failed(session, job, words, session.asking(job))
                return None
        return Dashboard(self.transport, target.url, session.token or "")

    async def poll(self, session: Session, dashboard: Dashboard, job: str) -> None:
        """Ask for one job and keep the answer, unless it is known to be over."""
        if session.is_over(job):
            return
        asked_by, first = session.asking(job), session.jobs.get(job, Known()).job is None
        try:
            info = await dashboard.job(job)
        except NoSuchJob:
            self.wake_all(session.learn(job, Known(missing=True, asked_at=self.clock.now()), asked_by))
        except NotAuthenticated as error:
            session.token = None  # it may have been rotated: read it again before the next try
            self.failed(session, job, str(error), asked_by)
        except (NoAnswer, DashboardError) as error:
            self.failed(session, job, str(error), asked_by)
        else:
            self.wake_all(session.learn(job, Known(job=info, asked_at=self.clock.now()), asked_by))
            if first and session.touches(job) and not session.is_over(job):
                await self.touch(dashboard, job)

    async def touch(self, dashboard: Dashboard, job: str) -> None:
        """Have the head look whether the job's driver still lives; the next poll tells."""
        try:
            await dashboard.touch(job)
        except (NoAnswer, DashboardError) as error:
            log.info("a job could not be touched", job=job, dashboard=dashboard.url, error=str(error))

    async def have(self, session: Session, dashboard: Dashboard, key: Ref, effect: Effect) -> None:
        """Try to have one effect, once."""
        if not session.is_wanted(key, effect) or not self.may_write():
            return
        try:
            state = await self.attempt(session, dashboard, effect)
        except NoSuchJob:
            state = (EffectState.DONE, "")  # what is not there is stopped, and deleted
        except (NoAnswer, DashboardError) as error:
            if isinstance(error, NotAuthenticated):
                session.token = None
            state = (EffectState.FAILED, str(error))
            if isinstance(effect, SubmitJob):
                self.failed(session, job_of(effect), str(error), {})
        if state is not None and session.is_wanted(key, effect) and session.effects.get((key, effect)) != state:
            session.effects[key, effect] = state
            self.wake(key)

    async def attempt(self, session: Session, dashboard: Dashboard, effect: Effect) -> tuple[EffectState, str] | None:
        """The request that an effect needs now; None: it cannot be judged before the next poll."""
        match effect:
            case SubmitJob():
                return await self.submit(session, dashboard, effect)
            case StopJob(job_id):
                log.info("stopping job", job=job_id, dashboard=dashboard.url)
                await dashboard.stop(job_id)
            case DeleteJob(job_id):
                log.info("deleting job", job=job_id, dashboard=dashboard.url)
                await dashboard.delete(job_id)
        return EffectState.DONE, ""

    async def submit(self, session: Session, dashboard: Dashboard, effect: SubmitJob) -> tuple[EffectState, str] | None:
        """Submit what Ray said is not there."""
        job = job_of(effect)
        known = session.jobs.get(job, Known())
        if known.job is not None:
            return already_there(effect, known.job)
        if not known.missing:
            return None
        log.info("submitting job", job=job, dashboard=dashboard.url)
        try:
            await dashboard.submit(effect.submission)
        except IdTaken:
            return None  # the next poll tells whose it is
        session.jobs[job] = Known(asked_at=known.asked_at)
        session.changed.set()  # ask at once how it goes
        return EffectState.DONE, ""

    def failed(self, session: Session, job: str, error: str, asked_by: Mapping[Ref, str]) -> None:
        """Nothing was learned, or submitted."""
        if session.jobs.get(job, Known()).failing_since is None:
            log.info("dashboard does not answer", job=job, dashboard=session.target.url, error=error)
        self.wake_all(session.failed(job, error, self.clock.now(), asked_by))

    def broken(self, session: Session, error: Exception) -> None:
        """Something that nobody thought of: whoever asks must read it, and the next poll is another try."""
        for job in session.wanted_jobs:
            self.failed(session, job, f"asking the dashboard failed: {error!r}", session.asking(job))

    def wake_all(self, keys: Iterable[Ref]) -> None:
        """Those who have news."""
        for key in keys:
            self.wake(key)
