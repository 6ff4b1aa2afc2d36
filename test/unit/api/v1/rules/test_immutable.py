"""Changes of what is running: what does nothing is warned of, what breaks is refused, and integrations may work."""

from __future__ import annotations

from typing import Any

import pytest

from api.v1.rules import immutable
from api.v1.rules.model import Severity
from localcluster.testing.judged import GONE, LATEST, Changes, changed, found, good, ids

RULES = immutable.RULES
DENY, WARN = Severity.DENY, Severity.WARN
GROUP = "spec.workerGroupSpecs.1"
AT_GROUP = "spec.workerGroupSpecs[1]"
HEAD = "spec.headGroupSpec"
OPTIONS = "spec.gcsFaultToleranceOptions"
RUNS: Changes = {"status.state": "ready"}
RECREATE: Changes = {"spec.upgradeStrategy": {"type": "Recreate"}}
SUSPENDED: Changes = {"spec.suspend": True}
REDIS: Changes = {OPTIONS: {"redisAddress": "redis:6379"}}
INCREMENTAL: Changes = {"spec.upgradeStrategy": {"type": "NewClusterWithIncrementalUpgrade"}}
UPGRADES: Changes = {
    "status.activeServiceStatus.rayClusterName": "good-aaaaa",
    "status.pendingServiceStatus.rayClusterName": "good-bbbbb",
}
OTHER_IMAGE = "rayproject/ray:2.52.0-py311"

JOB_EDITS: dict[str, Changes] = {
    "spec.entrypoint": {"spec.entrypoint": "python other.py"},
    "spec.runtimeEnvYAML": {"spec.runtimeEnvYAML": "pip: [a]"},
    "spec.rayClusterSpec": {"spec.rayClusterSpec.headGroupSpec.template.spec.hostNetwork": True},
    "spec.clusterSelector": {"spec.clusterSelector": {"ray.io/cluster": "a"}},
    "spec.submissionMode": {"spec.submissionMode": "HTTPMode"},
    "spec.jobId": {"spec.jobId": "one"},
    "spec.metadata": {"spec.metadata": {"a": "b"}},
}

