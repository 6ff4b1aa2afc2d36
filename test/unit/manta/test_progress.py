"""What a person is told of a run: events of the API in, lines out."""

from __future__ import annotations

from typing import Any

import pytest

from manta.lines import Line, Verdict
from manta.progress import Progress

Json = dict[str, Any]


def a_job_status(**status: Any) -> Json:
    return {"metadata": {"name": "train"}, "status": {"rayClusterName": "train-abcde"} | status}


def a_pod(name: str, *, role: str = "worker", cluster: str = "train-abcde", **status: Any) -> Json:
    labels = {"ray.io/cluster": cluster, "ray.io/node-type": role}
    return {"metadata": {"name": name, "labels": labels}, "status": status}


def a_submitter(**status: Any) -> Json:
    labels = {"ray.io/originated-from-cr-name": "train", "ray.io/originated-from-crd": "RayJob"}
    return {"metadata": {"name": "train-x7x", "labels": labels}, "status": status}


def waiting(reason: str, message: str, *, container: str = "ray-worker") -> Json:
    return {"name": container, "state": {"waiting": {"reason": reason, "message": message}}}


def a_followed_job() -> Progress:
    """A RayJob whose cluster is known."""
    progress = Progress("RayJob", "train")
    list(progress.object_changed(a_job_status(jobDeploymentStatus="Initializing")))
    return progress


FITS_NOWHERE: Json = {
    "type": "PodScheduled",
    "status": "False",
    "message": "0/1 nodes are available: 1 Insufficient cpu.",
}
PHASE_RUNNING: Json = {"jobDeploymentStatus": "Running"}
READY: Json = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


def test_a_phase_is_told_when_it_changes_and_not_again() -> None:
    """A watch repeats an object for every write to it."""
    progress = Progress("RayJob", "train")
    running = a_job_status(jobDeploymentStatus="Running", jobStatus="PENDING")

    first, again = list(progress.object_changed(running)), list(progress.object_changed(running))

    assert first == [Line("phase", "RayJob train", "Running, job PENDING")]
    assert again == []


