"""What builders and rules may ask of the operator's settings: gates, defaults, names. Frozen; made once by main.

Each field names the flag, environment variable or config field it comes from (spec raycluster §3, rayjob §3.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, timedelta, tzinfo
from typing import Any

__all__ = ["Gates", "Options"]


@dataclass(frozen=True, slots=True)
class Gates:
    """Feature gates that change behaviour (--feature-gates)."""

    ray_cluster_status_conditions: bool = True
    ray_multi_host_indexing: bool = True
    ray_job_deletion_policy: bool = True
    ray_cluster_network_policy: bool = False
    gcs_fault_tolerance_embedded_storage: bool = False
    ray_cluster_mtls: bool = False
    ray_cluster_history_server: bool = False
    ray_cron_job: bool = False
    sidecar_submitter_restart: bool = False
    ray_service_incremental_upgrade: bool = True  # rules ask for it (V6 to V12); the upgrade itself is not there yet

    @property
    def by_name(self) -> Mapping[str, bool]:
        """The gates by the names that flags, rules and users use."""
        return {
            "RayClusterStatusConditions": self.ray_cluster_status_conditions,
            "RayMultiHostIndexing": self.ray_multi_host_indexing,
            "RayJobDeletionPolicy": self.ray_job_deletion_policy,
            "RayClusterNetworkPolicy": self.ray_cluster_network_policy,
            "GCSFaultToleranceEmbeddedStorage": self.gcs_fault_tolerance_embedded_storage,
            "RayClusterMTLS": self.ray_cluster_mtls,
            "RayClusterHistoryServer": self.ray_cluster_history_server,
            "RayCronJob": self.ray_cron_job,
            "SidecarSubmitterRestart": self.sidecar_submitter_restart,
            "RayServiceIncrementalUpgrade": self.ray_service_incremental_upgrade,
        }


@dataclass(frozen=True, slots=True)
class Options:
    """Defaults are those of an operator started without flags."""

    version: str = "manta-0.1.0"  # ray.io/kuberay-version; distinct from any KubeRay version (spec raycluster §17)
    gates: Gates = field(default_factory=Gates)
    cluster_domain: str = "cluster.local"  # CLUSTER_DOMAIN
    inject_probes: bool = True  # ENABLE_PROBES_INJECTION
    inject_init_container: bool = True  # ENABLE_INIT_CONTAINER_INJECTION
    head_cluster_ip_service: bool = False  # ENABLE_RAY_HEAD_CLUSTER_IP_SERVICE
    deterministic_head_name: bool = False  # ENABLE_DETERMINISTIC_HEAD_POD_NAME
    login_shell: bool = False  # ENABLE_LOGIN_SHELL
    random_pod_delete: bool = False  # ENABLE_RANDOM_POD_DELETE
    zero_downtime: bool = True  # ENABLE_ZERO_DOWNTIME
    redis_cleanup: bool = True  # ENABLE_GCS_FT_REDIS_CLEANUP
    delete_rayjob_after_finish: bool = False  # DELETE_RAYJOB_CR_AFTER_JOB_FINISHES
    requeue: timedelta | None = None  # RAYCLUSTER_DEFAULT_REQUEUE_SECONDS_ENV; None: healthy objects are not requeued
    transition_grace: timedelta = timedelta(seconds=300)  # RAYJOB_DEPLOYMENT_STATUS_TRANSITION_GRACE_PERIOD_SECONDS
    status_check_timeout: timedelta = timedelta(seconds=300)  # RAYJOB_STATUS_CHECK_TIMEOUT_SECONDS
    cron_backfill_limit: int = 0  # -cron-backfill-limit; 0: all missed ticks of a RayCronJob are made up for
    time_zone: tzinfo = UTC  # TZ, else /etc/localtime: of schedules that name none
    default_container_envs: tuple[Mapping[str, Any], ...] = ()  # config file: defaultContainerEnvs
    head_sidecars: tuple[Mapping[str, Any], ...] = ()  # config file: headSidecarContainers
    worker_sidecars: tuple[Mapping[str, Any], ...] = ()  # config file: workerSidecarContainers
    default_pod_annotations: Mapping[str, str] = field(default_factory=dict)  # config file: defaultPodAnnotations
    default_pod_labels: Mapping[str, str] = field(default_factory=dict)  # config file: defaultPodLabels
