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
from typing import Final, TypeAlias

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
    Refused,
)
from controller.ray.dashboard.protocol import (
    DeleteJob,
    Effect,
    EffectState,
    Known,
    Proxy,
    PutServe,
    StopJob,
    SubmitJob,
    Target,
    Wants,
)
from controller.ray.dashboard.serve import applications, ask_proxy, configure
from controller.ray.dashboard.session import Session, Subject, Topic, already_there, subject_of
from controller.runtime.contained import contained
from controller.runtime.errors import NotLeading
from controller.runtime.interfaces import Clock, MayWrite
from controller.runtime.permit import permitting

__all__ = ["POLL_SECONDS", "DashboardSessions", "ReadToken"]

POLL_SECONDS: Final = 3.0  # the reference's cadence; users' scripts expect a status about as fresh as that
PROXIES_AT_ONCE: Final = 8

Place: TypeAlias = tuple[str, str]  # (cluster UID, run of its head)
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
        self.sessions: dict[Place, Session] = {}
        self.places: dict[Ref, set[Place]] = {}
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

    def want(self, key: Ref, *wants: Wants | None) -> None:
        """See Sessions.want."""
        now = {place_of(one.target): one for one in wants if one is not None}
        for place in self.places.pop(key, set()) - now.keys():
            self.sessions[place].leave(key)
        if self.group is None or not now:
            return
        self.places[key] = set(now)
        for place, one in now.items():
            session = self.sessions.get(place)
            if session is None:
                session = self.sessions[place] = Session(one.target)
                name = f"dashboard {one.target.namespace} {one.target.url}"
                session.task = self.group.create_task(self.keep(place, session), name=name)
            session.want(key, one)

    def known(self, key: Ref, target: Target | None = None) -> Known:
        """See Sessions.known."""
        places = self.places.get(key, set())
        place = next(iter(places), None) if target is None else place_of(target)
        session = self.sessions.get(place) if place in places else None
        return session.known(key) if session else Known()

    async def keep(self, place: Place, session: Session) -> None:
        """One session's life: ask, act, wait for a change or for the next poll; the last one to leave ends it."""
        while session.wants:
            session.changed.clear()
            with contained("dashboard", on_error=partial(self.broken, session), dashboard=session.target.url):
                await self.look(session)
            await self.pause(session)
        if self.sessions.get(place) is session:
            del self.sessions[place]

    async def look(self, session: Session) -> None:
        """Ask about everything, then try to have what is wanted."""
        await self.poll_proxies(session)
        dashboard = await self.connect(session)
        if dashboard is None:
            return
        for subject in session.subjects:
            await self.poll(session, dashboard, subject)
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
                for subject in session.subjects:
                    self.failed(session, subject, words, session.asking(subject))
                return None
        return Dashboard(self.transport, target.url, session.token or "")

    async def poll(self, session: Session, dashboard: Dashboard, subject: Subject) -> None:
        """Ask about one thing and keep the answer, unless it is known to be over."""
        if session.is_over(subject):
            return
        asked_by, first = session.asking(subject), session.answers.get(subject, Known()).job is None
        try:
            known = await self.ask(dashboard, subject)
        except NotAuthenticated as error:
            session.token = None  # it may have been rotated: read it again before the next try
            self.failed(session, subject, str(error), asked_by)
        except (NoAnswer, DashboardError) as error:
            self.failed(session, subject, str(error), asked_by)
        else:
            self.wake_all(session.learn(subject, known, asked_by))
            if known.job is not None and first and session.touches(subject) and not session.is_over(subject):
                await self.touch(dashboard, str(subject))

    async def ask(self, dashboard: Dashboard, subject: Subject) -> Known:
        """What the head says of that now."""
        if isinstance(subject, Topic):
            return Known(serve=await applications(dashboard), asked_at=self.clock.now())
        try:
            return Known(job=await dashboard.job(subject), asked_at=self.clock.now())
        except NoSuchJob:
            return Known(missing=True, asked_at=self.clock.now())

    async def poll_proxies(self, session: Session) -> None:
        """Ask all of them, a few at a time: one that hangs keeps nobody waiting for longer than itself."""
        turns = asyncio.Semaphore(PROXIES_AT_ONCE)

        async def one(proxy: Proxy) -> None:
            async with turns:
                self.wake_all(session.learn_proxy(proxy, await ask_proxy(self.transport, proxy)))

        async with asyncio.TaskGroup() as group:
            for proxy in session.wanted_proxies:
                group.create_task(one(proxy), name=f"proxy {proxy.url}")

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
            with permitting(self.check_lease):  # once more when there is a connection: to wait for one may take long
                state = await self.attempt(session, dashboard, effect)
        except NotLeading:
            return
        except NoSuchJob:
            state = (EffectState.DONE, "")  # what is not there is stopped, and deleted
        except Refused as error:
            state = (EffectState.REFUSED, str(error))
        except (NoAnswer, DashboardError) as error:
            if isinstance(error, NotAuthenticated):
                session.token = None
            state = (EffectState.FAILED, str(error))
            if isinstance(effect, SubmitJob):
                self.failed(session, subject_of(effect), str(error), {})
        if state is not None and session.is_wanted(key, effect) and session.effects.get((key, effect)) != state:
            session.effects[key, effect] = state
            self.wake(key)

    def check_lease(self) -> None:
        """Raises NotLeading."""
        if not self.may_write():
            raise NotLeading("another replica may lead")

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
            case PutServe(digest, body):
                log.info("configuring Serve", digest=digest, dashboard=dashboard.url)
                await configure(dashboard, body)
                session.changed.set()  # ask at once how it goes
        return EffectState.DONE, ""

    async def submit(self, session: Session, dashboard: Dashboard, effect: SubmitJob) -> tuple[EffectState, str] | None:
        """Submit what Ray said is not there."""
        job = subject_of(effect)
        known = session.answers.get(job, Known())
        if known.job is not None:
            return already_there(effect, known.job)
        if not known.missing:
            return None
        log.info("submitting job", job=job, dashboard=dashboard.url)
        try:
            await dashboard.submit(effect.submission)
        except IdTaken:
            return None  # the next poll tells whose it is
        session.answers[job] = Known(asked_at=known.asked_at)
        session.changed.set()  # ask at once how it goes
        return EffectState.DONE, ""

    def failed(self, session: Session, subject: Subject, error: str, asked_by: Mapping[Ref, str]) -> None:
        """Nothing was learned, or submitted."""
        if session.answers.get(subject, Known()).failing_since is None:
            about = subject.value if isinstance(subject, Topic) else subject
            log.info("dashboard does not answer", about=about, dashboard=session.target.url, error=error)
        self.wake_all(session.failed(subject, error, self.clock.now(), asked_by))

    def broken(self, session: Session, error: Exception) -> None:
        """Something that nobody thought of: whoever asks must read it, and the next poll is another try."""
        for subject in session.subjects:
            self.failed(session, subject, f"asking the dashboard failed: {error!r}", session.asking(subject))

    def wake_all(self, keys: Iterable[Ref]) -> None:
        """Those who have news."""
        for key in keys:
            self.wake(key)


def place_of(target: Target) -> Place:
    """Where a session stands: what another run of that head said is no answer of this one."""
    return target.cluster_uid, target.head_run
