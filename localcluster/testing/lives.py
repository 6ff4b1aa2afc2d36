"""Whole lives that fault tests tell again and again, with something else going wrong each time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from localcluster.faults import When
from localcluster.testing.cluster import OPERATOR, Cluster, a_cluster
from localcluster.testing.factories import a_raycluster, a_rayjob

__all__ = ["a_cluster_comes_up", "a_job_runs", "told_with"]


async def a_cluster_comes_up(cluster: Cluster) -> None:
    """A RayCluster with two workers: one head, two workers, and then rest."""
    await cluster.create(a_raycluster("r", workers=2))

    await cluster.until("RayCluster", "r", phase="ready", ready_worker_replicas=2)

    assert len(await cluster.pods("r", node_type="head")) == 1
    assert len(await cluster.pods("r", node_type="worker")) == 2
    assert len([one for one in cluster.writes if one.verb == "create" and one.code == 201]) <= 4
    await cluster.after(120)  # something may have gone wrong with the last word
    assert await cluster.writes_during(3600) == []


async def a_job_runs(cluster: Cluster) -> None:
    """A RayJob with a submitter: one cluster, one submitter, one submission, one result."""
    await cluster.create(a_rayjob("train", workers=1))

    job = await cluster.until("RayJob", "train", phase="Complete")

    assert job.status.job_status == "SUCCEEDED"
    assert [one.name for one in await cluster.all_of("RayCluster")] == [job.status.ray_cluster_name]
    assert [one.name for one in await cluster.all_of("Job")] == ["train"]
    assert cluster.dashboards.job(job.status.job_id) is not None


async def told_with(
    mishap: Callable[[Cluster, When], None], life: Callable[[Cluster], Awaitable[Any]], **options: Any
) -> int:
    """Tell the life with the mishap at the operator's first write, at its second, ... until it writes no more.

    Answers how many writes there were. `options` are those of `a_cluster`.
    """
    number = 0
    while True:
        number += 1
        when = When(writes=True, agent=OPERATOR, nth=number, also=lambda asked: not asked.resource.startswith("events"))
        async with a_cluster(**options) as cluster:
            mishap(cluster, when)
            await life(cluster)
            if len(cluster.writes) < number:
                return number - 1
