"""The store never moves backwards, and its deltas tell its whole story."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.core import PODS
from api.meta import Ref
from controller.runtime.cache.record import StoredRecord, Words, record_of
from controller.runtime.cache.store import (
    BY_CONTROLLER,
    BY_NAMESPACE,
    BY_OWNER,
    Change,
    Delta,
    Kind,
    Rewound,
    Store,
    by_label,
)


def a_pod(name: str, rv: int, uid: str = "", label: str = "", owner: str = "", body: str = "") -> StoredRecord:
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "ns",
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(rv),
    }
    if label:
        metadata["labels"] = {"app": label}
    if owner:
        reference = {"apiVersion": "v1", "kind": "X", "name": "x"}
        metadata["ownerReferences"] = [
            {**reference, "uid": owner, "controller": True},
            {**reference, "uid": "second"},
        ]
    return record_of(PODS, json.dumps({"kind": "Pod", "metadata": metadata, "body": body}).encode(), Words())


class Told:
    """A store whose deltas are kept, with the state a reader saw at that moment."""

    def __init__(self) -> None:
        self.store = Store(PODS, indexes={"app": by_label("app")})
        self.deltas: list[Delta] = []
        self.rv_when_told: list[str] = []
        self.store.emit = self._emit

    def _emit(self, deltas: Sequence[Delta]) -> None:
        self.deltas += deltas
        self.rv_when_told.append(self.store.rv)

    def short(self) -> list[str]:
        told = [f"{one.kind.value} {one.record.ref.name}@{one.record.resource_version}" for one in self.deltas]
        self.deltas.clear()
        return told


def test_a_first_load_adds_everything_as_initial() -> None:
    """Initial deltas are queued with low priority."""
    told = Told()

    told.store.replace([a_pod("a", 3), a_pod("b", 2)], "5", consistent=True)

    assert all(delta.initial for delta in told.deltas)
    assert told.short() == ["added a@3", "added b@2"]
    assert told.store.rv == "5"


@pytest.mark.spec("runtime:STO-4", "runtime:STO-7")
def test_a_reload_tells_deletions_first_then_what_changed() -> None:
    """What vanished in the gap is a tombstone with the last state that we knew."""
    told = Told()
    told.store.replace([a_pod("a", 1), a_pod("b", 2), a_pod("c", 3)], "5", consistent=True)
    told.deltas.clear()

    told.store.replace([a_pod("c", 8), a_pod("a", 1), a_pod("d", 7)], "9", consistent=True)

    tombstone, *rest = told.deltas
    assert (tombstone.kind, tombstone.final_state_unknown) == (Kind.DELETED, True)
    assert [delta.same_version for delta in rest] == [False, True, False]
    assert not any(delta.initial for delta in rest)
    assert told.short() == ["deleted b@2", "updated c@8", "updated a@1", "added d@7"]


@pytest.mark.spec("runtime:STO-5")
def test_an_object_recreated_under_its_name_was_deleted_and_added() -> None:
    """Live and in a reload alike: two UIDs are two objects."""
    told = Told()
    told.store.replace([a_pod("a", 1, uid="u1")], "1", consistent=True)
    told.deltas.clear()

    told.store.apply([Change(a_pod("a", 5, uid="u2"))])
    assert [(one.kind, one.record.uid) for one in told.deltas] == [(Kind.DELETED, "u1"), (Kind.ADDED, "u2")]
    told.deltas.clear()
    told.store.replace([a_pod("a", 8, uid="u3")], "9", consistent=True)
    assert [(one.kind, one.record.uid) for one in told.deltas] == [(Kind.DELETED, "u2"), (Kind.ADDED, "u3")]


@pytest.mark.spec("runtime:STO-6")
def test_an_event_older_than_what_is_there_is_dropped_and_counted() -> None:
    """It would put the past in place of the present."""
    told = Told()
    told.store.apply([Change(a_pod("a", 5))])
    told.deltas.clear()

    told.store.apply([Change(a_pod("a", 4)), Change(a_pod("a", 4), deleted=True)])

    assert told.deltas == []
    assert told.store.dropped == 2
    assert told.store.get("ns", "a") is not None


@pytest.mark.spec("runtime:STO-2", "runtime:STO-3")
def test_a_batch_with_two_events_of_one_key_ends_with_the_last() -> None:
    """In the order of the stream; a reader who is told sees the store at that version or later."""
    told = Told()

    told.store.apply([Change(a_pod("a", 1)), Change(a_pod("a", 2)), Change(a_pod("a", 3), deleted=True)])

    assert told.short() == ["added a@1", "updated a@2", "deleted a@3"]
    assert told.store.get("ns", "a") is None
    assert told.rv_when_told == ["3"]


def test_an_event_delivered_twice_says_nothing_the_second_time() -> None:
    """No delta for an unchanged version."""
    told = Told()
    told.store.apply([Change(a_pod("a", 1))])
    told.deltas.clear()

    told.store.apply([Change(a_pod("a", 1))])

    assert told.deltas == []


@pytest.mark.spec("runtime:STO-9")
def test_a_list_older_than_the_store_is_refused_unless_it_is_consistent() -> None:
    """A lagging server, or a restored history: only a consistent list tells them apart."""
    told = Told()
    told.store.replace([a_pod("a", 90), a_pod("b", 80, body="x")], "100", consistent=True)
    told.deltas.clear()

    with pytest.raises(Rewound):
        told.store.replace([a_pod("a", 40)], "50", consistent=False)
    assert told.store.rv == "100"
    assert told.deltas == []

    told.store.replace([a_pod("a", 40), a_pod("b", 80, body="y")], "50", consistent=True)
    assert (told.store.epoch, told.store.rv) == (1, "50")
    assert told.short() == ["updated a@40", "updated b@80"], "an equal version may hide another content"


def test_a_bookmark_moves_the_version_and_nothing_else() -> None:
    """And never backwards."""
    told = Told()
    told.store.apply([Change(a_pod("a", 5))])
    told.deltas.clear()

    told.store.set_rv("9")
    told.store.set_rv("7")

    assert told.store.rv == "9"
    assert told.deltas == []


def test_opaque_versions_are_taken_as_they_come() -> None:
    """Without an order nothing is older (RV-4)."""
    told = Told()
    first = record_of(PODS, b'{"kind":"Pod","metadata":{"name":"a","uid":"u","resourceVersion":"x9"}}', Words())
    then = record_of(PODS, b'{"kind":"Pod","metadata":{"name":"a","uid":"u","resourceVersion":"x1"}}', Words())

    told.store.apply([Change(first)])
    told.store.apply([Change(then)])

    assert told.store.rv == "x1"


@pytest.mark.spec("runtime:IDX-1", "runtime:IDX-8")
def test_indexes_find_by_namespace_label_owner_and_controller() -> None:
    """An owner is found by its UID, whether it controls or not; a controller only as such."""
    store = Told().store
    store.apply([Change(a_pod("a", 1, label="x", owner="o"))])

    assert [one.ref.name for one in store.find(BY_NAMESPACE, "ns")] == ["a"]
    assert [one.ref.name for one in store.find("app", "x")] == ["a"]
    assert [one.ref.name for one in store.find(BY_OWNER, "second")] == ["a"]
    assert [one.ref.name for one in store.find(BY_CONTROLLER, "o")] == ["a"]
    assert store.find(BY_CONTROLLER, "second") == []


@pytest.mark.spec("runtime:IDX-5")
def test_what_was_found_is_a_snapshot() -> None:
    """Later changes do not alter it, nor does altering it change the store."""
    store = Told().store
    store.apply([Change(a_pod("a", 1)), Change(a_pod("b", 2))])

    found = list(store.find(BY_NAMESPACE, "ns"))
    everything = store.all()
    store.apply([Change(a_pod("a", 3), deleted=True), Change(a_pod("c", 4))])
    found.clear()

    assert [one.ref.name for one in everything] == ["a", "b"]
    assert [one.ref.name for one in store.find(BY_NAMESPACE, "ns")] == ["b", "c"]
    assert len(store) == 2


@pytest.mark.spec("runtime:IDX-7")
def test_an_index_that_nobody_declared_is_an_error_and_no_scan() -> None:
    """A silent full scan would work in tests and crawl in production."""
    with pytest.raises(LookupError, match="no index 'node'"):
        Told().store.find("node", "n1")


@pytest.mark.spec("runtime:IDX-4")
def test_an_index_function_that_fails_has_no_values_and_stops_nothing() -> None:
    """One bad object must not stop the cache."""
    store = Told().store

    store.add_index("bad", lambda record: (record.labels["missing"],))
    store.apply([Change(a_pod("a", 1))])

    assert store.get("ns", "a") is not None


NAMES = st.sampled_from("abcd")
EVENTS = st.lists(
    st.tuples(NAMES, st.booleans(), st.sampled_from(["", "x", "y"]), st.sampled_from(["", "o1", "o2"])), max_size=25
)


@pytest.mark.spec("runtime:IDX-2", "runtime:IDX-3", "runtime:STO-1")
@given(EVENTS, st.sets(NAMES))
def test_after_any_history_indexes_agree_with_a_scan_and_deltas_fold_to_the_store(
    events: list[tuple[str, bool, str, str]], reloaded: set[str]
) -> None:
    """An index added late agrees too; no empty set is left behind."""
    told = Told()
    for rv, (name, deleted, label, owner) in enumerate(events, start=1):
        told.store.apply([Change(a_pod(name, rv, label=label, owner=owner), deleted=deleted)])
    told.store.replace(
        [a_pod(name, 100 + n, label="x") for n, name in enumerate(sorted(reloaded))], "200", consistent=True
    )
    told.store.add_index("late", by_label("app"))

    folded: dict[Ref, str] = {}
    for delta in told.deltas:
        if delta.kind is Kind.DELETED:
            del folded[delta.record.ref]
        else:
            folded[delta.record.ref] = delta.record.resource_version
    everything = told.store.all()
    assert folded == {record.ref: record.resource_version for record in everything}
    for value in ("x", "y"):
        expected = {record.ref for record in everything if record.labels.get("app") == value}
        assert {record.ref for record in told.store.find("app", value)} == expected
        assert {record.ref for record in told.store.find("late", value)} == expected
    assert {record.ref.name for record in everything} == reloaded
    assert not any(index.sets.get("y") is not None and not index.sets["y"] for index in told.store._indexes.values())
    assert told.store.body_bytes == sum(len(record.body) for record in everything)
