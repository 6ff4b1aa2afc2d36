"""What is wanted of one head, by whom, and what is known of it. State without I/O; `sessions` does the talking."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Final, TypeAlias

from api.meta import Ref
from controller.ray.dashboard.protocol import (
    Effect,
    EffectState,
    JobInfo,
    Known,
    Proxy,
    ProxyInfo,
    PutServe,
    ServeInfo,
    SubmitJob,
    Target,
    Wants,
)

__all__ = ["TERMINAL", "Session", "Subject", "Topic", "already_there", "subject_of"]


class Topic(Enum):
    """What can be asked about beside jobs."""

    SERVE = "Serve's applications"


Subject: TypeAlias = str | Topic  # a job's id, or a topic
TERMINAL: Final = frozenset({"STOPPED", "SUCCEEDED", "FAILED"})
FINAL: Final = (EffectState.DONE, EffectState.REFUSED)


@dataclass(slots=True)
class Session:
    """One (cluster, head pod). Methods that learn something answer which keys have news."""

    target: Target
    wants: dict[Ref, Wants] = field(default_factory=dict)
    answers: dict[Subject, Known] = field(default_factory=dict)
    proxies: dict[Proxy, ProxyInfo] = field(default_factory=dict)
    effects: dict[tuple[Ref, Effect], tuple[EffectState, str]] = field(default_factory=dict)
    marks: dict[Ref, str] = field(default_factory=dict)  # that of the wants which the newest question was asked for
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    token: str | None = None
    task: asyncio.Task[None] | None = None

    # What is wanted

    def want(self, key: Ref, wants: Wants) -> None:
        """Replace all that `key` wants; what it wants no more and was not yet sent is dropped."""
        if self.wants.get(key) == wants:
            return
        if self.target != wants.target:
            self.target, self.token = wants.target, None
        self.wants[key] = wants
        self._forget(lambda owner, effect: owner == key and effect not in wants.effects)
        self.changed.set()

    def leave(self, key: Ref) -> None:
        """`key` wants nothing any more."""
        self.wants.pop(key, None)
        self.marks.pop(key, None)
        self._forget(lambda owner, effect: owner == key)
        self.changed.set()

    def _forget(self, goes: Callable[[Ref, Effect], bool]) -> None:
        self.effects = {pair: state for pair, state in self.effects.items() if not goes(*pair)}
        subjects, doors = set(self.subjects), set(self.wanted_proxies)
        self.answers = {subject: known for subject, known in self.answers.items() if subject in subjects}
        self.proxies = {proxy: known for proxy, known in self.proxies.items() if proxy in doors}

    @property
    def subjects(self) -> list[Subject]:
        """All that somebody asks about, and every job that somebody wants to submit, once."""
        names: dict[Subject, None] = {}
        for wants in self.wants.values():
            names |= dict.fromkeys(asked(wants))
            names |= dict.fromkeys(subject_of(effect) for effect in wants.effects if isinstance(effect, SubmitJob))
        return list(names)

    @property
    def wanted_proxies(self) -> list[Proxy]:
        """Every proxy that somebody asks about, once."""
        return list(dict.fromkeys(proxy for wants in self.wants.values() for proxy in wants.proxies))

    @property
    def settled(self) -> bool:
        """Nothing more can change by asking: all jobs are over and all effects had or refused."""
        over = all(self.is_over(subject) for subject in self.subjects)
        return over and not self.wanted_proxies and not self.open_effects()

    def is_over(self, subject: Subject) -> bool:
        """Terminal states of a job never change (spec ray-side S4-15); an application has none."""
        known = self.answers.get(subject)
        return known is not None and known.job is not None and known.job.status in TERMINAL

    def touches(self, job: Subject) -> bool:
        """Somebody wants the job touched."""
        return any(wants.touch and job in wants.jobs for wants in self.wants.values())

    def open_effects(self) -> list[tuple[Ref, Effect]]:
        """Effects that are still to be had."""
        return [
            (key, effect)
            for key, wants in self.wants.items()
            for effect in wants.effects
            if self.effects.get((key, effect), (EffectState.WAITING, ""))[0] not in FINAL
        ]

    def is_wanted(self, key: Ref, effect: Effect) -> bool:
        """Still?"""
        wants = self.wants.get(key)
        return wants is not None and effect in wants.effects

    # What is known

    def known(self, key: Ref) -> Known:
        """See Sessions.known."""
        wants = self.wants.get(key)
        if wants is None:
            return Known()
        about = next(iter(asked(wants)), next((subject_of(effect) for effect in wants.effects), ""))
        states = {effect: state for (owner, effect), state in self.effects.items() if owner == key}
        doors = {proxy: self.proxies[proxy] for proxy in wants.proxies if proxy in self.proxies}
        mark = self.marks.get(key, "")
        return replace(self.answers.get(about, Known()), effects=states, mark=mark, proxies=doors)

    def asking(self, subject: Subject) -> Mapping[Ref, str]:
        """Who asks about that now, and under which mark."""
        return {key: wants.mark for key, wants in self.wants.items() if subject in asked(wants)}

    def learn(self, subject: Subject, known: Known, asked_by: Mapping[Ref, str]) -> set[Ref]:
        """Keep an answer."""
        before = self.answers.get(subject)
        if known.missing:
            known = self._missing(subject, known, before or Known())
        self.answers[subject] = known
        is_news = before is None or news(before) != news(known)
        return (self.about(subject) if is_news else set()) | self._marked(asked_by)

    def learn_proxy(self, proxy: Proxy, known: ProxyInfo) -> set[Ref]:
        """Keep what a proxy said; why it is not healthy is no news."""
        before, self.proxies[proxy] = self.proxies.get(proxy), known
        if before is not None and (before.healthy, before.routes) == (known.healthy, known.routes):
            return set()
        return {key for key, wants in self.wants.items() if proxy in wants.proxies}

    def _missing(self, job: Subject, known: Known, before: Known) -> Known:
        """A head that forgot the job needs its submission again (spec rayjob E35).

        While submissions fail, that the job is not there is no success: the streak goes on until one goes through.
        """
        submits = [
            pair for pair in self.wanted_effects() if isinstance(pair[1], SubmitJob) and subject_of(pair[1]) == job
        ]
        for pair in submits:
            if self.effects.get(pair, (EffectState.WAITING, ""))[0] is EffectState.DONE:
                del self.effects[pair]
        return replace(known, failing_since=before.failing_since, error=before.error) if submits else known

    def wanted_effects(self) -> Iterable[tuple[Ref, Effect]]:
        """All effects that are wanted."""
        return [(key, effect) for key, wants in self.wants.items() for effect in wants.effects]

    def failed(self, subject: Subject, error: str, now: datetime, asked_by: Mapping[Ref, str]) -> set[Ref]:
        """Keep that nothing was learned; only the first failure of a streak is news."""
        before = self.answers.get(subject, Known())
        self.answers[subject] = replace(before, failing_since=before.failing_since or now, error=error)
        return (self.about(subject) if before.failing_since is None else set()) | self._marked(asked_by)

    def _marked(self, asked_by: Mapping[Ref, str]) -> set[Ref]:
        """Those who waited for a question under their mark."""
        fresh = {key for key, mark in asked_by.items() if self.marks.get(key, "") != mark and key in self.wants}
        self.marks |= {key: asked_by[key] for key in fresh}
        return fresh

    def about(self, subject: Subject) -> set[Ref]:
        """Every key that it concerns."""
        return {
            key
            for key, wants in self.wants.items()
            if subject in asked(wants) or any(subject_of(effect) == subject for effect in wants.effects)
        }


def asked(wants: Wants) -> tuple[Subject, ...]:
    """What it asks about."""
    return (*wants.jobs, *((Topic.SERVE,) if wants.serve else ()))


def news(known: Known) -> tuple[JobInfo | None, bool, datetime | None, ServeInfo | None]:
    """What makes one answer differ from another for those who read it; its age does not."""
    return known.job, known.missing, known.failing_since, known.serve


def subject_of(effect: Effect) -> Subject:
    """What an effect is about."""
    if isinstance(effect, PutServe):
        return Topic.SERVE
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
