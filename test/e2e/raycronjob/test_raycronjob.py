"""A RayCronJob on real nodes: it makes a RayJob at each minute, which real Ray runs, until it is suspended.

Its jobs run on one cluster, a head alone, that was there before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import pytest

from hack.e2e.cluster import Cluster
from hack.e2e.operator import Installation
from hack.e2e.watching import until
from hack.e2e.workloads import a_raycluster, a_rayjob

pytestmark = pytest.mark.e2e
Json = dict[str, Any]
JOBS = "rayjobs.ray.io"
EACH_MINUTE = "* * * * *"
LONG = 240  # seconds: on two cores Ray takes its time


@pytest.fixture
def shared(cluster: Cluster, operator: Installation, namespace: str) -> Iterator[str]:
    """A namespace with a cluster that is ready, for an operator that cares for RayCronJobs."""
    cluster.use_image("ray")
    cluster.apply(a_raycluster("shared", namespace))
    with operator.gates("RayCronJob"):
        where = f"--namespace={namespace}"
        cluster.wait("jsonpath={.status.state}=ready", "raycluster/shared", where, seconds=LONG)
        yield namespace


def a_cron_job(name: str, namespace: str, **spec: Any) -> Json:
    """At each minute a short job on the shared cluster."""
    on_shared = {"clusterSelector": {"ray.io/cluster": "shared"}, "submissionMode": "HTTPMode"}
    template = a_rayjob("any", namespace, "echo it is time", **on_shared)["spec"]
    metadata = {"name": name, "namespace": namespace}
    spec = {"schedule": EACH_MINUTE, "timeZone": "UTC", "jobTemplate": template, **spec}
    return {"apiVersion": "ray.io/v1", "kind": "RayCronJob", "metadata": metadata, "spec": spec}


def test_a_job_is_made_at_each_minute_until_it_is_suspended(cluster: Cluster, shared: str) -> None:
    """Another schedule that goes on tells when the next minute has come."""
    here = f"--namespace={shared}"
    cluster.apply(a_cron_job("stops", shared))

    jobs = until(cluster, JOBS, shared, lambda found: len(succeeded(found)) >= 2, seconds=LONG)

    first, second, *_ = sorted(ticks(jobs, "stops"))
    assert second == first + 1
    owner = cluster.get("raycronjob/stops", here)
    assert first > minute(datetime.fromisoformat(owner["metadata"]["creationTimestamp"]))
    made = jobs[f"stops-{first}"]["metadata"]
    assert made["labels"]["ray.io/cronjob-name"] == "stops"
    assert minute(datetime.fromisoformat(made["annotations"]["ray.io/cronjob-scheduled-timestamp"])) == first
    (reference,) = made["ownerReferences"]
    assert (reference["uid"], reference["controller"]) == (owner["metadata"]["uid"], True)

    cluster.kubectl("patch", "raycronjob/stops", here, "--type=merge", '--patch={"spec": {"suspend": true}}')
    until(cluster, "events.events.k8s.io", shared, lambda found: "SuspendedRayCronJob" in reasons(found))
    last = max(ticks(named(cluster, shared), "stops"))
    cluster.apply(a_cron_job("goes-on", shared))
    jobs = until(cluster, JOBS, shared, lambda found: any(tick > last for tick in ticks(found, "goes-on")))
    assert max(ticks(jobs, "stops")) == last
    handled = cluster.get("raycronjob/stops", here)["status"]["lastScheduleTime"]
    assert minute(datetime.fromisoformat(handled)) == last

    cluster.kubectl("delete", "raycronjob", "--all", here)
    cluster.wait("delete", JOBS, "--all", here, seconds=LONG)


def minute(time: datetime) -> int:
    """How many there were before; part of a job's name."""
    return int(time.timestamp()) // 60


def ticks(jobs: Mapping[str, Json], cron: str) -> set[int]:
    """The minutes for which it made jobs."""
    return {int(name.rpartition("-")[2]) for name in jobs if name.startswith(f"{cron}-")}


def succeeded(jobs: Mapping[str, Json]) -> list[str]:
    """Those that did, by name."""
    return [name for name, job in jobs.items() if (job.get("status") or {}).get("jobStatus") == "SUCCEEDED"]


def reasons(events: Mapping[str, Json]) -> set[str]:
    return {event.get("reason", "") for event in events.values()}


def named(cluster: Cluster, namespace: str) -> dict[str, Json]:
    """The RayJobs that there are."""
    return {one["metadata"]["name"]: one for one in cluster.get(JOBS, f"--namespace={namespace}")["items"]}
