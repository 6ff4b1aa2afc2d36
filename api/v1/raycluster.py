"""RayCluster: what users ask for, what the operator reports, and the words for both (spec raycluster §1)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from pydantic import Field

from api.meta import Json
from api.v1.common import (
    DEFAULTED,
    NULLABLE,
    REQUIRED,
    ApiModel,
    ApiObject,
    Cel,
    Core,
    Int32,
    Int64,
    ListMap,
    ManagedBy,
    Quantity,
    StatusModel,
    StringMap,
    Time,
)

__all__ = [
    "FAILED_CREATE_HEAD_POD",
    "FAILED_CREATE_WORKER_POD",
    "FAILED_DELETE_ALL_PODS",
    "FAILED_DELETE_HEAD_POD",
    "FAILED_DELETE_WORKER_POD",
    "MAX_REPLICAS",
    "AuthOptions",
    "AutoscalerOptions",
    "CollectorOptions",
    "Conditions",
    "GcsFaultToleranceOptions",
    "GcsStorage",
    "GroupNetworkRules",
    "HeadGroupSpec",
    "HeadInfo",
    "HistoryServerOptions",
    "IngressOptions",
    "NetworkPolicyOptions",
    "NetworkRules",
    "RayCluster",
    "RayClusterCondition",
    "RayClusterSpec",
    "RayClusterState",
    "RayClusterStatus",
    "RedisCredential",
    "ScaleStrategy",
    "TlsOptions",
    "UpgradeStrategy",
    "WorkerGroupSpec",
]

MAX_REPLICAS: Final = 2147483647  # of a group that names no maximum: the largest int32


class RayClusterState(StrEnum):
    """status.state. FAILED exists in the API and is never written."""

    NEW = ""
    READY = "ready"
    SUSPENDED = "suspended"
    FAILED = "failed"


class RayClusterCondition(StrEnum):
    """Types of status.conditions (spec raycluster §19.3)."""

    REPLICA_FAILURE = "ReplicaFailure"
    HEAD_POD_READY = "HeadPodReady"
    PROVISIONED = "RayClusterProvisioned"
    SUSPENDING = "RayClusterSuspending"
    SUSPENDED = "RayClusterSuspended"


# Reasons of ReplicaFailure: which write was refused.
FAILED_DELETE_ALL_PODS: Final = "FailedDeleteAllPods"
FAILED_DELETE_HEAD_POD: Final = "FailedDeleteHeadPod"
FAILED_CREATE_HEAD_POD: Final = "FailedCreateHeadPod"
FAILED_DELETE_WORKER_POD: Final = "FailedDeleteWorkerPod"
FAILED_CREATE_WORKER_POD: Final = "FailedCreateWorkerPod"

Template: TypeAlias = Annotated[Json, Core("PodTemplateSpec")]
Service: TypeAlias = Annotated[Json, Core("Service")]
Resources: TypeAlias = Annotated[Json, Core("ResourceRequirements")]
EnvVar: TypeAlias = Annotated[Json, Core("EnvVar")]
IngressRule: TypeAlias = Annotated[Json, Core("NetworkPolicyIngressRule")]
EgressRule: TypeAlias = Annotated[Json, Core("NetworkPolicyEgressRule")]
Conditions: TypeAlias = Annotated[list[Annotated[Json, Core("Condition")]], ListMap("type")]


class UpgradeStrategy(ApiModel):
    """spec.upgradeStrategy"""

    type: Literal["Recreate", "None"] | None = Field(
        default=None,
        description="What a changed spec does to running pods. Recreate: all pods are deleted and made anew. "
        "None or unset: only pods that are created later follow the change.",
    )


class AuthOptions(ApiModel):
    """spec.authOptions"""

    mode: Literal["disabled", "token"] | None = Field(
        default=None,
        description="token: Ray accepts only requests that carry the cluster's token. Needs Ray 2.52.0 or newer.",
    )
    secret_name: str = Field(
        default="",
        description="Secret of the same namespace whose key auth_token holds the token. "
        "Unset: the operator makes one named after the cluster.",
    )
    enable_k8s_token_auth: bool | None = Field(
        default=None,
        description="Let the Kubernetes API judge tokens instead of comparing them with a Secret. "
        "Needs mode token and Ray 2.55.0 or newer; excludes secretName.",
    )


class AutoscalerOptions(ApiModel):
    """spec.autoscalerOptions"""

    resources: Resources | None = Field(
        default=None,
        description="Resources of the autoscaler container, replacing the default of 500m CPU and 512Mi as a whole.",
    )
    image: str | None = Field(
        default=None, description="Image of the autoscaler container. Unset: that of the head's Ray container."
    )
    image_pull_policy: str | None = Field(
        default=None, description="When the autoscaler's image is pulled. Unset: IfNotPresent."
    )
    security_context: Annotated[Json, Core("SecurityContext")] | None = Field(
        default=None, description="Security context of the autoscaler container."
    )
    env: list[EnvVar] = Field(
        default_factory=list, description="Environment variables added to the autoscaler container."
    )
    env_from: list[Annotated[Json, Core("EnvFromSource")]] = Field(
        default_factory=list, description="Sources of further environment variables of the autoscaler container."
    )
    volume_mounts: list[Annotated[Json, Core("VolumeMount")]] = Field(
        default_factory=list, description="Volume mounts added to the autoscaler container."
    )
    command: list[str] = Field(
        default_factory=list, description="Command of the autoscaler container, in place of the generated one."
    )
    args: list[str] = Field(
        default_factory=list, description="Arguments of the autoscaler container, in place of the generated ones."
    )
    idle_timeout_seconds: Int32 | None = Field(
        default=None,
        description="How long a worker must be idle before it is removed, in seconds. Unset: Ray takes 60.",
    )
    upscaling_mode: Literal["Default", "Aggressive", "Conservative"] | None = Field(
        default=None,
        description="How fast workers are added. Conservative: never more pending than running workers. "
        "Default and Aggressive: without such a limit.",
    )
    version: Literal["v1", "v2"] | None = Field(
        default=None,
        description="Which of Ray's autoscalers runs. Unset: what the Ray version in the image takes by itself.",
    )


class RedisCredential(ApiModel):
    """spec.gcsFaultToleranceOptions.redisUsername, redisPassword"""

    value: str = Field(default="", description="The credential itself. Prefer valueFrom: this is readable by many.")
    value_from: Annotated[Json, Core("EnvVarSource")] | None = Field(
        default=None, description="Where the credential stands, such as a key of a Secret."
    )


class GcsStorage(ApiModel):
    """spec.gcsFaultToleranceOptions.storage"""

    claim_name: str = Field(
        default="",
        description="An existing PersistentVolumeClaim to use. Excludes size, storageClassName and accessModes.",
    )
    size: Quantity | None = Field(default=None, description="Size of the claim that the operator makes. Unset: 1Gi.")
    storage_class_name: str | None = Field(
        default=None, description="Storage class of that claim. Unset: the default of the Kubernetes cluster."
    )
    access_modes: list[str] = Field(
        default_factory=list, description="Access modes of that claim. Unset: ReadWriteOnce."
    )
    sub_path: str = Field(default="", description="Folder inside the volume in which the data lies.")
    deletion_policy: Literal["DeleteWithCluster", "Retain"] | None = Field(
        default=None,
        description="What becomes of the claim when the RayCluster is deleted. Unset: DeleteWithCluster.",
    )


class GcsFaultToleranceOptions(ApiModel):
    """spec.gcsFaultToleranceOptions"""

    backend: (
        Annotated[Literal["redis", "rocksdb"], Cel("self == oldSelf", "gcsFaultToleranceOptions.backend is immutable")]
        | None
    ) = Field(default=None, description="Where the head keeps its state so that it survives a restart. Unset: redis.")
    redis_address: str = Field(default="", description='Address of Redis, such as "redis:6379".')
    redis_username: RedisCredential | None = Field(default=None, description="User name for Redis.")
    redis_password: RedisCredential | None = Field(default=None, description="Password for Redis.")
    external_storage_namespace: str = Field(
        default="",
        description="Prefix under which this cluster keeps its keys in Redis. Unset: the UID of the RayCluster.",
    )
    storage: GcsStorage | None = Field(default=None, description="Volume for the backend rocksdb; not with redis.")


class CollectorOptions(ApiModel):
    """spec.historyServerOptions.collectorOptions"""

    image: str | None = Field(default=None, description="Image of the collector container. Required by the operator.")
    image_pull_policy: str | None = Field(
        default=None, description="When the collector's image is pulled. Unset: IfNotPresent."
    )
    resources: Resources | None = Field(
        default=None,
        description="Resources of the collector container. Unset: requests 50m and 64Mi, limits 200m and 256Mi.",
    )
    env: list[EnvVar] = Field(
        default_factory=list,
        description="Environment variables of the collector, among them STORAGE_BACKEND and what that backend needs.",
    )


class HistoryServerOptions(ApiModel):
    """spec.historyServerOptions"""

    collector_options: CollectorOptions | None = Field(
        default=None, description="The container beside each Ray container that stores logs and events."
    )


class NetworkRules(ApiModel):
    """spec.networkPolicy.head, worker"""

    ingress_rules: list[IngressRule] = Field(
        default_factory=list, description="Traffic let in beside that of the cluster's own pods."
    )
    egress_rules: list[EgressRule] = Field(
        default_factory=list, description="Traffic let out beside that to the cluster's own pods."
    )


class GroupNetworkRules(ApiModel):
    """spec.networkPolicy.workerGroups[]"""

    group_name: str = Field(description="The worker group for which these rules stand in place of those in worker.")
    ingress_rules: list[IngressRule] = Field(
        default_factory=list, description="Traffic let in beside that of the cluster's own pods."
    )
    egress_rules: list[EgressRule] = Field(
        default_factory=list, description="Traffic let out beside that to the cluster's own pods."
    )


class NetworkPolicyOptions(ApiModel):
    """spec.networkPolicy"""

    mode: Annotated[Literal["DenyAll", "DenyAllIngress", "DenyAllEgress"], DEFAULTED] = Field(
        default="DenyAll",
        description="Which directions are closed but for the cluster's own pods and the rules given here.",
    )
    head: NetworkRules | None = Field(default=None, description="Rules for the head pod.")
    worker: NetworkRules | None = Field(
        default=None, description="Rules for worker pods of groups that have none of their own."
    )
    worker_groups: Annotated[list[GroupNetworkRules], ListMap("groupName")] = Field(
        default_factory=list, description="Rules for single worker groups."
    )


class TlsOptions(ApiModel):
    """spec.tlsOptions"""

    enabled: bool | None = Field(
        default=None,
        description="Let Ray's processes talk over mutual TLS with certificates from cert-manager.",
    )


class IngressOptions(ApiModel):
    """spec.headGroupSpec.ingressOptions"""

    host: str | None = Field(default=None, description="Host name of the rule. Unset: any.")
    path: str | None = Field(default=None, description="Path under which the dashboard is reached. Unset: /.")
    path_type: Literal["Exact", "Prefix", "ImplementationSpecific"] | None = Field(
        default=None, description="How the path is compared. Unset: Prefix."
    )
    tls: list[Annotated[Json, Core("IngressTLS")]] = Field(
        default_factory=list, description="Hosts and the Secrets with their certificates."
    )


class HeadGroupSpec(ApiModel):
    """spec.headGroupSpec"""

    template: Template = Field(description="The head pod. Its first container is the one that runs Ray.")
    head_service: Service | None = Field(
        default=None, description="A Service whose metadata and spec the head Service takes over."
    )
    enable_ingress: bool | None = Field(
        default=None, description="Make an Ingress (on OpenShift a Route) to the dashboard."
    )
    ingress_options: IngressOptions | None = Field(default=None, description="What that Ingress looks like.")
    resources: StringMap = Field(
        default_factory=dict,
        description="What the head offers to Ray, by resource name, instead of what its container's limits say. "
        "Changes nothing in the container.",
    )
    labels: StringMap = Field(default_factory=dict, description="Labels of the Ray node, and of the pod.")
    ray_start_params: StringMap = Field(
        default_factory=dict, description='Flags of "ray start" on the head, without the dashes.'
    )
    service_type: str = Field(
        default="", description="Type of the head Service and of the serve Service. Unset: ClusterIP, headless."
    )


class ScaleStrategy(ApiModel):
    """spec.workerGroupSpecs[].scaleStrategy"""

    workers_to_delete: list[str] = Field(
        default_factory=list, description="Names of the pods to remove first. Written by the autoscaler."
    )


class WorkerGroupSpec(ApiModel):
    """spec.workerGroupSpecs[]"""

    group_name: str = Field(description="Name of the group, unique in the cluster.")
    template: Template = Field(description="A worker pod. Its first container is the one that runs Ray.")
    replicas: Annotated[Int32, DEFAULTED] = Field(
        default=0, description="Wanted replicas, kept between minReplicas and maxReplicas."
    )
    min_replicas: Annotated[Int32, DEFAULTED, REQUIRED] = Field(
        default=0, description="Fewest replicas to which the autoscaler goes down."
    )
    max_replicas: Annotated[Int32, DEFAULTED, REQUIRED] = Field(
        default=MAX_REPLICAS, description="Most replicas to which the autoscaler goes up."
    )
    num_of_hosts: Annotated[Int32, DEFAULTED] = Field(
        default=1, description="Pods that make one replica, as for a slice of TPUs."
    )
    priority: Annotated[Int32, DEFAULTED] = Field(
        default=0,
        description="Groups of higher priority are scaled up first. Needs autoscaler v2 and Ray 2.56.0 or newer.",
    )
    idle_timeout_seconds: Int32 | None = Field(
        default=None,
        description="How long a worker of this group must be idle before it is removed, in seconds. "
        "Needs autoscaler v2.",
    )
    suspend: bool | None = Field(
        default=None, description="Remove all pods of the group. Set by the deletion rules of a RayJob."
    )
    resources: StringMap = Field(
        default_factory=dict,
        description="What a worker offers to Ray, by resource name, instead of what its container's limits say. "
        "Changes nothing in the container.",
    )
    labels: StringMap = Field(default_factory=dict, description="Labels of the Ray nodes, and of the pods.")
    ray_start_params: StringMap = Field(
        default_factory=dict, description='Flags of "ray start" on the workers, without the dashes.'
    )
    scale_strategy: ScaleStrategy | None = Field(default=None, description="Which pods go when the group shrinks.")


class RayClusterSpec(ApiModel):
    """The cluster that is wanted; also inside RayJob, RayService and RayCronJob."""

    head_group_spec: HeadGroupSpec = Field(description="The head: exactly one pod.")
    worker_group_specs: list[WorkerGroupSpec] = Field(default_factory=list, description="Groups of equal workers.")
    ray_version: str = Field(
        default="",
        description='Version of Ray in the images, such as "2.52.0". Decides which probes and features are used.',
    )
    suspend: bool | None = Field(default=None, description="Delete all pods and keep the rest until this is false.")
    managed_by: ManagedBy | None = Field(
        default=None,
        description="Who looks after this object: this operator (also when unset) or Kueue's MultiKueue.",
    )
    enable_in_tree_autoscaling: bool | None = Field(
        default=None, description="Run Ray's autoscaler beside the head; it then sets the replicas of the groups."
    )
    autoscaler_options: AutoscalerOptions | None = Field(
        default=None, description="How the autoscaler's container looks, and how it scales."
    )
    head_service_annotations: StringMap = Field(
        default_factory=dict, description="Annotations added to the head Service."
    )
    upgrade_strategy: UpgradeStrategy | None = Field(default=None, description="What a changed spec does to pods.")
    auth_options: AuthOptions | None = Field(default=None, description="Who may talk to Ray.")
    gcs_fault_tolerance_options: GcsFaultToleranceOptions | None = Field(
        default=None, description="Keep the head's state outside its pod, so that a new head takes over the workers."
    )
    history_server_options: HistoryServerOptions | None = Field(
        default=None, description="Keep logs and events after the cluster has gone."
    )
    network_policy: NetworkPolicyOptions | None = Field(
        default=None, description="Close the pods to all traffic but that named here."
    )
    tls_options: TlsOptions | None = Field(default=None, description="Encrypt the traffic inside the cluster.")


class HeadInfo(StatusModel):
    """status.head"""

    pod_ip: str = Field(default="", description="IP of the head pod.")
    pod_name: str = Field(default="", description="Name of the head pod.")
    service_ip: str = Field(default="", description="IP of the head Service; that of the pod if it is headless.")
    service_name: str = Field(default="", description="Name of the head Service.")


class RayClusterStatus(StatusModel):
    """What the operator reports (spec raycluster §1.7, §19)."""

    always_written: ClassVar[frozenset[str]] = frozenset(
        {"desiredCPU", "desiredMemory", "desiredGPU", "desiredTPU", "head"}
    )

    state: str = Field(default="", description="ready, suspended or nothing. Never goes back; see the conditions.")
    reason: str = Field(default="", description="Why the state is as it is.")
    desired_cpu: Quantity = Field(default="0", description="CPUs of all wanted pods together.")
    desired_memory: Quantity = Field(default="0", description="Memory of all wanted pods together.")
    desired_gpu: Quantity = Field(default="0", description="GPUs of all wanted pods together.")
    desired_tpu: Quantity = Field(default="0", description="TPUs of all wanted pods together.")
    ready_worker_replicas: Int32 = Field(default=0, description="Worker pods that are Ready.")
    available_worker_replicas: Int32 = Field(default=0, description="Worker pods that are Running.")
    desired_worker_replicas: Int32 = Field(default=0, description="Worker pods that are wanted.")
    min_worker_replicas: Int32 = Field(default=0, description="Fewest worker pods of all groups together.")
    max_worker_replicas: Int32 = Field(default=0, description="Most worker pods of all groups together.")
    last_update_time: Annotated[Time | None, NULLABLE] = Field(
        default=None, description="When the operator last wrote this status."
    )
    state_transition_times: dict[str, Time] = Field(
        default_factory=dict, description="When the cluster last came into each state."
    )
    endpoints: StringMap = Field(default_factory=dict, description="Ports of the head Service by name.")
    head: HeadInfo = Field(default_factory=HeadInfo, description="Where the head is.")
    conditions: Conditions = Field(default_factory=list, description="What holds of the cluster now, and why.")
    observed_generation: Int64 = Field(default=0, description="Generation of the spec that this status is about.")


class RayCluster(ApiObject):
    """A Ray cluster: a head and groups of workers."""

    spec: RayClusterSpec | None = Field(default=None, description="The cluster that is wanted.")
    status: RayClusterStatus = Field(default_factory=RayClusterStatus, description="What the operator reports.")
