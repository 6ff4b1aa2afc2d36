"""What an absent field means, filled in (spec raycluster §5.3, admission §3).

`in_memory` is what the reconcile loop does before it judges and hashes; it is never written back. `as_stored` is what
the API server would have stored: for objects that have not been through one, offline and in tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import NoneType
from typing import Any, get_args, get_origin

from api.meta import Json
from api.v1.common import DEFAULTED, ApiModel, camel, nullable_fields

__all__ = ["as_stored", "in_memory", "only_known"]


def in_memory(spec: Mapping[str, Any]) -> Json:
    """A cluster spec whose head and groups all have rayStartParams. A copy; what is unchanged in it is shared."""
    filled = dict(spec)
    if filled.get("headGroupSpec") is not None:
        filled["headGroupSpec"] = _with_params(filled["headGroupSpec"])
    if filled.get("workerGroupSpecs") is not None:
        filled["workerGroupSpecs"] = [_with_params(group) for group in filled["workerGroupSpecs"]]
    return filled


def _with_params(group: Mapping[str, Any]) -> Json:
    params = group.get("rayStartParams")
    return {**group, "rayStartParams": {} if params is None else params}


def as_stored(model: type[ApiModel], data: Mapping[str, Any]) -> Json:
    """The JSON with the schema's defaults of own fields. Embedded core types keep what they have.

    As in the API server, a null is dropped or gives way to a default, and nothing is added inside a part that is not
    there.
    """
    nullable = nullable_fields(model)
    filled = {name: value for name, value in data.items() if value is not None or name in nullable}
    for name, default, part in _fields(model):
        if name not in filled and default is not None:
            filled[name] = default
        elif part is not None and name in filled:
            filled[name] = _part_as_stored(part, filled[name])
    return filled


def _part_as_stored(part: type[ApiModel], value: Any) -> Any:
    if isinstance(value, Mapping):
        return as_stored(part, value)
    if isinstance(value, list):
        return [_part_as_stored(part, one) for one in value]
    return value


def only_known(model: type[ApiModel], data: Mapping[str, Any]) -> Json:
    """The JSON without own fields that the model does not have, and without what is empty.

    So a field that only a newer schema has, and defaults, makes no difference. Embedded core types are left alone.
    """
    found: Json = {}
    for name, part in _parts(model):
        value = data.get(name)
        if part is not None:
            value = _only_known_part(part, value)
        if value is not None and value not in ({}, [], ""):
            found[name] = value
    return found


def _only_known_part(part: type[ApiModel], value: Any) -> Any:
    if isinstance(value, Mapping):
        return only_known(part, value)
    if isinstance(value, list):
        return [_only_known_part(part, one) for one in value]
    return value


@cache
def _parts(model: type[ApiModel]) -> tuple[tuple[str, type[ApiModel] | None], ...]:
    """Of each field: wire name, the parts' model."""
    return tuple((camel(name), _model_in(info.annotation)) for name, info in model.model_fields.items())


@cache
def _fields(model: type[ApiModel]) -> tuple[tuple[str, Any, type[ApiModel] | None], ...]:
    """Of each field with a default or parts: wire name, default, the parts' model."""
    found = []
    for name, info in model.model_fields.items():
        default = info.default if DEFAULTED in info.metadata else None
        part = _model_in(info.annotation)
        if default is not None or part is not None:
            found.append((camel(name), default, part))
    return tuple(found)


def _model_in(annotation: Any) -> type[ApiModel] | None:
    """The model of a field, of its list's items, or behind an "or None"; maps of models hold no defaults."""
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        return annotation
    if get_origin(annotation) is dict:
        return None
    inner = [one for one in get_args(annotation) if one is not NoneType]
    return next((found for one in inner if (found := _model_in(one)) is not None), None)
