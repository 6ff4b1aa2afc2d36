"""An answer of 400 and above -> a typed error (spec runtime CLI-21, CLI-22). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from api.meta import Json, Ref
from controller.runtime.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthorized,
)

__all__ = ["error_from", "refusal", "retry_after", "warnings_in"]

LONGEST_WAIT_SECONDS = 60.0  # CLI-15
KEPT_BYTES = 1024  # of a body that is no Status, CLI-22
_BY_CODE: Mapping[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


def error_from(verb: str, ref: Ref, code: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """What the answer says, as an error that can be acted upon."""
    status = _status(body)
    if status is None:
        text = body[:KEPT_BYTES].decode(errors="replace").strip()
        status = {"code": code, "reason": "Unexpected", "message": text or f"no explanation, HTTP {code}"}
    return refusal(verb, ref, {**status, "code": code}, retry_after(headers))


def refusal(verb: str, ref: Ref, status: Json, retry_after_seconds: float | None = None) -> ApiError:
    """The error for a Status object; also for one that came as an ERROR event of a watch."""
    code = int(status.get("code") or 500)
    reason = str(status.get("reason") or "")
    details = status.get("details") or {}
    if retry_after_seconds is None and details.get("retryAfterSeconds"):
        retry_after_seconds = _clamped(float(details["retryAfterSeconds"]))
    return _kind(code, reason, details)(
        verb,
        ref,
        code=code,
        reason=reason,
        message=str(status.get("message") or reason or f"HTTP {code}"),
        status=status,
        retry_after_seconds=retry_after_seconds,
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asks us to wait, between 0 and 60; None when it does not ask (dates are not understood)."""
    text = headers.get("Retry-After", "")
    return _clamped(float(text)) if text.isascii() and text.isdigit() else None


def warnings_in(headers: Mapping[str, str]) -> list[str]:
    """What the server warns of: a header for each thing, where the mapping can hold several of one name."""
    if "Warning" not in headers:
        return []
    every = getattr(headers, "getall", None)
    return [headers["Warning"]] if every is None else list(every("Warning"))


def _clamped(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)


def _kind(code: int, reason: str, details: Mapping[str, Any]) -> type[ApiError]:
    if code == 409:
        return AlreadyExists if reason == "AlreadyExists" else Conflict
    if code == 422 and any(cause.get("field") == "metadata.uid" for cause in details.get("causes") or ()):
        return Conflict  # a precondition on the uid that failed: another object has the name (design W4)
    if code >= 500:
        return ServerError
    return _BY_CODE.get(code, ApiError)


def _status(body: bytes) -> Json | None:
    try:
        decoded = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return None
    return decoded if isinstance(decoded, dict) and decoded.get("kind") == "Status" else None
