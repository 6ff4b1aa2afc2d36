"""What a Job needs, as a table of situations."""

from __future__ import annotations

from typing import Any

import pytest

from localcluster.controllers.jobs import TRACKING, Backoff, judge

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z


def a_job(*, status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A Job as the API server stores it."""
    defaults = {
        "parallelism": 1,
        "completions": 1,
        "backoffLimit": 6,
        "template": {"spec": {"restartPolicy": "Never"}},
    }
    return {"metadata": {"name": "j", "uid": "u"}, "spec": defaults | spec, "status": status or {}}


def a_pod(name: str, phase: str, *, deleted: bool = False, ended: str = "", restarts: int = 0) -> dict[str, Any]:
    """A pod of the Job, tracked."""
    state = {"terminated": {"finishedAt": ended}} if ended else {}
    metadata: dict[str, Any] = {"name": name, "uid": name, "finalizers": [TRACKING]}
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {
        "metadata": metadata,
        "status": {"phase": phase, "containerStatuses": [{"state": state, "restartCount": restarts}]},
    }


def conditions(status: dict[str, Any]) -> dict[str, str]:
    """Type -> reason, of those that are True."""
    return {one["type"]: one["reason"] for one in status.get("conditions", []) if one["status"] == "True"}


def test_a_new_job_gets_its_pod_and_a_start_time() -> None:
    """parallelism 1, completions 1."""
    verdict = judge(a_job(), [], NOW)

    assert verdict.create == 1
    assert verdict.status["startTime"] == "2026-01-01T00:00:00Z"
    assert verdict.status["active"] == 1


def test_no_more_pods_are_made_than_completions_are_missing() -> None:
    """parallelism is a limit, not a goal."""
    job = a_job(parallelism=5, completions=3, status={"startTime": "2026-01-01T00:00:00Z", "succeeded": 1})

    assert judge(job, [a_pod("a", "Running")], NOW).create == 1


def test_success_is_first_announced_and_then_complete() -> None:
    """In two writes, as the real controller was seen to: the pod is counted only with the second."""
    pods = [a_pod("a", "Succeeded")]
    first = judge(a_job(), pods, NOW)
    assert conditions(first.status) == {"SuccessCriteriaMet": "CompletionsReached"}
    assert first.status["uncountedTerminatedPods"] == {"succeeded": ["a"]}
    assert "succeeded" not in first.status
    assert (first.look_again, first.counted) == (0, ())

    second = judge(a_job(status=first.status), pods, NOW)
    assert list(conditions(second.status)) == ["SuccessCriteriaMet", "Complete"]
    assert second.status["succeeded"] == 1
    assert second.status["uncountedTerminatedPods"] == {}
    assert second.status["completionTime"] == "2026-01-01T00:00:00Z"
    assert [pod["metadata"]["name"] for pod in second.counted] == ["a"]
    assert second.says == (("Normal", "Completed", "Job completed"),)


def test_a_pod_that_is_counted_already_is_not_counted_again() -> None:
    """Its finalizer could not be taken off at once."""
    job = a_job(status={"succeeded": 0, "failed": 1})

    verdict = judge(job, [a_pod("a", "Failed")], NOW, counted={"a"})

    assert verdict.status["failed"] == 1
    assert len(verdict.counted) == 1


@pytest.mark.parametrize(("failures", "wait"), [(1, 10), (2, 20), (3, 40), (7, 600)])
def test_a_failed_pod_is_replaced_after_a_growing_wait(failures: int, wait: float) -> None:
    """10 s doubling to 10 min, from the last failure on."""
    job = a_job(status={"startTime": "2026-01-01T00:00:00Z", "failed": failures}, backoffLimit=20)

    waiting = judge(job, [], NOW + 1, Backoff(failures, NOW))
    assert (waiting.create, waiting.look_again) == (0, wait - 1)
    assert judge(job, [], NOW + wait, Backoff(failures, NOW)).create == 1


def test_the_wait_counts_from_the_end_of_the_container() -> None:
    """Not from when it was noticed."""
    verdict = judge(a_job(), [a_pod("a", "Failed", ended="2026-01-01T00:00:00Z")], NOW + 4)

    assert verdict.backoff == Backoff(1, NOW)
    assert verdict.look_again == 6


def test_more_failures_than_the_limit_end_the_job() -> None:
    """What still runs is deleted first; Failed stands there only after it."""
    job = a_job(backoffLimit=0, parallelism=2, completions=2)
    first = judge(job, [a_pod("a", "Failed"), a_pod("b", "Running")], NOW)
    assert conditions(first.status) == {"FailureTarget": "BackoffLimitExceeded"}
    assert first.delete == ()

    second = judge({**job, "status": first.status}, [a_pod("a", "Failed"), a_pod("b", "Running")], NOW)
    assert second.status["failed"] == 1
    assert [pod["metadata"]["name"] for pod in second.delete] == ["b"]
    assert "Failed" not in conditions(second.status)

    third = judge({**job, "status": second.status}, [], NOW)
    assert conditions(third.status)["Failed"] == "BackoffLimitExceeded"
    assert third.says == (("Warning", "BackoffLimitExceeded", "Job has reached the specified backoff limit"),)


def test_as_many_failures_as_the_limit_leave_one_more_try() -> None:
    """backoffLimit counts retries, not tries."""
    job = a_job(backoffLimit=1, status={"startTime": "2026-01-01T00:00:00Z"})

    assert conditions(judge(job, [a_pod("a", "Failed")], NOW).status) == {}


def test_a_job_has_not_failed_while_a_pod_of_it_still_terminates() -> None:
    """Whoever reads Failed may rely on nothing running any more."""
    target = {"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded", "message": "m"}
    job = a_job(status={"startTime": "2026-01-01T00:00:00Z", "failed": 7, "conditions": [target]})

    assert list(conditions(judge(job, [a_pod("a", "Running", deleted=True)], NOW).status)) == ["FailureTarget"]
    assert list(conditions(judge(job, [], NOW).status)) == ["FailureTarget", "Failed"]


def test_a_success_ends_the_growth_of_the_waits() -> None:
    """The next failure is the first again."""
    job = a_job(completions=5, status={"startTime": "2026-01-01T00:00:00Z"})

    assert judge(job, [a_pod("a", "Succeeded")], NOW, Backoff(4, NOW - 1)).backoff == Backoff()


def test_a_job_that_is_being_suspended_does_not_run_out_of_time() -> None:
    """Its clock stops."""
    job = a_job(activeDeadlineSeconds=10, suspend=True, status={"startTime": "2025-12-31T00:00:00Z"})

    assert conditions(judge(job, [], NOW).status) == {"Suspended": "JobSuspended"}


def test_restarts_in_place_count_against_the_limit() -> None:
    """With restartPolicy OnFailure the pod stays."""
    job = a_job(backoffLimit=2, template={"spec": {"restartPolicy": "OnFailure"}})

    assert conditions(judge(job, [a_pod("a", "Running", restarts=2)], NOW).status) == {}
    verdict = judge(job, [a_pod("a", "Running", restarts=3)], NOW)
    assert conditions(verdict.status) == {"FailureTarget": "BackoffLimitExceeded"}


def test_a_job_past_its_deadline_fails() -> None:
    """And is looked at when the deadline comes."""
    job = a_job(activeDeadlineSeconds=60, status={"startTime": "2026-01-01T00:00:00Z"})
    running = [a_pod("a", "Running")]

    assert judge(job, running, NOW + 10).look_again == 50
    assert conditions(judge(job, running, NOW + 60).status) == {"FailureTarget": "DeadlineExceeded"}


def test_a_suspended_job_deletes_its_pods_and_starts_its_clock_anew_when_resumed() -> None:
    """The conditions tell both."""
    job = a_job(suspend=True, status={"startTime": "2026-01-01T00:00:00Z"})
    suspended = judge(job, [a_pod("a", "Running")], NOW + 5)
    assert len(suspended.delete) == 1
    assert conditions(suspended.status) == {"Suspended": "JobSuspended"}
    assert "startTime" not in suspended.status

    resumed = judge(a_job(status=suspended.status), [], NOW + 9)
    assert resumed.create == 1
    assert resumed.status["startTime"] == "2026-01-01T00:00:09Z"
    assert resumed.says == (("Normal", "Resumed", "Job resumed"),)


def test_a_deleted_pod_counts_as_failed_and_is_replaced() -> None:
    """podReplacementPolicy TerminatingOrFailed, the default; with Failed its end is awaited."""
    going = [a_pod("a", "Running", deleted=True)]

    assert judge(a_job(), going, NOW).status["failed"] == 1
    assert judge(a_job(), going, NOW + 10, Backoff(1, NOW), counted={"a"}).create == 1
    waits = a_job(podReplacementPolicy="Failed")
    assert judge(waits, going, NOW + 10, Backoff(1, NOW), counted={"a"}).create == 0


def test_a_finished_job_expires_after_its_time_to_live() -> None:
    """Zero means at once."""
    done = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    job = a_job(ttlSecondsAfterFinished=100, status={"conditions": [done]})

    assert judge(job, [], NOW + 40).look_again == 60
    assert not judge(job, [], NOW + 40).expired
    assert judge(job, [], NOW + 100).expired


def test_a_work_queue_is_done_when_one_worker_is_and_the_others_have_ended() -> None:
    """No completions given: no new worker is started after the first success."""
    job = a_job(parallelism=2, completions=None)
    first = judge(job, [a_pod("a", "Succeeded"), a_pod("b", "Running")], NOW)
    assert first.create == 0
    assert conditions(first.status) == {}

    second = judge({**job, "status": first.status}, [a_pod("b", "Succeeded")], NOW)
    assert conditions(second.status) == {"SuccessCriteriaMet": "CompletionsReached"}
