"""The rules of the state machine, each a question with an answer or none. Named by what they detect. Pure.

Times come from the status and the spec; nothing here waits. `deadlines` says when any of them may change its mind
without an event, so that the key is looked at again just then and never before.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from api.meta import controller_of, format_time, parse_time
from api.v1 import wire
from api.v1.rayjob import TERMINAL_JOB_STATUSES, JobStatus, RayJobReason, SubmissionMode
from controller.ray.dashboard.protocol import EffectState, JobInfo, SubmitJob
from controller.ray.rayjob.seen import Phase, Seen
from controller.ray.rayjob.verdict import Verdict, failed

__all__ = [
    "SUBMITTER_GRACE",
    "active_deadline_passed",
    "cluster_ready",
    "deadlines",
    "everything_deleted",
    "foreign_submitter",
    "job_ended",
    "job_id_given",
    "job_polled",
    "job_unknown",
    "names_chosen",
    "polls_fail",
    "pre_running_deadline_passed",
    "resumed",
    "status_check_timed_out",
    "submission_refused",
    "submitter_failed",
    "submitter_finished_long_ago",
    "suspend_asked",
    "transition_grace_passed",
    "valid_again",
]

SUBMITTER_GRACE: Final = timedelta(seconds=30)  # between the submitter's end and the job's (spec rayjob §5.6 step 8)


def names_chosen(seen: Seen, now: datetime) -> Verdict | None:
    """Job id and cluster name are stored before anything is made under them (design W5)."""
    status: dict[str, Any] = {"startTime": format_time(now)}
    name = seen.metadata["name"]
    job_suffix, cluster_suffix = seen.fresh
    if seen.mode != SubmissionMode.INTERACTIVE and not seen.status.get("jobId"):
        status["jobId"] = seen.spec.job_id or f"{name}-{job_suffix}"
    if not seen.status.get("rayClusterName"):
        status["rayClusterName"] = seen.spec.cluster_selector.get(wire.LABEL_CLUSTER) or f"{name}-{cluster_suffix}"
    return Verdict(Phase.INITIALIZING, status)


def suspend_asked(seen: Seen, now: datetime) -> Verdict | None:
    """spec.suspend."""
    return Verdict(Phase.SUSPENDING) if seen.spec.suspend else None


def active_deadline_passed(seen: Seen, now: datetime) -> Verdict | None:
    """The deadline covers the start of the cluster, not only the run of the entrypoint."""
    due = seen.due("startTime", seen.spec.active_deadline_seconds)
    if due is None or now < due:
        return None
    return failed(
        RayJobReason.DEADLINE_EXCEEDED,
        f"The RayJob has passed its activeDeadlineSeconds of {seen.spec.active_deadline_seconds} s. "
        f"StartTime: {seen.status['startTime']}",
    )


def pre_running_deadline_passed(seen: Seen, now: datetime) -> Verdict | None:
    """The job took too long to reach Running."""
    due = seen.due("startTime", seen.spec.pre_running_deadline_seconds)
    if due is None or now < due:
        return None
    return failed(
        RayJobReason.PRE_RUNNING_DEADLINE_EXCEEDED,
        f"The RayJob has not reached Running within its preRunningDeadlineSeconds of "
        f"{seen.spec.pre_running_deadline_seconds} s. StartTime: {seen.status['startTime']}",
    )


def foreign_submitter(seen: Seen, now: datetime) -> Verdict | None:
    """A Job of the submitter's name that is not ours would run somebody else's code as this job (design W3)."""
    if not seen.has_submitter or seen.submitter is None or seen.owns(seen.submitter):
        return None
    owner = controller_of(seen.submitter["metadata"])
    if owner is not None and (owner["kind"], owner["name"]) == (wire.RAY_JOBS.kind, seen.metadata["name"]):
        return None  # our predecessor's: garbage collection takes it, and creating ours waits for that
    return failed(
        RayJobReason.SUBMISSION_FAILED,
        f"Job {seen.metadata['namespace']}/{seen.child_name} exists and does not belong to this RayJob; "
        "rename the RayJob or delete that Job.",
    )


def cluster_ready(seen: Seen, now: datetime) -> Verdict | None:
    """The cluster is up and says where its dashboard answers."""
    if seen.cluster is None or not seen.cluster_is_ours or not seen.dashboard:
        return None
    if not seen.status.get("dashboardURL") and (seen.cluster.get("status") or {}).get("state") != "ready":
        return None
    status = {"dashboardURL": seen.dashboard}
    if seen.mode == SubmissionMode.INTERACTIVE:
        return Verdict(Phase.WAITING, status)
    return Verdict(Phase.RUNNING, status, needs_writes=seen.has_submitter)


def job_id_given(seen: Seen, now: datetime) -> Verdict | None:
    """InteractiveMode: the user says under which id he submitted."""
    return Verdict(Phase.RUNNING, {"jobId": seen.spec.job_id}) if seen.spec.job_id else None


def transition_grace_passed(seen: Seen, now: datetime) -> Verdict | None:
    """The job is over, and its submitter has still not ended."""
    due = transition_due(seen)
    if due is None or now < due:
        return None
    phase = Phase.FAILED if seen.status.get("jobStatus") == JobStatus.FAILED else Phase.COMPLETE
    message = (
        "The RayJob submitter did not end within "
        f"{seen.options.transition_grace.total_seconds():g} s after the job did; going on without it."
    )
    reason = RayJobReason.TRANSITION_GRACE_PERIOD_EXCEEDED.value
    return Verdict(phase, {"reason": reason, "message": message})


def transition_due(seen: Seen) -> datetime | None:
    """When the submitter's time is over; None while the job is not, or its end is not known."""
    ended = (seen.status.get("rayJobInfo") or {}).get("endTime")
    if seen.status.get("jobStatus") not in TERMINAL_JOB_STATUSES or not ended:
        return None
    return parse_time(ended) + seen.options.transition_grace


