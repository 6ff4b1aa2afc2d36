"""The form in which rules are explained to people: `docs/rules.md`, `manta lint --explain`."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Entry"]


class Entry(NamedTuple):
    """One rule, in three sentences or fewer each; Markdown's backticks are all the markup there is."""

    what: str  # what it looks for: "`rayVersion` and the head image's tag name different releases."
    why: str  # what happens otherwise
    mend: str  # what to write instead
