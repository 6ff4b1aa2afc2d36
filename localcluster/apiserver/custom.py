"""Custom resources: a version of a definition becomes a kind with rules of its own (spec kube-api §13, §14)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from localcluster.api import Json
from localcluster.apiserver.cel import Rules, compile_rules
from localcluster.apiserver.kinds.base import FieldReaders, Kind, World, field_text
from localcluster.apiserver.refusals import Cause, invalid_value
from localcluster.apiserver.registry import CustomVersion, PrinterColumn, ScalePaths
from localcluster.apiserver.schema import BLOCKING, Check, Found, Path, compile_check, value_at
from localcluster.apiserver.shaping import Shape, compile_shape
from localcluster.resources import CUSTOM_VERBS, ResourceInfo, Subresource

__all__ = ["CustomKind", "versions_of"]

_HEAD: Final = frozenset({"apiVersion", "kind", "metadata"})
_MOST_REPLICAS: Final = 2**31 - 1
_NOT_CHECKED: Final = Cause(
    "FieldValueInvalid",
    "<nil>",
    "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing"
    " errors to complete validation",
)
_CHANGE: Final = ("get", "patch", "update")


class _Compiled(NamedTuple):
    """A schema as closures."""

    shape: Shape | None
    check: Check | None
    rules: Rules | None


@functools.lru_cache(maxsize=64)
def _compiled(text: bytes) -> _Compiled:
    """By the schema's text: every server of a process, and both versions of a kind, share one. Raises RuleError."""
    schema = orjson.loads(text)
    return _Compiled(compile_shape(schema, root=True), compile_check(schema, root=True), compile_rules(schema))


class CustomKind(Kind):
    """The rules of one version of a custom resource, compiled when first used: many versions never are."""

    unconditional_update = False

    def __init__(
        self,
        schema: Mapping[str, Any],
        *,
        has_status: bool,
        scale: ScalePaths | None = None,
        selectable: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._text = orjson.dumps(schema)
        self._has_status = has_status
        self._scale = scale
        self.fields: FieldReaders = {name: field_text(*path) for name, path in (selectable or {}).items()}

    @functools.cached_property
    def _schema(self) -> _Compiled:
        return _compiled(self._text)

    def decode(self, obj: Json) -> tuple[Json, list[str]]:
        """Pruned, nulls dropped, defaults filled in (VAL-12, DEF-1, DEF-2)."""
        decoded: Json = orjson.loads(orjson.dumps(obj))
        unknown: list[str] = []
        if self._schema.shape is not None:
            self._schema.shape(decoded, None, unknown)
        return decoded, unknown

    def generation(self, new: Json, old: Json | None) -> bool:
        """Everything counts but metadata, and status where it has a path of its own (META-1)."""
        if old is None:
            return True
        skipped = {"metadata", "status"} if self._has_status else {"metadata"}
        return any(new.get(key) != old.get(key) for key in {*new, *old} - skipped)

    def merge_status(self, new: Json, old: Json) -> Json:
        """Nothing but the status (STAT-1)."""
        merged = {key: value for key, value in old.items() if key != "status"}
        if "status" in new:
            merged["status"] = new["status"]
        return merged

    def validate(self, obj: Json, world: World) -> list[Cause]:
        """Structure first; CEL if the structure is whole (VAL-1)."""
        found: Found = []
        if self._schema.check is not None:
            self._schema.check(obj, None, found)
        return self._judged(obj, None, found, status=False)

    def validate_changed(self, new: Json, old: Json, world: World, *, status: bool) -> list[Cause]:
        """The same; what was wrong before and has not changed is forgiven (CRD-5)."""
        found: Found = []
        if self._schema.check is not None:
            self._schema.check(new, None, found)
        return self._judged(new, old, _changed_only(found, new, old), status=status)

    def _judged(self, new: Json, old: Json | None, found: Found, *, status: bool) -> list[Cause]:
        causes = [cause for _, cause in found] + self._scale_causes(new)
        if self._schema.rules is None:
            return _worded(causes, status=status)
        if any(cause.reason in BLOCKING for cause in causes):
            return [*_worded(causes, status=status), _NOT_CHECKED]
        told: Found = []
        self._schema.rules(new, old, old is not None, None, told)
        if old is not None:
            told = _changed_only(told, new, old)
        return _worded(causes, status=status) + [cause for _, cause in told]

    def _scale_causes(self, obj: Json) -> list[Cause]:
        """Replicas must fit into the scale subresource; this field is named with a leading dot (VAL-9)."""
        if self._scale is None:
            return []
        path = self._scale.spec_replicas
        field = f".{'.'.join(path)}"
        value: Any = obj
        for key in path:
            if isinstance(value, str):
                text = f"{field} accessor error: {value} is of the type string, expected map[string]interface{{}}"
                return [invalid_value(field, 0, text)]
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, bool) or not isinstance(value, int):
            return []
        if value < 0:
            return [invalid_value(field, value, "should be a non-negative integer")]
        if value > _MOST_REPLICAS:
            return [invalid_value(field, value, f"should be less than or equal to {_MOST_REPLICAS}")]
        return []


