"""Kubernetes' quantities: "500m", "2Gi", "1e3" (spec raycluster §19.1).

A quantity is an exact number of billionths and a family of suffixes in which it is printed: decimal ("m", "k", "G"),
binary ("Ki", "Gi") or an exponent ("e3"). Printing is canonical: the largest suffix that needs no fraction. Like
Kubernetes, what is finer than a billionth is rounded up, away from zero: who asked for something gets something.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Final, Self

__all__ = ["ZERO", "Quantity", "QuantityFormat", "is_quantity", "total"]

NANO: Final = 10**9
MAX_EXPONENT: Final = 60  # beyond it a number is a mistake, and its digits would fill the memory
LARGEST_BINARY: Final = (2**63 - 1) * NANO  # binary quantities stop here, as in Kubernetes

_SYNTAX: Final = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]*))?(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?",
    re.ASCII,
)
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
# Suffix -> billionths of one of it; exponents are worked out.
_NANOS: Final = {suffix: 10 ** (9 + exponent) for suffix, exponent in _DECIMAL.items()} | {
    suffix: 1024**power * NANO for suffix, power in _BINARY.items()
}
_DECIMAL_SUFFIX: Final = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX: Final = {power: suffix for suffix, power in _BINARY.items()}


class QuantityFormat(Enum):
    """The family of suffixes in which a quantity was written, and is printed."""

    DECIMAL = "DecimalSI"
    BINARY = "BinarySI"
    EXPONENT = "DecimalExponent"


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount. Compare `nanos` or `value`: equality also looks at the format."""

    nanos: int = 0
    format: QuantityFormat = QuantityFormat.DECIMAL

    @classmethod
    def parse(cls, text: str | int) -> Self:
        """The quantity that stands on the wire as `text`. Raises ValueError."""
        if isinstance(text, int):
            return cls(text * NANO)
        match = _SYNTAX.fullmatch(text)
        if match is None or not (match["whole"] or match["part"]):
            raise ValueError(f"{text!r} is no quantity")
        sign, whole, part, suffix = match.groups(default="")
        factor, form = _scale(suffix)
        scaled = int((whole or "0") + part) * factor
        nanos = scaled if not part and isinstance(scaled, int) else _rounded_up(Fraction(scaled, 10 ** len(part)))
        if form is QuantityFormat.BINARY:
            nanos = min(nanos, LARGEST_BINARY)
            if 0 < nanos < NANO:
                form = QuantityFormat.DECIMAL
        return cls(-nanos if sign == "-" else nanos, form)

    @property
    def value(self) -> Fraction:
        """The exact amount."""
        return Fraction(self.nanos, NANO)

    def ceil(self) -> int:
        """The whole amount, rounded up, away from zero."""
        return _rounded_up(self.value)

    def __add__(self, other: Quantity) -> Quantity:
        """The sum, in this one's format; in that of the other if this one is zero."""
        return Quantity(self.nanos + other.nanos, self.format if self.nanos else other.format)

    def __mul__(self, times: int) -> Quantity:
        """`times` as much, in the same format."""
        return Quantity(self.nanos * times, self.format)

    def __bool__(self) -> bool:
        return self.nanos != 0

    def __str__(self) -> str:
        """Canonical, as Kubernetes prints it."""
        if self.nanos == 0:
            return "0"
        if self.format is QuantityFormat.BINARY and abs(self.nanos) >= 1024 * NANO and self.nanos % NANO == 0:
            number, power = _factored(self.nanos // NANO, 1024, len(_BINARY))
            return f"{number}{_BINARY_SUFFIX.get(power, '')}"
        form = QuantityFormat.EXPONENT if self.format is QuantityFormat.EXPONENT else QuantityFormat.DECIMAL
        number, steps = _factored(self.nanos, 1000, None if form is QuantityFormat.EXPONENT else 9)
        exponent = 3 * steps - 9
        if form is QuantityFormat.DECIMAL:
            return f"{number}{_DECIMAL_SUFFIX[exponent]}"
        return f"{number}e{exponent}" if exponent else str(number)


ZERO: Final = Quantity()


def total(quantities: Iterable[Quantity]) -> Quantity:
    """The sum of all, in the format of the first that is not zero."""
    result = ZERO
    for quantity in quantities:
        result = result + quantity
    return result


def is_quantity(text: str | int) -> bool:
    """Would `Quantity.parse` take it?"""
    try:
        Quantity.parse(text)
    except ValueError:
        return False
    return True


def _scale(suffix: str) -> tuple[int | Fraction, QuantityFormat]:
    """How many billionths one of it is, and the family of the suffix. Raises ValueError."""
    if suffix in _NANOS:
        return _NANOS[suffix], QuantityFormat.BINARY if suffix in _BINARY else QuantityFormat.DECIMAL
    exponent = int(suffix[1:])
    if abs(exponent) > MAX_EXPONENT:
        raise ValueError(f"the exponent of a quantity is at most {MAX_EXPONENT}, not {exponent}")
    return Fraction(10) ** (9 + exponent), QuantityFormat.EXPONENT


def _rounded_up(amount: Fraction) -> int:
    whole = -(-abs(amount.numerator) // amount.denominator)
    return -whole if amount < 0 else whole


def _factored(number: int, base: int, most: int | None) -> tuple[int, int]:
    """The number without its factors of `base`, and how many these were, `most` at most."""
    count = 0
    while number % base == 0 and (most is None or count < most):
        number //= base
        count += 1
    return number, count
