"""matchConditions and what else of admission is said in CEL: `object`, `oldObject`, `request` (spec kube-api ADM-11).

What a real server has beyond that is not there: `authorizer`, and Kubernetes' own functions. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from localcluster.api import Json
from localcluster.apiserver.admission_hooks import Condition
from localcluster.apiserver.cel import go_error, program

__all__ = ["NAMES", "NO_BOOL", "ConditionError", "Facts", "condition_error", "facts_of", "hold", "value_of"]

NAMES: Final = ("object", "oldObject", "request")
_REQUEST_FIELDS: Final = frozenset(
    (
        *("kind", "resource", "subResource", "requestKind", "requestResource", "requestSubResource"),
        *("name", "namespace", "operation", "userInfo", "dryRun", "options"),
    )
)
_REQUEST_FIELD: Final = re.compile(r"(?<![\w.])request\.([A-Za-z_]\w*)")
_STRINGS: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")

_GO_TYPES: Final = {"NULL": "null_type"}
NO_BOOL: Final = "must evaluate to bool but got "

Facts = Callable[[], Mapping[str, Any]]
"""The variables' values; only asked for when there is a condition."""


class ConditionError(Exception):
    """Conditions could not be evaluated; the message is that of all of them."""


def condition_error(expression: str, names: tuple[str, ...] = NAMES) -> str:
    """Why an expression does not compile, in the server's words; "" if it does."""
    bare = _STRINGS.sub(lambda match: "'" + " " * (len(match[0]) - 2) + "'", expression)
    for match in _REQUEST_FIELD.finditer(bare):
        if match[1] not in _REQUEST_FIELDS:
            column = match.start(1)
            error = f"ERROR: <input>:1:{column}: undefined field '{match[1]}'"
            return f"compilation failed: {error}\n | {expression}\n | {'.' * (column - 1)}^"
    try:
        kind = program(expression, names).return_type().name()
    except ValueError as error:
        return str(error)
    return "" if kind in {"BOOL", "DYN"} else f"{NO_BOOL}{_GO_TYPES.get(kind, kind.lower())}"


def hold(conditions: Iterable[Condition], facts: Facts) -> bool:
    """Whether all of them hold. One that does not settles it, whatever the others do. Raises ConditionError."""
    errors: list[str] = []
    values: Mapping[str, Any] | None = None
    for one in conditions:
        values = facts() if values is None else values
        try:
            if not value_of(one.expression, values):
                return False
        except ConditionError as error:
            errors.append(str(error))
    if errors:
        raise ConditionError(errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]")
    return True


def value_of(expression: str, values: Mapping[str, Any]) -> Any:
    """What the expression says. Raises ConditionError."""
    result = program(expression, tuple(values)).eval(data=dict(values))
    if result.type().name() == "ERROR":
        error = _of_nothing(expression, values) if _NOT_THERE in str(result.value()) else go_error(str(result.value()))
        raise ConditionError(f"expression '{expression}' resulted in error: {error}")
    return result.value()


_NOT_THERE: Final = "Applying SELECT to non-message type"


def _of_nothing(expression: str, values: Mapping[str, Any]) -> str:
    """The library does not say which member of null was asked for; where a variable itself is null, it shows."""
    for match in re.finditer(r"(?<![\w.])(\w+)\.(\w+)", _STRINGS.sub("''", expression)):
        if values.get(match[1], "") is None:
            return f"no such key: {match[2]}"
    return "no such overload"


def facts_of(request: Json, obj: Json | None, old: Json | None) -> Mapping[str, Any]:
    """The variables of a match condition."""
    return dict(zip(NAMES, (obj, old, request), strict=True))
