"""What a decoder into the Go structs of a built-in kind would make of a JSON value (spec kube-api CRT-5, FV-2). Pure.

Fields and types come from Kubernetes' published .proto files (hack/wire_types.py). A value of another type is refused
in the words of Go's decoder; nulls become what Go's zero values are; fields that the struct does not have go.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.resources import files
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

from localcluster.api import Json
from localcluster.apiserver.kinds.base import DecodeError
from localcluster.apiserver.kinds.quantities import canonical
from localcluster.resources import ResourceInfo

__all__ = ["WireField", "WrongType", "conform", "fields_of", "message_of", "messages", "named_message"]

_INT_RANGES: Final = {"int32": 2**31, "int64": 2**63}
_LONG_QUANTITY: Final = re.compile(r".{41,}|.*[eE][+-]?\d{3,}", re.DOTALL)  # no amount that anybody means
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


class WrongType(ValueError):
    """A value is of another type than its field. The message is that of Go's decoder; `path` grows on its way out."""

    def __init__(self, found: str, wanted: str, text: str = "") -> None:
        super().__init__(text)
        self.found, self.wanted, self.text = found, wanted, text
        self.struct = ""
        self.path: list[str] = []

    def __str__(self) -> str:
        if self.text:
            return self.text
        where = ".".join([self.struct, *reversed(self.path)])
        place = f"Go struct field {where}" if self.struct else "Go value"
        return f"json: cannot unmarshal {self.found} into {place} of type {self.wanted}"


class WireField(NamedTuple):
    """A field. `shape`: "[]" a list, "{}" a map, "^" inlined, "!" never left out, "?" optional, "" plain."""

    number: int
    shape: str
    type: str


def message_of(resource: ResourceInfo) -> str | None:
    """The message of a built-in kind, "core.v1.Pod"; None for a kind that has none here."""
    return named_message(resource.group, resource.version, resource.kind)


def named_message(group: str, version: str, kind: str) -> str | None:
    """The same by group, version and kind."""
    name = f"{group.partition('.')[0] or 'core'}.{version}.{kind}"
    return name if name in _messages() else None


def messages() -> Iterable[str]:
    """The names of all messages."""
    return _messages().keys()


def fields_of(message: str) -> Mapping[str, WireField]:
    """JSON name -> field, as published. Raises KeyError."""
    return {name: _field(written) for name, written in _messages()[message].items()}


def conform(message: str, value: Json) -> tuple[Json, list[str]]:
    """The object as its struct holds it, a copy; and the paths of fields that it does not have.

    kind and apiVersion stay. Raises WrongType.
    """
    head = {key: value[key] for key in ("kind", "apiVersion") if key in value}
    for key, one in head.items():
        if not isinstance(one, str | None):
            text = f"json: cannot unmarshal {_go(one)} into Go struct field .{key} of type string"
            raise WrongType(_go(one), "string", text)
    rest = {key: one for key, one in value.items() if key not in head}
    seen = _Seen()
    read = _reader(message)(rest, seen)
    unknown = list(_unknown(message, rest, "")) if seen.unknown else []
    return {**head, **read}, unknown


class _Seen:
    """Whether anything unknown came by: only then the paths are worth a second look."""

    __slots__ = ("unknown",)

    def __init__(self) -> None:
        self.unknown = False


Read: TypeAlias = Callable[[Any, _Seen], Any]


@functools.cache
def _messages() -> dict[str, dict[str, str]]:
    text = files("localcluster.apiserver").joinpath("wire_types.json").read_bytes()
    messages: dict[str, dict[str, str]] = orjson.loads(text)
    return messages


def _field(written: str) -> WireField:
    number, _, kind = written.partition(" ")
    shape = next((one for one in ("[]", "{}", "^", "!", "?") if kind.startswith(one)), "")
    return WireField(int(number), shape, kind.removeprefix(shape))


@functools.cache
def _members(message: str) -> Mapping[str, WireField]:
    """The fields as JSON has them: those of inlined messages among their own."""
    members: dict[str, WireField] = {}
    for name, field in fields_of(message).items():
        if field.shape == "^":
            members |= _members(field.type)
        else:
            members[name] = field
    return members


