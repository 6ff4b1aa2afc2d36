"""The operator dies at every write of a life in turn, and is started again: nothing doubles, nothing is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from localcluster.faults import Crash, When
from localcluster.testing.cluster import OPERATOR, Cluster, a_cluster
from localcluster.testing.factories import a_raycluster, a_rayjob

MOMENTS: tuple[Crash, ...] = ("before", "after", "answered")


def a_write(number: int) -> When:
    """The operator's n-th write, events left out."""
    return When(writes=True, agent=OPERATOR, nth=number, also=lambda asked: not asked.resource.startswith("events"))


async def crashing(at: Crash, life: Callable[[Cluster], Awaitable[Any]]) -> int:
    """Tell the life again and again, with a crash at its first write, its second, ...; how many writes there were."""
    number = 0
    while True:
        number += 1
        async with a_cluster(restart_after=1.0) as cluster:
            cluster.faults.crash(a_write(number), at)
            await life(cluster)
            if not cluster.crashes:
                return number - 1


async def a_cluster_comes_up(cluster: Cluster) -> None:
    """One head, two workers, one Service; and then rest."""
    await cluster.create(a_raycluster("r", workers=2))

    await cluster.until("RayCluster", "r", phase="ready", ready_worker_replicas=2)

    assert len(await cluster.pods("r", node_type="head")) == 1
    assert len(await cluster.pods("r", node_type="worker")) == 2
    assert len([one for one in cluster.faults.asked if one.verb == "create" and one.code == 201]) <= 4 + _events(
        cluster
    )
    await cluster.after(120)  # a crash may strike after the last word
    assert await cluster.writes_during(3600) == []


async def a_job_runs(cluster: Cluster) -> None:
    """One cluster, one submitter, one submission; and a result."""
    await cluster.create(a_rayjob("train", workers=1))

    job = await cluster.until("RayJob", "train", phase="Complete")

    assert job.status.job_status == "SUCCEEDED"
    assert [one.name for one in await cluster.all_of("RayCluster")] == [job.status.ray_cluster_name]
    assert [one.name for one in await cluster.all_of("Job")] == ["train"]
    assert cluster.dashboards.job(job.status.job_id) is not None


def _events(cluster: Cluster) -> int:
    return len([one for one in cluster.faults.asked if one.verb == "create" and one.resource.startswith("events")])


@pytest.mark.parametrize("at", MOMENTS)
async def test_a_cluster_comes_up_whichever_write_the_operator_dies_at(at: Crash) -> None:
    """Every one of its writes, before it took effect, after it, and after the answer."""
    assert await crashing(at, a_cluster_comes_up) >= 5


@pytest.mark.parametrize("at", MOMENTS)
async def test_a_job_runs_whichever_write_the_operator_dies_at(at: Crash) -> None:
    """One submission, one cluster, one result."""
    assert await crashing(at, a_job_runs) >= 10
