"""The life of a RayJob as histories: what happens, what the next pass makes of it (spec rayjob §5)."""

from __future__ import annotations

import pytest

from api.meta import owner_reference
from api.v1 import wire
from api.v1.rayjob import JobDeploymentStatus
from controller.ray.dashboard.protocol import EffectState, Known, StopJob, SubmitJob
from controller.ray.options import Options
from controller.ray.rayjob.decide import decide
from controller.ray.rayjob.phases import RULES
from controller.runtime.plan import Announcement, Create, Delete
from localcluster.testing.rayjob_history import START, RayJobHistory, k8s_job, rayjob

MINUTE = 60_000


def test_every_phase_has_a_row() -> None:
    """A phase that the table forgets would never be left."""
    assert set(RULES) == set(JobDeploymentStatus)


def test_names_are_stored_before_anything_is_made_under_them() -> None:
    """A crash between choosing and creating repeats, it never doubles (design W5)."""
    history = RayJobHistory(rayjob())

    history.run()
    assert history.job["metadata"]["finalizers"] == ["ray.io/rayjob-finalizer"]
    assert not history.status

    history.run()
    assert (history.phase, history.status["jobId"], history.status["rayClusterName"]) == (
        "Initializing",
        "train-aaaaa",
        "train-bbbbb",
    )
    assert not history.exists("cluster")
    assert history.status["startTime"] == "2026-01-01T12:00:00Z"

    history.fresh = ("other", "names")
    history.run()
    assert history.cluster is not None
    assert history.cluster["metadata"]["name"] == "train-bbbbb"


def test_chosen_names_are_the_users_where_he_gives_them() -> None:
    """spec.jobId and clusterSelector win over chance."""
    history = RayJobHistory(rayjob(jobId="mine", clusterSelector={"ray.io/cluster": "shared"}))

    history.run(2)

    assert (history.status["jobId"], history.status["rayClusterName"]) == ("mine", "shared")


@pytest.mark.spec("rayjob:E1")
def test_a_job_submitted_by_a_kubernetes_job_runs_and_completes() -> None:
    """Names, cluster, submitter, Running; Complete only once the submitter has ended, too."""
    history = RayJobHistory(k8s_job()).running()
    assert history.status["dashboardURL"] == "train-bbbbb-head-svc.default.svc.cluster.local:8265"
    assert history.submitter is not None

    history.ray_says("RUNNING", started=MINUTE).run()
    assert (history.phase, history.status["jobStatus"]) == ("Running", "RUNNING")

    history.ray_says("SUCCEEDED", started=MINUTE, ended=2 * MINUTE).run()
    assert (history.phase, history.status["jobStatus"]) == ("Running", "SUCCEEDED")

    history.later(seconds=2).submitter_ends("Complete").run()
    assert history.phase == "Complete"
    assert (history.status["succeeded"], history.status["failed"]) == (1, 0)
    assert history.status["endTime"] == "2026-01-01T12:00:02Z"
    assert history.status["rayJobInfo"] == {"startTime": "1970-01-01T00:01:00Z", "endTime": "1970-01-01T00:02:00Z"}


def test_the_submitter_is_made_only_when_the_cluster_is_ready() -> None:
    """Before that its status is copied, and nothing is submitted."""
    history = RayJobHistory(k8s_job()).run(3)
    assert history.cluster is not None
    history.cluster["status"] = {"state": "", "desiredWorkerReplicas": 3}

    history.run()

    assert (history.phase, history.submitter) == ("Initializing", None)
    assert history.status["rayClusterStatus"]["desiredWorkerReplicas"] == 3


def test_running_waits_for_the_submitter_to_be_accepted() -> None:
    """A refused Job leaves the RayJob where it was, with an event in the server's words, and the pass failed."""
    history = RayJobHistory(k8s_job()).run(3).cluster_becomes_ready()
    history.refuse = {"submitter"}

    history.run()

    assert history.phase == "Initializing"
    assert history.error is not None
    assert history.events[-1].reason == "FailedToCreateRayJobSubmitter"
    assert "exceeded quota" in history.events[-1].note


