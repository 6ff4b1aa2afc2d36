"""What a RayJob wants of Ray, and whether Ray can be heard at all (spec rayjob §5.6 items 10, 11; §11). Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.v1.rayjob import TERMINAL_JOB_STATUSES, SubmissionMode
from api.v1.runtime_env import parse_runtime_env
from controller.ray.dashboard.address import dashboard_at
from controller.ray.dashboard.protocol import Effect, EffectState, StopJob, Submission, SubmitJob, Target, Wants
from controller.ray.rayjob.seen import Phase, Seen

__all__ = ["MalformedResources", "Silence", "silence", "stop_taken", "stop_wanted", "target_of", "wants_of"]


class MalformedResources(ValueError):
    """spec.entrypointResources is no JSON object of numbers."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing can be learned of the job, nor can it be submitted; `since` None: it begins now."""

    since: datetime | None
    error: str


def silence(seen: Seen) -> Silence | None:
    """Why nothing is heard of the job; None while answers come, or a first one is still awaited.

    A head that is gone, and a submission that cannot be built, are as silent as a head that does not answer: all
    three must run into the same time limit.
    """
    noted = seen.time_of("jobStatusCheckFailureStartTime")
    if target_of(seen) is None:
        return Silence(noted, "no head pod runs that could be asked")
    if seen.known.failing_since is not None:
        return Silence(seen.known.failing_since, seen.known.error)
    if seen.known.missing and seen.mode == SubmissionMode.HTTP:
        try:
            resources_of(seen.spec.entrypoint_resources)
        except MalformedResources as error:
            return Silence(noted, str(error))
    return None


def target_of(seen: Seen) -> Target | None:
    """The dashboard of the present head; None without one."""
    if seen.cluster is None or not seen.head_run or not seen.dashboard:
        return None
    return dashboard_at(seen.cluster, seen.head_run, seen.dashboard)


# While it runs


def wants_of(seen: Seen) -> Wants | None:
    """News of the job, and in HTTPMode its submission, for as long as it is Running."""
    target = target_of(seen)
    job_id = seen.status.get("jobId", "")
    if target is None or not job_id or seen.phase is not Phase.RUNNING:
        return None
    was_silent = bool(seen.status.get("jobStatusCheckFailureStartTime"))
    return Wants(target, jobs=(job_id,), effects=submissions(seen), mark=seen.mark, touch=was_silent)


def submissions(seen: Seen) -> tuple[Effect, ...]:
    """What HTTPMode submits: the driver fields as they stand in the spec now (spec rayjob §11.1).

    Once Ray has said how the job goes, nothing is to be submitted until it has forgotten it: an edit of the spec
    would look like a foreign job under our id.
    """
    if seen.mode != SubmissionMode.HTTP or (seen.status.get("jobStatus") and not seen.known.missing):
        return ()
    spec = seen.spec
    try:
        resources = resources_of(spec.entrypoint_resources)
    except MalformedResources:
        return ()  # `silence` tells
    submission = Submission(
        entrypoint=spec.entrypoint,
        submission_id=seen.status["jobId"],
        runtime_env=parse_runtime_env(spec.runtime_env_yaml) or {},
        metadata=spec.metadata,
        entrypoint_num_cpus=spec.entrypoint_num_cpus,
        entrypoint_num_gpus=spec.entrypoint_num_gpus,
        entrypoint_resources=resources,
    )
    return (SubmitJob(submission),)


def resources_of(text: str) -> Mapping[str, float]:
    """entrypointResources as Ray's REST wants it. Raises MalformedResources."""
    if not text:
        return {}
    try:
        content = json.loads(text)
    except ValueError as error:
        raise MalformedResources(f"cannot submit: entrypointResources is no JSON: {error}") from error
    if not isinstance(content, dict) or not all(is_number(value) for value in content.values()):
        raise MalformedResources(f"cannot submit: entrypointResources is no JSON object of numbers: {text}")
    return content


def is_number(value: Any) -> bool:
    """Of JSON's kinds: a boolean is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


# When it is deleted


def stop_wanted(seen: Seen) -> Wants | None:
    """The stop of a job that may still run, if there is a head to ask."""
    job_id, target = seen.status.get("jobId"), target_of(seen)
    if target is None or not job_id or seen.status.get("jobStatus") in TERMINAL_JOB_STATUSES:
        return None
    return Wants(target, effects=(StopJob(job_id),))


def stop_taken(seen: Seen, wants: Wants) -> bool:
    """Ray took the stop, or refused it for good."""
    states = (seen.known.effects.get(effect, (EffectState.WAITING, ""))[0] for effect in wants.effects)
    return all(state in (EffectState.DONE, EffectState.REFUSED) for state in states)
