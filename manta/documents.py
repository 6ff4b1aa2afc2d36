"""YAML files as users write them: several documents, with the line on which each field stands. Pure but for reading.

A complaint about a field (`spec.entrypint`) can so be shown with the line of the file.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml

from api.yamltext import Loader

__all__ = ["Document", "Place", "Steps", "Unusable", "below", "path_text", "read_documents", "steps_in", "steps_of"]

Json: TypeAlias = dict[str, Any]
Steps: TypeAlias = tuple[str | int, ...]


class Unusable(Exception):
    """The file cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a field stands in a file, from its key to the end of its value or of the line; counted from 1."""

    line: int
    column: int
    end: int


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a file."""

    file: str
    body: Json
    text: tuple[str, ...] = field(repr=False, default=())
    places: Mapping[Steps, Place] = field(repr=False, default_factory=dict)
    repeated: Sequence[Steps] = field(repr=False, default=())  # keys that their mapping has twice

    @property
    def kind(self) -> str:
        """What it says it is."""
        return str(self.body.get("kind", ""))

    @property
    def name(self) -> str:
        """metadata.name, or ""."""
        return str((self.body.get("metadata") or {}).get("name", ""))

    @property
    def namespace(self) -> str:
        """metadata.namespace, or "default"."""
        return str((self.body.get("metadata") or {}).get("namespace") or "default")

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"

    def place_of(self, path: str | Steps) -> Place:
        """Where that field stands ("spec.workerGroupSpecs[0].minReplicas"), or the nearest one around it."""
        steps = steps_in(self.body, path) if isinstance(path, str) else path
        while steps and steps not in self.places:
            steps = steps[:-1]
        return self.places.get(steps, NOWHERE)

    def where(self, path: str | Steps) -> str:
        """file:line:column, as editors and terminals understand it."""
        place = self.place_of(path)
        return f"{self.file}:{place.line}:{place.column}"

    def excerpt(self, path: str | Steps) -> str:
        """The line of the field with a mark under it."""
        place = self.place_of(path)
        source = self.text[place.line - 1].rstrip() if place.line <= len(self.text) else ""
        mark = " " * (place.column - 1) + "^" * max(1, min(place.end, len(source) + 1) - place.column)
        return f"    {source}\n    {mark}"


NOWHERE: Final = Place(1, 1, 1)
STEP: Final = re.compile(r"\[[^\]]*\]|[^.\[\]]+")


def steps_of(path: str) -> Steps:
    """ "spec.a[0].b" -> ("spec", "a", 0, "b")."""
    parts = re.findall(r"\[([^\]]*)\]|([^.\[\]]+)", path)
    return tuple(int(key) if key.isdigit() else key or name for key, name in parts)


def steps_in(body: Json, path: str) -> Steps:
    """The same for a path that leads through this body: of keys with dots in them, the longest that is there counts.

    The server writes such keys as they are: `spec.nodeSelector.example.com/zone`.
    """
    value: Any = body
    steps: list[str | int] = []
    while path := path.removeprefix("."):
        keys = value if isinstance(value, dict) and not path.startswith("[") else ()
        fitting = [key for key in keys if path == key or path.startswith((f"{key}.", f"{key}["))]
        if fitting:
            step: str | int = max(fitting, key=len)
            path = path[len(str(step)) :]
        else:
            match = STEP.match(path)
            step = steps_of(match[0])[0] if match is not None else path
            path = path[match.end() :] if match is not None else ""
        steps.append(step)
        value = below(value, step)
    return tuple(steps)


def below(value: Any, step: str | int) -> Any:
    """What stands there; None if nothing does."""
    if isinstance(value, dict):
        return value.get(str(step))
    return value[step] if isinstance(value, list) and isinstance(step, int) and step < len(value) else None


def path_text(steps: Steps) -> str:
    """The inverse of `steps_of`."""
    text = ""
    for step in steps:
        bare = isinstance(step, str) and "." not in step
        text += f"[{step}]" if not bare else f".{step}" if text else str(step)
    return text


def read_documents(name: str) -> list[Document]:
    """All objects of a file, or of standard input for "-". Raises Unusable."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text()
    except OSError as error:
        raise Unusable(f"cannot read {name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Unusable(f"{name} is no text file: {error}") from error
    shown = "standard input" if name == "-" else name
    documents = list(parsed(shown, text))
    if not documents:
        raise Unusable(f"{shown} holds no object")
    return documents


def parsed(file: str, text: str) -> Iterator[Document]:
    """The documents of a text. Raises Unusable."""
    source = tuple(text.splitlines())
    loader = Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            assert node is not None
            body = loader.construct_document(node)
            if body is None:
                continue
            line = node.start_mark.line + 1
            if not isinstance(body, dict):
                raise Unusable(f"{file}:{line}: expected an object with apiVersion and kind")
            for needed in ("apiVersion", "kind", "metadata"):
                if needed not in body:
                    raise Unusable(f"{file}:{line}: the object that begins here has no {needed}")
            document = Document(file, body, source, *places_in(node))
            if not isinstance(body["metadata"], dict):
                raise Unusable(f"{document.where('metadata')}: metadata is no object")
            yield document
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # `!!int x` is a ValueError
        raise Unusable(complaint(file, error)) from error
    finally:
        loader.dispose()


def places_in(node: yaml.Node) -> tuple[dict[Steps, Place], list[Steps]]:
    """The place of every field under the node; and what stands there twice."""
    places: dict[Steps, Place] = {}
    repeated: list[Steps] = []

    def look(node: yaml.Node, path: Steps, around: tuple[yaml.Node, ...] = ()) -> None:
        if any(node is one for one in around):
            raise yaml.MarkedYAMLError(None, None, "an alias stands within what it stands for", node.start_mark)
        around = (*around, node)
        places.setdefault(path, from_to(node, node))
        if isinstance(node, yaml.MappingNode):
            here = set()
            for key, value in node.value:
                inside = (*path, str(key.value))
                if inside in here:
                    repeated.append(inside)
                here.add(inside)
                places[inside] = from_to(key, value)
                look(value, inside, around)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                look(item, (*path, index), around)

    look(node, ())
    return places, repeated


def from_to(first: yaml.Node, last: yaml.Node) -> Place:
    """From the one to the other; no further than the first line."""
    start, end = first.start_mark, last.end_mark
    return Place(start.line + 1, start.column + 1, end.column + 1 if end.line == start.line else sys.maxsize)


def complaint(file: str, error: Exception) -> str:
    """What keeps a file from being read as YAML, with its place if that is known."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    place = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
    return f"{file}{place}: this is no YAML: {problem}"
