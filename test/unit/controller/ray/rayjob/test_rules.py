"""What a RayJob makes of what it hears, and of what it does not hear, of Ray (spec rayjob §5.6)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from api.meta import owner_reference
from api.v1 import wire
from controller.ray.dashboard.protocol import EffectState, Known, SubmitJob
from controller.ray.dashboard.runs import head_run
from localcluster.testing.rayjob_history import RayJobHistory, k8s_job, rayjob

NO_HEAD = "no head pod runs"


# The end of the submitter


@pytest.mark.spec("rayjob:E30")
def test_a_job_that_goes_on_is_given_up_though_ray_has_nothing_new_to_say() -> None:
    """The newest answer may be seconds older than the moment of judgement; no news will come to wake the key."""
    history = RayJobHistory(k8s_job()).running().submitter_ends("Complete").ray_says("RUNNING").run()

    history.later(seconds=30).run()

    assert (history.phase, history.status["jobStatus"]) == ("Failed", "FAILED")


def test_the_end_of_the_submitter_asks_ray_anew() -> None:
    """The mark of what is wanted changes, and with it comes a fresh answer."""
    history = RayJobHistory(k8s_job()).running().ray_says("RUNNING").run()
    assert history.wants is not None
    before = history.wants.mark

    history.later(seconds=5).submitter_ends("Complete").run()

    assert history.wants.mark != before


def test_a_submitter_that_fails_is_judged_by_an_answer_given_since() -> None:
    """The job may have ended with it: what Ray said seconds before counts for nothing."""
    history = RayJobHistory(k8s_job()).running().ray_says("RUNNING").run()
    history.later(seconds=2).submitter_ends("Failed", "BackoffLimitExceeded").run()
    assert history.phase == "Running"

    history.ray_says("SUCCEEDED").run()
    assert history.phase == "Complete"


@pytest.mark.spec("rayjob:E28")
def test_a_submitter_that_fails_while_the_job_goes_on_is_a_failed_submission() -> None:
    """As the reference has it: whoever followed the log is gone, and nothing else keeps the cluster."""
    history = RayJobHistory(k8s_job()).running().ray_says("RUNNING").run()
    history.submitter_ends("Failed", "BackoffLimitExceeded", "too often").ray_says("RUNNING").run()

    assert (history.phase, history.status["reason"]) == ("Failed", "SubmissionFailed")
    assert history.status["message"] == "Job submission has failed. Reason: BackoffLimitExceeded. Message: too often"
    assert history.status["jobStatus"] == "RUNNING"


def test_an_old_word_that_ray_knows_no_such_job_is_no_verdict_once_it_is_silent() -> None:
    """Asked before the submission, not answered since: the job may have run meanwhile."""
    history = RayJobHistory(k8s_job()).running().ray_knows_no_job().run()
    history.later(seconds=5)
    history.known = Known(missing=True, asked_at=history.now, failing_since=history.now, error="timeout")

    history.submitter_ends("Complete").run()

    assert history.phase == "Running"


def test_an_operator_that_comes_back_gives_a_silent_head_half_a_minute() -> None:
    """One poll that fails is not yet silence: the job ended well an hour ago."""
    history = RayJobHistory(k8s_job()).running().submitter_ends("Complete").later(hours=1)
    history.ray_is_silent().run()
    assert history.phase == "Running"
    assert history.requeue_after == timedelta(seconds=30)

    patient = history.later(seconds=30).run()
    assert (patient.phase, patient.status["jobStatus"]) == ("Failed", "FAILED")


@pytest.mark.parametrize("word", ["SUCCEEDED", "STOPPED"])
def test_a_job_over_whose_submitter_was_deleted_by_hand_is_complete_at_once(word: str) -> None:
    """Nobody follows its log any more, so there is nobody to wait for."""
    history = RayJobHistory(k8s_job()).running().ray_says(word).run()
    assert history.phase == "Running"

    history.loses("submitter").run()

    assert history.phase == "Complete"


def test_the_end_of_a_predecessors_job_says_nothing_about_this_one() -> None:
    """It bears the name, but another RayJob owned it."""
    history = RayJobHistory(k8s_job()).running().ray_says("RUNNING").run()
    assert history.submitter is not None
    before = {"metadata": {"name": "train", "uid": "before"}}
    history.submitter["metadata"]["ownerReferences"] = [owner_reference(wire.RAY_JOBS, before)]
    history.submitter_ends("Failed", "BackoffLimitExceeded").ray_says("RUNNING").run()

    assert history.phase == "Running"


@pytest.mark.parametrize("fate", ["Complete", "Failed"])
@pytest.mark.parametrize(
    ("word", "phase", "reason"), [("SUCCEEDED", "Complete", None), ("FAILED", "Failed", "AppFailed")]
)
def test_a_result_that_was_heard_counts_though_head_and_submitter_die_before_the_log_is_through(
    fate: str, word: str, phase: str, reason: str | None
) -> None:
    """Terminal states never change; the reference would call the success a failed submission."""
    history = RayJobHistory(k8s_job()).running().ray_says(word, "the last word").run()
    assert history.phase == "Running"
    history.head_run, history.known = "", Known()

    history.submitter_ends(fate, "BackoffLimitExceeded").run()

    assert (history.phase, history.status.get("reason")) == (phase, reason)
    assert (history.status["jobStatus"], history.status["message"]) == (word, "the last word")


# Silence


@pytest.mark.parametrize("mode", ["HTTPMode", "K8sJobMode"])
def test_a_head_that_is_gone_starts_the_timer_as_a_silent_one_does(mode: str) -> None:
    """There is nobody to ask, so no poll can fail; the job must not wait for ever."""
    history = RayJobHistory(rayjob(submissionMode=mode)).running().ray_says("RUNNING").run()
    history.head_run, history.known = "", Known()
    history.run()
    assert history.status["jobStatusCheckFailureStartTime"] == "2026-01-01T12:00:00Z"
    assert history.run().requeue_after == timedelta(seconds=300)

    history.later(seconds=300).run()

    assert (history.phase, history.status["reason"]) == ("Failed", "JobStatusCheckTimeoutExceeded")
    assert NO_HEAD in history.status["message"]


def test_a_head_that_comes_back_in_time_ends_the_silence() -> None:
    """The first answer with a job clears the timer."""
    history = RayJobHistory(rayjob()).running().ray_says("RUNNING").run()
    history.head_run, history.known = "", Known()
    history.run()

    history.head_run = "another"
    history.later(seconds=100).run().ray_says("RUNNING").run()

    assert "jobStatusCheckFailureStartTime" not in history.status
    assert history.phase == "Running"


def test_after_a_silence_a_job_is_touched_and_not_otherwise() -> None:
    """It may have died with the head, and Ray would go on saying RUNNING (spec ray-side S4-22)."""
    history = RayJobHistory(rayjob()).running().ray_says("RUNNING").run()
    touches = [history.wants and history.wants.touch]
    history.head_run, history.known = "", Known()
    history.run()
    history.head_run = "another"
    history.run()
    touches.append(history.wants and history.wants.touch)
    history.ray_says("RUNNING").run(2)
    touches.append(history.wants and history.wants.touch)

    assert touches == [False, True, False]


def a_head(restarts: int, phase: str = "Running") -> dict[str, Any]:
    containers = [{"name": "ray-head"}, {"name": "sidecar"}]
    statuses = [{"name": "ray-head", "restartCount": restarts}, {"name": "sidecar", "restartCount": 7}]
    return {
        "metadata": {"uid": "u"},
        "spec": {"containers": containers},
        "status": {"phase": phase, "containerStatuses": statuses},
    }


def test_a_head_whose_ray_restarts_is_another_one() -> None:
    """What it knew of jobs is gone; a sidecar's restart changes nothing."""
    assert head_run(a_head(0)) == head_run(a_head(0))
    assert head_run(a_head(0)) != head_run(a_head(1))
    assert head_run(a_head(0, "Pending")) == ""