def _changed_only(found: Found, new: Json, old: Json) -> Found:
    """What is wrong at places whose value is not the old one."""
    return [(path, cause) for path, cause in found if not _same(path, new, old)]


def _same(path: Path, new: Json, old: Json) -> bool:
    if path is None:
        return {key: new.get(key) for key in {*new, *old} - _HEAD} == {
            key: old.get(key) for key in {*new, *old} - _HEAD
        }
    value = value_at(new, path)
    return value is not None and bool(value == value_at(old, path))


def _worded(causes: list[Cause], *, status: bool) -> list[Cause]:
    """Writes through /status name fields from the status on (VAL-2)."""
    if not status:
        return causes
    return [
        cause._replace(message=cause.message.replace(f"{cause.field} in body", f"{cause.field[7:]} in body"))
        if cause.field.startswith("status.")
        else cause
        for cause in causes
    ]


# -- From a definition


def versions_of(definition: Json) -> tuple[CustomVersion, ...]:
    """All versions of a definition that was checked."""
    spec = definition["spec"]
    return tuple(_version(spec, version) for version in spec["versions"])


def _version(spec: Json, version: Json) -> CustomVersion:
    subresources = version.get("subresources") or {}
    scale = _scale_paths(subresources.get("scale"))
    selectable = tuple((path[1:], _split(path)) for path in _json_paths(version.get("selectableFields")))
    schema: Json = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    kind = CustomKind(schema, has_status="status" in subresources, scale=scale, selectable=dict(selectable))
    return CustomVersion(
        resource=_resource(spec, version, subresources),
        served=bool(version.get("served")),
        storage=bool(version.get("storage")),
        rules=kind,
        schema=schema,
        columns=tuple(_column(one) for one in version.get("additionalPrinterColumns") or ()),
        scale=scale,
        selectable_fields=selectable,
    )


def _resource(spec: Json, version: Json, subresources: Json) -> ResourceInfo:
    names, group = spec["names"], spec["group"]
    parts = []
    if "scale" in subresources:
        parts.append(Subresource("scale", _CHANGE, "Scale", "autoscaling", "v1"))
    if "status" in subresources:
        parts.append(Subresource("status", _CHANGE, names["kind"]))
    return ResourceInfo(
        group=group,
        version=version["name"],
        plural=names["plural"],
        singular=names["singular"],
        kind=names["kind"],
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        verbs=CUSTOM_VERBS,
        subresources=tuple(parts),
        list_kind=names["listKind"],
        custom=True,
        deprecation_warning=_deprecation(spec, version),
    )


def _deprecation(spec: Json, version: Json) -> str:
    if not version.get("deprecated"):
        return ""
    if text := version.get("deprecationWarning"):
        return str(text)
    group, kind = spec["group"], spec["names"]["kind"]
    better = next((one["name"] for one in spec["versions"] if one.get("served") and not one.get("deprecated")), "")
    advice = f"; use {group}/{better} {kind}" if better else ""
    return f"{group}/{version['name']} {kind} is deprecated{advice}"


def _split(json_path: str) -> tuple[str, ...]:
    return tuple(json_path.removeprefix(".").split("."))


def _json_paths(fields: Any) -> list[str]:
    return [one["jsonPath"] for one in fields or ()]


def _scale_paths(scale: Json | None) -> ScalePaths | None:
    if scale is None:
        return None
    selector = scale.get("labelSelectorPath") or ""
    return ScalePaths(
        spec_replicas=_split(scale["specReplicasPath"]),
        status_replicas=_split(scale["statusReplicasPath"]),
        label_selector=_split(selector) if selector else (),
    )


def _column(column: Json) -> PrinterColumn:
    path = column["jsonPath"]
    return PrinterColumn(
        name=column["name"],
        type=column["type"],
        json_path=path,
        format=column.get("format", ""),
        description=column.get("description") or f"Custom resource definition column (in JSONPath format): {path}",
        priority=column.get("priority", 0),
    )
