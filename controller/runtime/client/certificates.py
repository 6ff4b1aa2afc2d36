"""TLS to the API server with files that somebody renews: a CA bundle, a client certificate (spec runtime TRN-10).

A connection keeps the context that it was opened with, so a change reaches new connections at once and the others when
they are closed: idle ones after 90 s, watches within ten minutes.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

import structlog

from controller.runtime.errors import RuntimeProblem
from controller.runtime.interfaces import Clock

__all__ = ["CurrentTls"]

RELOAD_SECONDS = 60.0  # TRN-10

_log = structlog.get_logger("certificates")


class CurrentTls:
    """Called, it answers the context to open a connection with: made anew when what `read` answers has changed.

    `read` gives the files' contents, `make` a context of them. Files that cannot be read (OSError) or used
    (RuntimeProblem) just now, since they are being replaced, leave the old context in use for another minute.
    """

    def __init__(
        self,
        read: Callable[[], tuple[bytes | None, ...]],
        make: Callable[[tuple[bytes | None, ...]], ssl.SSLContext],
        clock: Clock,
    ) -> None:
        """Raises what `read` and `make` raise."""
        self._read = read
        self._make = make
        self._clock = clock
        self._contents = read()
        self._context = make(self._contents)
        self._read_at = clock.monotonic()

    def __call__(self) -> ssl.SSLContext:
        if self._clock.monotonic() >= self._read_at + RELOAD_SECONDS:
            self._read_at = self._clock.monotonic()
            self._reload()
        return self._context

    def _reload(self) -> None:
        try:
            contents = self._read()
            if contents == self._contents:
                return
            self._context = self._make(contents)
        except (OSError, RuntimeProblem) as error:
            _log.warning("the certificates for the API server cannot be renewed", error=str(error))
            return
        self._contents = contents
        _log.info("the certificates for the API server are new")