# id, severity, kind, the object before, what is edited, the path; then the near miss: another before, another edit.
Case = tuple[str, Severity, str, Changes, Changes, str, Changes, Changes]
CASES: list[Case] = [
    ("IM01", WARN, "RayCluster", RUNS, {"spec.rayVersion": "2.53.0"}, "spec.rayVersion", {}, {"spec.rayVersion": "x"}),
    (
        "IM01",
        WARN,
        "RayCluster",
        RUNS,
        {f"{HEAD}.template.spec.containers.0.image": OTHER_IMAGE},
        f"{HEAD}.template",
        {**RUNS, **RECREATE},
        {f"{HEAD}.template.spec.containers.0.image": OTHER_IMAGE},
    ),
    (
        "IM01",
        WARN,
        "RayCluster",
        RUNS,
        {f"{GROUP}.rayStartParams": {"num-cpus": "2"}},
        f"{AT_GROUP}.rayStartParams",
        RUNS,
        {f"{GROUP}.rayStartParams": GONE},
    ),
    (
        "IM01",
        WARN,
        "RayCluster",
        {"status.head.podName": "good-head"},
        {f"{GROUP}.template.spec.containers.0.image": OTHER_IMAGE},
        f"{AT_GROUP}.template",
        {**RUNS, **SUSPENDED},
        {f"{GROUP}.template.spec.containers.0.image": OTHER_IMAGE},
    ),
    (
        "IM02",
        WARN,
        "RayCluster",
        RUNS,
        {f"{GROUP}.groupName": "renamed"},
        "spec.workerGroupSpecs",
        {**RUNS, f"{GROUP}.replicas": 0},
        {f"{GROUP}.groupName": "renamed"},
    ),
    (
        "IM02",
        WARN,
        "RayCluster",
        RUNS,
        {GROUP: GONE},
        "spec.workerGroupSpecs",
        RUNS,
        {f"{GROUP}.replicas": 0, "spec.workerGroupSpecs.2": {"groupName": "third"}},
    ),
    (
        "IM03",
        DENY,
        "RayCluster",
        {**RUNS, **REDIS},
        {f"{OPTIONS}.backend": "rocksdb"},
        f"{OPTIONS}.backend",
        {**RUNS, **REDIS},
        {f"{OPTIONS}.backend": "redis"},
    ),
    (
        "IM03",
        DENY,
        "RayCluster",
        {**RUNS, **REDIS},
        {f"{OPTIONS}.externalStorageNamespace": "other"},
        f"{OPTIONS}.externalStorageNamespace",
        {**RUNS, **REDIS, **SUSPENDED},
        {f"{OPTIONS}.externalStorageNamespace": "other"},
    ),
    ("IM03", WARN, "RayCluster", RUNS, REDIS, OPTIONS, {**RUNS, **SUSPENDED}, REDIS),
    ("IM03", WARN, "RayCluster", {**RUNS, **REDIS}, {OPTIONS: GONE}, OPTIONS, RUNS, {}),
    (
        "IM04",
        WARN,
        "RayCluster",
        RUNS,
        {"spec.enableInTreeAutoscaling": True},
        "spec.enableInTreeAutoscaling",
        RUNS,
        {"spec.enableInTreeAutoscaling": False},
    ),
    (
        "IM05",
        WARN,
        "RayCluster",
        RUNS,
        {"spec.authOptions": {"mode": "token"}},
        "spec.authOptions.mode",
        RUNS,
        {"spec.authOptions": {"mode": "disabled"}},
    ),
    (
        "IM05",
        WARN,
        "RayCluster",
        {**RUNS, "spec.tlsOptions": {"enabled": True}},
        {"spec.tlsOptions": {}},
        "spec.tlsOptions.enabled",
        RUNS,
        {"spec.tlsOptions": {"enabled": False}},
    ),
    *(
        (
            "IM06",
            WARN,
            "RayJob",
            {"status.jobDeploymentStatus": "Running"},
            edit,
            path,
            {"status.jobDeploymentStatus": "Suspended"},
            edit,
        )
        for path, edit in JOB_EDITS.items()
    ),
    (
        "IM06",
        WARN,
        "RayJob",
        {"status.jobDeploymentStatus": "Initializing"},
        {"spec.rayClusterSpec.workerGroupSpecs.1.groupName": "renamed"},
        "spec.rayClusterSpec",
        {"status.jobDeploymentStatus": "Running"},
        {
            "spec.rayClusterSpec.workerGroupSpecs.1.replicas": 2,
            "spec.rayClusterSpec.workerGroupSpecs.1.maxReplicas": 9,
            "spec.rayClusterSpec.workerGroupSpecs.1.suspend": True,
            "spec.activeDeadlineSeconds": 60,
            "spec.jobId": "",
        },
    ),
    (
        "IM07",
        WARN,
        "RayJob",
        {"status.jobDeploymentStatus": "Complete"},
        {"spec.entrypoint": "python other.py"},
        "spec.entrypoint",
        {"status.jobDeploymentStatus": "Complete"},
        {"spec.ttlSecondsAfterFinished": 60, "spec.shutdownAfterJobFinishes": False},
    ),
    (
        "IM07",
        WARN,
        "RayJob",
        {"status.jobDeploymentStatus": "Failed"},
        {"spec.backoffLimit": 2},
        "spec.backoffLimit",
        {"status.jobDeploymentStatus": "Failed"},
        {"spec.deletionStrategy": {"deletionRules": []}},
    ),
    (
        "IM07",
        WARN,
        "RayJob",
        {"status.jobDeploymentStatus": "Complete"},
        {"spec.suspend": True},
        "spec.suspend",
        {"status.jobDeploymentStatus": "Complete"},
        {"spec.suspend": False},
    ),
    (
        "IM09",
        WARN,
        "RayService",
        UPGRADES,
        {"spec.rayClusterConfig.rayVersion": "2.53.0"},
        "spec.rayClusterConfig",
        {"status.activeServiceStatus.rayClusterName": "good-aaaaa"},
        {"spec.rayClusterConfig.rayVersion": "2.53.0"},
    ),
    (
        "IM09",
        WARN,
        "RayService",
        {"status.conditions": [{"type": "UpgradeInProgress", "status": "True"}]},
        {"spec.rayClusterConfig.headGroupSpec.template.spec.hostNetwork": True},
        "spec.rayClusterConfig",
        {"status.conditions": [{"type": "UpgradeInProgress", "status": "True"}]},
        {"spec.rayClusterConfig.workerGroupSpecs.0.replicas": 2, "spec.rayClusterConfig.suspend": True},
    ),
    (
        "IM10",
        DENY,
        "RayService",
        {**UPGRADES, **INCREMENTAL},
        {"spec.upgradeStrategy.type": "NewCluster"},
        "spec.upgradeStrategy.type",
        {**INCREMENTAL, "status.activeServiceStatus.rayClusterName": "good-aaaaa"},
        {"spec.upgradeStrategy.type": "NewCluster"},
    ),
    (
        "IM10",
        DENY,
        "RayService",
        {**UPGRADES, **INCREMENTAL},
        {"spec.upgradeStrategy": GONE},
        "spec.upgradeStrategy.type",
        UPGRADES,
        {"spec.upgradeStrategy": {"type": "None"}},
    ),
]


