"""What a RayCronJob makes: each rule finds what it is there for, and lets the nearest good object pass."""

from __future__ import annotations

from typing import Any

import pytest

from api.v1.rules import cron_content, raycronjob
from api.v1.rules.model import Context, Severity
from localcluster.testing.judged import GONE, Changes, found, good, ids

RULES = cron_content.RULES
DENY, WARN = Severity.DENY, Severity.WARN
JOB = "spec.jobTemplate"
KEPT: Changes = {f"{JOB}.shutdownAfterJobFinishes": False}
SELECTED: Changes = {f"{JOB}.clusterSelector": {"ray.io/cluster": "shared"}, f"{JOB}.rayClusterSpec": GONE}
RULED: Changes = {f"{JOB}.deletionStrategy": {"deletionRules": [{"policy": "DeleteSelf", "condition": {}}]}}

# id, severity, what is found, its path; then the near miss that passes.
CASES: list[tuple[str, Severity, Changes, str, Changes]] = [
    ("CR03", WARN, KEPT, f"{JOB}.shutdownAfterJobFinishes", {**KEPT, **RULED}),
    (
        "CR03",
        WARN,
        {f"{JOB}.shutdownAfterJobFinishes": GONE},
        f"{JOB}.shutdownAfterJobFinishes",
        {**KEPT, **SELECTED, f"{JOB}.activeDeadlineSeconds": 60},
    ),
    (
        "CR04",
        DENY,
        {**SELECTED, f"{JOB}.activeDeadlineSeconds": 60, f"{JOB}.jobId": "one"},
        f"{JOB}.jobId",
        {f"{JOB}.jobId": "one"},  # each run's cluster has but that one job
    ),
    ("CR04", WARN, {f"{JOB}.suspend": True}, f"{JOB}.suspend", {"spec.suspend": True}),
    (
        "CR04",
        WARN,
        {**SELECTED, f"{JOB}.activeDeadlineSeconds": 3601},
        f"{JOB}.clusterSelector",
        {**SELECTED, f"{JOB}.activeDeadlineSeconds": 3600},
    ),
    ("CR04", WARN, SELECTED, f"{JOB}.clusterSelector", {**SELECTED, f"{JOB}.activeDeadlineSeconds": 60}),
    (
        "CR04",
        WARN,
        {**SELECTED, f"{JOB}.activeDeadlineSeconds": 3600, "spec.schedule": "0,50 * * * *"},
        f"{JOB}.clusterSelector",
        {**SELECTED, f"{JOB}.activeDeadlineSeconds": 600, "spec.schedule": "0,50 * * * *"},
    ),
]


def claims(rows: list[Any]) -> list[Any]:
    return [
        pytest.param(*row, id=f"{row[0]}-{n}", marks=pytest.mark.spec(f"admission:{row[0]}"))
        for n, row in enumerate(rows)
    ]


def test_a_good_raycronjob_is_not_spoken_of() -> None:
    """Without this every case below could pass for a wrong reason."""
    assert found(RULES, good("RayCronJob")) == []


@pytest.mark.parametrize(("rule", "severity", "changes", "path", "passed"), claims(CASES))
def test_each_rule_finds_its_case_and_passes_the_nearest_good_one(
    rule: str, severity: Severity, changes: Changes, path: str, passed: Changes
) -> None:
    """Nothing else is found beside it."""
    told = found(RULES, good("RayCronJob", changes))

    assert [(one.rule, one.path, one.severity) for one in told] == [(rule, path, severity)]
    assert found(RULES, good("RayCronJob", passed), only=rule) == []


@pytest.mark.spec("admission:CR05")
def test_without_its_gate_the_kind_is_not_looked_after() -> None:
    """It would be stored, and nothing would happen."""
    told = found(RULES, good("RayCronJob"), context=Context({}))

    assert [(one.rule, one.path, one.severity) for one in told] == [("CR05", "kind", WARN)]


@pytest.mark.spec("admission:CR01", "admission:CR04")
def test_a_schedule_that_cannot_be_read_is_told_of_once() -> None:
    """Whether runs overlap is no question then."""
    broken = good("RayCronJob", {**SELECTED, f"{JOB}.activeDeadlineSeconds": 60, "spec.schedule": "often"})

    assert ids(found((*raycronjob.ENFORCED, *RULES), broken)) == [("N3", "spec.schedule")]
