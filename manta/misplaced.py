"""Where a field that nobody reads belongs: one level up or down, or under a name that comes near. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from manta.documents import Steps, path_text

__all__ = ["NO_PLACE", "fields_under", "place_meant", "schema_at"]

NO_PLACE: Final[Steps] = ()
BELOW: Final = ("spec", "template", "metadata")  # what is left out between a field and its place


def place_meant(schema: Mapping[str, Any], steps: Steps, value: Any) -> tuple[Steps, str]:
    """The place that is meant by an unknown field (NO_PLACE if none comes near), and the way out in words."""
    *around, last = steps
    name, here = str(last), fields_under(schema, around)
    if isinstance(value, dict) and value and set(value) <= set(here):
        return NO_PLACE, f"leave {name} out: what stands in it belongs here"
    if place := _elsewhere(schema, tuple(around), name):
        return place, f"it belongs to {path_text(place)}"
    near = get_close_matches(name, here, n=1)
    return ((*around, near[0]), f"did you mean {near[0]}?") if near else (NO_PLACE, "")


def _elsewhere(schema: Mapping[str, Any], around: Steps, name: str) -> Steps:
    """Above, the nearest first, or one or two levels below; never at the top, where `spec` and `metadata` are."""
    for depth in range(len(around) - 1, 0, -1):
        if name in fields_under(schema, around[:depth]):
            return (*around[:depth], name)
    for first in BELOW:
        for below in ((first,), (first, "spec")):
            if name in fields_under(schema, (*around, *below)):
                return (*around, *below, name)
    return NO_PLACE


def fields_under(schema: Mapping[str, Any], steps: Sequence[str | int]) -> list[str]:
    """The fields that an object at that place may have, as far as the schema names them."""
    return list(schema_at(schema, steps).get("properties") or ())


def schema_at(schema: Mapping[str, Any], steps: Sequence[str | int]) -> Mapping[str, Any]:
    """The schema of what stands at that place; {} where it does not go so far."""
    for step in steps:
        if isinstance(step, int):
            inside = schema.get("items")
        else:
            inside = (schema.get("properties") or {}).get(step) or schema.get("additionalProperties")
        schema = inside if isinstance(inside, Mapping) else {}
    return schema
