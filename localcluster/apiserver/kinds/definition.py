"""CustomResourceDefinitions as objects: defaults and checks (spec kube-api CRD-1 to CRD-6).

What they set in motion is the business of `localcluster.apiserver.definitions`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from localcluster.api import Json
from localcluster.apiserver.cel import RuleError, compile_rules
from localcluster.apiserver.kinds.base import Kind, World, unchanged
from localcluster.apiserver.refusals import Cause, immutable, invalid_value, not_supported, quoted, required

__all__ = ["CLEANUP", "DefinitionKind", "condition", "is_true"]

CLEANUP: Final = "customresourcecleanup.apiextensions.k8s.io"
_APPROVAL: Final = "api-approved.kubernetes.io"
_PROTECTED: Final = re.compile(r"(.*\.)?(k8s|kubernetes)\.io")
_APPROVAL_TEXT: Final = (
    f'protected groups must have approval annotation "{_APPROVAL}",'
    " see https://github.com/kubernetes/enhancements/pull/1111"
)
_INT_OR_STRING: Final = "x-kubernetes-int-or-string"
_PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"


def condition(definition: Json, kind: str) -> Json | None:
    """The condition of that type in the status, or None."""
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == kind), None)


def is_true(definition: Json, kind: str) -> bool:
    """Whether the condition of that type holds."""
    found = condition(definition, kind)
    return found is not None and found["status"] == "True"


class DefinitionKind(Kind):
    """CustomResourceDefinitions."""

    known = frozenset({"spec", "status"})
    deletion_counts = False
    unconditional_update = False

    def decode(self, obj: Json) -> tuple[Json, list[str]]:
        """Nulls inside a schema mean something (`default: null`), so only the top is tidied."""
        unknown = [key for key in obj if key not in {"kind", "apiVersion", "metadata", "spec", "status"}]
        return {key: value for key, value in obj.items() if value is not None and key not in unknown}, unknown

    def default(self, obj: Json) -> None:
        """Names that follow from others; no conversion."""
        spec = obj["spec"] = dict(obj.get("spec") or {})
        if spec.get("preserveUnknownFields") is False:
            del spec["preserveUnknownFields"]
        names = spec["names"] = dict(spec.get("names") or {})
        kind = names.get("kind") or ""
        if not names.get("singular"):
            names["singular"] = kind.lower()
        if not names.get("listKind") and kind:
            names["listKind"] = f"{kind}List"
        spec.setdefault("conversion", {"strategy": "None"})

    def prepare_create(self, obj: Json, world: World) -> None:
        """Nothing is accepted yet."""
        stored = [one["name"] for one in obj["spec"].get("versions") or () if one.get("storage")]
        names = {"plural": "", "kind": ""}
        obj["status"] = {"conditions": None, "acceptedNames": names, "storedVersions": stored}

    def prepare_update(self, new: Json, old: Json, world: World) -> None:
        """A new storage version joins those in which objects may lie."""
        status = dict(new.get("status") or {})
        stored = list(status.get("storedVersions") or ())
        stored += [
            one["name"] for one in new["spec"].get("versions") or () if one.get("storage") and one["name"] not in stored
        ]
        new["status"] = {**status, "storedVersions": stored}

    def generation(self, new: Json, old: Json | None) -> bool:
        """The spec counts."""
        return old is None or not unchanged(new, old, "spec")

    def mark_deleted(self, obj: Json) -> None:
        """It stays until its objects have gone (CRD-8)."""
        metadata = obj["metadata"]
        metadata.pop("deletionGracePeriodSeconds", None)
        if CLEANUP not in (metadata.get("finalizers") or ()):
            metadata["finalizers"] = [*(metadata.get("finalizers") or ()), CLEANUP]
        status = obj["status"] = dict(obj.get("status") or {})
        status["conditions"] = [
            *(status.get("conditions") or ()),
            {
                "type": "Terminating",
                "status": "True",
                "lastTransitionTime": metadata["deletionTimestamp"],
                "reason": "InstanceDeletionPending",
                "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
            },
        ]

    def validate(self, obj: Json, world: World) -> list[Cause]:
        """Names, versions, schemas, rules."""
        spec, name = obj["spec"], obj["metadata"]["name"]
        names, group = spec["names"], spec.get("group") or ""
        causes = []
        if name != f"{names.get('plural')}.{group}":
            causes.append(invalid_value("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
        annotations = obj["metadata"].get("annotations") or {}
        if _PROTECTED.fullmatch(group) and _APPROVAL not in annotations:
            causes.append(required(f"metadata.annotations[{_APPROVAL}]", _APPROVAL_TEXT))
        causes += [required(f"spec.names.{key}") for key in ("plural", "kind") if not names.get(key)]
        if not group:
            causes.append(required("spec.group"))
        if spec.get("scope") not in {"Namespaced", "Cluster"}:
            causes.append(not_supported("spec.scope", spec.get("scope", ""), ("Cluster", "Namespaced")))
        return causes + _version_causes(obj)

    def validate_changed(self, new: Json, old: Json, world: World, *, status: bool) -> list[Cause]:
        """The same, but for the name: a plural that changed is told by itself."""
        causes = super().validate_changed(new, old, world, status=status)
        return [cause for cause in causes if cause.field != "metadata.name"]

    def validate_update(self, new: Json, old: Json) -> list[Cause]:
        """Once it is established, scope, plural and kind stay; stored versions stay defined."""
        causes = []
        if is_true(old, "Established"):
            for path in (("scope",), ("names", "plural"), ("names", "kind")):
                if not unchanged(new["spec"], old["spec"], *path):
                    value: Any = new["spec"]
                    for key in path:
                        value = value.get(key)
                    causes.append(immutable(f"spec.{'.'.join(path)}", value))
        if not unchanged(new, old, "spec", "group"):
            causes.append(immutable("spec.group", new["spec"].get("group")))
        return causes + _stored_causes(new)


def _stored_causes(new: Json) -> list[Cause]:
    defined = {one["name"] for one in new["spec"].get("versions") or ()}
    causes = []
    for index, version in enumerate(new["status"].get("storedVersions") or ()):
        if version not in defined:
            text = (
                f"missing from spec.versions; {version} was previously a storage version, and must remain in"
                f" spec.versions until a storage migration ensures no data remains persisted in {version} and removes"
                f" {version} from status.storedVersions"
            )
            causes.append(invalid_value(f"status.storedVersions[{index}]", version, text))
    return causes


def _version_causes(definition: Json) -> list[Cause]:
    versions: list[Json] = definition["spec"].get("versions") or []
    causes = []
    if sum(bool(one.get("storage")) for one in versions) != 1:
        shown = [_go_version(one) for one in versions]
        causes.append(invalid_value("spec.versions", shown, "must have exactly one version marked as storage version"))
        if not definition["status"].get("storedVersions"):
            text = "must have at least one stored version"
            causes.append(invalid_value("status.storedVersions", None, text))
    schemas = [(one.get("schema") or {}).get("openAPIV3Schema") for one in versions]
    shared = bool(schemas) and all(one == schemas[0] for one in schemas)
    for index, schema in enumerate(schemas):
        where = "spec.validation" if shared else f"spec.versions[{index}].schema"
        if schema is None:
            causes.append(required(f"spec.versions[{index}].schema.openAPIV3Schema"))
            if versions[index].get("selectableFields"):
                text = "may only be set when validations.schema is included"
                causes.append(invalid_value("spec.selectableFields", "", text))
        elif not (shared and index):
            causes += _schema_causes(schema, f"{where}.openAPIV3Schema")
    return causes


def _go_version(version: Json) -> Json:
    """A version as Go prints the struct: only seen in this one message."""
    return {
        "Name": version.get("name", ""),
        "Served": bool(version.get("served")),
        "Storage": bool(version.get("storage")),
        "Deprecated": bool(version.get("deprecated")),
        "DeprecationWarning": None,
        "Schema": None,
        "Subresources": None,
        "AdditionalPrinterColumns": None,
        "SelectableFields": None,
    }


def _schema_causes(schema: Json, where: str) -> tuple[Cause, ...]:
    return _causes_of_text(orjson.dumps(schema), where)


@functools.lru_cache(maxsize=64)
def _causes_of_text(text: bytes, where: str) -> tuple[Cause, ...]:
    """By the schema's text, since many servers of one process are given the same definitions."""
    schema = orjson.loads(text)
    causes = list(_structure_causes(schema, where, "must not be empty at the root"))
    if causes:
        return tuple(causes)
    try:
        compile_rules(schema, where)
    except RuleError as error:
        shown = {
            "Rule": error.rule.get("rule", ""),
            "Message": error.rule.get("message", ""),
            "MessageExpression": error.rule.get("messageExpression", ""),
            "Reason": error.rule.get("reason"),
            "FieldPath": error.rule.get("fieldPath", ""),
            "OptionalOldSelf": error.rule.get("optionalOldSelf"),
        }
        return (Cause("FieldValueInvalid", error.where, f"Invalid value: {quoted(shown)}: {error}"),)
    return ()


def _structure_causes(schema: Any, where: str, no_type: str) -> Iterator[Cause]:
    """A structural schema says the type of everything (CRD-3), and its patterns can be compiled."""
    if not isinstance(schema, Mapping):
        return
    if not schema.get("type") and not schema.get(_INT_OR_STRING) and not schema.get(_PRESERVE):
        yield required(f"{where}.type", no_type)
    if isinstance(pattern := schema.get("pattern"), str):
        try:
            re.compile(pattern)
        except re.error as error:
            yield invalid_value(f"{where}.pattern", pattern, f"must be a valid regular expression, but isn't: {error}")
    for name, one in (schema.get("properties") or {}).items():
        yield from _structure_causes(
            one, f"{where}.properties[{name}]", "must not be empty for specified object fields"
        )
    if isinstance(items := schema.get("items"), Mapping):
        yield from _structure_causes(items, f"{where}.items", "must not be empty for specified array items")
    if isinstance(extra := schema.get("additionalProperties"), Mapping):
        yield from _structure_causes(
            extra, f"{where}.additionalProperties", "must not be empty for specified object fields"
        )