def status_check_timed_out(seen: Seen, now: datetime) -> Verdict | None:
    """The dashboard has not answered for too long; an answer that is in since then counts first."""
    since = seen.time_of("jobStatusCheckFailureStartTime")
    if since is None or now < since + seen.options.status_check_timeout or answered(seen):
        return None
    seconds = f"{seen.options.status_check_timeout.total_seconds():g}"
    return failed(
        RayJobReason.STATUS_CHECK_TIMEOUT_EXCEEDED,
        f"The status of the job could not be read since {format_time(since)}, "
        f"which exceeded timeout of {seconds}s: {seen.known.error or 'no answer'}",
    )


def answered(seen: Seen) -> bool:
    """The newest try to learn about the job was answered with a job."""
    return seen.known.job is not None and seen.known.failing_since is None


def job_ended(seen: Seen, now: datetime) -> Verdict | None:
    """Ray says that the job is over, and nobody follows its log any more."""
    info = seen.known.job
    if info is None or info.status not in TERMINAL_JOB_STATUSES:
        return None
    if seen.has_submitter and seen.submitter_state.finished_at is None:
        return None
    status = learned(seen, info)
    if info.status == JobStatus.FAILED:
        return Verdict(Phase.FAILED, status | {"reason": RayJobReason.APP_FAILED.value})
    return Verdict(Phase.COMPLETE, status)


def submitter_finished_long_ago(seen: Seen, now: datetime) -> Verdict | None:
    """The submitter has ended, and the job has not followed.

    Judged only after Ray was asked since: an operator that was away must not call a finished job failed
    (spec rayjob E29).
    """
    finished = seen.submitter_state.finished_at if seen.has_submitter else None
    if finished is None or now < finished + SUBMITTER_GRACE or not asked_since(seen, finished + SUBMITTER_GRACE):
        return None
    message = (
        f"The RayJob submitter finished at {format_time(finished)} but the ray job did not reach terminal state "
        f"within {SUBMITTER_GRACE.total_seconds():g} s"
    )
    reason = RayJobReason.TRANSITION_GRACE_PERIOD_EXCEEDED
    return failed(reason, message, jobStatus=JobStatus.FAILED.value)


def asked_since(seen: Seen, moment: datetime) -> bool:
    """Ray has answered, or failed to, at or after that moment."""
    known = seen.known
    return known.failing_since is not None or (known.asked_at is not None and known.asked_at >= moment)


def submitter_failed(seen: Seen, now: datetime) -> Verdict | None:
    """The submitter's Job has used up its tries."""
    state = seen.submitter_state
    if not seen.has_submitter or not state.failed:
        return None
    if seen.status.get("jobStatus") == JobStatus.FAILED:
        return Verdict(Phase.FAILED, {"reason": RayJobReason.APP_FAILED.value})
    return failed(
        RayJobReason.SUBMISSION_FAILED,
        f"Job submission has failed. Reason: {state.reason}. Message: {state.message}",
    )


def submission_refused(seen: Seen, now: datetime) -> Verdict | None:
    """HTTPMode: Ray will never take this submission; another job has the id."""
    for effect, (state, message) in seen.known.effects.items():
        if isinstance(effect, SubmitJob) and state is EffectState.REFUSED:
            return failed(RayJobReason.SUBMISSION_FAILED, message)
    return None


