"""What the server answered becomes an error that can be acted upon."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.meta import Ref
from controller.runtime import errors
from controller.runtime.client.status import error_from, refusal, retry_after

POD = Ref("Pod", "ns", "a")
UID_CAUSE = {"causes": [{"field": "metadata.uid", "reason": "FieldValueInvalid"}]}


@pytest.mark.spec("runtime:CLI-6", "runtime:CLI-21")
@pytest.mark.parametrize(
    ("code", "reason", "details", "kind"),
    [
        (400, "BadRequest", {}, errors.ApiError),
        (401, "Unauthorized", {}, errors.Unauthorized),
        (403, "Forbidden", {}, errors.Forbidden),
        (404, "NotFound", {}, errors.NotFound),
        (409, "AlreadyExists", {}, errors.AlreadyExists),
        (409, "Conflict", {}, errors.Conflict),
        (410, "Expired", {}, errors.Gone),
        (422, "Invalid", {}, errors.Invalid),
        (422, "Invalid", UID_CAUSE, errors.Conflict),
        (429, "TooManyRequests", {}, errors.TooManyRequests),
        (500, "InternalError", {}, errors.ServerError),
        (504, "Timeout", {}, errors.ServerError),
    ],
)
def test_each_answer_has_its_error(code: int, reason: str, details: dict[str, Any], kind: type[Exception]) -> None:
    """Two kinds of 409, and a 422 on the uid that is a conflict (design W4)."""
    status = {"kind": "Status", "code": code, "reason": reason, "message": "no", "details": details}

    error = error_from("patch", POD, code, {}, json.dumps(status).encode())

    assert type(error) is kind
    assert (error.reason, error.message, error.code) == (reason, "no", code)
    assert str(error) == f"cannot patch Pod ns/a: no (HTTP {code})"


@pytest.mark.spec("runtime:CLI-22")
def test_an_answer_that_is_no_status_keeps_the_start_of_its_text() -> None:
    """A proxy's page, say."""
    error = error_from("get", POD, 502, {}, b"<html>" + b"x" * 5000)

    assert isinstance(error, errors.ServerError)
    assert error.reason == "Unexpected"
    assert error.message.startswith("<html>xxx")
    assert len(error.message) == 1024


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({}, None), ({"Retry-After": "7"}, 7.0), ({"Retry-After": "900"}, 60.0), ({"Retry-After": "soon"}, None)],
)
def test_the_wish_to_wait_is_clamped_to_a_minute(headers: dict[str, str], seconds: float | None) -> None:
    """A server that asks for an hour is not obeyed (CLI-15)."""
    assert retry_after(headers) == seconds


def test_the_wish_may_stand_in_the_status_too() -> None:
    """An ERROR event of a watch has no headers."""
    error = refusal("watch", POD, {"code": 429, "details": {"retryAfterSeconds": 3}})

    assert isinstance(error, errors.TooManyRequests)
    assert error.retry_after_seconds == 3.0
