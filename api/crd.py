"""A model class -> its CustomResourceDefinition (spec raycluster §1.10).

Own fields come from the models of `api.v1`: Python's types and the marks of `api.v1.common` say all that a schema
needs. Core types come from Kubernetes' own OpenAPI document, changed by the rules N1 to N8, which together give the
reference's schema exactly. Both document and models are handed in: this module reads no file.

An older version of a kind is a view on the newest: what is left out, what is required, what was there and is no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, MinLen

from api.meta import Json, Resource
from api.v1.common import ATOMIC, DEFAULTED, NULLABLE, REQUIRED, ApiModel, ApiObject, Cel, Core, ListMap, OpenApi, camel

__all__ = ["Column", "CoreSchemas", "Definition", "Reduced", "Version", "View", "custom_resource_definition", "schema"]

QUANTITY_PATTERN: Final = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
    r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
TYPE_PATTERN: Final = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
)
REASON_PATTERN: Final = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"


@dataclass(frozen=True, slots=True)
class Column:
    """What `kubectl get` prints. Priority 1: only with -o wide."""

    name: str
    type: Literal["boolean", "date", "integer", "string"]
    path: str
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Reduced:
    """A model as an older version had it. `required` replaces the model's own; `added` are fields of then."""

    without: frozenset[str] = frozenset()
    required: tuple[str, ...] | None = None
    added: Mapping[str, Json] = field(default_factory=dict)


View = Mapping[type[ApiModel], Reduced]
AS_IT_IS: Final[View] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a kind. Deprecated ones carry the warning that the API server gives."""

    name: str
    columns: Sequence[Column] = ()
    view: View = field(default_factory=dict)
    storage: bool = False
    deprecation_warning: str = ""


@dataclass(frozen=True, slots=True)
class Definition:
    """A kind: where it is served, what its objects look like, in which versions."""

    resource: Resource
    model: type[ApiObject]
    versions: Sequence[Version]


def custom_resource_definition(definition: Definition, core: CoreSchemas, *, described: bool = False) -> Json:
    """The object to install. `described` adds our descriptions, for `kubectl explain`."""
    resource = definition.resource
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{resource.group}"},
        "spec": {
            "group": resource.group,
            "names": {
                "categories": ["all"],
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
            },
            "scope": "Namespaced",
            "versions": [
                _version(version, schema(definition.model, core, view=version.view, described=described))
                for version in definition.versions
            ],
        },
    }


def _version(version: Version, openapi: Json) -> Json:
    body: Json = {"name": version.name, "served": True, "storage": version.storage}
    if version.columns:
        body["additionalPrinterColumns"] = [_column(column) for column in version.columns]
    if version.deprecation_warning:
        body["deprecated"] = True
        body["deprecationWarning"] = version.deprecation_warning
    return {**body, "schema": {"openAPIV3Schema": openapi}, "subresources": {"status": {}}}


def _column(column: Column) -> Json:
    body: Json = {"jsonPath": column.path, "name": column.name, "type": column.type}
    return {**body, "priority": column.priority} if column.priority else body


def schema(model: type[ApiModel], core: CoreSchemas, *, view: View = AS_IT_IS, described: bool = False) -> Json:
    """The structural schema of a model's objects."""
    return _Writer(core, view, described).model(model)


@dataclass(frozen=True, slots=True)
class _Writer:
    """Walks models; what is the same in the whole walk."""

    core: CoreSchemas
    view: View
    described: bool

    def model(self, model: type[ApiModel]) -> Json:
        reduced = self.view.get(model, Reduced())
        properties: Json = {}
        required = []
        for name, info in model.model_fields.items():
            wire = camel(name)
            if wire in reduced.without:
                continue
            properties[wire] = self.node(info.annotation, info.metadata)
            if DEFAULTED in info.metadata:
                properties[wire]["default"] = info.default
            if self.described and info.description:
                properties[wire]["description"] = info.description
            if info.is_required() or REQUIRED in info.metadata:
                required.append(wire)
        properties.update(reduced.added)
        if reduced.required is not None:
            required = list(reduced.required)
        return _object(properties, required, (model.__doc__ or "").partition("\n")[0] if self.described else "")

    def node(self, annotation: Any, marks: Sequence[Any]) -> Json:
        """The schema of one field, item or map value."""
        if get_origin(annotation) is Annotated:
            inner, *more = get_args(annotation)
            return self.node(inner, [*marks, *more])
        if get_origin(annotation) in (Union, UnionType):
            present = [one for one in get_args(annotation) if one is not NoneType]
            if len(present) == 1:
                return self.node(present[0], marks)
        return {**self.bare(annotation, marks), **_constraints(marks)}

    def bare(self, annotation: Any, marks: Sequence[Any]) -> Json:
        """Type and contents, without constraints."""
        for mark in marks:
            if isinstance(mark, Core):
                return self.core.named(mark.type)
            if isinstance(mark, OpenApi):
                return {"type": mark.type, "format": mark.format} if mark.format else {"type": mark.type}
        if annotation is str or annotation is bool:
            return {"type": "string" if annotation is str else "boolean"}
        if isinstance(annotation, type) and issubclass(annotation, ApiModel):
            return self.model(annotation)
        return self.container(annotation)

    def container(self, annotation: Any) -> Json:
        """Literals, lists and maps."""
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Literal:
            return {"type": "string", "enum": list(arguments)}
        if origin is list:
            return {"type": "array", "items": self.node(arguments[0], ())}
        if origin is dict and arguments[1] is Any:
            return {"type": "object"}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.node(arguments[1], ())}
        raise TypeError(f"a schema cannot say {annotation!r}")


