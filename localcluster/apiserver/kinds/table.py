"""Which rules each built-in kind follows; a kind that is not listed is plain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from localcluster.apiserver.kinds.base import Kind
from localcluster.apiserver.kinds.events import EventKind, NewEventKind

__all__ = ["KINDS", "PLAIN"]

PLAIN: Final = Kind()

KINDS: Final[Mapping[str, Kind]] = {
    "events": EventKind(),
    "events.events.k8s.io": NewEventKind(),
}
