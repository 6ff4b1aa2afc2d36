"""Each rule about a RayService refuses what it is there for, and lets the nearest good object pass."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest

from api.v1.rules.model import Context, Finding, all_findings, first_denial
from api.v1.rules.rayservice import ENFORCED, METADATA, initializing_timeout

OPEN = Context({"RayServiceIncrementalUpgrade": True})
SHUT = Context({})
TIMEOUT = "ray.io/initializing-timeout"
Changes = dict[str, Any]

HEAD: dict[str, Any] = {"template": {"spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.52.0"}]}}}
GOOD_OPTIONS = {"maxSurgePercent": 50, "stepSizePercent": 25, "intervalSeconds": 5, "gatewayClassName": "istio"}


def a_service(changes: Changes | None = None, **metadata: Any) -> dict[str, Any]:
    """A good RayService as it is stored; `changes` replace fields of its spec."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": "good", "namespace": "default", **metadata},
        "spec": deepcopy({"rayClusterConfig": {"headGroupSpec": HEAD}, **(changes or {})}),
    }


def shifting(**options: Any) -> Changes:
    """An incremental upgrade; an option that is None is left out."""
    chosen = {name: value for name, value in {**GOOD_OPTIONS, **options}.items() if value is not None}
    return {
        "rayClusterConfig": {"headGroupSpec": HEAD, "enableInTreeAutoscaling": True},
        "upgradeStrategy": {"type": "NewClusterWithIncrementalUpgrade", "clusterUpgradeOptions": chosen},
    }


def claims(at: int, rows: list[tuple[Any, ...]]) -> list[Any]:
    """Each row claims its rule, which stands at that place; one of a cluster claims V2, by which it is asked here."""
    return [
        pytest.param(*row, marks=pytest.mark.spec(f"admission:{row[at] if row[at][0] == 'V' else 'V2'}"))
        for row in rows
    ]


def denial(service: dict[str, Any], context: Context = OPEN) -> Finding:
    found = first_denial(ENFORCED, service, None, context)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "service",
    [
        a_service(),
        a_service(name="a" * 47),
        a_service(annotations={TIMEOUT: "5m"}),
        a_service(annotations={TIMEOUT: ""}),
        a_service({"upgradeStrategy": {"type": "None"}, "rayClusterDeletionDelaySeconds": 0}),
        a_service({"serveConfigV2": "not: [really"}),
        a_service(shifting()),
        a_service(shifting(maxSurgePercent=None)),
        a_service(shifting(maxSurgePercent=0, stepSizePercent=0)),
    ],
)
def test_good_services_pass(service: dict[str, Any]) -> None:
    assert list(all_findings(ENFORCED, service, None, OPEN)) == []


@pytest.mark.spec("rayservice:E02", "admission:M5", "admission:M6")
@pytest.mark.parametrize(
    ("name", "words"), [("a" * 48, "no more than 47 characters"), ("1a", "valid DNS1035 label"), ("A", "DNS1035")]
)
def test_names_leave_room_for_the_clusters_suffix(name: str, words: str) -> None:
    found = denial(a_service(name=name))

    assert words in found.message
    assert found.message.startswith("The RayService metadata is invalid: ")
    assert found.reason == "InvalidRayServiceMetadata"


@pytest.mark.spec("admission:M8", "admission:M9", "admission:M10")
@pytest.mark.parametrize(
    ("value", "rule", "words"),
    [
        ("0", "M8", "must be a positive duration, got: 0"),
        ("-5m", "M8", "must be a positive duration"),
        ("-100", "M9", "must be a positive integer (seconds), got: -100"),
        ("invalid", "M10", "has invalid format: invalid"),
        ("5 minutes", "M10", "Expected Go duration format"),
    ],
)
def test_a_time_out_is_a_duration_above_zero(value: str, rule: str, words: str) -> None:
    found = denial(a_service(annotations={TIMEOUT: value}))

    assert (found.rule, found.path) == (rule, f"metadata.annotations[{TIMEOUT}]")
    assert words in found.message


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5m", timedelta(minutes=5)),
        ("300", timedelta(minutes=5)),
        ("1.5h", timedelta(minutes=90)),
        ("", None),
        ("0", None),
        ("-3", None),
        ("soon", None),
        ("-+5", None),
        ("9" * 18, timedelta(seconds=9223372036)),
        ("9" * 5000, None),
    ],
)
def test_a_time_out_may_be_given_in_seconds(value: str, expected: timedelta | None) -> None:
    assert initializing_timeout({TIMEOUT: value}) == expected


