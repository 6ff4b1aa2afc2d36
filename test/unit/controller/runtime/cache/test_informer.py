"""Listeners: each hears the whole story in order, however slow it is."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.core import PODS
from api.meta import Ref
from controller.runtime.background import background
from controller.runtime.cache.informer import Informer, Listener, Watched, merge
from controller.runtime.cache.record import StoredRecord, Words, record_of
from controller.runtime.cache.store import Change, Delta, Kind, Store
from controller.runtime.client.rest import Identity, RestClient
from controller.runtime.clock import SystemClock
from controller.runtime.metrics import Metrics
from localcluster.testing.scripted_api import ScriptedTransport


def a_pod(name: str, rv: int, uid: str = "") -> StoredRecord:
    metadata = {"name": name, "namespace": "ns", "uid": uid or f"uid-{name}", "resourceVersion": str(rv)}
    return record_of(PODS, json.dumps({"kind": "Pod", "metadata": metadata}).encode(), Words())


def an_informer() -> Informer:
    client = RestClient(ScriptedTransport(), clock=SystemClock(), identity=Identity("op", "1"))
    return Informer(
        Watched(PODS),
        client,
        namespace=None,
        clock=SystemClock(),
        rng=random.Random(1),
        metrics=Metrics(),
        loads=asyncio.Semaphore(4),
    )


def told(delta: Delta) -> str:
    return f"{delta.kind.value} {delta.record.ref.name}@{delta.record.resource_version}"


OLD, NEW, NEWER = a_pod("a", 1), a_pod("a", 2), a_pod("a", 3)
ADDED, UPDATED = Delta(Kind.ADDED, None, OLD, initial=True), Delta(Kind.UPDATED, OLD, NEW)
DELETED = Delta(Kind.DELETED, NEW, None)


@pytest.mark.spec("runtime:INF-5")
@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [
        (ADDED, UPDATED, (Delta(Kind.ADDED, None, NEW),)),
        (UPDATED, Delta(Kind.UPDATED, NEW, NEWER), (Delta(Kind.UPDATED, OLD, NEWER),)),
        (UPDATED, DELETED, (DELETED,)),
        (ADDED, DELETED, ()),
        (DELETED, ADDED, (DELETED, ADDED)),
    ],
)
def test_two_deltas_of_a_key_come_to_what_the_table_says(
    first: Delta, then: Delta, expected: tuple[Delta, ...]
) -> None:
    """`initial` survives only if all were initial."""
    assert merge(first, then) == expected


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["put", "drop", "recreate"]), st.booleans())))
def test_whatever_is_merged_folding_what_was_told_gives_the_store(history: list[tuple[str, str, bool]]) -> None:
    """The listener takes a few deltas now and then; nothing is lost, and the buffer is bounded by the keys."""
    store = Store(PODS)
    folded: dict[Ref, str] = {}

    def tell(delta: Delta) -> None:
        if delta.kind is Kind.DELETED:
            del folded[delta.record.ref]
        else:
            folded[delta.record.ref] = delta.record.uid + delta.record.resource_version

    listener = Listener("l", tell)

    def offer(deltas: Sequence[Delta]) -> None:
        listener.offer(deltas, loaded=True)

    store.emit = offer
    for rv, (name, what, listens) in enumerate(history, start=1):
        uid = f"{name}{rv}" if what == "recreate" else f"{name}"
        store.apply([Change(a_pod(name, rv, uid), deleted=what == "drop")])
        assert listener.backlog <= 2
        if listens and listener._buffer:
            listener._tell_next()
    while listener._buffer:
        listener._tell_next()

    assert folded == {record.ref: record.uid + record.resource_version for record in store.all()}


@pytest.mark.looptime
@pytest.mark.spec("runtime:INF-3", "runtime:INF-7")
async def test_one_who_comes_late_is_told_everything_first_as_initial() -> None:
    """And is synced once that was told, not before."""
    informer = an_informer()
    informer.store.replace([a_pod("a", 1), a_pod("b", 2)], "5", consistent=True)
    heard: list[tuple[str, bool]] = []

    listener = informer.listen("late", lambda delta: heard.append((told(delta), delta.initial)))
    informer.store.apply([Change(a_pod("c", 6))])
    assert not listener.synced.is_set()
    async with background(("late", listener.run())):
        await listener.synced.wait()
        assert heard[:2] == [("added a@1", True), ("added b@2", True)]
        await asyncio.sleep(0.1)

    assert heard[2:] == [("added c@6", False)]


@pytest.mark.looptime
async def test_a_listener_is_synced_when_the_first_load_was_told_even_if_it_is_empty() -> None:
    """An empty collection is a collection."""
    informer = an_informer()
    listener = informer.listen("l", lambda delta: None)
    async with background(("l", listener.run())):
        await asyncio.sleep(1)
        assert not listener.synced.is_set()
        informer.store.replace([], "5", consistent=True)
        await asyncio.sleep(1)

        assert listener.synced.is_set()


@pytest.mark.looptime
@pytest.mark.spec("runtime:INF-4", "runtime:INF-6", "runtime:REF-19")
async def test_fault_f13_one_listener_that_fails_or_is_stuck_delays_nobody_else() -> None:
    """The next delta follows the one that raised."""
    informer = an_informer()
    heard: list[str] = []

    def fail(delta: Delta) -> None:
        raise ValueError(delta.record.ref.name)

    failing = informer.listen("failing", fail)
    stuck = informer.listen("stuck", lambda delta: None)  # its task never runs
    good = informer.listen("good", lambda delta: heard.append(told(delta)))
    async with background(("failing", failing.run()), ("good", good.run())):
        informer.store.replace([a_pod("a", 1)], "5", consistent=True)
        informer.store.apply([Change(a_pod("a", 6)), Change(a_pod("b", 7))])
        await asyncio.sleep(0.1)

        assert failing.backlog == 0
        assert heard == ["added a@6", "added b@7"]
        assert stuck.backlog == 2


@pytest.mark.looptime
@pytest.mark.spec("runtime:INF-8")
async def test_a_listener_may_remove_itself_while_it_is_told_something() -> None:
    """Nothing more is told, and its task ends."""
    informer = an_informer()
    heard: list[str] = []

    def once(delta: Delta) -> None:
        heard.append(told(delta))
        informer.unlisten(listener)

    listener = informer.listen("once", once)
    async with asyncio.TaskGroup() as group:
        group.create_task(listener.run())
        informer.store.replace([a_pod("a", 1), a_pod("b", 2)], "5", consistent=True)

    assert heard == ["added a@1"]
