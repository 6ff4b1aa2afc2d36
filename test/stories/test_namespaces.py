"""An operator that watches some namespaces: the same in each of them, and nothing outside."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.settings import Settings
from localcluster.testing.cluster import a_cluster
from localcluster.testing.factories import a_raycluster, a_rayjob

TWO = replace(Settings(), namespaces=("default", "team"))


@pytest.mark.spec("deployment:1.9/one-or-several")
async def test_clusters_of_one_name_in_two_namespaces_are_served_and_one_in_a_third_is_let_be() -> None:
    async with a_cluster(settings=TWO) as cluster:
        for name in ("team", "others"):
            await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        await cluster.after(1)
        for namespace in ("default", "team", "others"):
            await cluster.create(a_raycluster("r", workers=1, namespace=namespace))

        for namespace in TWO.namespaces:
            await cluster.until("RayCluster", "r", namespace, phase="ready")
        await cluster.after(600)

        assert "status" not in await cluster.get("RayCluster", "r", "others")
        assert await cluster.pods("r", "others") == []
        assert [len(await cluster.pods("r", namespace)) for namespace in TWO.namespaces] == [2, 2]


async def test_a_job_in_the_second_namespace_runs_on_a_cluster_of_its_own_there() -> None:
    async with a_cluster(settings=TWO) as cluster:
        await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
        await cluster.after(1)
        await cluster.create(a_rayjob("train", namespace="team"))

        job = await cluster.until("RayJob", "train", "team", phase="Complete")

        assert (await cluster.all_of("Job", "team"))[0].name == "train"
        assert job.status.job_status == "SUCCEEDED"
        assert await cluster.all_of("RayCluster", "default") == []
