"""YAML files as users write them: several documents, with the line on which each field stands. Pure but for reading.

A complaint about a field (`spec.entrypint`) can so be shown with the line of the file.
"""

from __future__ import annotations

import codecs
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml

from api.yamltext import Loader, QuickLoader
from manta.places import Place, Steps, checked, places_in, repeated_in

__all__ = [
    "UNREADABLE",
    "Broken",
    "Document",
    "Place",
    "Steps",
    "Unusable",
    "below",
    "bodies",
    "content",
    "named_file",
    "parsed",
    "path_text",
    "pieces",
    "read_documents",
    "roots",
    "steps_in",
    "steps_of",
]

Json: TypeAlias = dict[str, Any]


class Unusable(Exception):
    """The file cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A part of a file that is no object: where, why, and the line itself if it is known."""

    file: str
    message: str
    line: int = 0  # counted from 1; 0: all of it
    column: int = 0
    source: str = field(default="", repr=False)
    foreign: bool = False  # it does not claim to be an object: YAML of somebody else

    def __str__(self) -> str:
        place = f":{self.line}" if self.line else ""
        return f"{self.file}{place}{f':{self.column}' if self.column else ''}: {self.message}"

    @property
    def excerpt(self) -> str:
        """The line with a mark under it; "" where it is not known."""
        return marked(self.source, self.column, self.column + 1) if self.source and self.column else ""


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

    def place_of(self, path: str | Steps | Place) -> Place:
        """Where that field stands ("spec.workerGroupSpecs[0].minReplicas"), or the nearest one around it."""
        if isinstance(path, Place):
            return path
        steps = steps_in(self.body, path) if isinstance(path, str) else path
        while steps and steps not in self.places:
            steps = steps[:-1]
        return self.places.get(steps, NOWHERE)

    def where(self, path: str | Steps | Place) -> str:
        """file:line:column, as editors and terminals understand it."""
        place = self.place_of(path)
        return f"{self.file}:{place.line}:{place.column}"

    def excerpt(self, path: str | Steps | Place) -> str:
        """The line of the field with a mark under it; of a long line what is around the mark."""
        place = self.place_of(path)
        source = self.text[place.line - 1].rstrip() if place.line <= len(self.text) else ""
        return marked(source, place.column, place.end)


def marked(source: str, column: int, end: int) -> str:
    """A line, and under it a mark from a column to another."""
    first, last = column - 1, max(column, min(end - 1, len(source)))
    begin = max(0, first - BEFORE) if len(source) > LONGEST else 0
    shown = source[begin : begin + LONGEST]
    mark = re.sub(r"[^\t]", " ", shown[: first - begin]) + "^" * (min(last, begin + LONGEST) - first)
    return f"    {shown}\n    {mark}"


NOWHERE: Final = Place(1, 1, 1)
LONGEST: Final = 160  # characters of a line that are shown; JSON may have all in one
BEFORE: Final = 60
STDIN: Final = "standard input"
MOST_READ_SLOWLY: Final = 1_000_000  # characters; some seconds
UNREADABLE: Final = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError)
LINE_END: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # as YAML counts lines
MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark begins it
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
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
    documents = list(parsed(named_file(name), read_text(name)))
    if not documents:
        raise Unusable(f"{named_file(name)} holds no object")
    return documents


def named_file(name: str) -> str:
    """As people are told of it."""
    return STDIN if name == "-" else name


def read_text(name: str) -> str:
    """What is in the file. Raises Unusable."""
    try:
        return content(name)
    except OSError as error:
        raise Unusable(f"cannot read {name}: {error.strerror}") from error
    except ValueError as error:
        raise Unusable(f"{named_file(name)} is no text file: {error}") from error


def content(name: str) -> str:
    """The same. Raises OSError; ValueError for bytes that are no text, and names that are none."""
    if name == "-":
        return decoded(sys.stdin.buffer.read()) if hasattr(sys.stdin, "buffer") else sys.stdin.read()
    return decoded(Path(name).read_bytes())


