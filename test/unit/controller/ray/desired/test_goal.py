"""The cluster that a RayService wants, and what of a change a living one can follow."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from controller.ray.desired.goal import Match, match, ray_cluster

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


def compared(before: dict[str, Any], after: dict[str, Any]) -> Match:
    """The goal after a change against a cluster that was made before it."""
    annotations = ray_cluster(before, "web-x", "ours")["metadata"]["annotations"]
    return match(after["spec"]["rayClusterConfig"], annotations)


@pytest.mark.spec("rayservice:E04")
def test_the_cluster_bears_the_service_s_labels_and_annotations_and_ours_win() -> None:
    service = a_service(group("a"), suspend=True)
    before = deepcopy(service)

    made = ray_cluster(service, "web-abcde", "manta-1")

    metadata = made["metadata"]
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
    assert made["spec"] == before["spec"]["rayClusterConfig"]
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

    assert match(a_service(group("a"))["spec"]["rayClusterConfig"], annotations) is Match.PARTIAL
