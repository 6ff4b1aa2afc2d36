"""Rules about what a RayCronJob makes (spec admission §4.7; CR03 to CR05).

CR01 is N1 to N6, which are enforced; CR02 stands beside them, with the other rules that read the schedule. The job
inside is judged by the rules of `job_content`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

from api.v1.cron import BadSchedule, parse_schedule
from api.v1.rules.job_content import takes_over
from api.v1.rules.making import object_rule
from api.v1.rules.model import Context, Rule, Severity
from api.v1.rules.places import cluster_in
from api.v1.rules.reading import Found
from api.v1.rules.typed import child, is_true, text, whole

__all__ = ["RULES"]

Json = Mapping[str, Any]

KIND: Final = ("RayCronJob",)
GATE: Final = "RayCronJob"
TEMPLATE: Final = "spec.jobTemplate"
SINCE: Final = datetime(2000, 1, 1, tzinfo=UTC)
TICKS: Final = 32  # so many are looked at for the shortest time between two


@object_rule("CR03", KIND, Severity.WARN)
def clusters_pile_up(new: Json, _: Context) -> Iterator[Found]:
    """Each tick leaves one behind."""
    template = child(new, "spec", "jobTemplate")
    removed = is_true(template, "shutdownAfterJobFinishes") or bool(child(template, "deletionStrategy"))
    if not removed and not child(template, "clusterSelector"):
        yield Found(
            f"{TEMPLATE}.shutdownAfterJobFinishes",
            "the cluster of every run is kept: they pile up",
            template.get("shutdownAfterJobFinishes"),
            "set shutdownAfterJobFinishes: true, or deletionRules",
        )


@object_rule("CR04", KIND)
def template_unfit_for_repetition(new: Json, _: Context) -> Iterator[Found]:
    """What one job may say and many cannot."""
    template = child(new, "spec", "jobTemplate")
    placed = cluster_in(new)
    shared = child(template, "clusterSelector") or takes_over(placed.cluster if placed is not None else None)
    if text(template, "jobId") and shared:  # in a cluster of its own each is the first
        message = "every run would have the same jobId, and all but the first would take over its result"
        yield Found(f"{TEMPLATE}.jobId", message, template["jobId"], "leave jobId out")
    if is_true(template, "suspend"):
        message = "every run would be made suspended"
        hint = "use spec.suspend to stop the schedule"
        yield Found(f"{TEMPLATE}.suspend", message, True, hint, severity=Severity.WARN)
    if child(template, "clusterSelector") and _may_overlap(new, whole(template, "activeDeadlineSeconds")):
        yield Found(
            f"{TEMPLATE}.clusterSelector",
            "all runs share a cluster, and one may still be there when the next begins",
            dict(child(template, "clusterSelector")),
            "set activeDeadlineSeconds below the time between two runs",
            severity=Severity.WARN,
        )


def _may_overlap(new: Json, deadline: int | None) -> bool:
    """May a run last until the next? A schedule that cannot be read is N3's."""
    if deadline is None:
        return True
    try:
        schedule = parse_schedule(text(child(new, "spec"), "schedule"))
    except BadSchedule:
        return False
    ticks = [schedule.after(SINCE)]
    while len(ticks) < TICKS and ticks[-1] is not None:
        ticks.append(schedule.after(ticks[-1]))
    known = [tick for tick in ticks if tick is not None]
    return any((later - earlier).total_seconds() < deadline for earlier, later in pairwise(known))


@object_rule("CR05", KIND, Severity.WARN)
def kind_not_looked_after(_new: Json, context: Context) -> Iterator[Found]:
    """It is stored, and nothing happens."""
    if not context.gate(GATE):
        message = f"the operator ignores RayCronJobs: its gate {GATE} is off"
        yield Found("kind", message, "RayCronJob", f"start the operator with --feature-gates={GATE}=true")


RULES: Final[tuple[Rule, ...]] = (clusters_pile_up, template_unfit_for_repetition, kind_not_looked_after)
