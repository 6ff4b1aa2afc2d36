"""Where in a file something stands that is wrong in a text of an object: serveConfigV2 and its like are YAML in YAML.

Only a text that stands in the file as it is (after `|`) has lines of its own there; of others the field is the place.
Pure.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from api.v1.rules.model import Inside
from manta.documents import UNREADABLE, Document, bodies, roots, steps_in
from manta.doubts import value_at
from manta.places import Place, Steps

__all__ = ["place_inside"]

Json: TypeAlias = dict[str, Any]


def place_inside(document: Document, path: str, inside: Inside) -> Place:
    """The place of `inside` in the text at that path, or the nearest one around it; of the field where nobody knows."""
    field = document.place_of(path)
    steps = steps_in(document.body, path)
    text = value_at(document.body, steps)
    if not inside or not isinstance(text, str) or not field.text or document.places.get(steps) != field:
        return field
    place = Place(*inside, sys.maxsize) if isinstance(inside, tuple) else _named(text, inside)
    return (_in_file(document, field, text, place) if place is not None else None) or field


def _named(text: str, path: str) -> Place | None:
    """Where the field of a YAML text stands in that."""
    body, places = _read(text)
    steps = steps_in(body, path)
    while steps and steps not in places:
        steps = steps[:-1]
    return places.get(steps) if steps else None


@lru_cache(maxsize=4)  # many findings are about one text
def _read(text: str) -> tuple[Json, Mapping[Steps, Place]]:
    try:
        for node, loader in roots(text):
            body, places, _ = bodies(node, loader)
            return (body, places) if isinstance(body, dict) else ({}, {})
    except UNREADABLE:
        pass  # its rule says so, with line and column
    return {}, {}


def _in_file(document: Document, field: Place, text: str, inner: Place) -> Place | None:
    """The place in the file; None if the line does not stand there as the text has it."""
    lines, line = text.split("\n"), field.text + inner.line - 1
    if inner.line > len(lines) or line > len(document.text):
        return None
    inner_line, outer_line = lines[inner.line - 1], document.text[line - 1]
    if not inner_line or not outer_line.endswith(inner_line):
        return None
    indent = len(outer_line) - len(inner_line)
    return Place(line, inner.column + indent, min(sys.maxsize, inner.end + indent))
