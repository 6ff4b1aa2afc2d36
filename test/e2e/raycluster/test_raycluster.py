"""A RayCluster of one head and one worker on real nodes: started, scaled, hurt, put to sleep, and taken away.

Most tests share one cluster and leave it as they like: the next finds it as it was, or waits until it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from hack.e2e.cluster import Cluster
from hack.e2e.operator import Installation
from hack.e2e.watching import until
from hack.e2e.workloads import a_raycluster, a_spec

pytestmark = pytest.mark.e2e
Json = dict[str, Any]
NAME = "shared"
START_SECONDS = 240
COUNT = "import ray; ray.init(log_to_driver=False); print('alive', sum(node['Alive'] for node in ray.nodes()))"


class Shared:
    """The cluster that most tests use, as they see it."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.here = f"--namespace={namespace}"

    def patch(self, spec: Json) -> None:
        """A merge patch of its spec, as `kubectl patch` sends it."""
        body = json.dumps({"spec": spec})
        self.cluster.kubectl("patch", f"raycluster/{NAME}", self.here, "--type=merge", f"--patch={body}")

    def scale(self, workers: int) -> None:
        """Another number of workers, by a JSON patch of that one field."""
        body = json.dumps([{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": workers}])
        self.cluster.kubectl("patch", f"raycluster/{NAME}", self.here, "--type=json", f"--patch={body}")

    def ready(self, workers: int = 1) -> dict[str, Json]:
        """Its pods by name, once there are a head and so many workers, all of them ready, and its status says so."""

        def told(found: Mapping[str, Json]) -> bool:
            status = found.get(NAME, {}).get("status") or {}
            return status.get("state") == "ready" and (status.get("readyWorkerReplicas") or 0) == workers

        pods = self.until_pods(lambda pods: len(pods) == workers + 1 and all(map(is_ready, pods.values())))
        until(self.cluster, "rayclusters.ray.io", self.namespace, told, seconds=60)
        return pods

    def until_pods(self, true: Any, seconds: float = START_SECONDS) -> dict[str, Json]:
        """Its pods by name, once that is true of them."""
        selector = f"ray.io/cluster={NAME}"
        return until(self.cluster, "pods", self.namespace, true, selector=selector, seconds=seconds)

    def condition(self, type_: str) -> Json:
        """As it is now."""
        status = self.cluster.get(f"raycluster/{NAME}", self.here)["status"]
        return next(one for one in status["conditions"] if one["type"] == type_)

    def nodes_that_ray_counts(self) -> int:
        """Ray's own word, asked in the head."""
        (head,) = of_type(self.ready(), "head")
        said = self.cluster.kubectl("exec", head, self.here, "--container=ray-head", "--", "python", "-c", COUNT)
        (line,) = [line for line in said.splitlines() if line.startswith("alive ")]  # beside what raylets warn of
        return int(line.removeprefix("alive "))


@pytest.fixture(scope="module")
def started(cluster: Cluster, installation: Installation, shared_namespace: str) -> Shared:
    installation.ensure()
    cluster.use_image("ray")
    cluster.apply(a_raycluster(NAME, shared_namespace, workers=1))
    return Shared(cluster, shared_namespace)


@pytest.fixture
def shared(started: Shared) -> Shared:
    """The cluster with one worker again, whatever the test before did to it."""
    started.patch({**a_spec(workers=1), "suspend": False})
    started.ready()
    return started


def test_a_cluster_of_one_head_and_one_worker_is_two_nodes_to_ray(shared: Shared) -> None:
    assert shared.nodes_that_ray_counts() == 2
    assert shared.condition("RayClusterProvisioned")["status"] == "True"


def test_a_cluster_that_grows_keeps_the_pods_it_has(shared: Shared) -> None:
    before = shared.ready()

    shared.scale(2)

    after = shared.ready(workers=2)
    assert uids(before) < uids(after)


def test_a_cluster_that_shrinks_keeps_its_head(shared: Shared) -> None:
    before = shared.ready()
    (worker,) = of_type(before, "worker")

    shared.scale(0)

    shared.cluster.wait("delete", f"pod/{worker}", shared.here)
    assert uids(shared.ready(workers=0)) == uids(of_type(before, "head"))


def test_a_worker_deleted_by_hand_is_replaced_by_one_of_another_name(shared: Shared) -> None:
    before = shared.ready()
    (worker,) = of_type(before, "worker")

    shared.cluster.kubectl("delete", f"pod/{worker}", shared.here)

    after = shared.ready()
    assert worker not in after
    assert uids(of_type(after, "head")) == uids(of_type(before, "head"))


def test_a_head_deleted_by_hand_is_replaced_and_its_worker_finds_the_new_one(shared: Shared) -> None:
    """The raylet of the worker ends with the GCS it knew; the kubelet starts it again, in the same pod."""
    before = shared.ready()
    (head,) = of_type(before, "head")

    shared.cluster.kubectl("delete", f"pod/{head}", shared.here)

    shared.until_pods(lambda pods: uids(of_type(pods, "head")).isdisjoint(uids(before)) and len(pods) == 2)
    until_restarted(shared)
    assert shared.nodes_that_ray_counts() == 2


def test_a_suspended_cluster_has_no_pods_and_wakes_with_new_ones(shared: Shared) -> None:
    before = shared.ready()

    shared.patch({"suspend": True})

    shared.cluster.wait("condition=RayClusterSuspended", f"raycluster/{NAME}", shared.here)
    assert shared.cluster.get("pods", shared.here)["items"] == []
    shared.patch({"suspend": False})
    assert uids(shared.ready()).isdisjoint(uids(before))
    assert shared.condition("RayClusterSuspended")["status"] == "False"


def test_a_quota_that_refuses_a_worker_is_told_in_a_condition_until_there_is_room(
    cluster: Cluster, operator: Installation, namespace: str
) -> None:
    cluster.use_image("ray")
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "pods", "namespace": namespace}}
    cluster.apply({**quota, "spec": {"hard": {"pods": "1"}}})
    cluster.wait("jsonpath={.status.hard.pods}=1", "resourcequota/pods", f"--namespace={namespace}")

    cluster.apply(a_raycluster("small", namespace, workers=1))

    refused = cluster_once(cluster, namespace, "small", "ReplicaFailure", "True")
    assert refused["reason"] == "FailedCreateWorkerPod"
    assert "exceeded quota: pods" in refused["message"]
    cluster.apply({**quota, "spec": {"hard": {"pods": "2"}}})
    until(cluster, "pods", namespace, lambda pods: len(pods) == 2, seconds=120)
    status = cluster_gone_well(cluster, namespace, "small")
    assert "ReplicaFailure" not in {one["type"] for one in status["conditions"]}


@pytest.mark.spec("raycluster:E16")
def test_a_cluster_that_another_controller_manages_is_left_alone(
    cluster: Cluster, operator: Installation, namespace: str
) -> None:
    """It was there before one of ours, which was seen: so it was seen, too."""
    cluster.apply(a_raycluster("theirs", namespace, managedBy="kueue.x-k8s.io/multikueue"))
    cluster.apply(a_raycluster("ours", namespace, managedBy="ray.io/kuberay-operator", suspend=True))

    cluster.wait("condition=RayClusterSuspended", "raycluster/ours", f"--namespace={namespace}")

    assert "status" not in cluster.get("raycluster/theirs", f"--namespace={namespace}")
    assert cluster.get("pods,services", f"--namespace={namespace}", "--selector=ray.io/cluster=theirs")["items"] == []


def test_a_deleted_cluster_leaves_nothing(cluster: Cluster, operator: Installation, namespace: str) -> None:
    """The pods need not have started for that."""
    here = f"--namespace={namespace}"
    before = names_of_everything(cluster, namespace)
    cluster.apply(a_raycluster("brief", namespace, workers=1))
    until(cluster, "pods", namespace, lambda pods: len(pods) == 2)

    cluster.kubectl("delete", "raycluster/brief", here)

    cluster.wait("delete", "pods,services", "--selector=ray.io/cluster=brief", here)
    assert names_of_everything(cluster, namespace) == before


def names_of_everything(cluster: Cluster, namespace: str) -> list[str]:
    """kind/name of all that is in the namespace but events, and the slices that follow their Service."""
    kinds = cluster.kubectl("api-resources", "--verbs=list", "--namespaced", "--output=name").split()
    told = ",".join(kind for kind in kinds if not kind.startswith(("events", "endpoints", "endpointslices")))
    return sorted(cluster.kubectl("get", told, f"--namespace={namespace}", "--output=name").split())


def cluster_once(cluster: Cluster, namespace: str, name: str, type_: str, status: str) -> Json:
    """The condition, once it has that status. Raises KubectlFailed."""
    cluster.wait(f"condition={type_}={status}", f"raycluster/{name}", f"--namespace={namespace}")
    conditions = cluster.get(f"raycluster/{name}", f"--namespace={namespace}")["status"]["conditions"]
    return next(one for one in conditions if one["type"] == type_)


def cluster_gone_well(cluster: Cluster, namespace: str, name: str) -> Json:
    """Its status, once no failure stands in it any more."""

    def well(found: Mapping[str, Json]) -> bool:
        conditions = (found.get(name, {}).get("status") or {}).get("conditions") or ()
        return bool(conditions) and "ReplicaFailure" not in {one["type"] for one in conditions}

    status: Json = until(cluster, "rayclusters.ray.io", namespace, well, seconds=60)[name]["status"]
    return status


def until_restarted(shared: Shared) -> None:
    """Until the worker's container was started again and is ready."""

    def restarted(pods: Mapping[str, Json]) -> bool:
        workers = of_type(pods, "worker").values()
        return any(is_ready(pod) and pod["status"]["containerStatuses"][0]["restartCount"] > 0 for pod in workers)

    shared.until_pods(restarted)


def of_type(pods: Mapping[str, Json], type_: str) -> dict[str, Json]:
    """The heads, or the workers."""
    return {name: pod for name, pod in pods.items() if pod["metadata"]["labels"]["ray.io/node-type"] == type_}


def uids(pods: Mapping[str, Json]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods.values()}


def is_ready(pod: Json) -> bool:
    """By its own condition, and not about to end."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]
