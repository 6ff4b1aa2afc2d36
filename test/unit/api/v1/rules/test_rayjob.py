"""Each rule about a RayJob refuses what it is there for, and lets the nearest good object pass."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from api.v1.rules.model import Context, Finding, all_findings, first_denial
from api.v1.rules.rayjob import ENFORCED

OPEN = Context({"RayJobDeletionPolicy": True})
SHUT = Context({})
Changes = dict[str, Any]

HEAD: dict[str, Any] = {"template": {"spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.52.0"}]}}}
SELECTED: Changes = {"rayClusterSpec": None, "clusterSelector": {"ray.io/cluster": "shared"}}
SCALED: Changes = {"rayClusterSpec": {"headGroupSpec": HEAD, "enableInTreeAutoscaling": True}}


def a_job(changes: Changes | None = None, **metadata: Any) -> dict[str, Any]:
    """A good RayJob as it is stored, defaults and all; `changes` replace fields of its spec."""
    spec: dict[str, Any] = {
        "entrypoint": "python x.py",
        "submissionMode": "K8sJobMode",
        "rayClusterSpec": {"headGroupSpec": HEAD},
        "backoffLimit": 0,
        "ttlSecondsAfterFinished": 0,
    }
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": "good", "namespace": "default", **metadata},
        "spec": deepcopy({**spec, **(changes or {})}),
    }


def rules(*rows: tuple[str, Changes]) -> Changes:
    """deletionRules of (policy, condition) pairs."""
    return {"deletionStrategy": {"deletionRules": [{"policy": policy, "condition": when} for policy, when in rows]}}


def legacy(success: Any, failure: Any) -> Changes:
    """onSuccess and onFailure; None leaves one out, "" leaves its policy out."""
    both = {"onSuccess": success, "onFailure": failure}
    return {
        "deletionStrategy": {
            name: {"policy": policy} if policy else {} for name, policy in both.items() if policy is not None
        }
    }


def ended(ttl: int = 0) -> Changes:
    return {"jobStatus": "SUCCEEDED", "ttlSeconds": ttl}


def failed(ttl: int = 0) -> Changes:
    return {"jobDeploymentStatus": "Failed", "ttlSeconds": ttl}


FIRST = "spec.deletionStrategy.deletionRules[0]"
SECOND = "spec.deletionStrategy.deletionRules[1]"
P = "The RayJob spec is invalid: "

# id, what is refused, the path and a fragment of the message; then the near miss that passes.
CASES: list[tuple[str, Changes, str, str, Changes]] = [
    (
        "J1",
        {"suspend": True},
        "spec.suspend",
        f"{P}a RayJob with shutdownAfterJobFinishes set to false is not allowed to be suspended",
        {"suspend": True, "shutdownAfterJobFinishes": True},
    ),
    (
        "J2",
        {"ttlSecondsAfterFinished": -1, "shutdownAfterJobFinishes": True},
        "spec.ttlSecondsAfterFinished",
        f"{P}TTLSecondsAfterFinished must be a non-negative integer",
        {"ttlSecondsAfterFinished": 0, "shutdownAfterJobFinishes": True},
    ),
    (
        "J3",
        {"ttlSecondsAfterFinished": 1},
        "spec.ttlSecondsAfterFinished",
        "set to false cannot have TTLSecondsAfterFinished",
        {"ttlSecondsAfterFinished": 1, "shutdownAfterJobFinishes": True},
    ),
    (
        "J5",
        {**rules(("DeleteSelf", ended())), "shutdownAfterJobFinishes": True},
        "spec.deletionStrategy.deletionRules",
        f"{P}shutdownAfterJobFinishes and deletionRules are mutually exclusive",
        {**legacy("DeleteSelf", "DeleteCluster"), "shutdownAfterJobFinishes": True},
    ),
    (
        "J6",
        {
            "deletionStrategy": {
                "onSuccess": {"policy": "DeleteSelf"},
                "deletionRules": [{"policy": "DeleteSelf", "condition": ended()}],
            }
        },
        "spec.deletionStrategy.deletionRules",
        "legacy onSuccess/onFailure policies and deletionRules",
        rules(("DeleteSelf", ended())),
    ),
    (
        "J7",
        {"deletionStrategy": {"deletionRules": []}},
        "spec.deletionStrategy",
        f"{P}DeletionStrategy requires either BOTH onSuccess and onFailure OR the deletionRules field",
        {"deletionStrategy": None},
    ),
    (
        "J8",
        legacy("DeleteSelf", None),
        "spec.deletionStrategy",
        "both DeletionStrategy.OnSuccess and DeletionStrategy.OnFailure must be set",
        legacy("DeleteSelf", "DeleteNone"),
    ),
    (
        "J9",
        legacy("DeleteSelf", ""),
        "spec.deletionStrategy.onFailure.policy",
        "DeletionPolicyType field of DeletionStrategy.OnSuccess/OnFailure cannot be unset",
        legacy("DeleteSelf", "DeleteSelf"),
    ),
    (
        "J10",
        {**legacy("DeleteCluster", "DeleteSelf"), **SELECTED},
        "spec.deletionStrategy.onSuccess.policy",
        "ClusterSelector mode doesn't support DeletionStrategy=DeleteCluster on success",
        {**legacy("DeleteSelf", "DeleteNone"), **SELECTED},
    ),
    (
        "J11",
        {**legacy("DeleteSelf", "DeleteWorkers"), **SCALED},
        "spec.deletionStrategy.onFailure.policy",
        "DeletionStrategy=DeleteWorkers does not support RayCluster with autoscaling",
        {**legacy("DeleteSelf", "DeleteCluster"), **SCALED},
    ),
    (
        "J12",
        {**legacy("DeleteSelf", "DeleteNone"), "shutdownAfterJobFinishes": True},
        "spec.deletionStrategy.onFailure.policy",
        f"{P}shutdownAfterJobFinshes is set to 'true' while deletion policy is 'DeleteNone'",
        legacy("DeleteSelf", "DeleteNone"),
    ),
    (
        "J13",
        rules(("DeleteSelf", {"jobStatus": "FAILED", "jobDeploymentStatus": "Failed"})),
        f"{FIRST}.condition",
        "deletionRules[0]: cannot set both JobStatus and JobDeploymentStatus",
        rules(("DeleteSelf", failed()), ("DeleteSelf", {"jobStatus": "FAILED"})),
    ),
    (
        "J13",
        rules(("DeleteSelf", {"ttlSeconds": 1})),
        f"{FIRST}.condition",
        "deletionRules[0]: exactly one of JobStatus and JobDeploymentStatus must be set",
        rules(("DeleteSelf", {"jobStatus": "FAILED"})),
    ),
    (
        "J14",
        rules(("DeleteSelf", ended(0)), ("DeleteSelf", failed(-1))),
        f"{SECOND}.condition.ttlSeconds",
        "deletionRules[1]: TTLSeconds must be non-negative",
        rules(("DeleteSelf", ended(0)), ("DeleteSelf", failed(0))),
    ),
    (
        "J15",
        {**rules(("DeleteCluster", ended())), **SELECTED},
        f"{FIRST}.policy",
        "deletionRules[0]: DeletionPolicyType 'DeleteCluster' is not supported when ClusterSelector is set",
        {**rules(("DeleteSelf", ended())), **SELECTED},
    ),
    (
        "J16",
        {**rules(("DeleteWorkers", ended())), **SCALED},
        f"{FIRST}.policy",
        "deletionRules[0]: DeletionPolicyType 'DeleteWorkers' is not supported when autoscaling",
        rules(("DeleteWorkers", ended())),
    ),
    (
        "J17",
        rules(("DeleteSelf", ended(1)), ("DeleteSelf", ended(2))),
        SECOND,
        "deletionRules[1]: duplicate rule for DeletionPolicyType 'DeleteSelf' and JobStatus 'SUCCEEDED'",
        rules(("DeleteSelf", {"jobStatus": "FAILED"}), ("DeleteSelf", failed()), ("DeleteSelf", ended())),
    ),
    (
        "J18",
        rules(("DeleteCluster", ended(5)), ("DeleteWorkers", ended(10))),
        "spec.deletionStrategy.deletionRules[0].condition.ttlSeconds",
        "for JobStatus 'SUCCEEDED': DeleteCluster TTL (5) must be >= DeleteWorkers TTL (10)",
        rules(("DeleteCluster", failed(5)), ("DeleteWorkers", ended(10)), ("DeleteNone", ended(1))),
    ),
    (
        "J18",
        rules(("DeleteWorkers", failed(10)), ("DeleteSelf", failed(9))),
        "spec.deletionStrategy.deletionRules[1].condition.ttlSeconds",
        "for JobDeploymentStatus 'Failed': DeleteSelf TTL (9) must be >= DeleteWorkers TTL (10)",
        rules(("DeleteWorkers", failed(10)), ("DeleteSelf", failed(10))),
    ),
    (
        "J19",
        {"suspend": True, "shutdownAfterJobFinishes": True, **SELECTED},
        "spec.suspend",
        f"{P}the ClusterSelector mode doesn't support the suspend operation",
        {"suspend": False, "shutdownAfterJobFinishes": True, **SELECTED},
    ),
    (
        "J20",
        {"rayClusterSpec": None, "clusterSelector": {}},
        "spec.rayClusterSpec",
        f"{P}one of RayClusterSpec or ClusterSelector must be set",
        SELECTED,
    ),
    (
        "J21",
        {"rayClusterSpec": None, "clusterSelector": {"other": "x"}},
        "spec.clusterSelector[ray.io/cluster]",
        "cluster name in ClusterSelector should not be empty",
        {"rayClusterSpec": None, "clusterSelector": {"other": "x", "ray.io/cluster": "c"}},
    ),
    (
        "J22",
        {**SELECTED, "submissionMode": "SidecarMode"},
        "spec.clusterSelector",
        "ClusterSelector is not supported in SidecarMode",
        {**SELECTED, "submissionMode": "HTTPMode"},
    ),
    (
        "J23",
        {**SELECTED, "backoffLimit": 1},
        "spec.backoffLimit",
        f"{P}BackoffLimit is incompatible with ClusterSelector mode",
        {**SELECTED, "backoffLimit": 0},
    ),
    (
        "J24",
        {"submissionMode": "InteractiveMode", "backoffLimit": 1},
        "spec.backoffLimit",
        f"{P}BackoffLimit is incompatible with InteractiveMode",
        {"submissionMode": "HTTPMode", "backoffLimit": 1},
    ),
    (
        "J25",
        {"submissionMode": "SidecarMode", "submitterPodTemplate": {"spec": {}}},
        "spec.submitterPodTemplate",
        "SidecarMode doesn't support SubmitterPodTemplate",
        {"submissionMode": "HTTPMode", "submitterPodTemplate": {"spec": {}}},
    ),
    (
        "J26",
        {"submissionMode": "SidecarMode", "submitterConfig": {}},
        "spec.submitterConfig",
        "SidecarMode doesn't support SubmitterConfig",
        {"submitterConfig": {"backoffLimit": -3}},
    ),
    (
        "J27",
        {
            "submissionMode": "SidecarMode",
            "rayClusterSpec": {
                "headGroupSpec": {"template": {"spec": {**HEAD["template"]["spec"], "restartPolicy": "Always"}}}
            },
        },
        "spec.rayClusterSpec.headGroupSpec.template.spec.restartPolicy",
        "restartPolicy for head Pod should be Never or unset when using SidecarMode",
        {
            "submissionMode": "SidecarMode",
            "rayClusterSpec": {
                "headGroupSpec": {"template": {"spec": {**HEAD["template"]["spec"], "restartPolicy": "Never"}}}
            },
        },
    ),
    (
        "J28",
        {
            "rayClusterSpec": {
                "headGroupSpec": HEAD,
                "rayVersion": "2.55.0",
                "authOptions": {"mode": "token", "enableK8sTokenAuth": True},
            }
        },
        "spec.rayClusterSpec.authOptions.enableK8sTokenAuth",
        f"{P}K8s token auth is not supported for RayJob",
        {"rayClusterSpec": {"headGroupSpec": HEAD, "rayVersion": "2.55.0", "authOptions": {"mode": "token"}}},
    ),
    (
        "J30",
        {"runtimeEnvYAML": "invalid_yaml_string"},
        "spec.runtimeEnvYAML",
        "failed to unmarshal RuntimeEnvYAML: invalid_yaml_string: ",
        {"runtimeEnvYAML": "# nothing\n"},
    ),
    (
        "J30",
        {"runtimeEnvYAML": "a: [1"},
        "spec.runtimeEnvYAML",
        "failed to unmarshal RuntimeEnvYAML: a: [1: ",
        {"runtimeEnvYAML": "unknown_key: [1]"},
    ),
    (
        "J31",
        {"activeDeadlineSeconds": 0},
        "spec.activeDeadlineSeconds",
        f"{P}activeDeadlineSeconds must be a positive integer",
        {"activeDeadlineSeconds": 1},
    ),
    (
        "J32",
        {"preRunningDeadlineSeconds": 0},
        "spec.preRunningDeadlineSeconds",
        f"{P}preRunningDeadlineSeconds must be a positive integer",
        {"preRunningDeadlineSeconds": 1},
    ),
    (
        "J33",
        {"backoffLimit": -1},
        "spec.backoffLimit",
        f"{P}backoffLimit must be a positive integer",
        {"backoffLimit": 0},
    ),
]


def denial(body: dict[str, Any], context: Context = OPEN) -> Finding | None:
    return first_denial(ENFORCED, body, None, context)


def claims(rows: list[Any]) -> list[Any]:
    """Each row as a case that claims the rule it proves."""
    return [
        pytest.param(*row, id=f"{row[0]}-{n}", marks=pytest.mark.spec(f"admission:{row[0]}"))
        for n, row in enumerate(rows)
    ]


def test_a_good_job_is_not_denied() -> None:
    """Without this every case below could pass for a wrong reason."""
    assert denial(a_job(), SHUT) is None


@pytest.mark.parametrize(("rule", "refused", "path", "fragment", "passed"), claims(CASES))
def test_each_rule_refuses_its_case_and_passes_the_nearest_good_one(
    rule: str, refused: Changes, path: str, fragment: str, passed: Changes
) -> None:
    """It names the rule, the exact field, and the words that people search for."""
    found = [one for one in all_findings(ENFORCED, a_job(refused), None, OPEN) if one.rule == rule]

    assert [(one.path, fragment in one.message, one.reason) for one in found] == [(path, True, "InvalidRayJobSpec")]
    assert denial(a_job(passed)) is None


@pytest.mark.spec("admission:J11")
def test_workers_alone_may_be_deleted_where_nobody_starts_them_again() -> None:
    """Without the autoscaler."""
    assert denial(a_job(legacy("DeleteSelf", "DeleteWorkers"))) is None


@pytest.mark.parametrize(
    ("rule", "name", "fragment", "good"),
    [
        pytest.param("M3", "a" * 48, "no more than 47 characters", "a" * 47, marks=pytest.mark.spec("admission:M3")),
        pytest.param("M4", "1a", "valid DNS1035 label", "a1", marks=pytest.mark.spec("admission:M4")),
    ],
)
def test_the_name_leaves_room_for_the_clusters(rule: str, name: str, fragment: str, good: str) -> None:
    """Its RayCluster is called after it."""
    found = denial(a_job(name=name))

    assert found is not None
    assert (found.rule, found.path, found.reason) == (rule, "metadata.name", "InvalidRayJobMetadata")
    assert found.message.startswith("The RayJob metadata is invalid: RayJob name should be ")
    assert fragment in found.message
    assert denial(a_job(name=good)) is None


@pytest.mark.spec("admission:J4")
def test_a_deletion_strategy_needs_its_gate() -> None:
    """Whatever it says."""
    found = denial(a_job(legacy("DeleteSelf", "DeleteNone")), SHUT)

    assert found is not None
    assert (found.rule, found.path) == ("J4", "spec.deletionStrategy")
    assert "RayJobDeletionPolicy feature gate must be enabled to use the DeletionStrategy" in found.message


@pytest.mark.spec("admission:J29", "admission:P12")
def test_the_cluster_inside_is_judged_as_a_cluster_under_its_own_path() -> None:
    """With the job's annotations, and a message that says whose spec is meant."""
    group = {"groupName": "g", "minReplicas": 2, "maxReplicas": 1, **HEAD}
    bounds = denial(a_job({"rayClusterSpec": {"headGroupSpec": HEAD, "workerGroupSpecs": [group]}}))
    fault = denial(
        a_job(
            {"rayClusterSpec": {"headGroupSpec": HEAD, "gcsFaultToleranceOptions": {}}},
            annotations={"ray.io/ft-enabled": "false"},
        )
    )

    assert bounds is not None
    assert fault is not None
    assert (bounds.rule, bounds.path) == ("C9", "spec.rayClusterSpec.workerGroupSpecs[0].minReplicas")
    assert bounds.message == f"{P}worker group g has minReplicas 2 greater than maxReplicas 1"
    assert bounds.reason == "InvalidRayJobSpec"
    assert (fault.rule, fault.path) == ("C17", "metadata.annotations[ray.io/ft-enabled]")


