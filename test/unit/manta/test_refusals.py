"""What the API server refuses for good, and where in the user's object that stands."""

from __future__ import annotations

from typing import Any

import pytest

from manta.documents import Document, parsed
from manta.lines import Verdict
from manta.progress import Progress
from manta.refusals import explained, lasting, pods_not_taken

Json = dict[str, Any]

INVALID = 'Pod "r-head-abcde" is invalid: '
FORBIDDEN = 'pods "r-head-abcde" is forbidden: '


def a_cluster(name: str = "r") -> Document:
    text = f"""\
apiVersion: ray.io/v1
kind: RayCluster
metadata: {{name: {name}}}
spec:
  headGroupSpec:
    template:
      spec:
        serviceAccountName: mine
        containers: [{{name: ray}}]
  workerGroupSpecs:
    - groupName: {"long" * 12}
"""
    return next(parsed("cluster.yaml", text))


@pytest.mark.parametrize(
    ("words", "lasts"),
    [
        (f"{INVALID}spec.containers: Required value", True),
        (f'{FORBIDDEN}error looking up service account default/a: serviceaccount "a" not found', True),
        (f"{FORBIDDEN}no PriorityClass with name high was found", True),
        (f"{FORBIDDEN}exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1", False),
        (f"{FORBIDDEN}status unknown for quota: q, resources: pods", False),
        (f"{FORBIDDEN}unable to create new content in namespace x because it is being terminated", False),
        ("request did not complete within the allotted timeout", False),
        ('pods "r-head-abcde" already exists', False),
        ("Operation cannot be fulfilled on pods: the object has been modified", False),
    ],
)
def test_what_passes_by_itself_is_known(words: str, lasts: bool) -> None:
    assert lasting(words) is lasts


def test_a_cluster_says_itself_that_its_pods_are_not_taken() -> None:
    """As long as it is so: the condition goes when a pass went well."""

    def says(reason: str, status: str = "True") -> str:
        words = f"{reason}\n{INVALID}spec.containers: Required value"
        condition = {"type": "ReplicaFailure", "status": status, "reason": reason, "message": words}
        return pods_not_taken({"status": {"conditions": [{"type": "Other", "status": "True"}, condition]}})

    assert says("FailedCreateHeadPod") == f"{INVALID}spec.containers: Required value"
    assert says("FailedCreateWorkerPod") == f"{INVALID}spec.containers: Required value"
    assert says("FailedCreateHeadPod", "False") == ""
    assert says("FailedDeleteHeadPod") == ""
    assert pods_not_taken({}) == ""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            f'{INVALID}[spec.containers[0].image: Required value, spec.hostname: Invalid value: "A": must be small]',
            (
                "the API refuses the head pod of RayCluster r: spec.headGroupSpec.template.spec.containers[0].image "
                "(cluster.yaml:9:22): it is missing (and 1 more); change it there, and run again"
            ),
        ),
        (
            f'{FORBIDDEN}error looking up service account default/mine: serviceaccount "mine" not found',
            (
                "the API refuses the head pod of RayCluster r: spec.headGroupSpec.template.spec.serviceAccountName "
                "(cluster.yaml:8:9): error looking up service account default/mine: "
                'serviceaccount "mine" not found; put that ServiceAccount into the file, above the object'
            ),
        ),
        (
            f"{FORBIDDEN}violates PodSecurity",
            "the API refuses the head pod of RayCluster r: violates PodSecurity; change it there, and run again",
        ),
        (
            f'Pod "{("r-" + "long" * 12)[:50]}-worker-abcde" is invalid: spec.hostname: Invalid value: "A": no',
            (
                f"the API refuses the pods of worker group {'long' * 12} of RayCluster r: "
                'spec.workerGroupSpecs[0].template.spec.hostname (cluster.yaml:11:7): found "A", no; '
                "change it there, and run again"
            ),
        ),
        (
            (
                'cannot create RayCluster a/r: RayCluster.ray.io "r" is invalid: '
                "spec.headGroupSpec.template: Required value (HTTP 422)"
            ),
            (
                "the API refuses RayCluster r: spec.headGroupSpec.template (cluster.yaml:6:5): it is missing; "
                "change it there, and run again"
            ),
        ),
        ("whatever", "whatever"),
    ],
)
def test_a_refusal_is_a_sentence_with_object_field_and_way_out(words: str, sentence: str) -> None:
    """The server's own names a pod that the user never wrote."""
    assert explained(words, "r", a_cluster()) == sentence


def test_a_cluster_that_a_job_cannot_make_is_hopeless_until_it_is_there() -> None:
    """A webhook may refuse it, say."""
    progress = Progress("RayJob", "train")
    list(progress.object_changed({"metadata": {"name": "train"}, "status": {"rayClusterName": "r"}}))
    note = 'Failed to create RayCluster default/r: rayclusters.ray.io "r" is forbidden: not on a Friday'
    event = {"type": "Warning", "reason": "FailedToCreateRayCluster", "note": note}

    told = list(progress.event_told({**event, "regarding": {"kind": "RayJob", "name": "train"}}))
    before = progress.hopeless, progress.given_up()
    progress.cluster_seen("ADDED", {"metadata": {"name": "r"}})

    assert [line.what for line in told] == ["event"]
    assert before == (True, Verdict(1, f"gave up: {note}"))
    assert not progress.hopeless


def test_a_cluster_of_somebody_else_is_nobodys_concern() -> None:
    """Others may live in the namespace."""
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreateHeadPod", "message": INVALID + "x"}
    progress = Progress("RayCluster", "r")
    list(progress.object_changed({"metadata": {"name": "r"}}))

    progress.cluster_seen("ADDED", {"metadata": {"name": "other"}, "status": {"conditions": [condition]}})
    alone = progress.hopeless
    progress.cluster_seen("ADDED", {"metadata": {"name": "r"}, "status": {"conditions": [condition]}})
    refused = progress.hopeless
    progress.cluster_seen("DELETED", {"metadata": {"name": "r"}})

    assert (alone, refused, progress.hopeless) == (False, True, False)
