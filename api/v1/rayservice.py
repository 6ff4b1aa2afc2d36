"""RayService: what users ask for, what the operator reports, and the words for both (spec rayservice §2, §3)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from api.v1.common import DEFAULTED, ApiModel, ApiObject, Int32, Int64, ManagedBy, StatusModel, Time
from api.v1.raycluster import Conditions, RayClusterSpec, RayClusterStatus, Service

__all__ = [
    "ApplicationStatus",
    "ClusterUpgradeOptions",
    "DeploymentStatus",
    "RayService",
    "RayServiceCondition",
    "RayServiceSpec",
    "RayServiceStatus",
    "RayServiceStatuses",
    "RayServiceUpgradeStrategy",
    "RayServiceUpgradeType",
    "ServeApplicationStatus",
    "ServeDeploymentStatus",
    "ServiceStatus",
]


class RayServiceUpgradeType(StrEnum):
    """spec.upgradeStrategy.type. The schema has no enum: the operator checks it."""

    NEW_CLUSTER = "NewCluster"
    INCREMENTAL = "NewClusterWithIncrementalUpgrade"
    NONE = "None"


class ServiceStatus(StrEnum):
    """status.serviceStatus, a mirror of the condition Ready."""

    NOT_RUNNING = ""
    RUNNING = "Running"


class RayServiceCondition(StrEnum):
    """Types of status.conditions (spec rayservice §15.3)."""

    READY = "Ready"
    UPGRADE_IN_PROGRESS = "UpgradeInProgress"
    ROLLBACK_IN_PROGRESS = "RollbackInProgress"
    SUSPENDING = "Suspending"
    SUSPENDED = "Suspended"


class ApplicationStatus(StrEnum):
    """What Serve says of an application. Other words are stored as they are."""

    NOT_STARTED = "NOT_STARTED"
    DEPLOYING = "DEPLOYING"
    RUNNING = "RUNNING"
    DEPLOY_FAILED = "DEPLOY_FAILED"
    DELETING = "DELETING"
    UNHEALTHY = "UNHEALTHY"


class DeploymentStatus(StrEnum):
    """What Serve says of a deployment. Other words are stored as they are."""

    UPDATING = "UPDATING"
    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"


class ClusterUpgradeOptions(ApiModel):
    """spec.upgradeStrategy.clusterUpgradeOptions"""

    gateway_class_name: str = Field(description="GatewayClass of the Gateway that shifts the traffic.")
    interval_seconds: Int32 = Field(description="Shortest time between two shifts of traffic, in seconds.")
    step_size_percent: Int32 = Field(description="How much of the traffic one shift moves, in percent.")
    max_surge_percent: Annotated[Int32, DEFAULTED] = Field(
        default=100, description="How much Serve capacity both clusters may have beyond 100, in percent."
    )


class RayServiceUpgradeStrategy(ApiModel):
    """spec.upgradeStrategy"""

    type: str = Field(
        default="",
        description="NewCluster (also when unset): a new cluster takes over when it is ready. "
        "NewClusterWithIncrementalUpgrade: it takes over step by step. None: no new cluster is made.",
    )
    cluster_upgrade_options: ClusterUpgradeOptions | None = Field(
        default=None, description="How the steps of an incremental upgrade go."
    )


class RayServiceSpec(ApiModel):
    """The service that is wanted, and the cluster for it."""

    ray_cluster_config: RayClusterSpec = Field(description="The cluster on which the applications run.")
    serve_config_v2: str = Field(default="", description="Applications of Ray Serve: a multi-application YAML as text.")
    serve_service: Service | None = Field(
        default=None, description="A Service whose metadata and spec the serve Service takes over."
    )
    upgrade_strategy: RayServiceUpgradeStrategy | None = Field(
        default=None, description="How a changed cluster takes over."
    )
    exclude_head_pod_from_serve_svc: bool = Field(default=False, description="Send no requests to the head pod.")
    suspend: bool = Field(default=False, description="Delete the clusters and keep this object until this is false.")
    managed_by: ManagedBy | None = Field(
        default=None,
        description="Who looks after this object: this operator (also when unset) or Kueue's MultiKueue.",
    )
    ray_cluster_deletion_delay_seconds: Int32 | None = Field(
        default=None, ge=0, description="How long a replaced cluster is kept, in seconds. Unset: 60."
    )
    service_unhealthy_second_threshold: Int32 | None = Field(default=None, description="Deprecated; has no effect.")
    deployment_unhealthy_second_threshold: Int32 | None = Field(default=None, description="Deprecated; has no effect.")


class ServeDeploymentStatus(StatusModel):
    """A deployment of a Serve application."""

    status: str = Field(default="", description="What Serve says of the deployment.")
    message: str = Field(default="", description="What Serve adds to that.")


class ServeApplicationStatus(StatusModel):
    """A Serve application."""

    status: str = Field(default="", description="What Serve says of the application.")
    message: str = Field(default="", description="What Serve adds to that.")
    serve_deployment_statuses: dict[str, ServeDeploymentStatus] = Field(
        default_factory=dict, description="Its deployments by name."
    )


class RayServiceStatus(StatusModel):
    """status.activeServiceStatus, pendingServiceStatus: one cluster of the service."""

    always_written: ClassVar[frozenset[str]] = frozenset({"rayClusterStatus"})

    ray_cluster_name: str = Field(default="", description="The cluster. Nothing: there is none.")
    ray_cluster_status: RayClusterStatus = Field(
        default_factory=RayClusterStatus, description="A copy of the cluster's status."
    )
    application_statuses: dict[str, ServeApplicationStatus] = Field(
        default_factory=dict, description="Its Serve applications by name."
    )
    target_capacity: Int32 | None = Field(
        default=None, description="Serve capacity last asked for in an incremental upgrade, in percent."
    )
    traffic_routed_percent: Int32 | None = Field(
        default=None, description="Share of the traffic in an incremental upgrade, in percent."
    )
    last_traffic_migrated_time: Time | None = Field(default=None, description="When that share last changed.")


class RayServiceStatuses(StatusModel):
    """What the operator reports (spec rayservice §3)."""

    always_written: ClassVar[frozenset[str]] = frozenset({"activeServiceStatus", "pendingServiceStatus"})

    service_status: str = Field(default="", description="Deprecated, see the condition Ready. Running or nothing.")
    num_serve_endpoints: Int32 = Field(default=0, description="Ready pods behind the serve Service.")
    active_service_status: RayServiceStatus = Field(
        default_factory=RayServiceStatus, description="The cluster that serves."
    )
    pending_service_status: RayServiceStatus = Field(
        default_factory=RayServiceStatus, description="The cluster that is to take over."
    )
    conditions: Conditions = Field(default_factory=list, description="What holds of the service now, and why.")
    last_update_time: Time | None = Field(default=None, description="When the operator last wrote this status.")
    observed_generation: Int64 = Field(default=0, description="Generation of the spec that this status is about.")


class RayService(ApiObject):
    """Ray Serve applications that stay up while their cluster is replaced."""

    spec: RayServiceSpec | None = Field(default=None, description="The service that is wanted.")
    status: RayServiceStatuses = Field(default_factory=RayServiceStatuses, description="What the operator reports.")
