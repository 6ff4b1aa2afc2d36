"""The four kinds as they are served: versions and printer columns (spec raycluster §1.1, rayjob §1.1, §12.1)."""

from __future__ import annotations

from typing import Final

from api.crd import Column, Definition, Version
from api.meta import Resource
from api.v1.alpha1 import VIEW, deprecation_warning
from api.v1.common import ApiObject
from api.v1.raycluster import RayCluster
from api.v1.raycronjob import RayCronJob
from api.v1.rayjob import RayJob
from api.v1.rayservice import RayService
from api.v1.wire import RAY_CLUSTERS, RAY_CRON_JOBS, RAY_JOBS, RAY_SERVICES

__all__ = ["DEFINITIONS"]

_AGE: Final = Column("age", "date", ".metadata.creationTimestamp")

_CLUSTER_COLUMNS: Final = (
    Column("desired workers", "integer", ".status.desiredWorkerReplicas"),
    Column("available workers", "integer", ".status.availableWorkerReplicas"),
    Column("cpus", "string", ".status.desiredCPU"),
    Column("memory", "string", ".status.desiredMemory"),
    Column("gpus", "string", ".status.desiredGPU"),
    Column("tpus", "string", ".status.desiredTPU", priority=1),
    Column("status", "string", ".status.state"),
    _AGE,
    Column("head pod IP", "string", ".status.head.podIP", priority=1),
    Column("head service IP", "string", ".status.head.serviceIP", priority=1),
)
_JOB_COLUMNS: Final = (
    Column("job status", "string", ".status.jobStatus"),
    Column("deployment status", "string", ".status.jobDeploymentStatus"),
    Column("ray cluster name", "string", ".status.rayClusterName"),
    Column("start time", "string", ".status.startTime"),
    Column("end time", "string", ".status.endTime"),
    _AGE,
)
_SERVICE_COLUMNS: Final = (
    Column("service status", "string", ".status.serviceStatus"),
    Column("num serve endpoints", "string", ".status.numServeEndpoints"),
)
_CRON_JOB_COLUMNS: Final = (
    Column("schedule", "string", ".spec.schedule"),
    Column("timezone", "string", ".spec.timeZone"),
    Column("last schedule", "date", ".status.lastScheduleTime"),
    _AGE,
    Column("suspend", "boolean", ".spec.suspend"),
)


def _both(
    resource: Resource, model: type[ApiObject], columns: tuple[Column, ...], old_columns: tuple[Column, ...] = ()
) -> Definition:
    """A kind that also serves v1alpha1."""
    old = Version("v1alpha1", old_columns, VIEW, deprecation_warning=deprecation_warning(resource.kind))
    return Definition(resource, model, (Version("v1", columns, storage=True), old))


DEFINITIONS: Final = (
    _both(RAY_CLUSTERS, RayCluster, _CLUSTER_COLUMNS, _CLUSTER_COLUMNS),
    _both(RAY_JOBS, RayJob, _JOB_COLUMNS),
    _both(RAY_SERVICES, RayService, _SERVICE_COLUMNS),
    Definition(RAY_CRON_JOBS, RayCronJob, (Version("v1", _CRON_JOB_COLUMNS, storage=True),)),
)
