"""CEL: expressions, and the rules of custom resources made of them: `x-kubernetes-validations` (spec kube-api VAL-8).

A rule is compiled once, when its definition is stored. Values come untyped to the CEL library, so an unknown field of
`self` is looked for here, in the schema. Transition rules (`oldSelf`) run on updates, where old and new value both
exist and belong together: same property, same map key, same key of a list map.

Of Kubernetes' own CEL functions only those are there that the library has: strings, math, optional types.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from localcluster.apiserver.refusals import Cause, quoted
from localcluster.apiserver.schema import Found, Path, field_text

__all__ = ["RuleError", "Rules", "compile_rules", "go_error", "program"]

Rules: TypeAlias = Callable[[Any, Any, bool, Path, Found], None]  # (value, old value, has old, path, found)

_RULES: Final = "x-kubernetes-validations"
_OLD: Final = re.compile(r"\boldSelf\b")
_SELF: Final = re.compile(r"(?<![\w.'\"])(self|oldSelf)\b(\.[A-Za-z_]\w*(?!\w*\())?")
_CHAIN: Final = re.compile(r"(?<![\w.])(?:self|oldSelf)((?:\.[A-Za-z_]\w*)+)(\()?")
_STRINGS: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_REASONS: Final[Mapping[str, str]] = {
    "FieldValueInvalid": "Invalid value: {value}{text}",
    "FieldValueForbidden": "Forbidden: {text}",
    "FieldValueRequired": "Required value: {text}",
    "FieldValueDuplicate": "Duplicate value: {value}{text}",
}


class RuleError(ValueError):
    """A rule does not compile; `where` is its place below the schema, `rule` the rule as it was written."""

    def __init__(self, text: str, where: str, rule: Mapping[str, Any]) -> None:
        super().__init__(text)
        self.where, self.rule = where, rule


_SCHEMA_NAMES: Final = ("self", "oldSelf")


@functools.cache
def _environment(names: tuple[str, ...]) -> Any:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_math, ext_optional, ext_strings

    extensions = [ext_strings.ExtStrings(), ext_math.ExtMath(), ext_optional.ExtOptional()]
    return cel.NewEnv(variables=dict.fromkeys(names, cel.Type.DYN), extensions=extensions)


@functools.lru_cache(maxsize=4096)
def program(text: str, names: tuple[str, ...] = _SCHEMA_NAMES) -> Any:
    """The expression over these variables, compiled; many definitions and webhooks share most of theirs.

    Raises ValueError.
    """
    try:
        return _environment(names).compile(text)
    except RuntimeError as error:
        message = str(error).removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
        raise ValueError(f"compilation failed: {message}") from error


def go_error(text: str) -> str:
    """An error of evaluation in the words of the server's own library."""
    _, _, bare = text.partition(": ")
    for pattern, words in _GO_WORDS:
        if (match := pattern.fullmatch(bare)) is not None:
            return match.expand(words)
    return bare


_GO_WORDS: Final = (
    (re.compile(r'Key not found in map : "?([^"]*)"?'), r"no such key: \1"),
    (re.compile(r"No matching overloads found.*", re.DOTALL), "no such overload"),
    (re.compile(r"divide by zero"), "division by zero"),
    (re.compile(r"Index error: index=(-?\d+) size=\d+"), r"index out of bounds: \1"),
)


def compile_rules(schema: Mapping[str, Any], where: str = "") -> Rules | None:
    """All rules at and below this node of a schema; None if there are none. Raises RuleError."""
    own = [_Rule(schema, one, f"{where}.{_RULES}[{index}]") for index, one in enumerate(schema.get(_RULES) or ())]
    below = _below(schema, where)
    if not own and below is None:
        return None

    def run(value: Any, old: Any, has_old: bool, path: Path, found: Found) -> None:
        if value is None:
            return
        for rule in own:
            rule.run(value, old, has_old, path, found)
        if below is not None:
            below(value, old, has_old, path, found)

    return run


def _below(schema: Mapping[str, Any], where: str) -> Rules | None:
    properties = schema.get("properties") or {}
    members = {
        name: compiled
        for name, one in properties.items()
        if (compiled := compile_rules(one, f"{where}.properties[{name}]")) is not None
    }
    extra = schema.get("additionalProperties")
    other = compile_rules(extra, f"{where}.additionalProperties") if isinstance(extra, Mapping) else None
    items = schema.get("items")
    if isinstance(items, Mapping):
        item = compile_rules(items, f"{where}.items")
        return None if item is None else _in_items(item, schema)
    if not members and other is None:
        return None

    def run(value: Any, old: Any, has_old: bool, path: Path, found: Found) -> None:
        if not isinstance(value, dict):
            return
        before = old if isinstance(old, dict) else {}
        for key in members if other is None else value:
            rules = members.get(key, other)
            if rules is not None and key in value:
                rules(value[key], before.get(key), key in before, (path, key), found)

    return run


