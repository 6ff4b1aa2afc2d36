"""Whether documents can be used at all: asked before anything starts, answered with everything that is wrong.

The judges are loaded when there is something to judge: `manta up` alone does not wait for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from api.v1.wire import GROUP
from manta.documents import Document, Unusable
from manta.notyet import NOT_YET, sentence

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

    found = [*findings(documents), *not_run_yet(documents)]
    if any(one.denies for one in found):
        raise Rejected(found)
    return found


def not_run_yet(documents: Iterable[Document]) -> Iterator[Finding]:
    """Kinds that the API would take, and nothing would ever happen."""
    from manta.findings import Finding

    kinds = {resource.kind for resource in NOT_YET}
    for document in documents:
        if document.kind in kinds and str(document.body["apiVersion"]).startswith(f"{GROUP}/"):
            yield Finding(document, "kind", sentence(document.kind))
