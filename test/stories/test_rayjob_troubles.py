"""RayJobs in trouble: failed attempts, lost heads and submitters, silent dashboards, late and broken views."""

from __future__ import annotations

from datetime import timedelta

import pytest

from localcluster.faults import When
from localcluster.node.interfaces import Exit
from localcluster.testing.cluster import a_cluster
from localcluster.testing.factories import a_rayjob
from localcluster.testing.rayjobs import MODES, begun, reasons, submissions

# Trouble


@pytest.mark.spec("rayjob:E11")
@pytest.mark.parametrize("mode", MODES)
async def test_a_failed_attempt_is_repeated_on_a_new_cluster(mode: str) -> None:
    async with a_cluster() as cluster:
        cluster.dashboards.script(outcome="FAILED", code=1)
        await cluster.create(a_rayjob("train", submission_mode=mode, backoff_limit=1))
        first = await cluster.until("RayJob", "train", phase="Retrying")
        cluster.dashboards.script(outcome="SUCCEEDED", code=0)

        job = await cluster.until("RayJob", "train", phase="Complete")

        assert (job.status.failed, job.status.succeeded, job.status.reason) == (1, 1, None)
        assert job.status.ray_cluster_name != first.status.ray_cluster_name
        assert [one.name for one in await cluster.all_of("RayCluster")] == [job.status.ray_cluster_name]
        assert submissions(cluster) == (2 if mode == "HTTPMode" else 0)


@pytest.mark.spec("rayjob:E27")
async def test_a_submitter_pod_that_is_deleted_comes_back_and_only_follows() -> None:
    async with a_cluster() as cluster:
        cluster.dashboards.script(runs_seconds=60)
        job = await begun(cluster)
        began = cluster.dashboards.job(job.status.job_id)
        assert began is not None
        (pod,) = await cluster.all_of("Pod", labels="batch.kubernetes.io/job-name=train")

        await cluster.delete("Pod", pod.name, grace_seconds=0)
        job = await cluster.until("RayJob", "train", phase="Complete")

        ended = cluster.dashboards.job(job.status.job_id)
        assert ended is not None
        assert ended["start_time"] == began["start_time"]
        assert (job.status.succeeded, job.status.failed) == (1, 0)


@pytest.mark.spec("rayjob:E6")
async def test_a_submitter_that_never_gets_through_gives_up_after_its_tries() -> None:
    async with a_cluster() as cluster:
        cluster.node.script(
            "train-*", container="ray-job-submitter", life=None, runs_seconds=1.0, exit=Exit(1, "Error")
        )
        config = {"backoffLimit": 1}
        await cluster.create(a_rayjob("train", submitter_config=config, shutdown_after_job_finishes=True))

        job = await cluster.until("RayJob", "train", phase="Failed")
        await cluster.until("RayCluster", job.status.ray_cluster_name, gone=True)

        assert (job.status.reason, job.status.job_status) == ("SubmissionFailed", None)
        assert "BackoffLimitExceeded" in job.status.message
        assert len(await cluster.all_of("Pod", labels="batch.kubernetes.io/job-name=train")) == 2


@pytest.mark.spec("rayjob:E33")
async def test_a_submitter_deleted_by_hand_comes_back_and_the_job_completes() -> None:
    async with a_cluster() as cluster:
        cluster.dashboards.script(runs_seconds=60)
        await begun(cluster)
        before = await cluster.get("Job", "train")

        await cluster.delete("Job", "train", propagation="Background")
        job = await cluster.until("RayJob", "train", phase="Complete")

        assert (await cluster.get("Job", "train")).uid != before.uid
        assert job.status.succeeded == 1


@pytest.mark.spec("rayjob:E34", "rayjob:E35")
async def test_over_http_a_job_whose_head_is_lost_runs_again_on_the_next_head() -> None:
    async with a_cluster() as cluster:
        cluster.dashboards.script(runs_seconds=60)
        job = await begun(cluster, submission_mode="HTTPMode")
        (head,) = await cluster.pods(job.status.ray_cluster_name, node_type="head")

        await cluster.delete("Pod", head.name)
        job = await cluster.until("RayJob", "train", phase="Complete")

        assert submissions(cluster) == 2
        assert (job.status.succeeded, job.status.job_status_check_failure_start_time) == (1, None)


