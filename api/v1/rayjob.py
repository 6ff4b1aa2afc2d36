"""RayJob: what users ask for, what the operator reports, and the words for both (spec rayjob §1, §2)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from pydantic import Field

from api.v1.common import (
    ATOMIC,
    DEFAULTED,
    ApiModel,
    ApiObject,
    Cel,
    Int32,
    Int64,
    ManagedBy,
    Number,
    StatusModel,
    StringMap,
    Time,
)
from api.v1.raycluster import RayClusterSpec, RayClusterStatus, Template

__all__ = [
    "TERMINAL_DEPLOYMENT_STATUSES",
    "TERMINAL_JOB_STATUSES",
    "DeletionCondition",
    "DeletionOutcome",
    "DeletionPolicy",
    "DeletionRule",
    "DeletionStrategy",
    "JobDeploymentStatus",
    "JobStatus",
    "RayJob",
    "RayJobInfo",
    "RayJobReason",
    "RayJobSpec",
    "RayJobStatus",
    "SubmissionMode",
    "SubmitterConfig",
]


class SubmissionMode(StrEnum):
    """spec.submissionMode: who submits the job. The schema has no enum; other words are accepted and submit nothing."""

    K8S_JOB = "K8sJobMode"
    HTTP = "HTTPMode"
    INTERACTIVE = "InteractiveMode"
    SIDECAR = "SidecarMode"


class JobStatus(StrEnum):
    """What Ray says of a job. Ray may have further words: they are stored as they are and count as not terminal."""

    NEW = ""
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class JobDeploymentStatus(StrEnum):
    """The operator's own state of a RayJob."""

    NEW = ""
    INITIALIZING = "Initializing"
    WAITING = "Waiting"
    RUNNING = "Running"
    COMPLETE = "Complete"
    FAILED = "Failed"
    VALIDATION_FAILED = "ValidationFailed"
    SUSPENDING = "Suspending"
    SUSPENDED = "Suspended"
    RETRYING = "Retrying"


TERMINAL_JOB_STATUSES: Final = frozenset({JobStatus.STOPPED, JobStatus.SUCCEEDED, JobStatus.FAILED})
# For clean-up, endTime and metrics. ValidationFailed is not among them.
TERMINAL_DEPLOYMENT_STATUSES: Final = frozenset({JobDeploymentStatus.COMPLETE, JobDeploymentStatus.FAILED})


class RayJobReason(StrEnum):
    """status.reason (spec rayjob §2.3)."""

    SUBMISSION_FAILED = "SubmissionFailed"
    APP_FAILED = "AppFailed"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    PRE_RUNNING_DEADLINE_EXCEEDED = "PreRunningDeadlineExceeded"
    TRANSITION_GRACE_PERIOD_EXCEEDED = "JobDeploymentStatusTransitionGracePeriodExceeded"
    STATUS_CHECK_TIMEOUT_EXCEEDED = "JobStatusCheckTimeoutExceeded"
    VALIDATION_FAILED = "ValidationFailed"


class DeletionPolicy(StrEnum):
    """What a deletion rule deletes."""

    DELETE_CLUSTER = "DeleteCluster"
    DELETE_WORKERS = "DeleteWorkers"
    DELETE_SELF = "DeleteSelf"
    DELETE_NONE = "DeleteNone"


PolicyWord: TypeAlias = Literal["DeleteCluster", "DeleteWorkers", "DeleteSelf", "DeleteNone"]


class SubmitterConfig(ApiModel):
    """spec.submitterConfig"""

    backoff_limit: Int32 | None = Field(
        default=None, description="How often the submitter's Job tries again. Unset: 2."
    )


class DeletionOutcome(ApiModel):
    """spec.deletionStrategy.onSuccess, onFailure"""

    policy: PolicyWord | None = Field(default=None, description="What is deleted.")


class DeletionCondition(ApiModel):
    """spec.deletionStrategy.deletionRules[].condition"""

    job_status: Literal["SUCCEEDED", "FAILED"] | None = Field(
        default=None, description="The rule holds once Ray says this of the job."
    )
    job_deployment_status: Literal["Failed"] | None = Field(
        default=None, description="The rule holds once the RayJob is in this state."
    )
    ttl_seconds: Annotated[Int32, DEFAULTED] = Field(
        default=0, ge=0, description="How long after that the rule acts, in seconds."
    )


class DeletionRule(ApiModel):
    """spec.deletionStrategy.deletionRules[]"""

    policy: PolicyWord = Field(description="What is deleted.")
    condition: Annotated[
        DeletionCondition,
        Cel(
            "!(has(self.jobStatus) && has(self.jobDeploymentStatus))",
            "JobStatus and JobDeploymentStatus cannot be used together within the same deletion condition.",
        ),
        Cel(
            "has(self.jobStatus) || has(self.jobDeploymentStatus)",
            "the deletion condition requires either the JobStatus or the JobDeploymentStatus field.",
        ),
    ] = Field(description="When: exactly one of jobStatus and jobDeploymentStatus.")


class DeletionStrategy(ApiModel):
    """spec.deletionStrategy"""

    on_success: DeletionOutcome | None = Field(
        default=None, description="Deprecated, use deletionRules. What is deleted after the job succeeded."
    )
    on_failure: DeletionOutcome | None = Field(
        default=None, description="Deprecated, use deletionRules. What is deleted after the job failed."
    )
    deletion_rules: Annotated[list[DeletionRule], ATOMIC] | None = Field(
        default=None, min_length=1, description="What is deleted when. Excludes onSuccess and onFailure."
    )


