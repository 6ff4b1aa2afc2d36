"""Kinds with a rule or two of their own: namespaces, secrets, config maps, leases, roles, ... Pure."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final

from localcluster.api import Json
from localcluster.apiserver.kinds.base import (
    DecodeError,
    FieldReaders,
    Kind,
    World,
    check_micro_time,
    field_text,
    unchanged,
)
from localcluster.apiserver.kinds.quantities import canonical
from localcluster.apiserver.metadata import label_name, path_segment
from localcluster.apiserver.refusals import (
    Cause,
    forbidden_field,
    forbidden_request,
    immutable,
    invalid_value,
    required,
    too_long,
)
from localcluster.resources import ResourceInfo

__all__ = [
    "BindingKind",
    "BudgetKind",
    "ClaimKind",
    "ConfigMapKind",
    "CreatedByUpdate",
    "IngressKind",
    "LeaseKind",
    "NamespaceKind",
    "NodeKind",
    "PriorityClassKind",
    "QuotaKind",
    "RoleKind",
    "SecretKind",
    "SpecGeneration",
]

_MOST_DATA: Final = 1024 * 1024
_IMMUTABLE: Final = "field is immutable when `immutable` is set"
_KEPT_NAMESPACES: Final = frozenset({"default", "kube-system", "kube-public"})
_CONFIG_KEY: Final = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_CONFIG_KEY_TEXT: Final = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "
    "or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_NAME_LABEL: Final = "kubernetes.io/metadata.name"


class CreatedByUpdate(Kind):
    """Plain, and a PUT to an absent name creates."""

    create_on_update = True


class SpecGeneration(Kind):
    """Plain, and its generation counts changes of the spec."""

    def generation(self, new: Json, old: Json | None) -> bool:
        """The spec counts."""
        return old is None or not unchanged(new, old, "spec")


_NAMESPACE_FIELDS: Final[FieldReaders] = {"status.phase": field_text("status", "phase")}


class NamespaceKind(Kind):
    """Namespaces go in two steps: terminating, and gone when nothing keeps them in spec.finalizers (DEL-13)."""

    name_rule = staticmethod(label_name)
    known = frozenset({"spec", "status"})
    fields = _NAMESPACE_FIELDS

    def prepare_create(self, obj: Json, world: World) -> None:
        """The label of its own name, and a hold."""
        metadata = obj["metadata"]
        metadata["labels"] = {**(metadata.get("labels") or {}), _NAME_LABEL: metadata["name"]}
        obj["spec"] = {"finalizers": ["kubernetes"]}
        obj["status"] = {"phase": "Active"}

    def prepare_update(self, new: Json, old: Json, world: World) -> None:
        """Only /finalize changes the hold (DEL-15)."""
        new["metadata"]["labels"] = {**(new["metadata"].get("labels") or {}), _NAME_LABEL: new["metadata"]["name"]}
        new["spec"] = old.get("spec") or {}

    def check_delete(self, resource: ResourceInfo, obj: Json) -> None:
        """The system's own stay. Raises Refusal."""
        if obj["metadata"]["name"] in _KEPT_NAMESPACES:
            raise forbidden_request(resource, obj["metadata"]["name"], "this namespace may not be deleted")

    def mark_deleted(self, obj: Json) -> None:
        """It terminates."""
        obj["metadata"].pop("deletionGracePeriodSeconds", None)
        obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}

    def may_vanish(self, obj: Json) -> bool:
        """Nothing holds it any more."""
        return not (obj.get("spec") or {}).get("finalizers")


def _check_texts(obj: Json, kind: str, key: str, wanted: str) -> None:
    values = obj.get(key)
    if values is None:
        return
    if not isinstance(values, dict):
        raise DecodeError(
            f"json: cannot unmarshal {_go(values)} into Go struct field {kind}.{key} of type map[string]{wanted}"
        )
    for value in values.values():
        if not isinstance(value, str):
            raise DecodeError(f"json: cannot unmarshal {_go(value)} into Go struct field {kind}.{key} of type {wanted}")


