"""What the models of all four kinds share: how JSON is read and written, and the marks that `api.crd` reads.

A model says what the API server's schema says, no more and no less: what else is wrong with an object is said by
`api.v1.rules`, on the JSON, before anybody builds a model of it. Pod templates, Services and other core types stay
plain JSON (`Core` names their type); objects share that JSON with what they were made from, so nobody changes it.

Reading is as strict as JSON: "3" is no integer, true is no 1, 3.0 is 3. A null counts as absent unless the schema
says nullable. Unknown fields are kept, so that reading and writing an object loses nothing of a newer version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Final, Self, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from api.meta import Json

__all__ = [
    "ATOMIC",
    "DEFAULTED",
    "MANAGED_BY",
    "NULLABLE",
    "REQUIRED",
    "ApiModel",
    "ApiObject",
    "Cel",
    "Core",
    "Int32",
    "Int64",
    "ListMap",
    "Malformed",
    "ManagedBy",
    "Number",
    "OpenApi",
    "Quantity",
    "StatusModel",
    "StringMap",
    "Time",
    "camel",
    "nullable_fields",
]


# Marks: what the schema needs to know and Python's types do not say.


@dataclass(frozen=True, slots=True)
class Core:
    """The field holds plain JSON of this type of Kubernetes' own API ("PodTemplateSpec")."""

    type: str


@dataclass(frozen=True, slots=True)
class OpenApi:
    """The field's `type` and `format` in the schema."""

    type: str
    format: str = ""


@dataclass(frozen=True, slots=True)
class Cel:
    """A rule that the API server evaluates on the field."""

    rule: str
    message: str


@dataclass(frozen=True, slots=True)
class ListMap:
    """The list is a map by this key: an apply merges items of the same key, and a key stands there once."""

    key: str


@dataclass(frozen=True, slots=True)
class Flag:
    """A mark without a value."""

    name: str


ATOMIC: Final = Flag("atomic")  # the list is replaced as a whole
DEFAULTED: Final = Flag("defaulted")  # the API server writes the default into the stored object
REQUIRED: Final = Flag("required")  # in `required` although it has a default
NULLABLE: Final = Flag("nullable")  # null is a value, not an absence


