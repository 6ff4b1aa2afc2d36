"""Every rule is explained to people, and nothing is explained that there is not."""

from __future__ import annotations

import pytest

from api.v1.rules.entries import ELSEWHERE, ENTRIES
from api.v1.rules.families import RULES_BY_KIND

RULES = {rule.id: rule for rules in RULES_BY_KIND.values() for rule in rules}


def test_each_rule_has_an_entry() -> None:
    """The page that a finding's id leads to."""
    assert sorted(RULES.keys() - ENTRIES.keys()) == []


def test_no_entry_and_no_reference_lacks_its_place() -> None:
    """What was renamed or dropped is not explained on; what has its place elsewhere is no rule here."""
    assert sorted(ENTRIES.keys() - RULES.keys()) == []
    assert sorted(ELSEWHERE.keys() & RULES.keys()) == []


@pytest.mark.parametrize("id_", sorted(ENTRIES))
def test_an_entry_is_three_sentences(id_: str) -> None:
    """They stand one after the other on the page."""
    for sentence in ENTRIES[id_]:
        assert sentence[0].isupper() or sentence[0] == "`"
        assert sentence.endswith(".")
        assert "\n" not in sentence


@pytest.mark.parametrize("kind", sorted(RULES_BY_KIND))
def test_a_kind_has_each_rule_once(kind: str) -> None:
    """Settings, annotations and ratcheting go by ids."""
    ids = [rule.id for rule in RULES_BY_KIND[kind]]

    assert sorted({one for one in ids if ids.count(one) > 1}) == []