def _go(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    names: dict[type, str] = {str: "string", int: "number", float: "number", list: "array"}
    return names.get(type(value), "object")


def _check_base64(values: Json) -> None:
    for value in values.values():
        try:
            base64.b64decode(value, validate=True)
        except binascii.Error:
            wrong = re.search(r"[^A-Za-z0-9+/]", value)
            position = wrong.start() if wrong else len(value)
            raise DecodeError(f"illegal base64 data at input byte {position}") from None


def _size(obj: Json) -> int:
    return sum(len(key) + len(value) for part in ("data", "binaryData") for key, value in (obj.get(part) or {}).items())


class ConfigMapKind(Kind):
    """Config maps."""

    known = frozenset({"data", "binaryData", "immutable"})

    def decode(self, obj: Json) -> tuple[Json, list[str]]:
        """Texts, and bytes in base64."""
        decoded, unknown = super().decode(obj)
        _check_texts(decoded, "ConfigMap", "data", "string")
        _check_texts(decoded, "ConfigMap", "binaryData", "[]uint8")
        _check_base64(decoded.get("binaryData") or {})
        return decoded, unknown

    def validate(self, obj: Json, world: World) -> list[Cause]:
        """Keys that can be file names, and not too much of it (CRT-8)."""
        causes = [
            invalid_value(f"{part}[{key}]", key, _CONFIG_KEY_TEXT)
            for part in ("data", "binaryData")
            for key in obj.get(part) or ()
            if not _CONFIG_KEY.fullmatch(key)
        ]
        return [*causes, too_long("[]", _MOST_DATA)] if _size(obj) > _MOST_DATA else causes

    def validate_update(self, new: Json, old: Json) -> list[Cause]:
        """Frozen once it says so (UPD-6)."""
        if not old.get("immutable"):
            return []
        causes = [] if new.get("immutable") else [forbidden_field("immutable", _IMMUTABLE)]
        return causes + [
            forbidden_field(key, _IMMUTABLE)
            for key in ("data", "binaryData")
            if (new.get(key) or {}) != (old.get(key) or {})
        ]


_SECRET_FIELDS: Final[FieldReaders] = {"type": field_text("type")}


class SecretKind(ConfigMapKind):
    """Secrets: what is sent as text is kept in base64 (UPD-8)."""

    known = frozenset({"data", "stringData", "immutable", "type"})
    fields = _SECRET_FIELDS

    def decode(self, obj: Json) -> tuple[Json, list[str]]:
        """Bytes in base64; texts are folded in."""
        decoded, unknown = Kind.decode(self, obj)
        _check_texts(decoded, "Secret", "data", "[]uint8")
        _check_texts(decoded, "Secret", "stringData", "string")
        _check_base64(decoded.get("data") or {})
        texts = decoded.pop("stringData", None)
        if texts:
            encoded = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
            decoded["data"] = {**(decoded.get("data") or {}), **encoded}
        return decoded, unknown

    def default(self, obj: Json) -> None:
        """Opaque."""
        if not obj.get("type"):
            obj["type"] = "Opaque"

    def validate_update(self, new: Json, old: Json) -> list[Cause]:
        """The type stays."""
        causes = [] if new["type"] == old["type"] else [immutable("type", new["type"])]
        return causes + super().validate_update(new, old)


class LeaseKind(Kind):
    """Leases: their times have six fractional digits (LEASE-1)."""

    known = frozenset({"spec"})
    create_on_update = True
    unconditional_update = False

    def decode(self, obj: Json) -> tuple[Json, list[str]]:
        """The times."""
        decoded, unknown = super().decode(obj)
        for key in ("acquireTime", "renewTime"):
            check_micro_time((decoded.get("spec") or {}).get(key))
        return decoded, unknown

    def validate(self, obj: Json, world: World) -> list[Cause]:
        """Counts."""
        spec = obj.get("spec") or {}
        causes = []
        if spec.get("leaseDurationSeconds", 1) <= 0:
            causes.append(
                invalid_value("spec.leaseDurationSeconds", spec["leaseDurationSeconds"], "must be greater than 0")
            )
        if spec.get("leaseTransitions", 0) < 0:
            text = "must be greater than or equal to 0"
            causes.append(invalid_value("spec.leaseTransitions", spec["leaseTransitions"], text))
        return causes


_NODE_FIELDS: Final[FieldReaders] = {"spec.unschedulable": field_text("spec", "unschedulable")}


class NodeKind(Kind):
    """Nodes register themselves together with their status."""

    keeps_status_on_create = True
    known = frozenset({"spec", "status"})
    fields = _NODE_FIELDS

    def prepare_create(self, obj: Json, world: World) -> None:
        """Both parts are there from the start."""
        obj.setdefault("spec", {})
        obj.setdefault("status", {})


class ClaimKind(Kind):
    """Persistent volume claims."""

    known = frozenset({"spec", "status"})

    def decode(self, obj: Json) -> tuple[Json, list[str]]:
        """Quantities."""
        decoded, unknown = super().decode(obj)
        requests = ((decoded.get("spec") or {}).get("resources") or {}).get("requests") or {}
        for name, quantity in requests.items():
            requests[name] = canonical(quantity)
        return decoded, unknown

    def default(self, obj: Json) -> None:
        """A file system."""
        obj.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")

    def prepare_create(self, obj: Json, world: World) -> None:
        """Not bound yet."""
        obj["status"] = {"phase": "Pending"}

    def validate(self, obj: Json, world: World) -> list[Cause]:
        """How it is to be reached, and how much of it there is to be."""
        spec = obj["spec"]
        causes = [] if spec.get("accessModes") else [required("spec.accessModes", "at least 1 access mode is required")]
        if not ((spec.get("resources") or {}).get("requests") or {}).get("storage"):
            causes.append(required("spec.resources[storage]"))
        return causes

    def validate_update(self, new: Json, old: Json) -> list[Cause]:
        """Only the size may grow, and the volume may be set."""

        def kept(spec: Json) -> Json:
            return {key: value for key, value in spec.items() if key not in {"resources", "volumeName"}}

        if kept(new["spec"]) == kept(old["spec"]):
            return []
        text = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        return [forbidden_field("spec", text)]


class QuotaKind(Kind):
    """Resource quotas: their status is a controller's."""

    def prepare_create(self, obj: Json, world: World) -> None:
        """Nothing was counted yet."""
        obj["status"] = {}


class BudgetKind(SpecGeneration):
    """Pod disruption budgets: their status is a controller's."""

    unconditional_update = False

    def prepare_create(self, obj: Json, world: World) -> None:
        """Nothing was counted yet."""
        obj["status"] = {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}


class RoleKind(Kind):
    """Roles, of a namespace or the cluster."""

    name_rule = staticmethod(path_segment)

    def default(self, obj: Json) -> None:
        """No rules are shown as such."""
        obj.setdefault("rules", None)


class BindingKind(Kind):
    """Role bindings, of a namespace or the cluster."""

    name_rule = staticmethod(path_segment)

    def default(self, obj: Json) -> None:
        """API groups of the role and of the subjects."""
        group = "rbac.authorization.k8s.io"
        if isinstance(role := obj.get("roleRef"), dict):
            role["apiGroup"] = role.get("apiGroup") or group
        for subject in obj.get("subjects") or ():
            if subject.get("kind") in {"User", "Group"}:
                subject.setdefault("apiGroup", group)

    def validate(self, obj: Json, world: World) -> list[Cause]:
        """It must name a role."""
        return [] if (obj.get("roleRef") or {}).get("name") else [required("roleRef.name")]

    def validate_update(self, new: Json, old: Json) -> list[Cause]:
        """The role stays; to bind another one is to make another binding."""
        if unchanged(new, old, "roleRef"):
            return []
        return [invalid_value("roleRef", new.get("roleRef"), "cannot change roleRef")]


class IngressKind(SpecGeneration):
    """Ingresses."""

    def prepare_create(self, obj: Json, world: World) -> None:
        """No address yet."""
        obj["status"] = {"loadBalancer": {}}


class PriorityClassKind(Kind):
    """Priority classes."""

    def default(self, obj: Json) -> None:
        """They may push others out."""
        obj.setdefault("preemptionPolicy", "PreemptLowerPriority")

    def validate_update(self, new: Json, old: Json) -> list[Cause]:
        """The value stays."""
        if unchanged(new, old, "value"):
            return []
        return [forbidden_field("value", "may not be changed in an update.")]
