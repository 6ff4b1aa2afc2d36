"""The one place where any exception may be caught (style.md, Errors): it is logged, and what follows is said."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

import structlog

__all__ = ["contained"]

_log = structlog.get_logger("runtime")


class contained:  # noqa: N801 - reads as a word in a `with` line
    """An exception inside ends the block and nothing else: it is logged with its traceback, then told to `on_error`.

    Cancellation and the end of the process travel on. The code after the block runs on; it must be right without
    what the block did.
    """

    __slots__ = ("_context", "_on_error", "_where")

    def __init__(self, where: str, *, on_error: Callable[[Exception], None] | None = None, **context: Any) -> None:
        self._where, self._on_error, self._context = where, on_error, context

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        context = {key: str(value) for key, value in self._context.items()}
        _log.error("contained an exception", where=self._where, exc_info=error, **context)
        if self._on_error is not None:
            self._on_error(error)
        return True
