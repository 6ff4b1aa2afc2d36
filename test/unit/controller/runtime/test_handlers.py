"""Which events wake which keys."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from api.core import PODS
from api.meta import Ref, Resource
from controller.runtime.cache.record import FieldSet, StoredRecord, Words, record_of
from controller.runtime.cache.store import Delta, Kind
from controller.runtime.handlers import (
    LATER,
    Predicate,
    Source,
    annotations_changed,
    deletion_started,
    for_object,
    for_owner,
    generation_changed,
    kept_part_changed,
    labels_changed,
    labels_match,
    metadata_changed,
    version_changed,
)

CLUSTERS = Resource("ray.io", "v1", "rayclusters", "RayCluster")


def a_pod(**metadata: Any) -> StoredRecord:
    metadata = {"name": "a", "namespace": "ns", "uid": "u", "resourceVersion": "7", "generation": 1, **metadata}
    return record_of(PODS, json.dumps({"kind": "Pod", "metadata": metadata}).encode(), Words())


def owned_by(
    name: str, api_version: str = "ray.io/v1", kind: str = "RayCluster", controller: bool = True
) -> StoredRecord:
    owner = {"apiVersion": api_version, "kind": kind, "name": name, "uid": name, "controller": controller}
    return a_pod(ownerReferences=[owner])


def updated(old: StoredRecord, new: StoredRecord) -> Delta:
    return Delta(Kind.UPDATED, old, new)


def cluster(name: str) -> Ref:
    return Ref("RayCluster", "ns", name)


@pytest.mark.spec("runtime:SRC-4")
def test_a_child_that_changes_its_owner_wakes_both() -> None:
    """Mapping only the new one would lose the old."""
    keys = Source(PODS, for_owner(CLUSTERS)).keys(updated(owned_by("old"), owned_by("new")))

    assert list(keys) == [cluster("old"), cluster("new")]


@pytest.mark.parametrize(
    ("record", "keys"),
    [
        (owned_by("c", api_version="ray.io/v1alpha1"), [cluster("c")]),
        (owned_by("c", api_version="example.com/v1"), []),
        (owned_by("c", kind="RayJob"), []),
        (owned_by("c", controller=False), []),
        (a_pod(), []),
    ],
)
def test_group_and_kind_of_an_owner_must_match_and_it_must_control(record: StoredRecord, keys: list[Ref]) -> None:
    """The version may differ."""
    assert list(for_owner(CLUSTERS)(Delta(Kind.ADDED, None, record))) == keys


def test_an_owner_that_does_not_control_counts_where_that_is_asked_for() -> None:
    """And the same key twice in one delta is one key."""
    source = Source(PODS, for_owner(CLUSTERS, only_controller=False))
    record = owned_by("c", controller=False)

    assert list(source.keys(updated(record, record))) == [cluster("c")]


@pytest.mark.spec("runtime:SRC-6")
@pytest.mark.parametrize(
    ("predicate", "change"),
    [
        (generation_changed, {"generation": 2}),
        (version_changed, {"resourceVersion": "8"}),
        (labels_changed, {"labels": {"a": "1"}}),
        (annotations_changed, {"annotations": {"a": "1"}}),
        (deletion_started, {"deletionTimestamp": "2026-01-01T00:00:00Z"}),
    ],
)
def test_a_predicate_passes_its_own_change_and_no_other(predicate: Predicate, change: dict[str, Any]) -> None:
    """Creations and deletions always pass."""
    assert predicate(updated(a_pod(), a_pod(**change)))
    assert not predicate(updated(a_pod(), a_pod(finalizers=["f"])))
    assert predicate(Delta(Kind.ADDED, None, a_pod()))
    assert predicate(Delta(Kind.DELETED, a_pod(), None))


def test_predicates_combine() -> None:
    """A generation-only predicate would block what annotations drive."""
    either = generation_changed | annotations_changed
    by_annotation = updated(a_pod(), a_pod(annotations={"a": "1"}))

    assert either(by_annotation)
    assert not (generation_changed & annotations_changed)(by_annotation)
    assert not (~either)(by_annotation)
    assert labels_match("a=1")(Delta(Kind.ADDED, None, a_pod(labels={"a": "1"})))


def test_all_predicates_of_a_source_must_hold() -> None:
    """One that says no is enough."""
    source = Source(PODS, for_object, (version_changed, generation_changed))

    assert list(source.keys(updated(a_pod(), a_pod(resourceVersion="8")))) == []
    assert list(source.keys(updated(a_pod(), a_pod(resourceVersion="8", generation=2)))) == [Ref("Pod", "ns", "a")]


@pytest.mark.spec("runtime:SRC-8")
def test_a_predicate_belongs_to_its_source_and_lets_another_of_the_same_kind_alone() -> None:
    """One controller may want every change of a child and only new generations of what it owns."""
    strict, open_ = Source(PODS, for_object, (generation_changed,)), Source(PODS, for_object)
    change = updated(a_pod(), a_pod(resourceVersion="8"))

    assert list(strict.keys(change)) == []
    assert list(open_.keys(change)) == [Ref("Pod", "ns", "a")]


class _Part(FieldSet):
    phase: str = ""


def a_trimmed_pod(phase: str = "Running", node: str = "n", **metadata: Any) -> StoredRecord:
    metadata = {"name": "a", "namespace": "ns", "uid": "u", "resourceVersion": "7", **metadata}
    body = json.dumps({"kind": "Pod", "metadata": metadata, "phase": phase, "node": node}).encode()
    return record_of(PODS, body, Words(), msgspec.json.Decoder(_Part).decode)


@pytest.mark.parametrize(
    ("new", "counts"),
    [
        (a_trimmed_pod(resourceVersion="8", node="m"), False),
        (a_trimmed_pod(phase="Failed"), True),
        (a_trimmed_pod(labels={"a": "b"}), True),
        (a_trimmed_pod(annotations={"a": "b"}), True),
        (a_trimmed_pod(ownerReferences=[{"apiVersion": "v1", "kind": "K", "name": "n", "uid": "x"}]), True),
        (a_trimmed_pod(finalizers=["f"]), True),
        (a_trimmed_pod(deletionTimestamp="2026-01-01T00:00:00Z"), True),
    ],
)
def test_an_update_of_what_is_not_kept_counts_for_nothing(new: StoredRecord, counts: bool) -> None:
    """A version alone is no news; what a pass can see is."""
    assert kept_part_changed(updated(a_trimmed_pod(), new)) is counts


def test_without_a_field_set_each_new_version_may_be_news() -> None:
    """All of the object is kept then."""
    assert kept_part_changed(updated(a_pod(), a_pod(resourceVersion="8")))


@pytest.mark.parametrize(
    ("delta", "waits"),
    [
        (updated(a_trimmed_pod("Pending"), a_trimmed_pod("Running")), True),
        (updated(a_trimmed_pod("Pending"), a_trimmed_pod("Running", labels={"a": "b"})), False),
        (Delta(Kind.ADDED, None, a_trimmed_pod()), False),
        (Delta(Kind.DELETED, a_trimmed_pod(), None), False),
    ],
)
def test_a_source_says_which_deltas_can_wait(delta: Delta, waits: bool) -> None:
    """What comes and goes, and what people change, is looked at without delay."""
    source = Source(PODS, for_object, can_wait=~metadata_changed)

    assert source.delay(delta) == (LATER if waits else timedelta(0))
    assert Source(PODS, for_object).delay(delta) == timedelta(0)
