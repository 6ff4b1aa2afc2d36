"""Label and field selectors: text to a test of an object (spec kube-api §5). Pure.

The parser reads what the server's own grammar reads, and refuses with its words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

__all__ = ["FieldTest", "LabelTest", "SelectorError", "parse_fields", "parse_labels", "unknown_field"]

LabelTest: TypeAlias = Callable[[Mapping[str, str]], bool]

_SYMBOLS: Final = re.compile(r"\s*(==|!=|[=!<>(),]|[^\s=!<>(),]+)")
_SPECIAL: Final = frozenset({"=", "==", "!=", "!", "<", ">", "(", ")", ","})
_OPERATORS: Final = frozenset({"in", "notin", "=", "==", "!=", ">", "<"})
_NAME: Final = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_PREFIX: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_RULE: Final = (
    "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an"
    " alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is"
    " '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_QUALIFIED_RULE: Final = f"{_NAME_RULE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
_VALUE_RULE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
    " '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


class SelectorError(ValueError):
    """The selector cannot be understood; the message is the server's (SEL-2 to SEL-4)."""


@dataclass(frozen=True, slots=True)
class _Requirement:
    key: str
    operator: str  # "in", "notin", "exists", "!", ">", "<"
    values: frozenset[str] = frozenset()
    bound: int = 0

    def holds(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        if self.operator == "in":
            return value is not None and value in self.values
        if self.operator == "notin":
            return value is None or value not in self.values
        if self.operator == "exists":
            return value is not None
        if self.operator == "!":
            return value is None
        return self._compares(value)

    def _compares(self, value: str | None) -> bool:
        if value is None or not re.fullmatch(r"[+-]?\d+", value):
            return False
        return int(value) > self.bound if self.operator == ">" else int(value) < self.bound


def parse_labels(text: str) -> LabelTest | None:
    """A test of labels; None when the selector is empty and selects everything. Raises SelectorError."""
    if not text.strip():
        return None
    requirements = _LabelParser(text).requirements()
    if len(requirements) == 1:
        return requirements[0].holds
    return lambda labels: all(one.holds(labels) for one in requirements)


class _LabelParser:
    """A look-ahead of one symbol over the selector's text; "" is its end."""

    def __init__(self, text: str) -> None:
        self._symbols = _SYMBOLS.findall(text)
        self._at = 0

    def _peek(self) -> str:
        return self._symbols[self._at] if self._at < len(self._symbols) else ""

    def _next(self) -> str:
        symbol = self._peek()
        self._at += 1
        return symbol

    def requirements(self) -> list[_Requirement]:
        found = []
        while True:
            if self._peek() in _SPECIAL - {"!"}:
                raise SelectorError(f"found '{self._peek()}', expected: !, identifier, or 'end of string'")
            found.append(self._requirement())
            symbol = self._next()
            if symbol == "":
                return found
            if symbol != ",":
                raise SelectorError(f"found '{symbol}', expected: ',' or 'end of string'")
            if self._peek() in _SPECIAL - {"!"} or self._peek() == "":
                raise SelectorError(f"found '{self._peek()}', expected: identifier after ','")

    def _requirement(self) -> _Requirement:
        negated = self._peek() == "!"
        if negated:
            self._next()
        key = self._next()
        if key in _SPECIAL or not key:
            raise SelectorError(f"unable to parse requirement: found '{key}', expected: identifier")
        _check_key(key)
        if negated:
            return _Requirement(key, "!")
        if self._peek() in {"", ","}:
            return _Requirement(key, "exists")
        operator = self._next()
        if operator not in _OPERATORS:
            wanted = "in, notin, =, ==, !=, gt, lt"
            raise SelectorError(f"unable to parse requirement: found '{operator}', expected: {wanted}")
        return self._operation(key, operator)

    def _operation(self, key: str, operator: str) -> _Requirement:
        if operator in {"in", "notin"}:
            return _Requirement(key, operator, frozenset(self._values(key)))
        value = "" if self._peek() in {"", ","} else self._next()
        if value in _SPECIAL:
            raise SelectorError(f"unable to parse requirement: found '{value}', expected: identifier")
        _check_value(key, value)
        if operator in {">", "<"}:
            if not re.fullmatch(r"[+-]?\d+", value):
                raise SelectorError(
                    f'unable to parse requirement: values[0][{key}]: Invalid value: "{value}":'
                    " for 'Gt', 'Lt' operators, the value must be an integer"
                )
            return _Requirement(key, operator, bound=int(value))
        return _Requirement(key, "notin" if operator == "!=" else "in", frozenset((value,)))

    def _values(self, key: str) -> list[str]:
        symbol = self._next()
        if symbol != "(":
            raise SelectorError(f"unable to parse requirement: found '{symbol}' expected: '('")
        values = [""]
        while (symbol := self._next()) != ")":
            if symbol == ",":
                values.append("")
            elif symbol in _SPECIAL or symbol == "" or values[-1]:
                raise SelectorError(f"unable to parse requirement: found '{symbol}', expected: ',', or ')'")
            else:
                values[-1] = symbol
        for value in values:
            _check_value(key, value)
        return values


def _check_key(key: str) -> None:
    prefix, slash, name = key.rpartition("/")
    if slash and not (_PREFIX.fullmatch(prefix) and len(prefix) <= 253) and prefix.count("/") == 0:
        rule = (
            "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'"
        )
        raise SelectorError(f'unable to parse requirement: <nil>: Invalid value: "{key}": {rule}')
    if prefix.count("/"):
        raise SelectorError(f'unable to parse requirement: <nil>: Invalid value: "{key}": {_QUALIFIED_RULE}')
    if not _NAME.fullmatch(name) or len(name) > 63:
        rule = f"name part {_NAME_RULE}" if len(name) <= 63 else "name part must be no more than 63 characters"
        raise SelectorError(f'unable to parse requirement: <nil>: Invalid value: "{key}": {rule}')


def _check_value(key: str, value: str) -> None:
    if value and (not _NAME.fullmatch(value) or len(value) > 63):
        rule = _VALUE_RULE if len(value) <= 63 else "must be no more than 63 characters"
        raise SelectorError(f'unable to parse requirement: values[0][{key}]: Invalid value: "{value}": {rule}')


@dataclass(frozen=True, slots=True)
class FieldTest:
    """What a field selector asks for, all of it: (field, wanted, must be equal)."""

    terms: Sequence[tuple[str, str, bool]]

    @property
    def fields(self) -> list[str]:
        """The fields it names."""
        return [field for field, _, _ in self.terms]

    def holds(self, fields: Mapping[str, str]) -> bool:
        """Whether an object with these selectable fields is selected; an absent field counts as ""."""
        return all((fields.get(field, "") == wanted) is equal for field, wanted, equal in self.terms)


def parse_fields(text: str) -> FieldTest | None:
    """What the selector asks for; None when it is empty. Raises SelectorError (SEL-3)."""
    terms = []
    for term in _split_terms(text):
        if not term:
            continue
        match = re.fullmatch(r"(.*?)(!=|==|=)(.*)", term, re.DOTALL)
        if match is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{term}'")
        field, operator, value = match.groups()
        terms.append((field, _unescaped(value), operator != "!="))
    return FieldTest(terms) if terms else None


def _split_terms(text: str) -> list[str]:
    """At the commas that no backslash escapes."""
    return re.split(r"(?<!\\),", text)


def _unescaped(value: str) -> str:
    return re.sub(r"\\([\\,=])", r"\1", value)


def unknown_field(test: FieldTest, own: Collection[str]) -> str:
    """Why a kind with these selectable fields of its own cannot answer the selector; "" if it can (SEL-4)."""
    for field in test.fields:
        if field in {"metadata.name", "metadata.namespace"} or field in own:
            continue
        if own:
            return f"field label not supported: {field}"
        return f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'
    return ""
