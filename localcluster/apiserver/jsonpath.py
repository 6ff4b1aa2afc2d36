"""The JSONPath of printer columns: members, indexes, `[*]` and filters such as `[?(@.type=="Ready")]` (TAB-1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, TypeAlias

__all__ = ["BadPath", "find"]

Step: TypeAlias = Callable[[Any], Iterable[Any]]

TOKEN = re.compile(
    r"""
      \.?\[\?\(\s*@(?P<left>[.\w\-/\\]*)\s*(?:(?P<op>==|!=|>=|<=|>|<)\s*(?P<right>"[^"]*"|'[^']*'|[\w.\-]+))?\s*\)\]
    | \.?\[\s*(?P<index>-?\d+)\s*\]
    | \.?\[\s*(?P<all>\*)\s*\]
    | \.?\[\s*['"](?P<quoted>[^'"]+)['"]\s*\]
    | \.(?P<deep>\.)
    | \.?(?P<member>(?:[\w\-/$]|\\.)+)
    | \.(?P<star>\*)
    """,
    re.VERBOSE,
)


class BadPath(ValueError):
    """No JSONPath that printer columns know."""


def find(path: str, value: Any) -> list[Any]:
    """All that the path finds in the value, in order; absent members find nothing. Raises BadPath."""
    found = [value]
    for step in _steps(path):
        found = [one for each in found for one in step(each)]
    return found


@lru_cache(maxsize=2048)
def _steps(path: str) -> tuple[Step, ...]:
    text = path.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    text = text.removeprefix("$").removeprefix("@")
    steps: list[Step] = []
    at = 0
    while at < len(text) and text[at:] != ".":
        token = TOKEN.match(text, at)
        if token is None:
            raise BadPath(f"cannot read {path!r} from {text[at:]!r} on")
        steps.append(_step(token))
        at = token.end()
    return tuple(steps)


def _step(token: re.Match[str]) -> Step:
    if token["index"] is not None:
        return _indexed(int(token["index"]))
    if token["all"] or token["star"]:
        return _each
    if token["deep"]:
        return _descendants
    if token["left"] is not None:
        return _filtered(token["left"], token["op"] or "", token["right"] or "")
    return _named(token["quoted"] or token["member"].replace("\\", ""))


def _named(name: str) -> Step:
    def step(value: Any) -> Iterable[Any]:
        return (value[name],) if isinstance(value, dict) and name in value else ()

    return step


def _indexed(index: int) -> Step:
    def step(value: Any) -> Iterable[Any]:
        return (value[index],) if isinstance(value, list) and -len(value) <= index < len(value) else ()

    return step


def _each(value: Any) -> Iterable[Any]:
    if isinstance(value, list):
        return value
    return value.values() if isinstance(value, dict) else ()


def _descendants(value: Any) -> Iterable[Any]:
    yield value
    for one in _each(value):
        yield from _descendants(one)


def _filtered(left: str, op: str, right: str) -> Step:
    wanted: Any = right.strip("\"'")
    comparisons: dict[str, Callable[[Any], bool]] = {
        "==": lambda a: str(a) == wanted,
        "!=": lambda a: str(a) != wanted,
        ">": lambda a: _number(a) > _number(wanted),
        "<": lambda a: _number(a) < _number(wanted),
        ">=": lambda a: _number(a) >= _number(wanted),
        "<=": lambda a: _number(a) <= _number(wanted),
    }
    compare = comparisons.get(op, lambda _: True)

    def step(value: Any) -> Iterable[Any]:
        return [one for one in _each(value) if any(compare(_text(a)) for a in find(left, one))]

    return step


def _text(value: Any) -> Any:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else value


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
