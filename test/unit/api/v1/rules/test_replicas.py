"""Replicas and scaling: each rule finds what it is there for, and lets the nearest good object pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from api.v1.rules import raycluster, replicas
from api.v1.rules.model import Context, Severity
from api.v1.rules.settings import AdmissionSettings
from api.v1.rules.surroundings import Surroundings
from localcluster.testing.judged import GONE, INSIDE, OPEN, Changes, found, good, ids

RULES = replicas.RULES
DENY, WARN = Severity.DENY, Severity.WARN
GROUP = "spec.workerGroupSpecs.1"
AT_GROUP = "spec.workerGroupSpecs[1]"
SCALED: Changes = {"spec.enableInTreeAutoscaling": True}
FIXED: Changes = {"spec.workerGroupSpecs.0.minReplicas": 1, "spec.workerGroupSpecs.0.maxReplicas": 1}
MARKED: Changes = {**SCALED, f"{GROUP}.scaleStrategy": {"workersToDelete": ["good-large-worker-abcde"]}}

# id, severity, what is found, its path; then the near miss that passes.
CASES: list[tuple[str, Severity, Changes, str, Changes]] = [
    ("RP02", WARN, {f"{GROUP}.replicas": 4}, f"{AT_GROUP}.replicas", {f"{GROUP}.replicas": 3}),
    (
        "RP02",
        WARN,
        {f"{GROUP}.replicas": 1, f"{GROUP}.minReplicas": 2},
        f"{AT_GROUP}.replicas",
        {f"{GROUP}.replicas": 0, f"{GROUP}.minReplicas": 2},
    ),
    ("RP03", DENY, {f"{GROUP}.replicas": -1}, f"{AT_GROUP}.replicas", {f"{GROUP}.replicas": 0}),
    ("RP04", DENY, {f"{GROUP}.numOfHosts": 0}, f"{AT_GROUP}.numOfHosts", {f"{GROUP}.numOfHosts": 1}),
    (
        "RP05",
        WARN,
        {**SCALED, f"{GROUP}.maxReplicas": 0},
        f"{AT_GROUP}.maxReplicas",
        {**SCALED, f"{GROUP}.maxReplicas": 0, f"{GROUP}.replicas": 0},
    ),
    (
        "RP06",
        WARN,
        {**SCALED, f"{GROUP}.maxReplicas": 0, f"{GROUP}.replicas": 0, **FIXED},
        "spec.enableInTreeAutoscaling",
        {**SCALED, **FIXED},
    ),
    (
        "RP07",
        WARN,
        {**SCALED, "spec.workerGroupSpecs": GONE},
        "spec.workerGroupSpecs",
        {"spec.workerGroupSpecs": GONE},
    ),
    (
        "RP09",
        WARN,
        {**SCALED, f"{GROUP}.template.spec.restartPolicy": "Always"},
        f"{AT_GROUP}.template.spec.restartPolicy",
        {**SCALED, "spec.rayVersion": "2.46.0", f"{GROUP}.template.spec.restartPolicy": "Always"},
    ),
    (
        "RP09",
        WARN,
        {**SCALED, "spec.headGroupSpec.template.spec.restartPolicy": "Always"},
        "spec.headGroupSpec.template.spec.restartPolicy",
        {**SCALED, "spec.headGroupSpec.template.spec.restartPolicy": "Never"},
    ),
    (
        "RP12",
        WARN,
        {"spec.autoscalerOptions": {"upscalingMode": "Default"}},
        "spec.autoscalerOptions",
        {**SCALED, "spec.autoscalerOptions": {"upscalingMode": "Default"}},
    ),
]


def claims(rows: list[Any]) -> list[Any]:
    return [
        pytest.param(*row, id=f"{row[0]}-{n}", marks=pytest.mark.spec(f"admission:{row[0]}"))
        for n, row in enumerate(rows)
    ]


@pytest.mark.parametrize("kind", INSIDE)
def test_good_numbers_are_not_spoken_of(kind: str) -> None:
    """Without this every case below could pass for a wrong reason."""
    assert found(RULES, good(kind)) == []


@pytest.mark.parametrize(("rule", "severity", "changes", "path", "passed"), claims(CASES))
def test_each_rule_finds_its_case_and_passes_the_nearest_good_one(
    rule: str, severity: Severity, changes: Changes, path: str, passed: Changes
) -> None:
    """Nothing else is found beside it."""
    told = found(RULES, good("RayCluster", changes))

    assert [(one.rule, one.path, one.severity) for one in told] == [(rule, path, severity)]
    assert found(RULES, good("RayCluster", passed), only=rule) == []


@pytest.mark.spec("admission:RP01")
def test_bounds_are_judged_once() -> None:
    """C9 says that they cross; that replicas lie beyond one of them is no news then."""
    crossed = good("RayCluster", {f"{GROUP}.minReplicas": 5})

    assert ids(found((*raycluster.RULES, *RULES), crossed)) == [("C9", f"{AT_GROUP}.minReplicas")]


@pytest.mark.spec("admission:RP08")
@pytest.mark.parametrize("kind", INSIDE)
def test_workers_that_kubelet_restarts_under_autoscaler_v1_are_told_of_once_in_every_kind(kind: str) -> None:
    """In a RayCluster by C65, which is enforced."""
    at = INSIDE[kind]
    path = f"{at}.workerGroupSpecs[1].template.spec.restartPolicy"
    kept = {
        f"{at}.enableInTreeAutoscaling": True,
        f"{at}.autoscalerOptions": {"version": "v1"},
        f"{at}.workerGroupSpecs.1.template.spec.restartPolicy": "Always",
    }
    unsaid = {**kept, f"{at}.workerGroupSpecs.1.template.spec.restartPolicy": "Never"}
    enforced = raycluster.RULES if kind == "RayCluster" else ()

    assert ids(found((*enforced, *RULES), good(kind, kept))) == [("C65" if enforced else "RP08", path)]
    assert found((*enforced, *RULES), good(kind, unsaid)) == []


@pytest.mark.spec("admission:RP09", "admission:AC-26", "admission:MV05")
@pytest.mark.parametrize(
    ("version", "env", "warned"),
    [("2.47.0", "", True), ("2.46.9", "", False), ("2.47.0", "0", False), (GONE, "", True)],
)
def test_which_autoscaler_runs_is_the_choice_of_ray_unless_somebody_made_it(
    version: Any, env: str, warned: bool
) -> None:
    """From 2.47 on it is v2; without rayVersion the head's image tells, here 2.52."""
    changes = {**SCALED, "spec.rayVersion": version, f"{GROUP}.template.spec.restartPolicy": "OnFailure"}
    if env:
        changes["spec.headGroupSpec.template.spec.containers.0.env"] = [
            {"name": "RAY_enable_autoscaler_v2", "value": env}
        ]

    told = found(RULES, good("RayCluster", changes))

    assert [rule for rule, _ in ids(told)] == (["RP09"] if warned else [])


