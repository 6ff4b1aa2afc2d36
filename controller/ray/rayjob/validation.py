"""What is wrong with a RayJob, as the event that says so (spec rayjob §9). Pure; the rules are the API's.

What the API has and this operator does not do yet stands in NOT_YET, once: such a job is refused and its user told,
rather than half served.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from api.v1.rayjob import JobDeploymentStatus, RayJobSpec, SubmissionMode
from api.v1.rules.model import Context, first_denial
from api.v1.rules.rayjob import ENFORCED
from controller.ray.rayjob.seen import Seen
from controller.runtime.plan import Announcement

__all__ = ["NOT_YET", "complaint"]

NOT_YET: Final[Mapping[str, Callable[[RayJobSpec], bool]]] = {
    "submissionMode SidecarMode": lambda spec: spec.submission_mode == SubmissionMode.SIDECAR,
    "spec.deletionStrategy": lambda spec: spec.deletion_strategy is not None,
}


def complaint(seen: Seen) -> Announcement | None:
    """The first thing that is wrong, or None. Its note is `<namespace>/<name>: <error>`."""
    if seen.malformed:
        return warning(seen, "InvalidRayJobSpec", seen.malformed)
    denial = first_denial(ENFORCED, seen.job, None, Context(seen.options.gates.by_name))
    if denial is not None:
        return warning(seen, denial.reason or "InvalidRayJobSpec", str(denial))
    if seen.phase is JobDeploymentStatus.WAITING and seen.mode != SubmissionMode.INTERACTIVE:
        return warning(seen, "InvalidRayJobStatus", "jobDeploymentStatus Waiting belongs to InteractiveMode")
    missing = [name for name, asked in NOT_YET.items() if asked(seen.spec)]
    if missing:
        return warning(seen, "InvalidRayJobSpec", f"not supported yet: {'; '.join(missing)}")
    return None


def warning(seen: Seen, reason: str, error: str) -> Announcement:
    """The event of a failed validation."""
    where = f"{seen.metadata['namespace']}/{seen.metadata['name']}"
    return Announcement("Warning", reason, "Validate", f"{where}: {error}")
