"""What comes in with a write, up to an object of its kind: options, type, metadata, unknown fields. Pure.

Everything here is refused with 400 or 422 before the object is looked at as such (spec kube-api §7, ERR-8).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from localcluster.api import Json, Refusal
from localcluster.apiserver.decoding import too_deep
from localcluster.apiserver.kinds.base import DecodeError, Kind
from localcluster.apiserver.metadata import decode_metadata
from localcluster.apiserver.refusals import (
    Cause,
    bad_request,
    forbidden_field,
    invalid,
    invalid_options,
    invalid_value,
    not_supported,
    too_long,
)
from localcluster.apiserver.requests import Body, Options, Request
from localcluster.apiserver.wiretypes import WrongType, conform, message_of
from localcluster.resources import ResourceInfo

__all__ = [
    "NotOfItsKind",
    "check_options",
    "check_place",
    "conformed",
    "decode",
    "field_warnings",
    "is_dry",
    "too_deep",
]

_LONGEST_MANAGER: Final = 128
_YAML_LINE: Final = "line "  # a key given twice in YAML comes as a whole sentence, with its line
_SHOWN_BYTES: Final = 30


class NotOfItsKind(ValueError):
    """The value is no object of the kind; `subject` is what it calls itself, for the message."""

    def __init__(self, text: str, subject: str, version: str) -> None:
        super().__init__(text)
        self.subject, self.version = subject, version

    def refusal(self, kind: str) -> Refusal:
        """400 in the words of CRT-5."""
        return bad_request(f'{self.subject} in version "{self.version}" cannot be handled as a {kind}: {self}')


def conformed(message: str, kind: str, value: object) -> Json:
    """What is posted to a subresource, as its struct holds it. Raises Refusal 400."""
    version = message.split(".")[1]
    if not isinstance(value, dict) or too_deep(value):
        raise NotOfItsKind("json: cannot unmarshal into Go value", kind, version).refusal(kind)
    try:
        return conform(message, value)[0]
    except WrongType as error:
        raise NotOfItsKind(str(error), kind, version).refusal(kind) from error


def is_dry(options: Options) -> bool:
    """Whether nothing shall be written."""
    return "All" in options.dry_run


def check_options(kind: str, options: Options, *, patch: bool = False) -> None:
    """Refuse what the options of a write may not say; kind is "CreateOptions", ... Raises Refusal 422."""
    causes: list[Cause] = []
    if patch and options.force is not None:
        causes.append(forbidden_field("force", "may not be specified for non-apply patch"))
    causes += _dry_run_causes(options) + _manager_causes(options.field_manager)
    if options.field_validation not in {"", "Ignore", "Strict", "Warn"}:
        causes.append(not_supported("fieldValidation", options.field_validation, ("", "Ignore", "Strict", "Warn")))
    if causes:
        raise invalid_options(kind, causes)


def _dry_run_causes(options: Options) -> list[Cause]:
    if all(one == "All" for one in options.dry_run):
        return []
    return [not_supported("dryRun", list(options.dry_run), ("All",))]


def _manager_causes(manager: str) -> list[Cause]:
    field = "fieldManager"
    causes = [too_long(field, _LONGEST_MANAGER)] if len(manager.encode()) > _LONGEST_MANAGER else []
    for position, character in enumerate(manager):
        if not character.isprintable():
            shown = "\\a" if character == "\a" else character.encode("unicode_escape").decode()
            text = f"invalid character U+{ord(character):04X} (at position {position})"
            causes.append(Cause("FieldValueInvalid", field, f'Invalid value: "{shown}": {text}'))
            break
    return causes


def decode(resource: ResourceInfo, kind: Kind, body: Body) -> tuple[Json, list[str]]:
    """The body as an object of the kind, defaults filled in; and what strictness would not allow.

    Raises Refusal for a wrong type, NotOfItsKind for what cannot be decoded.
    """
    value: Json = body.value
    if not isinstance(value, dict):
        raise NotOfItsKind("json: cannot unmarshal into Go value", resource.kind, resource.version)
    (_check_custom_type if resource.custom else _check_type)(resource, value)
    if too_deep(value):
        raise NotOfItsKind("exceeded max depth", resource.kind, resource.version)
    metadata, unknown, wrong = decode_metadata(value.get("metadata"))
    if wrong:
        raise NotOfItsKind(wrong, resource.kind, resource.version)
    strange: list[str] = []
    if (message := message_of(resource)) is not None:
        try:
            value, strange = conform(message, {key: one for key, one in value.items() if key != "metadata"})
        except WrongType as error:
            raise NotOfItsKind(str(error), resource.kind, resource.version) from error
    try:
        obj, pruned = kind.decode({**value, "metadata": metadata})
    except DecodeError as error:
        raise NotOfItsKind(str(error), resource.kind, resource.version) from error
    kind.default(obj)
    problems = [one if one.startswith(_YAML_LINE) else f'duplicate field "{one}"' for one in body.duplicates]
    problems += [f'unknown field "{one}"' for one in (*unknown, *sorted([*strange, *pruned]))]
    return obj, problems


def _check_type(resource: ResourceInfo, value: Json) -> None:
    """Built-in kinds: what the object calls itself must be what the path says, or nothing (CRT-5)."""
    kind, api_version = value.get("kind"), value.get("apiVersion")
    value_kind = kind if isinstance(kind, str) and kind else resource.kind
    value_version = api_version if isinstance(api_version, str) and api_version else resource.api_version
    if (value_kind, value_version) == (resource.kind, resource.api_version):
        return
    group, _, version = value_version.rpartition("/")
    if value_kind == resource.kind or group == resource.group:
        text = (
            f'no kind "{value_kind}" is registered for version "{value_version}" in scheme "pkg/runtime/scheme.go:110"'
        )
    else:
        text = (
            f"converting ({version}.{value_kind}) to ({resource.group or 'core'}.{resource.kind}): unknown conversion"
        )
    raise NotOfItsKind(text, value_kind, version)


def _check_custom_type(resource: ResourceInfo, value: Json) -> None:
    """Custom kinds must say what they are (CRT-6)."""
    kind, api_version = value.get("kind"), value.get("apiVersion")
    if not kind or not api_version:
        missing = "Object 'Kind' is missing" if not kind else "Object 'apiVersion' is missing"
        text = json.dumps(value, ensure_ascii=False)
        start = text if len(text) <= _SHOWN_BYTES else f"{text[:_SHOWN_BYTES]} ..."
        unrecognized = f"the object provided is unrecognized (must be of type {resource.kind}):"
        raise bad_request(f"{unrecognized} {missing} in '{text}' ({start})")
    if api_version != resource.api_version:
        expected = f"does not match the expected API version ({resource.api_version})"
        raise bad_request(f"the API version in the data ({api_version}) {expected}")
    if kind != resource.kind:
        named = ResourceInfo(resource.group, resource.version, resource.plural, resource.singular, str(kind))
        name = (value.get("metadata") or {}).get("name", "")
        raise invalid(named, name, [invalid_value("kind", kind, f"must be {resource.kind}")])


def field_warnings(resource: ResourceInfo, options: Options, problems: Sequence[str]) -> list[str]:
    """What to warn of (FV-1). Raises NotOfItsKind when problems are to be errors."""
    if options.field_validation == "Strict" and problems:
        lines = [one for one in problems if one.startswith(_YAML_LINE)]
        others = [one for one in problems if not one.startswith(_YAML_LINE)]
        if lines:
            others.insert(0, "\n  ".join(["yaml: unmarshal errors:", *lines]))
        text = f"strict decoding error: {', '.join(others)}"
        raise NotOfItsKind(text, resource.kind, resource.version)
    return [] if options.field_validation == "Ignore" else list(problems)


def check_place(request: Request, metadata: Json, *, named: bool) -> None:
    """Name and namespace of the object are those of the path; an absent namespace is filled in (CRT-4, UPD-3)."""
    if request.resource.namespaced:
        if metadata.setdefault("namespace", request.namespace) != request.namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    else:
        metadata.pop("namespace", None)
    if not named:
        return
    name = metadata.get("name")
    if not name:
        subject = f"the name of the object ({request.name} based on URL)"
        raise bad_request(f"{subject} was undeterminable: name must be provided")
    if name != request.name:
        raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({request.name})")
