"""The status of a RayJob as it is written, when it is, and the events beside it (spec rayjob §1.4, §6, §13)."""

from __future__ import annotations

from typing import Any

import pytest

from api.v1 import wire
from controller.ray.dashboard.protocol import Known
from controller.ray.options import Options
from controller.ray.rayjob.status import announced
from controller.runtime.errors import Conflict, Forbidden
from controller.runtime.plan import Create, Delete, MergePatch, Outcome, Verdict, Write, ref_of
from localcluster.testing.rayjob_history import RayJobHistory, k8s_job, rayjob

EMPTY = {"desiredCPU": "0", "desiredGPU": "0", "desiredMemory": "0", "desiredTPU": "0", "head": {}}


# Shape


def test_a_status_always_has_what_the_reference_always_writes() -> None:
    """Its counters and its two structs, empty or not; empty words are left out."""
    history = RayJobHistory(rayjob()).run(2)

    assert history.status == {
        "jobDeploymentStatus": "Initializing",
        "jobId": "train-aaaaa",
        "rayClusterName": "train-bbbbb",
        "startTime": "2026-01-01T12:00:00Z",
        "rayJobInfo": {},
        "rayClusterStatus": EMPTY,
        "succeeded": 0,
        "failed": 0,
    }


@pytest.mark.spec("rayjob:E2")
def test_the_clusters_own_status_is_copied_whole_as_it_comes_up_and_as_it_changes() -> None:
    """Conditions and counters while Initializing; a change of replicas while Running."""
    history = RayJobHistory(rayjob()).run(3)
    assert history.cluster is not None
    conditions = [{"type": "HeadPodReady", "status": "False", "reason": "ContainersNotReady"}]
    history.cluster["status"] = {"conditions": conditions, "desiredWorkerReplicas": 2, "desiredCPU": "3"}
    history.run()
    assert history.status["rayClusterStatus"] == EMPTY | history.cluster["status"]

    history.cluster_becomes_ready().run(2).ray_says("RUNNING").run()
    history.cluster["status"]["availableWorkerReplicas"] = 2
    history.run()

    assert history.status["rayClusterStatus"]["availableWorkerReplicas"] == 2


@pytest.mark.parametrize(
    "change", [{"lastUpdateTime": "2026-01-01T13:00:00Z"}, {"desiredCPU": "9"}, {"observedGeneration": 7}]
)
def test_some_changes_of_the_cluster_are_not_worth_a_write_and_ride_along_with_the_next(change: dict[str, Any]) -> None:
    """As the reference weighs them (spec rayjob §6.3)."""
    history = RayJobHistory(rayjob()).running().ray_says("RUNNING").run()
    assert history.cluster is not None
    written = history.status_writes
    history.cluster["status"] |= change
    history.run()
    assert history.status_writes == written

    history.ray_says("STOPPED").run()

    assert history.status["rayClusterStatus"] == EMPTY | history.cluster["status"]


def test_times_are_in_seconds_and_stay_when_ray_does_not_tell_them_again() -> None:
    """Milliseconds are cut, nulls keep what was known (spec rayjob §11.4)."""
    history = RayJobHistory(rayjob()).running().ray_says("RUNNING", started=1_700_000_000_999).run()
    assert history.status["rayJobInfo"] == {"startTime": "2023-11-14T22:13:20Z"}

    history.ray_says("SUCCEEDED", ended=1_700_000_060_001).run()

    assert history.status["rayJobInfo"] == {"startTime": "2023-11-14T22:13:20Z", "endTime": "2023-11-14T22:14:20Z"}


def test_the_end_of_a_job_is_written_once_and_never_moves() -> None:
    """endTime stands with Complete and Failed only."""
    history = RayJobHistory(rayjob()).running()
    assert "endTime" not in history.status
    history.later(seconds=5).ray_says("SUCCEEDED").run()
    ended = history.status["endTime"]

    history.later(hours=1).run(3)

    assert (ended, history.status["endTime"]) == ("2026-01-01T12:00:05Z", ended)


# Counters