async def test_over_http_a_job_whose_head_restarts_in_its_pod_runs_again() -> None:
    """The pod stays, what its Ray knew is gone."""
    async with a_cluster() as cluster:
        cluster.dashboards.script(runs_seconds=60)
        job = await begun(cluster, submission_mode="HTTPMode")
        (head,) = await cluster.pods(job.status.ray_cluster_name, node_type="head")

        cluster.node.exit_container(head.name, "ray-head", 137)
        job = await cluster.until("RayJob", "train", phase="Complete")

        assert submissions(cluster) == 2
        assert job.status.succeeded == 1


@pytest.mark.spec("rayjob:E34")
@pytest.mark.parametrize(("tries", "phase"), [(0, "Failed"), (3, "Complete")])
async def test_with_a_submitter_a_job_whose_head_is_lost_is_as_patient_as_that(tries: int, phase: str) -> None:
    async with a_cluster() as cluster:
        cluster.dashboards.script(runs_seconds=60)
        job = await begun(cluster, submitter_config={"backoffLimit": tries})
        (head,) = await cluster.pods(job.status.ray_cluster_name, node_type="head")

        await cluster.delete("Pod", head.name)
        job = await cluster.until("RayJob", "train", phase=phase)

        assert job.status.reason == ("SubmissionFailed" if phase == "Failed" else None)


async def test_a_head_that_never_comes_back_fails_the_job_after_five_minutes() -> None:
    async with a_cluster() as cluster:
        cluster.dashboards.script(runs_seconds=None)
        job = await begun(cluster, submission_mode="HTTPMode")
        (head,) = await cluster.pods(job.status.ray_cluster_name, node_type="head")
        cluster.node.hold("train-*")

        await cluster.delete("Pod", head.name)
        gone_at = cluster.elapsed
        job = await cluster.until("RayJob", "train", phase="Failed")

        assert job.status.reason == "JobStatusCheckTimeoutExceeded"
        assert timedelta(seconds=299) <= cluster.elapsed - gone_at <= timedelta(seconds=340)
        assert await cluster.writes_during(3600) == []


@pytest.mark.spec("rayjob:E59")
async def test_a_cluster_deleted_under_a_running_job_comes_back_under_its_name_and_the_job_runs_again() -> None:
    async with a_cluster() as cluster:
        cluster.dashboards.script(runs_seconds=60)
        job = await begun(cluster, submission_mode="HTTPMode")
        before = await cluster.get("RayCluster", job.status.ray_cluster_name)

        await cluster.delete("RayCluster", before.name)
        job = await cluster.until("RayJob", "train", phase="Complete")

        after = await cluster.get("RayCluster", before.name)
        assert after.uid != before.uid
        assert job.status.succeeded == 1
        assert submissions(cluster) == 2


@pytest.mark.parametrize("mode", MODES)
async def test_a_job_that_goes_on_costs_questions_to_ray_and_no_writes(mode: str) -> None:
    async with a_cluster() as cluster:
        cluster.dashboards.script(runs_seconds=None)
        await begun(cluster, submission_mode=mode)
        await cluster.after(60)
        asked, requests = len(cluster.dashboards.requests), len(cluster.requests)

        assert await cluster.writes_during(3600) == []

        assert 1000 <= len(cluster.dashboards.requests) - asked <= 1400
        lists = [one for one in cluster.requests[requests:] if one.verb in ("get", "list")]
        assert lists == []


async def test_what_ray_says_is_told_although_a_write_is_refused() -> None:
    """The job runs, and its users must see it, whatever else cannot be made (design W7)."""
    async with a_cluster() as cluster:
        cluster.dashboards.script(runs_seconds=600)
        cluster.faults.refuse(When("create", "services", name="train-head-svc"), 403, "Forbidden", "no", times=None)
        await cluster.create(a_rayjob("train", submission_mode="HTTPMode"))

        job = await cluster.until("RayJob", "train", job_status="RUNNING", within=120)

        assert await cluster.find("Service", "train-head-svc") is None
        assert "FailedToCreateService" in await reasons(cluster, "train")
        assert job.status.job_deployment_status == "Running"


