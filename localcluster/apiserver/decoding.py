"""Request bodies: bytes -> values, or a refusal in the API server's words (spec kube-api CRT-7, PATCH-4)."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson
import yaml

from localcluster.api import Json, Refusal
from localcluster.apiserver.negotiation import BodySyntax
from localcluster.apiserver.requests import Body, Patch, PatchKind
from localcluster.apiserver.wiretypes import WrongType, conform

__all__ = ["decode_delete_options", "decode_object", "decode_patch", "too_deep"]

DELETE_OPTIONS_VERSIONS = ("v1", "meta.k8s.io/v1", None)
GO_HEAD = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
SHOWN_BYTES = 30
DEEPEST = 200  # the JSON writer and our own walks end soon after
SPACED_COLON = re.compile(rb'"\s+:')


class Unreadable(ValueError):
    """The text is no JSON or YAML; the message is as Go's decoder words it."""


def decode_object(raw: bytes, syntax: BodySyntax, kind: str) -> Body:
    """An object of that kind. Raises Refusal 400 for what is no object at all (ERR-9)."""
    unrecognized = f"the object provided is unrecognized (must be of type {kind}):"
    shown = f"({_summary(raw)})"
    try:
        body = _decode(raw, syntax)
    except Unreadable as error:
        head = "" if syntax != "json" else "couldn't get version/kind; json parse error: "
        raise Refusal(400, "BadRequest", f"{unrecognized} {head}{error} {shown}") from error
    if isinstance(body.value, dict):
        return body
    message = f"couldn't get version/kind; json parse error: json: cannot unmarshal {go_type(body.value)}"
    raise Refusal(400, "BadRequest", f"{unrecognized} {message} into Go value of type {GO_HEAD} {shown}")


def decode_patch(raw: bytes, kind: PatchKind) -> Patch:
    """A patch: a list of operations, or an object. Raises Refusal 400."""
    try:
        body = _decode(raw, "yaml" if kind == "apply" else "json")
    except Unreadable as error:
        reading = "decoding YAML: error converting YAML to JSON" if kind == "apply" else "decoding patch"
        raise Refusal(400, "BadRequest", f"error {reading}: {error}") from error
    wanted: type = list if kind == "json" else dict
    if not isinstance(body.value, wanted):
        into = "[]handlers.jsonPatchOp" if kind == "json" else "map[string]interface {}"
        message = f"json: cannot unmarshal {go_type(body.value)} into Go value of type {into}"
        raise Refusal(400, "BadRequest", f"error decoding patch: {message}")
    return Patch(kind, body.value, body.duplicates)


def decode_delete_options(raw: bytes, syntax: BodySyntax) -> Json:
    """The DeleteOptions of a request body; an empty one says nothing. Raises Refusal 400 (DEL-2)."""
    if not raw:
        return {}
    try:
        value = _decode(raw, syntax).value
    except Unreadable as error:
        raise Refusal(400, "BadRequest", f"couldn't get version/kind; json parse error: {error}") from error
    if not isinstance(value, dict):
        raise Refusal(400, "BadRequest", f"json: cannot unmarshal {go_type(value)} into Go value of type {GO_HEAD}")
    kind, version = value.get("kind"), value.get("apiVersion")
    if kind not in (None, "DeleteOptions") or version not in DELETE_OPTIONS_VERSIONS:
        message = f'no kind "{kind}" is registered for version "{version}" in scheme "pkg/runtime/scheme.go:110"'
        raise Refusal(400, "BadRequest", message)
    try:
        return conform("meta.v1.DeleteOptions", value)[0]
    except WrongType as error:
        text = f'DeleteOptions in version "v1" cannot be handled as a DeleteOptions: {error}'
        raise Refusal(400, "BadRequest", text) from error


