"""The words all kinds share: resources, references, owners, conditions, times.

Objects themselves travel as JSON (`Json`), just as they stand on the wire; what is here names them and reads their
metadata. Nothing here knows an HTTP path's host, a clock or a cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, NotRequired, TypeAlias, TypedDict

__all__ = [
    "Condition",
    "ConditionStatus",
    "Json",
    "OwnerReference",
    "Ref",
    "Resource",
    "condition",
    "controller_of",
    "format_micro_time",
    "format_time",
    "owner_reference",
    "owns",
    "parse_time",
    "set_condition",
]

Json: TypeAlias = dict[str, Any]
ConditionStatus = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind as the API server serves it: where it lives, and what its objects call themselves."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """What objects of this kind write into `apiVersion`: "v1", "batch/v1"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of the collection, of one object, or of its subresource."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


class Ref(NamedTuple):
    """One object by name: what a queue holds, and what errors and logs name. Cluster-scoped: namespace is "".

    A tuple, because a queue's turn hashes it ten times: 0.1 µs each instead of 0.3.
    """

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class OwnerReference(TypedDict):
    """metadata.ownerReferences[]."""

    apiVersion: str
    kind: str
    name: str
    uid: str
    controller: NotRequired[bool]
    blockOwnerDeletion: NotRequired[bool]


class Condition(TypedDict):
    """status.conditions[], as meta/v1 has it."""

    type: str
    status: ConditionStatus
    reason: str
    message: str
    lastTransitionTime: str
    observedGeneration: NotRequired[int]


def owner_reference(resource: Resource, owner: Mapping[str, Any]) -> OwnerReference:
    """The reference that makes `owner` the controller of a child, and holds it back in foreground deletion."""
    metadata = owner["metadata"]
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_of(metadata: Mapping[str, Any]) -> OwnerReference | None:
    """The owner that controls the object, or None."""
    owners: Sequence[OwnerReference] = metadata.get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), None)


def owns(owner: Mapping[str, Any], child: Mapping[str, Any]) -> bool:
    """Is `owner` the controller of that object? By UID, never by name (spec runtime IDX-8)."""
    found = controller_of(child["metadata"])
    return found is not None and found["uid"] == owner["metadata"]["uid"]


def condition(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of that type, or None."""
    return next((one for one in conditions if one["type"] == type_), None)


def set_condition(conditions: Sequence[Condition], new: Condition) -> list[Condition]:
    """The list with `new` in the place of its type, or at the end.

    lastTransitionTime of `new` counts only if the status differs from the one there (spec raycluster §19.3).
    Foreign types stay as they are.
    """
    old = condition(conditions, new["type"])
    if old is None:
        return [*conditions, new]
    if old["status"] == new["status"]:
        new = {**new, "lastTransitionTime": old["lastTransitionTime"]}
    return [new if one["type"] == new["type"] else one for one in conditions]


def parse_time(text: str) -> datetime:
    """A wire time (RFC 3339, with or without a fraction) as an aware datetime. Raises ValueError."""
    return datetime.fromisoformat(text).astimezone(UTC)


def format_time(moment: datetime) -> str:
    """meta/v1 Time: whole seconds, UTC, "Z"."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micro_time(moment: datetime) -> str:
    """meta/v1 MicroTime: exactly six fractional digits (spec kube-api TOP-10)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
