"""YAML files as users write them: several documents, with the line on which each field stands. Pure but for reading.

A complaint about a field (`spec.entrypint`) can so be shown with the line of the file.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

__all__ = ["Document", "Unusable", "read_documents"]

Json: TypeAlias = dict[str, Any]
Steps: TypeAlias = tuple[str | int, ...]


class Unusable(Exception):
    """The file cannot be used; the message says where and why."""


class Loader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: dates are text."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a file."""

    file: str
    body: Json
    lines: Mapping[Steps, int] = field(repr=False, default_factory=dict)  # path -> line, from 1
    text: tuple[str, ...] = field(repr=False, default=())

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

    def line_of(self, path: str) -> int:
        """The line of that field ("spec.workerGroupSpecs[0].minReplicas"), or of the nearest one around it."""
        steps = steps_of(path)
        while steps and steps not in self.lines:
            steps = steps[:-1]
        return self.lines.get(steps, 1)

    def shown(self, path: str) -> str:
        """file:line and the line itself, marked, for people."""
        line = self.line_of(path)
        source = self.text[line - 1].rstrip() if line <= len(self.text) else ""
        indent = len(source) - len(source.lstrip())
        mark = " " * indent + "^" * max(1, len(source.strip()))
        return f"{self.file}:{line}\n    {source}\n    {mark}"


def steps_of(path: str) -> Steps:
    """ "spec.a[0].b" -> ("spec", "a", 0, "b")."""
    parts = re.findall(r"\[(\d+)\]|([^.\[\]]+)", path)
    return tuple(int(index) if index else name for index, name in parts)


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
            lines: dict[Steps, int] = {}
            find_lines(node, (), lines)
            if not isinstance(body["metadata"], dict):
                raise Unusable(f"{file}:{lines[('metadata',)]}: metadata is no object")
            yield Document(file, body, lines, source)
    except yaml.YAMLError as error:
        raise Unusable(complaint(file, error)) from error
    finally:
        loader.dispose()


def find_lines(node: yaml.Node, path: Steps, lines: dict[Steps, int]) -> None:
    """The line of every field under the node."""
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*path, str(key.value))
            lines[below] = key.start_mark.line + 1
            find_lines(value, below, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            find_lines(item, (*path, index), lines)


def complaint(file: str, error: yaml.YAMLError) -> str:
    """A YAML error with its place."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    place = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
    return f"{file}{place}: this is no YAML: {problem}"
