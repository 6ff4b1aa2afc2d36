"""runtimeEnvYAML as users write it -> JSON as Ray takes it (spec rayjob §8.8).

Read leniently, as the reference does: of repeated keys the last wins, only the first document counts, dates stay
text, keys that are no text become text, and a number of integral value loses its decimal point.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Final, TypeAlias

import yaml

from api.meta import Json
from api.yamlbuilt import Unusual, built
from api.yamltext import QuickLoader

__all__ = [
    "MOST_VALUES",
    "NOT_READ",
    "Mark",
    "RuntimeEnvError",
    "first_document",
    "is_local",
    "mark_of",
    "normalized",
    "one_line",
    "parse_runtime_env",
]

# What a text may raise that is no YAML, or whose tags say of it what it is not ("!!bool x").
NOT_READ: Final = (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError)
_CONSTRUCTOR: Final = yaml.constructor.SafeConstructor()  # reads single scalars, and keeps nothing of them
_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.ASCII | re.IGNORECASE)
MOST_VALUES: Final = 100_000  # of one text; more are aliases of aliases, which double and double


Mark: TypeAlias = tuple[int, int]  # line and column in a text, counted from 1


class RuntimeEnvError(ValueError):
    """The text is no YAML mapping; `mark` is where it stops being one, if that is known."""

    def __init__(self, message: str, mark: Mark | None = None) -> None:
        super().__init__(message)
        self.mark = mark


def parse_runtime_env(text: str) -> Json | None:
    """The mapping; None for an empty, blank, comment-only or null text. Raises RuntimeEnvError."""
    try:
        content = _content(text)
    except NOT_READ as error:
        raise RuntimeEnvError(
            f"failed to unmarshal RuntimeEnvYAML: {text}: {one_line(error)}", mark_of(error)
        ) from error
    if content is not None and not isinstance(content, dict):
        raise RuntimeEnvError(f"failed to unmarshal RuntimeEnvYAML: {text}: not a mapping")
    return content


def _content(text: str) -> Any:
    try:
        return built(text, _plain, most=MOST_VALUES, null_keys=True)
    except Unusual:
        return normalized(first_document(QuickLoader, text))


def _plain(event: yaml.ScalarEvent) -> Any:
    """As the loader reads it, JSON-ready."""
    text = str(event.value)
    for tag, pattern in QuickLoader.yaml_implicit_resolvers.get(text[:1], ()):
        if pattern.match(text):
            made = QuickLoader.yaml_constructors.get(tag, QuickLoader.yaml_constructors[None])
            return _scalar(made(_CONSTRUCTOR, yaml.ScalarNode(tag, text)))
    return text


def first_document(loading: Callable[[str], Any], text: str) -> Any:
    """What the first document of a text holds; None where there is none. Raises YAMLError and its like."""
    loader = loading(text)
    try:
        return loader.get_data() if loader.check_data() else None
    finally:
        loader.dispose()


def normalized(value: Any) -> Any:
    """As JSON has it: integral numbers are integers. Raises ValueError for what it has no place for, and that or
    RecursionError for aliases without end.
    """
    return _normalized(value, count())


def _normalized(value: Any, seen: Iterator[int]) -> Any:
    if next(seen) > MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES} values")
    match value:
        case dict():
            return {key: _normalized(member, seen) for key, member in value.items()}
        case list() | tuple():
            return [_normalized(member, seen) for member in value]
        case _:
            return _scalar(value)


def _scalar(value: Any) -> Any:
    match value:
        case float() if value.is_integer() and abs(value) < 2**63:
            return int(value)
        case float() if not math.isfinite(value):
            raise ValueError(f"{value} has no place in JSON")
        case bytes():
            return value.decode()  # of !!binary
        case str() | int() | float() | None:  # a truth is a number, too
            return value
        case _:
            raise ValueError(f"a {type(value).__name__} has no place in JSON")


def is_local(folder: Any) -> bool:
    """Is that `working_dir`, or entry of `py_modules`, no URI, but a path on the machine of who submits it?"""
    return isinstance(folder, str) and folder != "" and not _URI.match(folder)


def mark_of(error: Exception) -> Mark | None:
    """Where a YAML error is, if it says so."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return (mark.line + 1, mark.column + 1) if mark is not None else None


def one_line(error: Exception) -> str:
    """A YAML error without its line breaks, and without the file that there is not."""
    return " ".join(str(error).split()).replace(' in "<unicode string>",', " at")
