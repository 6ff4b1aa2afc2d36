"""Three ways to read a version, each as lenient as the place it stands in."""

from __future__ import annotations

import pytest

from api.v1.version import (
    Confidence,
    ImageReference,
    ImageVersion,
    SemanticVersion,
    image_version,
    parse_semantic_version,
    parse_version,
    split_image,
)


@pytest.mark.spec("admission:AC-5", "raycluster:E15")
@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("2.52", (2, 52, 0)),
        ("2.52.0", (2, 52, 0)),
        (" v2.52.0-py310 ", (2, 52, 0)),
        ("2.53.0rc1", (2, 53, 0)),
        ("2.05", (2, 5, 0)),
        ("2.5.", (2, 5, 0)),
        ("0.1", (0, 1, 0)),
        ("\t2.5.1.7.8foo", (2, 5, 1, 7, 8)),
        ("02.5", None),
        ("2", None),
        ("", None),
        ("2..5", None),
        ("V2.5", None),
        ("v 2.5", None),
        ("2.52\n", None),
        ("nightly", None),
        ("latest", None),
        ("2.99999999999999999999999", None),
        (f"2.{'9' * 5000}", None),
        (f"2.{'0' * 5000}7", (2, 7, 0)),
        (f"{'9' * 5000}.1", None),
        pytest.param("2.52" + ".0" * 500_000, (2, 52, *[0] * 99), id="of a megabyte"),
    ],
)
def test_ray_version_reads_leading_numbers_and_ignores_the_rest(text: str, version: tuple[int, ...] | None) -> None:
    """The answers are those of the reference's parser."""
    assert parse_version(text) == version


@pytest.mark.parametrize(
    ("text", "enough"),
    [
        ("2.9.0", True),
        ("v2.9", True),
        ("2.9", True),
        ("2.6", True),
        ("02.09.0", True),
        ("2.9.0+build", True),
        ("2", False),
        ("2.5.9", False),
        ("2.9.0-rc1", False),
        ("2.52.0-py310", False),
    ],
)
@pytest.mark.spec("admission:AC-12")
def test_a_semantic_version_lets_no_prerelease_pass_a_minimum(text: str, enough: bool) -> None:
    """Metadata needs Ray 2.6.0."""
    version = parse_semantic_version(text)

    assert version is not None
    assert version.at_least((2, 6, 0)) is enough


@pytest.mark.parametrize("text", ["2.9.0rc1", "nightly", "3.0.0.dev0", "", "2.", "2.52.0 ", f"2.{'9' * 5000}"])
def test_what_is_no_semantic_version_is_none(text: str) -> None:
    """Such a RayJob with metadata cannot be submitted."""
    assert parse_semantic_version(text) is None


def test_a_semantic_version_keeps_its_prerelease() -> None:
    """It parses, and fails each minimum."""
    assert parse_semantic_version("v2.9-rc.1") == SemanticVersion((2, 9, 0), "rc.1")


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ("ray", ImageReference("ray", "latest")),
        ("rayproject/ray:2.52.0", ImageReference("rayproject/ray", "2.52.0")),
        ("localhost:5000/ray", ImageReference("localhost:5000/ray", "latest")),
        ("registry.corp:443/x/ray:2.52.0", ImageReference("registry.corp:443/x/ray", "2.52.0")),
        ("ray@sha256:" + "a" * 64, ImageReference("ray", "", "sha256:" + "a" * 64)),
        ("a/ray:1.2.3@sha256:" + "b" * 64, ImageReference("a/ray", "1.2.3", "sha256:" + "b" * 64)),
        ("REGISTRY.Corp/Ray:2.1.0", ImageReference("REGISTRY.Corp/Ray", "2.1.0")),
    ],
)
def test_a_port_is_no_tag(image: str, reference: ImageReference) -> None:
    """Only a colon after the last slash separates the tag."""
    assert split_image(image) == reference


