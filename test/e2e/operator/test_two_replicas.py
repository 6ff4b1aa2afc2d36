"""Two replicas, one of which leads: what becomes of a RayJob when the leader's pod is killed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest

from hack.e2e.cluster import Cluster
from hack.e2e.operator import LEASE, NAMESPACE, Installation
from hack.e2e.watching import noted, until
from hack.e2e.workloads import a_rayjob

pytestmark = pytest.mark.e2e
Json = dict[str, Any]
RAN = "the job ran"
ENTRYPOINT = f"bash -c 'echo {RAN}; sleep 20'"
SECONDS = 300


@pytest.fixture
def two(operator: Installation) -> Iterator[Installation]:
    """Two replicas, both ready."""
    if operator.given:
        pytest.skip("the operator is somebody else's: it is not scaled")
    scale(operator, 2)
    yield operator
    scale(operator, 1)


@pytest.mark.parametrize("phase", ["Initializing", "Running"])
def test_a_job_runs_once_though_the_leader_s_pod_is_killed(
    cluster: Cluster, two: Installation, namespace: str, phase: str
) -> None:
    """No pod, cluster or submitter is doubled or replaced, and the job's own log tells that it ran once."""
    cluster.use_image("ray")
    with ExitStack() as stack:
        pods, clusters, jobs = (
            stack.enter_context(noted(cluster, kind, namespace)) for kind in ("pods", "rayclusters.ray.io", "jobs")
        )
        cluster.apply(a_rayjob("train", namespace, ENTRYPOINT, submissionMode="K8sJobMode"))
        until(cluster, "rayjobs.ray.io", namespace, lambda found: phase_of(found) == phase, seconds=SECONDS)
        leader = two.leader()

        cluster.kubectl("delete", "pod", leader, f"--namespace={NAMESPACE}", "--grace-period=0", "--force")

        found = until(cluster, "rayjobs.ray.io", namespace, has_ended, seconds=SECONDS)
    assert found["train"]["status"]["jobStatus"] == "SUCCEEDED"
    assert two.leader() not in ("", leader)
    assert (len(clusters), jobs) == (1, ["train"])
    assert len(pods) == 2, pods
    assert cluster.kubectl("logs", "job/train", f"--namespace={namespace}").splitlines().count(RAN) == 1


def test_a_replica_that_stands_by_is_ready_and_leads_when_the_leader_goes(cluster: Cluster, two: Installation) -> None:
    leader = two.leader()

    cluster.kubectl("delete", "pod", leader, f"--namespace={NAMESPACE}")

    leases = until(cluster, "leases", NAMESPACE, lambda found: holder(found) not in ("", leader), seconds=30)
    assert holder(leases) in {pod["metadata"]["name"] for pod in two.pods()}


def scale(operator: Installation, replicas: int) -> None:
    where = ("deployment/kuberay-operator", f"--namespace={NAMESPACE}")
    operator.cluster.kubectl("scale", *where, f"--replicas={replicas}")
    operator.until_available()


def phase_of(found: Mapping[str, Json]) -> str:
    return str((found.get("train", {}).get("status") or {}).get("jobDeploymentStatus", ""))


def has_ended(found: Mapping[str, Json]) -> bool:
    return "endTime" in (found.get("train", {}).get("status") or {})


def holder(leases: Mapping[str, Json]) -> str:
    """The pod that leads, by the lease."""
    spec = leases.get(LEASE, {}).get("spec") or {}
    return str(spec.get("holderIdentity") or "").partition("_")[0]
