"""What a reflector does about a failure (the table of spec runtime REF-10). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from controller.runtime.cache.store import Rewound
from controller.runtime.client.transport import Broken
from controller.runtime.client.watch import UnreadableEvent
from controller.runtime.errors import (
    ApiError,
    Forbidden,
    Gone,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)

__all__ = ["EndedEarly", "Reaction", "Step", "StreamTooShort", "lacks_watch_list", "react"]


class Step(Enum):
    """What a reflector is about to do."""

    LOAD = "load"  # get the whole collection
    WATCH = "watch"  # follow it from the version at hand


class EndedEarly(Broken):
    """A stream ended before its initial events did."""


class StreamTooShort(Broken):
    """A watch ended at once and without an event: opening another one at once would be a tight loop (REF-9)."""


@dataclass(frozen=True, slots=True)
class Reaction:
    """The next step; whether to back off first, and for how long at least; whether the version is of no use."""

    next: Step
    cause: str
    wait: bool = True
    at_least_seconds: float = 0.0
    forget_version: bool = False


def react(error: Exception, step: Step, *, version_used: bool) -> Reaction:
    """`version_used`: the failed step asked for a version that we had, and another try without it may help."""
    match error:
        case Rewound():
            return Reaction(Step.LOAD, "rewound", wait=not version_used, forget_version=True)
        case ApiError():
            return _refused(error, step, version_used=version_used)
        case TimeoutError():
            return Reaction(step, "idle")
        case Unreachable():
            return Reaction(step, "refused")
        case UnreadableEvent():
            return Reaction(step, "decode")
        case StreamTooShort() | EndedEarly():
            return Reaction(step, "closed")
        case Broken():
            return Reaction(step, "reset")
        case _:
            return Reaction(Step.LOAD, "error")


def _refused(error: ApiError, step: Step, *, version_used: bool) -> Reaction:
    match error:
        case Gone() if step is Step.WATCH:
            # From where we were, and at once; only a load that fails likewise gives that version up.
            return Reaction(Step.LOAD, "expired", wait=False)
        case Gone():
            return Reaction(Step.LOAD, "expired", wait=not version_used, forget_version=True)
        case TooManyRequests():
            return Reaction(step, "throttled", at_least_seconds=error.retry_after_seconds or 0.0)
        case _ if _is_too_large(error):
            return Reaction(Step.LOAD, "too_large", wait=not version_used, forget_version=True)
        case Unauthorized():
            return Reaction(step, "unauthorized")
        case Forbidden() | NotFound():
            return Reaction(step, "unavailable")
        case _:
            return Reaction(Step.LOAD, "error", at_least_seconds=error.retry_after_seconds or 0.0)


def lacks_watch_list(error: Exception) -> bool:
    """Does this answer to a WatchList mean that the server does not know it (REF-1)? Then a LIST is tried."""
    if not isinstance(error, ApiError):
        return False
    passing = (Gone, TooManyRequests, ServerError, Unauthorized, NotFound)
    return not isinstance(error, passing) and not _is_too_large(error)


def _is_too_large(error: ApiError) -> bool:
    """This server's cache lags behind the one that told us our version."""
    causes = (error.status.get("details") or {}).get("causes") or ()
    if any(cause.get("reason") == "ResourceVersionTooLarge" for cause in causes):
        return True
    return error.reason == "Timeout" and "Too large resource version" in error.message