def test_counters_count_every_attempt() -> None:
    """backoffLimit 2: three attempts, and a final failed of 3 (spec rayjob §7.3)."""
    history = RayJobHistory(rayjob(backoffLimit=2)).running()
    seen = []
    for attempt in range(3):
        history.ray_says("FAILED", f"attempt {attempt}").run()
        seen.append((history.phase, history.status["failed"], history.status["reason"], history.status["message"]))
        history.fresh = (f"job{attempt}", f"cluster{attempt}")
        history.known = Known()
        history.run(4)
        if history.phase == "Initializing":
            history.cluster_becomes_ready().run(2)

    assert seen == [
        ("Retrying", 1, "AppFailed", "attempt 0"),
        ("Retrying", 2, "AppFailed", "attempt 1"),
        ("Failed", 3, "AppFailed", "attempt 2"),
    ]
    assert history.status["succeeded"] == 0


def test_a_message_that_ray_takes_back_is_gone() -> None:
    """Also when empty, a message is the newest one (spec rayjob §11.4)."""
    history = RayJobHistory(rayjob()).running().ray_says("PENDING", "waiting for a GPU").run()
    assert history.status["message"] == "waiting for a GPU"

    history.ray_says("RUNNING", "").run()

    assert "message" not in history.status


# Events: reason, type, action and note of each row of §13


def events_of(history: RayJobHistory) -> set[tuple[str, str, str, str]]:
    return {(one.type, one.reason, one.action, one.note) for one in history.events}


@pytest.mark.spec(
    "rayjob:13/createdraycluster-failedtocreaterayclust", "rayjob:13/createdrayjobsubmitter-failedtocreateray"
)
def test_what_is_made_is_told() -> None:
    """Cluster, submitter and Service, each once."""
    history = RayJobHistory(k8s_job()).running().run(3)

    assert events_of(history) == {
        ("Normal", "CreatedRayCluster", "Create", "Created RayCluster default/train-bbbbb"),
        ("Normal", "CreatedRayJobSubmitter", "Create", "Created Kubernetes Job default/train"),
        ("Normal", "CreatedService", "Create", "Created service default/train-head-svc"),
    }
    assert len(history.events) == 3


@pytest.mark.spec(
    "rayjob:13/createdservice-failedtocreateservice", "rayjob:13/createdraycluster-failedtocreaterayclust"
)
def test_what_cannot_be_made_is_told_in_the_servers_words() -> None:
    """And the pass has failed."""
    history = RayJobHistory(rayjob()).run(2)
    history.refuse = {"cluster"}
    history.run()
    (told,) = history.events
    assert (told.type, told.reason, told.action) == ("Warning", "FailedToCreateRayCluster", "Create")
    assert told.note.startswith("Failed to create RayCluster default/train-bbbbb: ")
    assert "exceeded quota" in told.note
    assert history.error is not None

    history.refuse = set()
    history.run().cluster_becomes_ready().refuse = {"service"}
    history.run(2)
    told = history.events[-1]
    assert (told.type, told.reason, told.action) == ("Warning", "FailedToCreateService", "Create")
    assert told.note.startswith("Failed to create service default/train-head-svc, ")
    assert history.phase == "Running"


@pytest.mark.spec(
    "rayjob:13/deletedraycluster-failedtodeleterayclust", "rayjob:13/deletedrayjobsubmitter-failedtodeleteray"
)
def test_what_is_deleted_is_told() -> None:
    """On suspension both go, and both are told."""
    history = RayJobHistory(k8s_job(shutdownAfterJobFinishes=True)).running().run()
    history.job["spec"]["suspend"] = True
    before = events_of(history)

    history.run(4)

    assert events_of(history) - before == {
        ("Normal", "DeletedRayCluster", "Delete", "Deleted cluster default/train-bbbbb"),
        ("Normal", "DeletedRayJobSubmitter", "Delete", "Deleted submitter K8s Job default/train"),
    }


