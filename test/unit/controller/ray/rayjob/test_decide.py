"""What is made, kept and deleted for a RayJob, and when it is looked at again (spec rayjob §5, §8, §10)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from api.meta import owner_reference
from api.v1 import wire
from controller.ray.dashboard.protocol import EffectState, Known, StopJob
from controller.ray.options import Options
from controller.runtime.plan import Announcement, Create, Delete
from localcluster.testing.rayjob_history import RayJobHistory, k8s_job, rayjob

INVALID = Announcement("Warning", "InvalidRayJobSpec", "Validate", "default/train: the spec is wrong")


def deleted_now(history: RayJobHistory) -> RayJobHistory:
    """Somebody deletes the RayJob."""
    history.job["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    return history


# The cluster


def test_a_cluster_on_its_way_out_is_not_run_on() -> None:
    """Neither submitter nor Running before another one is there."""
    history = RayJobHistory(k8s_job()).run(3).cluster_becomes_ready()
    assert history.cluster is not None
    history.cluster["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"

    history.run(2)

    assert (history.phase, history.submitter) == ("Initializing", None)
    assert not history.status.get("dashboardURL")


@pytest.mark.spec("rayjob:E59")
def test_a_cluster_that_is_deleted_while_the_job_runs_is_made_again_once_it_is_gone() -> None:
    """As long as it is terminating, nothing is written."""
    history = RayJobHistory(k8s_job()).running().ray_says("RUNNING").run(2)
    assert history.cluster is not None
    history.cluster["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    before = len(history.writes)
    history.run(2)
    assert (len(history.writes), history.phase) == (before, "Running")
    submitter, service = history.submitter, history.service
    history.loses("submitter").loses("service").run()
    assert len(history.writes) == before, "what belongs to the cluster waits for the next one"
    history.submitter, history.service = submitter, service

    history.loses("cluster").run()

    (write,) = history.writes[before:]
    assert isinstance(write, Create)
    assert write.body["metadata"]["name"] == "train-bbbbb"


def test_a_cluster_that_somebody_else_made_under_our_name_is_never_touched() -> None:
    """It is named in an event, its status is not taken for ours, and the key backs off."""
    history = RayJobHistory(rayjob()).run(2)
    metadata = {"name": "train-bbbbb", "namespace": "default", "uid": "foreign"}
    history.cluster = {"metadata": metadata, "spec": history.job["spec"]["rayClusterSpec"]}
    history.cluster_becomes_ready().run(2)

    assert (history.phase, history.cluster["metadata"]["uid"]) == ("Initializing", "foreign")
    assert history.reasons[-1] == "FailedToCreateRayCluster"
    assert "default/train-bbbbb" in history.events[-1].note
    assert history.error is not None
    assert "state" not in history.status["rayClusterStatus"]

    history.job["spec"] |= {"suspend": True, "shutdownAfterJobFinishes": True}
    history.run(2)
    assert history.phase == "Suspended"
    assert history.cluster["metadata"]["uid"] == "foreign"


@pytest.mark.spec("rayjob:E25")
def test_a_ready_cluster_without_a_way_to_its_dashboard_fails_the_pass() -> None:
    """It says what is missing, and the key backs off."""
    history = RayJobHistory(rayjob()).run(3).cluster_becomes_ready()
    assert history.head_service is not None
    history.head_service["spec"]["ports"] = [{"name": "serve", "port": 8000}]

    history.run()

    assert "port named dashboard" in str(history.error)


def test_a_retry_waits_for_the_old_cluster_and_the_old_submitter_to_be_gone() -> None:
    """Held by finalizers, they stay, and nothing is made beside them."""
    history = RayJobHistory(k8s_job(backoffLimit=1)).running().ray_says("FAILED").submitter_ends("Complete").run(2)
    assert history.phase == "Retrying"
    deletes = [write.why for write in history.writes if isinstance(write, Delete)]
    assert deletes == ["cluster", "submitter"]


@pytest.mark.spec("rayjob:E56")
def test_a_head_service_of_the_users_own_kind_is_made_for_the_job_too() -> None:
    """A load balancer is provisioned twice: the cluster's, and the job's that follows it from attempt to attempt."""
    job = rayjob()
    service = {"metadata": {"name": "mine"}, "spec": {"type": "LoadBalancer", "ports": [{"name": "x", "port": 1}]}}
    head = job["spec"]["rayClusterSpec"]["headGroupSpec"] | {"headService": service}
    job["spec"]["rayClusterSpec"] = job["spec"]["rayClusterSpec"] | {"headGroupSpec": head}
    history = RayJobHistory(job).running().run()

    assert history.service is not None
    assert history.service["metadata"]["name"] == "train-head-svc"
    assert history.service["spec"]["type"] == "LoadBalancer"
    assert {"x", "dashboard"} <= {port["name"] for port in history.service["spec"]["ports"]}


# The submitter


def test_a_template_without_a_container_is_told_and_makes_no_job() -> None:
    """The schema lets it pass; there is nothing to run the script in."""
    history = RayJobHistory(k8s_job(submitterPodTemplate={"spec": {"containers": []}})).run(3)
    history.cluster_becomes_ready().run()

    assert (history.phase, history.submitter) == ("Initializing", None)
    assert history.reasons[-1] == "FailedToCreateRayJobSubmitter"
    assert history.events[-1].note.startswith("Failed to create new Kubernetes Job default/train: ")
    assert history.error is not None


@pytest.mark.spec("rayjob:E23")
@pytest.mark.parametrize("version", ["nightly", "3.0.0.dev0", "2.52.0"])
def test_metadata_is_sent_whatever_the_version_is_called(version: str) -> None:
    """The reference never leaves Initializing where it cannot read the version, and says nothing."""
    job = k8s_job(metadata={"team": "a"})
    job["spec"]["rayClusterSpec"] = job["spec"]["rayClusterSpec"] | {"rayVersion": version}
    history = RayJobHistory(job).running()

    assert history.submitter is not None
    (script,) = history.submitter["spec"]["template"]["spec"]["containers"][0]["args"]
    assert '--metadata-json "{\\"team\\":\\"a\\"}"' in script


# Validation


@pytest.mark.spec("rayjob:E19")
@pytest.mark.parametrize("outcome", ["SUCCEEDED", "FAILED"])
def test_a_finished_job_stays_finished_whatever_its_spec_becomes(outcome: str) -> None:
    """The reference makes it ValidationFailed and forgets to clean up (a defect); ours only says so."""
    history = RayJobHistory(rayjob(shutdownAfterJobFinishes=True, ttlSecondsAfterFinished=60)).running()
    phase = history.ray_says(outcome).run().phase
    ended, message = history.status["endTime"], history.status.get("message")

    history.run(1, invalid=INVALID)
    assert (history.phase, history.status["endTime"], history.status.get("message")) == (phase, ended, message)
    assert history.reasons[-1] == "InvalidRayJobSpec"

    history.later(seconds=60).run(1, invalid=INVALID)
    assert not history.exists("cluster")
    written = len(history.writes)
    assert history.run(3).phase == phase
    assert len(history.writes) == written


def test_a_negative_ttl_never_counts() -> None:
    """A finished job whose spec is edited to one is not cleaned up before its time."""
    history = RayJobHistory(rayjob(shutdownAfterJobFinishes=True, ttlSecondsAfterFinished=60)).running()
    history.ray_says("SUCCEEDED").run()
    history.job["spec"]["ttlSecondsAfterFinished"] = -1

    history.run(2, invalid=INVALID)

    assert history.exists("cluster")


def test_a_job_that_ended_before_it_became_invalid_is_not_begun_again() -> None:
    """An object that another operator left: its spec is mended, and nothing runs twice."""
    history = RayJobHistory(rayjob())
    history.job["metadata"]["finalizers"] = ["ray.io/rayjob-finalizer"]
    history.job["status"] = {
        "jobDeploymentStatus": "ValidationFailed",
        "jobStatus": "SUCCEEDED",
        "endTime": "2026-01-01T11:00:00Z",
    }

    history.run(3)

    assert history.phase == "ValidationFailed"
    assert history.writes == []


@pytest.mark.spec("rayjob:E18")
def test_another_error_replaces_the_first() -> None:
    """The reference keeps the first message for ever (a defect)."""
    history = RayJobHistory(rayjob()).run(1, invalid=INVALID)
    other = Announcement("Warning", "InvalidRayJobSpec", "Validate", "default/train: otherwise: wrong")

    history.run(2, invalid=other)

    assert history.status["message"] == "otherwise: wrong"
    assert history.status_writes == 2


# Deletion


@pytest.mark.spec("rayjob:E54")
@pytest.mark.parametrize("phase", ["Initializing", "Suspended", "Complete"])
def test_a_job_with_nothing_to_stop_goes_at_once(phase: str) -> None:
    """Nobody is asked."""
    history = RayJobHistory(rayjob(shutdownAfterJobFinishes=True))
    if phase == "Initializing":
        history.run(3)
    elif phase == "Suspended":
        history.job["spec"]["suspend"] = True
        history.run(4)
    else:
        history.running().ray_says("SUCCEEDED").run()
    assert history.phase == phase

    deleted_now(history).run()

    assert (history.wants, history.job["metadata"]["finalizers"]) == (None, [])


def test_a_job_whose_head_is_gone_goes_at_once() -> None:
    """There is nobody to ask, and no pod in which it could run."""
    history = RayJobHistory(rayjob()).running().ray_says("RUNNING").run()
    history.head_run = ""

    deleted_now(history).run()

    assert history.job["metadata"]["finalizers"] == []


def test_a_deletion_looks_again_when_its_patience_ends_and_not_before() -> None:
    """News of the stop wakes it earlier."""
    history = deleted_now(RayJobHistory(rayjob()).running().ray_says("RUNNING").run())

    history.run()

    assert history.requeue_after == timedelta(seconds=10)


def test_the_job_on_a_selected_cluster_is_stopped_and_the_cluster_stays() -> None:
    """Only the finalizer is written."""
    history = RayJobHistory(rayjob(clusterSelector={"ray.io/cluster": "shared"})).run(2)
    metadata = {"name": "shared", "namespace": "default", "uid": "u"}
    history.cluster = {"metadata": metadata, "spec": history.job["spec"]["rayClusterSpec"]}
    history.cluster_becomes_ready().run(2).ray_says("RUNNING").run()
    before = len(history.writes)

    deleted_now(history).run()
    assert history.wants is not None
    stop = StopJob(history.status["jobId"])
    assert history.wants.effects == (stop,)
    history.known = Known(effects={stop: (EffectState.DONE, "")})
    history.run()

    assert history.job["metadata"]["finalizers"] == []
    assert [write.why for write in history.writes[before:]] == ["finalizer"]


def test_a_deletion_that_another_finalizer_holds_asks_ray_nothing_more() -> None:
    """The reference posts the stop every three seconds (spec rayjob §10)."""
    history = deleted_now(RayJobHistory(rayjob()).running().ray_says("RUNNING").run())
    history.job["metadata"]["finalizers"] = ["foregroundDeletion"]

    history.run(3)

    assert (history.wants, history.requeue_after) == (None, None)


def test_a_job_that_became_another_controllers_can_still_be_deleted() -> None:
    """The reference leaves its finalizer for ever (spec rayjob §10, a defect); ours is taken back, and nothing else."""
    history = RayJobHistory(rayjob()).running().ray_says("RUNNING").run()
    history.job["spec"]["managedBy"] = "kueue.x-k8s.io/multikueue"
    before = len(history.writes)
    history.run(2)
    assert (len(history.writes), history.wants) == (before, None)

    deleted_now(history).run()

    assert history.job["metadata"]["finalizers"] == []
    assert len(history.writes) == before + 1


# Suspension


@pytest.mark.parametrize("stage", ["Initializing", "Running"])
@pytest.mark.parametrize("mode", ["HTTPMode", "K8sJobMode"])
def test_suspend_takes_everything_of_the_attempt_away_in_every_phase_it_is_heard(stage: str, mode: str) -> None:
    """Names, answers and times of the attempt are forgotten; counters stay."""
    history = RayJobHistory(rayjob(submissionMode=mode, shutdownAfterJobFinishes=True))
    history.run(3) if stage == "Initializing" else history.running().ray_says("RUNNING", "on its way").run()
    history.job["spec"]["suspend"] = True

    history.run(4)

    assert (history.phase, history.cluster, history.submitter) == ("Suspended", None, None)
    assert set(history.status) - {"startTime"} == {
        "jobDeploymentStatus",
        "rayClusterStatus",
        "rayJobInfo",
        "succeeded",
        "failed",
    }
    assert history.wants is None


# Looking again


@pytest.mark.spec("rayjob:E46")
def test_a_missing_selected_cluster_backs_off_and_keeps_its_deadline_in_mind() -> None:
    """The error decides when; the deadline is still known."""
    history = RayJobHistory(rayjob(clusterSelector={"ray.io/cluster": "shared"}, activeDeadlineSeconds=60)).run(3)

    assert history.error is not None
    assert history.requeue_after == timedelta(seconds=60)
    assert history.events[-1].note.startswith("RayCluster default/shared set in the clusterSelector is not found")
    assert "created manually" in history.events[-1].note


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        ({"activeDeadlineSeconds": 60, "preRunningDeadlineSeconds": 30}, 30),
        ({"activeDeadlineSeconds": 20, "preRunningDeadlineSeconds": 30}, 20),
        ({}, None),
    ],
)
def test_a_starting_job_is_looked_at_again_at_its_next_deadline(spec: dict[str, Any], seconds: int | None) -> None:
    """Events bring everything else."""
    history = RayJobHistory(rayjob(**spec)).run(3)

    assert history.requeue_after == (None if seconds is None else timedelta(seconds=seconds))


def test_the_grace_period_is_the_operators_setting() -> None:
    """RAYJOB_DEPLOYMENT_STATUS_TRANSITION_GRACE_PERIOD_SECONDS, counted from the job's own end."""
    options = Options(transition_grace=timedelta(seconds=7))
    history = RayJobHistory(k8s_job(), options).running()
    history.ray_says("SUCCEEDED", ended=int(history.now.timestamp() * 1000)).run(2)

    assert history.requeue_after == timedelta(seconds=7)


def test_the_submitter_of_a_predecessor_is_waited_for_and_its_end_wakes() -> None:
    """Its owner has our name, so its deletion wakes our key; until then the creation is refused."""
    history = RayJobHistory(k8s_job()).run(3)
    owners = [owner_reference(wire.RAY_JOBS, {"metadata": {"name": "train", "uid": "before"}})]
    history.submitter = {"metadata": {"name": "train", "namespace": "default", "uid": "j", "ownerReferences": owners}}
    history.refuse = {"submitter"}
    history.cluster_becomes_ready().run()
    assert history.phase == "Initializing"

    history.loses("submitter").refuse = set()
    history.run()

    assert history.phase == "Running"
    assert history.exists("submitter")