def test_a_submitter_that_ended_when_the_head_did_fails_the_job() -> None:
    """With nobody to ask, the Job's own word counts."""
    history = RayJobHistory(k8s_job()).running().ray_says("RUNNING").run()
    history.head_run, history.known = "", Known()
    history.submitter_ends("Failed", "BackoffLimitExceeded").run()

    assert (history.phase, history.status["reason"]) == ("Failed", "SubmissionFailed")


@pytest.mark.spec("rayjob:E36")
def test_a_word_that_ray_knows_no_such_job_does_not_end_the_streak() -> None:
    """Except in HTTPMode, where it leads to a submission."""
    history = RayJobHistory(k8s_job()).running().ray_is_silent().run()
    noted = history.status["jobStatusCheckFailureStartTime"]

    history.ray_knows_no_job().run()

    assert history.status["jobStatusCheckFailureStartTime"] == noted


@pytest.mark.spec("rayjob:E39")
@pytest.mark.parametrize("resources", ["{", "[]", '{"a": "1"}', '{"a": true}', '{"a": null}'])
def test_resources_that_are_no_numbers_are_never_submitted_and_fail_the_job_in_time(resources: str) -> None:
    """The timer of failing submissions runs, and the message says what is wrong."""
    history = RayJobHistory(rayjob(entrypointResources=resources)).running()
    assert history.wants is not None
    assert (history.wants.jobs, history.wants.effects) == (("train-aaaaa",), ())

    history.ray_knows_no_job().run()
    assert "jobStatusCheckFailureStartTime" in history.status
    history.later(seconds=300).ray_knows_no_job().run()

    assert (history.phase, history.status["reason"]) == ("Failed", "JobStatusCheckTimeoutExceeded")
    assert "entrypointResources" in history.status["message"]