def test_the_upgrade_strategy_of_the_cluster_inside_is_not_judged_here() -> None:
    """The RayCluster is refused later (spec rayjob §9.2)."""
    assert denial(a_job({"rayClusterSpec": {"headGroupSpec": HEAD, "upgradeStrategy": {"type": "Recreate"}}})) is None


@pytest.mark.spec("admission:J34")
def test_a_job_that_waits_for_its_user_must_stay_interactive() -> None:
    """The mode was edited meanwhile."""
    waiting = {**a_job(), "status": {"jobDeploymentStatus": "Waiting"}}

    found = denial(waiting)

    assert found is not None
    assert (found.rule, found.path, found.reason) == ("J34", "spec.submissionMode", "InvalidRayJobStatus")
    assert found.message.startswith("The RayJob status is invalid: JobDeploymentStatus")
    assert denial({**waiting, "spec": a_job({"submissionMode": "InteractiveMode"})["spec"]}) is None


@pytest.mark.spec("admission:J35", "admission:JB1", "admission:JB2")
def test_what_fails_only_later_is_accepted() -> None:
    """An unused cluster spec, no entrypoint, a mode that nobody knows."""
    both = {"clusterSelector": {"ray.io/cluster": "shared"}}

    assert denial(a_job(both)) is None
    assert denial(a_job({"entrypoint": ""})) is None
    assert denial(a_job({"submissionMode": "PigeonMode"})) is None


