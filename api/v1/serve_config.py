"""serveConfigV2 as users write it -> JSON as Ray Serve takes it (spec rayservice §11.2).

Scalars mean what they mean to the reference's YAML library, which is neither YAML 1.1 as Python reads it nor 1.2:
`1e5` is a number, `1:30` and dates are text, `y` is true, `0o17` is 15 and so on. Of repeated keys the last wins; only
the first document counts; a number of integral value loses its decimal point.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from typing import Any, Final

import yaml

from api.meta import Json
from api.v1.runtime_env import MOST_VALUES, NOT_READ, Mark, first_document, mark_of, normalized, one_line
from api.yamlbuilt import TooManyValues, Unusual, built
from api.yamltext import QuickLoader

__all__ = [
    "Limits",
    "ServeConfigError",
    "ServeConfigTooLarge",
    "canonical",
    "digest_of",
    "parse_serve_config",
    "routes_of",
]

_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
_FALSE: Final = frozenset({"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
_NOT_JSON: Final = frozenset(
    sign + word
    for sign in ("", "+", "-")
    for word in (".inf", ".Inf", ".INF", *((".nan", ".NaN", ".NAN") if not sign else ()))
)
_INTEGER: Final = re.compile(r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*|0)", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_BEGINS_NUMBER: Final = frozenset("+-.0123456789")
_MERGE: Final = "tag:yaml.org,2002:merge"
DEFAULT_APPLICATION: Final = "default"
DEFAULT_ROUTE: Final = "/"


class ServeConfigError(ValueError):
    """The text is no YAML mapping; the message says where it stops being one, and `mark` too, if that is known."""

    def __init__(self, message: str, mark: Mark | None = None) -> None:
        super().__init__(message)
        self.mark = mark


class ServeConfigTooLarge(ServeConfigError):
    """It may be right: reading it would take longer than one who waits has."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a text is read by those that somebody waits for."""

    length: int  # characters
    values: int
    of_unusual: int  # characters of one with anchors, aliases or tags, which takes many times as long


def parse_serve_config(text: str, limits: Limits | None = None) -> Json:
    """The mapping; {} for an empty, comment-only or null text.

    Raises ServeConfigError, and ServeConfigTooLarge for what is within no limits.
    """
    if limits is not None and len(text) > limits.length:
        raise ServeConfigTooLarge(f"serveConfigV2 has {len(text)} characters, more than {limits.length}")
    try:
        content = _content(text, limits)
    except ServeConfigTooLarge:
        raise
    except NOT_READ as error:
        raise ServeConfigError(f"serveConfigV2 is no YAML: {one_line(error)}", mark_of(error)) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ServeConfigError(f"serveConfigV2 should be a mapping, not {type(content).__name__}")
    return content


def _content(text: str, limits: Limits | None) -> Any:
    """JSON-ready: integral numbers are integers."""
    try:
        return built(text, _plain_value, most=limits.values if limits is not None else MOST_VALUES)
    except TooManyValues:
        if limits is None:
            raise
        raise ServeConfigTooLarge(f"serveConfigV2 has more than {limits.values} values") from None
    except Unusual:
        if limits is not None and len(text) > limits.of_unusual:
            what = f"serveConfigV2 has anchors or tags and {len(text)} characters, more than {limits.of_unusual}"
            raise ServeConfigTooLarge(what) from None
        return normalized(first_document(_GoLoader, text))


def canonical(config: Json) -> str:
    """The body of the request: the same text for the same configuration."""
    return json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(body: str) -> str:
    """By which a configuration is known across restarts."""
    return hashlib.sha256(body.encode()).hexdigest()[:32]


def routes_of(config: Json) -> frozenset[str]:
    """The route prefixes that its applications ask for; what Serve would refuse asks for none."""
    applications = config.get("applications")
    if not isinstance(applications, list):
        return frozenset()
    prefixes = (one.get("route_prefix", DEFAULT_ROUTE) for one in applications if isinstance(one, dict))
    return frozenset(prefix for prefix in prefixes if isinstance(prefix, str))


class _GoLoader(QuickLoader):
    """Reads plain scalars by our own table; everything quoted is text."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:
        """Plain scalars are all given one tag, and read when they are constructed."""
        if kind is yaml.ScalarNode and implicit[0]:
            return _MERGE if value == "<<" else "!plain"
        return super().resolve(kind, value, implicit)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Raises ConstructorError for keys that no JSON key can stand for."""
        for key, _ in node.value:
            is_null = key.tag == "!plain" and key.value in _NULLS
            if is_null or not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a scalar", key.start_mark)
        return super().construct_mapping(node, deep)


def _plain(_: _GoLoader, node: yaml.ScalarNode) -> Any:
    return _read(node)


def _plain_value(event: yaml.ScalarEvent) -> Any:
    """What `normalized` would make of it."""
    value = _read(event)
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**63 else value


def _read(scalar: Any) -> Any:
    """What a node or an event says, by our own table; most are words of letters that are not in it."""
    text = str(scalar.value)
    if text in _NULLS:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text[0] not in _BEGINS_NUMBER:
        return text
    if text in _NOT_JSON:
        raise yaml.constructor.ConstructorError(None, None, f"{text} has no place in JSON", scalar.start_mark)
    return _number(text)


def _number(text: str) -> int | float | str:
    """The number that a plain scalar is, or the text itself."""
    if _INTEGER.fullmatch(text):
        return _integer(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        value = float(text)
        return value if math.isfinite(value) else text
    return text


def _integer(text: str) -> int | float:
    """A leading 0 means octal, as in Go."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if digits.startswith("0") and digits[1:].isdecimal():
        return sign * int(digits, 8)
    return sign * int(digits, 0)


def _unknown_tag(loader: _GoLoader, _suffix: str, node: yaml.Node) -> Any:
    """A scalar under a tag that nobody knows is text; a collection is what it is."""
    if isinstance(node, yaml.ScalarNode):
        return node.value
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.MappingNode)
    return loader.construct_mapping(node, deep=True)


_GoLoader.add_constructor("!plain", _plain)
_GoLoader.add_multi_constructor("!", _unknown_tag)
