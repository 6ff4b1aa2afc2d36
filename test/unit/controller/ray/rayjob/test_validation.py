"""What is said of a RayJob that cannot be run (spec rayjob §9, §13)."""

from __future__ import annotations

from typing import Any

import pytest

from controller.ray.options import Gates, Options
from controller.ray.rayjob.validation import complaint
from localcluster.testing.rayjob_history import RayJobHistory, rayjob


def reasons(job: dict[str, Any], options: Options | None = None) -> tuple[str, str]:
    """Reason and note of the complaint, ("", "") without one."""
    told = complaint(RayJobHistory(job, options).see())
    if told is None:
        return "", ""
    assert (told.type, told.action) == ("Warning", "Validate")
    return told.reason, told.note


def test_a_job_that_can_be_run_is_not_complained_of() -> None:
    assert reasons(rayjob()) == ("", "")


@pytest.mark.spec("rayjob:13/invalidrayjobmetadata-invalidrayjobspec-")
def test_the_first_error_counts_metadata_before_spec_before_status() -> None:
    """One event, of the reason that names where; its note begins with the object."""
    job = rayjob("Train", backoffLimit=-1)
    job["status"] = {"jobDeploymentStatus": "Waiting"}
    reason, note = reasons(job)
    assert reason == "InvalidRayJobMetadata"
    assert note.startswith("default/Train: ")
    assert "RayJob name should be a valid DNS1035 label" in note

    job["metadata"]["name"] = "train"
    reason, note = reasons(job)
    assert reason == "InvalidRayJobSpec"
    assert note.startswith("default/train: ")
    assert "ackoffLimit" in note

    job["spec"]["backoffLimit"] = 0
    reason, note = reasons(job)
    assert reason == "InvalidRayJobStatus"
    assert note.startswith("default/train: ")


@pytest.mark.spec("rayjob:E3")
@pytest.mark.parametrize(("length", "reason"), [(47, ""), (48, "InvalidRayJobMetadata")])
def test_a_name_has_at_most_47_characters(length: int, reason: str) -> None:
    """So that the cluster's, with its suffix, has at most 53."""
    assert reasons(rayjob("j" * length))[0] == reason


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"suspend": True, "ttlSecondsAfterFinished": -1}, "suspend"),  # 1 before 2
        ({"ttlSecondsAfterFinished": -1, "backoffLimit": -1}, "TTLSecondsAfterFinished must be a non-negative"),
        ({"rayClusterSpec": None, "runtimeEnvYAML": "["}, "one of RayClusterSpec or ClusterSelector must be set"),
        ({"clusterSelector": {"other": "x"}, "activeDeadlineSeconds": 0}, "ClusterSelector"),
        ({"submissionMode": "InteractiveMode", "backoffLimit": 1}, "InteractiveMode"),
        ({"runtimeEnvYAML": "scalar", "activeDeadlineSeconds": 0}, "RuntimeEnvYAML"),
        ({"activeDeadlineSeconds": 0, "backoffLimit": -1}, "ctiveDeadlineSeconds"),
    ],
)
def test_errors_of_the_spec_come_in_the_reference_s_order(spec: dict[str, Any], words: str) -> None:
    """Of several, the first of the table is told."""
    job = rayjob(**spec)
    job["spec"] = {name: value for name, value in job["spec"].items() if value is not None}

    reason, note = reasons(job)

    assert reason == "InvalidRayJobSpec"
    assert words in note


@pytest.mark.parametrize(
    "spec",
    [
        {"submissionMode": "ByPigeon"},
        {"entrypoint": ""},
        {"entrypointResources": "{"},
        {"submitterConfig": {"backoffLimit": -1}, "submissionMode": "K8sJobMode"},
        {"runtimeEnvYAML": ""},
        {"runtimeEnvYAML": "null"},
        {"runtimeEnvYAML": "a: 1\na: 2\n---\n[]"},
    ],
)
def test_what_the_reference_does_not_check_is_not_checked(spec: dict[str, Any]) -> None:
    """It goes on to Ray or to the API server, which say no themselves."""
    assert reasons(rayjob(**spec)) == ("", "")


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ({"submissionMode": "SidecarMode"}, "submissionMode SidecarMode"),
        (
            {
                "deletionStrategy": {
                    "deletionRules": [
                        {"policy": "DeleteSelf", "condition": {"jobStatus": "SUCCEEDED", "ttlSeconds": 5}}
                    ]
                }
            },
            "spec.deletionStrategy",
        ),
    ],
)
def test_what_this_operator_cannot_do_yet_is_said_and_not_half_done(spec: dict[str, Any], name: str) -> None:
    """By the name under which the user wrote it."""
    assert reasons(rayjob(**spec)) == ("InvalidRayJobSpec", f"default/train: not supported yet: {name}")


def test_an_error_of_the_spec_is_told_before_what_is_not_supported_yet() -> None:
    """It would stand in the way later, too."""
    gates = Options(gates=Gates(ray_job_deletion_policy=False))

    reason, note = reasons(rayjob(deletionStrategy={"onSuccess": {"policy": "DeleteNone"}}), gates)

    assert reason == "InvalidRayJobSpec"
    assert "RayJobDeletionPolicy" in note


def test_a_spec_that_the_schema_of_today_would_not_let_pass_is_told_and_can_still_be_deleted() -> None:
    """Objects stored under an older schema are read, too; nothing is undeletable (design W10)."""
    history = RayJobHistory(rayjob(preRunningDeadlineSeconds=0))
    history.job["metadata"]["finalizers"] = ["ray.io/rayjob-finalizer"]
    seen = history.see()
    told = complaint(seen)
    assert told is not None
    assert told.reason == "InvalidRayJobSpec"
    assert "preRunningDeadlineSeconds" in told.note

    history.job["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    history.run(1, invalid=told)
    assert history.job["metadata"]["finalizers"] == []


def test_a_spec_that_cannot_be_read_is_still_its_managers() -> None:
    """Hands off (design W9)."""
    history = RayJobHistory(rayjob(preRunningDeadlineSeconds=0, managedBy="kueue.x-k8s.io/multikueue"))

    history.run(3, invalid=complaint(history.see()))

    assert (history.writes, history.status, history.events) == ([], {}, [])
