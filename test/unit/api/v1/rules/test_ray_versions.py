"""Rules about versions of Ray find what they are there for, in all kinds, and let the nearest good object pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from api.v1.gates import DEFAULT_GATES
from api.v1.rules.images import IMAGE_PYTHON_VERSION, IMAGE_RAY_VERSION
from api.v1.rules.judging import judge
from api.v1.rules.model import Context
from api.v1.rules.places import CLUSTER_PATHS
from api.v1.rules.settings import AdmissionSettings, ImageVersion
from localcluster.testing.ruled import CONTEXT, Changes, found_by, found_in_every_kind, good, placed

HC_IMAGE, WC_IMAGE = "HC.image", "WC.image"
UNDEFAULTED = replace(CONTEXT, admission=AdmissionSettings(default_ray_version=False))
HELD = AdmissionSettings(
    ray_image_repositories=("corp.example/*/runtime",), image_versions={"corp/opaque:7": ImageVersion("2.40.0", "3.9")}
)
DIGEST = "rayproject/ray@sha256:" + "a" * 64
OTHER_DIGEST = "rayproject/ray@sha256:" + "b" * 64
PROBES = {"exec": {"command": ["true"]}}
PROBED: Changes = {f"{one}.{kind}Probe": PROBES for one in ("HC", "WC") for kind in ("liveness", "readiness")}
DECLARED = "template.metadata.annotations." + IMAGE_RAY_VERSION.replace(".", "~")
DECLARED_PYTHON = "template.metadata.annotations." + IMAGE_PYTHON_VERSION.replace(".", "~")
V2_ENV = "RAY_enable_autoscaler_v2"
SCALED: Changes = {"enableInTreeAutoscaling": True}


def both(image: str) -> Changes:
    return {HC_IMAGE: image, WC_IMAGE: image}


# Rule, changes, what it finds: severity and path in the cluster spec.
FOUND: list[tuple[str, Changes, list[tuple[str, str]]]] = [
    ("RV02", {"rayVersion": "2.46.0"}, [("deny", "rayVersion")]),
    ("RV02", {"rayVersion": "3.52.0"}, [("deny", "rayVersion")]),
    ("RV02", {"rayVersion": "2.52.1"}, [("warn", "rayVersion")]),
    ("RV02", {"rayVersion": "2.52.0rc1"}, [("warn", "rayVersion")]),
    ("RV02", {"rayVersion": "2.46.0", **both("corp/train:2.52.0-py310")}, [("warn", "rayVersion")]),
    ("RV02", {"rayVersion": "2.46.0", **both("corp/ray:2.52")}, [("warn", "rayVersion")]),
    ("RV02", {"rayVersion": "2.46.0", **both("corp/ray:2.52.0-py310")}, [("deny", "rayVersion")]),
    ("RV03", {WC_IMAGE: "corp/ray:2.9"}, [("warn", WC_IMAGE)]),
    ("RV02", {f"HEAD.{DECLARED}": "2.46.0", HC_IMAGE: DIGEST}, [("deny", "rayVersion")]),
    ("RV03", {WC_IMAGE: "rayproject/ray:2.9.0"}, [("deny", WC_IMAGE)]),
    ("RV03", {WC_IMAGE: "rayproject/ray:2.52.1"}, [("deny", WC_IMAGE)]),
    ("RV03", {WC_IMAGE: "rayproject/ray:2.52.0rc1"}, [("warn", WC_IMAGE)]),
    ("RV03", {WC_IMAGE: "corp/worker:2.9.0-py310"}, [("warn", WC_IMAGE)]),
    (
        "RV03",
        {f"W.{DECLARED}": "2.9.0", WC_IMAGE: "corp/mine:1"},
        [("deny", f"W.template.metadata.annotations[{IMAGE_RAY_VERSION}]")],
    ),
    (
        "RV04",
        {HC_IMAGE: "rayproject/ray:2.52.0-py310", WC_IMAGE: "rayproject/ray:2.52.0-py311"},
        [("deny", WC_IMAGE)],
    ),
    ("RV04", {WC_IMAGE: "rayproject/ray:2.52.0-py311"}, [("warn", WC_IMAGE)]),
    ("RV04", {HC_IMAGE: "rayproject/ray:2.52.0-py312"}, [("warn", WC_IMAGE)]),
    (
        "RV04",
        {HC_IMAGE: "rayproject/ray:2.52.0-py310", f"W.{DECLARED}": "2.52.0", f"W.{DECLARED_PYTHON}": "3.12"},
        [("deny", f"W.template.metadata.annotations[{IMAGE_RAY_VERSION}]")],
    ),
    ("RV05", {"rayVersion": "foo"}, [("warn", "rayVersion")]),
    ("RV05", {"rayVersion": "nightly"}, [("warn", "rayVersion")]),
    ("RV05", {"rayVersion": "2"}, [("warn", "rayVersion")]),
    ("RV06", {HC_IMAGE: "rayproject/ray:nightly"}, [("warn", WC_IMAGE)]),
    ("RV06", {WC_IMAGE: "rayproject/ray:latest-gpu"}, [("warn", WC_IMAGE)]),
    ("RV06", {HC_IMAGE: "rayproject/ray:9527a5", WC_IMAGE: "rayproject/ray:abc123"}, [("warn", WC_IMAGE)]),
    (
        "RV06",
        {HC_IMAGE: "rayproject/ray:nightly", WC_IMAGE: "rayproject/ray:nightly.250801.abc123"},
        [("warn", WC_IMAGE)],
    ),
    ("RV07", {HC_IMAGE: DIGEST, WC_IMAGE: OTHER_DIGEST}, [("warn", WC_IMAGE)]),
    ("RV08", {"rayVersion": "-", **both("corp/train:1")}, [("warn", "rayVersion")]),
    ("RV08", {"rayVersion": "-", **both(DIGEST)}, [("warn", "rayVersion")]),
    (
        "RV08",
        {"rayVersion": "-", "enableInTreeAutoscaling": True, **both(DIGEST), **PROBED},
        [("warn", "rayVersion")],
    ),
    ("RV08", {"WC.image": "$IMAGE"}, [("warn", WC_IMAGE)]),
    (
        "RV09",
        {"enableInTreeAutoscaling": True, "autoscalerOptions": {"image": "rayproject/ray:2.9.0"}},
        [("deny", "autoscalerOptions.image")],
    ),
    (
        "RV09",
        {"enableInTreeAutoscaling": True, "autoscalerOptions": {"image": "corp/auto:2.9.0-py310"}},
        [("warn", "autoscalerOptions.image")],
    ),
    (
        "RV12",
        {**both("rayproject/ray:latest"), "HC.imagePullPolicy": "IfNotPresent", "WC.imagePullPolicy": "IfNotPresent"},
        [("warn", "HC.imagePullPolicy"), ("warn", "WC.imagePullPolicy")],
    ),
    (
        "RV13",
        {WC_IMAGE: "rayproject/ray:2.52.0-aarch64", "W.template.spec.nodeSelector": {"kubernetes.io/arch": "amd64"}},
        [("warn", WC_IMAGE)],
    ),
    ("RV13", {"W.template.spec.nodeSelector": {"kubernetes.io/arch": "arm64"}}, [("warn", WC_IMAGE)]),
    ("RV13", {"WC.resources.limits.nvidia~com/gpu": 1}, [("warn", WC_IMAGE)]),
    (
        "RV13",
        {WC_IMAGE: "corp/x:2.52.0-py310-cpu", "WC.resources.limits.amd~com/gpu": "1"},
        [("warn", WC_IMAGE)],
    ),
    ("RV13", {WC_IMAGE: "rayproject/ray:2.52.0-tpu"}, [("warn", WC_IMAGE)]),
]

CORRECTED = {"RV05": ["AC-4"], "RV08": ["AC-3"], "RV13": ["AC-17"]}
NEAR: list[tuple[str, Changes]] = [
    ("RV02", {"rayVersion": "v2.52.0-py310"}),
    ("RV02", {"rayVersion": "2.52", **both("rayproject/ray:2.52.0-gpu")}),
    ("RV02", {"rayVersion": "2.46.0", **both("corp/train:2.52.0")}),
    ("RV02", {"rayVersion": "2.43.0", **both("verl:ngc-th2.6.0-cu126-vllm0.8.4-flashinfer0.2.2-cxx11abi0")}),
    ("RV02", {"rayVersion": "foo"}),
    ("RV02", {"rayVersion": "2.46.0", **both("rayproject/ray:nightly")}),
    ("RV02", {"rayVersion": "2.52.7", **both("corp/ray:2.52")}),
    ("RV03", {HC_IMAGE: "rayproject/ray:2.46.0", WC_IMAGE: "rayproject/ray-ml:2.46.0.0e19ea-py39"}),
    ("RV03", {WC_IMAGE: "rayproject/ray:2.52.0-gpu"}),
    ("RV03", {WC_IMAGE: "corp/worker:2.9.0"}),
    ("RV03", {WC_IMAGE: "rayproject/ray:nightly"}),
    ("RV04", {HC_IMAGE: "rayproject/ray:2.46.0", WC_IMAGE: "rayproject/ray-ml:2.46.0.0e19ea-py39"}),
    ("RV04", {HC_IMAGE: "corp/train:2.52.0", WC_IMAGE: "rayproject/ray:2.52.0-py312"}),
    ("RV04", both("rayproject/ray:2.52.0-py310")),
    ("RV04", {HC_IMAGE: "rocm/ray:2.52.0-py312", WC_IMAGE: "rocm/ray:2.52.0"}),
    ("RV13", {WC_IMAGE: "rocm/ray:2.52.0-py310", "WC.resources.limits.amd~com/gpu": "1"}),
    ("RV04", {HC_IMAGE: "rayproject/ray-llm:2.52.0-py311", WC_IMAGE: "rayproject/ray-llm:2.52.0"}),
    ("RV04", {HC_IMAGE: "rayproject/ray:2.52.0-py312", f"W.{DECLARED}": "2.52.0"}),
    ("RV05", {"rayVersion": "2.56"}),
    ("RV05", {"rayVersion": "v2.56.0"}),
    ("RV05", {"rayVersion": "2.56.0.dev0"}),
    ("RV05", {"rayVersion": "-"}),
    ("RV05", {"rayVersion": "foo", "authOptions": {"mode": "token"}}),
    ("RV06", {HC_IMAGE: "rayproject/ray:nightly-py311", WC_IMAGE: "rayproject/ray:nightly-py311-gpu"}),
    ("RV06", {WC_IMAGE: "corp/worker:latest"}),
    ("RV06", {WC_IMAGE: "rayproject/ray:2.9.0"}),
    ("RV07", both(DIGEST)),
    ("RV07", {HC_IMAGE: DIGEST, WC_IMAGE: "corp/ray@sha256:" + "b" * 64}),
    ("RV07", {HC_IMAGE: DIGEST.replace("@", ":2.52.0@"), WC_IMAGE: OTHER_DIGEST.replace("@", ":2.52.0@")}),
    ("RV08", both(DIGEST)),
    ("RV08", {"rayVersion": "-"}),
    ("RV08", {"rayVersion": "-", f"HEAD.{DECLARED}": "2.52.0", HC_IMAGE: DIGEST}),
    ("RV08", {"rayVersion": "-", **both(DIGEST), **PROBED}),
    ("RV08", {"rayVersion": "-", **both(DIGEST), **PROBED, **SCALED, "autoscalerOptions": {"version": "v2"}}),
    ("RV08", {"rayVersion": "-", **both(DIGEST), **PROBED, **SCALED, "HC.env": [{"name": V2_ENV, "value": "0"}]}),
    ("RV08", {"rayVersion": "-", "authOptions": {"mode": "token"}, **both(DIGEST)}),
    ("RV09", {"autoscalerOptions": {"image": "rayproject/ray:2.9.0"}}),
    ("RV09", {"enableInTreeAutoscaling": True, "autoscalerOptions": {"image": "rayproject/ray:2.52.0-py310"}}),
    ("RV09", {"enableInTreeAutoscaling": True, "autoscalerOptions": {"image": "corp/auto:5"}}),
    ("RV12", {**both("rayproject/ray:latest"), "HC.imagePullPolicy": "IfNotPresent"}),
    ("RV12", {"HC.imagePullPolicy": "IfNotPresent", "WC.imagePullPolicy": "IfNotPresent"}),
    (
        "RV13",
        {WC_IMAGE: "rayproject/ray:2.52.0-aarch64", "W.template.spec.nodeSelector": {"kubernetes.io/arch": "arm64"}},
    ),
    ("RV13", {WC_IMAGE: "corp/train:2.52.0", "W.template.spec.nodeSelector": {"kubernetes.io/arch": "arm64"}}),
    ("RV13", {f"W.{DECLARED}": "2.52.0", "W.template.spec.nodeSelector": {"kubernetes.io/arch": "arm64"}}),
    ("RV13", {WC_IMAGE: DIGEST, "W.template.spec.nodeSelector": {"kubernetes.io/arch": "arm64"}}),
    ("RV13", {WC_IMAGE: "rayproject/ray:2.52.0-cu121", "WC.resources.limits.nvidia~com/gpu": 1}),
    ("RV13", {WC_IMAGE: "rayproject/ray-ml:2.9.0", "WC.resources.limits.nvidia~com/gpu": 1}),
    ("RV13", {WC_IMAGE: "corp/train:2.52.0", "WC.resources.limits.nvidia~com/gpu": 1}),
    ("RV13", {WC_IMAGE: "rayproject/ray:2.52.0-tpu", "WC.resources.limits.google~com/tpu": 4}),
    ("RV13", {"WC.resources.limits.nvidia~com/gpu": 0}),
]


def rows(table: list[Any]) -> list[Any]:
    return [
        pytest.param(*row, marks=pytest.mark.spec(*(f"admission:{id_}" for id_ in claims(row[0])))) for row in table
    ]


def claims(id_: str) -> list[str]:
    """The rule, and the correction of the specification that its rows hold it to."""
    return [id_, *CORRECTED.get(id_, ())]


@pytest.mark.parametrize(("id_", "changes", "expected"), rows(FOUND))
def test_a_rule_finds_what_it_is_there_for_in_every_kind(
    id_: str, changes: Changes, expected: list[tuple[str, str]]
) -> None:
    """With the severity of the table, and the path at which the field stands in that kind."""
    assert found_in_every_kind(id_, changes) == {kind: placed(kind, expected) for kind in CLUSTER_PATHS}


@pytest.mark.parametrize(("id_", "changes"), rows(NEAR))
def test_the_nearest_good_object_passes(id_: str, changes: Changes) -> None:
    assert found_by(id_, good(changes=changes)) == []


@pytest.mark.spec("admission:RV06")
@pytest.mark.parametrize(
    ("head", "worker", "words"),
    [("nightly", "2.52.0", "nightly and release images"), ("nightly", "9527a5", "different builds")],
)
def test_what_is_mixed_is_named(head: str, worker: str, words: str) -> None:
    """Two builds of the day are not the same mistake as a build beside a release."""
    mixed = good(changes={HC_IMAGE: f"rayproject/ray:{head}", WC_IMAGE: f"rayproject/ray:{worker}"})

    (found,) = [one for one in judge("RayCluster", mixed, None, CONTEXT).warnings if one.rule == "RV06"]

    assert words in found.message


@pytest.mark.spec("admission:RV01")
def test_an_unset_version_is_told_only_where_nobody_fills_it_in() -> None:
    """With defaulting it is D01's, and an image that says nothing is RV08's."""
    unset = good(changes={"rayVersion": "-"})

    assert found_by("RV01", unset, context=UNDEFAULTED) == [("warn", "spec.rayVersion")]
    assert found_by("RV01", unset) == []
    assert found_by("RV01", good(), context=UNDEFAULTED) == []
    assert found_by("RV01", good(changes={"rayVersion": "-", **both(DIGEST)}), context=UNDEFAULTED) == []


@pytest.mark.spec("admission:RV02", "admission:RV03")
def test_the_operators_lists_make_images_of_their_own_speak() -> None:
    """Trusted repositories and known images are as sure as rayproject/ray."""
    context = replace(CONTEXT, admission=HELD)
    trusted, known = good(changes=both("corp.example/ml/runtime:2.46.0")), good(changes=both("corp/opaque:7"))

    assert found_by("RV02", trusted, context=context) == [("deny", "spec.rayVersion")]
    assert found_by("RV02", known, context=context) == [("deny", "spec.rayVersion")]
    assert found_by("RV02", trusted) == found_by("RV02", known) == []


def a_job(submitter: str, **spec: Any) -> dict[str, Any]:
    job = good("RayJob")
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "submit", "image": submitter}]}}
    job["spec"] |= {"submitterPodTemplate": template, **spec}
    return job


@pytest.mark.spec("admission:RV10")
def test_a_submitter_of_another_minor_release_is_told() -> None:
    """Patches submit to each other, and in other modes there is no submitter."""
    found = [("warn", "spec.submitterPodTemplate.spec.containers[0].image")]

    assert found_by("RV10", a_job("rayproject/ray:2.9.0")) == found
    assert found_by("RV10", a_job("corp/submit:2.9.0-py310")) == found
    assert found_by("RV10", a_job("rayproject/ray:2.52.1")) == []
    assert found_by("RV10", a_job("corp/submit:2.9.0")) == []
    assert found_by("RV10", a_job("rayproject/ray:2.9.0", submissionMode="HTTPMode")) == []


@pytest.mark.spec("admission:RV10")
def test_a_submitter_is_judged_in_a_cron_jobs_template_as_well() -> None:
    """P12"""
    cron = good("RayCronJob")
    cron["spec"]["jobTemplate"] |= {
        "submitterPodTemplate": a_job("rayproject/ray:2.9.0")["spec"]["submitterPodTemplate"]
    }

    path = "spec.jobTemplate.submitterPodTemplate.spec.containers[0].image"
    assert found_by("RV10", cron) == [("warn", path)]


@pytest.mark.spec("admission:RV11")
def test_a_submitter_is_compared_with_the_cluster_that_is_selected_where_that_is_known() -> None:
    """Nobody is asked for it; offline it is not known."""
    job = a_job("rayproject/ray:2.9.0", clusterSelector={"ray.io/cluster": "shared"})
    seen = replace(CONTEXT, surroundings=replace(CONTEXT.surroundings, selected_cluster=good()))
    found = [("warn", "spec.submitterPodTemplate.spec.containers[0].image")]

    assert found_by("RV11", job, context=seen) == found
    assert found_by("RV11", job) == []
    assert found_by("RV11", a_job("rayproject/ray:2.9.0"), context=seen) == []


def a_service(strategy: str | None, changes: Changes | None = None) -> dict[str, Any]:
    service = good("RayService", changes)
    if strategy is not None:
        service["spec"]["upgradeStrategy"] = {"type": strategy}
    return service


IMAGE_PATHS = [
    ("warn", "spec.rayClusterConfig.headGroupSpec.template.spec.containers[0].image"),
    ("warn", "spec.rayClusterConfig.workerGroupSpecs[0].template.spec.containers[0].image"),
]
IMPATIENT = replace(CONTEXT, zero_downtime=False)
CLOSED = Context({**DEFAULT_GATES, "RayServiceIncrementalUpgrade": False})


@pytest.mark.spec("admission:RV14", "admission:AC-1")
@pytest.mark.parametrize(
    ("strategy", "context", "told"),
    [
        ("None", CONTEXT, True),
        (None, IMPATIENT, True),
        ("NewClusterWithIncrementalUpgrade", CLOSED, True),
        ("NewCluster", CONTEXT, False),
        (None, CONTEXT, False),
        ("NewClusterWithIncrementalUpgrade", CONTEXT, False),
    ],
)
def test_an_image_that_will_not_be_rolled_out_is_told(strategy: str | None, context: Context, told: bool) -> None:
    """Without the gate an incremental upgrade is none."""
    old, new = a_service(strategy), a_service(strategy, both("rayproject/ray:2.52.0-gpu"))

    assert found_by("RV14", new, old=old, context=context) == (IMAGE_PATHS if told else [])


@pytest.mark.spec("admission:RV14")
def test_a_version_that_will_not_be_rolled_out_is_told_and_a_new_group_is() -> None:
    """Appended groups are started without a new cluster."""
    old, new = a_service("None"), a_service("None", {"rayVersion": "2.53.0"})
    new["spec"]["rayClusterConfig"]["workerGroupSpecs"].append({"groupName": "more", "template": {"spec": {}}})

    assert found_by("RV14", new, old=old) == [("warn", "spec.rayClusterConfig.rayVersion")]


RUNNING = {"state": "ready"}


def a_running(changes: Changes | None = None, **status: Any) -> dict[str, Any]:
    return {**good(changes=changes), "status": status or RUNNING}


@pytest.mark.spec("admission:RV15")
def test_groups_of_a_running_cluster_that_diverge_are_told() -> None:
    """Nothing happens until pods restart."""
    new = a_running({WC_IMAGE: "rayproject/ray:2.52.0-gpu"})

    path = "spec.workerGroupSpecs[0].template.spec.containers[0].image"
    assert found_by("RV15", new, old=a_running()) == [("warn", path)]


@pytest.mark.spec("admission:RV15")
@pytest.mark.parametrize(
    "new",
    [
        a_running(both("rayproject/ray:2.53.0")),
        a_running({WC_IMAGE: "rayproject/ray:2.53.0", "upgradeStrategy": {"type": "Recreate"}}),
        a_running({WC_IMAGE: "rayproject/ray:2.53.0", "suspend": True}),
        a_running({WC_IMAGE: "rayproject/ray:2.53.0"}, state="suspended"),
        good(changes={WC_IMAGE: "rayproject/ray:2.53.0"}),
    ],
    ids=["all groups", "recreated", "to be suspended", "suspended", "not started"],
)
def test_a_change_of_all_groups_or_of_none_that_runs_diverges_nothing(new: dict[str, Any]) -> None:
    assert found_by("RV15", new, old=a_running()) == []