@pytest.mark.spec("rayjob:E36")
async def test_a_dashboard_that_is_silent_for_a_while_harms_nothing() -> None:
    async with a_cluster() as cluster:
        cluster.dashboards.script(runs_seconds=400)
        await begun(cluster, submission_mode="HTTPMode")
        cluster.dashboards.unreachable()
        await cluster.until(
            "RayJob", "train", where=lambda job: job.status.job_status_check_failure_start_time is not None
        )
        assert await cluster.writes_during(200) == []

        cluster.dashboards.reachable()
        job = await cluster.until("RayJob", "train", phase="Complete")

        assert job.status.job_status_check_failure_start_time is None
        assert submissions(cluster) == 1


@pytest.mark.spec("rayjob:E30")
async def test_a_job_that_outlives_its_submitter_is_given_up_after_half_a_minute() -> None:
    async with a_cluster() as cluster:
        cluster.dashboards.script(runs_seconds=None)
        cluster.node.script("train-*", container="ray-job-submitter", life=None, runs_seconds=20.0)
        await cluster.create(a_rayjob("train"))
        job = await cluster.until("RayJob", "train", phase="Running")
        where = f"http://{job.status.dashboardURL}/api/jobs/"
        body = f'{{"entrypoint": "python train.py", "submission_id": "{job.status.job_id}"}}'.encode()
        await cluster.dashboards.request("POST", where, headers={}, body=body, timeout=timedelta(seconds=15))
        await cluster.until("Job", "train", condition="Complete")
        ended = cluster.elapsed

        job = await cluster.until("RayJob", "train", phase="Failed")

        assert (job.status.job_status, job.status.reason) == (
            "FAILED",
            "JobDeploymentStatusTransitionGracePeriodExceeded",
        )
        assert timedelta(seconds=29) <= cluster.elapsed - ended <= timedelta(seconds=31)


@pytest.mark.spec("rayjob:E31")
async def test_a_job_that_ray_forgot_is_failed_when_its_submitter_is_through() -> None:
    async with a_cluster() as cluster:
        cluster.node.script("train-*", container="ray-job-submitter", life=None, runs_seconds=20.0)
        await cluster.create(a_rayjob("train"))
        await cluster.until("Job", "train", condition="Complete")
        ended = cluster.elapsed

        job = await cluster.until("RayJob", "train", phase="Failed")

        assert job.status.reason == "AppFailed"
        assert cluster.elapsed - ended < timedelta(seconds=3)


@pytest.mark.spec("rayjob:E29")
async def test_an_operator_that_was_away_when_the_job_ended_records_its_success() -> None:
    async with a_cluster() as cluster:
        cluster.dashboards.script(runs_seconds=60)
        await begun(cluster)
        cluster.kill_operator()
        await cluster.after(3600)

        await cluster.start_operator()
        job = await cluster.until("RayJob", "train", phase="Complete")

        assert job.status.job_status == "SUCCEEDED"


# Late and broken views


@pytest.mark.parametrize("resource", ["services", "pods", "jobs.batch", "rayclusters.ray.io", "rayjobs.ray.io"])
@pytest.mark.parametrize("mode", MODES)
async def test_a_job_completes_though_one_kind_is_seen_late(resource: str, mode: str) -> None:
    """Twenty seconds: longer than a read waits for our own writes. Whatever comes late wakes the job."""
    async with a_cluster() as cluster:
        with cluster.faults.lagging(20, resource=resource, agent="kuberay-operator*"):
            await cluster.create(a_rayjob("train", submission_mode=mode))

            await cluster.until("RayJob", "train", phase="Complete", within=600)
        assert cluster.elapsed > timedelta(seconds=20)

        assert len(await cluster.all_of("RayCluster")) == 1


@pytest.mark.parametrize("mode", MODES)
async def test_an_operator_that_is_replaced_every_few_seconds_brings_a_job_to_its_end(mode: str) -> None:
    async with a_cluster() as cluster:
        cluster.dashboards.script(runs_seconds=30)
        await cluster.create(a_rayjob("train", submission_mode=mode))
        for _ in range(20):
            await cluster.after(3.7)
            cluster.kill_operator()
            await cluster.start_operator()

        job = await cluster.until("RayJob", "train", phase="Complete", within=120)

        assert job.status.succeeded == 1
        assert submissions(cluster) == (1 if mode == "HTTPMode" else 0)
        assert (
            len([one for one in cluster.writes if one.verb == "create" and one.resource == "rayclusters.ray.io"]) == 1
        )