def too_deep(value: Any) -> bool:
    """Whether lists and maps stand in each other deeper than is taken here; real servers stop at 10,000."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(DEEPEST):
        level = [
            member
            for one in level
            for member in (one.values() if isinstance(one, dict) else one)
            if isinstance(member, dict | list)
        ]
        if not level:
            return False
    return True


def _summary(raw: bytes) -> str:
    """The beginning of a body as messages show it: text if it looks like JSON, else hex."""
    if not raw:
        return "<empty>"
    begin = raw[:SHOWN_BYTES]
    shown = begin.decode(errors="replace") if raw.startswith(b"{") else begin.hex()
    return f"{shown} ..." if len(raw) > SHOWN_BYTES else shown


def go_type(value: Any) -> str:
    """The JSON type of a value as Go names it."""
    if isinstance(value, bool):
        return "bool"
    names: dict[type, str] = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _decode(raw: bytes, syntax: BodySyntax) -> Body:
    if syntax == "protobuf":
        return _decode_protobuf(raw)
    return _decode_json(raw) if syntax == "json" else _decode_yaml(raw)


def _decode_protobuf(raw: bytes) -> Body:
    from localcluster.apiserver.protobuf import NotProtobuf, decode_envelope

    try:
        value = decode_envelope(raw)
    except NotProtobuf as error:
        raise Unreadable(str(error)) from error
    if too_deep(value):
        raise Unreadable("exceeded max depth")
    return Body(value)


def _decode_json(raw: bytes) -> Body:
    if not raw.strip():
        raise Unreadable("unexpected end of JSON input")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Unreadable(_go_words(raw, error)) from error
    if raw.count(b"{") + raw.count(b"[") > DEEPEST and too_deep(value):
        raise Unreadable("exceeded max depth")
    return Body(value, _duplicates(raw, value))


def _go_words(raw: bytes, error: orjson.JSONDecodeError) -> str:
    rest = raw.decode(errors="replace")[error.pos :].strip()
    if not rest or "end of" in error.msg or "EOF" in error.msg:
        return "unexpected end of JSON input"
    return f"invalid character {rest[0]!r} looking for beginning of value"


def _duplicates(raw: bytes, value: Any) -> tuple[str, ...]:
    """Keys that stand twice in one object. Most bodies have none, which counting colons shows without a slow decode."""
    if not SPACED_COLON.search(raw) and raw.count(b'":') == orjson.dumps(value).count(b'":'):
        return ()
    found: list[str] = []

    def paired(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, one in pairs:
            if key in seen:
                twice.setdefault(id(seen), []).append(key)
            seen[key] = one
        kept.append(seen)  # keeps ids unique while we look
        return seen

    twice: dict[int, list[str]] = {}
    kept: list[dict[str, Any]] = []
    _walk(json.loads(raw, object_pairs_hook=paired), "", twice, found)
    return tuple(dict.fromkeys(found))


def _walk(value: Any, path: str, twice: dict[int, list[str]], found: list[str]) -> None:
    if isinstance(value, dict):
        prefix = f"{path}." if path else ""
        for key, one in value.items():
            _walk(one, f"{prefix}{key}", twice, found)
        found.extend(f"{prefix}{key}" for key in twice.get(id(value), ()))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            _walk(one, f"{path}[{index}]", twice, found)


class _Loader(yaml.CSafeLoader):
    """YAML as the API server reads it: time stamps stay text, duplicate keys are remembered."""

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self.duplicates: list[str] = []


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            line = key_node.start_mark.line + 1
            loader.duplicates.append(f'line {line}: key "{key}" already set in map')
        seen.add(key)
    return {str(key) if not isinstance(key, str) else key: one for key, one in _pairs(loader, node)}


def _pairs(loader: _Loader, node: yaml.MappingNode) -> list[tuple[Any, Any]]:
    loader.flatten_mapping(node)
    return [
        (loader.construct_object(key, deep=True), loader.construct_object(one, deep=True)) for key, one in node.value
    ]


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _decode_yaml(raw: bytes) -> Body:
    loader = _Loader(raw)
    try:
        value = loader.get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark is not None else ""
        raise Unreadable(f"yaml: {line}{getattr(error, 'problem', None) or error}") from error
    except RecursionError as error:
        raise Unreadable("yaml: exceeded max depth") from error
    finally:
        loader.dispose()
    if too_deep(value):
        raise Unreadable("exceeded max depth")
    return Body(value, tuple(loader.duplicates))
