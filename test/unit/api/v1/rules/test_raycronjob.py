"""Each rule about a RayCronJob refuses what it is there for, and lets the nearest good object pass."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from api.v1.rules import rayjob
from api.v1.rules.model import Context, Finding, Severity, all_findings, first_denial
from api.v1.rules.raycronjob import ENFORCED, RULES

OPEN = Context({"RayJobDeletionPolicy": True})
HEAD: dict[str, Any] = {"template": {"spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.52.0"}]}}}
TEMPLATE: dict[str, Any] = {
    "entrypoint": "python x.py",
    "submissionMode": "K8sJobMode",
    "rayClusterSpec": {"headGroupSpec": HEAD},
    "backoffLimit": 0,
    "ttlSecondsAfterFinished": 0,
}


def a_cron(template: dict[str, Any] | None = None, name: str = "nightly", **spec: Any) -> dict[str, Any]:
    """A good RayCronJob; `template` replaces fields of its RayJobs' spec, `spec` its own."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCronJob",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"schedule": "30 6 * * mon-fri", "jobTemplate": deepcopy({**TEMPLATE, **(template or {})}), **spec},
    }


def denial(cron: dict[str, Any]) -> Finding | None:
    return first_denial(ENFORCED, cron, None, OPEN)


def found(cron: dict[str, Any]) -> list[str]:
    return [one.rule for one in all_findings(RULES, cron, None, OPEN)]


@pytest.mark.parametrize(
    "cron",
    [
        a_cron(),
        a_cron(name="n" * 36),
        a_cron(schedule="@every 1h30m"),
        a_cron(schedule="@daily", timeZone="Europe/Berlin", suspend=True),
        a_cron(timeZone="Local"),
        a_cron(timeZone="UTC"),
        a_cron(schedule="0 0 29 2 *"),
        a_cron({"shutdownAfterJobFinishes": True, "ttlSecondsAfterFinished": 60}),
    ],
)
def test_a_good_one_passes(cron: dict[str, Any]) -> None:
    assert found(cron) == []


@pytest.mark.parametrize(
    ("rule", "path", "says", "cron"),
    [
        pytest.param(
            "M7",
            "metadata.name",
            "RayCronJob name should be no more than 36 characters; it has 37",
            a_cron(name="n" * 37),
            marks=pytest.mark.spec("admission:M7", "admission:N1"),
        ),
        pytest.param(
            "N2",
            "spec.schedule",
            "cannot use TZ or CRON_TZ in schedule",
            a_cron(schedule="TZ=Asia/Taipei 45 21 * * *"),
            marks=pytest.mark.spec("admission:N2", "rayjob:E65"),
        ),
        ("N2", "spec.schedule", "cannot use TZ", a_cron(schedule="CRON_TZ=UTC 45 21 * * *")),
        ("N2", "spec.schedule", "cannot use TZ", a_cron(schedule="0 0 * * TZ")),
        pytest.param(
            "N3",
            "spec.schedule",
            "invalid cron schedule: expected exactly 5 fields, found 6",
            a_cron(schedule="0 30 6 * * *"),
            marks=pytest.mark.spec("admission:N3"),
        ),
        ("N3", "spec.schedule", "invalid cron schedule: expected exactly 5 fields, found 0", a_cron(schedule="")),
        ("N3", "spec.schedule", "invalid cron schedule: end of range (7)", a_cron(schedule="0 0 * * 7")),
        pytest.param(
            "N4",
            "spec.timeZone",
            "timeZone must not be empty",
            a_cron(timeZone=""),
            marks=pytest.mark.spec("admission:N4"),
        ),
        pytest.param(
            "N5",
            "spec.timeZone",
            "invalid time zone: unknown time zone Europe/Berlyn",
            a_cron(timeZone="Europe/Berlyn"),
            marks=pytest.mark.spec("admission:N5"),
        ),
        ("N5", "spec.timeZone", "invalid time zone", a_cron(timeZone="../../etc/passwd")),
        pytest.param(
            "J20",
            "spec.jobTemplate.rayClusterSpec",
            "invalid RayJob template: The RayJob spec is invalid: one of",
            a_cron({"rayClusterSpec": None}),
            marks=pytest.mark.spec("admission:N6"),
        ),
        ("J1", "spec.jobTemplate.suspend", "invalid RayJob template: ", a_cron({"suspend": True})),
        ("J33", "spec.jobTemplate.backoffLimit", "invalid RayJob template: ", a_cron({"backoffLimit": -1})),
    ],
)
def test_each_mistake_is_refused_by_its_rule_with_its_path(
    rule: str, path: str, says: str, cron: dict[str, Any]
) -> None:
    """Whatever is wrong, the event's reason is the same, as in the reference."""
    told = denial(cron)

    assert told is not None
    assert (told.rule, told.path, told.reason) == (rule, path, "InvalidRayCronJobSpec")
    assert told.message.startswith(says), told.message
    assert found(cron) == [rule], "one mistake is one finding"


