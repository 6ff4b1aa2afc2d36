"""What an image's name says."""

from __future__ import annotations

import pytest

from localcluster.node.references import RayTag, canonical, parse, ray_tag


@pytest.mark.parametrize(
    ("image", "path", "tag", "digest"),
    [
        ("rayproject/ray:2.52.0", "rayproject/ray", "2.52.0", ""),
        ("rayproject/ray", "rayproject/ray", "latest", ""),
        ("localhost:5000/ray", "localhost:5000/ray", "latest", ""),
        ("registry.corp:443/x/ray:2.52.0", "registry.corp:443/x/ray", "2.52.0", ""),
        (f"ray@sha256:{'a' * 64}", "ray", "", f"sha256:{'a' * 64}"),
        (f"ray:2.52.0@sha256:{'a' * 64}", "ray", "2.52.0", f"sha256:{'a' * 64}"),
    ],
)
def test_a_name_is_taken_apart_at_tag_and_digest_but_not_at_a_registrys_port(
    image: str, path: str, tag: str, digest: str
) -> None:
    """A colon before the last slash is a port."""
    reference = parse(image)

    assert (reference.path, reference.tag, reference.digest) == (path, tag, digest)


@pytest.mark.parametrize("image", ["", "Ray:2.52.0", "ray:", "ray:a b", "ray@sha256:abc", "$IMAGE"])
def test_what_is_no_reference_is_refused(image: str) -> None:
    """Upper case in the path, too, as everywhere."""
    with pytest.raises(ValueError, match="invalid reference format"):
        parse(image)


@pytest.mark.parametrize(
    ("image", "ray", "python"),
    [
        ("rayproject/ray:2.52.0", "2.52.0", ""),
        ("rayproject/ray:v2.52.0", "2.52.0", ""),
        ("rayproject/ray:2.52.0rc1", "2.52.0rc1", ""),
        ("rayproject/ray:2.52.0-rc.1", "2.52.0rc1", ""),
        ("rayproject/ray:2.52.0.post1", "2.52.0.post1", ""),
        ("rayproject/ray:2.52.0-py311-cpu", "2.52.0", "3.11"),
        ("rayproject/ray:2.52.0-py39", "2.52.0", "3.9"),
        ("rayproject/ray:2.52.0-py3.10-gpu", "2.52.0", "3.10"),
        ("rayproject/ray:2.52.0-cu12.4.1-py312", "2.52.0", "3.12"),
        ("rayproject/ray:2.52.0.9527a5-extra-py310-cpu", "2.52.0", "3.10"),
        ("rayproject/ray-ml:2.46.0.0e19ea-py39", "2.46.0", "3.9"),
        ("quay.io/corp/ray:releases-2.52.0", "2.52.0", ""),
        ("corp/training:2.52.0-py311-cpu", "2.52.0", "3.11"),
    ],
)
def test_a_rays_tag_tells_its_versions(image: str, ray: str, python: str) -> None:
    """A flavour as Ray's images have makes any repository's tag one."""
    assert ray_tag(parse(image)) == RayTag(ray, python)


@pytest.mark.parametrize(
    "image",
    [
        "rayproject/ray:latest",
        "rayproject/ray:nightly-py311-cpu",
        "rayproject/ray:2026-01-15",
        "rayproject/ray:2.52",
        "rayproject/ray:12.0.0",
        "nginx:1.27.0",
        "python:3.11.4",
        "verl:ngc-th2.6.0-cu126-vllm0.8.4",
    ],
)
def test_other_tags_tell_none(image: str) -> None:
    """A wrong guess would start a wrong Ray."""
    assert ray_tag(parse(image)) is None


@pytest.mark.parametrize(
    ("written", "whole"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("rayproject/ray:2.52.0", "docker.io/rayproject/ray:2.52.0"),
        ("quay.io/x/y:1", "quay.io/x/y:1"),
        ("localhost:5000/y", "localhost:5000/y:latest"),
        ("localhost/y:1", "localhost/y:1"),
        (f"a/b@sha256:{'0' * 64}", f"docker.io/a/b@sha256:{'0' * 64}"),
        ("no image!", "no image!"),
    ],
)
def test_a_runtime_knows_an_image_by_its_whole_name(written: str, whole: str) -> None:
    """Registry, path and tag filled in."""
    assert canonical(written) == whole
