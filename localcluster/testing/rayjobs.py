"""What stories about RayJobs ask again and again."""

from __future__ import annotations

from typing import Any

from localcluster.testing.cluster import Cluster
from localcluster.testing.factories import a_rayjob
from localcluster.testing.view import View

__all__ = ["MODES", "begun", "reasons", "stops", "submissions"]

MODES = ("K8sJobMode", "HTTPMode")


async def begun(cluster: Cluster, **spec: Any) -> View:
    """A RayJob named train whose job runs: ten seconds, unless the story scripted it otherwise before."""
    await cluster.create(a_rayjob("train", **spec))
    return await cluster.until("RayJob", "train", job_status="RUNNING")


async def reasons(cluster: Cluster, name: str = "train") -> list[str]:
    """Reasons of the events about the RayJob, oldest first."""
    return [event.reason for event in await cluster.events(name) if event.involved_object.kind == "RayJob"]


def submissions(cluster: Cluster) -> int:
    """How often the operator submitted something over HTTP."""
    return sum(one.method == "POST" and one.path == "/api/jobs/" for one in cluster.dashboards.requests)


def stops(cluster: Cluster) -> list[str]:
    """Paths of the stops that it sent."""
    return [one.path for one in cluster.dashboards.requests if one.path.endswith("/stop")]