@pytest.mark.spec(
    "rayjob:13/deletedraycluster-failedtodeleterayclust", "rayjob:13/deletedrayjobsubmitter-failedtodeleteray"
)
def test_what_cannot_be_deleted_is_told_and_waited_for() -> None:
    """The phase stays, the pass has failed."""
    history = RayJobHistory(k8s_job(shutdownAfterJobFinishes=True)).running().run()
    history.job["spec"]["suspend"] = True
    history.run()
    history.refuse = {"cluster", "submitter"}

    history.run()

    notes = {one.reason: one.note for one in history.events if one.type == "Warning"}
    assert notes["FailedToDeleteRayCluster"].startswith("Failed to delete cluster default/train-bbbbb: ")
    assert notes["FailedToDeleteRayJobSubmitter"].startswith("Failed to delete submitter K8s Job default/train: ")
    assert history.phase == "Suspending"
    assert history.error is not None


@pytest.mark.spec("rayjob:13/updatedservice-failedtoupdateservice")
@pytest.mark.parametrize(
    ("refuse", "told"),
    [
        (set(), ("Normal", "UpdatedService", "Update", "Updated service default/train-head-svc")),
        (
            {"service"},
            ("Warning", "FailedToUpdateService", "Update", "Failed to update service default/train-head-svc, "),
        ),
    ],
)
def test_a_service_that_follows_its_cluster_is_told(refuse: set[str], told: tuple[str, str, str, str]) -> None:
    """Or that it could not."""
    history = RayJobHistory(rayjob()).running().run()
    assert history.service is not None
    history.service["spec"]["selector"]["ray.io/cluster"] = "the-one-before"
    history.refuse = refuse

    history.run()

    last = history.events[-1]
    assert (last.type, last.reason, last.action) == told[:3]
    assert last.note.startswith(told[3])


@pytest.mark.spec("rayjob:13/rayclusternotfound")
def test_a_missing_selected_cluster_is_named() -> None:
    """And the user told that it must be made by hand."""
    history = RayJobHistory(rayjob(clusterSelector={"ray.io/cluster": "shared"})).run(3)

    assert events_of(history) == {
        (
            "Warning",
            "RayClusterNotFound",
            "Validate",
            "RayCluster default/shared set in the clusterSelector is not found. It must be created manually",
        )
    }


def test_nothing_is_told_of_transitions_deadlines_or_results() -> None:
    """No events exist for them (spec rayjob §13)."""
    history = RayJobHistory(rayjob(activeDeadlineSeconds=60)).running().run()
    before = len(history.events)

    history.ray_says("RUNNING").run().later(seconds=60).run(2)

    assert (history.phase, len(history.events)) == ("Failed", before)


def outcome(write: Write, verdict: Verdict) -> Outcome:
    error = {
        Verdict.CONFLICT: Conflict("update", ref_of(write), code=409, message="changed"),
        Verdict.REFUSED: Forbidden("create", ref_of(write), code=403, message="no"),
    }.get(verdict)
    return Outcome(write, verdict, error=error)


@pytest.mark.parametrize("verdict", [Verdict.ALREADY, Verdict.CONFLICT, Verdict.WAIT, Verdict.SKIPPED])
def test_what_did_not_happen_now_is_not_told(verdict: Verdict) -> None:
    """A repeated pass, a lost race or a predecessor's child is no news."""
    create = Create(wire.RAY_CLUSTERS, {"metadata": {"name": "c", "namespace": "n"}}, why="cluster")
    patch = MergePatch(wire.RAY_CLUSTERS, "n", "c", "u", {}, why="service")
    delete = Delete(wire.RAY_CLUSTERS, "n", "c", "u", why="cluster")

    assert [event for write in (create, patch, delete) for event in announced(outcome(write, verdict))] == []


def test_the_end_of_the_rayjob_itself_is_not_told() -> None:
    """No event exists for DeleteSelf."""
    history = RayJobHistory(rayjob(shutdownAfterJobFinishes=True), Options(delete_rayjob_after_finish=True)).running()
    history.run().ray_says("SUCCEEDED").run(2)

    assert history.gone
    assert "DeletedRayCluster" not in history.reasons
