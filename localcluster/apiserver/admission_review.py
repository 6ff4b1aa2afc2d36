"""What goes over the wire to a webhook, and what its answer means (spec kube-api ADM-1 to ADM-8). Pure."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, Final

import orjson

from localcluster.api import Json, Refusal
from localcluster.apiserver.decoding import go_type
from localcluster.apiserver.requests import Review
from localcluster.apiserver.wiretypes import WrongType, conform
from localcluster.resources import ResourceInfo

__all__ = ["Admitted", "CallFailed", "asked_about", "denied", "failed", "internal", "judged", "refused_by", "review"]

API_VERSION: Final = "admission.k8s.io/v1"
KIND: Final = "AdmissionReview"
_GO_HEAD: Final = (
    'Go value of type struct { APIVersion string "json:\\"apiVersion,omitempty\\""; '
    'Kind string "json:\\"kind,omitempty\\"" }'
)
# What the server's client makes of an HTTP status; others have a sentence each, below.
_STATUS_WORDS: Final = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}


class CallFailed(Exception):
    """A webhook could not be asked, or its answer is none; what that leads to is up to its failurePolicy (ADM-8)."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A webhook's answer that can be understood."""

    allowed: bool
    status: Json | None
    patch: bytes
    patch_type: str
    warnings: tuple[str, ...]


def asked_about(review: Review, resource: ResourceInfo) -> Json:
    """The request of a review but for uid and objects, which is also what conditions see (ADM-2)."""
    own, part = review.request, review.request.subresource
    fields: Json = {"kind": _kind(resource, part), "resource": _resource(resource)}
    if part:
        fields["subResource"] = part
    fields |= {"requestKind": _kind(own.resource, part), "requestResource": _resource(own.resource)}
    if part:
        fields["requestSubResource"] = part
    if review.name:
        fields["name"] = review.name
    if namespace := namespace_of(review):
        fields["namespace"] = namespace
    return fields | {
        "operation": review.operation,
        "userInfo": dict(own.user),
        "dryRun": review.dry_run,
        "options": review.options,
    }


def namespace_of(review: Review) -> str:
    """The namespace that a write is about: of a namespace itself its own name."""
    if review.request.resource.name == "namespaces":
        return review.name
    return review.request.namespace if review.request.resource.namespaced else ""


def _kind(resource: ResourceInfo, part: str) -> Json:
    below = resource.subresource(part) if part else None
    group, version, kind = resource.group, resource.version, resource.kind
    if below is not None and below.version:
        group, version = below.group, below.version
    if below is not None and below.kind:
        kind = below.kind
    return {"group": group, "version": version, "kind": kind}


def _resource(resource: ResourceInfo) -> Json:
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}


def review(request: Json, uid: str, obj: Json | None, old: Json | None) -> bytes:
    """The body of the call."""
    whole = {"uid": uid, **request, "object": obj, "oldObject": old}
    return orjson.dumps({"kind": KIND, "apiVersion": API_VERSION, "request": whole})


def refused_by(code: int, content_type: str, body: bytes) -> CallFailed:
    """What an HTTP answer other than 2xx means."""
    is_text = not content_type or content_type.startswith("text/")
    text = body.decode(errors="replace").strip() if is_text else "unknown"
    words = _STATUS_WORDS.get(code)
    if words is None and code in {403, 406, 415}:
        words = text or "unknown"
    if words is None and code >= 500:
        words = f"an error on the server ({json.dumps(text)}) has prevented the request from succeeding"
    if words is None:
        words = f"the server responded with the status code {code} but did not return more information"
    return CallFailed(f"failed to call webhook: {words}")


def judged(body: bytes, uid: str, *, mutating: bool) -> Admitted:
    """The answer to the review of that uid. Raises CallFailed."""
    try:
        whole = _read(body)
    except ValueError as error:
        raise CallFailed(f"failed to call webhook: {error}") from error
    response = whole.get("response")
    if response is None:
        raise _invalid("webhook response was absent")
    if response.get("uid", "") != uid:
        raise _invalid(f'expected response.uid="{uid}", got "{response.get("uid", "")}"')
    if not whole.get("kind") or not whole.get("apiVersion"):
        group, _, version = (whole.get("apiVersion") or "/").rpartition("/")
        got = f"{group}/{version}, Kind={whole.get('kind') or ''}"
        raise _invalid(f"expected webhook response of {API_VERSION}, Kind={KIND}, got {got}")
    patch, patch_type = response.get("patch") or "", response.get("patchType")
    if mutating:
        _check_patch(patch, patch_type)
    elif patch or patch_type is not None:
        raise _invalid(f"validating webhook may not return response.{'patch' if patch else 'patchType'}")
    return Admitted(
        allowed=response.get("allowed", False),
        status=response.get("status"),
        patch=base64.b64decode(patch),
        patch_type=patch_type or "",
        warnings=tuple(response.get("warnings") or ()),
    )


