"""What admission would refuse and the reference runs is run by an operator without webhooks, and its user is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from api.v1.rules.settings import AdmissionSettings, Profile
from controller.ray.concerns import DOUBTFUL, REASON
from controller.ray.options import Gates, Options
from controller.settings import Settings
from localcluster.testing.cluster import Cluster, a_cluster
from localcluster.testing.factories import a_raycluster, a_raycronjob, a_rayjob, a_rayservice
from localcluster.testing.view import View

WRONG = "2.40.0"  # the image holds 2.52.0: RV02


async def told(cluster: Cluster, name: str) -> list[View]:
    """The events about it that say what admission would refuse."""
    return [event for event in await cluster.events(name) if event.reason == REASON]


def mended(cluster: Any) -> None:
    cluster["spec"]["rayVersion"] = "2.52.0"


def conditions(found: View) -> dict[str, str]:
    return {one.type: one.status for one in found.status.conditions}


@pytest.mark.spec("admission:P1")
async def test_a_cluster_that_admission_would_refuse_runs_and_says_so_once_until_it_is_mended() -> None:
    async with a_cluster() as cluster:
        await cluster.create(a_raycluster("r", ray_version=WRONG))
        doubtful = await cluster.until("RayCluster", "r", phase="ready")
        for replicas in (2, 1):
            await cluster.edit("RayCluster", "r", scaled(replicas))
            await cluster.until("RayCluster", "r", ready_worker_replicas=replicas)
        assert await cluster.writes_during(3600) == []
        (event,) = await told(cluster, "r")

        await cluster.edit("RayCluster", "r", mended)
        sound = await cluster.until("RayCluster", "r", observed_generation=4)

    assert event.type == "Warning"
    assert event.message.startswith("RayCluster default/r is run, though admission would refuse it: spec.rayVersion: ")
    assert "[RV02]" in event.message
    assert event.series is None
    said = doubtful.condition(DOUBTFUL)
    assert (said.status, said.reason) == ("True", REASON)
    assert said.message in event.message
    assert conditions(sound) == {type_: status for type_, status in conditions(doubtful).items() if type_ != DOUBTFUL}


def scaled(replicas: int) -> Callable[[Any], None]:
    def change(cluster: Any) -> None:
        cluster["spec"]["workerGroupSpecs"][0]["replicas"] = replicas

    return change


async def test_an_operator_that_starts_anew_does_not_tell_it_again() -> None:
    async with a_cluster(restart_after=1.0) as cluster:
        await cluster.create(a_raycluster("r", ray_version=WRONG))
        await cluster.until("RayCluster", "r", phase="ready")
        await cluster.after(30)
        before = len(await told(cluster, "r"))

        cluster.kill_operator()
        await cluster.start_operator()
        await cluster.after(600)

        assert (before, len(await told(cluster, "r"))) == (1, 1)


async def test_what_its_owner_lets_pass_or_the_object_is_not_held_to_is_not_told() -> None:
    compat = Settings(admission=AdmissionSettings(profile=Profile.COMPAT))
    async with a_cluster(settings=compat) as cluster:
        await cluster.create(a_raycluster("r", ray_version=WRONG))
        lenient = await cluster.until("RayCluster", "r", phase="ready")
        lenient_events = await told(cluster, "r")
    async with a_cluster() as cluster:
        await cluster.create(a_raycluster("r", ray_version=WRONG, annotations={"ray.io/admission-skip": "RV02"}))
        skipped = await cluster.until("RayCluster", "r", phase="ready")
        skipped_events = await told(cluster, "r")

    assert lenient_events == skipped_events == []
    assert DOUBTFUL not in conditions(lenient) | conditions(skipped)


async def test_what_the_reference_refuses_has_the_reference_s_reason_and_no_other() -> None:
    async with a_cluster() as cluster:
        broken = a_raycluster("r", ray_version=WRONG)
        broken["spec"]["workerGroupSpecs"][0]["minReplicas"] = 20
        await cluster.create(broken)
        await cluster.after(600)

        assert [event.reason for event in await cluster.events("r")] == ["InvalidRayClusterSpec"]
        assert await cluster.pods("r") == []


async def test_a_job_runs_and_its_user_is_told_of_it_and_not_of_its_cluster() -> None:
    async with a_cluster() as cluster:
        await cluster.create(a_rayjob("train", cluster={"rayVersion": WRONG}))
        job = await cluster.until("RayJob", "train", phase="Complete")
        await cluster.after(60)
        own, child = await told(cluster, "train"), await cluster.get("RayCluster", job.status.ray_cluster_name)
        of_child = await told(cluster, child.name)

    (event,) = own
    assert event.message.startswith("RayJob default/train is run, ")
    assert "spec.rayClusterSpec.rayVersion: " in event.message
    assert (of_child, DOUBTFUL in conditions(child)) == ([], False)


async def test_a_service_serves_and_says_so_until_it_is_mended() -> None:
    async with a_cluster() as cluster:
        await cluster.create(a_rayservice("web", cluster={"rayVersion": WRONG}))
        doubtful = await cluster.until("RayService", "web", condition="Ready")
        (event,) = await told(cluster, "web")

        await cluster.edit("RayService", "web", lambda one: mended({"spec": one["spec"]["rayClusterConfig"]}))
        await cluster.until("RayService", "web", observed_generation=2)
        sound = await cluster.get("RayService", "web")

    assert "spec.rayClusterConfig.rayVersion: " in event.message
    assert doubtful.condition(DOUBTFUL).message in event.message
    assert DOUBTFUL not in conditions(sound)


async def test_a_schedule_keeps_its_ticks_and_its_jobs_are_silent() -> None:
    """Each of them would say the same, every night."""
    gated = Settings(options=Options(gates=Gates(ray_cron_job=True)))
    async with a_cluster(settings=gated) as cluster:
        await cluster.create(a_raycronjob("nightly", "0 * * * *", template={"cluster": {"rayVersion": WRONG}}))
        await cluster.after(3 * 3600 + 60)
        jobs = await cluster.all_of("RayJob")
        own = await told(cluster, "nightly")
        of_jobs = [event for job in jobs for event in await told(cluster, job.name)]

    assert len(jobs) == 3
    (event,) = own
    assert "spec.jobTemplate.rayClusterSpec.rayVersion: " in event.message
    assert event.series is None
    assert of_jobs == []
