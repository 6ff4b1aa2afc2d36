"""A RayCluster with the operator's process and real Ray: scaled, suspended, resumed, and with a head that dies.

The same lives in virtual time, and many more of them: test/stories/test_raycluster_lives.py.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from localcluster.testing.celled import descendants
from localcluster.testing.real import CLUSTERS, PODS, RAYJOBS, Real, a_real_cluster, a_small_ray

pytestmark = [pytest.mark.local, pytest.mark.timeout(600)]


async def created(real: Real, spec: dict[str, Any]) -> dict[str, Any]:
    """The cluster `r` of one head and one worker, once it is ready; its pods by name."""
    metadata = {"name": "r", "namespace": "default"}
    body = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": metadata, "spec": spec}
    await real.api.create(CLUSTERS, "default", body)
    return await ready(real, workers=1)


async def ready(real: Real, *, workers: int) -> dict[str, Any]:
    """Its pods by name, once all of them are there and ready, the status says so, and nothing else is left."""
    await real.until(CLUSTERS, "r", lambda cluster: is_ready(cluster, workers))
    return await real.all(PODS, lambda pods: len(pods) == workers + 1)


def is_ready(cluster: dict[str, Any], workers: int) -> bool:
    """With so many workers, and judged as it is wanted now?"""
    status = cluster.get("status") or {}
    return (
        status.get("state") == "ready"
        and (status.get("readyWorkerReplicas") or 0) == workers
        and status.get("observedGeneration") == cluster["metadata"]["generation"]
        and condition(cluster, "HeadPodReady") == "True"
    )


def condition(item: dict[str, Any], type_: str) -> str:
    """Its status; "" without one."""
    conditions = (item.get("status") or {}).get("conditions") or ()
    return next((one["status"] for one in conditions if one["type"] == type_), "")


async def patch(real: Real, **spec: Any) -> None:
    """A merge patch of the spec, as kubectl sends it."""
    await real.api.patch(CLUSTERS, "default", "r", {"spec": spec})


def of_type(pods: dict[str, Any], type_: str) -> set[str]:
    """The names of the heads, or of the workers."""
    return {name for name, pod in pods.items() if pod["metadata"]["labels"]["ray.io/node-type"] == type_}


async def test_a_cluster_grows_shrinks_sleeps_and_wakes(tmp_path: Path) -> None:
    """1 -> 3 -> 1 workers, suspended, resumed: whatever need not go stays, and nothing is made that is not wanted."""
    async with a_real_cluster(tmp_path) as real:
        one = await created(real, a_small_ray(workers=1))

        await patch(real, workerGroupSpecs=a_small_ray(workers=3)["workerGroupSpecs"])
        three = await ready(real, workers=3)
        assert set(one) < set(three)

        await patch(real, workerGroupSpecs=a_small_ray(workers=1)["workerGroupSpecs"])
        shrunk = await ready(real, workers=1)
        assert set(shrunk) < set(three)
        assert of_type(shrunk, "head") == of_type(one, "head")

        await patch(real, suspend=True)
        asleep = await real.until(CLUSTERS, "r", lambda cluster: condition(cluster, "RayClusterSuspended") == "True")
        assert asleep["status"]["state"] == "suspended"
        assert real.now(PODS) == {}

        await patch(real, suspend=False)
        awake = await ready(real, workers=1)
        assert len(of_type(awake, "head")) == 1
        assert {pod["metadata"]["name"] for pod in real.ever(PODS)} == set(three) | set(awake)
        assert len(real.ever(PODS)) == len(three) + len(awake)


async def test_a_head_that_dies_is_started_again_in_its_pod(tmp_path: Path) -> None:
    """restartPolicy Always, as pods have it that say nothing: the kubelet does it, and the operator only tells.

    The worker finds the new head, and the cluster is of use again.
    """
    async with a_real_cluster(tmp_path) as real:
        before = await created(real, a_small_ray(workers=1, shared=tmp_path))

        kill_the_head(real)

        await real.until(CLUSTERS, "r", lambda cluster: condition(cluster, "HeadPodReady") == "False")
        await real.until(CLUSTERS, "r", lambda cluster: condition(cluster, "HeadPodReady") == "True")
        (head,) = of_type(real.now(PODS), "head")
        assert real.now(PODS)[head]["status"]["containerStatuses"][0]["restartCount"] == 1
        await real.api.create(RAYJOBS, "default", a_job_for_two())
        job = await real.until(RAYJOBS, "count", lambda job: "endTime" in (job.get("status") or {}))
        assert job["status"]["jobStatus"] == "SUCCEEDED"
        assert (tmp_path / "nodes").read_text() == "2"
        assert {pod["metadata"]["name"] for pod in real.ever(PODS)} == set(before)


def a_job_for_two() -> dict[str, Any]:
    """A RayJob on the cluster `r` that succeeds once there are two nodes, and tells how many."""
    entrypoint = """python -c "
import ray, time
ray.init()
while (alive := sum(node['Alive'] for node in ray.nodes())) < 2:
    time.sleep(0.5)
open('/shared/nodes', 'w').write(str(alive))
"
"""
    spec = {"submissionMode": "HTTPMode", "clusterSelector": {"ray.io/cluster": "r"}, "entrypoint": entrypoint}
    metadata = {"name": "count", "namespace": "default"}
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": metadata, "spec": spec}


@pytest.mark.spec("raycluster:E20")
async def test_a_head_that_may_not_be_restarted_gets_a_successor(tmp_path: Path) -> None:
    """restartPolicy Never: the failed pod is deleted, and only then the next is made; the worker is left alone."""
    spec = a_small_ray(workers=1)
    spec["headGroupSpec"]["template"]["spec"]["restartPolicy"] = "Never"
    async with a_real_cluster(tmp_path) as real:
        before = await created(real, spec)
        (old,) = of_type(before, "head")

        kill_the_head(real)

        await real.until(CLUSTERS, "r", lambda cluster: condition(cluster, "HeadPodReady") == "False")
        await real.until(CLUSTERS, "r", lambda cluster: condition(cluster, "HeadPodReady") == "True")
        (new,) = of_type(real.now(PODS), "head")
        assert new != old
        assert [one.type for one in real.told if one.name in (old, new) and one.type != "MODIFIED"] == [
            *("ADDED", "DELETED", "ADDED"),
        ]
        assert of_type(real.now(PODS), "worker") == of_type(before, "worker")


def kill_the_head(real: Real) -> None:
    """SIGKILL to the main process of its container."""
    for pid in descendants(real.local.cell.process.pid):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if {b"start", b"--head"} <= set(words):
            os.kill(pid, signal.SIGKILL)
            return
    raise AssertionError("no head runs")
