"""Bodies in Kubernetes' protobuf form, which newer kubectl sends for what it makes itself (spec kube-api NEG-3, TOP-2).

An envelope (four bytes, then `runtime.Unknown` with kind, version and the object's bytes) holds the object; here it
becomes the JSON that the same client would have sent. Answers are never written so: all who send it read JSON as well.
The library reads the wire; names and types are those of wire_types.json.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError as Undecodable
from google.protobuf.message_factory import GetMessageClass

from localcluster.api import Json
from localcluster.apiserver.wiretypes import WireField, fields_of, messages, named_message

__all__ = ["MAGIC", "NotProtobuf", "decode_envelope", "message_classes"]

MAGIC: Final = b"k8s\x00"
_ENVELOPE: Final = "runtime.Unknown"
_SCALARS: Final = {
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
}
_RAW: Final = frozenset({"runtime.RawExtension", "apiextensions.v1.JSON", "meta.v1.FieldsV1"})
_NANOSECONDS: Final = 10**9


class NotProtobuf(ValueError):
    """The bytes are no object in that form; the message says why."""


def decode_envelope(raw: bytes) -> Json:
    """The object in the envelope, as JSON with kind and apiVersion. Raises NotProtobuf."""
    if not raw.startswith(MAGIC):
        raise NotProtobuf("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    envelope = _parsed(_ENVELOPE, raw[len(MAGIC) :])
    head = envelope.f1
    group, _, version = head.f1.rpartition("/")
    message = named_message(group, version, head.f2) or _of_all_groups(head.f2)
    if message is None:
        raise NotProtobuf(f'no kind "{head.f2}" is registered for version "{head.f1}"')
    return {"kind": head.f2, "apiVersion": head.f1, **_json(message, _parsed(message, envelope.f2))}


def _of_all_groups(kind: str) -> str | None:
    return "meta.v1.DeleteOptions" if kind == "DeleteOptions" else None


def _parsed(message: str, raw: bytes) -> Any:
    try:
        return message_classes()[message].FromString(raw)
    except Undecodable as error:
        raise NotProtobuf(f"proto: cannot decode {message}: {error}") from error


# -- Descriptors


@functools.cache
def message_classes() -> dict[str, Any]:
    """A class per message, made when the first such body comes."""
    file = FileDescriptorProto(name="wire.proto", package="wire", syntax="proto2")
    for message in messages():
        _describe(file.message_type.add(), message)
    pool = DescriptorPool()
    pool.Add(file)
    return {message: GetMessageClass(pool.FindMessageTypeByName(f"wire.{_plain(message)}")) for message in messages()}


def _plain(message: str) -> str:
    return message.replace(".", "_")


def _describe(described: DescriptorProto, message: str) -> None:
    """Fields are called by their number. A map is a list of keys and values, as it is on the wire."""
    described.name = _plain(message)
    for field in fields_of(message).values():
        number, kind = field.number, field.type
        if field.shape == "{}":
            entry = described.nested_type.add(name=f"E{number}")
            _add_field(entry, 1, "string")
            _add_field(entry, 2, kind)
            listed = described.field.add(name=f"f{number}", number=number, label=FieldDescriptorProto.LABEL_REPEATED)
            listed.type = FieldDescriptorProto.TYPE_MESSAGE
            listed.type_name = f".wire.{described.name}.E{number}"
        else:
            _add_field(described, number, kind, repeated=field.shape == "[]")


def _add_field(described: DescriptorProto, number: int, kind: str, *, repeated: bool = False) -> None:
    field = described.field.add(name=f"f{number}", number=number)
    field.label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".wire.{_plain(kind)}"


# -- Messages as JSON


def _json(message: str, value: Any) -> Json:
    found: Json = {}
    for name, field in fields_of(message).items():
        here = f"f{field.number}"
        if field.shape == "[]":
            if members := getattr(value, here):
                found[name] = [_value(field.type, one) for one in members]
        elif field.shape == "{}":
            if entries := getattr(value, here):
                found[name] = {one.f1: _value(field.type, one.f2) for one in entries}
        elif not value.HasField(here):
            continue
        elif field.shape == "^":
            found |= _json(field.type, getattr(value, here))
        elif (one := _value(field.type, getattr(value, here))) or _is_shown(field, one):
            found[name] = one
    return found


def _is_shown(field: WireField, value: Any) -> bool:
    """Go writes all zeros on the wire, and leaves most of them out in JSON."""
    return field.shape in {"!", "?"} or isinstance(value, dict)


def _value(kind: str, value: Any) -> Any:
    if kind == "bytes":
        return base64.b64encode(value).decode()
    if kind in _SCALARS:
        return value
    if kind in _RAW:
        return _raw(value.f1)
    special: Callable[[Any], Any] | None = _SPECIAL.get(kind)
    return special(value) if special is not None else _json(kind, value)


def _raw(text: bytes) -> Any:
    try:
        return orjson.loads(text) if text else None
    except orjson.JSONDecodeError as error:
        raise NotProtobuf(f"no JSON where there must be some: {error}") from error


def _time(value: Any) -> str | None:
    return _moment(value).strftime("%Y-%m-%dT%H:%M:%SZ") if value.HasField("f1") else None


def _micro_time(value: Any) -> str | None:
    return _moment(value).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if value.HasField("f1") else None


def _moment(value: Any) -> datetime:
    try:
        return datetime.fromtimestamp(value.f1, UTC).replace(microsecond=value.f2 // 1000)
    except (ValueError, OverflowError, OSError) as error:
        raise NotProtobuf(f"no time: {error}") from error


def _int_or_string(value: Any) -> Any:
    return value.f3 if value.f1 else value.f2


_SCHEMA: Final = "apiextensions.v1.JSONSchemaProps"
_SPECIAL: Final[Mapping[str, Callable[[Any], Any]]] = {
    "meta.v1.Time": _time,
    "meta.v1.MicroTime": _micro_time,
    "meta.v1.Duration": lambda value: f"{value.f1 / _NANOSECONDS:g}s",
    "resource.Quantity": lambda value: value.f1 or "0",
    "intstr.IntOrString": _int_or_string,
    "authentication.v1.ExtraValue": lambda value: list(value.f1),
    "authorization.v1.ExtraValue": lambda value: list(value.f1),
    f"{_SCHEMA}OrBool": lambda value: _json(_SCHEMA, value.f2) if value.HasField("f2") else value.f1,
    f"{_SCHEMA}OrArray": lambda value: (
        _json(_SCHEMA, value.f1) if value.HasField("f1") else [_json(_SCHEMA, one) for one in value.f2]
    ),
    f"{_SCHEMA}OrStringArray": lambda value: _json(_SCHEMA, value.f1) if value.HasField("f1") else list(value.f2),
}
