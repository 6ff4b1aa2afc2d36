"""One snapshot of a RayJob -> what to write, what to want of Ray, when to look again. Pure (spec rayjob §5, §8, §10).

The state machine (`phases`) says what the job is; this room says what must exist or go for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from api.core import JOBS, SERVICES
from api.meta import Json, Resource, owner_reference, owns, parse_time
from api.v1 import wire
from api.v1.raycluster import RayCluster
from api.v1.rayjob import TERMINAL_DEPLOYMENT_STATUSES, TERMINAL_JOB_STATUSES
from api.v1.runtime_env import RuntimeEnvError
from controller.ray.desired.facts import facts_of
from controller.ray.desired.jobs import origin_labels, submitter_job
from controller.ray.desired.services import of_ray_job
from controller.ray.desired.submit_script import submit_script
from controller.ray.rayjob import rules
from controller.ray.rayjob.asking import stop_taken, stop_wanted, wants_of
from controller.ray.rayjob.phases import next_phase
from controller.ray.rayjob.seen import Phase, Seen
from controller.ray.rayjob.verdict import Verdict
from controller.runtime.finalizers import finalizer_added, finalizer_removed
from controller.runtime.plan import (
    AGAIN,
    DONE,
    Announcement,
    Create,
    Delete,
    MergePatch,
    Plan,
    Result,
    Step,
    after,
)

__all__ = ["STOP_LIMIT", "Decision", "decide"]

STOP_LIMIT: Final = timedelta(seconds=10)  # how long a deletion waits for Ray to take the stop (design W10)


@dataclass(frozen=True, slots=True)
class Decision:
    """A plan, and the verdict that `report` turns into a status once the writes are done."""

    plan: Plan
    verdict: Verdict | None = None
    problem: str = ""  # why nothing more can be done now; the pass fails with it
    works: bool = False  # its spec is good, and there is still something to do


@dataclass(slots=True)
class Draft:
    """Writes as they are collected."""

    steps: list[Step] = field(default_factory=list)
    problem: str = ""
    events: list[Announcement] = field(default_factory=list)


def decide(seen: Seen, now: datetime, invalid: Announcement | None = None) -> Decision:
    """The whole decision. `invalid` is the event of a failed validation; its note ends in the error.

    A finished job stays finished and is cleaned up, whatever its spec was edited to since: the reference makes it
    ValidationFailed and forgets it (spec rayjob E19, a defect), and mending the spec would run it again.
    """
    being_deleted = bool(seen.metadata.get("deletionTimestamp"))
    if seen.manager not in (None, wire.MANAGER):
        return let_go(seen) if being_deleted and seen.holds_finalizer else Decision(Plan())
    if being_deleted:
        return deleting(seen, now)
    if invalid is not None and seen.phase not in TERMINAL_DEPLOYMENT_STATUSES:
        return refused(seen, invalid)
    if seen.phase is None:
        return Decision(Plan())
    hold = finalizer_added(wire.RAY_JOBS, seen.job, wire.FINALIZER_RAYJOB)
    if seen.phase is Phase.NEW and hold is not None:
        return Decision(Plan(record=hold, result=AGAIN))
    verdict = next_phase(seen, now)
    draft = Draft(events=[invalid] if invalid is not None else [])
    writes_of(seen, now, verdict, draft)
    plan = Plan(
        steps=tuple(draft.steps),
        wants=wants_of(seen) if verdict.phase is Phase.RUNNING else None,
        events=tuple(draft.events),
        result=look_again(seen, now),
    )
    return Decision(plan, verdict, draft.problem, works=seen.phase not in TERMINAL_DEPLOYMENT_STATUSES)


def refused(seen: Seen, invalid: Announcement) -> Decision:
    """The spec cannot be run: say so, touch nothing (spec rayjob §5.1 item 4)."""
    message = invalid.note.partition(": ")[2]
    if seen.phase is Phase.VALIDATION_FAILED and seen.status.get("message") == message:
        return Decision(Plan(events=(invalid,)))
    verdict = Verdict(Phase.VALIDATION_FAILED, {"reason": "ValidationFailed", "message": message})
    return Decision(Plan(events=(invalid,)), verdict)


# What must exist, and what must go


def writes_of(seen: Seen, now: datetime, verdict: Verdict, draft: Draft) -> None:
    """The writes of the present phase, given what becomes of it."""
    match seen.phase:
        case Phase.INITIALIZING if verdict.unchanged or verdict.needs_writes:
            there = cluster_wanted(seen, draft)
            if there and verdict.needs_writes:
                submitter_wanted(seen, draft)
            elif there:
                dashboard_wanted(seen, draft)
        case Phase.RUNNING if verdict.phase is Phase.RUNNING:
            if cluster_wanted(seen, draft):
                service_wanted(seen, draft)
                submitter_wanted(seen, draft)
        case Phase.SUSPENDING | Phase.RETRYING if verdict.unchanged:
            attempt_unwanted(seen, draft)
        case Phase.COMPLETE | Phase.FAILED:
            leftovers_unwanted(seen, now, draft)
        case _:
            return


def cluster_wanted(seen: Seen, draft: Draft) -> bool:
    """The cluster must exist; true if it does, and is the one meant."""
    name = seen.status.get("rayClusterName", "")
    namespace = seen.metadata["namespace"]
    if seen.cluster is not None:
        if seen.cluster_is_ours:
            return seen.cluster["metadata"].get("deletionTimestamp") is None
        draft.problem = f"RayCluster {namespace}/{name} exists and does not belong to this RayJob"
        note = f"Failed to create RayCluster {namespace}/{name}: it exists and does not belong to this RayJob"
        draft.events.append(Announcement("Warning", "FailedToCreateRayCluster", "Create", note))
        return False
    if seen.selects:
        note = f"RayCluster {namespace}/{name} set in the clusterSelector is not found. It must be created manually"
        draft.events.append(Announcement("Warning", "RayClusterNotFound", "Validate", note))
        draft.problem = note
        return False
    draft.steps.append(Step.of(Create(wire.RAY_CLUSTERS, desired_cluster(seen), why="cluster")))
    return False


def dashboard_wanted(seen: Seen, draft: Draft) -> None:
    """A ready cluster whose dashboard cannot be found is waited for, and the pass says what is missing (E25)."""
    if seen.cluster_is_ready and not seen.dashboard:
        where = f"{seen.metadata['namespace']}/{seen.status.get('rayClusterName', '')}"
        draft.problem = f"the head Service of RayCluster {where} is missing or has no port named dashboard"


def desired_cluster(seen: Seen) -> Json:
    """The RayCluster of this attempt (spec rayjob §3.1, §8.1): the RayJob's labels and annotations, our keys win."""
    metadata = seen.metadata
    labels = (metadata.get("labels") or {}) | origin_labels("RayJob", metadata["name"])
    labels[wire.LABEL_SUBMISSION_MODE] = seen.mode
    cluster: Json = {
        "apiVersion": wire.RAY_CLUSTERS.api_version,
        "kind": wire.RAY_CLUSTERS.kind,
        "metadata": {
            "name": seen.status["rayClusterName"],
            "namespace": metadata["namespace"],
            "labels": labels,
            "ownerReferences": [owner_reference(wire.RAY_JOBS, seen.job)],
        },
        "spec": seen.job["spec"]["rayClusterSpec"],
    }
    if annotations := metadata.get("annotations"):
        cluster["metadata"]["annotations"] = dict(annotations)
    return cluster


