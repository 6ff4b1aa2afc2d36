"""Leave to send, asked for when a request has its connection and nothing but its bytes is left (spec runtime LE-7).

A request may wait longer for a connection than the right to write lasts. What decides is known far above the wire, and
the moment is known only there: so whoever sends says in a block what is to be asked, and whoever has the connection
asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

__all__ = ["Permit", "ask_permit", "permitting"]

# What it raises ends the request before anything of it was sent.
Permit: TypeAlias = Callable[[], None]

_PERMIT: ContextVar[Permit | None] = ContextVar("permit", default=None)


@contextmanager
def permitting(permit: Permit | None) -> Iterator[None]:
    """For what this task sends in the block; None: nothing needs to be asked."""
    asked = _PERMIT.set(permit)
    try:
        yield
    finally:
        _PERMIT.reset(asked)


def ask_permit() -> None:
    """The connection is there. Raises what the permit raises."""
    permit = _PERMIT.get()
    if permit is not None:
        permit()
