"""From an event to keys, and which events count (spec runtime §11).

A handler maps a delta to the keys of objects to look at; an update maps the old and the new state, so that an object
that changed its owner wakes both. Predicates say which deltas are worth a look; all of a source's must hold. Another
one may say which of those can wait a little, so that several of them make one look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from api.meta import Ref, Resource
from controller.runtime.cache.record import StoredRecord
from controller.runtime.cache.store import Delta, Kind
from controller.runtime.selectors import parse

__all__ = [
    "LATER",
    "Handler",
    "Predicate",
    "Source",
    "annotations_changed",
    "deletion_started",
    "for_object",
    "for_owner",
    "generation_changed",
    "kept_part_changed",
    "labels_changed",
    "labels_match",
    "mapped",
    "metadata_changed",
    "more_than_status_changed",
    "updates_that",
    "version_changed",
]

LATER = timedelta(seconds=1)  # how long a delta waits that can
AT_ONCE = timedelta(0)

Handler: TypeAlias = Callable[[Delta], Iterable[Ref]]


@dataclass(frozen=True, slots=True)
class Predicate:
    """A question about a delta; combine with `&`, `|`, `~`."""

    holds: Callable[[Delta], bool]

    def __call__(self, delta: Delta) -> bool:
        return self.holds(delta)

    def __and__(self, other: Predicate) -> Predicate:
        return Predicate(lambda delta: self(delta) and other(delta))

    def __or__(self, other: Predicate) -> Predicate:
        return Predicate(lambda delta: self(delta) or other(delta))

    def __invert__(self) -> Predicate:
        return Predicate(lambda delta: not self(delta))


@dataclass(frozen=True, slots=True)
class Source:
    """One watched kind that feeds a controller. Deltas for which `can_wait` holds wake within `LATER`, not at once."""

    resource: Resource
    handler: Handler
    predicates: tuple[Predicate, ...] = ()
    optional: bool = False  # the kind may not be served: the controller starts without it
    can_wait: Callable[[Delta], bool] | None = None  # asked once for each delta that wakes somebody

    def keys(self, delta: Delta) -> Iterable[Ref]:
        """The keys that this delta wakes, each once. Raises whatever a predicate or the handler raises."""
        if not all(predicate(delta) for predicate in self.predicates):
            return ()
        return dict.fromkeys(self.handler(delta))

    def delay(self, delta: Delta) -> timedelta:
        """How long after that delta its keys are to be looked at. Raises whatever the predicate raises."""
        return LATER if self.can_wait is not None and self.can_wait(delta) else AT_ONCE


def for_object(delta: Delta) -> Iterable[Ref]:
    """The object itself."""
    return (delta.record.ref,)


def for_owner(owner: Resource, *, only_controller: bool = True) -> Handler:
    """The owners of that kind: group and kind must match, the version may differ (SRC-4)."""

    def owners(record: StoredRecord) -> Iterable[Ref]:
        namespace = record.ref.namespace if owner.namespaced else ""
        return [
            Ref(owner.kind, namespace, one["name"])
            for one in record.owners
            if (one["kind"], _group(one["apiVersion"])) == (owner.kind, owner.group)
            and (one.get("controller") or not only_controller)
        ]

    return mapped(owners)


def mapped(keys_of: Callable[[StoredRecord], Iterable[Ref]]) -> Handler:
    """Whatever the function says of the old and of the new state."""

    def keys(delta: Delta) -> Iterable[Ref]:
        return [key for record in (delta.old, delta.new) if record is not None for key in keys_of(record)]

    return keys


def _group(api_version: str) -> str:
    group, slash, _ = api_version.partition("/")
    return group if slash else ""


def updates_that(changed: Callable[[StoredRecord, StoredRecord], bool]) -> Predicate:
    """Creations and deletions always count; an update does if that holds of the old and the new state."""

    def holds(delta: Delta) -> bool:
        if delta.kind is not Kind.UPDATED or delta.old is None or delta.new is None:
            return True
        return changed(delta.old, delta.new)

    return Predicate(holds)


# Not for kinds without a generation (ConfigMap, Secret): it would drop every update of theirs.
generation_changed = updates_that(lambda old, new: old.generation != new.generation)
version_changed = updates_that(lambda old, new: old.resource_version != new.resource_version)
labels_changed = updates_that(lambda old, new: _differ(old.labels, new.labels))
annotations_changed = updates_that(lambda old, new: _differ(old.annotations, new.annotations))
more_than_status_changed = generation_changed | labels_changed | annotations_changed
# It raises the generation of custom resources, but not of each built-in kind.
deletion_started = updates_that(lambda old, new: old.deletion_timestamp is None and new.deletion_timestamp is not None)

# What people, owners and a deletion change of an object.
metadata_changed = updates_that(lambda old, new: _metadata(old) != _metadata(new))

# For kinds with a field set: each version of others has another body.
kept_part_changed = updates_that(lambda old, new: old.body != new.body or _metadata(old) != _metadata(new))


def labels_match(selector: str) -> Predicate:
    """The newest state carries labels that the selector matches."""
    parsed = parse(selector)
    return Predicate(lambda delta: parsed.matches(delta.record.labels))


def _differ(old: Mapping[str, str], new: Mapping[str, str]) -> bool:
    return dict(old) != dict(new)


def _metadata(record: StoredRecord) -> tuple[object, ...]:
    return record.labels, record.annotations, record.owners, record.finalizers, record.deletion_timestamp
