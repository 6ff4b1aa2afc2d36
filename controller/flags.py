"""Go's flag syntax, table-driven (spec deployment §1.2): `-f=v`, `--f v`; booleans only `-b` or `-b=true`.

Charts and scripts pass flags to the operator as they pass them to the reference, so exactly these forms are accepted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

__all__ = ["Duration", "Flag", "UsageError", "Value", "boolean", "parse_flags", "usage"]

TRUE = {"1", "t", "T", "TRUE", "true", "True"}
FALSE = {"0", "f", "F", "FALSE", "false", "False"}

Value = str | int | float | bool


UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")


class Duration(float):
    """Seconds, read and shown as Go writes them: "15s", "1m30s", "300ms". Raises ValueError."""

    def __new__(cls, text: str) -> Self:
        unsigned = text.removeprefix("-" if text.startswith("-") else "+")
        parts = PART.findall(unsigned)
        if unsigned != "0" and (not parts or "".join(map("".join, parts)) != unsigned):
            raise ValueError(f"no duration: {text!r}")
        seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
        return super().__new__(cls, -seconds if text.startswith("-") else seconds)

    def __str__(self) -> str:
        return f"{float(self):g}s"


class UsageError(Exception):
    """The command line is wrong; the message names the flag and the way out."""


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag; its type is that of its default."""

    name: str
    default: Value
    help: str


def parse_flags(table: Sequence[Flag], arguments: Sequence[str]) -> Mapping[str, Value]:
    """name -> value for every flag that is given; the last of two wins. Raises UsageError.

    Empty arguments are skipped: the reference's chart ends its list with one (spec deployment DC-1). Any other
    argument that is no flag is refused, where Go's parser would drop it and all that follows without a word.
    """
    flags = {flag.name: flag for flag in table}
    given: dict[str, Value] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument:
            continue
        name, has_value, text = argument.lstrip("-").partition("=")
        dashes = len(argument) - len(argument.lstrip("-"))
        if dashes not in (1, 2) or not name:
            raise UsageError(f"unexpected argument {argument!r}: the operator takes flags only")
        if name not in flags:
            raise UsageError(f"flag provided but not defined: -{name}")
        flag = flags[name]
        if isinstance(flag.default, bool):
            given[name] = converted(flag, text if has_value else "true")
        elif has_value:
            given[name] = converted(flag, text)
        elif rest:
            given[name] = converted(flag, rest.pop(0))
        else:
            raise UsageError(f"flag needs an argument: -{name}")
    return given


def boolean(text: str) -> bool | None:
    """True or false in one of Go's spellings; None for anything else."""
    return True if text in TRUE else False if text in FALSE else None


def converted(flag: Flag, text: str) -> Value:
    """The text as the flag's type. Raises UsageError that names both."""
    if isinstance(flag.default, bool):
        value = boolean(text)
        if value is None:
            raise UsageError(f"invalid boolean value {text!r} for -{flag.name}: use true or false")
        return value
    try:
        if isinstance(flag.default, int):
            return int(text, 0)  # also 0x10, and underscores, as Go takes them
        return type(flag.default)(text)
    except ValueError:
        raise UsageError(f"invalid value {text!r} for flag -{flag.name}: not a {_kind(flag)}") from None


def _kind(flag: Flag) -> str:
    if isinstance(flag.default, Duration):
        return "duration, such as 15s or 1m30s"
    return "whole number" if isinstance(flag.default, int) else "number"


def usage(program: str, table: Sequence[Flag]) -> str:
    """What --help prints: one flag a line, sorted, with its default."""
    lines = [f"Usage of {program}:"]
    for flag in sorted(table, key=lambda one: one.name):
        shown = str(flag.default).lower() if isinstance(flag.default, bool) else flag.default
        default = f" (default {shown})" if shown not in ("", "false") else ""
        lines += [f"  -{flag.name}", f"    \t{flag.help}{default}"]
    return "\n".join(lines)