@pytest.mark.spec("admission:P12", "admission:N6")
def test_a_cluster_spec_in_the_template_is_judged_as_anywhere_else() -> None:
    """Its findings stand under the path where the field really is."""
    group = {"groupName": "small", "minReplicas": 3, "maxReplicas": 1, "replicas": 1, "template": HEAD["template"]}
    cluster = {"headGroupSpec": HEAD, "workerGroupSpecs": [group]}

    told = denial(a_cron({"rayClusterSpec": cluster}))
    alone = first_denial(
        rayjob.ENFORCED,
        {"metadata": {"name": "job"}, "spec": {**TEMPLATE, "rayClusterSpec": cluster}},
        None,
        OPEN,
    )

    assert told is not None
    assert alone is not None
    assert told.rule == alone.rule
    assert told.path == alone.path.replace("spec.", "spec.jobTemplate.", 1)
    assert told.message == f"invalid RayJob template: {alone.message}"


def test_the_first_mistake_in_the_order_of_the_reference_is_told() -> None:
    wrong = a_cron({"rayClusterSpec": None}, name="n" * 37, schedule="TZ=x", timeZone="x")

    assert [denial(wrong)] == [next(iter(all_findings(ENFORCED, wrong, None, OPEN)))]
    assert found(wrong) == ["M7", "N2", "N5", "J20"]


def test_a_template_has_neither_name_nor_status_to_be_wrong() -> None:
    """The rules about those are of a RayJob that is there."""
    assert found(a_cron({"metadata": {"name": "NOT A LABEL"}})) == []


@pytest.mark.spec("admission:NM02")
@pytest.mark.parametrize("name", ["9to5", "Nightly", "night.ly"])
def test_a_name_that_its_rayjobs_cannot_have_is_refused_at_admission_alone(name: str) -> None:
    """At reconcile the reference lets it pass: its RayJobs are ValidationFailed then."""
    cron = a_cron(name=name)

    assert denial(cron) is None
    assert found(cron) == ["NM02"]


@pytest.mark.spec("admission:CR02")
def test_a_schedule_that_never_comes_round_is_refused_at_admission_alone() -> None:
    """It can never do what was meant; what is stored already does no harm, and the reconcile loop leaves it alone."""
    (told,) = all_findings(RULES, a_cron(schedule="0 0 30 2 *"), None, OPEN)

    assert (told.rule, told.severity, told.path) == ("CR02", Severity.DENY, "spec.schedule")
    assert denial(a_cron(schedule="0 0 30 2 *")) is None


@pytest.mark.spec("admission:IM11")
def test_schedule_and_time_zone_may_be_edited() -> None:
    old, new = a_cron(), a_cron(schedule="@hourly", timeZone="Asia/Tokyo")

    assert list(all_findings(RULES, new, old, OPEN)) == []


@pytest.mark.parametrize("spec", [None, {}])
def test_one_without_a_spec_is_refused(spec: dict[str, Any] | None) -> None:
    """The schema asks for fields in a spec, and for none of the spec itself."""
    cron = {**a_cron(), "spec": spec}

    assert found(cron) == ["N3"]
