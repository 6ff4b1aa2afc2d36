"""Absent fields get what they mean; everything else stays as it was."""

from __future__ import annotations

from typing import Any

import pytest

from api.v1.common import ApiObject
from api.v1.defaults import as_stored, in_memory
from api.v1.raycluster import RayCluster
from api.v1.raycronjob import RayCronJob
from api.v1.rayjob import RayJob
from api.v1.rayservice import RayService


def test_absent_start_parameters_are_an_empty_map_in_memory() -> None:
    """Of the head and of each group; spec raycluster §5 step 3."""
    spec = {
        "headGroupSpec": {"template": {}, "rayStartParams": None},
        "workerGroupSpecs": [{"groupName": "a"}, {"groupName": "b", "rayStartParams": {"num-cpus": "1"}}],
    }

    filled = in_memory(spec)

    assert filled == {
        "headGroupSpec": {"template": {}, "rayStartParams": {}},
        "workerGroupSpecs": [
            {"groupName": "a", "rayStartParams": {}},
            {"groupName": "b", "rayStartParams": {"num-cpus": "1"}},
        ],
    }
    assert spec["headGroupSpec"] == {"template": {}, "rayStartParams": None}


def test_nothing_is_made_where_no_head_is() -> None:
    """An object without a spec is judged as it is."""
    assert in_memory({}) == {}


GROUP_DEFAULTS = {"replicas": 0, "minReplicas": 0, "maxReplicas": 2147483647, "numOfHosts": 1, "priority": 0}


@pytest.mark.parametrize(
    ("model", "body", "stored"),
    [
        (
            RayCluster,
            {"spec": {"workerGroupSpecs": [{"groupName": "g", "replicas": None, "maxReplicas": 5}]}},
            {"spec": {"workerGroupSpecs": [{"groupName": "g", **GROUP_DEFAULTS, "maxReplicas": 5}]}},
        ),
        (
            RayCluster,
            {"spec": {"headGroupSpec": {"rayStartParams": None}}, "status": {"head": None, "lastUpdateTime": None}},
            {"spec": {"headGroupSpec": {}}, "status": {"lastUpdateTime": None}},
        ),
        (RayCluster, {"spec": {"networkPolicy": {}}}, {"spec": {"networkPolicy": {"mode": "DenyAll"}}}),
        (
            RayCluster,
            {"spec": {"autoscalerOptions": {}}, "status": {}},
            {"spec": {"autoscalerOptions": {}}, "status": {}},
        ),
        (
            RayJob,
            {"spec": {"deletionStrategy": {"deletionRules": [{"condition": {}}]}}, "status": {}},
            {
                "spec": {
                    "backoffLimit": 0,
                    "deletionStrategy": {"deletionRules": [{"condition": {"ttlSeconds": 0}}]},
                    "submissionMode": "K8sJobMode",
                    "ttlSecondsAfterFinished": 0,
                },
                "status": {"succeeded": 0, "failed": 0},
            },
        ),
        (
            RayService,
            {"spec": {"upgradeStrategy": {"clusterUpgradeOptions": {}}}},
            {"spec": {"upgradeStrategy": {"clusterUpgradeOptions": {"maxSurgePercent": 100}}}},
        ),
        (
            RayCronJob,
            {"spec": {"jobTemplate": {"rayClusterSpec": {"workerGroupSpecs": [{}]}}}},
            {
                "spec": {
                    "jobTemplate": {
                        "backoffLimit": 0,
                        "rayClusterSpec": {"workerGroupSpecs": [GROUP_DEFAULTS]},
                        "submissionMode": "K8sJobMode",
                        "ttlSecondsAfterFinished": 0,
                    }
                }
            },
        ),
        (RayJob, {}, {}),
    ],
)
def test_the_schemas_defaults_are_filled_in_as_the_api_server_does(
    model: type[ApiObject], body: dict[str, Any], stored: dict[str, Any]
) -> None:
    """Only those of the schema, and nothing inside parts that are not there."""
    assert as_stored(model, body) == stored
