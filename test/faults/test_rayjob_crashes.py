"""The operator dies at every write of a RayJob's longer lives: no attempt, submission or counter is doubled or lost.

`test_crashes` does the same to the plainest life; here are submission over HTTP, a retry, a suspension, and the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from localcluster.faults import Crash, When
from localcluster.testing.cluster import OPERATOR, Cluster, a_cluster
from localcluster.testing.factories import a_rayjob
from localcluster.testing.lives import told_with

WRITES = 40  # of the longer life, at least


def crashing(at: Crash) -> Callable[[Cluster, When], None]:
    """What `told_with` does to a life."""

    def crash(cluster: Cluster, when: When) -> None:
        cluster.faults.crash(when, at)

    return crash


def submitted(cluster: Cluster) -> list[str]:
    """The ids under which jobs were submitted over HTTP, in order."""
    posts = [one for one in cluster.dashboards.requests if (one.method, one.path) == ("POST", "/api/jobs/")]
    return [one.body["submission_id"] for one in posts]


async def a_job_over_http(cluster: Cluster) -> None:
    """One submission, one result, and rest."""
    await cluster.create(a_rayjob("train", submission_mode="HTTPMode"))

    job = await cluster.until("RayJob", "train", phase="Complete")

    assert submitted(cluster) == [job.status.job_id]
    assert (job.status.succeeded, job.status.failed) == (1, 0)
    assert [one.name for one in await cluster.all_of("RayCluster")] == [job.status.ray_cluster_name]


async def a_job_with_a_history(cluster: Cluster) -> None:
    """It fails, is tried again, suspended, resumed, succeeds, is cleaned up, and is deleted."""
    cluster.dashboards.script(outcome="FAILED", code=1)
    spec: dict[str, Any] = {"submission_mode": "HTTPMode", "backoff_limit": 1, "shutdown_after_job_finishes": True}
    await cluster.create(a_rayjob("train", workers=0, **spec))
    await cluster.until("RayJob", "train", failed=1)
    cluster.dashboards.script(outcome="SUCCEEDED", code=0, runs_seconds=None)
    await cluster.until("RayJob", "train", phase="Running", job_status="RUNNING")
    await cluster.patch("RayJob", "train", {"spec": {"suspend": True}})
    await cluster.until("RayJob", "train", phase="Suspended")
    assert await cluster.all_of("RayCluster") == []
    cluster.dashboards.script(runs_seconds=5)
    await cluster.patch("RayJob", "train", {"spec": {"suspend": False}})

    job = await cluster.until("RayJob", "train", phase="Complete")
    await cluster.until("RayCluster", job.status.ray_cluster_name, gone=True)
    assert (job.status.succeeded, job.status.failed) == (1, 1)
    assert len(submitted(cluster)) == len(set(submitted(cluster))) == 3
    clusters = {
        one.body["metadata"]["name"]
        for one in cluster.writes
        if one.resource == "rayclusters.ray.io" and one.verb == "create"
    }
    assert len(clusters) == 3

    await cluster.delete("RayJob", "train")
    await cluster.until("RayJob", "train", gone=True)
    await cluster.after(60)
    assert [one.name for one in await cluster.all_of("Service")] == ["kubernetes"]


@pytest.mark.parametrize("at", ["before", "after"])
async def test_a_job_over_http_is_submitted_once_whichever_write_the_operator_dies_at(at: Crash) -> None:
    """Whatever was lost with it, Ray is asked before anything is submitted."""
    assert await told_with(crashing(at), a_job_over_http, restart_after=1.0) >= 10


@pytest.mark.parametrize("nth", range(1, WRITES + 1))
async def test_a_job_with_a_history_comes_to_its_end_whichever_write_the_operator_dies_at(nth: int) -> None:
    """After the write and before its answer: the moment at which most is forgotten."""
    async with a_cluster(restart_after=1.0, tell_events=False) as cluster:
        when = When(writes=True, agent=OPERATOR, nth=nth, also=lambda asked: not asked.resource.startswith("events"))
        cluster.faults.crash(when, "after")

        await a_job_with_a_history(cluster)

        assert cluster.crashes == 1