def claims(rows: list[Any]) -> list[Any]:
    return [
        pytest.param(*row, id=f"{row[0]}-{n}", marks=pytest.mark.spec(f"admission:{row[0]}"))
        for n, row in enumerate(rows)
    ]


@pytest.mark.parametrize(("rule", "severity", "kind", "before", "edit", "path", "other", "harmless"), claims(CASES))
def test_each_rule_finds_its_change_and_passes_the_nearest_good_one(
    rule: str,
    severity: Severity,
    kind: str,
    before: Changes,
    edit: Changes,
    path: str,
    other: Changes,
    harmless: Changes,
) -> None:
    """Nothing else is found beside it; and nothing at all where there was no object before."""
    old, spared = good(kind, before), good(kind, other)
    told = found(RULES, changed(old, edit), old)

    assert [(one.rule, one.path, one.severity) for one in told] == [(rule, path, severity)]
    assert found(RULES, changed(spared, harmless), spared, only=rule) == []
    assert found(RULES, changed(old, edit)) == []


@pytest.mark.spec("admission:IM08")
def test_a_job_that_was_refused_may_be_repaired() -> None:
    """It starts anew then."""
    refused = {"status.jobDeploymentStatus": "ValidationFailed", "spec.backoffLimit": -1}
    repaired = {**refused, "spec.backoffLimit": 0, "spec.entrypoint": "python other.py"}

    assert found(RULES, good("RayJob", repaired), good("RayJob", refused)) == []


@pytest.mark.spec("admission:IM11")
def test_a_schedule_may_be_edited_at_any_time() -> None:
    """The next tick is one of the new schedule."""
    old = good("RayCronJob", {"status.lastScheduleTime": "2026-01-01T00:00:00Z"})
    new = good("RayCronJob", {"spec.schedule": "@daily", "spec.timeZone": "Europe/Berlin"})

    assert found(RULES, new, old) == []


def admitted(at: str) -> Changes:
    """What Kueue writes into the templates of a cluster when it admits an object."""
    templates = [f"{at}.headGroupSpec.template", f"{at}.workerGroupSpecs.0.template"]
    edits: dict[str, Any] = {}
    for template in templates:
        edits |= {
            f"{template}.spec.nodeSelector": {"cloud/gpu": "a100"},
            f"{template}.spec.tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            f"{template}.spec.schedulingGates": [{"name": "kueue"}],
            f"{template}.spec.affinity": {"nodeAffinity": {}},
            f"{template}.metadata": {"labels": {"kueue": "a"}, "annotations": {"kueue": "b"}},
        }
    return edits


@pytest.mark.spec("admission:P8")
@pytest.mark.parametrize("state", ["Running", "Initializing", "Suspending"])
def test_kueue_may_suspend_and_resume_a_job_and_edit_its_templates_with_that(state: str) -> None:
    """Flavours bring node selectors and tolerations; without a suspension the same edit is somebody else's."""
    at = "spec.rayClusterSpec"
    status = {"status.jobDeploymentStatus": state}
    running = good("RayJob", {**status, **admitted(at)})
    stopped = good("RayJob", {**status, "spec.suspend": True})

    assert found(RULES, stopped, running) == []
    assert found(RULES, running, stopped) == []
    assert ids(found(RULES, running, good("RayJob", status))) == [("IM06", at)]


@pytest.mark.spec("admission:P8")
def test_kueue_may_suspend_and_resume_a_cluster_and_edit_its_templates_with_that() -> None:
    """As for jobs."""
    running = good("RayCluster", {**RUNS, **admitted("spec")})
    stopped = good("RayCluster", {**RUNS, "spec.suspend": True})

    assert found(RULES, stopped, running) == []
    assert found(RULES, running, stopped) == []


@pytest.mark.spec("admission:P8")
def test_the_autoscaler_may_scale_what_runs() -> None:
    """Replicas, and the workers that are to go."""
    scaled = {f"{GROUP}.replicas": 3, f"{GROUP}.scaleStrategy": {"workersToDelete": ["good-large-worker-abcde"]}}

    assert found(RULES, good("RayCluster", {**RUNS, **scaled}), good("RayCluster", RUNS)) == []


def test_a_group_that_is_added_is_no_change_of_what_runs() -> None:
    """Its pods are all new."""
    spare = {"groupName": "spare", "template": {"spec": {"containers": [{"name": "ray", "image": LATEST}]}}}

    assert found(RULES, good("RayCluster", {**RUNS, "spec.workerGroupSpecs.2": spare}), good("RayCluster", RUNS)) == []