def _check_patch(patch: str, patch_type: str | None) -> None:
    if patch and patch_type is None:
        raise _invalid("webhook returned response.patch but not response.patchType")
    if not patch and patch_type is not None:
        raise _invalid("webhook returned response.patchType but not response.patch")
    if patch_type == "":
        raise _invalid('webhook returned invalid response.patchType of ""')
    if patch_type not in {None, "JSONPatch"}:
        raise CallFailed(f'unsupported patch type "{patch_type}"')


def _invalid(text: str) -> CallFailed:
    return CallFailed(f"received invalid webhook response: {text}")


def _read(body: bytes) -> Json:
    """The answer, every field of the type that it should have. Raises ValueError in the words of Go's decoder."""
    try:
        whole = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"couldn't get version/kind; json parse error: {_unreadable(body, error)}") from error
    if not isinstance(whole, dict):
        raise ValueError(
            f"couldn't get version/kind; json parse error: json: cannot unmarshal {go_type(whole)} into {_GO_HEAD}"
        )
    kind, version = whole.get("kind") or KIND, whole.get("apiVersion") or API_VERSION
    if (kind, version) != (KIND, API_VERSION):
        raise ValueError(
            f'no kind "{kind}" is registered for version "{version}" in scheme "pkg/runtime/scheme.go:111"'
        )
    return {**whole, "response": _response(whole.get("response"))}


def _unreadable(body: bytes, error: orjson.JSONDecodeError) -> str:
    """What is no JSON is read as YAML, in which most texts are just a string: an HTML page, say."""
    text = body.decode(errors="replace")
    if not text.lstrip().startswith(("{", "[")):
        return f"json: cannot unmarshal string into {_GO_HEAD}"
    rest = text[error.pos :].strip()
    return f"invalid character {rest[0]!r} looking for beginning of value" if rest else "unexpected end of JSON input"


_TYPES: Final[dict[str, tuple[type, str]]] = {
    "uid": (str, "types.UID"),
    "allowed": (bool, "bool"),
    "patch": (str, "[]uint8"),
    "patchType": (str, "v1.PatchType"),
    "warnings": (list, "[]string"),
    "status": (dict, "v1.Status"),
}


def _response(value: Any) -> Json | None:
    if value is None:
        return None
    _check_type("response", value, dict, "v1.AdmissionResponse")
    response: Json = {name: one for name, one in value.items() if one is not None}
    for name, (wanted, go) in _TYPES.items():
        if name in response:
            _check_type(f"response.{name}", response[name], wanted, go)
    for warning in response.get("warnings") or ():
        _check_type("response.warnings", warning, str, "string")
    try:
        base64.b64decode(response.get("patch", ""), validate=True)
        if "status" in response:
            response["status"] = conform("meta.v1.Status", response["status"])[0]
    except binascii.Error as error:
        raise ValueError("illegal base64 data in response.patch") from error
    except WrongType as error:
        raise ValueError(str(error)) from error
    return response


def _check_type(field: str, value: Any, wanted: type, go: str) -> None:
    if not isinstance(value, wanted):
        struct = "AdmissionResponse" if "." in field else KIND
        raise ValueError(f"json: cannot unmarshal {go_type(value)} into Go struct field {struct}.{field} of type {go}")


def denied(name: str, status: Json | None) -> Refusal:
    """The refusal of a webhook, in its own words (ADM-6)."""
    said = status or {}
    by = f'admission webhook "{name}" denied the request'
    explained = said.get("message") or said.get("reason")
    message = f"{by}: {explained}" if explained else f"{by} without explanation"
    return Refusal(max(said.get("code") or 0, 400), said.get("reason") or "", message, said.get("details"))


def failed(name: str, error: CallFailed) -> Refusal:
    """What follows when a webhook that must be asked cannot be (ADM-8)."""
    return internal(f'failed calling webhook "{name}": {error}')


def internal(text: str) -> Refusal:
    """500: not the client's fault."""
    return Refusal(500, "InternalError", f"Internal error occurred: {text}", {"causes": [{"message": text}]})