def _in_items(item: Rules, schema: Mapping[str, Any]) -> Rules:
    keys: Sequence[str] = schema.get("x-kubernetes-list-map-keys") or ()

    def run(value: Any, old: Any, has_old: bool, path: Path, found: Found) -> None:
        if not isinstance(value, list):
            return
        before: dict[str, Any] = {}
        if keys and isinstance(old, list):
            before = {_identity(one, keys): one for one in old}
        for index, one in enumerate(value):
            own = _identity(one, keys) if keys else ""
            item(one, before.get(own), own in before, (path, index), found)

    return run


def _identity(item: Any, keys: Sequence[str]) -> str:
    return json.dumps([item.get(key) for key in keys] if isinstance(item, dict) else item)


class _Rule:
    """One rule at one node."""

    def __init__(self, schema: Mapping[str, Any], rule: Mapping[str, Any], where: str) -> None:
        text = rule.get("rule", "")
        if (unknown := _unknown_field(schema, text)) is not None:
            raise RuleError(unknown, f"{where}.rule", rule)
        try:
            self._program = program(text)
            expression = rule.get("messageExpression")
            self._message_program = program(expression) if expression else None
        except ValueError as error:
            raise RuleError(str(error), f"{where}.rule", rule) from error
        self._transition = _OLD.search(_STRINGS.sub("''", text)) is not None
        self._optional_old = bool(rule.get("optionalOldSelf"))
        self._message = rule.get("message") or f"failed rule: {text}"
        self._reason = rule.get("reason") or "FieldValueInvalid"
        self._field_path = rule.get("fieldPath") or ""
        self._type = "integer,string" if schema.get("x-kubernetes-int-or-string") else schema.get("type", "object")
        texts = (text, rule.get("messageExpression") or "")
        self._wanted = _members_of_self(texts)

    def run(self, value: Any, old: Any, has_old: bool, path: Path, found: Found) -> None:
        """Add a cause unless the rule holds."""
        if self._transition and not has_old:
            return
        data = {"self": self._seen(value), "oldSelf": self._seen(old) if has_old else None}
        result = self._program.eval(data=data)
        outcome = result.value() if result.type().name() == "BOOL" else None
        if outcome is True:
            return
        text = self._said(data) if outcome is False else f"rule could not be evaluated: {result.value()}"
        field = field_text(path) + self._field_path
        message = _REASONS[self._reason].format(value=self._shown(value), text=text)
        found.append((path, Cause(self._reason, field, message)))

    def _shown(self, value: Any) -> str:
        """The value as a cause shows it; maps and lists are left out (VAL-8)."""
        return "" if self._type in ("object", "array") else f"{quoted(value)}: "

    def _seen(self, value: Any) -> Any:
        """Only what the rule looks at: to hand over a whole pod template costs more than to evaluate the rule."""
        if self._wanted is None or not isinstance(value, dict):
            return value
        return {key: value[key] for key in self._wanted if key in value}

    def _said(self, data: Mapping[str, Any]) -> str:
        if self._message_program is not None:
            result = self._message_program.eval(data=data)
            if result.type().name() == "STRING":
                return str(result.value())
        return str(self._message)


def _members_of_self(texts: Iterable[str]) -> frozenset[str] | None:
    """The members of self that the expressions name; None if they look at self as a whole."""
    names: set[str] = set()
    for text in texts:
        for match in _SELF.finditer(_STRINGS.sub("''", text)):
            if match[2] is None:
                return None
            names.add(match[2][1:])
    return frozenset(names)


def _unknown_field(schema: Mapping[str, Any], text: str) -> str | None:
    """The server's words for a member of self that the schema does not have, or None (CRD-3)."""
    bare = _STRINGS.sub(lambda match: "'" + " " * (len(match[0]) - 2) + "'", text)
    for match in _CHAIN.finditer(bare):
        names = match[1][1:].split(".")
        if match[2]:
            names.pop()  # the last one is a method
        node: Any = schema
        for name in names:
            properties = node.get("properties") if isinstance(node, Mapping) else None
            if not properties or node.get("x-kubernetes-preserve-unknown-fields"):
                break
            if name not in properties and name not in {"apiVersion", "kind", "metadata"}:
                column = match.start() + bare[match.start() : match.end()].index(f".{name}") + 1
                arrow = f"{'.' * (column - 1)}^"
                error = f"ERROR: <input>:1:{column}: undefined field '{name}'"
                return f"compilation failed: {error}\n | {text}\n | {arrow}"
            node = properties.get(name) or {}
    return None