def submitter_wanted(seen: Seen, draft: Draft) -> None:
    """K8sJobMode: the Job that submits must exist; one deleted by hand comes back and only follows the log."""
    if (
        not seen.has_submitter
        or seen.cluster is None
        or (seen.submitter is not None and owns(seen.job, seen.submitter))
    ):
        return
    if seen.phase is Phase.RUNNING and seen.status.get("jobStatus") in TERMINAL_JOB_STATUSES:
        return
    template = seen.spec.submitter_pod_template
    if template is not None and not template["spec"]["containers"]:
        submitter_impossible(seen, draft, "spec.submitterPodTemplate has no container")
        return
    spec, job_id = seen.spec, seen.status.get("jobId", "")
    try:
        script = submit_script(
            address=seen.dashboard,
            job_id=job_id,
            entrypoint=spec.entrypoint,
            runtime_env_yaml=spec.runtime_env_yaml,
            metadata=spec.metadata,
            entrypoint_num_cpus=spec.entrypoint_num_cpus,
            entrypoint_num_gpus=spec.entrypoint_num_gpus,
            entrypoint_resources=spec.entrypoint_resources,
        )
    except RuntimeEnvError as error:
        submitter_impossible(seen, draft, str(error))
        return
    body = submitter_job(
        seen.job,
        seen.cluster["spec"],
        script=script,
        dashboard=seen.dashboard,
        job_id=job_id,
        cluster_name=seen.cluster["metadata"]["name"],
        options=seen.options,
    )
    draft.steps.append(Step.of(Create(JOBS, body, why="submitter")))


def submitter_impossible(seen: Seen, draft: Draft, error: str) -> None:
    """No Job can be made of this spec, valid as it is: told as if the server had refused it."""
    note = f"Failed to create new Kubernetes Job {seen.metadata['namespace']}/{seen.child_name}: {error}"
    draft.events.append(Announcement("Warning", "FailedToCreateRayJobSubmitter", "Create", note))
    draft.problem = note