def asked_by(user: str) -> Context:
    return replace(OPEN, surroundings=Surroundings(user=user))


@pytest.mark.spec("admission:RP11")
def test_workers_marked_for_deletion_by_hand_are_told_of() -> None:
    """In a file, or by a person; not where no autoscaler would take them for its own."""
    path = f"{AT_GROUP}.scaleStrategy.workersToDelete"

    assert ids(found(RULES, good("RayCluster", MARKED))) == [("RP11", path)]
    assert ids(found(RULES, good("RayCluster", MARKED), context=asked_by("jane"))) == [("RP11", path)]
    assert found(RULES, good("RayCluster", {**MARKED, "spec.enableInTreeAutoscaling": False})) == []


@pytest.mark.spec("admission:RP11", "admission:P8")
@pytest.mark.parametrize("account", ["good", "own"])
def test_the_autoscaler_may_mark_workers(account: str) -> None:
    """It acts as the head pod's service account: the operator's, called as the cluster, or the user's."""
    changes = dict(MARKED)
    if account == "own":
        changes["spec.headGroupSpec.template.spec.serviceAccountName"] = "own"
    told = found(
        RULES,
        good("RayCluster", changes),
        good("RayCluster", SCALED),
        context=asked_by(f"system:serviceaccount:default:{account}"),
    )

    assert told == []


@pytest.mark.spec("admission:RP11")
def test_marks_that_stood_there_before_are_not_told_of_again() -> None:
    """Somebody edits something else, and sends the autoscaler's list along."""
    edited = good("RayCluster", {**MARKED, f"{GROUP}.maxReplicas": 9})

    assert found(RULES, edited, good("RayCluster", MARKED), context=asked_by("jane")) == []


@pytest.mark.spec("admission:RP13")
@pytest.mark.parametrize(
    ("changes", "most", "pods"),
    [
        ({}, 3, None),
        ({}, 2, 3),
        ({f"{GROUP}.numOfHosts": 4}, 5, 6),
        ({f"{GROUP}.replicas": 9}, 4, 5),
        ({f"{GROUP}.suspend": True}, 2, None),
        ({}, 0, None),
    ],
)
def test_a_cap_counts_the_pods_that_would_be_made(changes: Changes, most: int, pods: int | None) -> None:
    """The head, replicas within their bounds, hosts of each; nothing of a suspended group. Zero is no cap."""
    context = replace(OPEN, admission=AdmissionSettings(most_pods=most))

    told = found(RULES, good("RayCluster", changes), context=context, only="RP13")

    assert [(one.path, one.value) for one in told] == ([("spec.workerGroupSpecs", pods)] if pods else [])
