"""One snapshot of all that matters to a RayJob, and small questions about it that several rooms ask. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from api.meta import Json, condition, format_time, owns, parse_time
from api.v1 import wire
from api.v1.common import Malformed
from api.v1.rayjob import JobDeploymentStatus, RayJobSpec, SubmissionMode
from controller.ray.dashboard.address import address_of
from controller.ray.dashboard.protocol import Known
from controller.ray.options import Options

__all__ = ["Phase", "Seen", "Submitter", "spec_of"]

Phase = JobDeploymentStatus


@dataclass(frozen=True, slots=True)
class Submitter:
    """What the submitter's Job says of itself (spec rayjob §5.6 step 7)."""

    failed: bool = False
    finished_at: datetime | None = None
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """The RayJob as it is stored, and what belongs to it; None where there is nothing."""

    job: Json
    spec: RayJobSpec
    options: Options
    malformed: str = ""  # why the spec cannot be read, if so; `spec` is empty then
    cluster: Json | None = None
    head_run: str = ""
    head_service: Json | None = None  # the cluster's own, with the port named dashboard
    service: Json | None = None  # <name>-head-svc
    submitter: Json | None = None  # the Kubernetes Job named as the RayJob
    known: Known = field(default_factory=Known)
    fresh: tuple[str, str] = ("", "")  # two random suffixes: for a job id and for a cluster name, if any is chosen

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The RayJob's metadata."""
        metadata: Mapping[str, Any] = self.job["metadata"]
        return metadata

    @property
    def status(self) -> Mapping[str, Any]:
        """The RayJob's status as it is stored, {} before the first write."""
        return self.job.get("status") or {}

    @property
    def phase(self) -> Phase | None:
        """Where the state machine stands; None for a word that is not ours."""
        try:
            return Phase(self.status.get("jobDeploymentStatus", ""))
        except ValueError:
            return None

    @property
    def mode(self) -> str:
        """spec.submissionMode."""
        return self.spec.submission_mode

    @property
    def manager(self) -> str | None:
        """spec.managedBy, also of a spec that cannot be read."""
        spec: Mapping[str, Any] = self.job.get("spec") or {}
        return spec.get("managedBy")

    @property
    def selects(self) -> bool:
        """The job runs on a cluster that somebody else made."""
        return bool(self.spec.cluster_selector)

    @property
    def has_submitter(self) -> bool:
        """A Kubernetes Job submits."""
        return self.mode == SubmissionMode.K8S_JOB

    @property
    def cluster_is_ours(self) -> bool:
        """The cluster there was made for this RayJob, or is the one that it selects."""
        return self.selects or (self.cluster is not None and owns(self.job, self.cluster))

    @property
    def cluster_is_ready(self) -> bool:
        """Its own status says so."""
        return self.cluster is not None and (self.cluster.get("status") or {}).get("state") == "ready"

    def time_of(self, name: str) -> datetime | None:
        """A time in the status."""
        text = self.status.get(name)
        return parse_time(text) if text else None

    def due(self, since: str, seconds: int | None) -> datetime | None:
        """The status time `since` plus that many seconds; None if either is unset."""
        start = self.time_of(since)
        return start + timedelta(seconds=seconds) if start is not None and seconds is not None else None

    @property
    def submitter_is_there(self) -> bool:
        """A Job of ours submits, or has."""
        return self.has_submitter and self.submitter is not None and owns(self.job, self.submitter)

    @property
    def submitter_state(self) -> Submitter:
        """Read from the Job's conditions; Complete and Failed count, what leads to them does not."""
        if self.submitter is None or not owns(self.job, self.submitter):
            return Submitter()
        conditions = (self.submitter.get("status") or {}).get("conditions") or ()
        ended = next(
            (one for one in conditions if one["type"] in ("Complete", "Failed") and one["status"] == "True"), None
        )
        if ended is None:
            return Submitter()
        failed = condition(conditions, "Failed")
        is_failed = failed is not None and failed["status"] == "True"
        return Submitter(
            failed=is_failed,
            finished_at=parse_time(ended["lastTransitionTime"]),
            reason=failed.get("reason", "") if is_failed and failed else "",
            message=failed.get("message", "") if is_failed and failed else "",
        )

    @property
    def mark(self) -> str:
        """Changes when what Ray said before must not be judged by any more: when the submitter has ended."""
        ended = self.submitter_state.finished_at if self.has_submitter else None
        return f"submitter ended {format_time(ended)}" if ended is not None else ""

    @property
    def dashboard(self) -> str:
        """host:port of the dashboard: as stored, or from the cluster's head Service; "" while unknown."""
        if stored := self.status.get("dashboardURL"):
            return str(stored)
        if self.head_service is None:
            return ""
        return address_of(self.head_service, self.options.cluster_domain)

    @property
    def child_name(self) -> str:
        """Name of the submitter's Job."""
        return str(self.metadata["name"])

    @property
    def finalizers(self) -> list[str]:
        """As stored."""
        return list(self.metadata.get("finalizers") or ())

    @property
    def holds_finalizer(self) -> bool:
        """Ours is there."""
        return wire.FINALIZER_RAYJOB in self.finalizers


def spec_of(job: Json) -> tuple[RayJobSpec, str]:
    """The spec, and why it cannot be read: one that was stored under another schema must not stop its deletion."""
    try:
        return RayJobSpec.from_json(job.get("spec") or {}), ""
    except Malformed as error:
        return RayJobSpec(), str(error)
