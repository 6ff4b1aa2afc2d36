"""The kuberay_* series (spec raycluster §21, rayjob §13, rayservice §18), for dashboards made for the reference.

What follows from the objects is computed from the caches when somebody scrapes, so it is never stale and survives a
restart. Only how long an attempt took is noted when it ends: a retried one leaves no trace on the object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.meta import Ref, parse_time
from api.v1 import wire
from api.v1.raycluster import RayClusterCondition
from api.v1.rayjob import TERMINAL_DEPLOYMENT_STATUSES, JobDeploymentStatus
from api.v1.rayservice import RayServiceCondition
from controller.runtime.cache.record import StoredRecord

__all__ = ["JobDurations", "RaySeries"]

ENDS: Final = TERMINAL_DEPLOYMENT_STATUSES | {JobDeploymentStatus.RETRYING}
WHOSE: Final = ("name", "namespace", "uid")
Labels: TypeAlias = tuple[str, str, str]


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
        metadata = job["metadata"]
        who = metadata["name"], metadata["namespace"], metadata["uid"]
        labels = (*who, str(phase), str(before.get("failed", 0)))
        attempt = Attempt(labels, (now - parse_time(began)).total_seconds())
        self._attempts.setdefault(key, {})[labels] = attempt

    def forget(self, key: Ref) -> None:
        """The RayJob is gone."""
        self._attempts.pop(key, None)

    def all(self) -> Iterable[Attempt]:
        """Of all RayJobs."""
        return [attempt for attempts in self._attempts.values() for attempt in attempts.values()]


class _Condition(Struct, rename="camel"):
    type: str
    status: str
    last_transition_time: str = ""


class _Status(Struct, rename="camel"):
    conditions: list[_Condition] | None = None
    job_deployment_status: str | None = None

    def holds(self, type_: str) -> _Condition | None:
        """The condition, if it is true."""
        return next((one for one in self.conditions or () if one.type == type_ and one.status == "True"), None)


class _Object(Struct):
    status: _Status | None = None


_decode = msgspec.json.Decoder(_Object).decode  # of thousands of objects in one scrape: nothing else is looked at


def status_of(record: StoredRecord) -> _Status:
    """What is measured of an object's status."""
    return _decode(record.body).status or _Status()


class RaySeries(Collector):
    """Given how to read all objects of each kind off the caches. A family is made when it is its turn (HLT-6)."""

    def __init__(
        self,
        clusters: Callable[[], Iterable[StoredRecord]],
        jobs: Callable[[], Iterable[StoredRecord]],
        services: Callable[[], Iterable[StoredRecord]],
        durations: JobDurations,
    ) -> None:
        self._clusters, self._jobs, self._services, self._durations = clusters, jobs, services, durations

    def describe(self) -> Iterable[Metric]:
        """Nothing: the caches are not to be read when this is registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        yield from self._of_clusters(list(self._clusters()))
        yield from self._of_jobs(list(self._jobs()))
        yield from self._of_services(list(self._services()))

    def _of_clusters(self, clusters: Sequence[StoredRecord]) -> Iterator[Metric]:
        info = gauge("kuberay_cluster_info", "One per RayCluster.", "owner_kind")
        for cluster in clusters:
            info.add_metric((*whose(cluster), cluster.labels.get(wire.LABEL_ORIGIN_KIND) or "None"), 1)
        yield info
        states = [(cluster, status_of(cluster).holds(RayClusterCondition.PROVISIONED)) for cluster in clusters]
        provisioned = gauge("kuberay_cluster_condition_provisioned", "Whether it is provisioned.", "condition")
        for cluster, held in states:
            provisioned.add_metric((*whose(cluster), "false" if held is None else "true"), 1)
        yield provisioned
        seconds = gauge("kuberay_cluster_provisioned_duration_seconds", "From its creation to its provisioning.")
        for cluster, held in states:
            if held is not None:
                took = parse_time(held.last_transition_time) - parse_time(cluster.creation_timestamp)
                seconds.add_metric(whose(cluster), took.total_seconds())
        yield seconds

    def _of_jobs(self, jobs: Sequence[StoredRecord]) -> Iterator[Metric]:
        info = gauge("kuberay_job_info", "One per RayJob.")
        for job in jobs:
            info.add_metric(whose(job), 1)
        yield info
        phase = gauge("kuberay_job_deployment_status", "Where its state machine stands.", "deployment_status")
        for job in jobs:
            phase.add_metric((*whose(job), status_of(job).job_deployment_status or ""), 1)
        yield phase
        seconds = gauge(
            "kuberay_job_execution_duration_seconds",
            "How long its attempts took.",
            "job_deployment_status",
            "retry_count",
        )
        for attempt in self._durations.all():
            seconds.add_metric(attempt.labels, attempt.seconds)
        yield seconds

    def _of_services(self, services: Sequence[StoredRecord]) -> Iterator[Metric]:
        info = gauge("kuberay_service_info", "One per RayService.")
        for service in services:
            info.add_metric(whose(service), 1)
        yield info
        states = [(service, status_of(service)) for service in services]
        for name, text, type_ in (
            ("ready", "Whether it is ready.", RayServiceCondition.READY),
            ("upgrade_in_progress", "Whether it is upgraded.", RayServiceCondition.UPGRADE_IN_PROGRESS),
        ):
            family = gauge(f"kuberay_service_condition_{name}", text, "condition")
            for service, status in states:
                family.add_metric((*whose(service), "false" if status.holds(type_) is None else "true"), 1)
            yield family


def whose(record: StoredRecord) -> Labels:
    """The labels that say which object."""
    return record.ref.name, record.ref.namespace, record.uid


def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    """A gauge of one object each."""
    return GaugeMetricFamily(name, text, labels=(*WHOSE, *labels))
