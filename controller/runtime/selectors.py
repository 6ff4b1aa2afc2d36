"""Label selectors, the whole grammar of the wire (spec runtime IDX-6). Pure.

Clauses are joined by commas and must all hold: `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a`, `!a`. A
missing label satisfies `!=` and `notin`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["EVERYTHING", "Requirement", "Selector", "parse"]

_KEY = r"[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?"
_CLAUSE = re.compile(
    rf"\s*(?:(?P<absent>!)\s*(?P<gone>{_KEY})"
    rf"|(?P<set>{_KEY})\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)"
    rf"|(?P<key>{_KEY})\s*(?:(?P<eq>==|=|!=)\s*(?P<value>[-A-Za-z0-9_.]*))?)\s*(?:,|$)"
)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One clause."""

    key: str
    operator: Literal["in", "notin", "exists", "absent"]
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Does the clause hold for an object with these labels?"""
        match self.operator:
            case "in":
                return labels.get(self.key) in self.values
            case "notin":
                return labels.get(self.key) not in self.values
            case "exists":
                return self.key in labels
            case "absent":
                return self.key not in labels


@dataclass(frozen=True, slots=True)
class Selector:
    """All clauses, and the text they were read from."""

    text: str
    requirements: tuple[Requirement, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Do all clauses hold?"""
        return all(one.holds(labels) for one in self.requirements)


EVERYTHING = Selector("", ())


def parse(text: str) -> Selector:
    """Read a selector. Raises ValueError with the place that was not understood."""
    requirements: list[Requirement] = []
    at = 0
    while at < len(text):
        found = _CLAUSE.match(text, at)
        if found is None or found.end() == at:
            raise ValueError(f"cannot read label selector {text!r} at {text[at:]!r}")
        requirements.append(_requirement(found))
        at = found.end()
    return Selector(text, tuple(requirements))


def _requirement(found: re.Match[str]) -> Requirement:
    if found["absent"]:
        return Requirement(found["gone"], "absent")
    if found["set"]:
        values = frozenset(value.strip() for value in found["values"].split(","))
        return Requirement(found["set"], "in" if found["op"] == "in" else "notin", values)
    if found["eq"]:
        return Requirement(found["key"], "notin" if found["eq"] == "!=" else "in", frozenset({found["value"]}))
    return Requirement(found["key"], "exists")