AUTH = {"authOptions": {"mode": "token", "enableK8sTokenAuth": True}}
NAMED = {"headService": {"metadata": {"name": "mine"}}}


@pytest.mark.spec("rayservice:E05")
@pytest.mark.parametrize(
    ("changes", "rule", "words"),
    claims(
        1,
        [
            (
                {"rayClusterConfig": {"headGroupSpec": HEAD, **AUTH}},
                "V1",
                "K8s token auth is not supported for RayService",
            ),
            (
                {"rayClusterConfig": {"headGroupSpec": {**HEAD, **NAMED}}},
                "V3",
                "headService.metadata.name should not be",
            ),
            ({"upgradeStrategy": {"type": "Recreate"}}, "V4", "Recreate is invalid, valid options are NewCluster"),
            ({"rayClusterDeletionDelaySeconds": -1}, "V5", "non-negative, got -1"),
            ({"rayClusterConfig": {"headGroupSpec": {"template": {"spec": {"containers": []}}}}}, "C1", "container"),
        ],
    ),
)
def test_a_spec_that_cannot_run_is_refused(changes: Changes, rule: str, words: str) -> None:
    found = denial(a_service(changes))

    assert found.rule == rule
    assert words in found.message
    assert found.message.startswith("The RayService spec is invalid: ")
    assert found.reason == "InvalidRayServiceSpec"


@pytest.mark.spec("rayservice:E59")
@pytest.mark.parametrize(
    ("changes", "rule"),
    claims(
        1,
        [
            ({**shifting(), "rayClusterConfig": {"headGroupSpec": HEAD}}, "V6"),
            ({**shifting(), "upgradeStrategy": {"type": "NewClusterWithIncrementalUpgrade"}}, "V7"),
            (shifting(maxSurgePercent=101), "V8"),
            (shifting(maxSurgePercent=-1), "V8"),
            (shifting(stepSizePercent=None), "V9"),
            (shifting(stepSizePercent=101), "V9"),
            (shifting(stepSizePercent=51), "V10"),
            (shifting(intervalSeconds=0), "V11"),
            (shifting(intervalSeconds=None), "V11"),
            (shifting(gatewayClassName=""), "V12"),
        ],
    ),
)
def test_an_incremental_upgrade_needs_its_options(changes: Changes, rule: str) -> None:
    """And nothing of it is looked at while the gate is off: the type passes, whatever stands beside it."""
    service = a_service(changes)

    assert denial(service).rule == rule
    assert first_denial(ENFORCED, service, None, SHUT) is None


@pytest.mark.spec("admission:AC-23")
def test_a_surge_that_nobody_set_is_the_whole() -> None:
    """The schema fills in 100; offline nobody does."""
    whole, more = (a_service(shifting(maxSurgePercent=None, stepSizePercent=step)) for step in (100, 101))

    assert first_denial(ENFORCED, whole, None, OPEN) is None
    assert denial(more).rule == "V9"


def test_rules_about_metadata_come_first() -> None:
    """One event says which of the two is wrong; the webhook asks only for these."""
    service = a_service({"upgradeStrategy": {"type": "x"}}, annotations={TIMEOUT: "x"})

    assert denial(service).rule == "M10"
    assert ENFORCED[: len(METADATA)] == METADATA


def test_a_service_without_a_spec_lacks_a_head() -> None:
    """The schema lets it through: spec is optional there."""
    service = {**a_service(), "spec": None}

    assert denial(service).path.startswith("spec.rayClusterConfig")
