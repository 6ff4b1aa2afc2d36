"""One object, written in two ways: which differences of JSON say nothing.

A client with a typed model that writes an object back, as Kueue and every other program in Go does, spells quantities
anew ("0.5" becomes "500m"), adds what its model cannot leave out, and leaves out what is empty. That is no change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api.quantity import Quantity, is_quantity

__all__ = ["alike", "spelt_alike"]

AMOUNTS: Final = ("limits", "requests", "overhead")  # maps of quantities
AMOUNT: Final = ("sizeLimit", "storage")
# What the reference leaves out, or writes although nobody gave it, when it stores an object: its typed model cannot
# tell the two apart. Other members mean something where they are empty (emptyDir, automountServiceAccountToken: false).
MAPS: Final = frozenset(  # their keys are the user's; an empty one is none
    {"annotations", "labels", "matchLabels", "nodeSelector", "options", "rayStartParams", "volumeAttributes", *AMOUNTS}
)
STRUCTS: Final = frozenset({"metadata", "resources", "scaleStrategy"})
FLAGS: Final = frozenset({"hostIPC", "hostNetwork", "hostPID", "readOnly", "stdin", "stdinOnce", "tty"})
CHOSEN: Final = frozenset({"storageClassName"})  # "" is a class of its own


def spelt_alike(value: Any) -> Any:
    """With every quantity in its canonical form, and without what says nothing. The value itself stays as it is."""
    if isinstance(value, list):
        return [spelt_alike(one) for one in value]
    if not isinstance(value, dict):
        return value
    members = ((name, _member(name, one)) for name, one in value.items())
    return {name: one for name, one in members if not _says_nothing(name, one)}


def alike(one: Any, other: Any) -> bool:
    """Do two objects say the same? What is equal is passed quickly, however large."""
    if one == other:
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return all(_members_alike(name, one.get(name), other.get(name)) for name in one.keys() | other.keys())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return False


def _members_alike(name: str, one: Any, other: Any) -> bool:
    if one == other:
        return True
    if name not in MAPS and type(one) is type(other) and isinstance(one, dict | list):
        return alike(one, other)
    return bool(_said(name, one) == _said(name, other))


def _said(name: str, value: Any) -> Any:
    """What a member says, spelt as any other that says it; None for nothing."""
    member = _member(name, value)
    return None if _says_nothing(name, member) else member


def _member(name: str, value: Any) -> Any:
    if name in AMOUNTS and isinstance(value, Mapping):
        return {resource: _amount(one) for resource, one in value.items()}
    if name in MAPS and isinstance(value, Mapping):
        return value
    return _amount(value) if name in AMOUNT else spelt_alike(value)


def _says_nothing(name: str, value: Any) -> bool:
    if value == {}:
        return name in MAPS or name in STRUCTS
    return value is None or (value == "" and name not in CHOSEN) or value == [] or (value is False and name in FLAGS)


def _amount(value: Any) -> Any:
    if isinstance(value, str | int) and not isinstance(value, bool) and is_quantity(value):
        return str(Quantity.parse(value))
    return spelt_alike(value)