RELEASE = (2, 52, 0)
HIGH, MEDIUM, LOW = Confidence.HIGH, Confidence.MEDIUM, Confidence.LOW


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("2.52.0", ImageVersion(HIGH, RELEASE)),
        ("v2.52.0", ImageVersion(HIGH, RELEASE)),
        ("2.52.0rc1", ImageVersion(HIGH, RELEASE, prerelease=True)),
        ("2.52.0.post1", ImageVersion(HIGH, RELEASE)),
        ("2.52.0.dev0", ImageVersion(HIGH, RELEASE, prerelease=True)),
        ("2.52.0-rc.1", ImageVersion(HIGH, RELEASE, prerelease=True)),
        ("2.52.0-py310", ImageVersion(HIGH, RELEASE, python="3.10")),
        ("2.52.0-py39", ImageVersion(HIGH, RELEASE, python="3.9")),
        ("2.52.0-py3.10", ImageVersion(HIGH, RELEASE, python="3.10")),
        ("2.52.0-gpu", ImageVersion(HIGH, RELEASE, flavours=("gpu",))),
        ("2.52.0-cu12.4.1", ImageVersion(HIGH, RELEASE, flavours=("cu12.4.1",))),
        ("2.52.0-py311-cu128", ImageVersion(HIGH, RELEASE, python="3.11", flavours=("cu128",))),
        ("2.52.0-cpu-py311-aarch64", ImageVersion(HIGH, RELEASE, python="3.11", flavours=("cpu", "aarch64"))),
        ("2.52.0.9527a5-extra-py310-cpu", ImageVersion(HIGH, RELEASE, python="3.10", flavours=("extra", "cpu"))),
        ("2.49.2.deprecated-py311-gpu", ImageVersion(HIGH, (2, 49, 2), python="3.11", flavours=("gpu",))),
        ("nightly", ImageVersion(HIGH, floating="nightly")),
        ("nightly-py311-cpu", ImageVersion(HIGH, floating="nightly", python="3.11", flavours=("cpu",))),
        ("nightly.250801.abc123", ImageVersion(HIGH, floating="nightly")),
        ("master", ImageVersion(HIGH, floating="nightly")),
        ("9527a5", ImageVersion(HIGH, floating="commit")),
        ("9527a5e0-py310", ImageVersion(HIGH, floating="commit", python="3.10")),
        ("latest", ImageVersion(HIGH, floating="latest")),
        ("latest-py310", ImageVersion(HIGH, floating="latest", python="3.10")),
        ("latest-gpu", ImageVersion(HIGH, floating="latest", flavours=("gpu",))),
        ("releases-2.52.0", ImageVersion(HIGH, RELEASE)),
        ("ray-2.52.0", ImageVersion(HIGH, RELEASE)),
        ("2.52", ImageVersion(HIGH, (2, 52))),
        ("mycompany-2.52.0-3", ImageVersion(HIGH, RELEASE)),
        ("v1.3", ImageVersion(HIGH, (1, 3))),
        ("2026-01-15", ImageVersion(HIGH)),
        ("7.1.0", ImageVersion(HIGH)),
    ],
)
@pytest.mark.spec("admission:AC-16")
def test_a_tag_of_rays_own_images_tells_version_python_and_flavours(tag: str, expected: ImageVersion) -> None:
    """The table of spec admission §4.2, for the repository `ray`."""
    assert image_version(f"rayproject/ray:{tag}") == expected


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("corp/train:2.52.0", ImageVersion(LOW, RELEASE)),
        ("corp/train:2.52.0-py310", ImageVersion(MEDIUM, RELEASE, python="3.10")),
        ("corp/train:ray-2.52.0", ImageVersion(LOW)),
        ("corp/train:2.52", ImageVersion(LOW)),
        ("corp/ray-train:2.52", ImageVersion(LOW, (2, 52))),
        ("acme/ray:2.9", ImageVersion(MEDIUM, (2, 9))),
        ("acme/ray:2.52.0", ImageVersion(MEDIUM, RELEASE)),
        ("ray:2.52.0", ImageVersion(MEDIUM, RELEASE)),
        ("acme/ray:latest", ImageVersion(MEDIUM, floating="latest")),
        ("acme/ray:2.52.0-py311", ImageVersion(HIGH, RELEASE, python="3.11")),
        ("acme/ray:2.52.0-cu128", ImageVersion(HIGH, RELEASE, flavours=("cu128",))),
        ("rocm/ray:2.52.0-tpu", ImageVersion(MEDIUM, RELEASE, flavours=("tpu",))),
        ("acme/ray:1.4.2-gpu", ImageVersion(MEDIUM, (1, 4, 2), flavours=("gpu",))),
        ("acme/ray:1.4.2-py311", ImageVersion(MEDIUM, (1, 4, 2), python="3.11")),
        ("notrayproject/ray:2.52.0", ImageVersion(MEDIUM, RELEASE)),
        ("registry.corp:443/rayproject/ray:2.52.0", ImageVersion(HIGH, RELEASE)),
        ("verl:ngc-th2.6.0-cu126-vllm0.8.4-flashinfer0.2.2-cxx11abi0", ImageVersion(LOW, flavours=("cu126",))),
        ("$VLLM_IMAGE", ImageVersion(LOW, floating="latest")),
        ("rayproject/ray-llm:2.52.0-py311-cu128", ImageVersion(HIGH, RELEASE, python="3.11", flavours=("cu128",))),
        ("rayproject/ray@sha256:" + "a" * 64, ImageVersion(HIGH)),
    ],
)
def test_other_peoples_images_are_believed_less(image: str, expected: ImageVersion) -> None:
    """A tag may speak of another program."""
    assert image_version(image) == expected


def test_the_configuration_may_vouch_for_a_repository_or_an_image() -> None:
    """Private builds and digests can be judged, too."""
    digest = "sha256:" + "c" * 64

    assert image_version("quay.io/modh/ray-x:2.52.0", trusted=["quay.io/modh/ray*"]).confidence is HIGH
    assert image_version(f"a/b@{digest}", known={digest: ("2.52.0", "3.11")}) == ImageVersion(
        HIGH, RELEASE, python="3.11"
    )
