"""Watched dashboards: one session per (cluster, head pod), each a task of its own (design.md §2).

A session polls the jobs that somebody asks about, has the effects that somebody wants, keeps the last answer with its
age, and wakes the keys whose knowledge changed. It has its own time limits, so a head that hangs delays nobody else.

Effects are writes: may_write() is asked before each. A job is submitted only after an answer that says it is not
there, given since the effect was wanted, so a submission whose answer was lost is not repeated blindly.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
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
from controller.ray.dashboard.protocol import (
    DeleteJob,
    Effect,
    EffectState,
    JobInfo,
    Known,
    StopJob,
    SubmitJob,
    Target,
    Wants,
)
from controller.runtime.interfaces import Clock, MayWrite

__all__ = ["POLL_SECONDS", "DashboardSessions", "ReadToken"]

POLL_SECONDS: Final = 3.0  # the reference's cadence; users' scripts expect a status about as fresh as that
TERMINAL: Final = frozenset({"STOPPED", "SUCCEEDED", "FAILED"})

ReadToken = Callable[[str, str], Awaitable[str]]  # (namespace, secret) -> its auth_token; raises KeyError, ApiError

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Session:
    """What is wanted of one head, by whom, and what is known of it."""

    target: Target
    wants: dict[Ref, Wants] = field(default_factory=dict)
    jobs: dict[str, Known] = field(default_factory=dict)
    effects: dict[tuple[Ref, Effect], tuple[EffectState, str]] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    token: str | None = None
    task: asyncio.Task[None] | None = None

    @property
    def wanted_jobs(self) -> list[str]:
        """Every job that somebody asks about or wants something of, once."""
        names: dict[str, None] = {}
        for wants in self.wants.values():
            names |= dict.fromkeys(wants.jobs)
            names |= dict.fromkeys(job_of(effect) for effect in wants.effects if isinstance(effect, SubmitJob))
        return list(names)

    @property
    def settled(self) -> bool:
        """Nothing more can change by asking: all jobs are over and all effects had or refused."""
        over = all(
            (known := self.jobs.get(job)) and known.job and known.job.status in TERMINAL for job in self.wanted_jobs
        )
        return over and not any(True for _ in self.open_effects())

    def open_effects(self) -> list[tuple[Ref, Effect]]:
        """Effects that are still to be had."""
        final = (EffectState.DONE, EffectState.REFUSED)
        return [
            (key, effect)
            for key, wants in self.wants.items()
            for effect in wants.effects
            if self.effects.get((key, effect), (EffectState.WAITING, ""))[0] not in final
        ]


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
        place = (wants.target.cluster_uid, wants.target.head_pod_uid) if wants else None
        before = self.places.get(key)
        if before and before != place:
            self.leave(key, before)
        if wants is None or place is None or self.group is None:
            return
        self.places[key] = place
        session = self.sessions.get(place)
        if session is None:
            session = self.sessions[place] = Session(wants.target)
            name = f"dashboard {wants.target.namespace} {wants.target.url}"
            session.task = self.group.create_task(self.keep(place, session), name=name)
        if session.wants.get(key) != wants:
            session.wants[key] = wants
            session.effects = {
                (owner, effect): state
                for (owner, effect), state in session.effects.items()
                if owner != key or effect in wants.effects
            }
            session.changed.set()

    def leave(self, key: Ref, place: tuple[str, str]) -> None:
        """`key` wants nothing of that head any more; the last one to leave ends the session."""
        del self.places[key]
        session = self.sessions[place]
        session.wants.pop(key, None)
        session.effects = {pair: state for pair, state in session.effects.items() if pair[0] != key}
        session.changed.set()

    def known(self, key: Ref) -> Known:
        """See Sessions.known."""
        place = self.places.get(key)
        session = self.sessions.get(place) if place else None
        wants = session.wants.get(key) if session else None
        if session is None or wants is None:
            return Known()
        about = next(iter(wants.jobs), next((job_of(effect) for effect in wants.effects), ""))
        states = {effect: state for (owner, effect), state in session.effects.items() if owner == key}
        return replace(session.jobs.get(about, Known()), effects=states)

    async def keep(self, place: tuple[str, str], session: Session) -> None:
        """One session's life: ask, act, wait for a change or for the next poll."""
        while session.wants:
            session.changed.clear()
            dashboard = await self.connect(session)
            if dashboard is not None:
                for job in session.wanted_jobs:
                    await self.poll(session, dashboard, job)
                for key, effect in session.open_effects():
                    await self.have(session, dashboard, key, effect)
            await self.pause(session)
        if self.sessions.get(place) is session:
            del self.sessions[place]

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
                for job in session.wanted_jobs:
                    self.failed(session, job, f"cannot read Secret {target.namespace}/{target.token_secret}: {error}")
                return None
        return Dashboard(self.transport, target.url, session.token or "")

    async def poll(self, session: Session, dashboard: Dashboard, job: str) -> None:
        """Ask for one job and keep the answer, unless it is known to be over."""
        before = session.jobs.get(job, Known())
        if before.job and before.job.status in TERMINAL:
            return
        try:
            info = await dashboard.job(job)
        except NoSuchJob:
            self.learn(session, job, Known(missing=True, asked_at=self.clock.now()))
        except NotAuthenticated as error:
            session.token = None  # it may have been rotated: read it again before the next try
            self.failed(session, job, str(error))
        except (NoAnswer, DashboardError) as error:
            self.failed(session, job, str(error))
        else:
            self.learn(session, job, Known(job=info, asked_at=self.clock.now()))

    async def have(self, session: Session, dashboard: Dashboard, key: Ref, effect: Effect) -> None:
        """Try to have one effect, once."""
        if effect not in (session.wants.get(key) or Wants(session.target)).effects or not self.may_write():
            return
        try:
            state = await self.attempt(session, dashboard, effect)
        except NoSuchJob:
            state = (EffectState.DONE, "")  # what is not there is stopped, and deleted
        except (NoAnswer, DashboardError) as error:
            state = (EffectState.FAILED, str(error))
            if isinstance(effect, SubmitJob):
                self.failed(session, job_of(effect), str(error))
        if state is not None and session.effects.get((key, effect)) != state:
            session.effects[key, effect] = state
            self.wake(key)

    async def attempt(self, session: Session, dashboard: Dashboard, effect: Effect) -> tuple[EffectState, str] | None:
        """The request that an effect needs now; None: it cannot be judged before the next poll."""
        match effect:
            case SubmitJob(submission):
                known = session.jobs.get(submission.submission_id, Known())
                if known.job is not None:
                    return already_there(effect, known.job)
                if not known.missing:
                    return None
                log.info("submitting job", job=submission.submission_id, dashboard=dashboard.url)
                try:
                    await dashboard.submit(submission)
                except IdTaken:
                    session.changed.set()  # look at once whose it is
                    return None
                session.jobs[submission.submission_id] = Known(asked_at=known.asked_at)
                session.changed.set()
                return EffectState.DONE, ""
            case StopJob(job_id):
                log.info("stopping job", job=job_id, dashboard=dashboard.url)
                await dashboard.stop(job_id)
                return EffectState.DONE, ""
            case DeleteJob(job_id):
                log.info("deleting job", job=job_id, dashboard=dashboard.url)
                await dashboard.delete(job_id)
                return EffectState.DONE, ""

    def learn(self, session: Session, job: str, known: Known) -> None:
        """Keep an answer, and wake whom it is news for."""
        before = session.jobs.get(job)
        session.jobs[job] = known
        if known.missing:  # a head that forgot the job needs its submission again (spec rayjob E35)
            session.effects = {
                (key, effect): state
                for (key, effect), state in session.effects.items()
                if not (isinstance(effect, SubmitJob) and job_of(effect) == job)
            }
        if before is None or news(before) != news(known):
            self.wake_about(session, job)

    def failed(self, session: Session, job: str, error: str) -> None:
        """Keep that nothing was learned; only the first failure of a streak is news."""
        before = session.jobs.get(job, Known())
        session.jobs[job] = replace(before, failing_since=before.failing_since or self.clock.now(), error=error)
        if before.failing_since is None:
            log.info("dashboard does not answer", job=job, dashboard=session.target.url, error=error)
            self.wake_about(session, job)

    def wake_about(self, session: Session, job: str) -> None:
        """Every key that asks about the job."""
        for key, wants in session.wants.items():
            if job in wants.jobs or any(job_of(effect) == job for effect in wants.effects):
                self.wake(key)


def news(known: Known) -> tuple[JobInfo | None, bool, datetime | None]:
    """What makes one answer differ from another for those who read it; its age does not."""
    return known.job, known.missing, known.failing_since


def job_of(effect: Effect) -> str:
    """The job that an effect is about."""
    return effect.submission.submission_id if isinstance(effect, SubmitJob) else effect.submission_id


def already_there(effect: SubmitJob, info: JobInfo) -> tuple[EffectState, str]:
    """A job of that id exists: success only if entrypoint and metadata are ours (design.md §2)."""
    ours: Mapping[str, str] = effect.submission.metadata
    if info.entrypoint == effect.submission.entrypoint and dict(info.metadata) == dict(ours):
        return EffectState.DONE, ""
    what = "entrypoint" if info.entrypoint != effect.submission.entrypoint else "metadata"
    return EffectState.REFUSED, (
        f"a job with submission id {effect.submission.submission_id} and another {what} is on the cluster already; "
        "choose another spec.jobId"
    )
