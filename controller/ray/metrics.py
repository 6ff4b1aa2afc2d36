"""The kuberay_* series (spec raycluster §21, rayjob §13, rayservice §18), for dashboards made for the reference.

What follows from the objects is computed from the caches when somebody scrapes, so it is never stale and survives a
restart. Only how long an attempt took is noted when it ends: a retried one leaves no trace on the object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.meta import Json, Ref, condition, parse_time
from api.v1 import wire
from api.v1.raycluster import RayClusterCondition
from api.v1.rayjob import TERMINAL_DEPLOYMENT_STATUSES, JobDeploymentStatus
from api.v1.rayservice import RayServiceCondition

__all__ = ["JobDurations", "RaySeries"]

ENDS: Final = TERMINAL_DEPLOYMENT_STATUSES | {JobDeploymentStatus.RETRYING}
WHOSE: Final = ("name", "namespace", "uid")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a RayJob that came to an end."""

    labels: tuple[str, ...]  # name, namespace, uid, job_deployment_status, retry_count
    seconds: float


class JobDurations:
    """How long the attempts of RayJobs took, until these are gone."""

    def __init__(self) -> None:
        self._attempts: dict[Ref, dict[tuple[str, ...], Attempt]] = {}

    def note(self, key: Ref, job: Mapping[str, Any], status: Mapping[str, Any], now: datetime) -> None:
        """`status` was written to `job`, which is as it was before: keep how long it took, if that ended an attempt."""
        before, phase = job.get("status") or {}, status.get("jobDeploymentStatus", "")
        began = status.get("startTime")
        if phase not in ENDS or before.get("jobDeploymentStatus", "") in ENDS or not began:
            return
        labels = (*whose(job["metadata"]), str(phase), str(before.get("failed", 0)))
        attempt = Attempt(labels, (now - parse_time(began)).total_seconds())
        self._attempts.setdefault(key, {})[labels] = attempt

    def forget(self, key: Ref) -> None:
        """The RayJob is gone."""
        self._attempts.pop(key, None)

    def all(self) -> Iterable[Attempt]:
        """Of all RayJobs."""
        return [attempt for attempts in self._attempts.values() for attempt in attempts.values()]


class RaySeries(Collector):
    """Given how to read all objects of each kind off the caches."""

    def __init__(
        self,
        clusters: Callable[[], Iterable[Json]],
        jobs: Callable[[], Iterable[Json]],
        services: Callable[[], Iterable[Json]],
        durations: JobDurations,
    ) -> None:
        self._clusters, self._jobs, self._services, self._durations = clusters, jobs, services, durations

    def describe(self) -> Iterable[Metric]:
        """Nothing: the caches are not to be read when this is registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        yield from self._of_clusters()
        yield from self._of_jobs()
        yield from self._of_services()

    def _of_clusters(self) -> Iterable[Metric]:
        info = gauge("kuberay_cluster_info", "One per RayCluster.", "owner_kind")
        provisioned = gauge("kuberay_cluster_condition_provisioned", "Whether it is provisioned.", "condition")
        seconds = gauge("kuberay_cluster_provisioned_duration_seconds", "From its creation to its provisioning.")
        for cluster in self._clusters():
            metadata = cluster["metadata"]
            labels = whose(metadata)
            info.add_metric((*labels, (metadata.get("labels") or {}).get(wire.LABEL_ORIGIN_KIND) or "None"), 1)
            found = condition((cluster.get("status") or {}).get("conditions") or (), RayClusterCondition.PROVISIONED)
            holds = found is not None and found["status"] == "True"
            provisioned.add_metric((*labels, "true" if holds else "false"), 1)
            if found is not None and holds:
                took = parse_time(found["lastTransitionTime"]) - parse_time(metadata["creationTimestamp"])
                seconds.add_metric(labels, took.total_seconds())
        return info, provisioned, seconds

    def _of_jobs(self) -> Iterable[Metric]:
        info = gauge("kuberay_job_info", "One per RayJob.")
        phase = gauge("kuberay_job_deployment_status", "Where its state machine stands.", "deployment_status")
        seconds = gauge(
            "kuberay_job_execution_duration_seconds",
            "How long its attempts took.",
            "job_deployment_status",
            "retry_count",
        )
        for job in self._jobs():
            labels = whose(job["metadata"])
            info.add_metric(labels, 1)
            phase.add_metric((*labels, (job.get("status") or {}).get("jobDeploymentStatus") or ""), 1)
        for attempt in self._durations.all():
            seconds.add_metric(attempt.labels, attempt.seconds)
        return info, phase, seconds

    def _of_services(self) -> Iterable[Metric]:
        info = gauge("kuberay_service_info", "One per RayService.")
        ready = gauge("kuberay_service_condition_ready", "Whether it is ready.", "condition")
        upgrading = gauge("kuberay_service_condition_upgrade_in_progress", "Whether it is upgraded.", "condition")
        for service in self._services():
            labels = whose(service["metadata"])
            info.add_metric(labels, 1)
            conditions = (service.get("status") or {}).get("conditions") or ()
            for series, type_ in (
                (ready, RayServiceCondition.READY),
                (upgrading, RayServiceCondition.UPGRADE_IN_PROGRESS),
            ):
                found = condition(conditions, type_)
                holds = found is not None and found["status"] == "True"
                series.add_metric((*labels, "true" if holds else "false"), 1)
        return info, ready, upgrading


def whose(metadata: Mapping[str, Any]) -> tuple[str, str, str]:
    """The labels that say which object."""
    return metadata["name"], metadata["namespace"], metadata["uid"]


def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    """A gauge of one object each."""
    return GaugeMetricFamily(name, text, labels=(*WHOSE, *labels))
