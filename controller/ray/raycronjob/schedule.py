"""Which tick of a RayCronJob comes next, and which of those that were missed are made up for. Pure.

What a schedule means is the API's to know (api/v1/cron.py). Here: where it begins (spec rayjob §12.2 item 4), and what
becomes of ticks that are due all at once, after a suspension, an outage or an edit of the schedule (spec rayjob E61).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from api.v1.cron import Schedule, parse_schedule, zone_of
from controller.ray.raycronjob.seen import Seen

__all__ = ["Ticks", "ticks_of"]


@dataclass(frozen=True, slots=True)
class Ticks:
    """The first tick that must be attended to, and the one after it; None is never.

    `skipped` is the first of the ticks before them that are passed over, because too many are due at once.
    """

    first: datetime | None
    then: datetime | None = None
    skipped: datetime | None = None


def ticks_of(seen: Seen, now: datetime) -> Ticks:
    """Of a RayCronJob that is valid. A schedule without another tick has none: it is not due at all (E63)."""
    schedule = _schedule_of(seen)
    oldest = schedule.after(seen.attended)
    if oldest is None:
        return Ticks(None)
    first, most = oldest, seen.options.cron_backfill_limit
    if most and oldest <= now:
        first = schedule.latest(seen.attended, now, most)[0]
    return Ticks(first, schedule.after(first), oldest if oldest < first else None)


def _schedule_of(seen: Seen) -> Schedule:
    return parse_schedule(seen.spec.schedule, zone_of(seen.spec.time_zone, seen.options.time_zone))
