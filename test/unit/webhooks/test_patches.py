"""The patch of a mutating webhook: applied to the object as it was sent, it gives the object as it should be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcluster.apiserver.patch import json_patch
from webhooks.patches import operations

KEYS = st.sampled_from(["spec", "a/b", "c~d", "~1", "", "ray.io/x", "é"]) | st.text(max_size=3)
LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text(max_size=3)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)
OBJECTS = st.dictionaries(KEYS, JSON, max_size=5)


def written(value: Any) -> str:
    """As the wire tells values apart: true is not 1, and 1 is not 1.0."""
    return repr(value)


def kept(before: Any, after: Any) -> Any:
    """`after`, with what only `before` has."""
    if isinstance(before, dict) and isinstance(after, dict):
        joined = {key: kept(value, after[key]) if key in after else value for key, value in before.items()}
        return joined | {key: value for key, value in after.items() if key not in before}
    if isinstance(before, list) and isinstance(after, list) and len(before) <= len(after):
        return [kept(*pair) for pair in zip(before, after, strict=False)] + after[len(before) :]
    return after


@pytest.mark.spec("runtime:WH-4")
@settings(derandomize=True, database=None, deadline=None, max_examples=120)
@given(OBJECTS, OBJECTS)
def test_applied_to_the_object_the_patch_gives_the_result_and_loses_nothing(before: Any, after: Any) -> None:
    """Members that only the object has are fields that our side does not know: they stay."""
    patched = json_patch(before, operations(before, after))

    assert written(patched) == written(kept(before, after))


@pytest.mark.spec("runtime:WH-4")
@settings(derandomize=True, database=None, deadline=None, max_examples=80)
@given(OBJECTS, OBJECTS)
def test_what_was_patched_needs_no_patch(before: Any, after: Any) -> None:
    patched = json_patch(before, operations(before, after))

    assert operations(patched, after) == []
    assert operations(before, before) == []


@pytest.mark.spec("runtime:WH-4")
def test_slashes_and_tildes_of_keys_are_escaped() -> None:
    patch = operations({"annotations": {}}, {"annotations": {"ray.io/a~b": "x"}})

    assert patch == [{"op": "add", "path": "/annotations/ray.io~1a~0b", "value": "x"}]


def test_only_what_differs_is_named() -> None:
    before = {"spec": {"groups": [{"name": "a", "unknown": 1}], "n": 1, "gone": [1, 2]}}
    after = {"spec": {"groups": [{"name": "a", "params": {}}, {"name": "b"}], "n": True, "gone": [2]}}

    assert operations(before, after) == [
        {"op": "add", "path": "/spec/groups/0/params", "value": {}},
        {"op": "add", "path": "/spec/groups/-", "value": {"name": "b"}},
        {"op": "replace", "path": "/spec/n", "value": True},
        {"op": "replace", "path": "/spec/gone", "value": [2]},
    ]