def _whole_number(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Int32: TypeAlias = Annotated[int, BeforeValidator(_whole_number), OpenApi("integer", "int32")]
Int64: TypeAlias = Annotated[int, BeforeValidator(_whole_number), OpenApi("integer", "int64")]
Number: TypeAlias = Annotated[int | float, OpenApi("number")]
Time: TypeAlias = Annotated[str, OpenApi("string", "date-time")]
Quantity: TypeAlias = Annotated[int | str, Core("Quantity")]
StringMap: TypeAlias = dict[str, str]

MANAGED_BY: Final = ("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue")
ManagedBy: TypeAlias = Annotated[
    str,
    Cel("self == oldSelf", "the managedBy field is immutable"),
    Cel(
        f"self in ['{MANAGED_BY[0]}', '{MANAGED_BY[1]}']",
        f"the managedBy field value must be either '{MANAGED_BY[0]}' or '{MANAGED_BY[1]}'",
    ),
]

# Words that the rule below would spell otherwise than the wire does.
_SPELLINGS: Final[Mapping[str, str]] = {
    "dashboard_url": "dashboardURL",
    "desired_cpu": "desiredCPU",
    "desired_gpu": "desiredGPU",
    "desired_tpu": "desiredTPU",
    "pod_ip": "podIP",
    "runtime_env_yaml": "runtimeEnvYAML",
    "service_ip": "serviceIP",
}


def camel(name: str) -> str:
    """The wire's spelling of a Python field name: "ray_start_params" -> "rayStartParams"."""
    if name in _SPELLINGS:
        return _SPELLINGS[name]
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


class Malformed(ValueError):
    """The JSON does not have the shape that the schema asks for; the message names the first field and the reason."""

    def __init__(self, kind: str, path: str, reason: str) -> None:
        super().__init__(f"cannot read {kind}: {path}: {reason}")
        self.path, self.reason = path, reason


class ApiModel(BaseModel):
    """A part of an object: camelCase on the wire, frozen, unknown fields kept."""

    model_config = ConfigDict(
        alias_generator=camel,
        defer_build=True,  # a model that nobody has an object of costs nothing
        extra="allow",
        frozen=True,
        strict=True,
        validate_by_alias=True,
        validate_by_name=True,
    )

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, data: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, dict):
            return read(data)
        if None in data.values():
            kept = nullable_fields(cls)
            data = {key: value for key, value in data.items() if value is not None or key in kept}
        model = read(data)
        # An unknown field that is called as Python calls a known one would count as that one having been given.
        for name in model.__pydantic_extra__ or ():
            if name in cls.model_fields and camel(name) not in data:
                model.__pydantic_fields_set__.discard(name)
        return model

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The model of an object as it stands on the wire; raises Malformed where the schema would refuse it."""
        try:
            return cls.model_validate(data, by_alias=True, by_name=False)
        except ValidationError as problem:
            first = problem.errors(include_url=False, include_input=False)[0]
            raise Malformed(cls.__name__, _path(first["loc"]), first["msg"]) from problem

    def to_json(self) -> Json:
        """As it would stand on the wire: what was read or given, and no default beside it."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class StatusModel(ApiModel):
    """A part of a status, which the operator writes without zero values (spec raycluster §1.7)."""

    always_written: ClassVar[frozenset[str]] = frozenset()  # fields on the wire that stay, empty or not

    def to_wire(self) -> Json:
        """What the operator writes: every field that is not empty, and those that are always written."""
        written: Json = {}
        spelt = wire_names(type(self))
        for name, value in self:
            key = spelt.get(name, name)
            plain = _wire(value)
            if key in self.always_written or plain not in (None, "", 0, [], {}):
                written[key] = plain
        return written


class ApiObject(ApiModel):
    """A whole object. Its metadata stays JSON: the runtime reads it, the schema says nothing about it."""

    api_version: str = Field(default="", description="Group and version of this object, such as ray.io/v1.")
    kind: str = Field(default="", description="Kind of this object.")
    metadata: Json = Field(default_factory=dict)  # without a description: the API server refuses one there

    @property
    def name(self) -> str:
        """metadata.name"""
        return str(self.metadata.get("name", ""))

    @property
    def namespace(self) -> str:
        """metadata.namespace"""
        return str(self.metadata.get("namespace", ""))

    @property
    def uid(self) -> str:
        """metadata.uid; "" before the object is stored"""
        return str(self.metadata.get("uid", ""))

    @property
    def generation(self) -> int:
        """metadata.generation; 0 before the object is stored"""
        return int(self.metadata.get("generation", 0))

    @property
    def labels(self) -> Mapping[str, str]:
        """metadata.labels"""
        return self.metadata.get("labels") or {}

    @property
    def annotations(self) -> Mapping[str, str]:
        """metadata.annotations"""
        return self.metadata.get("annotations") or {}


@cache
def wire_names(model: type[ApiModel]) -> Mapping[str, str]:
    """How the wire spells the fields that the schema has."""
    return {name: camel(name) for name in model.model_fields}


@cache
def nullable_fields(model: type[ApiModel]) -> frozenset[str]:
    """The wire names of the fields in which null is a value."""
    return frozenset(camel(name) for name, field in model.model_fields.items() if NULLABLE in field.metadata)


def _wire(value: Any) -> Any:
    if isinstance(value, str | int):  # most of a status
        return value
    if isinstance(value, list):
        return [_wire(one) for one in value]
    if isinstance(value, dict):
        return {key: _wire(one) for key, one in value.items()}
    if isinstance(value, StatusModel):
        return value.to_wire()
    if isinstance(value, ApiModel):
        return value.to_json()
    return value


def _path(steps: tuple[int | str, ...]) -> str:
    """A field path as the API server writes it: spec.workerGroupSpecs[2].groupName."""
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
