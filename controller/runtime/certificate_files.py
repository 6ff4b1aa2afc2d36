"""A server's certificate in files that somebody renews: a mounted Secret, say (spec runtime WH-12)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from controller.runtime.tls import BadPair, Pair

__all__ = ["CertificateFiles"]

CERTIFICATE, KEY = "tls.crt", "tls.key"  # what a Secret of type kubernetes.io/tls is mounted as
LOOK_SECONDS: Final = 1.0  # two small files; events would tell of some volumes and not of others

_log = structlog.get_logger("certificates")


class CertificateFiles:
    """Tells `use` of the pair in a folder, and of each other one that is there later.

    A pair that cannot be read or used, since it is being replaced, leaves the one before in use; it is told once.
    """

    def __init__(self, folder: Path, use: Callable[[Pair], None]) -> None:
        self._folder = folder
        self._use = use
        self._seen: Pair | None = None
        self._problem = ""

    async def run(self) -> None:
        """Look for ever."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Once."""
        try:
            pair = Pair((self._folder / CERTIFICATE).read_bytes(), (self._folder / KEY).read_bytes())
            if pair == self._seen:
                return
            self._seen = pair
            self._use(pair)
        except (OSError, BadPair) as error:
            self._tell(str(error))
        else:
            self._problem = ""
            _log.info("serving with the certificate of the files", folder=str(self._folder))

    def _tell(self, problem: str) -> None:
        if problem != self._problem:
            _log.warning("the certificate in the files cannot be used", folder=str(self._folder), problem=problem)
        self._problem = problem
