"""The operator dies at every write of a cluster's start and of its growth: nothing doubles, nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest

from localcluster.faults import Crash, When
from localcluster.testing.cluster import OPERATOR, Cluster, a_cluster
from localcluster.testing.factories import a_raycluster

CRASHES: tuple[Crash, ...] = ("before", "after", "answered")


def asked_for(cluster: Cluster) -> set[str]:
    """All names under which pods were ever created, or tried."""
    return {one.body["metadata"]["name"] for one in cluster.writes if (one.verb, one.resource) == ("create", "pods")}


def strike(cluster: Cluster, nth: int, at: Crash) -> None:
    """Events and leases are not counted: nothing depends on them."""

    def counts(asked: Any) -> bool:
        return "events" not in asked.resource and "leases" not in asked.resource

    cluster.faults.crash(When(writes=True, agent=OPERATOR, nth=nth, also=counts), at)


@pytest.mark.spec("runtime:CLI-13")
@pytest.mark.parametrize("at", CRASHES)
@pytest.mark.parametrize("nth", range(1, 8))
async def test_a_crash_at_any_write_of_a_start_makes_no_pod_twice(nth: int, at: Crash) -> None:
    async with a_cluster(restart_after=1) as cluster:
        strike(cluster, nth, at)
        await cluster.create(a_raycluster("r", workers=3))

        await cluster.until("RayCluster", "r", phase="ready")
        await cluster.after(60)

        pods = {pod.name for pod in await cluster.pods("r")}
        assert len(pods) == 4
        assert asked_for(cluster) == pods
        assert cluster.crashes == 1


@pytest.mark.parametrize("at", CRASHES)
@pytest.mark.parametrize("nth", range(1, 7))
async def test_a_crash_at_any_write_of_a_growth_makes_no_pod_twice(nth: int, at: Crash) -> None:
    """A ticket, three pods, a word: a crash before the ticket is stored chooses another one, and that is all."""
    async with a_cluster(restart_after=1) as cluster:
        await cluster.create(a_raycluster("r", workers=1))
        await cluster.until("RayCluster", "r", phase="ready")
        strike(cluster, nth, at)

        def grow(found: Any) -> None:
            found["spec"]["workerGroupSpecs"][0]["replicas"] = 4

        await cluster.edit("RayCluster", "r", grow)
        await cluster.until("RayCluster", "r", ready_worker_replicas=4)
        await cluster.after(60)

        pods = {pod.name for pod in await cluster.pods("r")}
        assert len(pods) == 5
        assert asked_for(cluster) == pods
        assert cluster.crashes == 1


@pytest.mark.parametrize("nth", range(1, 5))
async def test_a_lost_answer_makes_no_pod_twice(nth: int) -> None:
    async with a_cluster() as cluster:
        cluster.faults.drop_answer(When("create", "pods", agent=OPERATOR, nth=nth))
        await cluster.create(a_raycluster("r", workers=3))

        await cluster.until("RayCluster", "r", phase="ready")

        assert asked_for(cluster) == {pod.name for pod in await cluster.pods("r")}
        assert len(await cluster.pods("r")) == 4


async def test_a_view_that_lags_makes_no_pod_twice() -> None:
    """Reads wait for our own writes; where they cannot, the names are the same."""
    async with a_cluster() as cluster:
        with cluster.faults.lagging(20, resource="pods", agent=OPERATOR):
            await cluster.create(a_raycluster("r", workers=3))
            await cluster.after(120)

        await cluster.until("RayCluster", "r", phase="ready")

        assert asked_for(cluster) == {pod.name for pod in await cluster.pods("r")}
        assert len(await cluster.pods("r")) == 4


@pytest.mark.parametrize("at", CRASHES)
async def test_a_crash_in_the_middle_of_a_recreation_leaves_no_old_worker(at: Crash) -> None:
    """What tells that pods are outdated stands on the head, so the head goes last."""
    async with a_cluster(restart_after=1) as cluster:
        await cluster.create(a_raycluster("r", workers=1, upgrade_strategy={"type": "Recreate"}))
        await cluster.until("RayCluster", "r", phase="ready")
        old = {pod.uid for pod in await cluster.pods("r")}
        cluster.faults.crash(When("delete", "pods", agent=OPERATOR), at)

        def change(found: Any) -> None:
            for part in (found["spec"]["headGroupSpec"], *found["spec"]["workerGroupSpecs"]):
                part["template"]["spec"]["containers"][0]["command"] = ["sleep", "1"]

        await cluster.edit("RayCluster", "r", change)
        await cluster.after(180)

        new = {pod.uid for pod in await cluster.pods("r")}
        assert (len(new), new & old, cluster.crashes) == (2, set(), 1)


async def test_a_recreation_that_cannot_delete_a_worker_keeps_the_head_until_it_can() -> None:
    """Deletes go out several at a time; the head's goes when those of all workers came out well."""
    async with a_cluster() as cluster:
        await cluster.create(a_raycluster("r", workers=2, upgrade_strategy={"type": "Recreate"}))
        await cluster.until("RayCluster", "r", phase="ready", ready_worker_replicas=2)
        old = {pod.uid for pod in await cluster.pods("r")}
        kept = max(pod.name for pod in await cluster.pods("r", node_type="worker"))
        refused = When("delete", "pods", name=kept, agent=OPERATOR)
        cluster.faults.refuse(refused, 500, "InternalError", "no", times=8)

        def change(found: Any) -> None:
            for part in (found["spec"]["headGroupSpec"], *found["spec"]["workerGroupSpecs"]):
                part["template"]["spec"]["containers"][0]["command"] = ["sleep", "1"]

        await cluster.edit("RayCluster", "r", change)
        await cluster.after(600)

        new = {pod.uid for pod in await cluster.pods("r")}
        assert (len(new), new & old) == (3, set())
