"""The seam for tracing (spec runtime CTL-11): what is called around each reconcile. Nothing by default."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from api.meta import Ref

__all__ = ["Tracer", "no_tracing"]


class Tracer(Protocol):
    """A span around one reconcile; entered before it, left after it."""

    def __call__(self, controller: str, key: Ref, reconcile_id: str) -> AbstractContextManager[object]: ...


def no_tracing(controller: str, key: Ref, reconcile_id: str) -> AbstractContextManager[object]:
    """No span."""
    return _NOTHING


_NOTHING: AbstractContextManager[object] = nullcontext()
