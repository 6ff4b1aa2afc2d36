"""RayJobs on real Ray: how they end, in both modes of submission.

Jobs whose end says nothing of their cluster share one, a head alone; the others have their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hack.e2e.cluster import Cluster
from hack.e2e.operator import Installation
from hack.e2e.watching import noted, until
from hack.e2e.workloads import a_raycluster, a_rayjob, a_spec

pytestmark = pytest.mark.e2e
Json = dict[str, Any]
SHARED = "shared"
SELECTING = {"ray.io/cluster": SHARED}
MODES = pytest.mark.parametrize("mode", ["HTTPMode", "K8sJobMode"])
COUNTS = "python -c 'import ray; ray.init(); print(ray.get(ray.remote(lambda: 6 * 7).remote()))'"
FAILS = "bash -c 'echo so it goes; exit 3'"
LASTS = "sleep 600"
LONG = 240  # seconds: on two cores Ray takes its time


@pytest.fixture(scope="module")
def shared(cluster: Cluster, installation: Installation, shared_namespace: str) -> str:
    """The namespace with the cluster that jobs may select, which is ready."""
    installation.ensure()
    cluster.use_image("ray")
    cluster.apply(a_raycluster(SHARED, shared_namespace))
    where = f"--namespace={shared_namespace}"
    cluster.wait("jsonpath={.status.state}=ready", f"raycluster/{SHARED}", where, seconds=LONG)
    return shared_namespace


@pytest.fixture
def own(cluster: Cluster, operator: Installation, namespace: str) -> str:
    """A namespace for a job with a cluster of its own."""
    cluster.use_image("ray")
    return namespace


@MODES
def test_a_job_whose_entrypoint_succeeds_is_complete(cluster: Cluster, shared: str, mode: str) -> None:
    name = f"succeeds-{mode.lower()}"
    cluster.apply(a_rayjob(name, shared, COUNTS, submissionMode=mode, clusterSelector=SELECTING))

    status = ended(cluster, shared, name)

    assert outcome(status) == ("Complete", "SUCCEEDED", None)
    assert log_of(cluster, shared, status["jobId"]).splitlines().count("42") == 1


@MODES
def test_a_job_whose_entrypoint_fails_says_with_which_code(cluster: Cluster, shared: str, mode: str) -> None:
    name = f"fails-{mode.lower()}"
    cluster.apply(a_rayjob(name, shared, FAILS, submissionMode=mode, clusterSelector=SELECTING))

    status = ended(cluster, shared, name)

    assert outcome(status) == ("Failed", "FAILED", "AppFailed")
    assert "exit code 3" in status["message"]


@MODES
@pytest.mark.spec("rayjob:E4")
def test_a_job_that_somebody_stops_is_complete(cluster: Cluster, shared: str, mode: str) -> None:
    name = f"stopped-{mode.lower()}"
    cluster.apply(a_rayjob(name, shared, LASTS, submissionMode=mode, clusterSelector=SELECTING))
    job = running(cluster, shared, name)

    in_head(cluster, shared, "ray", "job", "stop", "--no-wait", job["status"]["jobId"])

    assert outcome(ended(cluster, shared, name)) == ("Complete", "STOPPED", None)


@MODES
def test_a_job_whose_environment_ray_cannot_make_has_failed(cluster: Cluster, shared: str, mode: str) -> None:
    name = f"nowhere-{mode.lower()}"
    nowhere = {"runtimeEnvYAML": "working_dir: file:///nowhere.zip"}
    cluster.apply(a_rayjob(name, shared, COUNTS, submissionMode=mode, clusterSelector=SELECTING, **nowhere))

    status = ended(cluster, shared, name)

    assert outcome(status) == ("Failed", "FAILED", "AppFailed")


@MODES
@pytest.mark.spec("rayjob:E20")
def test_a_job_whose_environment_is_no_mapping_is_refused(
    cluster: Cluster, operator: Installation, namespace: str, mode: str
) -> None:
    """Before anything is made for it."""
    cluster.apply(a_rayjob("refused", namespace, COUNTS, submissionMode=mode, runtimeEnvYAML="invalid_yaml_string"))

    cluster.wait(
        "jsonpath={.status.jobDeploymentStatus}=ValidationFailed", "rayjob/refused", f"--namespace={namespace}"
    )

    assert cluster.get("rayclusters.ray.io", f"--namespace={namespace}")["items"] == []


@MODES
def test_a_job_that_runs_past_its_deadline_is_stopped_and_has_failed(cluster: Cluster, shared: str, mode: str) -> None:
    name = f"late-{mode.lower()}"
    late = a_rayjob(name, shared, LASTS, submissionMode=mode, clusterSelector=SELECTING, activeDeadlineSeconds=40)
    cluster.apply(late)
    job = running(cluster, shared, name)

    status = ended(cluster, shared, name)

    assert (status["jobDeploymentStatus"], status["reason"]) == ("Failed", "DeadlineExceeded")
    assert job["status"]["jobId"] == status["jobId"]


@MODES
def test_a_job_that_never_runs_fails_at_its_deadline_for_that(
    cluster: Cluster, operator: Installation, namespace: str, mode: str
) -> None:
    """Its head fits on no node."""
    spec = a_spec()
    spec["headGroupSpec"]["template"]["spec"]["nodeSelector"] = {"there": "is-none"}
    given = {"rayClusterSpec": spec, "preRunningDeadlineSeconds": 5, "submissionMode": mode}
    cluster.apply(a_rayjob("stuck", namespace, COUNTS, **given))

    status = ended(cluster, namespace, "stuck")

    assert (status["jobDeploymentStatus"], status["reason"]) == ("Failed", "PreRunningDeadlineExceeded")


@MODES
def test_a_finished_job_takes_its_cluster_away_if_it_should(cluster: Cluster, own: str, mode: str) -> None:
    """The RayJob stays, and the submitter for its log."""
    cluster.apply(a_rayjob("tidy", own, COUNTS, submissionMode=mode, shutdownAfterJobFinishes=True))

    status = ended(cluster, own, "tidy")

    assert outcome(status) == ("Complete", "SUCCEEDED", None)
    cluster.wait("delete", f"raycluster/{status['rayClusterName']}", f"--namespace={own}")
    cluster.wait("delete", "pods", "--selector=ray.io/node-type=head", f"--namespace={own}")
    submitters = cluster.get("jobs", f"--namespace={own}")["items"]
    assert [one["metadata"]["name"] for one in submitters] == (["tidy"] if mode == "K8sJobMode" else [])
    assert cluster.get("rayjob/tidy", f"--namespace={own}")["status"]["jobDeploymentStatus"] == "Complete"


@MODES
def test_a_suspended_job_has_nothing_that_runs_and_starts_afresh(cluster: Cluster, own: str, mode: str) -> None:
    waiting = {"submissionMode": mode, "suspend": True, "shutdownAfterJobFinishes": True}  # which suspending needs
    cluster.apply(a_rayjob("waits", own, COUNTS, **waiting))
    cluster.wait("jsonpath={.status.jobDeploymentStatus}=Suspended", "rayjob/waits", f"--namespace={own}")
    assert cluster.get("pods", f"--namespace={own}")["items"] == []

    patch_suspend(cluster, own, "false")
    until(cluster, "pods", own, bool)
    patch_suspend(cluster, own, "true")
    cluster.wait("jsonpath={.status.jobDeploymentStatus}=Suspended", "rayjob/waits", f"--namespace={own}")
    assert cluster.get("rayclusters.ray.io,jobs", f"--namespace={own}")["items"] == []

    patch_suspend(cluster, own, "false")
    assert outcome(ended(cluster, own, "waits")) == ("Complete", "SUCCEEDED", None)


@pytest.mark.spec("rayjob:E34")
def test_a_job_whose_head_is_deleted_has_failed_and_the_head_is_made_again(cluster: Cluster, own: str) -> None:
    """The submitter loses its connection, and may not try again."""
    once = {"submissionMode": "K8sJobMode", "submitterConfig": {"backoffLimit": 0}}
    with noted(cluster, "pods", own, selector="ray.io/node-type=head") as heads:
        cluster.apply(a_rayjob("beheaded", own, LASTS, **once))
        running(cluster, own, "beheaded")

        cluster.kubectl("delete", "pod", "--selector=ray.io/node-type=head", f"--namespace={own}")

        status = ended(cluster, own, "beheaded", seconds=420)
        until(cluster, "pods", own, lambda pods: len(heads) == 2, selector="ray.io/node-type=head")
    assert status["jobDeploymentStatus"] == "Failed"
    assert len(set(heads)) == 2


def ended(cluster: Cluster, namespace: str, name: str, seconds: int = LONG) -> Json:
    """Its status, once it says when the job ended."""

    def has_ended(found: Mapping[str, Json]) -> bool:
        return "endTime" in (found.get(name, {}).get("status") or {})

    status: Json = until(cluster, "rayjobs.ray.io", namespace, has_ended, seconds=seconds)[name]["status"]
    return status


def running(cluster: Cluster, namespace: str, name: str) -> Json:
    """It, once its entrypoint runs."""

    def runs(found: Mapping[str, Json]) -> bool:
        status = found.get(name, {}).get("status") or {}
        return status.get("jobDeploymentStatus") == "Running" and status.get("jobStatus") == "RUNNING"

    return until(cluster, "rayjobs.ray.io", namespace, runs, seconds=LONG)[name]


def outcome(status: Json) -> tuple[str, str, str | None]:
    """What it came to: of the deployment, of the job, and why."""
    return status["jobDeploymentStatus"], status["jobStatus"], status.get("reason") or None


def in_head(cluster: Cluster, namespace: str, *command: str) -> str:
    """Run it in the head of the shared cluster; what it said."""
    selector = f"--selector=ray.io/cluster={SHARED},ray.io/node-type=head"
    (head,) = cluster.kubectl("get", "pods", selector, f"--namespace={namespace}", "--output=name").split()
    return cluster.kubectl("exec", head, f"--namespace={namespace}", "--container=ray-head", "--", *command)


def log_of(cluster: Cluster, namespace: str, job_id: str) -> str:
    """What a job on the shared cluster printed, by Ray's own word."""
    return in_head(cluster, namespace, "cat", f"/tmp/ray/session_latest/logs/job-driver-{job_id}.log")


def patch_suspend(cluster: Cluster, namespace: str, value: str) -> None:
    patch = f'{{"spec": {{"suspend": {value}}}}}'
    cluster.kubectl("patch", "rayjob/waits", f"--namespace={namespace}", "--type=merge", f"--patch={patch}")