def _object(properties: Json, required: Sequence[str], description: str = "") -> Json:
    body: Json = {"type": "object", "properties": properties}
    if required:
        body["required"] = sorted(required)
    return {"description": description, **body} if description else body


def _constraints(marks: Sequence[Any]) -> Json:
    """What the marks add to a schema."""
    added: Json = {}
    rules = [{"rule": mark.rule, "message": mark.message} for mark in marks if isinstance(mark, Cel)]
    if rules:
        added["x-kubernetes-validations"] = rules
    for mark in marks:
        if isinstance(mark, ListMap):
            added |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [mark.key]}
        elif isinstance(mark, Ge):
            added["minimum"] = mark.ge
        elif isinstance(mark, MinLen):
            added["minItems" if ATOMIC in marks else "minLength"] = mark.min_length
    if ATOMIC in marks:
        added["x-kubernetes-list-type"] = "atomic"
    if NULLABLE in marks:
        added["nullable"] = True
    return added


# N1: of the document's keywords these reach a CRD; properties, items, additionalProperties and default are looked at.
_KEPT: Final = ("type", "format", "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type")
_WITHOUT_DEFAULTS: Final = frozenset(
    {("AzureDiskVolumeSource", "cachingMode"), ("AzureDiskVolumeSource", "kind")}
)  # N4
_ATOMIC_MAPS: Final = frozenset(  # N6
    {"ConfigMapEnvSource", "ConfigMapProjection", "ConfigMapVolumeSource", "SecretEnvSource", "SecretProjection"}
)
_INT_OR_STRING: Final[Json] = {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}
_CONDITION: Final[Json] = {  # N7
    "lastTransitionTime": {"type": "string", "format": "date-time"},
    "message": {"type": "string", "maxLength": 32768},
    "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
    "reason": {"type": "string", "minLength": 1, "maxLength": 1024, "pattern": REASON_PATTERN},
    "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
    "type": {"type": "string", "maxLength": 316, "pattern": TYPE_PATTERN},
}


class CoreSchemas:
    """Kubernetes' types as a CRD holds them: references resolved, and changed by the rules N1 to N8."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """`document` maps a type's short name to its published schema (hack/core_schema.py)."""
        self._document = document

    def named(self, name: str) -> Json:
        """The schema of a type. Raises KeyError for one that the document lacks."""
        special = _special(name)
        if special is not None:
            return special
        written = self._node(self._document[name], name)
        if name in _ATOMIC_MAPS:
            written["x-kubernetes-map-type"] = "atomic"
        if name == "PortStatus":  # N8
            written["properties"]["error"] |= {"maxLength": 316, "pattern": TYPE_PATTERN}
            written["required"] = ["error", "port", "protocol"]
        return written

    def _node(self, node: Mapping[str, Any], owner: str) -> Json:
        reference = node.get("$ref") or next((one["$ref"] for one in node.get("allOf", ()) if "$ref" in one), None)
        if reference is not None:
            return self.named(reference)
        written: Json = {key: node[key] for key in _KEPT if key in node}
        for inner in ("items", "additionalProperties"):
            if inner in node:
                written[inner] = self._node(node[inner], owner)
        if "properties" in node:
            written["properties"] = {
                name: self._property(name, one, node, owner) for name, one in node["properties"].items()
            }
        if node.get("required"):
            written["required"] = sorted(node["required"])
        return written

    def _property(self, name: str, node: Mapping[str, Any], parent: Mapping[str, Any], owner: str) -> Json:
        """N3: only a property that may be missing has a default, and that is never {}."""
        written = self._node(node, owner)
        default = node.get("default", {})
        if default != {} and name not in parent.get("required", ()) and (owner, name) not in _WITHOUT_DEFAULTS:
            written["default"] = default
        return written


def _special(name: str) -> Json | None:
    """The types that a CRD spells otherwise than the document: N2, N5, N7."""
    if name == "Quantity":
        return {**_INT_OR_STRING, "pattern": QUANTITY_PATTERN}
    if name == "IntOrString":
        return dict(_INT_OR_STRING)
    if name == "ObjectMeta":
        texts = {"type": "object", "additionalProperties": {"type": "string"}}
        finalizers = {"type": "array", "items": {"type": "string"}}
        text = {"type": "string"}
        return _object(
            {"annotations": texts, "finalizers": finalizers, "labels": dict(texts), "name": text, "namespace": text}, ()
        )
    if name == "Condition":
        return _object(
            {key: dict(value) for key, value in _CONDITION.items()},
            [key for key in _CONDITION if key != "observedGeneration"],
        )
    return None
