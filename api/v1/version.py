"""Versions of Ray as people write them: in `rayVersion`, in metadata rules, in image tags.

Three readers, since the reference has three: rules and probes read `rayVersion` with a generic parser (spec
raycluster §6.2), submission metadata with a lenient semantic one (spec rayjob §8.8), and images are ours (spec
admission §4.2). They differ on purpose: "2.52.0rc1" is a version to the first and none to the second.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final, TypeAlias

__all__ = [
    "Confidence",
    "ImageReference",
    "ImageVersion",
    "SemanticVersion",
    "Version",
    "image_version",
    "is_prerelease",
    "parse_semantic_version",
    "parse_version",
    "split_image",
]

Version: TypeAlias = tuple[int, ...]

_GENERIC: Final = re.compile(r"\s*v?([0-9]+(?:\.[0-9]+){0,100})[^\n]*", re.ASCII)
_LONGEST: Final = 20  # digits of _LARGEST: no longer number is read, for reading one of a million digits takes minutes
_PRERELEASE: Final = re.compile(r"[-.]?(?:rc|a|b|alpha|beta|dev)(?![a-z])", re.ASCII)
_WORD: Final = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_SEMANTIC: Final = re.compile(
    rf"v?(?P<numbers>[0-9]{{1,20}}(?:\.[0-9]{{1,20}}){{0,2}})(?:-(?P<pre>{_WORD}))?(?:\+{_WORD})?", re.ASCII
)
_LARGEST: Final = 2**64 - 1


def parse_version(text: str) -> Version | None:
    """The leading numbers of `rayVersion`, or None: at least two, an optional v, any suffix ("2.52.0-py310").

    The first number must not have a leading zero, later ones may (spec admission AC-5). A missing third counts as 0
    and is filled in, so that what comes back compares with (2, 52, 0).
    """
    match = _GENERIC.fullmatch(text)
    if match is None:
        return None
    parts = match[1].split(".")
    if len(parts) < 2 or (len(parts[0]) > 1 and parts[0][0] == "0"):
        return None
    if any(len(part.lstrip("0")) > _LONGEST for part in parts):
        return None
    numbers = tuple(int(part.lstrip("0") or "0") for part in parts)
    return _padded(numbers) if max(numbers) <= _LARGEST else None


def is_prerelease(text: str) -> bool:
    """Does what follows the numbers of `rayVersion` mark a pre-release ("2.52.0rc1", "3.0.0.dev0")?"""
    match = _GENERIC.fullmatch(text)
    return match is not None and _PRERELEASE.match(text, match.end(1)) is not None


@dataclass(frozen=True, slots=True)
class SemanticVersion:
    """Three numbers, and the word of a pre-release."""

    numbers: tuple[int, int, int]
    prerelease: str = ""

    def at_least(self, minimum: tuple[int, int, int]) -> bool:
        """Does it satisfy ">= minimum"? A pre-release never does, as the reference's comparison has it."""
        return not self.prerelease and self.numbers >= minimum


def parse_semantic_version(text: str) -> SemanticVersion | None:
    """A lenient semantic version, or None: a v, missing parts, leading zeros and +build are accepted."""
    match = _SEMANTIC.fullmatch(text)
    if match is None:
        return None
    major, minor, patch = _padded(_numbers(match["numbers"]))
    return SemanticVersion((major, minor, patch), match["pre"] or "")


@dataclass(frozen=True, slots=True)
class ImageReference:
    """`[registry[:port]/]path[:tag][@digest]`, taken apart."""

    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def basename(self) -> str:
        """The last part of the repository's path: "ray" of "docker.io/rayproject/ray"."""
        return self.repository.rpartition("/")[2]

    @property
    def of_ray_project(self) -> bool:
        """Ray's own, or a mirror that keeps its path."""
        return self.basename in RAY_REPOSITORIES and self.repository.split("/")[-2:-1] == [RAY_PROJECT]


def split_image(image: str) -> ImageReference:
    """Take an image reference apart. A missing tag is "latest" unless there is a digest."""
    name, _, digest = image.strip().partition("@")
    slash = name.rfind("/")
    colon = name.rfind(":")
    if colon <= slash:  # the colon of a registry's port
        return ImageReference(name, "" if digest else "latest", digest)
    return ImageReference(name[:colon], name[colon + 1 :], digest)


