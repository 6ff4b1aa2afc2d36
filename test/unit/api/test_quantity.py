"""Quantities are read, added and printed as Kubernetes does it; the vectors are the Go library's own answers."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.quantity import ZERO, Quantity, QuantityFormat, is_quantity, total

SUFFIXES = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e3", "E-2", "e0"]
quantities = st.builds(
    lambda sign, whole, part, suffix: f"{sign}{whole}{part}{suffix}",
    st.sampled_from(["", "+", "-"]),
    st.integers(0, 10**9),
    st.sampled_from(["", ".", ".5", ".25", ".001"]),
    st.sampled_from(SUFFIXES),
)


@pytest.mark.parametrize(
    ("text", "canonical", "whole"),
    [
        ("0", "0", 0),
        ("0Ki", "0", 0),
        ("500m", "500m", 1),
        ("1000m", "1", 1),
        ("1500m", "1500m", 2),
        ("0.5", "500m", 1),
        (".5", "500m", 1),
        ("1.", "1", 1),
        ("2Gi", "2Gi", 2 * 1024**3),
        ("1024Mi", "1Gi", 1024**3),
        ("1.5Gi", "1536Mi", 1536 * 1024**2),
        ("0.5Ki", "512", 512),
        ("0.1Ki", "102400m", 103),
        ("1023Ki", "1023Ki", 1023 * 1024),
        ("1e3", "1e3", 1000),
        ("1E", "1E", 10**18),
        ("1E3", "1e3", 1000),
        ("12e4", "120e3", 120000),
        ("100k", "100k", 100000),
        ("1000k", "1M", 10**6),
        ("0.1n", "1n", 1),
        ("-1.5", "-1500m", -2),
        ("+7", "7", 7),
        ("8Ei", "9223372036854775807", 2**63 - 1),
        ("1e21", "1e21", 10**21),
        ("1000E", "1000E", 10**21),
    ],
)
def test_a_quantity_is_printed_with_the_largest_suffix_that_needs_no_fraction(
    text: str, canonical: str, whole: int
) -> None:
    """What stands in a status can be compared as text."""
    quantity = Quantity.parse(text)

    assert str(quantity) == canonical
    assert quantity.ceil() == whole


@pytest.mark.parametrize(
    "text", ["", "Ki", ".", "-m", "1 Gi", " 1", "1.2.3", "0x1", "1Kii", "1e1.5", "nan", "1e99", "٣"]
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    """Nor is an exponent whose digits would fill the memory."""
    assert not is_quantity(text)
    with pytest.raises(ValueError, match="quantity"):
        Quantity.parse(text)


def test_a_json_number_is_a_quantity() -> None:
    """`cpu: 1` is the integer 1 on the wire."""
    assert str(Quantity.parse(1)) == "1"


@pytest.mark.parametrize(
    ("terms", "sum_"),
    [
        (["500m", "1"], "1500m"),
        (["1Gi", "1G"], "2073741824"),
        (["0", "1Gi", "1Gi"], "2Gi"),
        (["1G", "1Gi"], "2073741824"),
        (["1Gi", "1e9"], "2073741824"),
        (["0m", "0Ki"], "0"),
        (["1e3", "1"], "1001"),
        ([], "0"),
    ],
)
def test_a_sum_has_the_format_of_its_first_term_that_is_not_zero(terms: list[str], sum_: str) -> None:
    """So a cluster's memory stays in Gi when its head has no request."""
    assert str(total(Quantity.parse(term) for term in terms)) == sum_


def test_only_a_binary_amount_below_one_turns_decimal() -> None:
    """It has no whole number to put a binary suffix to."""
    assert Quantity.parse("0.0009765625Ki").format is QuantityFormat.BINARY
    assert Quantity.parse("0.0009Ki").format is QuantityFormat.DECIMAL


def test_zero_is_false() -> None:
    """Whatever its format."""
    assert not Quantity.parse("0Gi")
    assert Quantity.parse("-1n")


def test_many_times_a_quantity_keeps_its_format() -> None:
    """Replicas times a template's request."""
    assert str(Quantity.parse("512Mi") * 4) == "2Gi"


@given(quantities)
def test_the_canonical_form_means_the_same_and_is_its_own_canonical_form(text: str) -> None:
    """Printing loses nothing that reading kept."""
    quantity = Quantity.parse(text)

    again = Quantity.parse(str(quantity))

    assert again.nanos == quantity.nanos
    assert str(again) == str(quantity)


@given(quantities, quantities)
def test_addition_is_exact_and_commutes_in_value(one: str, other: str) -> None:
    """Only the format depends on the order."""
    left, right = Quantity.parse(one), Quantity.parse(other)

    assert (left + right).value == left.value + right.value == (right + left).value
    assert (ZERO + left).format is left.format


@given(quantities)
def test_rounding_up_goes_away_from_zero_by_less_than_one(text: str) -> None:
    """Who asks for half a CPU gets one."""
    quantity = Quantity.parse(text)

    assert 0 <= abs(quantity.ceil()) - abs(quantity.value) < 1
    assert quantity.ceil() * quantity.value >= 0


@given(st.integers(0, 10**15))
def test_a_whole_number_of_bytes_survives_the_binary_suffixes(number: int) -> None:
    """No precision is lost to a suffix."""
    quantity = Quantity(number * 10**9, QuantityFormat.BINARY)

    assert Quantity.parse(str(quantity)).value == Fraction(number)
