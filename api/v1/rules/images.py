"""Which Ray and which Python the images of a cluster hold, as far as their names say (spec admission §4.2).

`api.v1.version` reads one reference; here stands what a whole cluster says: the image or the annotations of each
group, the operator's own lists, and the version that counts for the cluster. Nobody is asked: no registry, no node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from api.v1.rules.model import Context, Severity
from api.v1.rules.reading import Cluster, Group, once
from api.v1.rules.settings import AdmissionSettings
from api.v1.rules.typed import mapping, text
from api.v1.version import Confidence, ImageReference, ImageVersion, Version, image_version, parse_version, split_image

__all__ = [
    "IMAGE_PYTHON_VERSION",
    "IMAGE_RAY_VERSION",
    "Effective",
    "Fleet",
    "Runs",
    "default_pythons",
    "effective_version",
    "fleet_of",
    "numbers",
    "said_by",
    "severity_at",
    "weaker",
]

# On a pod template: what its image holds, for images that do not say it by their name.
IMAGE_RAY_VERSION: Final = "ray.io/image-ray-version"
IMAGE_PYTHON_VERSION: Final = "ray.io/image-python-version"

LONGEST_IMAGE: Final = 1024  # characters; what is longer is no reference, and is not taken apart

# From this Ray on: the Pythons of which one is in its images when the tag names none; two where no date is known.
_DEFAULT_PYTHONS: Final[Sequence[tuple[Version, frozenset[str]]]] = (
    ((2, 52, 0), frozenset({"3.10"})),
    ((2, 49, 0), frozenset({"3.9", "3.10"})),
    ((2, 11, 0), frozenset({"3.9"})),
    ((2, 10, 0), frozenset({"3.8", "3.9"})),
    ((0, 0, 0), frozenset({"3.7", "3.8"})),
)


@dataclass(frozen=True)
class Runs:
    """What the Ray container of a group runs: its image, and what that or an annotation says of it."""

    group: Group
    image: str
    said: ImageVersion
    declared: bool = False  # by annotation

    @property
    def path(self) -> str:
        """Where it says so."""
        if self.declared:
            return f"{self.group.path}.template.metadata.annotations[{IMAGE_RAY_VERSION}]"
        return f"{self.group.container_path}.image"

    @property
    def value(self) -> str:
        """What stands there."""
        return mapping(self.group.pod_metadata, "annotations")[IMAGE_RAY_VERSION] if self.declared else self.image

    @once
    def reference(self) -> ImageReference:
        """The image, taken apart."""
        return split_image(self.image)

    @property
    def version(self) -> Version | None:
        """The release; None where nothing says it surely enough to speak of it, or it is none."""
        return None if self.said.confidence is Confidence.LOW else self.said.version

    @property
    def of_ray(self) -> bool:
        """It is surely an image of Ray."""
        return self.said.confidence is Confidence.HIGH


@dataclass(frozen=True)
class Fleet:
    """What the head runs and what the workers run."""

    head: Runs
    workers: Sequence[Runs]

    @once
    def all(self) -> Sequence[Runs]:
        """The head, then the workers."""
        return [self.head, *self.workers]


def fleet_of(cluster: Cluster, context: Context) -> Fleet:
    """What the groups of a cluster run; read once."""
    return cluster.remembered(_fleet, context)


def _fleet(cluster: Cluster, context: Context) -> Fleet:
    images = [text(group.ray_container, "image").strip() for group in cluster.all_groups]
    said = {image: said_by(image, context.admission) for image in dict.fromkeys(images)}
    head, *workers = (_runs(group, image, said[image]) for group, image in zip(cluster.all_groups, images, strict=True))
    return Fleet(head, workers)


def _runs(group: Group, image: str, said: ImageVersion) -> Runs:
    annotations = mapping(group.pod_metadata, "annotations") if group.pod_metadata else {}
    declared = annotations.get(IMAGE_RAY_VERSION, "").strip()
    if declared:
        python = annotations.get(IMAGE_PYTHON_VERSION, "").strip() or said.python
        said = ImageVersion(Confidence.HIGH, parse_version(declared), python=python, flavours=said.flavours)
    return Runs(group, image, said, bool(declared))


def said_by(image: str, settings: AdmissionSettings) -> ImageVersion:
    """What an image's name says, with the operator's lists of what it knows and trusts."""
    if len(image) > LONGEST_IMAGE:
        return ImageVersion(Confidence.LOW)
    known = {name: (one.ray, one.python) for name, one in settings.image_versions.items()}
    return image_version(image, trusted=settings.ray_image_repositories, known=known)


@dataclass(frozen=True, slots=True)
class Effective:
    """The version of Ray by which features are judged, how sure it is, and where it stands."""

    version: Version
    confidence: Confidence
    path: str
    value: str

    def severity(self, at_best: Severity = Severity.DENY) -> Severity:
        """What a finding that rests on it may do: a version that only an unsure tag tells never denies."""
        return at_best if self.confidence is Confidence.HIGH else Severity.WARN

    def before(self, minimum: Version) -> bool:
        """Is it older? A tag that tells no patch is as old as its newest one."""
        return self.version < minimum[: len(self.version)]

    def __str__(self) -> str:
        return numbers(self.version)


def effective_version(cluster: Cluster, context: Context) -> Effective | None:
    """rayVersion, else the head image's version; None where neither tells (spec admission §4.3)."""
    return cluster.remembered(_effective, context)


def _effective(cluster: Cluster, context: Context) -> Effective | None:
    if (version := parse_version(cluster.ray_version)) is not None:
        return Effective(version, Confidence.HIGH, "rayVersion", cluster.ray_version)
    head = fleet_of(cluster, context).head
    if head.version is None:
        return None
    return Effective(head.version, head.said.confidence, head.path, head.value)


def default_pythons(version: Version) -> frozenset[str]:
    """The Pythons of which one is in the images of that Ray whose tags name none."""
    return next(pythons for since, pythons in _DEFAULT_PYTHONS if version >= since)


def severity_at(confidence: Confidence, at_best: Severity = Severity.DENY) -> Severity | None:
    """What a finding may do that rests on so sure a reading: None, nothing at all."""
    return {Confidence.HIGH: at_best, Confidence.MEDIUM: Severity.WARN}.get(confidence)


def weaker(one: Confidence, other: Confidence) -> Confidence:
    """How sure a statement is that rests on both."""
    order = (Confidence.LOW, Confidence.MEDIUM, Confidence.HIGH)
    return min(one, other, key=order.index)


def numbers(version: Version) -> str:
    """As people write it."""
    return ".".join(str(number) for number in version)
