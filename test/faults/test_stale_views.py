"""The operator sees everything late, or its watches break in the middle: nothing doubles."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from controller.runtime.brake import BURST
from localcluster.testing.cluster import OPERATOR, Cluster, a_cluster
from localcluster.testing.factories import a_raycluster
from localcluster.testing.lives import a_cluster_comes_up, a_job_runs

LIVES = (a_cluster_comes_up, a_job_runs)


@pytest.mark.spec("runtime:TST-5")
@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize("seconds", [0.5, 4.0, 20.0])
async def test_a_life_goes_its_way_although_all_watches_are_late(
    life: Callable[[Cluster], Awaitable[Any]], seconds: float
) -> None:
    """Shorter and longer than a read waits for the operator's own writes."""
    async with a_cluster() as cluster:
        with cluster.faults.lagging(seconds, agent=OPERATOR):
            await life(cluster)


async def test_watches_that_break_into_a_forgotten_past_are_taken_up_again() -> None:
    """What happened meanwhile is found by listing: a lost worker is replaced once, and only once."""
    async with a_cluster() as cluster:
        await cluster.create(a_raycluster("r", workers=2))
        await cluster.until("RayCluster", "r", phase="ready", ready_worker_replicas=2)
        workers = {one.name for one in await cluster.pods("r", node_type="worker")}

        with cluster.faults.holding_watches(agent=OPERATOR):
            lost = min(workers)
            await cluster.delete("Pod", lost)
            await cluster.until("Pod", lost, gone=True)
            cluster.server.compact()
            assert cluster.faults.cut_watches(agent=OPERATOR) > 0
        await cluster.after(600)

        now = {one.name for one in await cluster.pods("r", node_type="worker")}
        assert len(now) == 2
        assert len(now - workers) == 1
        assert await cluster.writes_during(3600) == []


@pytest.mark.spec("runtime:CTL-13")
async def test_what_a_cluster_that_is_gone_had_is_not_made_anew_for_ever() -> None:
    """Its end is not heard, and each Service goes as it comes: that is a pass a second, not as many as there can be."""
    async with a_cluster() as cluster:
        await cluster.create(a_raycluster("r", workers=0))
        await cluster.until("RayCluster", "r", phase="ready")
        # Its head is there for a while: to make another one takes a record, which the server would refuse.
        cluster.node.script("*", stop_seconds=60)

        with cluster.faults.holding_watches(resource="rayclusters.ray.io", agent=OPERATOR):
            await cluster.delete("RayCluster", "r")
            made = [one for one in await cluster.writes_during(60) if one.verb == "create"]
        await cluster.until("Service", "r-head-svc", gone=True)

        assert BURST < len(made) < BURST + 60
        assert await cluster.writes_during(3600) == []
