"""resourceVersions of one resource have an order; what is none is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.versions import MalformedVersion, at_least, is_valid, newest, order

NUMBERS = st.integers(min_value=1, max_value=10**40)


@pytest.mark.spec("runtime:RV-2")
@given(NUMBERS, NUMBERS)
def test_versions_are_ordered_like_the_numbers_they_spell_however_long(one: int, other: int) -> None:
    """No fixed width: a version may outgrow 64 bits."""
    assert at_least(str(one), str(other)) == (one >= other)
    assert newest(str(one), str(other)) == str(max(one, other))


@pytest.mark.spec("runtime:RV-1", "runtime:RV-4")
@pytest.mark.parametrize("text", ["", "0", "01", "-1", " 1", "1.0", "1a", "١٢", "½"])
def test_what_is_no_version_cannot_be_ordered(text: str) -> None:
    """Each of these must not pass as a number by accident."""
    assert not is_valid(text)
    with pytest.raises(MalformedVersion):
        order(text)


def test_an_absent_version_loses_against_any() -> None:
    """The ledger starts with none."""
    assert newest("", "7") == newest("7", "") == "7"
