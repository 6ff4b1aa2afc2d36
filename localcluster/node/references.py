"""What an image's name says: repository, tag, digest, and the tag's Ray and Python versions (spec admission §4.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["RayTag", "Reference", "canonical", "parse", "ray_tag"]

_GRAMMAR: Final = re.compile(
    r"(?:(?P<registry>[\w.\-]+(?::\d+)?|\[[0-9a-fA-F:]+\](?::\d+)?)/)?"
    r"(?P<path>[a-z0-9]+(?:[._\-/]+[a-z0-9]+)*)"
    r"(?::(?P<tag>[\w][\w.\-]{0,127}))?(?:@(?P<digest>[a-z0-9]+(?:[+._\-][a-z0-9]+)*:[0-9a-fA-F]{32,}))?"
)
_VERSION: Final = re.compile(
    r"(?:releases-|ray-)?v?(?P<base>\d+\.\d+\.\d+)(?P<pre>rc\d+|-rc\.?\d+|\.post\d+|\.dev\d+)?"
    r"(?:\.[0-9a-f]{6,40})?(?P<rest>(?:-[a-z0-9.]+)*)"
)
_PYTHON: Final = re.compile(r"py(\d)\.?(\d{1,2})")
_FLAVOUR: Final = re.compile(r"gpu|cpu|tpu|cu\d[\d.]*|aarch64|arm64|extra|deps|llm|py\d\.?\d{1,2}")


@dataclass(frozen=True, slots=True)
class Reference:
    """An image's name, taken apart."""

    path: str  # with the registry
    tag: str  # "latest" if it says neither tag nor digest
    digest: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class RayTag:
    """The Ray version of a tag, and its Python as "3.11"; "": it says none."""

    ray: str
    python: str


def parse(image: str) -> Reference:
    """Raises ValueError for what is no image reference."""
    found = _GRAMMAR.fullmatch(image)
    if found is None:
        raise ValueError(f'couldn\'t parse image name "{image}": invalid reference format')
    path = "/".join(part for part in (found["registry"], found["path"]) if part)
    return Reference(path, found["tag"] or ("" if found["digest"] else "latest"), found["digest"] or "")


def canonical(image: str) -> str:
    """The name as a container runtime keeps it: "ray:1" is "docker.io/library/ray:1". Other text stays as it is."""
    try:
        reference = parse(image)
    except ValueError:
        return image
    first, slash, _ = reference.path.partition("/")
    path = reference.path
    if not slash:
        path = f"docker.io/library/{path}"
    elif first != "localhost" and "." not in first and ":" not in first:
        path = f"docker.io/{path}"
    tag = f":{reference.tag}" if reference.tag else ""
    return f"{path}{tag}" + (f"@{reference.digest}" if reference.digest else "")


def ray_tag(reference: Reference) -> RayTag | None:
    """What the tag says if it is one of a Ray image: by the repository's name, or by a flavour as Ray's images have."""
    found = _VERSION.fullmatch(reference.tag)
    if found is None or found["base"].partition(".")[0] not in ("1", "2", "3"):
        return None
    words = found["rest"].strip("-").split("-") if found["rest"] else []
    if not reference.name.startswith("ray") and not any(_FLAVOUR.fullmatch(word) for word in words):
        return None
    python = next((match for word in words if (match := _PYTHON.fullmatch(word))), None)
    before = (found["pre"] or "").lstrip("-").replace("rc.", "rc")
    return RayTag(found["base"] + before, f"{python[1]}.{python[2]}" if python else "")
