"""What a rule says of a RayJob: the phase it shall be in, and what else its status shall say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from api.v1.rayjob import JobDeploymentStatus, RayJobReason

__all__ = ["Verdict", "failed"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`status` holds fields of the status by wire name; None clears one. `unchanged`: no rule had anything to say.

    `needs_writes`: the verdict holds only if all writes of this pass succeed (a submitter must exist before the job
    is Running).
    """

    phase: JobDeploymentStatus
    status: Mapping[str, Any] = field(default_factory=dict)
    needs_writes: bool = False
    unchanged: bool = False


def failed(reason: RayJobReason, message: str, **status: Any) -> Verdict:
    """Failed, with the reason in one word and the message in a sentence."""
    return Verdict(JobDeploymentStatus.FAILED, {"reason": reason.value, "message": message, **status})
