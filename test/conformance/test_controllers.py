"""What the controllers beside an API server do: Jobs and endpoints, with the test in the place of a kubelet."""

from __future__ import annotations

from typing import Any

import pytest

from localcluster.testing.wire import Json, Wire

FINISHED = "2026-01-01T00:00:00Z"


def a_job(name: str, **spec: Any) -> Json:
    """A Job of one pod."""
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template, **spec}}


def conditions(job: Json) -> list[tuple[str, str, str, str]]:
    """Type, status, reason and message, in their order."""
    found = job.get("status", {}).get("conditions", [])
    return [(one["type"], one["status"], one["reason"], one["message"]) for one in found]


async def its_pod(cluster: Wire, job: str) -> Json:
    """The one pod of a Job, once the Job counts it."""
    await cluster.until(cluster.path("jobs.batch", job), lambda one: one.get("status", {}).get("active") == 1)
    (pod,) = (await cluster.get(cluster.path("pods"), labelSelector=f"job-name={job}")).ok()["items"]
    return dict(pod)


async def ended(cluster: Wire, pod: Json, phase: str, code: int) -> None:
    """Say what a kubelet would say at the end of the pod's container."""
    state = {"terminated": {"exitCode": code, "finishedAt": FINISHED}}
    status = {"name": "c", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    body = {"status": {"phase": phase, "containerStatuses": [status]}}
    (await cluster.patch(cluster.path("pods", f"{pod['metadata']['name']}/status"), body)).ok()


async def test_a_jobs_pod_carries_its_labels_its_owner_and_the_tracking_finalizer(cluster: Wire) -> None:
    """By which everybody finds it."""
    job = (await cluster.post(cluster.path("jobs.batch"), a_job("j"))).ok(201)
    uid = job["metadata"]["uid"]

    metadata = (await its_pod(cluster, "j"))["metadata"]

    assert metadata["generateName"] == "j-"
    assert metadata["labels"] == {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": "j",
        "controller-uid": uid,
        "job-name": "j",
    }
    assert metadata["finalizers"] == ["batch.kubernetes.io/job-tracking"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": uid}
    assert metadata["ownerReferences"] == [{**owner, "controller": True, "blockOwnerDeletion": True}]


async def test_a_job_whose_pod_succeeds_is_complete_in_two_steps(cluster: Wire) -> None:
    """First the criterion and an uncounted pod, then the count and Complete."""
    await cluster.post(cluster.path("jobs.batch"), a_job("j"))
    pod = await its_pod(cluster, "j")
    path = cluster.path("jobs.batch")
    version = (await cluster.get(cluster.path("jobs.batch", "j"))).ok()["metadata"]["resourceVersion"]

    async with cluster.watch(path, fieldSelector="metadata.name=j", resourceVersion=version) as events:
        await ended(cluster, pod, "Succeeded", 0)
        (_, first), (_, second) = await events.take(2)

    met = ("True", "CompletionsReached", "Reached expected number of succeeded pods")
    assert conditions(first) == [("SuccessCriteriaMet", *met)]
    assert first["status"]["uncountedTerminatedPods"] == {"succeeded": [pod["metadata"]["uid"]]}
    assert "succeeded" not in first["status"]
    assert conditions(second) == [("SuccessCriteriaMet", *met), ("Complete", *met)]
    assert {key: second["status"].get(key) for key in ("succeeded", "failed", "active", "ready", "terminating")} == {
        "succeeded": 1,
        "failed": None,
        "active": None,
        "ready": 0,
        "terminating": 0,
    }
    assert second["status"]["completionTime"]
    assert second["status"]["uncountedTerminatedPods"] == {}


async def test_a_job_over_its_backoff_limit_fails(cluster: Wire) -> None:
    """FailureTarget, then Failed, both with the same words."""
    await cluster.post(cluster.path("jobs.batch"), a_job("j", backoffLimit=0))
    await ended(cluster, await its_pod(cluster, "j"), "Failed", 1)

    job = await cluster.until(cluster.path("jobs.batch", "j"), lambda one: len(conditions(one)) == 2)

    why = ("True", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    assert conditions(job) == [("FailureTarget", *why), ("Failed", *why)]
    assert job["status"]["failed"] == 1


async def test_a_suspended_job_has_no_pod_until_it_is_resumed(cluster: Wire) -> None:
    """Its start time is that of the resumption."""
    await cluster.post(cluster.path("jobs.batch"), a_job("j", suspend=True))
    job = await cluster.until(cluster.path("jobs.batch", "j"), lambda one: bool(conditions(one)))
    assert conditions(job) == [("Suspended", "True", "JobSuspended", "Job suspended")]
    assert "startTime" not in job["status"]

    await cluster.patch(cluster.path("jobs.batch", "j"), {"spec": {"suspend": False}})
    await its_pod(cluster, "j")

    job = (await cluster.get(cluster.path("jobs.batch", "j"))).ok()
    assert conditions(job) == [("Suspended", "False", "JobResumed", "Job resumed")]
    assert job["status"]["startTime"]


@pytest.mark.spec("kube-api:EPS-1")
async def test_a_service_is_told_by_endpoints_and_a_slice(cluster: Wire) -> None:
    """A headless one that publishes unready addresses, as the head's is."""
    spec = {
        "selector": {"app": "x"},
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "ports": [{"name": "http", "port": 80, "targetPort": 8000}],
    }
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "labels": {"l": "v"}}, "spec": spec}
    made = (await cluster.post(cluster.path("services"), service)).ok(201)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"app": "x"}}}
    pod["spec"] = {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}
    uid = (await cluster.post(cluster.path("pods"), pod)).ok(201)["metadata"]["uid"]
    ready = [{"type": "Ready", "status": "False"}]
    status = {"phase": "Running", "podIP": "10.1.1.1", "podIPs": [{"ip": "10.1.1.1"}], "conditions": ready}
    (await cluster.patch(cluster.path("pods", "p/status"), {"status": status})).ok()

    endpoints = await cluster.until(cluster.path("endpoints", "s"), lambda one: bool(one.get("subsets")))
    labels = {"l": "v", "service.kubernetes.io/headless": ""}
    assert endpoints["metadata"]["labels"] == labels | {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    reference = {"kind": "Pod", "namespace": cluster.namespace, "name": "p", "uid": uid}
    address = {"ip": "10.1.1.1", "nodeName": "n1", "targetRef": reference}
    ports = [{"name": "http", "port": 8000, "protocol": "TCP"}]
    assert endpoints["subsets"] == [{"addresses": [address], "ports": ports}]

    slices = (await cluster.get(cluster.path("endpointslices.discovery.k8s.io"))).ok()["items"]
    (found,) = [one for one in slices if one["metadata"]["labels"].get("kubernetes.io/service-name") == "s"]
    manager = {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
    assert found["metadata"]["labels"] == labels | manager | {"kubernetes.io/service-name": "s"}
    assert found["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
    assert (found["addressType"], found["ports"]) == ("IPv4", ports)
    (endpoint,) = found["endpoints"]
    assert endpoint["conditions"] == {"ready": True, "serving": False, "terminating": False}
    assert (endpoint["addresses"], endpoint["nodeName"], endpoint["targetRef"]) == (["10.1.1.1"], "n1", reference)
