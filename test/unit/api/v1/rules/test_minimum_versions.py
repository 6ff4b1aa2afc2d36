"""Features that need a newer Ray are told, with the version that counts: rayVersion, else the head image's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from api.v1.gates import DEFAULT_GATES
from api.v1.rules.places import CLUSTER_PATHS
from api.v1.rules.settings import AdmissionSettings
from localcluster.testing.ruled import CONTEXT, Changes, found_by, found_in_every_kind, good, placed

SCALED: Changes = {"enableInTreeAutoscaling": True}
V2: Changes = {**SCALED, "autoscalerOptions": {"version": "v2"}}
V2_ENV: Changes = {**SCALED, "HC.env": [{"name": "RAY_enable_autoscaler_v2", "value": "1"}]}
FT = "gcsFaultToleranceOptions"


def at(version: str, changes: Changes) -> Changes:
    return {"rayVersion": version, **changes}


FOUND: list[tuple[str, Changes, list[tuple[str, str]]]] = [
    ("MV04", at("2.9.3", V2), [("deny", "autoscalerOptions.version")]),
    ("MV04", at("2.45.0", V2), [("warn", "autoscalerOptions.version")]),
    ("MV04", at("2.9.3", V2_ENV), [("deny", "HC.env[0]")]),
    ("MV04", {"rayVersion": "-", "HC.image": "rayproject/ray:2.9.3", **V2}, [("deny", "autoscalerOptions.version")]),
    ("MV04", {"rayVersion": "-", "HC.image": "corp/x:2.9.3-py310", **V2}, [("warn", "autoscalerOptions.version")]),
    ("MV06", at("2.9.0", {**V2, "W.idleTimeoutSeconds": 5}), [("warn", "W.idleTimeoutSeconds")]),
    ("MV07", at("1.13.0", {FT: {"redisAddress": "redis:6379"}}), [("deny", FT)]),
    ("MV08", at("2.40.0", {f"{FT}.redisUsername": {"value": "ray"}}), [("warn", f"{FT}.redisUsername")]),
    ("MV09", at("2.56.0", {f"{FT}.backend": "rocksdb"}), [("deny", f"{FT}.backend")]),
    (
        "MV11",
        at("2.44.0", {**SCALED, "HEAD.rayStartParams": "-", "W.rayStartParams": "-"}),
        [("deny", "HEAD.rayStartParams"), ("deny", "W.rayStartParams")],
    ),
    (
        "MV11",
        {**SCALED, "autoscalerOptions": {"image": "rayproject/ray:2.44.0"}, "W.rayStartParams": "-"},
        [("deny", "W.rayStartParams")],
    ),
    (
        "MV11",
        at("2.44.0", {**SCALED, "autoscalerOptions": {"image": "corp/auto:2.52.0"}, "W.rayStartParams": "-"}),
        [("deny", "W.rayStartParams")],
    ),
    ("MV12", at("2.48.0", {**SCALED, "W.resources": {"GPU": "1"}}), [("warn", "W.resources")]),
    ("MV12", at("2.48.0", {**SCALED, "HEAD.labels": {"zone": "a"}}), [("warn", "HEAD.labels")]),
    ("MV14", at("2.54.0", {"historyServerOptions": {}}), [("warn", "historyServerOptions")]),
    ("MV16", at("2.8.1", {}), [("warn", "rayVersion")]),
    ("MV16", {"rayVersion": "-", "HC.image": "rayproject/ray:2.8.1"}, [("warn", "HC.image")]),
]

NEAR: list[tuple[str, Changes]] = [
    ("MV04", at("2.46.0", V2)),
    ("MV04", at("2.9.3", {**SCALED, "autoscalerOptions": {"version": "v1"}})),
    ("MV04", at("2.9.3", {"autoscalerOptions": {"version": "v2"}})),
    ("MV04", {"rayVersion": "-", "HC.image": "corp/x:2.9.3", **V2}),
    ("MV06", at("2.10.0", {**V2, "W.idleTimeoutSeconds": 5})),
    ("MV06", at("2.9.0", {**SCALED, "W.idleTimeoutSeconds": 5})),
    ("MV07", at("2.0.0", {FT: {"redisAddress": "redis:6379"}})),
    ("MV08", at("2.41.0", {f"{FT}.redisUsername": {"value": "ray"}})),
    ("MV08", at("2.40.0", {f"{FT}.redisPassword": {"value": "x"}})),
    ("MV09", at("2.57.0", {f"{FT}.backend": "rocksdb"})),
    ("MV09", at("2.56.0", {f"{FT}.backend": "redis"})),
    ("MV11", at("2.44.0", {**SCALED})),
    ("MV11", at("2.44.0", {"W.rayStartParams": "-"})),
    ("MV11", at("2.45.0", {**SCALED, "W.rayStartParams": "-"})),
    (
        "MV11",
        at("2.44.0", {**SCALED, "autoscalerOptions": {"image": "rayproject/ray:2.52.0"}, "W.rayStartParams": "-"}),
    ),
    ("MV12", at("2.49.0", {**SCALED, "W.resources": {"GPU": "1"}})),
    ("MV12", at("2.48.0", {"W.resources": {"GPU": "1"}})),
    ("MV14", at("2.55.0", {"historyServerOptions": {}})),
    ("MV16", at("2.9.0", {})),
    ("MV16", {"rayVersion": "-", "HC.image": "rayproject/ray:nightly"}),
    ("MV16", {"rayVersion": "-", "HC.image": "corp/ray:2.9"}),
]


def rows(table: list[Any]) -> list[Any]:
    return [pytest.param(*row, marks=pytest.mark.spec(f"admission:{row[0]}")) for row in table]


@pytest.mark.parametrize(("id_", "changes", "expected"), rows(FOUND))
def test_a_feature_that_is_too_new_is_told_in_every_kind(
    id_: str, changes: Changes, expected: list[tuple[str, str]]
) -> None:
    """What only an unsure tag says never refuses."""
    assert found_in_every_kind(id_, changes) == {kind: placed(kind, expected) for kind in CLUSTER_PATHS}


@pytest.mark.parametrize(("id_", "changes"), rows(NEAR))
def test_the_first_ray_that_has_it_passes(id_: str, changes: Changes) -> None:
    assert found_by(id_, good(changes=changes)) == []


@pytest.mark.spec("admission:MV07")
def test_fault_tolerance_by_annotation_is_told_at_the_annotation() -> None:
    """Whatever the kind around it."""
    old = at("1.13.0", {})
    annotations = {"ray.io/ft-enabled": "True"}

    assert found_by("MV07", good("RayService", old, annotations=annotations)) == [
        ("deny", "metadata.annotations[ray.io/ft-enabled]")
    ]
    assert found_by("MV07", good("RayService", old, annotations={"ray.io/ft-enabled": "false"})) == []


@pytest.mark.parametrize(
    ("version", "mode", "told"),
    [
        ("2.5.0", None, True),
        ("2.5.0", "SidecarMode", True),
        ("2.5.0", "HTTPMode", False),
        ("2.5.0", "InteractiveMode", False),
        ("2.6.0", None, False),
        ("v2.52.0", None, False),
        ("2.6", None, False),
        ("2.52.0-py310", None, True),
        ("2.52.0rc1", None, True),
        ("nightly", None, True),
        ("-", None, False),
    ],
)
@pytest.mark.spec("admission:MV10", "admission:AC-12", "admission:JB4")
def test_metadata_needs_a_version_that_the_submit_command_can_be_made_of(
    version: str, mode: str | None, told: bool
) -> None:
    """Only rayVersion counts, read strictly; an unused cluster spec beside a selector counts, too."""
    job = good("RayJob", {"rayVersion": version})
    job["spec"] |= {"metadata": {"team": "a"}, **({"submissionMode": mode} if mode else {})}
    beside = {**job, "spec": {**job["spec"], "clusterSelector": {"ray.io/cluster": "shared"}}}

    expected = [("deny", "spec.metadata")] if told else []
    assert found_by("MV10", job) == found_by("MV10", beside) == expected


@pytest.mark.spec("admission:MV10")
def test_without_metadata_any_version_submits() -> None:
    """Nothing is asked of it."""
    assert found_by("MV10", good("RayJob", {"rayVersion": "2.5.0"})) == []


@pytest.mark.spec("admission:MV13", "admission:AC-26")
@pytest.mark.parametrize(
    ("version", "gate", "told"), [("2.53.0", True, True), ("2.54.0", True, False), ("2.53.0", False, False)]
)
def test_a_restarted_submitter_needs_a_ray_that_finds_its_job_again(version: str, gate: bool, told: bool) -> None:
    """Only with the gate is it restarted."""
    job = good("RayJob", {"rayVersion": version})
    job["spec"]["submissionMode"] = "SidecarMode"
    context = replace(CONTEXT, gates={**DEFAULT_GATES, "SidecarSubmitterRestart": gate})

    assert found_by("MV13", job, context=context) == ([("warn", "spec.submissionMode")] if told else [])


@pytest.mark.spec("admission:MV15")
def test_a_serve_configuration_of_several_applications_needs_ray_2_4() -> None:
    """Only a RayService has one."""
    assert found_by("MV15", good("RayService", {"rayVersion": "2.3.1"})) == [("warn", "spec.serveConfigV2")]
    assert found_by("MV15", good("RayService", {"rayVersion": "2.4.0"})) == []


@pytest.mark.spec("admission:MV16")
def test_the_oldest_ray_is_the_owners_to_say() -> None:
    """admission.lowestRay"""
    strict = replace(CONTEXT, admission=AdmissionSettings(lowest_ray="2.53"))

    assert found_by("MV16", good(), context=strict) == [("warn", "spec.rayVersion")]
    assert found_by("MV16", good()) == []
