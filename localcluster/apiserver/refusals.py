"""How the API server says no: field causes, and the Status each situation gets (spec kube-api §1).

The wording is literal, clients and tests compare it. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from localcluster.api import Json, Refusal
from localcluster.resources import ResourceInfo

__all__ = [
    "Cause",
    "already_exists",
    "bad_request",
    "conflict",
    "duplicate",
    "expired",
    "forbidden_field",
    "forbidden_request",
    "immutable",
    "invalid",
    "invalid_options",
    "invalid_value",
    "not_allowed",
    "not_found",
    "not_supported",
    "quoted",
    "required",
    "too_large_version",
    "too_long",
    "too_many",
    "unknown_resource",
    "unsupported_media",
]

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


class Cause(NamedTuple):
    """One thing wrong with one field, as details.causes holds it (ERR-18)."""

    reason: str
    field: str
    message: str


def quoted(value: Any) -> str:
    """A value as field errors show it: strings in quotes, structures as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def required(field: str, text: str = "") -> Cause:
    """The field must be there."""
    return Cause("FieldValueRequired", field, f"Required value: {text}" if text else "Required value")


def invalid_value(field: str, value: Any, text: str) -> Cause:
    """The field's value is wrong, and why."""
    return Cause("FieldValueInvalid", field, f"Invalid value: {quoted(value)}: {text}")


def immutable(field: str, value: Any) -> Cause:
    """The field may not change."""
    return invalid_value(field, value, "field is immutable")


def not_supported(field: str, value: Any, supported: Iterable[str]) -> Cause:
    """The value is none of those allowed."""
    choices = ", ".join(quoted(one) for one in supported)
    return Cause("FieldValueNotSupported", field, f"Unsupported value: {quoted(value)}: supported values: {choices}")


def forbidden_field(field: str, text: str) -> Cause:
    """The field may not be set, or not now."""
    return Cause("FieldValueForbidden", field, f"Forbidden: {text}")


def duplicate(field: str, value: Any) -> Cause:
    """The value stands twice where it may stand once."""
    return Cause("FieldValueDuplicate", field, f"Duplicate value: {quoted(value)}")


def too_long(field: str, most: int) -> Cause:
    """The text has too many bytes."""
    return Cause("FieldValueTooLong", field, f"Too long: may not be more than {most} bytes")


def too_many(field: str, found: int, most: int) -> Cause:
    """The list or map has too many members."""
    return Cause("FieldValueTooMany", field, f"Too many: {found}: must have at most {most} items")


def _about(resource: ResourceInfo, name: str, kind: str) -> Json:
    details: Json = {"name": name} if name else {}
    if resource.group:
        details["group"] = resource.group
    details["kind"] = kind
    return details


def _joined(causes: Sequence[Cause]) -> str:
    """All causes in one text; what is listed twice is said once (UPD-6)."""
    texts = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def invalid(resource: ResourceInfo, name: str, causes: Sequence[Cause], *, plural: bool = False) -> Refusal:
    """422: the object is wrong. `plural` names the resource instead of the kind, as some checks do (UPD-1)."""
    subject = resource.name if plural else resource.kind_name
    details = _about(resource, name, resource.plural if plural else resource.kind)
    details["causes"] = [{"reason": one.reason, "message": one.message, "field": one.field} for one in causes]
    return Refusal(422, "Invalid", f'{subject} "{name}" is invalid: {_joined(causes)}', details)


def invalid_options(kind: str, causes: Sequence[Cause]) -> Refusal:
    """422: the request's options are wrong; kind is "ListOptions", "CreateOptions", ... (ERR-8)."""
    details: Json = {"group": "meta.k8s.io", "kind": kind}
    details["causes"] = [{"reason": one.reason, "message": one.message, "field": one.field} for one in causes]
    return Refusal(422, "Invalid", f'{kind}.meta.k8s.io "" is invalid: {_joined(causes)}', details)


def not_found(resource: ResourceInfo, name: str) -> Refusal:
    """404: no such object (ERR-1)."""
    return Refusal(404, "NotFound", f'{resource.name} "{name}" not found', _about(resource, name, resource.plural))


def unknown_resource() -> Refusal:
    """404: nothing of that name is served here (ERR-2)."""
    return Refusal(404, "NotFound", "the server could not find the requested resource", {})


def not_allowed() -> Refusal:
    """405: the resource does not have that verb (ERR-4)."""
    return Refusal(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def already_exists(resource: ResourceInfo, name: str) -> Refusal:
    """409: the name is taken (ERR-5)."""
    message = f'{resource.name} "{name}" already exists'
    return Refusal(409, "AlreadyExists", message, _about(resource, name, resource.plural))


def conflict(resource: ResourceInfo, name: str, why: str = MODIFIED, *, by_kind: bool = False) -> Refusal:
    """409: not what the writer saw (ERR-6); by_kind for failed delete preconditions (DEL-4)."""
    subject = resource.kind_name if by_kind else resource.name
    message = f'Operation cannot be fulfilled on {subject} "{name}": {why}'
    return Refusal(409, "Conflict", message, _about(resource, name, resource.kind if by_kind else resource.plural))


def forbidden_request(resource: ResourceInfo, name: str, why: str, causes: Sequence[Json] = ()) -> Refusal:
    """403: not allowed for this object."""
    subject = f'{resource.name} "{name}"' if name else resource.name
    details = _about(resource, name, resource.plural)
    if causes:
        details["causes"] = list(causes)
    return Refusal(403, "Forbidden", f"{subject} is forbidden: {why}", details)


def bad_request(message: str) -> Refusal:
    """400: what was sent cannot be understood (ERR-9)."""
    return Refusal(400, "BadRequest", message)


def unsupported_media(message: str) -> Refusal:
    """415: the kind of body is not accepted here (ERR-11)."""
    return Refusal(415, "UnsupportedMediaType", message)


def expired(message: str) -> Refusal:
    """410: the version asked for is no longer known (ERR-16)."""
    return Refusal(410, "Expired", message)


def too_large_version(asked: int, current: int, *, retry: bool = True) -> Refusal:
    """504: the version asked for has not happened yet (ERR-15)."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    details: Json = {"causes": [cause]}
    if retry:
        details["retryAfterSeconds"] = 1
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    return Refusal(504, "Timeout", message, details)
