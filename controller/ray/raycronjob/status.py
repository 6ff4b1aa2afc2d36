"""What a pass reports: that a tick was attended to, or why its RayJob could not be made. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from api.meta import Json, format_time
from controller.ray.raycronjob.decide import Decision
from controller.ray.raycronjob.seen import Seen
from controller.runtime.plan import DONE, Announcement, Outcome, Result, Verdict, after, ref_of

__all__ = ["Report", "report", "result_of"]

# The tick is done with. An object of its name is there: the tick's own, though it may be on its way out again, or
# somebody else's. That one is never touched and will not go by itself, and the ticks after it must not wait for it.
ATTENDED: Final = frozenset({Verdict.DONE, Verdict.ALREADY, Verdict.STALE, Verdict.FOREIGN})

# At once, and the pass went well all the same: AGAIN would keep the back-off of passes before it that did not.
AT_ONCE: Final = timedelta.resolution


@dataclass(frozen=True, slots=True)
class Report:
    """`status` is the whole new status, or None where nothing is worth a write; with an error the pass failed."""

    status: Json | None
    events: tuple[Announcement, ...]
    look_at: datetime | None = None
    error: Exception | None = None


def report(seen: Seen, decision: Decision, outcomes: Sequence[Outcome]) -> Report:
    """From what was decided and what became of the one write. What went well has no event, as in the reference."""
    if decision.tick is None:
        return Report(None, decision.plan.events, decision.look_at)
    (outcome,) = outcomes
    events = (*decision.plan.events, *_told(outcome))
    if outcome.verdict in ATTENDED:
        return Report({**seen.status, "lastScheduleTime": format_time(decision.tick)}, events, decision.look_at)
    error = outcome.error or RuntimeError(f"{ref_of(outcome.write)}: {outcome.verdict.value}")
    return Report(None, events, error=error)


def result_of(told: Report, now: datetime) -> Result:
    """When to look again. `now` is the time after the writes: the next tick does not wait for as long as they took."""
    if told.error is not None:
        return Result(error=told.error)
    if told.look_at is None:
        return DONE
    return after(max(told.look_at - now, AT_ONCE))


def _told(outcome: Outcome) -> tuple[Announcement, ...]:
    """What passes by itself (a conflict, a predecessor's RayJob that is being collected) is not worth an event."""
    ref = ref_of(outcome.write)
    what = f"Failed to create RayJob {ref.namespace}/{ref.name}"
    match outcome.verdict:
        case Verdict.FOREIGN:
            why = "it exists and does not belong to this RayCronJob; this tick is passed over"
        case Verdict.REFUSED:
            why = str(outcome.error)
        case _:
            return ()
    return (Announcement("Warning", "FailedToCreateRayJob", "Create", f"{what}: {why}"),)
