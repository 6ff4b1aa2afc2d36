"""The operator dies at every write of a life in turn, and is started again: nothing doubles, nothing is lost."""

from __future__ import annotations

import pytest

from localcluster.faults import Crash, When
from localcluster.testing.cluster import Cluster
from localcluster.testing.lives import a_cluster_comes_up, a_job_runs, told_with

MOMENTS: tuple[Crash, ...] = ("before", "after", "answered")


@pytest.mark.parametrize("at", MOMENTS)
async def test_a_cluster_comes_up_whichever_write_the_operator_dies_at(at: Crash) -> None:
    """Every one of its writes, before it took effect, after it, and after the answer."""

    def crash(cluster: Cluster, when: When) -> None:
        cluster.faults.crash(when, at)

    assert await told_with(crash, a_cluster_comes_up, restart_after=1.0) >= 5


@pytest.mark.parametrize("at", MOMENTS)
async def test_a_job_runs_whichever_write_the_operator_dies_at(at: Crash) -> None:
    """One submission, one cluster, one result."""

    def crash(cluster: Cluster, when: When) -> None:
        cluster.faults.crash(when, at)

    assert await told_with(crash, a_job_runs, restart_after=1.0) >= 10