def test_in_http_mode_the_operator_wants_the_submission_and_no_kubernetes_job() -> None:
    """The effect is wanted as long as the job runs; the session has it once."""
    history = RayJobHistory(rayjob(metadata={"team": "a"}, entrypointNumCpus=1, runtimeEnvYAML="pip: [x]")).running()

    assert not history.exists("submitter")
    assert history.wants is not None
    (effect,) = history.wants.effects
    assert isinstance(effect, SubmitJob)
    assert effect.submission.body() == {
        "entrypoint": "python train.py",
        "submission_id": "train-aaaaa",
        "runtime_env": {"pip": ["x"]},
        "metadata": {"team": "a"},
        "entrypoint_num_cpus": 1,
    }


@pytest.mark.spec("rayjob:E4")
@pytest.mark.parametrize("mode", ["HTTPMode", "K8sJobMode"])
def test_a_stopped_job_is_complete_and_counts_for_nothing(mode: str) -> None:
    """Stopped is neither success nor failure."""
    history = RayJobHistory(rayjob(submissionMode=mode)).running().ray_says("STOPPED", "Job was intentionally stopped.")
    if mode == "K8sJobMode":
        history.submitter_ends("Complete")

    history.run()

    assert (history.phase, history.status.get("reason")) == ("Complete", None)
    assert (history.status["succeeded"], history.status["failed"]) == (0, 0)


@pytest.mark.spec("rayjob:E5")
def test_a_failing_driver_fails_the_job_as_an_application() -> None:
    """Its submitter's Job succeeded: following the log of a failed job ends well."""
    history = RayJobHistory(k8s_job()).running().ray_says("FAILED", "exit code 1").submitter_ends("Complete").run()

    assert (history.phase, history.status["reason"], history.status["message"]) == (
        "Failed",
        "AppFailed",
        "exit code 1",
    )
    assert history.status["failed"] == 1


