"""What each rule is, why, and how to mend what it finds: the source of `docs/rules.md`.

A family of rules has its entries in a module of its own, `entries_<family>`; they are joined here. `ELSEWHERE` names
ids of the specification that are no rules of their own, and where what they say has its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from api.v1.rules import (
    entries_accelerators,
    entries_content,
    entries_crosscutting,
    entries_images,
    entries_names,
    entries_reference,
)
from api.v1.rules.entry import Entry

__all__ = ["ELSEWHERE", "ENTRIES"]

_FAMILIES: Final = (
    entries_reference,
    entries_images,
    entries_accelerators,
    entries_names,
    entries_content,
    entries_crosscutting,
)

ENTRIES: Final[Mapping[str, Entry]] = {id_: entry for one in _FAMILIES for id_, entry in one.ENTRIES.items()}
ELSEWHERE: Final[Mapping[str, str]] = {id_: place for one in _FAMILIES for id_, place in one.ELSEWHERE.items()}