@pytest.mark.spec("rayjob:E12")
def test_a_silent_dashboard_is_not_a_reason_to_try_again() -> None:
    """backoffLimit or not."""
    history = RayJobHistory(rayjob(backoffLimit=2)).running().ray_is_silent().run()

    history.later(seconds=300).run()

    assert (history.phase, history.status["failed"]) == ("Failed", 1)


# Modes


@pytest.mark.spec("rayjob:E9")
def test_suspend_is_not_heard_before_an_interactive_job_runs() -> None:
    """Waiting goes on; Running obeys."""
    job = rayjob(submissionMode="InteractiveMode", shutdownAfterJobFinishes=True)
    history = RayJobHistory(job).run(3).cluster_becomes_ready().run()
    history.job["spec"]["suspend"] = True
    assert history.run(2).phase == "Waiting"

    history.job["spec"]["jobId"] = "mine"
    history.run()
    assert history.phase == "Running"
    history.run()
    assert history.phase == "Suspending"


@pytest.mark.spec("rayjob:E22")
def test_an_unknown_way_of_submission_runs_and_submits_nothing() -> None:
    """Until a deadline ends it."""
    history = RayJobHistory(rayjob(submissionMode="ByPigeon", activeDeadlineSeconds=60)).running()
    history.ray_knows_no_job().run(2)
    assert (history.phase, history.submitter) == ("Running", None)
    assert history.wants is not None
    assert history.wants.effects == ()

    history.later(seconds=60).run()
    assert history.status["reason"] == "DeadlineExceeded"


@pytest.mark.spec("rayjob:E44")
def test_a_wrong_id_of_an_interactive_job_is_asked_about_for_ever() -> None:
    """And a job that is suspended and resumed takes the same id to its new cluster."""
    job = rayjob(submissionMode="InteractiveMode", jobId="wrong", shutdownAfterJobFinishes=True)
    history = RayJobHistory(job).run(3).cluster_becomes_ready().run(2)
    assert (history.phase, history.status["jobId"]) == ("Running", "wrong")
    history.later(hours=5).ray_knows_no_job().run(2)
    assert history.phase == "Running"

    history.job["spec"]["suspend"] = True
    history.run(3)
    history.job["spec"]["suspend"] = False
    history.known = Known()
    history.fresh = ("ccccc", "ddddd")
    history.run(3).cluster_becomes_ready().run(2)

    assert (history.phase, history.status["jobId"]) == ("Running", "wrong")
    assert history.status["rayClusterName"] == "train-ddddd"


@pytest.mark.spec("rayjob:E15", "rayjob:E51")
def test_a_deadline_stops_neither_job_nor_cluster() -> None:
    """Without shutdown the cluster goes on, and the job's last word stays as it was."""
    history = RayJobHistory(k8s_job(activeDeadlineSeconds=60)).running().ray_says("RUNNING").run()

    history.later(seconds=60).run(3)

    assert (history.phase, history.status["jobStatus"]) == ("Failed", "RUNNING")
    assert history.exists("cluster")
    assert history.exists("submitter")
    assert history.wants is None


def test_what_ray_says_one_day_is_taken_as_it_is_and_ends_nothing() -> None:
    """An unknown word is no terminal one (spec rayjob §2.1)."""
    history = RayJobHistory(rayjob()).running().ray_says("HIBERNATING").run()

    assert (history.phase, history.status["jobStatus"]) == ("Running", "HIBERNATING")


def test_a_submission_that_was_refused_may_be_tried_again_on_another_cluster() -> None:
    """SubmissionFailed is one of the reasons that backoffLimit covers (spec rayjob §2.3)."""
    history = RayJobHistory(rayjob(backoffLimit=1)).running().submission(EffectState.REFUSED, "taken").run()

    assert (history.phase, history.status["failed"]) == ("Retrying", 1)


@pytest.mark.parametrize("change", [{"entrypoint": "python other.py"}, {"metadata": {"team": "b"}}])
def test_an_edit_of_a_running_job_is_not_submitted_nor_held_against_it(change: dict[str, Any]) -> None:
    """The driver fields are read at each submission, and none is due while Ray knows the job (spec rayjob §8.1)."""
    history = RayJobHistory(rayjob()).running().submission(EffectState.DONE).run().ray_says("RUNNING").run()
    history.job["spec"] |= change

    history.run(2)

    assert history.wants is not None
    assert history.wants.effects == ()
    assert history.phase == "Running"


@pytest.mark.spec("rayjob:E35")
def test_a_job_that_the_head_forgot_is_submitted_as_its_spec_stands_then() -> None:
    """Also when its last word was RUNNING."""
    history = RayJobHistory(rayjob()).running().submission(EffectState.DONE).run().ray_says("RUNNING").run()
    history.job["spec"]["entrypoint"] = "python other.py"

    history.ray_knows_no_job().run()

    assert history.wants is not None
    (effect,) = history.wants.effects
    assert isinstance(effect, SubmitJob)
    assert effect.submission.entrypoint == "python other.py"
