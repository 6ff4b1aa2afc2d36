"""The rules of the state machine, each a question with an answer or none. Named by what they detect. Pure.

Times come from the status and the spec; nothing here waits. `deadlines` says when any of them may change its mind
without an event, so that the key is looked at again just then and never before.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from api.meta import controller_of, format_time, owns, parse_time
from api.v1 import wire
from api.v1.rayjob import TERMINAL_JOB_STATUSES, JobStatus, RayJobReason, SubmissionMode
from controller.ray.dashboard.protocol import EffectState, JobInfo, SubmitJob
from controller.ray.rayjob.asking import silence
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

NOTED: Final = "jobStatusCheckFailureStartTime"
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
    if not seen.has_submitter or seen.submitter is None or owns(seen.job, seen.submitter):
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
    if seen.cluster["metadata"].get("deletionTimestamp"):
        return None
    if not seen.status.get("dashboardURL") and not seen.cluster_is_ready:
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
    since = seen.time_of(NOTED)
    if since is None or now < since + seen.options.status_check_timeout or answered(seen):
        return None
    seconds = f"{seen.options.status_check_timeout.total_seconds():g}"
    silent = silence(seen)
    return failed(
        RayJobReason.STATUS_CHECK_TIMEOUT_EXCEEDED,
        f"The status of the job could not be read since {format_time(since)}, "
        f"which exceeded timeout of {seconds}s: {silent.error if silent else 'no answer'}",
    )


def answered(seen: Seen) -> bool:
    """The newest try to learn about the job was answered with a job."""
    return seen.known.job is not None and seen.known.failing_since is None


def job_ended(seen: Seen, now: datetime) -> Verdict | None:
    """Ray says, or has said, that the job is over, and nobody follows its log any more."""
    info = seen.known.job
    word = info.status if info is not None else seen.status.get("jobStatus")
    if word not in TERMINAL_JOB_STATUSES:
        return None
    if seen.submitter_is_there and seen.submitter_state.finished_at is None:
        return None
    status = learned(seen, info) if info is not None else {}
    if word == JobStatus.FAILED:
        return Verdict(Phase.FAILED, status | {"reason": RayJobReason.APP_FAILED.value})
    return Verdict(Phase.COMPLETE, status)


def submitter_finished_long_ago(seen: Seen, now: datetime) -> Verdict | None:
    """The submitter has ended, and the job has not followed.

    Judged only after Ray was asked since: an operator that was away must not call a finished job failed
    (spec rayjob E29). A head that does not answer gets as long again, from its first silence on.
    """
    finished = seen.submitter_state.finished_at if seen.has_submitter else None
    if finished is None or now < finished + SUBMITTER_GRACE:
        return None
    if not asked_since_the_end(seen):
        silent = silence(seen)
        if silent is None or silent.since is None or now < silent.since + SUBMITTER_GRACE:
            return None
    message = (
        f"The RayJob submitter finished at {format_time(finished)} but the ray job did not reach terminal state "
        f"within {SUBMITTER_GRACE.total_seconds():g} s"
    )
    reason = RayJobReason.TRANSITION_GRACE_PERIOD_EXCEEDED
    return failed(reason, message, jobStatus=JobStatus.FAILED.value)


def asked_since_the_end(seen: Seen) -> bool:
    """Ray has answered a question that was asked after the submitter had ended."""
    return seen.known.mark == seen.mark and seen.known.failing_since is None


def submitter_failed(seen: Seen, now: datetime) -> Verdict | None:
    """The submitter's Job has used up its tries, and Ray, if it can be heard, does not say that the job is over."""
    state = seen.submitter_state
    if not seen.has_submitter or not state.failed:
        return None
    if not asked_since_the_end(seen) and silence(seen) is None:
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
    if not seen.mark or not seen.known.missing or not asked_since_the_end(seen):
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
        NOTED: None,
    }


def wire_time(milliseconds: int) -> str:
    """Unix milliseconds as a wire time."""
    return format_time(datetime.fromtimestamp(milliseconds / 1000, UTC))


def polls_fail(seen: Seen, now: datetime) -> Verdict | None:
    """Nothing is heard of the job: note since when; a submission that went through ends the streak."""
    silent = silence(seen)
    noted = seen.status.get(NOTED)
    if silent is not None:
        return None if noted else Verdict(Phase.RUNNING, {NOTED: format_time(silent.since or now)})
    submitted = any(
        isinstance(effect, SubmitJob) and state is EffectState.DONE for effect, (state, _) in seen.known.effects.items()
    )
    return Verdict(Phase.RUNNING, {NOTED: None}) if noted and submitted else None


def valid_again(seen: Seen, now: datetime) -> Verdict | None:
    """The spec was mended: begin again. (The reference never leaves this state; spec rayjob §5.10, defect.)

    A job that had ended before is not run twice.
    """
    if seen.status.get("endTime"):
        return None
    return Verdict(Phase.NEW, {"reason": None, "message": None, "jobStatus": None})


def everything_deleted(seen: Seen, now: datetime) -> Verdict | None:
    """Cluster and submitter are gone: forget the attempt, keep the counters."""
    cluster_gone = seen.selects or seen.cluster is None or not seen.cluster_is_ours
    submitter_gone = not seen.has_submitter or seen.submitter is None or not owns(seen.job, seen.submitter)
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
        since = seen.time_of(NOTED)
        candidates.append(since + seen.options.status_check_timeout if since else None)
        candidates += submitter_deadlines(seen)
    yield from (moment for moment in candidates if moment is not None)


def submitter_deadlines(seen: Seen) -> Iterator[datetime]:
    """When a submitter that has ended is judged by, and by what it is judged instead where Ray is silent."""
    finished = seen.submitter_state.finished_at if seen.has_submitter else None
    if finished is None:
        return
    yield finished + SUBMITTER_GRACE
    silent = silence(seen)
    if silent is not None and silent.since is not None:
        yield max(finished, silent.since) + SUBMITTER_GRACE
