"""`manta run` of a RayCronJob: when its next tick is, and the RayJob that it makes then, which is followed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

from api.meta import parse_time
from api.v1.cron import parse_schedule, zone_of
from api.v1.wire import LABEL_CRON_JOB, RAY_JOBS
from controller.runtime.clock import local_zone
from manta.alarms import telling_warnings
from manta.api import path_of
from manta.documents import Document
from manta.follow import watch
from manta.lines import Verdict
from manta.local import Local
from manta.show import Show

__all__ = ["Prospect", "first_job", "job_document", "prospect"]

FAR: Final = timedelta(minutes=2)  # what is further off is not waited for to try something out
TRY: Final = 'to try it at once, run the file with schedule: "@every 5s"'


@dataclass(frozen=True, slots=True)
class Prospect:
    """Whether a tick will come, and a sentence about it."""

    comes: bool
    text: str


def prospect(cron: Document, made: datetime, local: tzinfo) -> Prospect:
    """Of a RayCronJob that is valid, and was made just now. `local` is the time zone of the operator."""
    spec: Mapping[str, Any] = cron.body["spec"]
    if spec.get("suspend"):
        return Prospect(False, f"{cron} is suspended: it makes no RayJob")
    zone = zone_of(spec.get("timeZone"), local)
    tick = parse_schedule(spec["schedule"], zone).after(made)
    if tick is None:
        return Prospect(False, f"the schedule of {cron} never comes round: it makes no RayJob")
    away = tick - made
    moment = f"{tick.astimezone(zone):%a %Y-%m-%d %H:%M:%S %z}"
    text = f"{cron}: next tick {moment}, in {rough(away)}; its RayJob is followed"
    return Prospect(True, f"{text} ({TRY})" if away > FAR else text)


def rough(interval: timedelta) -> str:
    """Two units at most: "3 d 4 h", "12 min", "42 s"."""
    minutes, seconds = divmod(max(1, round(interval.total_seconds())), 60)
    if not minutes:
        return f"{seconds} s"
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [f"{count} {unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if count]
    return " ".join(units[:2])


async def first_job(local: Local, cron: Document, show: Show) -> Document | Verdict:
    """The first RayJob that it makes, or why there will be none. Warnings are told meanwhile."""
    waiting = Waiting(cron, show)
    namespace = cron.namespace
    path, jobs = (path_of(cron.body["apiVersion"], kind, namespace) for kind in (cron.kind, RAY_JOBS.kind))
    async with telling_warnings(local.api, show), asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(watch(local.api, path, waiting.cron, fieldSelector=f"metadata.name={cron.name}")),
            group.create_task(watch(local.api, jobs, waiting.job, labelSelector=f"{LABEL_CRON_JOB}={cron.name}")),
            group.create_task(cell_ends(local, waiting)),
        ]
        await waiting.over.wait()
        for task in tasks:
            task.cancel()
    assert waiting.found is not None
    return waiting.found


async def cell_ends(local: Local, waiting: Waiting) -> None:
    """The end of the cell is the end of the run."""
    waiting.end(Verdict(1, f"the local cluster ended: {await local.cell.ended()}", cell_ended=True))


@dataclass(slots=True)
class Waiting:
    """What came first: the RayJob, or an end."""

    document: Document
    show: Show
    found: Document | Verdict | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def cron(self, type_: str, body: Mapping[str, Any]) -> None:
        """For the watch of the RayCronJob."""
        if type_ == "DELETED":
            self.end(Verdict(1, f"{self.document} was deleted"))
        elif type_ == "ADDED":
            made = parse_time(body["metadata"]["creationTimestamp"])
            ahead = prospect(self.document, made, local_zone(os.environ))
            if ahead.comes:
                self.show.say(ahead.text)
            else:
                self.end(Verdict(1, ahead.text))

    def job(self, _: str, body: Mapping[str, Any]) -> None:
        """For the watch of its RayJobs."""
        self.end(job_document(self.document, body))

    def end(self, found: Document | Verdict) -> None:
        """The first one counts."""
        self.found = self.found or found
        self.over.set()


def job_document(cron: Document, job: Mapping[str, Any]) -> Document:
    """The RayJob, with its fields where the file has those of the template."""
    template = ("spec", "jobTemplate")
    places = {("spec", *steps[2:]): place for steps, place in cron.places.items() if steps[:2] == template}
    return replace(cron, body={**job}, places=places, repeated=())