def job_unknown(seen: Seen, now: datetime) -> Verdict | None:
    """The submitter is through, and Ray knows no such job; before that it is only not there yet."""
    finished = seen.submitter_state.finished_at if seen.has_submitter else None
    if not seen.known.missing or finished is None or not asked_since(seen, finished):
        return None
    return failed(
        RayJobReason.APP_FAILED,
        f"The submitter finished but the cluster does not know the job {seen.status.get('jobId')}; "
        "its head may have been restarted.",
    )


def job_polled(seen: Seen, now: datetime) -> Verdict | None:
    """Ray has news of a job that goes on, or one whose submitter still follows the log."""
    if not answered(seen) or seen.known.job is None:
        return None
    return Verdict(Phase.RUNNING, learned(seen, seen.known.job))


def learned(seen: Seen, info: JobInfo) -> dict[str, Any]:
    """An answer as status fields (spec rayjob §11.4): what Ray does not know yet stays as it was."""
    times = dict(seen.status.get("rayJobInfo") or {})
    if info.start_time:
        times["startTime"] = wire_time(info.start_time)
    if info.end_time:
        times["endTime"] = wire_time(info.end_time)
    return {
        "jobStatus": info.status,
        "message": info.message,
        "reason": None,
        "rayJobInfo": times,
        "jobStatusCheckFailureStartTime": None,
    }


def wire_time(milliseconds: int) -> str:
    """Unix milliseconds as a wire time."""
    return format_time(datetime.fromtimestamp(milliseconds / 1000, UTC))


def polls_fail(seen: Seen, now: datetime) -> Verdict | None:
    """The dashboard does not answer: note since when; a submission that went through ends the streak."""
    since = seen.known.failing_since
    noted = seen.status.get("jobStatusCheckFailureStartTime")
    if since is not None and not noted:
        return Verdict(Phase.RUNNING, {"jobStatusCheckFailureStartTime": format_time(since)})
    submitted = any(
        isinstance(effect, SubmitJob) and state is EffectState.DONE for effect, (state, _) in seen.known.effects.items()
    )
    if noted and since is None and submitted:
        return Verdict(Phase.RUNNING, {"jobStatusCheckFailureStartTime": None})
    return None


def valid_again(seen: Seen, now: datetime) -> Verdict | None:
    """The spec was mended: begin again. (The reference never leaves this state; spec rayjob §5.10, defect.)"""
    return Verdict(Phase.NEW, {"reason": None, "message": None, "jobStatus": None})


def everything_deleted(seen: Seen, now: datetime) -> Verdict | None:
    """Cluster and submitter are gone: forget the attempt, keep the counters."""
    cluster_gone = seen.selects or seen.cluster is None or not seen.cluster_is_ours
    submitter_gone = not seen.has_submitter or seen.submitter is None or not seen.owns(seen.submitter)
    if not (cluster_gone and submitter_gone):
        return None
    phase = Phase.SUSPENDED if seen.phase is Phase.SUSPENDING else Phase.NEW
    return Verdict(phase, dict.fromkeys(FORGOTTEN))


FORGOTTEN: Final = (
    "rayClusterStatus",
    "rayClusterName",
    "dashboardURL",
    "jobId",
    "message",
    "reason",
    "rayJobInfo",
    "jobStatusCheckFailureStartTime",
    "jobStatus",
)


def resumed(seen: Seen, now: datetime) -> Verdict | None:
    """spec.suspend was taken back."""
    return None if seen.spec.suspend else Verdict(Phase.NEW, {"jobStatus": None})


def deadlines(seen: Seen) -> Iterator[datetime]:
    """Every moment at which a rule of the present phase may change its mind without an event."""
    candidates: list[datetime | None] = []
    if seen.phase in (Phase.INITIALIZING, Phase.RUNNING):
        candidates.append(seen.due("startTime", seen.spec.active_deadline_seconds))
    if seen.phase in (Phase.INITIALIZING, Phase.WAITING):
        candidates.append(seen.due("startTime", seen.spec.pre_running_deadline_seconds))
    if seen.phase is Phase.RUNNING:
        candidates.append(transition_due(seen))
        since = seen.time_of("jobStatusCheckFailureStartTime")
        candidates.append(since + seen.options.status_check_timeout if since else None)
        finished = seen.submitter_state.finished_at if seen.has_submitter else None
        candidates.append(finished + SUBMITTER_GRACE if finished else None)
    yield from (moment for moment in candidates if moment is not None)
