"""The state machine of a RayJob (spec rayjob §5): in each phase, the first rule with something to say wins.

The table is all there is: a phase without a rule for a situation stays as it is. What is created or deleted in a
phase is decided in `decide`; a verdict that must wait for that to succeed says so (`needs_writes`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from controller.ray.rayjob import rules
from controller.ray.rayjob.seen import Phase, Seen
from controller.ray.rayjob.verdict import Verdict

__all__ = ["RULES", "Rule", "next_phase"]

Rule = Callable[[Seen, datetime], Verdict | None]

RULES: Mapping[Phase, tuple[Rule, ...]] = {
    Phase.NEW: (rules.names_chosen,),
    Phase.INITIALIZING: (
        rules.suspend_asked,
        rules.active_deadline_passed,
        rules.pre_running_deadline_passed,
        rules.foreign_submitter,
        rules.cluster_ready,
    ),
    Phase.WAITING: (rules.pre_running_deadline_passed, rules.job_id_given),
    Phase.RUNNING: (
        rules.suspend_asked,
        rules.active_deadline_passed,
        rules.transition_grace_passed,
        rules.status_check_timed_out,
        rules.foreign_submitter,
        rules.job_ended,
        rules.submitter_finished_long_ago,
        rules.submitter_failed,
        rules.submission_refused,
        rules.job_unknown,
        rules.job_polled,
        rules.polls_fail,
    ),
    Phase.COMPLETE: (),
    Phase.FAILED: (),
    Phase.VALIDATION_FAILED: (rules.valid_again,),
    Phase.SUSPENDING: (rules.everything_deleted,),
    Phase.SUSPENDED: (rules.resumed,),
    Phase.RETRYING: (rules.everything_deleted,),
}


def next_phase(seen: Seen, now: datetime) -> Verdict:
    """What becomes of the job, and why; its own phase again when no rule has anything to say."""
    if seen.phase is None:
        return Verdict(Phase.NEW, unchanged=True)
    for rule in RULES[seen.phase]:
        if (verdict := rule(seen, now)) is not None:
            return verdict
    return Verdict(seen.phase, unchanged=True)
