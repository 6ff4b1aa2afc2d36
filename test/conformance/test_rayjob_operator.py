"""The operator runs a RayJob on an API server, real or local, whose Job controller is its own.

The test plays kubelet (pods run and end because it says so) and Ray (a job is what it says it is).
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from api.crds.installed import custom_resource_definitions
from controller.main import operating
from controller.runtime.client.config import connect, from_kubeconfig
from controller.runtime.clock import SystemClock
from controller.settings import Settings
from localcluster.testing.factories import a_rayjob
from localcluster.testing.wire import Json, Wire

RAY_PODS = "ray.io/is-ray-node=yes"
SUBMITTER_PODS = "batch.kubernetes.io/job-name=train"


class Ray:
    """Every head's dashboard: one job, in the state that the test sets, or none."""

    def __init__(self) -> None:
        self.status = ""
        self.stopped: list[str] = []

    async def request(
        self, method: str, url: str, *, headers: object, body: bytes | None, timeout: timedelta
    ) -> tuple[int, bytes]:
        if url.endswith("/stop"):
            self.stopped.append(url)
            return 200, b'{"stopped": true}'
        if not self.status:
            return 404, b"Job does not exist"
        return 200, json.dumps({"status": self.status, "message": f"it is {self.status}"}).encode()


@dataclass
class Place:
    """A namespace in which the operator works, and the Ray that it asks."""

    wire: Wire
    ray: Ray

    async def submit(self, **spec: Any) -> None:
        body = a_rayjob("train", workers=0, namespace=self.wire.namespace, **spec)
        (await self.wire.post(self.wire.path("rayjobs.ray.io"), body)).ok(201)

    async def until_phase(self, phase: str) -> Json:
        def holds(found: Json) -> bool:
            return bool((found.get("status") or {}).get("jobDeploymentStatus") == phase)

        return await self.wire.until(self.wire.path("rayjobs.ray.io", "train"), holds)

    async def until_job(self, type_: str) -> Json:
        """The submitter's Job has that condition."""

        def holds(found: Json) -> bool:
            conditions = (found.get("status") or {}).get("conditions") or ()
            return any((one["type"], one["status"]) == (type_, "True") for one in conditions)

        return await self.wire.until(self.wire.path("jobs.batch", "train"), holds)

    async def pod_is(self, selector: str, phase: str) -> None:
        """The pod of that kind, as soon as it is there, is in that phase, says the kubelet."""
        pods = self.wire.path("pods")
        async with self.wire.watch(pods, labelSelector=selector) as events:
            _, pod = await events.next()
        status = {
            "phase": phase,
            "podIPs": [{"ip": "10.9.0.1"}],
            "podIP": "10.9.0.1",
            "conditions": [{"type": "Ready", "status": "True" if phase == "Running" else "False"}],
        }
        path = self.wire.path("pods", f"{pod['metadata']['name']}/status")
        (await self.wire.patch(path, {"status": status})).ok()


@pytest.fixture
async def place(cluster: Wire) -> AsyncIterator[Place]:
    """The operator is there."""
    for definition in custom_resource_definitions():
        await cluster.serve(definition)
    clock, ray = SystemClock(), Ray()
    async with (
        connect(from_kubeconfig([cluster.endpoint.kubeconfig]), clock) as (transport, credentials),
        operating(
            Settings(namespaces=(cluster.namespace,)),
            transport,
            ray=ray,
            clock=clock,
            rng=random.Random(cluster.namespace),
            secret=lambda: "dG9rZW4=",
            credentials=credentials,
        ),
    ):
        yield Place(cluster, ray)


def true_conditions(job: Json) -> set[str]:
    return {one["type"] for one in job["status"]["conditions"] if one["status"] == "True"}


async def test_a_job_runs_to_its_end_with_a_job_of_the_real_controller(place: Place) -> None:
    """Running with the submitter there; Complete when Ray and the Job controller have both said so."""
    await place.submit()
    await place.pod_is(RAY_PODS, "Running")
    running = await place.until_phase("Running")
    submitter = (await place.wire.get(place.wire.path("jobs.batch", "train"))).ok()
    place.ray.status = "SUCCEEDED"
    await place.pod_is(SUBMITTER_PODS, "Running")
    await place.pod_is(SUBMITTER_PODS, "Succeeded")

    complete = await place.until_phase("Complete")

    job = await place.until_job("Complete")
    assert submitter["spec"]["backoffLimit"] == 2
    assert submitter["metadata"]["ownerReferences"][0]["uid"] == running["metadata"]["uid"]
    assert running["status"]["dashboardURL"].endswith(".svc.cluster.local:8265")
    assert true_conditions(job) == {"SuccessCriteriaMet", "Complete"}
    assert (complete["status"]["jobStatus"], complete["status"]["succeeded"]) == ("SUCCEEDED", 1)
    assert complete["status"]["message"] == "it is SUCCEEDED"


async def test_a_submitter_that_the_real_controller_gives_up_is_a_failed_submission(place: Place) -> None:
    """Its condition's words are the RayJob's message; what leads to Failed is not taken for it."""
    await place.submit(submitter_config={"backoffLimit": 0})
    await place.pod_is(RAY_PODS, "Running")
    await place.until_phase("Running")

    await place.pod_is(SUBMITTER_PODS, "Failed")
    failed = await place.until_phase("Failed")

    job = await place.until_job("Failed")
    assert true_conditions(job) == {"FailureTarget", "Failed"}
    assert failed["status"]["reason"] == "SubmissionFailed"
    assert "BackoffLimitExceeded" in failed["status"]["message"]
    assert "backoff limit" in failed["status"]["message"]
    assert failed["status"]["failed"] == 1


async def test_a_deleted_job_is_stopped_before_it_goes(place: Place) -> None:
    """The finalizer holds it until Ray was told; its children are the garbage collector's, by their owner."""
    await place.submit()
    await place.pod_is(RAY_PODS, "Running")
    running = await place.until_phase("Running")
    place.ray.status = "RUNNING"
    children = [
        (await place.wire.get(place.wire.path(*child))).ok()
        for child in (("jobs.batch", "train"), ("rayclusters.ray.io", running["status"]["rayClusterName"]))
    ]

    (await place.wire.delete(place.wire.path("rayjobs.ray.io", "train"))).ok()
    await place.wire.gone(place.wire.path("rayjobs.ray.io", "train"))

    assert [url.rpartition("/api/")[2] for url in place.ray.stopped] == [f"jobs/{running['status']['jobId']}/stop"]
    for child in children:
        (owner,) = child["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (
            running["metadata"]["uid"],
            True,
            True,
        )


async def test_a_suspended_job_takes_its_children_with_it_and_resumes(place: Place) -> None:
    """The new attempt has a cluster of another name, and the Service follows it."""
    await place.submit(shutdown_after_job_finishes=True)
    await place.pod_is(RAY_PODS, "Running")
    first = await place.until_phase("Running")
    path = place.wire.path("rayjobs.ray.io", "train")

    (await place.wire.patch(path, {"spec": {"suspend": True}})).ok()
    suspended = await place.until_phase("Suspended")
    (await place.wire.patch(path, {"spec": {"suspend": False}})).ok()
    resumed = await place.until_phase("Initializing")

    assert "rayClusterName" not in suspended["status"]
    assert "jobId" not in suspended["status"]
    assert resumed["status"]["rayClusterName"] != first["status"]["rayClusterName"]
    assert resumed["status"]["rayClusterStatus"]["head"] == {}
