"""One snapshot of a RayCronJob -> the RayJob to make now, if any, and when to look again (spec rayjob §12.2). Pure.

One tick a pass. A tick's RayJob is named after it, so that a pass that is repeated, by a stale view, a second leader or
after a crash, finds what the first one made; only then the status says that the tick was attended to.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from api.meta import Json, format_time, owner_reference
from api.v1 import wire
from controller.ray.raycronjob.schedule import Ticks, ticks_of
from controller.ray.raycronjob.seen import Seen
from controller.runtime.plan import Announcement, Create, Plan, Step

__all__ = ["Decision", "decide"]

SUSPENDED: Final = Announcement(
    "Normal", "SuspendedRayCronJob", "Suspend", "RayCronJob suspended, no new RayJobs will be created"
)


@dataclass(frozen=True, slots=True)
class Decision:
    """A plan, the tick that it attends to if it attends to one, and the tick for which to look again."""

    plan: Plan
    tick: datetime | None = None
    look_at: datetime | None = None
    works: bool = False  # its spec is good, and ours to work on


def decide(seen: Seen, now: datetime, invalid: Announcement | None = None) -> Decision:
    """The whole decision. `invalid` is the event of a failed validation.

    One that is being deleted makes nothing more: the reference may, while it waits for its RayJobs to go (E66).
    """
    if seen.metadata.get("deletionTimestamp"):
        return Decision(Plan())
    if invalid is not None:
        return Decision(Plan(events=(invalid,)))
    if seen.spec.suspend:
        return Decision(Plan(events=(SUSPENDED,)), works=True)
    ticks = ticks_of(seen, now)
    if ticks.first is None or ticks.first > now:
        return Decision(Plan(), look_at=ticks.first, works=True)
    step = Step.of(Create(wire.RAY_JOBS, desired_job(seen, ticks.first), why="tick"))
    return Decision(Plan(steps=(step,), events=passed_over(seen, ticks)), ticks.first, ticks.then, works=True)


def desired_job(seen: Seen, tick: datetime) -> Json:
    """The RayJob of a tick. It inherits nothing of the RayCronJob but its namespace."""
    name = seen.metadata["name"]
    return {
        "apiVersion": wire.RAY_JOBS.api_version,
        "kind": wire.RAY_JOBS.kind,
        "metadata": {
            "name": f"{name}-{int(tick.timestamp()) // 60}",
            "namespace": seen.metadata["namespace"],
            "labels": {wire.LABEL_CRON_JOB: name},
            "annotations": {wire.ANNOTATION_TICK: format_time(tick)},
            "ownerReferences": [owner_reference(wire.RAY_CRON_JOBS, seen.cron)],
        },
        "spec": seen.cron["spec"]["jobTemplate"],
    }


def passed_over(seen: Seen, ticks: Ticks) -> tuple[Announcement, ...]:
    """What is not made up for is at least told."""
    if ticks.first is None or ticks.skipped is None:
        return ()
    most = seen.options.cron_backfill_limit
    note = (
        f"Missed ticks from {format_time(ticks.skipped)} up to {format_time(ticks.first)} get no RayJob: "
        f"this operator makes up for {most} at most (-cron-backfill-limit)"
    )
    return (Announcement("Warning", "SkippedMissedTicks", "Skip", note),)
