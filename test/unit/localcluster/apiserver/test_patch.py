"""Patches: JSON patch with the server's one leniency, and merge patch."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcluster.apiserver.patch import PatchFailed, PatchMalformed, json_patch, merge_patch

DOCUMENT = {"a": {"b": [1, 2, 3], "c": "x"}, "d": None, "x/y": {"~": 1}}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.spec("kube-api:PATCH-4")
@pytest.mark.parametrize(
    ("operation", "path", "value", "at", "expected"),
    [
        ("add", "/a/n", 1, ("a", "n"), 1),
        ("add", "/a/b/0", 0, ("a", "b"), [0, 1, 2, 3]),
        ("add", "/a/b/-", 4, ("a", "b"), [1, 2, 3, 4]),
        ("add", "/a/b/3", 4, ("a", "b"), [1, 2, 3, 4]),
        ("replace", "/a/b/1", 9, ("a", "b"), [1, 9, 3]),
        ("replace", "/a/c", "y", ("a", "c"), "y"),
        ("add", "/x~1y/~0", 2, ("x/y", "~"), 2),
    ],
)
def test_an_operation_changes_what_its_path_names(
    operation: str, path: str, value: Any, at: tuple[str, ...], expected: Any
) -> None:
    """Members and items, escaped names, the end of a list."""
    found: Any = json_patch(DOCUMENT, [{"op": operation, "path": path, "value": value}])

    for key in at:
        found = found[key]
    assert found == expected


@pytest.mark.spec("kube-api:PATCH-4", "ray-side:S3-11")
def test_replace_of_an_absent_member_adds_it() -> None:
    """Against RFC 6902, as the server does: Ray's autoscaler replaces `scaleStrategy`, which most clusters lack."""
    patched = json_patch({"spec": {}}, [{"op": "replace", "path": "/spec/scaleStrategy", "value": {"x": 1}}])

    assert patched == {"spec": {"scaleStrategy": {"x": 1}}}


@pytest.mark.spec("kube-api:PATCH-4")
@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a/c", "value": "y"},
        {"op": "test", "path": "/a/zork", "value": "y"},
        {"op": "remove", "path": "/a/zork"},
        {"op": "remove", "path": "/a/b/3"},
        {"op": "replace", "path": "/a/b/3", "value": 1},
        {"op": "add", "path": "/zork/a", "value": 1},
        {"op": "add", "path": "/a/b/01", "value": 1},
        {"op": "zork", "path": "/a"},
        {"op": "add", "path": "/a/n"},
        {"op": "add", "path": "a", "value": 1},
        {"op": "copy", "from": "/zork", "path": "/a/n"},
        {"op": "remove", "path": ""},
    ],
)
def test_what_does_not_fit_the_document_fails(operation: Any) -> None:
    """Nothing is half done: the document stays as it was."""
    before = copy.deepcopy(DOCUMENT)

    with pytest.raises(PatchFailed):
        json_patch(DOCUMENT, [{"op": "add", "path": "/a/first", "value": 1}, operation])
    assert before == DOCUMENT


def test_true_is_not_one() -> None:
    """A test compares JSON values, not Python's."""
    with pytest.raises(PatchFailed):
        json_patch({"a": True}, [{"op": "test", "path": "/a", "value": 1}])


def test_move_and_copy_take_a_value_elsewhere() -> None:
    """The copy shares nothing with its source."""
    moved = json_patch(DOCUMENT, [{"op": "move", "from": "/a/c", "path": "/e"}])
    copied = json_patch(DOCUMENT, [{"op": "copy", "from": "/a/b", "path": "/f"}])

    assert (moved["e"], "c" in moved["a"]) == ("x", False)
    assert copied["f"] == copied["a"]["b"]
    assert copied["f"] is not copied["a"]["b"]


@pytest.mark.spec("kube-api:PATCH-4")
def test_an_object_is_no_json_patch() -> None:
    """In the server's words."""
    with pytest.raises(PatchMalformed) as refused:
        json_patch(DOCUMENT, {"a": 1})

    assert str(refused.value) == "json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"


@pytest.mark.spec("kube-api:PATCH-4")
def test_no_operations_change_nothing() -> None:
    """An empty list is a patch."""
    assert json_patch(DOCUMENT, []) == DOCUMENT


@pytest.mark.spec("kube-api:PATCH-5")
@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({"a": 1}, {}, {"a": 1}),
        ({}, {"a": {"b": {"c": None}}}, {"a": {"b": {}}}),
    ],
)
def test_a_merge_patch_merges_maps_and_replaces_the_rest(document: Any, patch: Any, expected: Any) -> None:
    """null removes."""
    assert merge_patch(document, patch) == expected


@given(VALUES, VALUES)
def test_a_merge_patch_applied_twice_is_applied_once(document: Any, patch: Any) -> None:
    """So it may be repeated when its answer was lost."""
    once = merge_patch(document, patch)

    assert merge_patch(once, patch) == once