class RayJobSpec(ApiModel):
    """The job that is wanted, and the cluster for it; also inside RayCronJob."""

    ray_cluster_spec: RayClusterSpec | None = Field(
        default=None, description="The cluster that is made for the job. Unused when clusterSelector names one."
    )
    cluster_selector: StringMap = Field(
        default_factory=dict,
        description="Use the existing RayCluster that the key ray.io/cluster names; other keys are not read.",
    )
    entrypoint: str = Field(default="", description="Command line of the job.")
    entrypoint_num_cpus: Number = Field(default=0, description="CPUs that Ray reserves for the entrypoint.")
    entrypoint_num_gpus: Number = Field(default=0, description="GPUs that Ray reserves for the entrypoint.")
    entrypoint_resources: str = Field(
        default="", description="Further Ray resources reserved for the entrypoint: a JSON object as text."
    )
    runtime_env_yaml: str = Field(default="", description="Ray's runtime environment: a YAML mapping as text.")
    job_id: str = Field(default="", description="Submission id. Unset: the operator chooses one.")
    metadata: StringMap = Field(default_factory=dict, description="Metadata that Ray keeps with the job.")
    submission_mode: Annotated[str, DEFAULTED] = Field(
        default=SubmissionMode.K8S_JOB.value,
        description="Who submits: a Kubernetes Job (K8sJobMode), the operator (HTTPMode), a container beside the head "
        "(SidecarMode), or you (InteractiveMode).",
    )
    submitter_pod_template: Template | None = Field(
        default=None, description="The submitter's pod in K8sJobMode, in place of the generated one."
    )
    submitter_config: SubmitterConfig | None = Field(default=None, description="How the submitter's Job behaves.")
    backoff_limit: Annotated[Int32, DEFAULTED] = Field(
        default=0, description="How often a failed job is tried again, each time on a new cluster."
    )
    active_deadline_seconds: Int32 | None = Field(
        default=None,
        description="Longest time for the job and the start of its cluster together, in seconds, counted from "
        "status.startTime. Past it the job fails with reason DeadlineExceeded.",
    )
    pre_running_deadline_seconds: Int32 | None = Field(
        default=None,
        ge=1,
        description="Longest time the job may take to reach Running, in seconds, counted from status.startTime. "
        "Past it the job fails with reason PreRunningDeadlineExceeded. Unset: no limit.",
    )
    ttl_seconds_after_finished: Annotated[Int32, DEFAULTED] = Field(
        default=0, description="How long a finished job's cluster is kept with shutdownAfterJobFinishes, in seconds."
    )
    shutdown_after_job_finishes: bool = Field(
        default=False, description="Delete the cluster once the job has ended, however it ended."
    )
    suspend: bool = Field(
        default=False, description="Make no cluster, and delete the one there is, until this is false."
    )
    managed_by: ManagedBy | None = Field(
        default=None,
        description="Who looks after this object: this operator (also when unset) or Kueue's MultiKueue.",
    )
    deletion_strategy: (
        Annotated[
            DeletionStrategy,
            Cel(
                "!((has(self.onSuccess) || has(self.onFailure)) && has(self.deletionRules))",
                "legacy policies (onSuccess/onFailure) and deletionRules cannot be used together within the same "
                "deletionStrategy",
            ),
            Cel(
                "((has(self.onSuccess) && has(self.onFailure)) || has(self.deletionRules))",
                "deletionStrategy requires either BOTH onSuccess and onFailure, OR the deletionRules field "
                "(cannot be empty)",
            ),
        ]
        | None
    ) = Field(default=None, description="What is deleted after the job has ended, and when.")


class RayJobInfo(StatusModel):
    """status.rayJobInfo"""

    start_time: Time | None = Field(default=None, description="When Ray started the entrypoint.")
    end_time: Time | None = Field(default=None, description="When the entrypoint ended.")


class RayJobStatus(StatusModel):
    """What the operator reports (spec rayjob §1.4)."""

    always_written: ClassVar[frozenset[str]] = frozenset({"rayJobInfo", "rayClusterStatus"})

    job_id: str = Field(default="", description="Submission id of the job.")
    job_status: str = Field(default="", description="What Ray last said of the job.")
    job_deployment_status: str = Field(default="", description="The operator's own state; nothing while it is new.")
    reason: str = Field(default="", description="Why the job failed, in one word.")
    message: str = Field(default="", description="What Ray or the operator has to say about that.")
    ray_cluster_name: str = Field(default="", description="The cluster on which the job runs.")
    dashboard_url: str = Field(default="", description="Where the cluster's dashboard answers inside Kubernetes.")
    start_time: Time | None = Field(default=None, description="When the operator began with this attempt.")
    end_time: Time | None = Field(default=None, description="When the job became Complete or Failed.")
    job_status_check_failure_start_time: Time | None = Field(
        default=None, description="Since when the dashboard has not answered."
    )
    succeeded: Annotated[Int32, DEFAULTED] = Field(default=0, description="How often the job succeeded.")
    failed: Annotated[Int32, DEFAULTED] = Field(default=0, description="How often the job failed, retries included.")
    ray_job_info: RayJobInfo = Field(default_factory=RayJobInfo, description="Times of the entrypoint itself.")
    ray_cluster_status: RayClusterStatus = Field(
        default_factory=RayClusterStatus, description="A copy of the cluster's status."
    )
    observed_generation: Int64 = Field(default=0, description="Generation of the spec that this status is about.")


class RayJob(ApiObject):
    """A job on a Ray cluster of its own, or on one that is there."""

    spec: RayJobSpec | None = Field(default=None, description="The job that is wanted.")
    status: RayJobStatus = Field(default_factory=RayJobStatus, description="What the operator reports.")
