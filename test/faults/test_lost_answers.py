"""Every write of a life in turn is lost on its way, there or back, or is carried out twice: nothing doubles."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from localcluster.faults import When
from localcluster.testing.cluster import Cluster
from localcluster.testing.lives import a_cluster_comes_up, a_job_runs, told_with

MISHAPS: dict[str, Callable[[Cluster, When], None]] = {
    "request lost": lambda cluster, when: cluster.faults.drop_request(when),
    "answer lost": lambda cluster, when: cluster.faults.drop_answer(when),
    "sent twice": lambda cluster, when: cluster.faults.replay(when),
}


@pytest.mark.parametrize("mishap", MISHAPS.values(), ids=MISHAPS)
async def test_a_cluster_comes_up_whichever_write_is_lost_or_doubled(mishap: Callable[[Cluster, When], None]) -> None:
    """There, back, or twice."""
    assert await told_with(mishap, a_cluster_comes_up) >= 5


@pytest.mark.parametrize("mishap", MISHAPS.values(), ids=MISHAPS)
async def test_a_job_runs_whichever_write_is_lost_or_doubled(mishap: Callable[[Cluster, When], None]) -> None:
    """There, back, or twice."""
    assert await told_with(mishap, a_job_runs) >= 10
