"""What is wrong with a RayJob, as the event that says so (spec rayjob §9). Pure; the rules are the API's.

What the API has and this operator does not do yet (`api.v1.rules.not_yet`) is refused and its user told, rather than
half served.
"""

from __future__ import annotations

from api.v1.rayjob import JobDeploymentStatus, SubmissionMode
from api.v1.rules.model import Context, first_denial
from api.v1.rules.not_yet import LEFT_ALONE, lacks_of_job
from api.v1.rules.rayjob import ENFORCED
from api.v1.rules.typed import child
from controller.ray.rayjob.seen import Seen
from controller.runtime.plan import Announcement

__all__ = ["complaint"]


def complaint(seen: Seen) -> Announcement | None:
    """The first thing that is wrong, or None. Its note is `<namespace>/<name>: <error>`."""
    if seen.malformed:
        return warning(seen, "InvalidRayJobSpec", seen.malformed)
    denial = first_denial(ENFORCED, seen.job, None, Context(seen.options.gates.by_name))
    if denial is not None:
        return warning(seen, denial.reason or "InvalidRayJobSpec", str(denial))
    if seen.phase is JobDeploymentStatus.WAITING and seen.mode != SubmissionMode.INTERACTIVE:
        return warning(seen, "InvalidRayJobStatus", "jobDeploymentStatus Waiting belongs to InteractiveMode")
    if missing := [one.message for one in lacks_of_job(child(seen.job, "spec"))]:
        return warning(seen, "InvalidRayJobSpec", f"{LEFT_ALONE}: {'; '.join(missing)}")
    return None


def warning(seen: Seen, reason: str, error: str) -> Announcement:
    """The event of a failed validation."""
    where = f"{seen.metadata['namespace']}/{seen.metadata['name']}"
    return Announcement("Warning", reason, "Validate", f"{where}: {error}")
