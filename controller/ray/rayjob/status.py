"""What a pass reports: the new status, if it is worth a write, and the events (spec rayjob §6, §7.3, §13). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from api.meta import Json, format_time
from api.v1 import wire
from api.v1.rayjob import TERMINAL_DEPLOYMENT_STATUSES, JobStatus, RayJobReason
from controller.ray.rayjob.decide import Decision
from controller.ray.rayjob.seen import Phase, Seen
from controller.ray.rayjob.verdict import Verdict, failed
from controller.runtime.plan import Announcement, Create, Delete, Outcome, Result, ref_of
from controller.runtime.plan import Verdict as Fate

__all__ = ["Report", "report"]

# A difference in anything else of the cluster's status is no reason to write the RayJob's (spec rayjob §6.3).
TELLING: Final = (
    "state",
    "reason",
    "readyWorkerReplicas",
    "availableWorkerReplicas",
    "desiredWorkerReplicas",
    "minWorkerReplicas",
    "maxWorkerReplicas",
    "endpoints",
    "head",
    "conditions",
)
NEVER_RETRIED: Final = frozenset(
    {RayJobReason.DEADLINE_EXCEEDED.value, RayJobReason.STATUS_CHECK_TIMEOUT_EXCEEDED.value}
)


@dataclass(frozen=True, slots=True)
class Report:
    """`status` is the whole new status, or None where nothing is worth a write."""

    status: Json | None
    events: tuple[Announcement, ...]
    result: Result


def report(seen: Seen, decision: Decision, outcomes: Sequence[Outcome], now: datetime) -> Report:
    """From what was decided and what became of the writes."""
    refused = next((outcome for outcome in outcomes if not outcome.good and outcome.verdict is not Fate.SKIPPED), None)
    verdict = decision.verdict
    if verdict is not None and verdict.needs_writes and (refused is not None or decision.problem):
        verdict = None
    if refused is not None and refused.verdict is Fate.FOREIGN and refused.write.why == "submitter":
        verdict, refused = foreign_submitter(refused), None  # one that the cache does not show: not ours, not labelled
    status = settled(seen, verdict, now)
    events = (*decision.plan.events, *(event for outcome in outcomes for event in announced(outcome)))
    return Report(status if worth_writing(seen.status, status) else None, events, result_of(decision, refused))


def foreign_submitter(outcome: Outcome) -> Verdict:
    """Nobody else's Job ever runs as this job (design W3)."""
    ref = ref_of(outcome.write)
    message = f"{ref} exists and does not belong to this RayJob; rename the RayJob or delete that Job."
    return failed(RayJobReason.SUBMISSION_FAILED, message)


def result_of(decision: Decision, refused: Outcome | None) -> Result:
    """A refused write or a problem fails the pass; the key then backs off."""
    if refused is not None:
        error = refused.error or RuntimeError(f"{ref_of(refused.write)}: {refused.verdict.value}")
        return Result(decision.plan.result.requeue_after, error)
    if decision.problem:
        return Result(decision.plan.result.requeue_after, RuntimeError(decision.problem))
    return decision.plan.result


# The status


def settled(seen: Seen, verdict: Verdict | None, now: datetime) -> Json:
    """The stored status with the verdict, the counters and the cluster's own status worked in."""
    status: Json = {**seen.status}
    if seen.phase in (Phase.INITIALIZING, Phase.RUNNING) and seen.cluster is not None and seen.cluster_is_ours:
        status["rayClusterStatus"] = {**wire.EMPTY_CLUSTER_STATUS, **(seen.cluster.get("status") or {})}
    if verdict is not None and not (verdict.unchanged and not verdict.status):
        apply_verdict(status, seen, verdict, now)
    return shaped(status)


