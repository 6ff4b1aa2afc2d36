"""What a request says about who we are: nothing, a fixed bearer token, a token in a file that changes (TRN-9)."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from controller.runtime.interfaces import Clock

__all__ = ["ANONYMOUS", "Credentials", "FixedToken", "TokenFile"]

REREAD_SECONDS = 60.0  # TRN-9


class Credentials(Protocol):
    """Answers the Authorization header's value."""

    def authorization(self) -> str:
        """The value to send now; "" for none."""
        ...

    def refresh(self, sent: str) -> bool:
        """The value `sent` was not accepted: is there another one now? Every request that left with it asks."""
        ...


class _Anonymous:
    def authorization(self) -> str:
        return ""

    def refresh(self, sent: str) -> bool:
        return False


ANONYMOUS: Credentials = _Anonymous()


class FixedToken:
    """A token that does not change while we run."""

    def __init__(self, token: str) -> None:
        self._token = token

    def authorization(self) -> str:
        return f"Bearer {self._token}"

    def refresh(self, sent: str) -> bool:
        return False


class TokenFile:
    """A token in a file that somebody renews: read again every minute, and at once when it was refused.

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

    def refresh(self, sent: str) -> bool:
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
