"""runtimeEnvYAML is read as the reference reads it (spec rayjob §8.8)."""

from __future__ import annotations

from typing import Any

import pytest

from api.v1.runtime_env import RuntimeEnvError, parse_runtime_env
from localcluster.testing.shaped import UNREADABLE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pip: [requests]\nenv_vars:\n  A: b\n", {"pip": ["requests"], "env_vars": {"A": "b"}}),
        ("a: 1\na: 2\n", {"a": 2}),
        ("a: 1\n---\nb: 2\n", {"a": 1}),
        ("a: 1.0\nb: 1.5\nc: 1e3\n", {"a": 1, "b": 1.5, "c": "1e3"}),
        ("1: x\ntrue: y\n2.0: z\n", {"1": "x", "true": "y", "2": "z"}),
        ("a: yes\nb: off\n", {"a": True, "b": False}),
        ("day: 2026-01-01\n", {"day": "2026-01-01"}),
        ("{}", {}),
    ],
)
def test_a_mapping_is_read_leniently(text: str, expected: dict[str, Any]) -> None:
    """The last of repeated keys, the first of several documents, text keys, YAML 1.1 words; dates stay text."""
    assert parse_runtime_env(text) == expected


@pytest.mark.parametrize("text", ["", "  \n", "# nothing\n", "null", "~"])
def test_nothing_is_nothing(text: str) -> None:
    """Empty, blank, a comment, null: fine, and no mapping."""
    assert parse_runtime_env(text) is None


@pytest.mark.spec("rayjob:E20")
@pytest.mark.parametrize("text", ["invalid_yaml_string", "[a, b]", "42", "a: [", "a: b: c", "{a: 1", "[" * 5000])
def test_what_is_no_mapping_is_refused_with_the_text_in_the_message(text: str) -> None:
    """A scalar or a list cannot be a runtime environment."""
    with pytest.raises(RuntimeEnvError) as error:
        parse_runtime_env(text)
    assert text in str(error.value)


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_what_no_json_can_hold_is_refused_in_no_time(text: str) -> None:
    """A user's text never ends a reconcile or a review with a traceback, nor holds it up."""
    with pytest.raises(RuntimeEnvError):
        parse_runtime_env(text)
