"""Label selectors mean what the API server means by them."""

from __future__ import annotations

import pytest

from controller.runtime.selectors import parse

LABELS = {"app": "ray", "tier": "head", "empty": ""}


@pytest.mark.spec("runtime:IDX-6")
@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=ray", True),
        ("app==ray", True),
        ("app=other", False),
        ("app!=ray", False),
        ("app!=other", True),
        ("missing!=x", True),
        ("missing=x", False),
        ("app in (ray, spark)", True),
        ("app in (spark)", False),
        ("app notin (spark)", True),
        ("missing notin (a,b)", True),
        ("app", True),
        ("missing", False),
        ("!missing", True),
        ("!app", False),
        ("empty=", True),
        ("app=ray,tier=head,!missing", True),
        ("app=ray,tier=worker", False),
        (" app = ray , tier in (head) ", True),
        ("in=x", False),
    ],
)
def test_a_selector_matches_when_all_its_clauses_hold(text: str, matches: bool) -> None:
    """The whole grammar, one line each."""
    assert parse(text).matches(LABELS) is matches


@pytest.mark.parametrize("text", ["=x", "app=ray tier=head", "app in ray", "app in (ray", ",", "app=ray,,tier"])
def test_what_is_no_selector_is_refused_with_its_place(text: str) -> None:
    """A selector that is half read would match too much."""
    with pytest.raises(ValueError, match="cannot read label selector"):
        parse(text)