@pytest.mark.spec("rayjob:E24")
def test_all_faults_of_the_deletion_rules_are_one_error() -> None:
    """Rule by rule, then the order of their times; one line each."""
    found = denial(
        a_job(
            rules(
                ("DeleteCluster", ended(1)),
                ("DeleteWorkers", ended(2)),
                ("DeleteSelf", {}),
                ("DeleteCluster", ended(3)),
            )
        )
    )

    assert found is not None
    assert [line.partition(":")[0] for line in found.message.split("\n")] == [
        "deletionRules[2]",
        "deletionRules[3]",
        "for JobStatus 'SUCCEEDED'",
    ]


@pytest.mark.parametrize(
    ("strategy", "found"),
    [
        ({"onSuccess": {}}, ["J8"]),
        (
            {
                "onSuccess": {},
                "onFailure": {},
                "deletionRules": [{"policy": "DeleteSelf", "condition": {"jobStatus": "FAILED"}}],
            },
            ["J6"],
        ),
    ],
)
def test_an_ambiguous_strategy_is_not_judged_policy_by_policy(strategy: dict[str, Any], found: list[str]) -> None:
    """What is missing in a half that should not be there would only distract."""
    body = a_job({"deletionStrategy": strategy})

    assert [one.rule for one in all_findings(ENFORCED, body, None, OPEN)] == found


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"suspend": True, "ttlSecondsAfterFinished": -1}, "J1"),
        ({**legacy("DeleteSelf", None), "suspend": True, "shutdownAfterJobFinishes": True, **SELECTED}, "J8"),
        ({"rayClusterSpec": None, "activeDeadlineSeconds": 0}, "J20"),
        ({"rayClusterSpec": {"headGroupSpec": {}}, "runtimeEnvYAML": "x"}, "C1"),
        ({"runtimeEnvYAML": "x", "backoffLimit": -1}, "J30"),
    ],
)
def test_of_several_faults_the_one_that_the_reference_meets_first_is_reported(changes: Changes, rule: str) -> None:
    """Spec rayjob §9.2 is an ordered table."""
    found = denial(a_job(changes))

    assert found is not None
    assert found.rule == rule


def test_every_rule_of_the_table_is_there_and_has_a_case() -> None:
    """J29 is the rules of RayCluster, J35 accepts."""
    ids = {rule.id for rule in ENFORCED if rule.id.startswith("J")}

    assert ids == {f"J{number}" for number in range(1, 35)} - {"J29"}
    assert ids - {row[0] for row in CASES} == {"J4", "J34"}


@pytest.mark.parametrize("body", [{}, {"metadata": None, "spec": None}])
def test_a_job_without_a_spec_is_denied_not_a_crash(body: dict[str, Any]) -> None:
    """The schema admits it."""
    assert {one.rule for one in all_findings(ENFORCED, body, None, SHUT)} == {"M4", "J20"}
