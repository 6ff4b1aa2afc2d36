"""Which files `manta lint` reads, and which parts of them are objects; the rest is skipped with a word, or unusable.

Two kinds of YAML are no objects yet: templates of a Helm chart, and what kustomize lays over objects. They are known by
where they stand (a `templates` folder beside a `Chart.yaml`; a file that a `kustomization.yaml` names as a patch), and
templates also by what keeps them from being YAML.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from api.yamltext import QuickLoader
from manta.documents import Broken, Document, content, named_file, pieces

__all__ = ["Gathered", "Skipped", "gathered"]

SUFFIXES: Final = (".yaml", ".yml", ".json")
KUSTOMIZATIONS: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
OF_KUSTOMIZE: Final = "kustomize.config.k8s.io/"
CHART: Final = "Chart.yaml"
OF_CHART: Final = frozenset({CHART, "Chart.lock", "values.yaml", "values.schema.json"})
ACTION: Final = re.compile(r"^\s*(- +)*([\w./-]+: +)?\{\{", re.MULTILINE)  # where YAML would have a value
CLAIMS: Final = re.compile(r"\bapiVersion\b")
LARGEST: Final = 64 * 1024 * 1024  # bytes; an API server takes 3 MiB at once


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file, or a part of one, that is no object and need not be."""

    file: str
    reason: str
    hint: str = ""


@dataclass(slots=True)
class Gathered:
    """What was found, in the order in which it was asked for."""

    documents: list[Document] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    files: int = 0  # that were read


def gathered(names: Iterable[str]) -> Gathered:
    """Everything in files, in folders, and on standard input for "-". A file that is named twice is read once.

    One that is named beside its folder, too, is read where it is named.
    """
    found = Gathered()
    surroundings = Surroundings()
    named: dict[str, str] = {}
    for name in names:
        named.setdefault(place_of(name), name)
    read = set(named)
    for name in named.values():
        before = (len(found.documents), len(found.broken), len(found.skipped))
        if name != "-" and os.path.isdir(name):  # noqa: PTH112 - a name may hold a NUL, at which Path raises
            files = list(files_in(name, found))
            for file in files:
                if place_of(file) not in read:
                    read.add(place_of(file))
                    take(file, found, surroundings, asked=False)
            nothing = "" if files else f"there is no file in it whose name ends with {', '.join(SUFFIXES)}"
        else:
            take(name, found, surroundings, asked=True)
            nothing = "it holds no object"
        if nothing and before == (len(found.documents), len(found.broken), len(found.skipped)):
            found.broken.append(Broken(named_file(name), nothing))
    return found


def place_of(name: str) -> str:
    """The same for all spellings of a name; links are files of their own."""
    return name if name == "-" else os.path.abspath(name)  # noqa: PTH100 - resolve() would follow links, and raise


def files_in(folder: str, found: Gathered) -> Iterator[str]:
    """YAML and JSON below a folder, sorted; not in hidden folders, such as .git and .venv."""

    def unread(error: OSError) -> None:
        found.broken.append(Broken(str(error.filename), f"cannot be read: {error.strerror}"))

    for around, folders, files in os.walk(folder, onerror=unread):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for name in sorted(files):
            file = os.path.join(around, name)  # noqa: PTH118 - whose links Path would not keep
            if name.endswith(SUFFIXES) and os.path.isfile(file):  # noqa: PTH113 - no pipe or device; Path may raise
                yield os.path.normpath(file)  # ./a.yaml is a.yaml to those who look for it in a repository


def take(name: str, found: Gathered, surroundings: Surroundings, *, asked: bool) -> None:
    """One file. What is no object is unusable in a file that was asked for, and somebody else's in a folder."""
    if skipped := surroundings.skipped(name):
        found.skipped.append(skipped)
        return
    file = named_file(name)
    text = text_of(name)
    if isinstance(text, Broken):
        found.broken.append(text)
        return
    found.files += 1
    parts = list(pieces(file, text))
    if any(isinstance(one, Broken) and not one.foreign for one in parts) and ACTION.search(text):
        found.skipped.append(Skipped(file, "a template", "render it, and lint what comes out"))
        return
    for part in parts:
        if isinstance(part, Document) and str(part.body["apiVersion"]).startswith(OF_KUSTOMIZE):
            found.skipped.append(kustomize(file, Path(name).parent))
        elif isinstance(part, Document):
            found.documents.append(part)
        elif not asked and (part.foreign or not CLAIMS.search(text)):
            found.skipped.append(Skipped(file, "no Kubernetes object"))
        else:
            found.broken.append(part)


def text_of(name: str) -> str | Broken:
    """What is in the file, or why that cannot be known."""
    try:
        size = 0 if name == "-" else os.path.getsize(name)  # noqa: PTH202 - a name may hold a NUL, see above
        if size <= LARGEST:
            return content(name)
        reason = f"it is larger than {LARGEST // 1024 // 1024} MiB"
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    except ValueError as error:
        reason = f"is no text file: {error}"
    return Broken(named_file(name), reason)


class Surroundings:
    """The charts and kustomizations around files; each folder is looked at once."""

    def __init__(self) -> None:
        self._patches: dict[Path, frozenset[Path]] = {}
        self._charts: dict[Path, bool] = {}

    def skipped(self, name: str) -> Skipped | None:
        """Why a file need not be read; None if it must be."""
        if name == "-" or "\0" in name:
            return None
        path = Path(os.path.abspath(name))  # noqa: PTH100 - resolve() would leave links behind, and charts with them
        if path.name in KUSTOMIZATIONS:
            return kustomize(name, Path(name).parent)
        for folder in path.parents:
            if self._chart(folder):
                within = path.relative_to(folder)
                if within.parts[0] == "templates" or str(within) in OF_CHART:
                    shown = os.path.relpath(folder)
                    return Skipped(name, "of a Helm chart", f"helm template {shown} | manta lint -")
            if path in self._patched(folder):
                return kustomize(name, Path(os.path.relpath(folder)))
        return None

    def _chart(self, folder: Path) -> bool:
        if folder not in self._charts:
            self._charts[folder] = os.path.isfile(folder / CHART)  # noqa: PTH113 - Path raises where it may not look
        return self._charts[folder]

    def _patched(self, folder: Path) -> frozenset[Path]:
        """The files below it that its kustomization lays over others."""
        if folder not in self._patches:
            self._patches[folder] = frozenset(patches_of(folder))
        return self._patches[folder]


def kustomize(file: str, folder: Path) -> Skipped:
    """A part of a kustomization."""
    return Skipped(file, "of kustomize", f"kubectl kustomize {folder} | manta lint -")


def patches_of(folder: Path) -> Iterator[Path]:
    """The patch files that the folder's kustomization names, as far as that can be read."""
    for name in KUSTOMIZATIONS:
        try:
            content = yaml.load((folder / name).read_text("utf-8"), QuickLoader)  # noqa: S506 - it is a safe one
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, yaml.YAMLError):
            continue  # absent, or none: its patches are then judged as objects, and complained of
        for patch in patch_names(content) if isinstance(content, Mapping) else ():
            yield Path(os.path.normpath(folder / patch))


def patch_names(content: Mapping[str, Any]) -> Iterator[str]:
    """The three ways to name them."""
    for key in ("patches", "patchesStrategicMerge", "patchesJson6902"):
        listed = content.get(key)
        for one in listed if isinstance(listed, list) else ():
            name = one.get("path") if isinstance(one, Mapping) else one
            if isinstance(name, str) and "\n" not in name and "\0" not in name:  # patchesStrategicMerge may hold YAML
                yield name