@pytest.mark.spec("rayjob:E6")
def test_a_submitter_that_gives_up_is_a_failed_submission() -> None:
    """The message says what its Job said; the Job stays for its log."""
    history = RayJobHistory(k8s_job(shutdownAfterJobFinishes=True)).running()
    history.submitter_ends("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    history.ray_knows_no_job().run()

    assert (history.phase, history.status["reason"]) == ("Failed", "SubmissionFailed")
    assert "BackoffLimitExceeded" in history.status["message"]
    assert "jobStatus" not in history.status

    history.run()
    assert not history.exists("cluster")
    assert history.submitter is not None


@pytest.mark.spec("rayjob:E7", "rayjob:E10")
def test_a_job_born_suspended_never_gets_a_cluster_and_resumes_under_new_names() -> None:
    """It passes through Initializing and rests; nothing asks for another look while suspended."""
    history = RayJobHistory(rayjob(suspend=True, shutdownAfterJobFinishes=True)).run(4)
    assert (history.phase, history.cluster, history.status.get("rayClusterName")) == ("Suspended", None, None)

    written = history.status_writes
    history.run(2)
    assert (history.status_writes, history.requeue_after) == (written, None)

    history.job["spec"]["suspend"] = False
    history.fresh = ("ccccc", "ddddd")
    history.run(3)
    assert history.cluster is not None
    assert (history.status["rayClusterName"], history.status["jobId"]) == ("train-ddddd", "train-ccccc")


@pytest.mark.spec("rayjob:E8")
def test_suspending_goes_through_once_begun() -> None:
    """Taken back while the cluster is still held, it ends Suspended first."""
    history = RayJobHistory(rayjob(shutdownAfterJobFinishes=True)).running()
    history.job["spec"]["suspend"] = True
    history.run()
    assert history.phase == "Suspending"
    assert history.cluster is not None
    history.cluster["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"  # held by a finalizer

    for suspend in (False, True, False):
        history.job["spec"]["suspend"] = suspend
        history.run()
        assert history.phase == "Suspending"

    history.cluster = None
    history.run()
    assert history.phase == "Suspended"


@pytest.mark.spec("rayjob:E9")
def test_suspend_does_nothing_to_a_finished_job() -> None:
    """Complete stays Complete."""
    history = RayJobHistory(rayjob(shutdownAfterJobFinishes=True, ttlSecondsAfterFinished=60)).running()
    history.ray_says("SUCCEEDED").run()
    history.job["spec"]["suspend"] = True

    history.run(2)

    assert history.phase == "Complete"
    assert history.cluster is not None


@pytest.mark.spec("rayjob:E11")
@pytest.mark.parametrize("mode", ["HTTPMode", "K8sJobMode"])
def test_a_failed_attempt_is_retried_on_a_new_cluster_after_the_old_one_is_gone(mode: str) -> None:
    """backoffLimit 1: one failure, then success."""
    history = RayJobHistory(rayjob(submissionMode=mode, backoffLimit=1)).running().ray_says("FAILED")
    if mode == "K8sJobMode":
        history.submitter_ends("Complete")
    history.run()
    assert (history.phase, history.status["failed"], history.status.get("endTime")) == ("Retrying", 1, None)

    first = len(history.writes)
    history.fresh = ("ccccc", "ddddd")
    history.run(5)
    later = history.writes[first:]
    kinds = [(type(write).__name__, write.why) for write in later]
    assert kinds.index(("Delete", "cluster")) < kinds.index(("Create", "cluster"))
    assert history.status["rayClusterName"] == "train-ddddd"

    history.known = Known()
    history.cluster_becomes_ready().run(2).ray_says("SUCCEEDED")
    if mode == "K8sJobMode":
        history.submitter_ends("Complete")
    history.run()
    assert (history.phase, history.status["failed"], history.status["succeeded"]) == ("Complete", 1, 1)


@pytest.mark.spec("rayjob:E12")
def test_a_deadline_is_not_retried() -> None:
    """activeDeadlineSeconds ends the job whatever backoffLimit says."""
    history = RayJobHistory(rayjob(backoffLimit=2, activeDeadlineSeconds=60)).running()

    history.later(seconds=61).run()

    assert (history.phase, history.status["reason"], history.status["failed"]) == ("Failed", "DeadlineExceeded", 1)


@pytest.mark.spec("rayjob:E12", "rayjob:E13")
def test_a_job_that_does_not_reach_running_in_time_fails_and_is_retried() -> None:
    """preRunningDeadlineSeconds, unlike the other one, leaves room for another attempt."""
    history = RayJobHistory(rayjob(preRunningDeadlineSeconds=30)).run(3)
    assert history.requeue_after is not None
    assert history.requeue_after.total_seconds() == 30
    history.later(seconds=30).run()
    assert (history.phase, history.status["reason"]) == ("Failed", "PreRunningDeadlineExceeded")

    retrying = RayJobHistory(rayjob(preRunningDeadlineSeconds=30, backoffLimit=1)).run(3).later(seconds=31).run()
    assert retrying.phase == "Retrying"


@pytest.mark.spec("rayjob:E13", "rayjob:E44")
def test_an_interactive_job_waits_for_its_id_and_not_for_ever() -> None:
    """jobId stays empty until the user gives one."""
    history = RayJobHistory(rayjob(submissionMode="InteractiveMode", preRunningDeadlineSeconds=600)).run(3)
    history.cluster_becomes_ready().run()
    assert (history.phase, history.status.get("jobId")) == ("Waiting", None)
    assert decide(history.see(), history.now).plan.result.requeue_after, "no event tells that its time is over"

    history.job["spec"]["jobId"] = "by-hand"
    history.run()
    assert (history.phase, history.status["jobId"]) == ("Running", "by-hand")

    late = RayJobHistory(rayjob(submissionMode="InteractiveMode", preRunningDeadlineSeconds=600)).run(3)
    late.cluster_becomes_ready().run().later(seconds=601).run()
    assert late.status["reason"] == "PreRunningDeadlineExceeded"


@pytest.mark.spec("rayjob:E14")
def test_the_clock_of_the_deadlines_starts_anew_with_each_attempt() -> None:
    """startTime is that of the attempt."""
    history = RayJobHistory(rayjob(backoffLimit=1, activeDeadlineSeconds=100)).running().later(seconds=90)
    history.ray_says("FAILED").run(5)

    assert history.status["startTime"] == "2026-01-01T12:01:30Z"


@pytest.mark.spec("rayjob:E16")
@pytest.mark.parametrize("manager", ["kueue.x-k8s.io/multikueue", ""])
def test_an_object_managed_by_another_is_left_alone(manager: str) -> None:
    """No finalizer, no status, no cluster, whatever happens to it."""
    history = RayJobHistory(rayjob(managedBy=manager)).run(3)
    history.job["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    history.run()

    assert (history.writes, history.status) == ([], {})


@pytest.mark.spec("rayjob:E17")
def test_a_new_message_alone_is_not_worth_a_write() -> None:
    """It rides along with the next change that is."""
    history = RayJobHistory(rayjob()).running().ray_says("RUNNING", "Job is currently running.").run()
    written = history.status_writes

    history.ray_says("RUNNING", "another message").run()
    assert (history.status_writes, history.status["message"]) == (written, "Job is currently running.")

    history.ray_says("SUCCEEDED", "Job finished successfully.").run()
    assert history.status["message"] == "Job finished successfully."


def invalid(error: str) -> Announcement:
    """The event of a failed validation."""
    return Announcement("Warning", "InvalidRayJobSpec", "Validate", f"default/train: {error}")


def test_an_invalid_spec_says_why_and_touches_nothing() -> None:
    """The message is the error; it is written once, the event each time."""
    history = RayJobHistory(rayjob()).running()
    history.run(3, invalid=invalid("the spec is wrong"))

    assert (history.phase, history.status["reason"]) == ("ValidationFailed", "ValidationFailed")
    assert history.status["message"] == "the spec is wrong"
    assert history.status["failed"] == 0
    assert history.cluster is not None
    assert history.reasons.count("InvalidRayJobSpec") == 3


def test_a_mended_spec_revives_the_job() -> None:
    """The reference never leaves ValidationFailed (spec rayjob E18, a defect); ours begins again."""
    history = RayJobHistory(rayjob()).run(1, invalid=invalid("no"))
    assert history.phase == "ValidationFailed"

    history.run(4)

    assert history.phase == "Initializing"
    assert "message" not in history.status


@pytest.mark.spec("rayjob:E25")
def test_a_cluster_whose_service_has_no_dashboard_port_is_waited_for() -> None:
    """There is nowhere to submit to."""
    history = RayJobHistory(rayjob()).run(3).cluster_becomes_ready()
    assert history.head_service is not None
    history.head_service["spec"]["ports"] = [{"name": "serve", "port": 8000}]

    assert history.run(2).phase == "Initializing"


@pytest.mark.spec("rayjob:E29")
def test_an_operator_that_was_away_asks_before_it_calls_a_finished_job_failed() -> None:
    """The submitter ended an hour ago; until Ray was asked nothing is decided, then its answer counts."""
    history = RayJobHistory(k8s_job()).running().submitter_ends("Complete").later(hours=1).run()
    assert history.phase == "Running"

    history.ray_says("SUCCEEDED").run()
    assert history.phase == "Complete"


@pytest.mark.spec("rayjob:E30")
def test_a_job_that_goes_on_without_its_submitter_is_given_up_after_half_a_minute() -> None:
    """The submitter is Complete, Ray says RUNNING: 30 s later the job counts as failed."""
    history = RayJobHistory(k8s_job()).running().submitter_ends("Complete").ray_says("RUNNING").run()
    assert history.phase == "Running"
    assert history.requeue_after is not None
    assert history.requeue_after.total_seconds() == 30

    history.later(seconds=30).ray_says("RUNNING").run()

    assert (history.phase, history.status["jobStatus"]) == ("Failed", "FAILED")
    assert history.status["reason"] == "JobDeploymentStatusTransitionGracePeriodExceeded"
    assert "The RayJob submitter finished at" in history.status["message"]


@pytest.mark.spec("rayjob:E31")
def test_a_job_that_ray_forgot_has_failed_once_its_submitter_is_through() -> None:
    """A head that was restarted without fault tolerance knows nothing."""
    history = RayJobHistory(k8s_job()).running().ray_knows_no_job().run()
    assert history.phase == "Running"

    history.submitter_ends("Complete").ray_knows_no_job().run()
    assert (history.phase, history.status["reason"]) == ("Failed", "AppFailed")


@pytest.mark.spec("rayjob:E32")
@pytest.mark.parametrize(("outcome", "phase"), [("SUCCEEDED", "Complete"), ("FAILED", "Failed")])
def test_a_submitter_that_hangs_after_the_job_is_not_waited_for_for_ever(outcome: str, phase: str) -> None:
    """The grace period counts from the job's own end."""
    history = RayJobHistory(k8s_job()).running()
    ended = int(START.timestamp() * 1000)
    history.ray_says(outcome, ended=ended).run()
    assert history.phase == "Running"

    history.later(seconds=300).run()

    assert (history.phase, history.status["reason"]) == (phase, "JobDeploymentStatusTransitionGracePeriodExceeded")


@pytest.mark.spec("rayjob:E33")
def test_a_submitter_deleted_by_hand_comes_back() -> None:
    """The reference never makes it again (a defect); ours is safe, since the script only attaches to a known job."""
    history = RayJobHistory(k8s_job()).running().ray_says("RUNNING").run()

    history.loses("submitter").run()

    assert history.exists("submitter")


@pytest.mark.spec("rayjob:E36")
def test_silence_starts_the_timer_once_and_an_answer_ends_it() -> None:
    """jobStatusCheckFailureStartTime is the first failure of the streak."""
    history = RayJobHistory(rayjob()).running().ray_is_silent().run()
    started = history.status["jobStatusCheckFailureStartTime"]
    written = history.status_writes

    history.later(seconds=10).ray_is_silent().run()
    assert (history.status["jobStatusCheckFailureStartTime"], history.status_writes) == (started, written)

    history.ray_says("RUNNING").run()
    assert "jobStatusCheckFailureStartTime" not in history.status


@pytest.mark.spec("rayjob:E35")
def test_a_submission_that_went_through_ends_the_streak_of_failures() -> None:
    """Failing submissions start the timer as failing polls do."""
    history = RayJobHistory(rayjob()).running().ray_is_silent().run()
    assert "jobStatusCheckFailureStartTime" in history.status

    history.submission(EffectState.DONE).run()
    assert "jobStatusCheckFailureStartTime" not in history.status


def test_a_dashboard_silent_for_too_long_fails_the_job() -> None:
    """The timeout names itself; the phase asks for a look just then."""
    options = Options()
    history = RayJobHistory(rayjob(backoffLimit=3), options).running().ray_is_silent("no route").run(2)
    assert history.requeue_after is not None
    assert history.requeue_after.total_seconds() == 300

    history.later(seconds=300).run()

    assert (history.phase, history.status["reason"]) == ("Failed", "JobStatusCheckTimeoutExceeded")
    assert "exceeded timeout of 300s" in history.status["message"]
    assert "no route" in history.status["message"]


def test_an_id_that_a_foreign_job_has_fails_the_submission() -> None:
    """Success is only a job with our entrypoint and metadata (design §2)."""
    history = RayJobHistory(rayjob(jobId="taken")).running().submission(EffectState.REFUSED, "id taken").run()

    assert (history.phase, history.status["reason"], history.status["message"]) == (
        "Failed",
        "SubmissionFailed",
        "id taken",
    )


@pytest.mark.spec("rayjob:E46")
def test_a_selected_cluster_that_is_not_there_is_named() -> None:
    """Its user must make it; deadlines go on counting."""
    history = RayJobHistory(rayjob(clusterSelector={"ray.io/cluster": "shared"}, activeDeadlineSeconds=60)).run(3)
    assert history.reasons == ["RayClusterNotFound"]
    assert history.error is not None

    history.later(seconds=60).run()
    assert history.status["reason"] == "DeadlineExceeded"


@pytest.mark.spec("rayjob:E47")
def test_a_selected_cluster_is_never_deleted() -> None:
    """Neither by shutdown nor by the end of the RayJob."""
    history = RayJobHistory(rayjob(clusterSelector={"ray.io/cluster": "shared"}, shutdownAfterJobFinishes=True)).run(2)
    metadata = {"name": "shared", "namespace": "default", "uid": "u"}
    history.cluster = {"metadata": metadata, "spec": history.job["spec"]["rayClusterSpec"]}
    history.cluster_becomes_ready().run(2).ray_says("SUCCEEDED").run(3)

    assert (history.phase, history.cluster["metadata"]["uid"]) == ("Complete", "u")
    assert not [write for write in history.writes if isinstance(write, Delete)]


def test_suspending_leaves_a_selected_cluster_where_it_is() -> None:
    """Others run on it."""
    history = RayJobHistory(k8s_job(clusterSelector={"ray.io/cluster": "shared"})).run(2)
    metadata = {"name": "shared", "namespace": "default", "uid": "u"}
    history.cluster = {"metadata": metadata, "spec": history.job["spec"]["rayClusterSpec"]}
    history.cluster_becomes_ready().run(2)
    assert history.exists("submitter")
    history.job["spec"]["suspend"] = True

    history.run(3)

    assert (history.phase, history.exists("cluster"), history.exists("submitter")) == ("Suspended", True, False)


def test_a_job_that_is_over_gets_no_second_submitter() -> None:
    """Its log was followed to the end, or nobody wants it."""
    history = RayJobHistory(k8s_job()).running().ray_says("SUCCEEDED").run()
    assert (history.phase, history.status["jobStatus"]) == ("Running", "SUCCEEDED")

    history.loses("submitter").ray_is_silent().run()

    assert not history.exists("submitter")


def test_an_answer_that_came_in_the_last_moment_counts_before_the_time_limit_of_silence() -> None:
    """The job runs: what was not heard of it meanwhile is no reason to give it up."""
    history = RayJobHistory(k8s_job()).running().ray_says("RUNNING").run().ray_is_silent().run()
    assert history.status["jobStatusCheckFailureStartTime"]

    history.later(hours=1).ray_says("RUNNING").run()

    assert (history.phase, history.status.get("jobStatusCheckFailureStartTime")) == ("Running", None)


def test_lists_of_finalizers_are_written_over_the_version_that_they_were_read_at() -> None:
    """A merge patch replaces the list: what another added meanwhile must not be lost (design W6)."""
    history = RayJobHistory(k8s_job())
    history.job["metadata"].pop("finalizers", None)

    record = decide(history.see(), history.now).plan.record

    assert record is not None
    assert record.resource_version == history.job["metadata"]["resourceVersion"]


@pytest.mark.spec("rayjob:E49")
def test_shutdown_deletes_the_cluster_when_its_time_has_come() -> None:
    """TTL from endTime; the look is asked for at that very moment."""
    history = RayJobHistory(k8s_job(shutdownAfterJobFinishes=True, ttlSecondsAfterFinished=3600)).running()
    history.ray_says("SUCCEEDED").submitter_ends("Complete").run(2)
    assert history.cluster is not None
    assert history.requeue_after is not None
    assert history.requeue_after.total_seconds() == 3600

    history.later(seconds=3600).run()
    assert not history.exists("cluster")
    assert not history.gone
    assert history.submitter is not None
    assert history.reasons[-1] == "DeletedRayCluster"


@pytest.mark.spec("rayjob:E49")
def test_with_the_operators_setting_the_rayjob_itself_goes() -> None:
    """DELETE_RAYJOB_CR_AFTER_JOB_FINISHES."""
    options = Options(delete_rayjob_after_finish=True)
    history = RayJobHistory(rayjob(shutdownAfterJobFinishes=True), options).running().ray_says("SUCCEEDED").run(2)

    assert history.gone


@pytest.mark.spec("rayjob:E54")
def test_deleting_a_running_job_asks_ray_to_stop_it_first() -> None:
    """The finalizer goes once Ray took the stop."""
    history = RayJobHistory(rayjob()).running().ray_says("RUNNING").run()
    history.job["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"

    history.run()
    assert history.wants is not None
    assert history.wants.effects == (StopJob("train-aaaaa"),)
    assert history.job["metadata"]["finalizers"]

    history.known = Known(effects={StopJob("train-aaaaa"): (EffectState.DONE, "")})
    history.run()
    assert history.job["metadata"]["finalizers"] == []


def test_a_head_that_does_not_answer_holds_a_deletion_for_seconds_only() -> None:
    """A finalizer always has a time limit (design W10)."""
    history = RayJobHistory(rayjob()).running().ray_says("RUNNING").run()
    history.job["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"

    history.run().later(seconds=10).run()

    assert history.job["metadata"]["finalizers"] == []


def test_a_job_that_is_over_or_never_began_goes_at_once() -> None:
    """There is nothing to stop."""
    over = RayJobHistory(rayjob()).running().ray_says("SUCCEEDED").run()
    begun = RayJobHistory(rayjob()).run(2)
    for history in (over, begun):
        history.job["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
        history.run()
        assert history.job["metadata"]["finalizers"] == []


@pytest.mark.spec("rayjob:E55")
def test_a_foreign_service_of_our_name_is_left_alone() -> None:
    """The reference rewrites its selector (a defect); ours says so and leaves it."""
    history = RayJobHistory(rayjob()).running()
    history.service = {"metadata": {"name": "train-head-svc", "namespace": "default", "uid": "f"}, "spec": {}}
    before = len(history.writes)

    history.run()

    assert history.reasons[-1] == "FailedToCreateService"
    assert len(history.writes) == before


@pytest.mark.spec("rayjob:E57")
def test_the_service_follows_the_new_cluster_and_keeps_its_address() -> None:
    """A patch of selector and ports, no new Service."""
    history = RayJobHistory(rayjob(backoffLimit=1)).running().run().ray_says("FAILED").run()
    assert history.service is not None
    history.service["spec"]["clusterIP"] = "10.0.0.9"
    history.fresh = ("ccccc", "ddddd")

    history.known = Known()
    history.run(5).cluster_becomes_ready().run(3)

    assert history.phase == "Running"
    assert history.service["spec"]["selector"]["ray.io/cluster"] == "train-ddddd"
    assert history.service["spec"]["clusterIP"] == "10.0.0.9"


@pytest.mark.spec("rayjob:E58")
def test_a_foreign_job_of_our_name_fails_the_submission_and_names_it() -> None:
    """No foreign code runs as the user's job (design W3)."""
    history = RayJobHistory(k8s_job()).run(3)
    history.submitter = {"metadata": {"name": "train", "namespace": "default", "uid": "foreign"}}
    history.cluster_becomes_ready().run()

    assert (history.phase, history.status["reason"]) == ("Failed", "SubmissionFailed")
    assert "Job default/train exists" in history.status["message"]


def test_the_job_of_a_predecessor_is_waited_for() -> None:
    """A RayJob deleted and made again under its name: garbage collection takes the old Job."""
    history = RayJobHistory(k8s_job()).run(3)
    predecessor = {"metadata": {"name": "train", "uid": "before"}}
    owners = [owner_reference(wire.RAY_JOBS, predecessor)]
    history.submitter = {"metadata": {"name": "train", "namespace": "default", "uid": "j", "ownerReferences": owners}}
    history.refuse = {"submitter"}
    history.cluster_becomes_ready().run()

    assert history.phase == "Initializing"


@pytest.mark.spec("rayjob:E59")
@pytest.mark.parametrize("phase", ["Initializing", "Running"])
def test_a_cluster_deleted_by_hand_comes_back_under_its_name(phase: str) -> None:
    """The job's names do not change."""
    history = RayJobHistory(rayjob()).run(3) if phase == "Initializing" else RayJobHistory(rayjob()).running()
    history.loses("cluster").run()

    assert history.phase == phase
    assert history.cluster is not None
    assert history.cluster["metadata"]["name"] == "train-bbbbb"


def test_a_converged_job_writes_nothing_and_asks_for_no_look() -> None:
    """Running twice in a row changes nothing the second time (design §2)."""
    history = RayJobHistory(k8s_job()).running().ray_says("RUNNING").run(2)
    writes, statuses, events = len(history.writes), history.status_writes, len(history.events)

    history.run(5)

    assert (len(history.writes), history.status_writes, len(history.events)) == (writes, statuses, events)
    assert history.requeue_after is None


def test_the_cluster_carries_the_jobs_labels_and_says_where_it_stems_from() -> None:
    """All labels and annotations are copied; our keys win (spec rayjob §3.1)."""
    job = rayjob()
    job["metadata"] |= {"labels": {"kueue.x-k8s.io/queue-name": "q", "ray.io/originated-from-crd": "no"}}
    job["metadata"]["annotations"] = {"a": "b"}
    history = RayJobHistory(job).run(3)

    (create,) = [write for write in history.writes if isinstance(write, Create)]
    metadata = create.body["metadata"]
    assert metadata["labels"] == {
        "kueue.x-k8s.io/queue-name": "q",
        "ray.io/originated-from-crd": "RayJob",
        "ray.io/originated-from-cr-name": "train",
        "ray.io/job-submission-mode": "HTTPMode",
    }
    assert metadata["annotations"] == {"a": "b"}
    assert metadata["ownerReferences"][0]["uid"] == "uid-train"
