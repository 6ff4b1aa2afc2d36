"""The cluster that a RayService wants, and what of a change a living one can follow."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest

from controller.ray.desired.goal import ClusterGoal, Match, ray_cluster
from controller.ray.desired.hashes import goal_hash

TEMPLATE = {"spec": {"containers": [{"name": "ray", "image": "a"}]}}


def group(name: str, **more: Any) -> dict[str, Any]:
    return {"groupName": name, "replicas": 1, "minReplicas": 0, "maxReplicas": 5, "template": TEMPLATE, **more}


def a_service(*groups: dict[str, Any], **config: Any) -> dict[str, Any]:
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {
            "name": "web",
            "namespace": "ns",
            "uid": "u1",
            "labels": {"team": "a", "ray.io/originated-from-cr-name": "forged"},
            "annotations": {"ray.io/ft-enabled": "false", "ray.io/num-worker-groups": "99"},
        },
        "spec": {
            "rayClusterConfig": {
                "rayVersion": "2.52.0",
                "headGroupSpec": {"template": TEMPLATE},
                "workerGroupSpecs": list(groups),
                **config,
            }
        },
    }


def goal_of(service: dict[str, Any]) -> ClusterGoal:
    return ClusterGoal(service["spec"]["rayClusterConfig"])


def made(service: dict[str, Any], name: str = "web-x", version: str = "ours") -> dict[str, Any]:
    return ray_cluster(service, goal_of(service), name, version)


def compared(before: dict[str, Any], after: dict[str, Any]) -> Match:
    """The goal after a change against a cluster that was made before it."""
    return goal_of(after).match(made(before)["metadata"]["annotations"])


@pytest.mark.spec("rayservice:E04")
def test_the_cluster_bears_the_service_s_labels_and_annotations_and_ours_win() -> None:
    service = a_service(group("a"), suspend=True)
    before = deepcopy(service)

    cluster = made(service, "web-abcde", "manta-1")

    metadata = cluster["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("web-abcde", "ns")
    assert metadata["labels"] == {
        "team": "a",
        "ray.io/originated-from-cr-name": "web",
        "ray.io/originated-from-crd": "RayService",
    }
    assert metadata["annotations"]["ray.io/ft-enabled"] == "false"
    assert metadata["annotations"]["ray.io/num-worker-groups"] == "1"
    assert metadata["annotations"]["ray.io/kuberay-version"] == "manta-1"
    assert len(metadata["annotations"]["ray.io/hash-without-replicas-and-workers-to-delete"]) == 32
    (owner,) = metadata["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (
        *("RayService", "u1"),
        *(True, True),
    )
    assert cluster["spec"] == before["spec"]["rayClusterConfig"]
    assert service == before


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (a_service(group("a")), Match.FULL),
        (a_service(group("a", replicas=4)), Match.FULL),
        (a_service(group("a"), group("b")), Match.PARTIAL),
        (a_service(group("a", replicas=4), group("b"), group("c")), Match.PARTIAL),
        (a_service(group("b"), group("a")), Match.NONE),
        (a_service(), Match.NONE),
        (a_service(group("a"), rayVersion="2.53.0"), Match.NONE),
        (a_service(group("a"), group("b"), rayVersion="2.53.0"), Match.NONE),
    ],
)
@pytest.mark.spec("rayservice:E15")
def test_a_group_at_the_end_can_be_grown_into(after: dict[str, Any], expected: Match) -> None:
    """Everything else that changes what pods are needs another cluster."""
    assert compared(a_service(group("a")), after) is expected


@pytest.mark.parametrize("number", [None, "", "two", "-1", "٣"])
def test_a_cluster_that_remembers_no_number_of_groups_is_not_replaced(number: str | None) -> None:
    annotations = {} if number is None else {"ray.io/num-worker-groups": number}

    assert goal_of(a_service(group("a"))).match(annotations) is Match.PARTIAL


def test_a_goal_is_hashed_once_however_often_it_is_asked() -> None:
    """It takes a few tenths of a millisecond, and a pass compares the goal with each cluster, and remembers it."""
    hashed: list[int] = []

    def counted(spec: Mapping[str, Any]) -> str:
        hashed.append(len(spec["workerGroupSpecs"]))
        return goal_hash(spec)

    goal = ClusterGoal(a_service(group("a"), group("b"))["spec"]["rayClusterConfig"], counted)

    for _ in range(3):
        goal.match({"ray.io/num-worker-groups": "1"})
        goal.match(goal.annotations("ours"))

    assert hashed == [2, 1]
