"""Which Ray a cluster runs, as far as names of images, annotations and the operator's own lists say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from api.v1.rules.images import (
    IMAGE_PYTHON_VERSION,
    IMAGE_RAY_VERSION,
    default_pythons,
    effective_version,
    fleet_of,
    said_by,
)
from api.v1.rules.model import Context, Severity
from api.v1.rules.places import cluster_in
from api.v1.rules.reading import Cluster
from api.v1.rules.settings import AdmissionSettings, ImageVersion
from api.v1.version import Confidence
from localcluster.testing.ruled import CONTEXT, Changes, good

DIGEST = "@sha256:" + "a" * 64
HIGH, MEDIUM, LOW = Confidence.HIGH, Confidence.MEDIUM, Confidence.LOW
SETTINGS = AdmissionSettings(
    ray_image_repositories=("quay.example/modh/*", "*.dkr.ecr.*.example.com/*/runtime"),
    image_versions={
        "corp/opaque:7": ImageVersion("2.40.0", "3.9"),
        "sha256:" + "c" * 64: ImageVersion("2.41"),
    },
)


@pytest.mark.parametrize(
    ("image", "confidence", "version", "python", "floating"),
    [
        ("ray", MEDIUM, None, "", "latest"),
        ("rayproject/ray", HIGH, None, "", "latest"),
        ("localhost:5000/ray", MEDIUM, None, "", "latest"),
        ("localhost:5000/ray:2.52.0", MEDIUM, (2, 52, 0), "", ""),
        ("registry.corp:443/x/ray:2.52.0-py311", HIGH, (2, 52, 0), "3.11", ""),
        ("REGISTRY.Corp:443/ML/ray:2.52.0", MEDIUM, (2, 52, 0), "", ""),
        ("REGISTRY.Corp/ML/Ray:2.52.0", LOW, (2, 52, 0), "", ""),
        ("docker.io/rayproject/ray-ml:2.46.0.0e19ea-py39", HIGH, (2, 46, 0), "3.9", ""),
        ("docker.io/rayproject/ray-deps:2.52.0-py310-cpu", HIGH, (2, 52, 0), "3.10", ""),
        (f"rayproject/ray{DIGEST}", HIGH, None, "", ""),
        (f"rayproject/ray:2.52.0-py312{DIGEST}", HIGH, (2, 52, 0), "3.12", ""),
        ("rayproject/ray:2.52.0@sha512:abc", HIGH, (2, 52, 0), "", ""),
        ("rayproject/ray:2.52.0-py313-gpu-extra", HIGH, (2, 52, 0), "3.13", ""),
        ("rayproject/ray:2.9.3-py38-cu118-aarch64", HIGH, (2, 9, 3), "3.8", ""),
        ("rayproject/ray:releases-2.52.0-py310", HIGH, (2, 52, 0), "3.10", ""),
        ("rayproject/ray:3.0.0.dev0", HIGH, (3, 0, 0), "", ""),
        ("rayproject/ray:nightly.250801.abc123-py310-cu128", HIGH, None, "3.10", "nightly"),
        ("rayproject/ray:master", HIGH, None, "", "nightly"),
        ("rayproject/ray:806c18-py311-cu121", HIGH, None, "3.11", "commit"),
        ("rayproject/ray:2026.1.15", HIGH, None, "", ""),
        ("rayproject/ray:0.8.7", HIGH, None, "", ""),
        ("rayproject/ray:4.0.0", HIGH, None, "", ""),
        ("rayproject/ray:sha-9527a5e", HIGH, None, "", ""),
        ("rayproject/ray:py310", HIGH, None, "", ""),
        ("openeuler/ray:2.55.1-oe2403sp3", MEDIUM, (2, 55, 1), "", ""),
        ("corp/train:2.52.0-rc.1-py310", MEDIUM, (2, 52, 0), "3.10", ""),
        ("corp/train:2.52.0-cu128", MEDIUM, (2, 52, 0), "", ""),
        ("corp/train:1.4.2", LOW, (1, 4, 2), "", ""),
        ("corp/ray-custom:v1.3", LOW, (1, 3), "", ""),
        ("corp/rayon:2026-01-15", LOW, None, "", ""),
        ("ghcr.example/stack/base:ray2.1.0-py38-gpu-pytorch1.12.0cu116", LOW, None, "3.8", ""),
        ("quay.example/modh/runtime:2.47.1-cu121", HIGH, (2, 47, 1), "", ""),
        ("123.dkr.ecr.eu-1.example.com/ml/runtime:2.47.1", HIGH, (2, 47, 1), "", ""),
        ("123.dkr.ecr.eu-1.example.com/runtime:2.47.1", LOW, (2, 47, 1), "", ""),
        ("corp/opaque:7", HIGH, (2, 40, 0), "3.9", ""),
        ("corp/any@sha256:" + "c" * 64, HIGH, (2, 41, 0), "", ""),
        ("$IMAGE", LOW, None, "", "latest"),
        ("", LOW, None, "", "latest"),
        ("rayproject/ray:", HIGH, None, "", ""),
        ("/".join(["a"] * 600) + "/ray:2.52.0", LOW, None, "", ""),
    ],
)
def test_an_image_says_what_its_name_says(
    image: str, confidence: Confidence, version: Any, python: str, floating: str
) -> None:
    """The grammar of spec admission §4.2; more rows stand beside the parser, in test_version."""
    said = said_by(image, SETTINGS)

    assert (said.confidence, said.version, said.python, said.floating) == (confidence, version, python, floating)


def a_cluster(changes: Changes) -> Cluster:
    placed = cluster_in(good(changes=changes))
    assert placed is not None
    return placed.cluster


ANNOTATED = "HEAD.template.metadata.annotations." + IMAGE_RAY_VERSION.replace(".", "~")
ANNOTATED_PYTHON = "HEAD.template.metadata.annotations." + IMAGE_PYTHON_VERSION.replace(".", "~")


def test_an_annotation_speaks_for_an_image_that_says_nothing() -> None:
    """And is where a finding points to."""
    cluster = a_cluster({"HC.image": f"corp/x{DIGEST}", ANNOTATED: "2.50.1", ANNOTATED_PYTHON: "3.12"})

    head = fleet_of(cluster, CONTEXT).head

    assert (head.version, head.said.python, head.of_ray) == ((2, 50, 1), "3.12", True)
    assert head.path == f"headGroupSpec.template.metadata.annotations[{IMAGE_RAY_VERSION}]"
    assert head.value == "2.50.1"


def test_an_annotation_that_is_no_version_tells_nothing() -> None:
    """It hides the tag as well: its writer had a reason."""
    assert fleet_of(a_cluster({ANNOTATED: "newest"}), CONTEXT).head.version is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rayVersion": "2.46.0"}, ((2, 46, 0), "rayVersion", Severity.DENY)),
        ({"rayVersion": "-"}, ((2, 52, 0), "headGroupSpec.template.spec.containers[0].image", Severity.DENY)),
        (
            {"rayVersion": "foo", "HC.image": "corp/x:2.9.0-py310"},
            ((2, 9, 0), "headGroupSpec.template.spec.containers[0].image", Severity.WARN),
        ),
        ({"rayVersion": "-", "HC.image": "corp/x:2.9.0"}, None),
        ({"rayVersion": "-", "HC.image": "rayproject/ray:latest"}, None),
    ],
)
def test_features_are_judged_by_ray_version_or_else_by_the_head_image(changes: Changes, expected: Any) -> None:
    """What only an unsure tag tells may never refuse."""
    version = effective_version(a_cluster(changes), CONTEXT)

    assert (version and (version.version, version.path, version.severity())) == expected


def test_a_version_without_patch_is_as_new_as_its_newest_patch() -> None:
    """`ray:2.52` may be 2.52.9."""
    version = effective_version(a_cluster({"rayVersion": "-", "HC.image": "rayproject/ray:2.52"}), CONTEXT)

    assert version is not None
    assert not version.before((2, 52, 5))
    assert version.before((2, 53, 0))


@pytest.mark.parametrize(
    ("version", "pythons"),
    [
        ((2, 52, 0), {"3.10"}),
        ((2, 51, 9), {"3.9", "3.10"}),
        ((2, 50), {"3.9", "3.10"}),
        ((2, 48, 1), {"3.9"}),
        ((2, 11, 0), {"3.9"}),
        ((2, 10, 0), {"3.8", "3.9"}),
        ((2, 9, 3), {"3.7", "3.8"}),
        ((0, 8, 7), {"3.7", "3.8"}),
    ],
)
def test_images_that_name_no_python_hold_that_of_their_release(version: Any, pythons: set[str]) -> None:
    """Two where the day of the change is not known: then either passes."""
    assert default_pythons(version) == pythons


def test_what_a_cluster_runs_is_read_once() -> None:
    """Some fifty rules ask for it; another context reads anew."""
    cluster = a_cluster({})
    other: Context = replace(CONTEXT, admission=SETTINGS)

    assert fleet_of(cluster, CONTEXT) is fleet_of(cluster, CONTEXT)
    assert fleet_of(cluster, other) is not fleet_of(cluster, CONTEXT)
