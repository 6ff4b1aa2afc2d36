"""What can go wrong between us and the API server, by what the caller should do about it.

ApiError                 the server answered, and refused
  NotFound               404
  AlreadyExists          409 AlreadyExists
  Conflict               409, and 422 on metadata.uid: the object changed or was replaced; read again, decide again
  Invalid                422: the object is wrong, the same request never succeeds
  Forbidden              403: rights, quota, a terminating namespace
  Unauthorized           401
  Gone                   410: the version asked for is no longer known
  TooManyRequests        429; retry_after_seconds says how long
  ServerError            5xx: nothing is known to have happened, unless it was a write that timed out there
Unreachable              no answer; before a byte was sent, so nothing happened
LostAnswer               a write was sent and its answer never came: it may or may not have happened (design W8)
StaleCache               a read could not be made as new as our own writes in time; look again later
NotLeading               may_write() said no
Terminal                 retrying cannot help; the key is forgotten
"""

from __future__ import annotations

from typing import Any

from api.meta import Ref

__all__ = [
    "AlreadyExists",
    "ApiError",
    "Conflict",
    "Forbidden",
    "Gone",
    "Invalid",
    "LostAnswer",
    "NotFound",
    "NotLeading",
    "RuntimeProblem",
    "ServerError",
    "StaleCache",
    "Terminal",
    "TooManyRequests",
    "Unauthorized",
    "Unreachable",
]


class RuntimeProblem(Exception):
    """The root of everything below."""


class ApiError(RuntimeProblem):
    """The API server refused. `status` is its Status object, as it stood on the wire."""

    def __init__(
        self,
        verb: str,
        ref: Ref,
        *,
        code: int,
        message: str,
        reason: str = "",
        status: dict[str, Any] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(f"cannot {verb} {ref}: {message} (HTTP {code})")
        self.verb, self.ref, self.code, self.message, self.reason = verb, ref, code, message, reason
        self.status = status or {}
        self.retry_after_seconds = retry_after_seconds


class NotFound(ApiError):
    """No such object, or no such resource."""


class AlreadyExists(ApiError):
    """An object of that name is there; whose it is, a read must tell (design W3)."""


class Conflict(ApiError):
    """The object changed since it was read, or another one has its name: read again, decide again."""


class Invalid(ApiError):
    """The server's validation or an admission webhook refused the content."""


class Forbidden(ApiError):
    """Rights, quota, or a namespace that is being deleted."""


class Unauthorized(ApiError):
    """The credentials are not accepted."""


class Gone(ApiError):
    """The resourceVersion or continue token is too old; list again."""


class TooManyRequests(ApiError):
    """Slow down; `retry_after_seconds` is the server's wish."""


class ServerError(ApiError):
    """The server failed; its message may help."""


class Unreachable(RuntimeProblem):
    """No byte of the request was processed: connection refused, name not found, TLS failed."""


class LostAnswer(RuntimeProblem):
    """The request was sent and the connection broke before the answer: read before you repeat it."""

    def __init__(self, verb: str, ref: Ref, cause: str) -> None:
        super().__init__(f"cannot tell whether {verb} {ref} happened: {cause}")
        self.verb, self.ref = verb, ref


class StaleCache(RuntimeProblem):
    """The cache has not yet seen one of our own writes (spec runtime RYW-7). The failure count stays as it is."""


class NotLeading(RuntimeProblem):
    """This replica may not write now; somebody else leads, or may soon (spec runtime LE-7)."""


class Terminal(RuntimeProblem):
    """Retrying cannot help: forget the key until its object changes (spec runtime CTL-5)."""
