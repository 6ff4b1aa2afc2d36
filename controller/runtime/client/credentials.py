"""What a request says about who we are: nothing, or a bearer token: fixed, in a file that changes, or asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import structlog

from controller.runtime.errors import RuntimeProblem
from controller.runtime.interfaces import Clock

__all__ = ["ANONYMOUS", "AskedToken", "Credentials", "FixedToken", "TokenFile"]

_log = structlog.get_logger("credentials")

REREAD_SECONDS = 60.0  # TRN-9


class Credentials(Protocol):
    """Answers the Authorization header's value."""

    def authorization(self) -> str:
        """The value to send now; "" for none."""
        ...

    async def refresh(self, sent: str) -> bool:
        """The value `sent` was not accepted: is there another one now? Every request that left with it asks."""
        ...


class _Anonymous:
    def authorization(self) -> str:
        return ""

    async def refresh(self, sent: str) -> bool:
        return False


ANONYMOUS: Credentials = _Anonymous()


class FixedToken:
    """A token that does not change while we run."""

    def __init__(self, token: str) -> None:
        self._token = token

    def authorization(self) -> str:
        return f"Bearer {self._token}"

    async def refresh(self, sent: str) -> bool:
        return False


class AskedToken:
    """A token that somebody is asked for: an exec plugin (TRN-11). Asked again, once for all, when it was refused."""

    def __init__(self, token: str, ask: Callable[[], Awaitable[str]]) -> None:
        """`ask` raises RuntimeProblem where there is no answer; the old token then stays in use."""
        self._token = token
        self._ask = ask
        self._asking = asyncio.Lock()

    def authorization(self) -> str:
        return f"Bearer {self._token}"

    async def refresh(self, sent: str) -> bool:
        async with self._asking:
            if self.authorization() == sent:
                try:
                    self._token = await self._ask()
                except RuntimeProblem as error:
                    _log.warning("there is no new token for the API server", error=str(error))
        return self.authorization() != sent


class TokenFile:
    """A token in a file that somebody renews: read again every minute, and at once when it was refused (TRN-9).

    A file that is unreadable or empty for a moment (it is being replaced) leaves the old token in use.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._token = ""
        self._read_at = float("-inf")

    def authorization(self) -> str:
        if self._clock.monotonic() >= self._read_at + REREAD_SECONDS:
            self._read()
        return f"Bearer {self._token}" if self._token else ""

    async def refresh(self, sent: str) -> bool:
        if self.authorization() == sent:  # else another request was refused before this one, and the file read again
            self._read()
        return self.authorization() != sent

    def _read(self) -> None:
        self._read_at = self._clock.monotonic()
        try:
            token = self._path.read_text().strip()
        except OSError:
            return
        if token:
            self._token = token
