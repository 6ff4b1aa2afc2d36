"""RayJobs from beginning to end: the operator over HTTP, a scripted node, a stand-in for Ray, virtual time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controller.settings import Settings
from localcluster.testing.cluster import a_cluster
from localcluster.testing.factories import a_raycluster, a_rayjob
from localcluster.testing.rayjobs import MODES, begun, reasons, stops, submissions

# To the end


@pytest.mark.spec("rayjob:E1")
async def test_a_job_with_a_submitter_succeeds_in_ten_writes_and_then_rests() -> None:
    """The number is a promise: whoever runs ten thousand jobs pays it for each."""
    async with a_cluster() as cluster:
        await cluster.create(a_rayjob("train", workers=1))

        job = await cluster.until("RayJob", "train", phase="Complete")

        assert (job.status.job_status, job.status.succeeded, job.status.failed) == ("SUCCEEDED", 1, 0)
        assert job.status.message == "Job finished successfully."
        assert job.status.dashboardURL == f"{job.status.ray_cluster_name}-head-svc.default.svc.cluster.local:8265"
        assert sorted(await reasons(cluster)) == ["CreatedRayCluster", "CreatedRayJobSubmitter", "CreatedService"]
        of_the_cluster = ["create services", "create pods", "create pods", *["patch rayclusters.ray.io"] * 2]
        of_the_job = [
            "create rayclusters.ray.io",
            "create jobs.batch",
            "create services",
            *["patch rayjobs.ray.io"] * 7,
        ]
        assert sorted(f"{one.verb} {one.resource}" for one in cluster.writes) == sorted(of_the_cluster + of_the_job)
        assert await cluster.writes_during(3600) == []


@pytest.mark.spec("rayjob:E5")
async def test_a_job_over_http_succeeds_and_no_kubernetes_job_is_there() -> None:
    async with a_cluster() as cluster:
        await cluster.create(a_rayjob("train", submission_mode="HTTPMode", metadata={"team": "a"}))

        job = await cluster.until("RayJob", "train", phase="Complete")

        assert job.status.succeeded == 1
        assert await cluster.all_of("Job") == []
        assert len([one for one in cluster.writes if one.resource == "rayjobs.ray.io"]) <= 7
        assert submissions(cluster) == 1
        (sent,) = [one.body for one in cluster.dashboards.requests if one.method == "POST"]
        assert sent == {
            "entrypoint": "python train.py",
            "submission_id": job.status.job_id,
            "metadata": {"team": "a"},
        }
        assert await cluster.writes_during(3600) == []


@pytest.mark.spec("rayjob:E5")
@pytest.mark.parametrize("mode", MODES)
async def test_a_job_that_fails_is_failed_as_an_application(mode: str) -> None:
    async with a_cluster() as cluster:
        cluster.dashboards.script(outcome="FAILED", code=3)
        await cluster.create(a_rayjob("train", submission_mode=mode))

        job = await cluster.until("RayJob", "train", phase="Failed")

        assert (job.status.reason, job.status.failed) == ("AppFailed", 1)
        assert "exit code 3" in job.status.message
        if mode == "K8sJobMode":
            submitter = await cluster.get("Job", "train")
            assert (submitter.status.succeeded, submitter.status.failed) == (1, None)


@pytest.mark.spec("rayjob:E4")
@pytest.mark.parametrize("mode", MODES)
async def test_a_job_stopped_by_hand_is_complete_and_counts_for_nothing(mode: str) -> None:
    async with a_cluster() as cluster:
        cluster.dashboards.script(runs_seconds=None)
        job = await begun(cluster, submission_mode=mode)
        url = f"http://{job.status.dashboardURL}/api/jobs/{job.status.job_id}/stop"
        await cluster.dashboards.request("POST", url, headers={}, body=None, timeout=timedelta(seconds=5))

        job = await cluster.until("RayJob", "train", phase="Complete")

        assert (job.status.job_status, job.status.reason) == ("STOPPED", None)
        assert (job.status.succeeded, job.status.failed) == (0, 0)


@pytest.mark.spec("rayjob:E3")
async def test_a_name_of_47_characters_works_to_the_end_and_one_of_48_is_refused() -> None:
    async with a_cluster() as cluster:
        name = "j" * 47
        await cluster.create(a_rayjob(name))
        await cluster.create(a_rayjob(name + "j"))

        await cluster.until("RayJob", name, phase="Complete")
        refused = await cluster.until("RayJob", name + "j", phase="ValidationFailed")

        assert f"{name}-head-svc" in {service.name for service in await cluster.all_of("Service")}
        assert "no more than 47 characters" in refused.status.message
        assert set(await reasons(cluster, name + "j")) == {"InvalidRayJobMetadata"}


async def test_an_edit_of_a_running_job_changes_nothing_of_it() -> None:
    async with a_cluster() as cluster:
        cluster.dashboards.script(runs_seconds=100)
        await begun(cluster, submission_mode="HTTPMode", metadata={"team": "a"})

        await cluster.patch("RayJob", "train", {"spec": {"metadata": {"team": "b"}, "entrypoint": "other"}})
        job = await cluster.until("RayJob", "train", phase="Complete")

        assert job.status.succeeded == 1
        assert submissions(cluster) == 1


# Suspension


@pytest.mark.spec("rayjob:E7")
@pytest.mark.parametrize("mode", MODES)
async def test_a_running_job_is_suspended_and_resumed_under_new_names(mode: str) -> None:
    async with a_cluster() as cluster:
        cluster.dashboards.script(runs_seconds=None)
        first = await begun(cluster, submission_mode=mode, shutdown_after_job_finishes=True)
        await cluster.patch("RayJob", "train", {"spec": {"suspend": True}})
        await cluster.until("RayJob", "train", phase="Suspended")
        assert await cluster.all_of("RayCluster") == []
        assert await cluster.all_of("Job") == []
        assert await cluster.writes_during(3600) == []

        cluster.dashboards.script(runs_seconds=5)
        await cluster.patch("RayJob", "train", {"spec": {"suspend": False}})
        second = await cluster.until("RayJob", "train", phase="Complete")

        assert second.status.job_id != first.status.job_id
        assert second.status.ray_cluster_name != first.status.ray_cluster_name
        service = await cluster.get("Service", "train-head-svc")
        assert service.spec.selector["ray.io/cluster"] == second.status.ray_cluster_name


# Time limits


@pytest.mark.spec("rayjob:E12", "rayjob:E15")
async def test_a_job_that_takes_too_long_fails_just_then_and_is_not_retried() -> None:
    async with a_cluster() as cluster:
        cluster.dashboards.script(runs_seconds=None)
        await cluster.create(a_rayjob("train", active_deadline_seconds=300, backoff_limit=2))

        job = await cluster.until("RayJob", "train", phase="Failed")

        assert (job.status.reason, job.status.failed) == ("DeadlineExceeded", 1)
        assert job.status.job_status == "RUNNING"
        assert timedelta(seconds=300) <= cluster.elapsed <= timedelta(seconds=302)
        assert stops(cluster) == []
        assert await cluster.writes_during(3600) == []


@pytest.mark.spec("rayjob:E13")
async def test_a_job_whose_image_cannot_be_had_fails_when_it_should_have_run() -> None:
    async with a_cluster() as cluster:
        cluster.node.hold("*")
        await cluster.create(a_rayjob("train", pre_running_deadline_seconds=120))

        job = await cluster.until("RayJob", "train", phase="Failed")

        assert job.status.reason == "PreRunningDeadlineExceeded"
        assert timedelta(seconds=120) <= cluster.elapsed <= timedelta(seconds=122)


async def test_a_job_that_waits_for_a_cluster_that_never_comes_fails_when_it_should_have_run() -> None:
    """Its passes fail ever more seldom, and the deadline is kept all the same."""
    async with a_cluster() as cluster:
        spec: dict[str, Any] = {"cluster_selector": {"ray.io/cluster": "none"}, "pre_running_deadline_seconds": 700}
        await cluster.create(a_rayjob("train", submission_mode="HTTPMode", **spec))

        job = await cluster.until("RayJob", "train", phase="Failed", within=705)

        assert job.status.reason == "PreRunningDeadlineExceeded"


@pytest.mark.spec("rayjob:E49")
async def test_a_finished_jobs_cluster_goes_after_its_hour_and_the_submitter_stays() -> None:
    async with a_cluster() as cluster:
        await cluster.create(a_rayjob("train", shutdown_after_job_finishes=True, ttl_seconds_after_finished=3600))
        job = await cluster.until("RayJob", "train", phase="Complete")
        assert await cluster.writes_during(3590) == []
        assert len(await cluster.all_of("RayCluster")) == 1

        await cluster.until("RayCluster", job.status.ray_cluster_name, gone=True, within=15)

        assert [one.name for one in await cluster.all_of("Job")] == ["train"]
        assert (await cluster.get("RayJob", "train")).status == job.status
        assert await cluster.writes_during(3600) == []


@pytest.mark.spec("rayjob:E32")
async def test_a_submitter_that_hangs_after_the_job_is_left_behind_after_five_minutes() -> None:
    async with a_cluster() as cluster:
        cluster.dashboards.script(runs_seconds=None)
        job = await begun(cluster)
        cluster.kubelet.lose()  # the submitter's end is never told
        cluster.dashboards.end_job(job.status.job_id)

        job = await cluster.until("RayJob", "train", phase="Complete")

        assert job.status.reason == "JobDeploymentStatusTransitionGracePeriodExceeded"
        assert job.status.succeeded == 1


# Neighbours


@pytest.mark.spec("rayjob:E46", "rayjob:E47")
async def test_two_jobs_share_a_cluster_that_comes_late_and_outlives_them() -> None:
    async with a_cluster() as cluster:
        for name in ("one", "two"):
            selector = {"ray.io/cluster": "shared"}
            await cluster.create(a_rayjob(name, submission_mode="HTTPMode", cluster_selector=selector))
        await cluster.after(600)
        assert set(await reasons(cluster, "one")) == {"RayClusterNotFound"}

        await cluster.create(a_raycluster("shared"))
        came = cluster.elapsed
        one = await cluster.until("RayJob", "one", phase="Complete")
        two = await cluster.until("RayJob", "two", phase="Complete")

        assert cluster.elapsed - came < timedelta(seconds=60)
        assert one.status.ray_cluster_name == two.status.ray_cluster_name == "shared"
        await cluster.delete("RayJob", "one")
        await cluster.until("RayJob", "one", gone=True)
        await cluster.after(60)
        assert await cluster.find("RayCluster", "shared") is not None
        assert await cluster.writes_during(3600) == []


@pytest.mark.spec("rayjob:E55")
async def test_a_job_named_like_a_cluster_leaves_that_clusters_service_alone() -> None:
    async with a_cluster() as cluster:
        await cluster.create(a_raycluster("train"))
        await cluster.until("RayCluster", "train", phase="ready")
        before = await cluster.get("Service", "train-head-svc")

        await cluster.create(a_rayjob("train"))
        await cluster.until("RayJob", "train", phase="Complete")

        assert (await cluster.get("Service", "train-head-svc")).spec == before.spec
        assert "FailedToCreateService" in await reasons(cluster)


# The end of the RayJob


@pytest.mark.spec("rayjob:E54")
@pytest.mark.parametrize("mode", MODES)
async def test_a_running_job_that_is_deleted_is_stopped_first_and_leaves_nothing(mode: str) -> None:
    async with a_cluster() as cluster:
        cluster.dashboards.script(runs_seconds=None)
        job = await begun(cluster, submission_mode=mode)

        await cluster.delete("RayJob", "train")
        await cluster.until("RayJob", "train", gone=True)

        assert stops(cluster) == [f"/api/jobs/{job.status.job_id}/stop"]
        await cluster.after(60)
        left = [one.name for kind in ("RayCluster", "Job", "Service", "Pod") for one in await cluster.all_of(kind)]
        assert left == ["kubernetes"]


async def test_a_job_on_a_shared_cluster_is_stopped_when_it_is_deleted() -> None:
    async with a_cluster() as cluster:
        cluster.dashboards.script(runs_seconds=None)
        await cluster.create(a_raycluster("shared"))
        job = await begun(cluster, submission_mode="HTTPMode", cluster_selector={"ray.io/cluster": "shared"})

        await cluster.delete("RayJob", "train")
        await cluster.until("RayJob", "train", gone=True)
        await cluster.after(5)

        told = cluster.dashboards.job(job.status.job_id)
        assert told is not None
        assert told["status"] == "STOPPED"


async def test_a_head_that_hangs_holds_a_deletion_for_ten_seconds() -> None:
    async with a_cluster() as cluster:
        cluster.dashboards.script(runs_seconds=None)
        await begun(cluster, submission_mode="HTTPMode")
        cluster.dashboards.hang()
        asked = cluster.elapsed

        await cluster.delete("RayJob", "train")
        await cluster.until("RayJob", "train", gone=True)

        assert timedelta(seconds=9) <= cluster.elapsed - asked <= timedelta(seconds=12)


# Settings and specs


@pytest.mark.spec("rayjob:E16")
async def test_a_job_that_kueue_manages_is_left_alone() -> None:
    async with a_cluster() as cluster:
        await cluster.create(a_rayjob("train", managed_by="kueue.x-k8s.io/multikueue"))

        assert await cluster.writes_during(3600) == []


@pytest.mark.spec("rayjob:E21")
async def test_a_submitter_that_the_server_refuses_is_told_again_and_again() -> None:
    """restartPolicy left out means Always, which a Job may not have."""
    template = {"spec": {"containers": [{"name": "mine", "image": "rayproject/ray:2.52.0"}]}}
    async with a_cluster() as cluster:
        await cluster.create(a_rayjob("train", submitter_pod_template=template, active_deadline_seconds=600))

        job = await cluster.until("RayJob", "train", phase="Failed")

        assert job.status.reason == "DeadlineExceeded"
        assert await cluster.all_of("Job") == []
        told = [event for event in await cluster.events("train") if event.reason == "FailedToCreateRayJobSubmitter"]
        assert "restartPolicy" in (told[0].message or told[0].note)
        tries = [one for one in cluster.writes if (one.verb, one.resource) == ("create", "jobs.batch")]
        assert 5 <= len(tries) <= 25


@pytest.mark.spec("rayjob:E20")
async def test_an_invalid_job_is_told_and_runs_when_it_is_mended() -> None:
    async with a_cluster() as cluster:
        await cluster.create(a_rayjob("train", runtimeEnvYAML="invalid_yaml_string"))
        refused = await cluster.until("RayJob", "train", phase="ValidationFailed")
        assert "invalid_yaml_string" in refused.status.message
        assert await cluster.writes_during(3600) == []

        await cluster.patch("RayJob", "train", {"spec": {"runtimeEnvYAML": "pip: [numpy]"}})
        job = await cluster.until("RayJob", "train", phase="Complete")

        assert job.status.message == "Job finished successfully."


async def test_a_job_without_a_spec_is_refused_in_words() -> None:
    async with a_cluster() as cluster:
        metadata = {"name": "x", "namespace": "default"}
        await cluster.create({"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": metadata})

        refused = await cluster.until("RayJob", "x", phase="ValidationFailed")

        assert "one of RayClusterSpec or ClusterSelector must be set" in refused.status.message


@pytest.mark.spec("rayjob:E43")
async def test_a_job_with_a_token_carries_it_everywhere() -> None:
    async with a_cluster() as cluster:
        auth = {"authOptions": {"mode": "token"}}
        await cluster.create(a_rayjob("train", submission_mode="HTTPMode", cluster=auth))
        job = await cluster.until("RayJob", "train", phase="Complete")

        assert {one.token.partition(" ")[0] for one in cluster.dashboards.requests} == {"Bearer"}
        assert len({one.token for one in cluster.dashboards.requests}) == 1
        assert job.status.succeeded == 1


async def test_the_rayjob_itself_goes_where_the_operator_is_set_so() -> None:
    settings = Settings()
    settings = replace(settings, options=replace(settings.options, delete_rayjob_after_finish=True))
    async with a_cluster(settings=settings) as cluster:
        await cluster.create(a_rayjob("train", shutdown_after_job_finishes=True, ttl_seconds_after_finished=60))
        await cluster.until("RayJob", "train", phase="Complete")

        await cluster.until("RayJob", "train", gone=True, within=62)
        await cluster.after(60)

        assert await cluster.all_of("RayCluster") == []
