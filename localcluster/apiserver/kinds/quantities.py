"""Quantities as a Kubernetes API writes them: "0.5" is stored as "500m", "1024Mi" as "1Gi". Pure."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

from localcluster.apiserver.kinds.base import DecodeError

__all__ = ["amount", "canonical"]

_FORM: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")
_MALFORMED: Final = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_BINARY: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BY_EXPONENT: Final = {exponent: suffix for suffix, exponent in _DECIMAL.items()}


def _parsed(text: Any) -> tuple[Decimal, str]:
    """(value, suffix). Raises DecodeError."""
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise DecodeError(_MALFORMED)
    match = _FORM.fullmatch(str(text))
    if match is None:
        raise DecodeError(_MALFORMED)
    digits, suffix = Decimal(match[1]), match[2] or ""
    if suffix.endswith("i"):
        return digits * 1024 ** _BINARY.index(suffix), suffix
    if suffix in _DECIMAL:
        return digits.scaleb(_DECIMAL[suffix]), suffix
    return digits.scaleb(int(suffix[1:])), "e"


def amount(text: Any) -> Decimal:
    """The value of a quantity. Raises DecodeError."""
    return _parsed(text)[0]


def canonical(text: Any) -> str:
    """The quantity in the form in which it is stored. Raises DecodeError."""
    value, suffix = _parsed(text)
    if value == 0:
        return "0"
    if suffix.endswith("i") and abs(value) >= 1024 and value == value.to_integral_value():
        power = 0
        whole = int(value)
        while whole % 1024 == 0 and power < len(_BINARY) - 1:
            whole, power = whole // 1024, power + 1
        return f"{whole}{_BINARY[power]}"
    exponent = 18
    while exponent > -9 and value != value.scaleb(-exponent).to_integral_value().scaleb(exponent):
        exponent -= 3
    mantissa = int(value.scaleb(-exponent).to_integral_value(rounding="ROUND_UP"))
    if suffix == "e":
        return f"{mantissa}e{exponent}" if exponent else str(mantissa)
    return f"{mantissa}{_BY_EXPONENT[exponent]}"
