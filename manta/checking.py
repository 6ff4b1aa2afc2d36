"""Whether documents can be used at all: asked before anything starts, answered with everything that is wrong.

The judges are loaded when there is something to judge: `manta up` alone does not wait for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from manta.documents import Document, Unusable

if TYPE_CHECKING:
    from manta.findings import Finding

__all__ = ["Rejected", "usable"]


class Rejected(Unusable):
    """Documents with findings that deny; the message shows all findings with their lines."""

    def __init__(self, found: Sequence[Finding]) -> None:
        things = "one thing is" if len(found) == 1 else f"{len(found)} things are"
        super().__init__("\n".join([f"nothing was started, {things} wrong", *map(str, found)]))
        self.findings = tuple(found)


def usable(documents: Iterable[Document]) -> list[Finding]:
    """What is worth telling, though it can be used. Raises Rejected with everything when something denies."""
    documents = list(documents)
    if not documents:
        return []
    from manta.findings import findings

    found = findings(documents)
    if any(one.denies for one in found):
        raise Rejected(found)
    return found
