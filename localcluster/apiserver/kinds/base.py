"""What a kind decides about its objects: a `Kind`, whose defaults suit a plain object without status. Pure.

The server calls, for a create: decode, default, prepare_create, validate; for an update: decode, default,
prepare_update, validate, validate_update. Objects handed over may be changed in place; stored ones may not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from ipaddress import IPv4Network
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias

from localcluster.api import Json
from localcluster.apiserver.metadata import NameRule, subdomain
from localcluster.apiserver.refusals import Cause
from localcluster.resources import ResourceInfo

__all__ = [
    "DecodeError",
    "FieldReaders",
    "Kind",
    "World",
    "check_micro_time",
    "field_text",
    "unchanged",
    "without_nulls",
]

FieldReaders: TypeAlias = Mapping[str, Callable[[Json], str]]


_HEAD: Final = frozenset({"kind", "apiVersion", "metadata"})


class DecodeError(ValueError):
    """The object is not one of its kind at all; the message says why in the server's words (400)."""


class World(Protocol):
    """What a kind may know beyond the object at hand."""

    @property
    def services(self) -> IPv4Network:
        """The range of services' addresses."""
        ...

    def now(self) -> datetime:
        """The time."""
        ...

    def letters(self, count: int) -> str:
        """That many random letters of a generated name."""
        ...

    def find(self, store: str, namespace: str, name: str) -> Json | None:
        """Another object: ("serviceaccounts", "default", "builder")."""
        ...

    def fields(self, store: str) -> Iterable[Mapping[str, str]]:
        """The selectable fields of all objects of a store."""
        ...

    def number(self, below: int) -> int:
        """A random number."""
        ...


class Kind:
    """A kind without rules of its own. What differs is overridden, attribute or method."""

    name_rule: NameRule = staticmethod(subdomain)
    known: frozenset[str] = frozenset()  # top-level fields beside kind, apiVersion, metadata; empty: not checked
    create_on_update = False  # a PUT to an absent name creates (UPD-4)
    unconditional_update = True  # a PUT may come without resourceVersion (UPD-1)
    fields: FieldReaders = MappingProxyType({})  # selectable fields of its own (SEL-5)
    hidden: FieldReaders = MappingProxyType({})  # the same, for the server's own use
    keeps_status_on_create = False  # nodes come with theirs
    deletion_counts = True  # the generation grows when a deletion begins (META-1)
    answers_object_on_delete = False  # a delete answers the object even when it is gone at once (DEL-8)

    def decode(self, obj: Json) -> tuple[Json, list[str]]:
        """The object as a decoder into the kind's struct would leave it, and the paths of fields it does not have.

        The result is a copy. Raises DecodeError.
        """
        decoded: Json = without_nulls(obj)
        if not self.known:
            return decoded, []
        unknown = [key for key in obj if key not in self.known and key not in _HEAD]
        for key in unknown:
            decoded.pop(key, None)
        return decoded, unknown

    def default(self, obj: Json) -> None:
        """Fill in what was left out; called with every decoded object."""

    def prepare_create(self, obj: Json, world: World) -> None:
        """What the server decides for a new object. May raise Refusal."""

    def prepare_update(self, new: Json, old: Json, world: World) -> None:
        """What stays as it was."""

    def generation(self, new: Json, old: Json | None) -> bool:
        """Whether the generation grows (META-1, META-2); old is None for a create: whether it starts at 1."""
        return False

    def validate(self, obj: Json, world: World) -> list[Cause]:
        """What is wrong with the object."""
        return []

    def validate_changed(self, new: Json, old: Json, world: World, *, status: bool) -> list[Cause]:
        """What is wrong with a changed object; custom kinds forgive what was wrong before (CRD-5)."""
        return [] if status else self.validate(new, world)

    def validate_update(self, new: Json, old: Json) -> list[Cause]:
        """What may not change, and did."""
        return []

    def validate_part(self, subresource: str, new: Json, old: Json) -> list[Cause]:
        """What may not change through a subresource that writes a part of the spec, and did."""
        return []

    def merge_status(self, new: Json, old: Json) -> Json:
        """The object after a write through /status: metadata and status are new, all else is old (STAT-2)."""
        merged = {key: value for key, value in old.items() if key != "status"}
        merged["metadata"] = new["metadata"]
        if "status" in new:
            merged["status"] = new["status"]
        return merged

    def may_vanish(self, obj: Json) -> bool:
        """Whether an object that is being deleted goes as soon as its last finalizer went."""
        return not obj["metadata"].get("deletionGracePeriodSeconds")

    def check_delete(self, resource: ResourceInfo, obj: Json) -> None:
        """Raise Refusal for an object that must stay."""

    def mark_deleted(self, obj: Json) -> None:
        """What changes in an object beside its deletionTimestamp when its deletion begins."""

    def grace_seconds(self, obj: Json, asked: int | None) -> int:
        """How long the object may still live once its deletion was asked for: only pods get any (DEL-3)."""
        return 0

    def selectable(self, obj: Json) -> dict[str, str]:
        """All selectable fields of the object, as text."""
        selectable = {name: read(obj) for name, read in self.fields.items()}
        for name, read in self.hidden.items():
            selectable[name] = read(obj)
        return selectable


def without_nulls(value: Any) -> Any:
    """A copy without the members that are null: a decoder into a struct does not see them."""
    if isinstance(value, dict):
        return {key: without_nulls(member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [without_nulls(member) for member in value]
    return value


def field_text(*path: str) -> Callable[[Json], str]:
    """A reader of the member at that path, as a field selector compares it: "" when absent, true and false in words."""

    def read(obj: Json) -> str:
        value: Any = obj
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            return ""
        return str(value).lower() if isinstance(value, bool) else str(value)

    return read


def unchanged(new: Any, old: Any, *path: str) -> bool:
    """Whether the member at that path is the same in both; absent counts as a value."""
    for key in path:
        new = new.get(key) if isinstance(new, dict) else None
        old = old.get(key) if isinstance(old, dict) else None
    return bool(new == old)


_MICRO_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")


def check_micro_time(value: Any) -> None:
    """MicroTime has exactly six fractional digits (TOP-10). Raises DecodeError."""
    if value is None:
        return
    if not isinstance(value, str) or not _MICRO_TIME.fullmatch(value):
        layout = "2006-01-02T15:04:05.000000Z07:00"
        rest = re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", "", str(value))
        wanted = "2006" if rest == value else ".000000"
        raise DecodeError(f'parsing time "{value}" as "{layout}": cannot parse "{rest}" as "{wanted}"')
