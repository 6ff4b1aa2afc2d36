"""The operator is swapped under running clusters of the reference: nobody's pods restart."""

from __future__ import annotations

from typing import Any

import pytest

from localcluster.testing.cluster import Cluster, a_cluster
from localcluster.testing.factories import a_pod, a_raycluster

COMMON = {
    "ray.io/is-ray-node": "yes",
    "ray.io/cluster": "r",
    "app.kubernetes.io/name": "kuberay",
    "app.kubernetes.io/created-by": "kuberay-operator",
}
HEAD = COMMON | {"ray.io/node-type": "head", "ray.io/group": "headgroup", "ray.io/identifier": "r-head"}
WORKER = COMMON | {"ray.io/node-type": "worker", "ray.io/group": "small", "ray.io/identifier": "r-worker"}
INDEX = "ray.io/worker-group-replica-index"


async def kuberay_s(cluster: Cluster, *, indexed: bool, **spec: Any) -> set[str]:
    """A running cluster of two workers as the reference leaves it behind; the names of its pods."""
    made = await cluster.create(a_raycluster("r", workers=2, **spec))
    owner = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "name": "r",
        "uid": made.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }

    async def child(body: Any) -> None:
        body["metadata"]["ownerReferences"] = [owner]
        await cluster.create(body)

    service = {"selector": HEAD, "clusterIP": "None", "ports": [{"name": "dashboard", "port": 8265}]}
    metadata = {"name": "r-head-svc", "namespace": "default", "labels": HEAD}
    await child({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service})
    head = a_pod("r-head-x7k2p", labels=HEAD)
    head["metadata"]["annotations"] = {
        "ray.io/kuberay-version": "v1.7.0",
        "ray.io/upgrade-strategy-recreate-hash": "0123456789ABCDEFGHIJKLMNOPQRSTUV",
    }
    await child(head)
    for index, name in enumerate(("r-small-worker-b5d8f", "r-small-worker-t9w2z")):
        await child(a_pod(name, labels=WORKER | ({INDEX: str(index)} if indexed else {})))
    for pod in await cluster.pods("r"):
        await cluster.until("Pod", pod.name, ready=True)
    return {pod.name for pod in await cluster.pods("r")}


@pytest.mark.parametrize("indexed", [True, False])
async def test_pods_of_the_reference_stay_as_they_are(indexed: bool) -> None:
    """With random names, without places, of an older version: they count."""
    async with a_cluster(operator=False) as cluster:
        theirs = await kuberay_s(cluster, indexed=indexed)

        await cluster.start_operator()
        await cluster.until("RayCluster", "r", phase="ready")
        await cluster.after(3600)

        assert {pod.name for pod in await cluster.pods("r")} == theirs
        assert [(one.verb, one.resource, one.subresource) for one in cluster.writes] == [
            ("patch", "rayclusters.ray.io", "status")
        ]


@pytest.mark.spec("raycluster:E86")
async def test_a_foreign_hash_is_no_reason_to_recreate() -> None:
    async with a_cluster(operator=False) as cluster:
        theirs = await kuberay_s(cluster, indexed=True, upgrade_strategy={"type": "Recreate"})

        await cluster.start_operator()
        await cluster.until("RayCluster", "r", phase="ready")
        await cluster.after(600)

        head = await cluster.get("Pod", "r-head-x7k2p")
        assert {pod.name for pod in await cluster.pods("r")} == theirs
        assert head.metadata.annotations["ray.io/kuberay-version"].startswith("manta-")


async def test_a_cluster_that_was_taken_over_grows_and_shrinks() -> None:
    async with a_cluster(operator=False) as cluster:
        theirs = await kuberay_s(cluster, indexed=True)
        await cluster.start_operator()
        await cluster.until("RayCluster", "r", phase="ready")

        def scaled(replicas: int) -> Any:
            return lambda found: found["spec"]["workerGroupSpecs"][0].update(replicas=replicas)

        await cluster.edit("RayCluster", "r", scaled(3))
        await cluster.until("RayCluster", "r", ready_worker_replicas=3)
        grown = await cluster.pods("r", node_type="worker")
        await cluster.edit("RayCluster", "r", scaled(2))
        await cluster.until("RayCluster", "r", ready_worker_replicas=2)

        assert sorted(pod.metadata.labels[INDEX] for pod in grown) == ["0", "1", "2"]
        assert {pod.name for pod in await cluster.pods("r")} == theirs