def decoded(data: bytes) -> str:
    """YAML is in UTF-8 unless its first bytes say otherwise. Raises UnicodeDecodeError."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return data.decode(encoding)
    return data.decode("utf-8")


def parsed(file: str, text: str) -> Iterator[Document]:
    """The documents of a text. Raises Unusable for the first part that is none."""
    for piece in pieces(file, text):
        if isinstance(piece, Broken):
            raise Unusable(str(piece))
        yield piece


def pieces(file: str, text: str) -> Iterator[Document | Broken]:
    """Everything in a text, in its order, lists (`kind: List`) item by item. What follows broken YAML is not read."""
    source = tuple(LINE_END.split(text))
    whole = json_in(text)
    if whole is not None:
        text = text.replace("\t", " ")  # JSON has tabs between its words only, and YAML none
    try:
        for node, loader in roots(text):
            try:
                body, places, repeated = bodies(node, loader)
            except UNREADABLE as error:
                yield broken(file, source, error)
            else:
                yield from objects_in(file, source, body if whole is None else whole, places, repeated)
    except UNREADABLE as error:
        yield broken(file, source, error)


def broken(file: str, source: Sequence[str], error: Exception) -> Broken:
    """What keeps a text from being read as YAML, with its place if that is known."""
    mark = getattr(error, "problem_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
    match error:
        case RecursionError():
            problem = "it is nested too deeply"
        case LookupError() | AttributeError() | TypeError():  # the library's way to say that of `!!bool maybe`
            problem = "a value is none of the type that its tag names"
        case _:
            problem = getattr(error, "problem", None) or str(error)
    shown = source[line - 1] if 0 < line <= len(source) else ""
    return Broken(file, f"this is no YAML: {problem}", line, column, shown)


def json_in(text: str) -> Any:
    """The object of a JSON text; None if it is none. YAML would read `1e3` and half of an emoji otherwise."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def roots(text: str) -> Iterator[tuple[yaml.Node, Any]]:
    """The documents' nodes, each with the loader that builds what they stand for. Raises YAMLError after the last good.

    The quick loader has shorter complaints, and refuses what is written for others: the other one is asked then.
    """
    try:
        found = list(nodes(QuickLoader, text))
    except yaml.YAMLError:
        if len(text) > MOST_READ_SLOWLY:
            raise
        yield from nodes(Loader, text)
    else:
        yield from found


def nodes(kind: type[Any], text: str) -> Iterator[tuple[yaml.Node, Any]]:
    """See `roots`."""
    loader = kind(text)
    while loader.check_node():
        node = loader.get_node()
        assert node is not None
        yield node, loader


def bodies(node: yaml.Node, loader: Any) -> tuple[Any, Mapping[Steps, Place], Sequence[Steps]]:
    """What a node stands for, where everything stands, and what stands there twice. Raises UNREADABLE."""
    repeated = repeated_in(checked(node))
    body = loader.construct_document(node)
    return body, {**places_in(node), **repeated}, list(repeated)


def objects_in(
    file: str, source: tuple[str, ...], body: Any, places: Mapping[Steps, Place], repeated: Sequence[Steps]
) -> Iterator[Document | Broken]:
    """The object, the objects of a list, or why it is none."""
    place = places.get((), NOWHERE)
    here = Broken(file, "", place.line, 0, source[place.line - 1])
    if body is None:
        return
    if not isinstance(body, dict):
        yield replace(here, message="expected an object with apiVersion and kind", foreign=True)
        return
    items = body.get("items")
    if str(body.get("kind", "")).endswith("List") and isinstance(items, list):
        inside: list[dict[Steps, Place]] = [{} for _ in items]
        for steps, one in places.items():
            if steps[:1] == ("items",) and len(steps) > 1:
                inside[int(steps[1])][steps[2:]] = one
        for index, item in enumerate(items):
            twice = [steps[2:] for steps in repeated if steps[:2] == ("items", index)]
            yield from objects_in(file, source, item, inside[index], twice)
        return
    missing = [needed for needed in ("apiVersion", "kind", "metadata") if needed not in body]
    if missing:
        foreign = "apiVersion" in missing and "kind" in missing
        yield replace(here, message=f"the object that begins here has no {missing[0]}", foreign=foreign)
    elif not isinstance(body["metadata"], dict):
        place = places.get(("metadata",), place)
        line = source[place.line - 1]
        yield Broken(file, "metadata is no object", place.line, place.column, line)
    else:
        yield Document(file, body, source, places, repeated)
