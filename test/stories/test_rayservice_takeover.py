"""The operator is swapped under a running service of the reference: it goes on serving, and nothing restarts."""

from __future__ import annotations

from typing import Any

import pytest

from localcluster.testing.cluster import Cluster, a_cluster
from localcluster.testing.left_behind import a_service_of_kuberay

HASH = "ray.io/hash-without-replicas-and-workers-to-delete"
VERSION = "ray.io/kuberay-version"


async def pods(cluster: Cluster) -> dict[str, Any]:
    """Their names, and what they are asked to be."""
    return {pod.name: (pod.uid, pod["spec"], pod["metadata"]["labels"]) for pod in await cluster.all_of("Pod")}


@pytest.mark.spec("rayservice:E28")
async def test_a_service_of_the_reference_is_taken_over_without_a_change_of_cluster_or_pods() -> None:
    """Written is whose the cluster is, and that its configuration is there; the status says the same as before."""
    async with a_cluster(operator=False) as cluster:
        name = await a_service_of_kuberay(cluster)
        before = await cluster.get("RayCluster", name), await pods(cluster), await cluster.get("RayService", "web")

        await cluster.start_operator()
        writes = await cluster.writes_during(300)
        later = await cluster.writes_during(3600)
        after = await cluster.get("RayCluster", name), await pods(cluster), await cluster.get("RayService", "web")
        clusters = await cluster.all_of("RayCluster")

    assert [one.name for one in clusters] == [name]
    assert (after[0].uid, after[0]["spec"], after[1]) == (before[0].uid, before[0]["spec"], before[1])
    annotations = after[0]["metadata"]["annotations"]
    assert annotations[VERSION].startswith("manta-")
    assert annotations[HASH] != before[0]["metadata"]["annotations"][HASH]
    touched = {(one.verb, one.resource, one.subresource) for one in writes}
    assert touched <= {
        ("patch", "rayclusters.ray.io", ""),
        ("patch", "rayclusters.ray.io", "status"),
        ("patch", "rayservices.ray.io", "status"),
    }
    assert later == []
    assert after[2].condition("Ready")["lastTransitionTime"] == before[2].condition("Ready")["lastTransitionTime"]
    assert after[2]["status"]["numServeEndpoints"] == 2
    (first, again) = (one for _, one in cluster.dashboards.serve.configured)
    assert first == again, "sent once more, which changes nothing: nobody remembers what was sent"


@pytest.mark.spec("rayservice:E28")
async def test_an_edit_after_the_take_over_is_an_upgrade_like_any_other() -> None:
    async with a_cluster(operator=False) as cluster:
        old = await a_service_of_kuberay(cluster)
        await cluster.start_operator()
        await cluster.after(300)

        await cluster.patch("RayService", "web", {"spec": {"rayClusterConfig": {"rayVersion": "2.53.0"}}})
        upgrading = await cluster.until("RayService", "web", condition="UpgradeInProgress")
        during = await cluster.get("Service", "web-serve-svc")
        done = await cluster.until("RayService", "web", condition=("UpgradeInProgress", "False"))
        serve = await cluster.get("Service", "web-serve-svc")
        await cluster.after(120)
        clusters = await cluster.all_of("RayCluster")

    new = upgrading["status"]["pendingServiceStatus"]["rayClusterName"]
    assert done["status"]["activeServiceStatus"]["rayClusterName"] == new != old
    assert during["spec"]["selector"]["ray.io/cluster"] == old
    assert serve["spec"]["selector"]["ray.io/cluster"] == new
    assert [one.name for one in clusters] == [new]
    assert done.condition("Ready")["status"] == "True"