def service_wanted(seen: Seen, draft: Draft) -> None:
    """The RayJob's own head Service follows its cluster and keeps its address (spec rayjob §8.4)."""
    if seen.selects or seen.cluster is None:
        return
    cluster = seen.cluster["metadata"]["name"]
    facts = facts_of(RayCluster.from_json(seen.cluster), seen.options)
    owner = owner_reference(wire.RAY_JOBS, seen.job)
    body = of_ray_job(facts, seen.metadata["name"], owner, seen.options)
    if seen.service is None:
        draft.steps.append(Step.of(Create(SERVICES, body, why="service")))
        return
    if not owns(seen.job, seen.service):
        metadata = seen.service["metadata"]
        note = f"Service {metadata['namespace']}/{metadata['name']} exists and does not belong to this RayJob"
        draft.events.append(Announcement("Warning", "FailedToCreateService", "Create", note))
        return
    spec = seen.service["spec"]
    if (spec.get("selector") or {}).get(wire.LABEL_CLUSTER) == cluster:
        return
    patch = {"spec": {"selector": body["spec"]["selector"], "ports": body["spec"]["ports"]}}
    draft.steps.append(Step.of(patched(SERVICES, seen.service, patch, "service")))


def attempt_unwanted(seen: Seen, draft: Draft) -> None:
    """Suspending and Retrying: cluster and submitter go, side by side (spec rayjob §5.7)."""
    lanes = []
    if not seen.selects and seen.cluster is not None and seen.cluster_is_ours:
        lanes += [(delete,) for delete in deleted(wire.RAY_CLUSTERS, seen.cluster, "cluster")]
    if seen.has_submitter and seen.submitter is not None and owns(seen.job, seen.submitter):
        lanes += [(delete,) for delete in deleted(JOBS, seen.submitter, "submitter")]
    if lanes:
        draft.steps.append(Step(tuple(lanes)))


def leftovers_unwanted(seen: Seen, now: datetime, draft: Draft) -> None:
    """A finished job with shutdownAfterJobFinishes (spec rayjob §8.5): the submitter stays, for its log."""
    due = cleanup_due(seen)
    if due is None or now < due:
        return
    if seen.options.delete_rayjob_after_finish:
        draft.steps.append(Step.of(*deleted(wire.RAY_JOBS, seen.job, "self")))
    elif seen.cluster is not None and seen.cluster_is_ours:
        draft.steps.append(Step.of(*deleted(wire.RAY_CLUSTERS, seen.cluster, "cluster")))


def cleanup_due(seen: Seen) -> datetime | None:
    """When a finished job's cluster goes; None: never by itself."""
    ended, ttl = seen.status.get("endTime"), seen.spec.ttl_seconds_after_finished
    if seen.selects or not seen.spec.shutdown_after_job_finishes or not ended or seen.spec.deletion_strategy:
        return None
    return parse_time(ended) + timedelta(seconds=ttl) if ttl >= 0 else None


# The end of the RayJob itself


def deleting(seen: Seen, now: datetime) -> Decision:
    """Ask Ray to stop the job, then let go, after STOP_LIMIT whatever Ray says (spec rayjob §10)."""
    if not seen.holds_finalizer:
        return Decision(Plan())
    wants = stop_wanted(seen)
    asked_at = parse_time(seen.metadata["deletionTimestamp"])
    if wants is not None and now < asked_at + STOP_LIMIT and not stop_taken(seen, wants):
        return Decision(Plan(wants=wants, result=after(asked_at + STOP_LIMIT - now)))
    return let_go(seen)


def let_go(seen: Seen) -> Decision:
    """Take our finalizer back; also of an object that became another controller's, or it could never go."""
    return Decision(Plan(record=finalizer_removed(wire.RAY_JOBS, seen.job, wire.FINALIZER_RAYJOB)))


# Small things


def look_again(seen: Seen, now: datetime) -> Result:
    """At the next deadline; events bring everything else."""
    moments = [moment for moment in rules.deadlines(seen) if moment > now]
    if seen.phase in TERMINAL_DEPLOYMENT_STATUSES and (due := cleanup_due(seen)) is not None and due > now:
        moments.append(due)
    return after(min(moments) - now) if moments else DONE


def patched(resource: Resource, current: Mapping[str, Any], body: Json, why: str) -> MergePatch:
    """A merge patch of exactly that object."""
    metadata = current["metadata"]
    return MergePatch(resource, metadata["namespace"], metadata["name"], metadata["uid"], body, why)


def deleted(resource: Resource, current: Mapping[str, Any], why: str) -> Iterator[Delete]:
    """The deletion of exactly that object, unless it is under way already."""
    metadata = current["metadata"]
    if not metadata.get("deletionTimestamp"):
        yield Delete(resource, metadata["namespace"], metadata["name"], metadata["uid"], why)