def apply_verdict(status: Json, seen: Seen, verdict: Verdict, now: datetime) -> None:
    """Fields first, then the phase with its counters and times."""
    for name, value in verdict.status.items():
        if value is None or value == "":
            status.pop(name, None)
        else:
            status[name] = value
    phase = verdict.phase
    if phase is Phase.FAILED:
        status["failed"] = status.get("failed", 0) + 1
        if retried(seen, status):
            phase = Phase.RETRYING
    if phase is Phase.COMPLETE and status.get("jobStatus") == JobStatus.SUCCEEDED:
        status["succeeded"] = status.get("succeeded", 0) + 1
    if phase is not seen.phase and phase in TERMINAL_DEPLOYMENT_STATUSES:
        status["endTime"] = format_time(now)
    if phase is Phase.NEW:
        status.pop("jobDeploymentStatus", None)
    else:
        status["jobDeploymentStatus"] = phase.value


def retried(seen: Seen, status: Mapping[str, Any]) -> bool:
    """Another attempt is allowed; `failed` counts this one already (spec rayjob §7.3)."""
    return status["failed"] <= seen.spec.backoff_limit and status.get("reason") not in NEVER_RETRIED


def shaped(status: Json) -> Json:
    """The shape on the wire: a written status always has these (spec rayjob §1.4)."""
    defaults: Json = {
        "succeeded": 0,
        "failed": 0,
        "rayJobInfo": {},
        "rayClusterStatus": dict(wire.EMPTY_CLUSTER_STATUS),
    }
    return defaults | {name: value for name, value in status.items() if value is not None}


def worth_writing(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Only these changes cause a write; everything else rides along (spec rayjob §6.1)."""
    words = ("jobStatus", "jobDeploymentStatus", "jobStatusCheckFailureStartTime")
    if any((old.get(name) or "") != (new.get(name) or "") for name in words):
        return True
    if new.get("jobDeploymentStatus") == Phase.VALIDATION_FAILED and old.get("message") != new.get("message"):
        return True  # another error; the reference keeps the first for ever (spec rayjob E18, a defect)
    return telling(old.get("rayClusterStatus") or {}) != telling(new.get("rayClusterStatus") or {})


def telling(cluster: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a cluster's status whose change matters, without what is empty."""
    return {name: value for name in TELLING if (value := cluster.get(name))}


# The events

CREATED: Final = {
    "cluster": ("CreatedRayCluster", "Created RayCluster {o}"),
    "submitter": ("CreatedRayJobSubmitter", "Created Kubernetes Job {o}"),
    "service": ("CreatedService", "Created service {o}"),
}
NOT_CREATED: Final = {
    "cluster": ("FailedToCreateRayCluster", "Failed to create RayCluster {o}: {e}"),
    "submitter": ("FailedToCreateRayJobSubmitter", "Failed to create new Kubernetes Job {o}: {e}"),
    "service": ("FailedToCreateService", "Failed to create service {o}, {e}"),
}
DELETED: Final = {
    "cluster": ("DeletedRayCluster", "Deleted cluster {o}"),
    "submitter": ("DeletedRayJobSubmitter", "Deleted submitter K8s Job {o}"),
}
NOT_DELETED: Final = {
    "cluster": ("FailedToDeleteRayCluster", "Failed to delete cluster {o}: {e}"),
    "submitter": ("FailedToDeleteRayJobSubmitter", "Failed to delete submitter K8s Job {o}: {e}"),
}
UPDATED: Final = {"service": ("UpdatedService", "Updated service {o}")}
NOT_UPDATED: Final = {"service": ("FailedToUpdateService", "Failed to update service {o}, {e}")}


def announced(outcome: Outcome) -> Iterator[Announcement]:
    """The event of one write; what was there already, was not tried, or only has to be looked at again has none."""
    if outcome.verdict in (Fate.ALREADY, Fate.SKIPPED, Fate.CONFLICT, Fate.WAIT):
        return
    match outcome.write:
        case Create():
            action, good, bad = "Create", CREATED, NOT_CREATED
        case Delete():
            action, good, bad = "Delete", DELETED, NOT_DELETED
        case _:
            action, good, bad = "Update", UPDATED, NOT_UPDATED
    table = good if outcome.good else bad
    words = table.get(str(outcome.write.why))
    if words is None:
        return
    reason, note = words
    ref = ref_of(outcome.write)
    text = note.format(o=f"{ref.namespace}/{ref.name}", e=outcome.error or outcome.verdict.value)
    yield Announcement("Normal" if outcome.good else "Warning", reason, action, text)
