"""RayCronJob: RayJobs by the clock (spec rayjob §12.1)."""

from __future__ import annotations

from pydantic import Field

from api.v1.common import ApiModel, ApiObject, StatusModel, Time
from api.v1.rayjob import RayJobSpec

__all__ = ["RayCronJob", "RayCronJobSpec", "RayCronJobStatus"]


class RayCronJobSpec(ApiModel):
    """When, and what."""

    job_template: RayJobSpec = Field(description="The spec of the RayJobs that are made.")
    schedule: str = Field(description="Cron expression of five fields, or a word such as @daily.")
    time_zone: str | None = Field(
        default=None, min_length=1, description="IANA time zone of the schedule. Unset: that of the operator."
    )
    suspend: bool = Field(default=False, description="Make no new RayJobs; those there are run on.")


class RayCronJobStatus(StatusModel):
    """What the operator reports."""

    last_schedule_time: Time | None = Field(
        default=None, description="The tick that was last attended to, not when that happened."
    )


class RayCronJob(ApiObject):
    """Makes a RayJob at each tick of a schedule."""

    spec: RayCronJobSpec | None = Field(default=None, description="When, and what.")
    status: RayCronJobStatus = Field(default_factory=RayCronJobStatus, description="What the operator reports.")
