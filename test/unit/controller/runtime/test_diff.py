"""A merge patch says exactly what changed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.diff import merge_patch, merged

LEAVES = st.one_of(st.booleans(), st.integers(-3, 3), st.sampled_from(["", "a", "b"]), st.lists(st.integers(0, 2)))
DOCUMENTS = st.recursive(
    st.dictionaries(st.sampled_from("abc"), LEAVES),
    lambda inner: st.dictionaries(st.sampled_from("abc"), st.one_of(LEAVES, inner)),
    max_leaves=12,
)


@given(DOCUMENTS, DOCUMENTS)
def test_the_patch_leads_from_one_document_to_the_other(old: dict[str, Any], new: dict[str, Any]) -> None:
    """merged is how the API server applies it (RFC 7396)."""
    assert merged(old, merge_patch(old, new)) == new


@given(DOCUMENTS)
def test_equal_documents_need_no_patch(document: dict[str, Any]) -> None:
    """Nothing changed, nothing is sent."""
    assert merge_patch(document, document) == {}


@pytest.mark.spec("runtime:CLI-7")
def test_a_member_that_goes_is_an_explicit_null_and_a_list_is_replaced_whole() -> None:
    """The two surprises of merge patches."""
    old = {"keep": 1, "gone": {"x": 1}, "list": [1, 2, 3], "deep": {"same": 1, "other": 2}}
    new = {"keep": 1, "list": [1, 3], "deep": {"same": 1, "other": 3}}

    assert merge_patch(old, new) == {"gone": None, "list": [1, 3], "deep": {"other": 3}}


def test_true_and_one_are_different_and_so_are_lists_of_them() -> None:
    """Python calls them equal; JSON does not."""
    assert merge_patch({"a": True, "b": [0], "c": [{"d": 1}]}, {"a": 1, "b": [False], "c": [{"d": True}]}) == {
        "a": 1,
        "b": [False],
        "c": [{"d": True}],
    }