def _go(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    names: dict[type, str] = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _go_name(kind: str) -> str:
    """ "core.v1.PodSpec" -> "v1.PodSpec"; "bytes" -> "[]uint8" """
    return {"bytes": "[]uint8", "double": "float64"}.get(kind) or ".".join(kind.split(".")[-2:])


# -- Readers: a value of the type, or WrongType


@functools.cache
def _reader(kind: str) -> Read:
    if kind in _SPECIAL:
        return _SPECIAL[kind]
    if kind in _messages():
        return _message_reader(kind)
    return _scalar_reader(kind)


def _message_reader(kind: str) -> Read:
    readers: dict[str, Read] = {}  # filled on first use, since messages contain themselves
    always: list[str] = []

    def read(value: Any, seen: _Seen) -> Json:
        if not isinstance(value, dict):
            raise WrongType(_go(value), _go_name(kind))
        if not readers:
            members = _members(kind)
            always.extend(name for name, field in members.items() if field.shape == "!")
            readers.update({name: _field_reader(field) for name, field in members.items()})
        result = {}
        for name, one in value.items():
            if one is None:
                continue
            reader = readers.get(name)
            if reader is None:
                seen.unknown = True
                continue
            try:
                result[name] = reader(one, seen)
            except WrongType as wrong:
                wrong.struct = wrong.struct or kind.rpartition(".")[2]
                wrong.path.append(name)
                raise
        for name in always:
            result.setdefault(name, "")
        return result

    return read


def _field_reader(field: WireField) -> Read:
    one = _reader(field.type)
    if field.shape == "[]":
        return _list_reader(one, field.type)
    if field.shape == "{}":
        return _map_reader(one, field.type)
    return one


def _list_reader(one: Read, kind: str) -> Read:
    def read(value: Any, seen: _Seen) -> list[Any]:
        if not isinstance(value, list):
            raise WrongType(_go(value), f"[]{_go_name(kind)}")
        return [_zero(kind) if member is None else one(member, seen) for member in value]

    return read


def _map_reader(one: Read, kind: str) -> Read:
    def read(value: Any, seen: _Seen) -> Json:
        if not isinstance(value, dict):
            raise WrongType(_go(value), f"map[string]{_go_name(kind)}")
        return {key: _zero(kind) if member is None else one(member, seen) for key, member in value.items()}

    return read


def _zero(kind: str) -> Any:
    """What a null is in a list or map."""
    zeros = {"bool": False, "int32": 0, "int64": 0, "double": 0, "resource.Quantity": "0", "intstr.IntOrString": 0}
    if kind in zeros:
        return zeros[kind]
    if kind in _SPECIAL:
        return None
    return _reader(kind)({}, _Seen()) if kind in _messages() else ""


def _scalar_reader(kind: str) -> Read:
    if kind == "string":
        return _read_string
    if kind == "bool":
        return _read_bool
    if kind == "bytes":
        return _read_bytes
    if kind == "double":
        return _read_double
    return functools.partial(_read_integer, kind)


def _read_string(value: Any, seen: _Seen) -> str:
    if isinstance(value, str):
        return value
    raise WrongType(_go(value), "string")


def _read_bool(value: Any, seen: _Seen) -> bool:
    if isinstance(value, bool):
        return value
    raise WrongType(_go(value), "bool")


def _read_double(value: Any, seen: _Seen) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise WrongType(_go(value), "float64")


def _read_integer(kind: str, value: Any, seen: _Seen) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        if -_INT_RANGES[kind] <= value < _INT_RANGES[kind]:
            return value
        raise WrongType(f"number {value}", kind)
    raise WrongType(f"number {value}" if isinstance(value, float) else _go(value), kind)


def _read_bytes(value: Any, seen: _Seen) -> str:
    """Base64, or, as Go's decoder takes it too, a list of small numbers."""
    if isinstance(value, list):
        return base64.b64encode(bytes(_read_byte(0 if one is None else one) for one in value)).decode()
    if not isinstance(value, str):
        raise WrongType(_go(value), "[]uint8")
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        wrong = re.search(r"[^A-Za-z0-9+/]", value)
        position = wrong.start() if wrong else len(value)
        raise WrongType("", "", f"illegal base64 data at input byte {position}") from None
    return value


def _read_byte(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise WrongType(_go(value), "uint8")
    if not 0 <= value < 256:
        raise WrongType(f"number {value}", "uint8")
    return value


def _read_quantity(value: Any, seen: _Seen) -> str:
    """In the form in which it is stored."""
    try:
        return canonical(None if _LONG_QUANTITY.fullmatch(str(value)) else value)
    except DecodeError as error:
        raise WrongType("", "", str(error)) from error


def _read_int_or_string(value: Any, seen: _Seen) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return _read_integer("int32", value, seen)
    raise WrongType(_go(value), "string" if not isinstance(value, float) else "int32")


def _read_time(value: Any, seen: _Seen) -> str:
    text = _read_string(value, seen)
    if _TIME.fullmatch(text):
        return text
    layout = "2006-01-02T15:04:05Z07:00"
    raise WrongType("", "", f'parsing time "{text}" as "{layout}": cannot parse "{text}" as "2006"')


def _read_any(value: Any, seen: _Seen) -> Any:
    return value


def _read_texts(value: Any, seen: _Seen) -> Any:
    return _list_reader(_read_string, "string")(value, seen)


def _read_schema(value: Any, seen: _Seen) -> Any:
    """A schema keeps its nulls: `default: null` means something."""
    if not isinstance(value, dict):
        raise WrongType(_go(value), "v1.JSONSchemaProps")
    read = _message_reader_of_schema()(value, seen)
    return {**read, **{key: None for key in ("default", "example") if key in value and value[key] is None}}


@functools.cache
def _message_reader_of_schema() -> Read:
    return _message_reader(_SCHEMA)


def _read_schema_or_bool(value: Any, seen: _Seen) -> Any:
    return value if isinstance(value, bool) else _read_schema(value, seen)


def _read_schema_or_list(value: Any, seen: _Seen) -> Any:
    return _list_reader(_read_schema, _SCHEMA)(value, seen) if isinstance(value, list) else _read_schema(value, seen)


def _read_schema_or_texts(value: Any, seen: _Seen) -> Any:
    return _read_texts(value, seen) if isinstance(value, list) else _read_schema(value, seen)


_SCHEMA: Final = "apiextensions.v1.JSONSchemaProps"
_SPECIAL: Final[Mapping[str, Read]] = {
    "resource.Quantity": _read_quantity,
    "intstr.IntOrString": _read_int_or_string,
    "meta.v1.Time": _read_time,
    "meta.v1.MicroTime": _read_string,  # its six digits are checked where they are used
    "meta.v1.Duration": _read_string,
    "meta.v1.FieldsV1": _read_any,
    "runtime.RawExtension": _read_any,
    "apiextensions.v1.JSON": _read_any,
    "authentication.v1.ExtraValue": _read_texts,
    "authorization.v1.ExtraValue": _read_texts,
    _SCHEMA: _read_schema,
    "apiextensions.v1.JSONSchemaPropsOrBool": _read_schema_or_bool,
    "apiextensions.v1.JSONSchemaPropsOrArray": _read_schema_or_list,
    "apiextensions.v1.JSONSchemaPropsOrStringArray": _read_schema_or_texts,
}


# -- Where unknown fields stand


def _unknown(message: str, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    members = _members(message)
    for name, one in value.items():
        here = f"{path}.{name}" if path else name
        field = members.get(name)
        if field is None:
            if one is not None:
                yield here
            continue
        if field.type not in _messages() or (field.type in _SPECIAL and field.type != _SCHEMA):
            continue
        if field.shape == "[]" and isinstance(one, list):
            for index, member in enumerate(one):
                yield from _unknown(field.type, member, f"{here}[{index}]")
        elif field.shape == "{}" and isinstance(one, dict):
            for key, member in one.items():
                yield from _unknown(field.type, member, f"{here}.{key}")
        else:
            yield from _unknown(field.type, one, here)