def test_a_job_that_succeeded_ends_with_zero() -> None:
    """The exit code is the job's."""
    progress = a_followed_job()

    list(progress.object_changed(a_job_status(jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")))

    assert progress.verdict == Verdict(0, "the job ended: SUCCEEDED")


def test_a_job_that_was_stopped_ends_with_zero() -> None:
    """Whoever stopped it wanted just that."""
    progress = a_followed_job()

    list(progress.object_changed(a_job_status(jobDeploymentStatus="Complete", jobStatus="STOPPED")))

    assert progress.verdict == Verdict(0, "the job ended: STOPPED")


def test_a_job_that_succeeded_in_a_run_that_failed_ends_with_one() -> None:
    """The operator has the last word: a deadline may pass after the driver's end."""
    progress = a_followed_job()

    list(
        progress.object_changed(
            a_job_status(jobDeploymentStatus="Failed", jobStatus="SUCCEEDED", reason="DeadlineExceeded")
        )
    )

    assert progress.verdict == Verdict(1, "the job failed: DeadlineExceeded")


def test_a_job_that_failed_ends_with_one_and_says_why() -> None:
    """Reason and message as the operator put them on the object."""
    progress = a_followed_job()

    list(
        progress.object_changed(
            a_job_status(jobDeploymentStatus="Failed", jobStatus="FAILED", reason="AppFailed", message="exit code 3")
        )
    )

    assert progress.verdict == Verdict(1, "the job failed: AppFailed: exit code 3")


def test_a_failed_job_is_one_sentence_and_what_it_said_last_stands_apart() -> None:
    """Ray joins the two in one message of up to 20,000 characters."""
    progress = a_followed_job()
    message = "Job entrypoint failed with exit code 1, last available logs (truncated to 20,000 chars):\na\nb\n"

    list(
        progress.object_changed(
            a_job_status(jobDeploymentStatus="Failed", jobStatus="FAILED", reason="AppFailed", message=message)
        )
    )

    sentence = "the job failed: AppFailed: Job entrypoint failed with exit code 1"
    assert progress.verdict == Verdict(1, sentence, ("a", "b"))


def test_a_job_that_the_operator_finds_invalid_ends_with_one() -> None:
    """It would stay like that for ever."""
    progress = Progress("RayJob", "train")

    list(
        progress.object_changed(
            {"status": {"jobDeploymentStatus": "ValidationFailed", "reason": "ValidationFailed", "message": "bad"}}
        )
    )

    assert progress.verdict == Verdict(1, "the job failed: ValidationFailed: bad")


def test_a_verdict_stays_the_first_one() -> None:
    """What happens while all is taken down changes nothing any more."""
    progress = a_followed_job()
    list(progress.object_changed(a_job_status(jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")))

    list(progress.object_changed(a_job_status(jobDeploymentStatus="Failed", reason="DeadlineExceeded")))

    assert progress.verdict == Verdict(0, "the job ended: SUCCEEDED")


def test_a_cluster_is_done_when_it_is_ready() -> None:
    """And until then its workers are counted."""
    progress = Progress("RayCluster", "r")

    starting = list(progress.object_changed({"status": {"desiredWorkerReplicas": 2, "readyWorkerReplicas": 1}}))
    list(progress.object_changed({"status": {"state": "ready", "desiredWorkerReplicas": 2, "readyWorkerReplicas": 2}}))

    assert starting == [Line("phase", "RayCluster r", "starting, 1 of 2 workers ready")]
    assert progress.verdict == Verdict(0, "RayCluster r is ready")


def test_a_retry_is_told_with_its_number_and_how_many_there_may_be() -> None:
    """Retrying alone does not say whether this goes on for ever."""
    progress = Progress("RayJob", "train")
    again = {"spec": {"backoffLimit": 2}, **a_job_status(jobDeploymentStatus="Retrying", failed=1)}
    after = {"spec": {"backoffLimit": 2}, **a_job_status(jobDeploymentStatus="Initializing", failed=1)}

    lines = [*progress.object_changed(again), *progress.object_changed(after)]

    assert [line.text for line in lines] == ["Retrying (1 of 2)", "Initializing, retry 1 of 2"]


def test_pods_of_the_cluster_are_told_and_those_of_others_are_not() -> None:
    """Other clusters may live in the namespace."""
    progress = a_followed_job()

    own = list(progress.pod_changed("ADDED", a_pod("mine", phase="Running")))
    other = list(progress.pod_changed("ADDED", a_pod("yours", cluster="other", phase="Running")))

    assert own == [Line("pod", "mine", "Running")]
    assert other == []


def test_the_submitter_is_known_as_the_pod_whose_log_is_the_jobs() -> None:
    """It belongs to the Kubernetes Job, not to the cluster."""
    progress = a_followed_job()

    list(progress.pod_changed("ADDED", a_submitter()))

    assert progress.submitter == "train-x7x"


def test_a_pod_says_which_init_container_it_waits_for() -> None:
    """A worker waits for its head in one."""
    progress = a_followed_job()
    init = [{"name": "wait-gcs-ready", "state": {"running": {}}}]

    lines = list(progress.pod_changed("MODIFIED", a_pod("w", phase="Pending", initContainerStatuses=init)))

    assert lines == [Line("pod", "w", "Init: wait-gcs-ready")]


def troubles(progress: Progress, *pods: Json) -> list[Line]:
    """What is told after these changes."""
    for pod in pods:
        list(progress.pod_changed("MODIFIED", pod))
    return list(progress.troubles_told(progress.unplaced))


def test_a_pod_that_fits_nowhere_is_told_with_the_schedulers_words_and_the_way_out() -> None:
    """Once, however often the scheduler tries."""
    progress = a_followed_job()
    condition = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient cpu."}
    pod = a_pod("w", phase="Pending", conditions=[condition])

    (trouble,) = troubles(progress, pod)
    again = troubles(progress, pod)

    assert (trouble.what, trouble.about) == ("trouble", "w")
    assert "Insufficient cpu" in trouble.text
    assert trouble.text.endswith("--node-resources cpu=AMOUNT")
    assert again == []


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            (
                "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient nvidia.com/gpu. no new claims to "
                "deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
            ),
            (
                "cannot be scheduled: Insufficient cpu, Insufficient nvidia.com/gpu. The one node is this machine; "
                "ask for less in resources.requests, or say that it has more: --node-resources cpu=AMOUNT "
                "--node-resources nvidia.com/gpu=AMOUNT"
            ),
        ),
        (
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate",
            (
                "cannot be scheduled: node(s) didn't match Pod's node affinity/selector. "
                "The one node is this machine; leave nodeSelector and node affinity out"
            ),
        ),
        ("running PreBind plugin: no", "cannot be scheduled: running PreBind plugin: no"),
    ],
)
def test_of_what_the_scheduler_says_only_the_cause_is_told(message: str, told: str) -> None:
    """Preemption, claims and the number of nodes are for clusters; each cause has its own way out."""
    condition = {"type": "PodScheduled", "status": "False", "message": message}

    progress = a_followed_job()

    (trouble,) = troubles(progress, a_pod("w", phase="Pending", conditions=[condition]))

    assert trouble.text == told
    assert progress.given_up() == Verdict(1, f"gave up: pod w {told.partition('. ')[0]}")


def test_that_a_pod_has_no_place_is_told_of_those_that_still_have_none() -> None:
    """Room may be about to become free. The others of its group are told with it, though they came later."""
    progress = a_followed_job()
    nowhere = [a_pod(name, phase="Pending", conditions=[FITS_NOWHERE]) for name in ("w", "v", "u")]

    first = [line for pod in nowhere[:2] for line in progress.pod_changed("ADDED", pod)]
    lasting, soon = progress.unplaced, list(progress.troubles_told())
    list(progress.pod_changed("MODIFIED", a_pod("w", phase="Pending")))
    list(progress.pod_changed("ADDED", nowhere[2]))
    late = list(progress.troubles_told(lasting))

    assert (first, soon, progress.has_troubles) == ([], [], False)
    assert [(line.what, line.about) for line in late] == [("trouble", "v and 1 more")]
    assert not progress.unplaced


def test_a_pod_that_gets_a_place_late_is_told_to_have_one() -> None:
    """And no more than before of one that got it soon."""
    progress = a_followed_job()
    for name in ("w", "v"):
        list(progress.pod_changed("ADDED", a_pod(name, phase="Pending", conditions=[FITS_NOWHERE])))
    list(progress.pod_changed("MODIFIED", a_pod("v", phase="Pending")))
    list(progress.troubles_told(progress.unplaced))

    lines = [line for name in ("w", "v") for line in progress.pod_changed("MODIFIED", a_pod(name, phase="Pending"))]

    assert lines == [Line("pod", "w", "Pending")]


def test_of_a_pod_without_a_place_that_is_gone_nothing_is_told() -> None:
    """The operator gave it up."""
    progress = a_followed_job()
    pod = a_pod("w", phase="Pending", conditions=[FITS_NOWHERE])
    list(progress.pod_changed("ADDED", pod))
    lasting = progress.unplaced

    list(progress.pod_changed("DELETED", pod))

    assert list(progress.troubles_told(lasting)) == []


def test_a_submitter_that_fits_nowhere_beside_its_cluster_is_hopeless() -> None:
    """The phase is Running once the submitter is made: no job runs yet, and none will."""
    progress = a_followed_job()
    list(progress.object_changed(a_job_status(**PHASE_RUNNING)))

    list(progress.pod_changed("ADDED", a_submitter(phase="Pending", conditions=[FITS_NOWHERE])))

    assert progress.hopeless


@pytest.mark.parametrize(
    ("changed", "submitter"),
    [
        ({"spec": {"submissionMode": "HTTPMode"}, **a_job_status(**PHASE_RUNNING)}, None),
        (a_job_status(**PHASE_RUNNING, jobStatus="PENDING"), None),
        (a_job_status(**PHASE_RUNNING), {"phase": "Running"}),
    ],
    ids=["the operator submitted it", "Ray knows it", "its submitter runs"],
)
def test_a_worker_that_fits_nowhere_ends_no_job_that_may_run(changed: Json, submitter: Json | None) -> None:
    """The autoscaler asked for it, and the job gets on without."""
    progress = a_followed_job()
    list(progress.object_changed(changed))
    if submitter is not None:
        list(progress.pod_changed("MODIFIED", a_submitter(**submitter)))

    list(progress.pod_changed("ADDED", a_pod("w", phase="Pending", conditions=[FITS_NOWHERE])))

    assert not progress.hopeless


def test_trouble_that_pods_share_is_told_once_with_their_number() -> None:
    """Head and workers have the same image, and other containers."""
    progress = a_followed_job()
    pods = [
        a_pod(name, phase="Pending", containerStatuses=[waiting("ErrImagePull", "cannot pull x", container=container)])
        for name, container in (("h", "ray-head"), ("w1", "ray-worker"), ("w2", "ray-worker"))
    ]

    together = troubles(progress, *pods)
    late = troubles(
        progress, a_pod("w3", phase="Pending", containerStatuses=[waiting("ErrImagePull", "cannot pull x")])
    )

    assert together == [Line("trouble", "h and 2 more", "ErrImagePull: cannot pull x")]
    assert late == []
    assert progress.given_up() == Verdict(1, "gave up: 4 pods (h, ...) ErrImagePull: cannot pull x")


def test_other_trouble_of_the_same_pod_is_told() -> None:
    """Once there is room for it, its image may be unknown."""
    progress = a_followed_job()
    condition = {"type": "PodScheduled", "status": "False", "message": "1 Insufficient cpu."}

    first = troubles(progress, a_pod("w", phase="Pending", conditions=[condition]))
    then = troubles(progress, a_pod("w", phase="Pending", containerStatuses=[waiting("ErrImagePull", "no")]))

    assert len(first) == 1
    assert then == [Line("trouble", "w", "ErrImagePull: no")]


def test_an_unknown_image_is_told_once_in_the_words_that_say_what_to_do() -> None:
    """The words of the back-off that follows only say that it is tried again, and so does the change of states."""
    progress = a_followed_job()
    unknown = a_pod("w", phase="Pending", containerStatuses=[waiting("ErrImagePull", "cannot pull x: map it")])
    backing_off = a_pod("w", phase="Pending", containerStatuses=[waiting("ImagePullBackOff", "Back-off pulling x")])

    first = list(progress.pod_changed("ADDED", unknown))
    told = troubles(progress)
    later = [*progress.pod_changed("MODIFIED", backing_off), *progress.pod_changed("MODIFIED", unknown)]

    assert first == [Line("pod", "w", "ErrImagePull")]
    assert told == [Line("trouble", "w", "ErrImagePull: cannot pull x: map it")]
    assert [*later, *troubles(progress)] == []
    assert progress.given_up() == Verdict(1, "gave up: pod w ErrImagePull: cannot pull x: map it")


def test_a_pod_that_got_what_it_needed_is_stuck_no_longer() -> None:
    """Room became free, or the image was made known meanwhile."""
    progress = a_followed_job()
    list(progress.pod_changed("ADDED", a_pod("w", phase="Pending", containerStatuses=[waiting("ErrImagePull", "no")])))

    list(progress.pod_changed("MODIFIED", a_pod("w", phase="Running")))

    assert progress.stuck == {}


def test_a_pod_that_is_being_deleted_is_told_as_that_and_no_more() -> None:
    """What keeps it from running does not matter any more."""
    progress = a_followed_job()
    pod = a_pod("w", containerStatuses=[waiting("ErrImagePull", "not found")])
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert list(progress.pod_changed("MODIFIED", pod)) == [Line("pod", "w", "Terminating")]


def test_a_stuck_pod_that_goes_is_stuck_no_longer() -> None:
    """The operator may replace it."""
    progress = a_followed_job()
    stuck = a_pod("w", phase="Pending", containerStatuses=[waiting("ErrImagePull", "no")])
    list(progress.pod_changed("ADDED", stuck))

    lines = list(progress.pod_changed("DELETED", stuck))

    assert lines == [Line("pod", "w", "gone")]
    assert progress.stuck == {}


def test_the_pods_of_a_cluster_that_a_retry_replaced_are_told_until_they_are_gone() -> None:
    """The job has another cluster by then; its old head would stand in the table for ever."""
    progress = a_followed_job()
    old = a_pod("old", role="head", **READY)
    list(progress.pod_changed("ADDED", old))
    list(progress.object_changed(a_job_status(jobDeploymentStatus="Initializing", rayClusterName="train-fghij")))

    lines = list(progress.pod_changed("DELETED", old))

    assert lines == [Line("pod", "old", "gone")]
    assert progress.pods == {}


def test_a_container_that_crashes_again_and_again_is_named_for_its_last_words() -> None:
    """Its log says more than its state."""
    progress = a_followed_job()
    ended = {"lastState": {"terminated": {"exitCode": 3, "reason": "Error"}}}
    crashing = [
        a_pod(name, role="head", containerStatuses=[ended | waiting("CrashLoopBackOff", f"back-off {seconds}s {name}")])
        for name, seconds in (("h", 10), ("h", 20), ("i", 10))
    ]

    told = troubles(progress, *crashing)
    again = troubles(progress, *crashing)

    assert told == [Line("trouble", "h and 1 more", "CrashLoopBackOff: exit code 3")]
    assert again == []
    assert progress.crashed == [("h", "ray-worker")]


def an_event(name: str, reason: str, note: str, *, kind: str = "Pod", type_: str = "Warning") -> Json:
    return {"type": type_, "reason": reason, "note": note, "regarding": {"kind": kind, "name": name}}


def test_a_warning_about_what_is_followed_is_told_once() -> None:
    """The operator says why it did not do something."""
    progress = a_followed_job()
    event = an_event("train", "InvalidRayJobSpec", "entrypoint must be set", kind="RayJob")

    first, again = list(progress.event_told(event)), list(progress.event_told(event))

    assert first == [Line("event", "RayJob train", "InvalidRayJobSpec: entrypoint must be set")]
    assert again == []


def test_warnings_about_others_and_good_news_are_not_told() -> None:
    """What goes well is seen in the phases."""
    progress = a_followed_job()

    assert list(progress.event_told(an_event("other", "Failed", "no", kind="RayJob"))) == []
    assert list(progress.event_told(an_event("train", "Created", "yes", kind="RayJob", type_="Normal"))) == []


def test_a_probe_that_fails_is_news_only_once_the_pod_was_ready() -> None:
    """Before that it just says that Ray is still starting."""
    progress = a_followed_job()
    list(progress.pod_changed("ADDED", a_pod("h", role="head", phase="Running")))
    event = an_event("h", "Unhealthy", "Readiness probe failed: ")

    early = list(progress.event_told(event))
    list(progress.pod_changed("MODIFIED", a_pod("h", role="head", **READY)))
    late = list(progress.event_told(event))

    assert early == []
    assert late == [Line("event", "Pod h", "Unhealthy: Readiness probe failed: ")]


def test_a_volume_that_cannot_be_had_is_hopeless_until_the_pod_starts() -> None:
    """A folder or a ConfigMap that is not there: the pod says nothing of it, and stays Pending."""
    progress = a_followed_job()
    note = 'volume "code": hostPath type check failed: /no/such is not a Directory'
    list(progress.pod_changed("ADDED", a_pod("h", role="head", phase="Pending")))

    list(progress.event_told(an_event("h", "FailedMount", note)))
    waiting_for_it = progress.hopeless, progress.given_up()
    list(progress.pod_changed("MODIFIED", a_pod("h", role="head", phase="Pending", conditions=[])))
    still = progress.hopeless
    list(progress.pod_changed("MODIFIED", a_pod("h", role="head", phase="Running")))

    assert waiting_for_it == (True, Verdict(1, f"gave up: pod h FailedMount: {note}"))
    assert still
    assert not progress.hopeless


def test_a_mount_that_failed_before_the_pod_ran_is_an_old_story() -> None:
    """Events come late, and those of a pod that is gone come as well."""
    progress = a_followed_job()
    list(progress.pod_changed("ADDED", a_pod("h", role="head", phase="Running")))
    list(progress.pod_changed("ADDED", a_pod("w", phase="Pending")))
    list(progress.event_told(an_event("h", "FailedMount", "volume x")))
    list(progress.event_told(an_event("w", "FailedMount", "volume y")))

    list(progress.pod_changed("DELETED", a_pod("w", phase="Pending")))

    assert not progress.hopeless


def test_a_container_whose_environment_names_what_is_not_there_is_hopeless() -> None:
    """A Secret or a key: nobody will bring it."""
    progress = a_followed_job()
    lacking = waiting("CreateContainerConfigError", 'secret "mine" not found')

    list(progress.pod_changed("ADDED", a_pod("w", phase="Pending", containerStatuses=[lacking])))

    assert progress.hopeless
    assert progress.given_up().text == 'gave up: pod w CreateContainerConfigError: secret "mine" not found'


def test_a_cluster_that_the_operator_refuses_is_hopeless_until_it_works_on_it() -> None:
    """It writes no status then, and waits for a changed object."""
    progress = Progress("RayCluster", "r")
    list(progress.object_changed({"metadata": {"name": "r"}}))
    note = "The RayCluster spec is invalid default/r: not supported yet: mutual TLS (spec.tlsOptions)"

    list(progress.event_told(an_event("r", "InvalidRayClusterSpec", note, kind="RayCluster")))
    refused = progress.hopeless, progress.given_up()
    list(progress.object_changed({"metadata": {"name": "r"}, "status": {"desiredWorkerReplicas": 1}}))

    assert refused == (True, Verdict(1, f"gave up: {note}"))
    assert not progress.hopeless


def test_advice_about_a_cluster_that_is_worked_on_ends_nothing() -> None:
    """It has the same reason, and comes before the status or after it."""
    progress = Progress("RayCluster", "r")
    list(progress.object_changed({"status": {"desiredWorkerReplicas": 1}}))

    list(progress.event_told(an_event("r", "InvalidRayClusterSpec", "RayCluster spec warning", kind="RayCluster")))

    assert not progress.hopeless