class Confidence(Enum):
    """How sure it is that the tag speaks of Ray. Rules deny only at HIGH, warn at MEDIUM, are silent at LOW."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class ImageVersion:
    """What an image reference says of the Ray and the Python inside."""

    confidence: Confidence
    version: Version | None = None  # None: not known; two numbers where the tag gives no patch
    prerelease: bool = False
    floating: str = ""  # "latest", "nightly" or "commit": not comparable with a release
    python: str = ""  # "3.11"
    flavours: tuple[str, ...] = ()  # "gpu", "cpu", "cu124", ...


RAY_PROJECT: Final = "rayproject"
RAY_REPOSITORIES: Final = frozenset({"ray", "ray-ml", "ray-llm", "ray-deps"})
MAJOR: Final = 2  # of Ray, since 2022

_FLAVOUR: Final = re.compile(r"gpu|cpu|cu[0-9]+(?:\.[0-9]+)*|tpu|aarch64|arm64|extra|deps|llm", re.ASCII)
_CUDA: Final = re.compile(r"cu[0-9]+(?:\.[0-9]+)*", re.ASCII)
_PYTHON: Final = re.compile(r"py(?P<major>[23])\.?(?P<minor>[0-9]{1,2})", re.ASCII)
_RELEASE: Final = re.compile(
    r"v?(?P<numbers>[1-3]\.[0-9]{1,4}\.[0-9]{1,4})"
    r"(?:(?P<pre>\.?(?:rc|a|b|alpha|beta|dev)\.?[0-9]*)|\.(?:post[0-9]+|(?P<word>[0-9A-Za-z]+)))?",
    re.ASCII,
)
_MARK: Final = re.compile(r"(?:rc|alpha|beta|dev)[.0-9]*", re.ASCII)
_COMMIT: Final = re.compile(r"[0-9a-f]{6,40}", re.ASCII)
_DATE: Final = re.compile(r"(?:19|20)[0-9]{2}-[0-9]{1,2}-[0-9]{1,2}", re.ASCII)
_PREFIXED: Final = re.compile(r"(?:[A-Za-z]+-)?v?(?P<numbers>[1-3]\.[0-9]{1,4}(?:\.[0-9]{1,4})?)(?:-.*)?", re.ASCII)


def image_version(
    image: str, *, trusted: Iterable[str] = (), known: Mapping[str, tuple[str, str]] | None = None
) -> ImageVersion:
    """What an image reference says, without asking anybody.

    `trusted` are globs of repositories that count as Ray's own; `known` maps whole references or digests to
    (Ray version, Python version), both as text (spec admission §4.2).
    """
    reference = split_image(image)
    for key in (image, reference.digest):
        if key and known and key in known:
            version, python = known[key]
            return ImageVersion(Confidence.HIGH, parse_version(version), python=python)
    vouched = reference.of_ray_project or any(fnmatchcase(reference.repository, glob) for glob in trusted)
    namesake = reference.basename in RAY_REPOSITORIES
    found = _of_tag(reference.tag, rayish=vouched or namesake or reference.basename.startswith("ray"))
    sure = Confidence.HIGH if vouched else _confidence(found, namesake)
    return ImageVersion(sure, found.version, found.prerelease, found.floating, found.python, found.flavours)


def _confidence(found: ImageVersion, namesake: bool) -> Confidence:
    """Of a repository that nobody vouches for; `namesake`: its name is that of one of Ray's.

    Many a team counts builds of its own as 1.4.2-gpu. Only Ray's major version beside a Python or a CUDA is believed.
    """
    if found.version is not None and len(found.version) == 3 and (found.python or found.flavours):
        toolchain = found.python or any(_CUDA.fullmatch(one) for one in found.flavours)
        believed = namesake and found.version[0] == MAJOR and toolchain
        return Confidence.HIGH if believed else Confidence.MEDIUM
    return Confidence.MEDIUM if namesake else Confidence.LOW


@lru_cache(maxsize=1024)  # clusters of many groups name the same image in each
def _of_tag(tag: str, *, rayish: bool) -> ImageVersion:
    """The tag alone; its confidence is not yet known."""
    first, *rest = tag.split("-")
    python, flavours, unknown = _suffixes(rest)
    floating = "nightly" if first in ("nightly", "master") or first.startswith("nightly.") else ""
    if first == "latest":
        floating = "latest"
    elif _COMMIT.fullmatch(first) and not unknown:
        floating = "commit"
    if floating:
        return ImageVersion(Confidence.LOW, floating=floating, python=python, flavours=flavours)
    release = _RELEASE.fullmatch(first)
    if release and all(_MARK.fullmatch(word) for word in unknown):
        pre = bool(release["pre"] or unknown)
        return ImageVersion(Confidence.LOW, _numbers(release["numbers"]), pre, python=python, flavours=flavours)
    prefixed = _PREFIXED.fullmatch(tag)
    if rayish and prefixed and not _DATE.match(tag):
        return ImageVersion(Confidence.LOW, _numbers(prefixed["numbers"]), python=python, flavours=flavours)
    return ImageVersion(Confidence.LOW, python=python, flavours=flavours)


def _suffixes(words: list[str]) -> tuple[str, tuple[str, ...], list[str]]:
    """Python version, flavours, and what is neither."""
    python, flavours, unknown = "", [], []
    for word in words:
        if match := _PYTHON.fullmatch(word):
            python = f"{match['major']}.{match['minor']}"
        elif _FLAVOUR.fullmatch(word):
            flavours.append(word)
        else:
            unknown.append(word)
    return python, tuple(flavours), unknown


def _numbers(text: str) -> Version:
    return tuple(int(part) for part in text.split("."))


def _padded(version: Version) -> Version:
    return version + (0,) * (3 - len(version))
