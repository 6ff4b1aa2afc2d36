"""kubectl's watch, read as it comes."""

from __future__ import annotations

import io
import json

from hack.e2e.watching import documents

EVENTS = [
    {"type": "ADDED", "object": {"metadata": {"name": "a"}}},
    {"type": "DELETED", "object": {"lines": ["}", "{"]}},
]


def test_indented_documents_are_told_one_by_one() -> None:
    stream = io.StringIO("".join(json.dumps(event, indent=4) + "\n" for event in EVENTS))

    assert list(documents(stream)) == EVENTS


def test_documents_of_a_line_each_are_told_one_by_one() -> None:
    stream = io.StringIO("".join(json.dumps(event) + "\n" for event in EVENTS))

    assert list(documents(stream)) == EVENTS
