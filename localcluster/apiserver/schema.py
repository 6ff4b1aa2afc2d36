"""Structural schemas of custom resources, compiled once to closures (spec kube-api §14). Pure.

Here is the second of two passes: *checking*, after *shaping* (shaping.py) has pruned and filled in. A node of the
schema becomes a closure, or None where everything is allowed, so whole branches cost nothing. Paths are linked pairs
(parent, key) that become text only when there is something to say.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from localcluster.apiserver.refusals import Cause, quoted

__all__ = [
    "BLOCKING",
    "EMBEDDED",
    "HEAD",
    "INT64",
    "PRESERVE",
    "Check",
    "Found",
    "Path",
    "compile_check",
    "field_text",
    "value_at",
]

Path: TypeAlias = tuple[Any, str | int] | None  # (parent, key); None is the root
Found: TypeAlias = list[tuple[Path, Cause]]  # the path is where the offending value is: a missing member's parent
Check: TypeAlias = Callable[[Any, Path, Found], None]

# After errors of these kinds CEL rules are not evaluated (VAL-1).
BLOCKING: Final = frozenset(
    {
        "FieldValueTypeInvalid",
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
    }
)
INT64: Final = 2**63
PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING: Final = "x-kubernetes-int-or-string"
EMBEDDED: Final = "x-kubernetes-embedded-resource"
HEAD: Final = frozenset({"apiVersion", "kind", "metadata"})


def field_text(path: Path) -> str:
    """The path as causes name it: "spec.items[1].name"."""
    keys: list[str | int] = []
    while path is not None:
        path, key = path
        keys.append(key)
    text = ""
    for key in reversed(keys):
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def value_at(obj: Any, path: Path) -> Any:
    """The value at that path; None if there is none."""
    if path is None:
        return obj
    parent, key = path
    value = value_at(obj, parent)
    if isinstance(value, dict):
        return value.get(key)
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return None


# -- Checking --------------------------------------------------------------------------------------------------------


def compile_check(schema: Mapping[str, Any], *, root: bool = False) -> Check | None:
    """The check of values of this schema; None if it allows everything."""
    checks = [one for one in _checks(schema, root=root) if one is not None]
    typed = _type_check(schema)
    if not checks and typed is None:
        return None
    nullable = bool(schema.get("nullable"))

    def check(value: Any, path: Path, found: Found) -> None:
        if value is None and nullable:
            return
        if typed is not None and not typed(value, path, found):
            return
        for one in checks:
            one(value, path, found)

    return check


def _checks(schema: Mapping[str, Any], *, root: bool) -> Iterable[Check | None]:
    yield _enum_check(schema)
    yield from _number_checks(schema)
    yield from _text_checks(schema)
    yield _size_check(schema, list, "maxItems", "minItems")
    yield _size_check(schema, dict, "maxProperties", "minProperties")
    yield _required_check(schema)
    yield _members_check(schema, root=root)
    yield _items_check(schema)
    yield _unique_check(schema)
    yield from _combined_checks(schema)


def _say(found: Found, path: Path, reason: str, message: str) -> None:
    found.append((path, Cause(reason, field_text(path), message)))


def _type_name(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if -INT64 <= value < INT64 else "number"
    names: dict[type, str] = {str: "string", float: "number", dict: "object", list: "array"}
    return names.get(type(value), "null")


_ACCEPTED: Final[Mapping[str, frozenset[str]]] = {
    "integer": frozenset({"integer"}),
    "number": frozenset({"integer", "number"}),
    "string": frozenset({"string"}),
    "boolean": frozenset({"boolean"}),
    "object": frozenset({"object"}),
    "array": frozenset({"array"}),
    "integer,string": frozenset({"integer", "string"}),
}
_PYTHON_TYPES: Final[Mapping[str, type]] = {"string": str, "boolean": bool, "object": dict, "array": list}


def _type_check(schema: Mapping[str, Any]) -> Callable[[Any, Path, Found], bool] | None:
    wanted: str = "integer,string" if schema.get(_INT_OR_STRING) else schema.get("type", "")
    if wanted not in _ACCEPTED:
        return None
    if wanted == "integer":
        return _integer_check(schema.get("format", ""))
    accepted, quick = _ACCEPTED[wanted], _PYTHON_TYPES.get(wanted)

    def check(value: Any, path: Path, found: Found) -> bool:
        if quick is not None and type(value) is quick:
            return True
        actual = _type_name(value)
        if actual in accepted:
            return True
        text = f'Invalid value: "{actual}": {field_text(path)} in body must be of type {wanted}: "{actual}"'
        _say(found, path, "FieldValueTypeInvalid", text)
        return False

    return check


def _integer_check(sized: str) -> Callable[[Any, Path, Found], bool]:
    """Integers, perhaps of 32 bits; fractions and what is too big are told twice (VAL-2)."""
    bits = {"int32": 31, "int64": 63}.get(sized)
    form = f"integer with format {sized}" if bits else "integer (default format)"
    most = 1 << (bits or 63)

    def check(value: Any, path: Path, found: Found) -> bool:
        actual = _type_name(value)
        if actual == "integer":
            if -most <= value < most:
                return True
        else:
            seen, wanted = actual, "integer"
            if bits and actual in {"number", "boolean"}:
                seen, wanted = "float64" if actual == "number" else "", sized
            text = f'Invalid value: "{seen}": {field_text(path)} in body must be of type {wanted}: "{seen}"'
            _say(found, path, "FieldValueTypeInvalid", text)
        if actual in {"integer", "number"}:
            text = f'Invalid value: "": Checked value must be of type {form} in {field_text(path)}'
            found.append((path, Cause("FieldValueInvalid", "<nil>", text)))
        return actual == "integer"

    return check


def _enum_check(schema: Mapping[str, Any]) -> Check | None:
    allowed = schema.get("enum")
    if allowed is None:
        return None
    choices = ", ".join(f'"{one}"' if isinstance(one, str) else f'"{quoted(one)}"' for one in allowed)

    def check(value: Any, path: Path, found: Found) -> None:
        if value not in allowed:
            text = f"Unsupported value: {quoted(value)}: supported values: {choices}"
            _say(found, path, "FieldValueNotSupported", text)

    return check


def _in_body(found: Found, path: Path, value: Any, rule: str) -> None:
    _say(found, path, "FieldValueInvalid", f"Invalid value: {quoted(value)}: {field_text(path)} in body {rule}")


def _number_checks(schema: Mapping[str, Any]) -> Iterable[Check]:
    def bounded(test: Callable[[Any], bool], rule: str) -> Check:
        def check(value: Any, path: Path, found: Found) -> None:
            if isinstance(value, int | float) and not isinstance(value, bool) and not test(value):
                _in_body(found, path, value, rule)

        return check

    if (least := schema.get("minimum")) is not None:
        if schema.get("exclusiveMinimum"):
            yield bounded(lambda value: bool(value > least), f"should be greater than {_number(least)}")
        else:
            yield bounded(lambda value: bool(value >= least), f"should be greater than or equal to {_number(least)}")
    if (most := schema.get("maximum")) is not None:
        if schema.get("exclusiveMaximum"):
            yield bounded(lambda value: bool(value < most), f"should be less than {_number(most)}")
        else:
            yield bounded(lambda value: bool(value <= most), f"should be less than or equal to {_number(most)}")
    if (step := schema.get("multipleOf")) is not None:
        yield bounded(lambda value: bool(value % step == 0), f"should be a multiple of {_number(step)}")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def _text_checks(schema: Mapping[str, Any]) -> Iterable[Check]:
    """Length and pattern, of which the first that fails is told; then the format."""
    rules: list[_TextRule] = []
    if (most := schema.get("maxLength")) is not None:
        rules.append(_longest(most))
    if (least := schema.get("minLength")) is not None:
        rules.append(_shortest(least))
    if (pattern := schema.get("pattern")) is not None:
        rules.append(_pattern_rule(pattern))
    if rules:
        yield _first_of(rules)
    if (shaped := _FORMATS.get(schema.get("format", ""))) is not None:
        yield _first_of([_format_rule(schema["format"], shaped)])


# What is wrong with a text at a path, or None.
_TextRule: TypeAlias = Callable[[str, Path], tuple[str, str] | None]


def _first_of(rules: Sequence[_TextRule]) -> Check:
    def check(value: Any, path: Path, found: Found) -> None:
        if isinstance(value, str):
            for rule in rules:
                if (wrong := rule(value, path)) is not None:
                    _say(found, path, *wrong)
                    return

    return check


def _longest(most: int) -> _TextRule:
    wrong = ("FieldValueTooLong", f"Too long: may not be more than {most} bytes")
    return lambda value, path: wrong if len(value) > most else None


def _bad_text(value: str, path: Path, rule: str) -> tuple[str, str]:
    return "FieldValueInvalid", f"Invalid value: {quoted(value)}: {field_text(path)} in body {rule}"


def _shortest(least: int) -> _TextRule:
    rule = f"should be at least {least} chars long"
    return lambda value, path: _bad_text(value, path, rule) if len(value) < least else None


def _pattern_rule(pattern: str) -> _TextRule:
    search, rule = re.compile(pattern).search, f"should match '{pattern}'"
    return lambda value, path: _bad_text(value, path, rule) if search(value) is None else None


def _format_rule(name: str, good: Callable[[str], bool]) -> _TextRule:
    def rule(value: str, path: Path) -> tuple[str, str] | None:
        if good(value):
            return None
        text = f"{field_text(path)} in body must be of type {name}: {quoted(value)}"
        return "FieldValueTypeInvalid", f"Invalid value: {quoted(value)}: {text}"

    return rule


def _is_time(text: str) -> bool:
    if not re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d", text):
        return False
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _is_ip(version: int) -> Callable[[str], bool]:
    def good(text: str) -> bool:
        try:
            return ipaddress.ip_address(text).version == version
        except ValueError:
            return False

    return good


def _matches(pattern: str) -> Callable[[str], bool]:
    return lambda text: re.fullmatch(pattern, text) is not None


_FORMATS: Final[Mapping[str, Callable[[str], bool]]] = {
    "date-time": _is_time,
    "date": _matches(r"\d{4}-\d\d-\d\d"),
    "ipv4": _is_ip(4),
    "ipv6": _is_ip(6),
    "uuid": _matches(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"),
    "byte": _matches(r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"),
}


def _size_check(schema: Mapping[str, Any], kind: type[Any], most_key: str, least_key: str) -> Check | None:
    most, least = schema.get(most_key), schema.get(least_key)
    if most is None and least is None:
        return None
    noun = "items" if kind is list else "properties"

    def check(value: Any, path: Path, found: Found) -> None:
        if type(value) is not kind:
            return
        if most is not None and len(value) > most:
            _say(found, path, "FieldValueTooMany", f"Too many: {len(value)}: must have at most {most} items")
        if least is not None and len(value) < least:
            _in_body(found, path, len(value), f"should have at least {least} {noun}")

    return check


def _required_check(schema: Mapping[str, Any]) -> Check | None:
    names: list[str] = list(schema.get("required") or ())
    if schema.get(EMBEDDED):
        names += [name for name in ("apiVersion", "kind") if name not in names]
    if not names:
        return None

    def check(value: Any, path: Path, found: Found) -> None:
        if type(value) is dict:
            for name in names:
                if name not in value:
                    cause = Cause("FieldValueRequired", field_text((path, name)), "Required value")
                    found.append((path, cause))

    return check


def _members_check(schema: Mapping[str, Any], *, root: bool) -> Check | None:
    skipped = HEAD if root else frozenset()
    compiled = {
        name: compile_check(one) for name, one in (schema.get("properties") or {}).items() if name not in skipped
    }
    members = {name: one for name, one in compiled.items() if one is not None}
    extra = schema.get("additionalProperties")
    other = compile_check(extra) if isinstance(extra, Mapping) else None
    if not members and other is None:
        return None

    def check(value: Any, path: Path, found: Found) -> None:
        if type(value) is not dict:
            return
        for key, one in value.items():
            member = members.get(key, other)
            if member is not None:
                member(one, (path, key), found)

    return check


def _items_check(schema: Mapping[str, Any]) -> Check | None:
    items = schema.get("items")
    item = compile_check(items) if isinstance(items, Mapping) else None
    if item is None:
        return None

    def check(value: Any, path: Path, found: Found) -> None:
        if type(value) is list:
            for index, one in enumerate(value):
                item(one, (path, index), found)

    return check


def _unique_check(schema: Mapping[str, Any]) -> Check | None:
    """No two equal items in a set, no two of the same keys in a list map (VAL-7)."""
    kind = schema.get("x-kubernetes-list-type")
    if kind == "set":
        return _no_twins(lambda item: item)
    keys: Sequence[str] = schema.get("x-kubernetes-list-map-keys") or ()
    if kind == "map" and keys:
        return _no_twins(
            lambda item: {key: item[key] for key in keys if key in item} if isinstance(item, dict) else None
        )
    return None


def _no_twins(identity: Callable[[Any], Any]) -> Check:
    def check(value: Any, path: Path, found: Found) -> None:
        if type(value) is not list or len(value) < 2:
            return
        seen: set[str] = set()
        for index, item in enumerate(value):
            own = identity(item)
            text = quoted(own)
            if own is not None and text in seen:
                _say(found, (path, index), "FieldValueDuplicate", f"Duplicate value: {text}")
            seen.add(text)

    return check


def _combined_checks(schema: Mapping[str, Any]) -> Iterable[Check]:
    """allOf, anyOf, oneOf, not. An int-or-string's own anyOf says nothing more than its type."""
    for one in schema.get("allOf") or ():
        inner = compile_check(one)
        if inner is not None and not schema.get(_INT_OR_STRING):
            yield inner
    if schema.get("anyOf") and not schema.get(_INT_OR_STRING):
        yield _counted(schema["anyOf"], lambda good: good >= 1, "must validate at least one schema (anyOf)")
    if schema.get("oneOf"):
        rule = "must validate one and only one schema (oneOf)"
        yield _counted(schema["oneOf"], lambda good: good == 1, rule)
    if schema.get("not"):
        yield _counted([schema["not"]], lambda good: good == 0, "must not validate the schema (not)")


def _counted(schemas: Sequence[Mapping[str, Any]], enough: Callable[[int], bool], rule: str) -> Check:
    compiled = [compile_check(one) for one in schemas]

    def check(value: Any, path: Path, found: Found) -> None:
        good = 0
        for one in compiled:
            wrong: Found = []
            if one is not None:
                one(value, path, wrong)
            good += not wrong
        if not enough(good):
            _say(found, path, "FieldValueInvalid", f'Invalid value: "": "{field_text(path)}" {rule}')

    return check
