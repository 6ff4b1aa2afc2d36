"""The store: versions, order, history, and what its window forgets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcluster.apiserver.store import Change, Entry, Expired, Store

PODS = "pods"


def entry(store: Store, name: str, namespace: str = "default", text: str = "{}") -> Entry:
    return Entry(namespace, name, f"uid-{name}", store.version + 1, text.encode(), {}, {})


def put(store: Store, name: str, namespace: str = "default", text: str = "{}") -> Change:
    return store.put(PODS, entry(store, name, namespace, text))


def names(store: Store, version: int | None = None, namespace: str = "", after: str = "") -> list[str]:
    return [one.key for one in store.snapshot(PODS, version).range(namespace, after)]


def test_every_commit_takes_the_next_version_whatever_its_collection() -> None:
    """Versions are comparable across kinds, as those of a real server are."""
    store = Store()

    first = put(store, "a")
    second = store.put("services", entry(store, "b"))

    assert (first.version, second.version, store.version) == (2, 3, 3)


def test_a_commit_of_another_than_the_next_version_is_refused() -> None:
    """A stale entry must not slip in."""
    store = Store()
    stale = entry(store, "a")
    put(store, "b")

    with pytest.raises(AssertionError):
        store.put(PODS, stale)


@pytest.mark.spec("kube-api:LIST-1")
def test_objects_are_listed_by_namespace_and_name_as_etcd_sorts_its_keys() -> None:
    """`a-b/x` comes before `a/x`: the keys are compared as text, and "-" sorts before "/"."""
    store = Store()
    for namespace, name in (("b", "x"), ("a", "z"), ("a-b", "x"), ("a", "y")):
        put(store, name, namespace)

    assert names(store) == ["a-b/x", "a/y", "a/z", "b/x"]
    assert names(store, namespace="a") == ["a/y", "a/z"]


def test_a_list_goes_on_after_the_key_it_stopped_at_even_if_that_is_gone() -> None:
    """Pages need the key only, not the object."""
    store = Store()
    for name in "abc":
        put(store, name)
    store.remove(PODS, entry(store, "b"))

    assert names(store, after="default/b") == ["default/c"]


def test_a_past_version_shows_what_was_there_then() -> None:
    """Created later: absent; deleted later: present; changed later: as it was."""
    store = Store()
    put(store, "kept", text="old")
    put(store, "gone")
    then = store.version
    put(store, "kept", text="new")
    store.remove(PODS, entry(store, "gone"))
    put(store, "new")

    past = {one.name: one.raw for one in store.snapshot(PODS, then).range()}

    assert past == {"kept": b"old", "gone": b"{}"}


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=30))
def test_every_past_version_is_what_it_was_when_it_was_the_present(steps: list[tuple[str, bool]]) -> None:
    """Undoing the history gives back each state on the way."""
    store = Store()
    states = {store.version: names(store)}
    for name, removes in steps:
        if removes and store.collection(PODS).get("default", name) is not None:
            store.remove(PODS, entry(store, name))
        else:
            put(store, name)
        states[store.version] = names(store)

    assert {version: names(store, version) for version in states} == states


def test_a_version_before_the_window_is_expired() -> None:
    """What was compacted is not invented."""
    store = Store()
    put(store, "a")
    then = store.version
    put(store, "b")
    store.compact()

    with pytest.raises(Expired):
        store.snapshot(PODS, then)
    assert names(store, store.version) == ["default/a", "default/b"]


def test_a_full_window_forgets_its_oldest_changes() -> None:
    """Memory is bounded without anybody compacting."""
    store = Store(window=10)
    for number in range(50):
        put(store, f"p{number}")

    collection = store.collection(PODS)

    with pytest.raises(Expired):
        collection.changes(0)
    assert len(collection.changes(collection.next_number - 10)) == 10


def test_a_reader_that_fell_behind_the_window_is_expired() -> None:
    """A watcher that read nothing for too long must list again instead of missing changes."""
    store = Store(window=5)
    put(store, "first")
    reading = store.collection(PODS).next_number
    for number in range(20):
        put(store, f"p{number}")

    with pytest.raises(Expired):
        store.collection(PODS).changes(reading)


@pytest.mark.spec("kube-api:WATCH-4")
def test_a_removal_is_a_change_with_a_version_of_its_own() -> None:
    """Its entry is the last state under the deletion's version, its previous one the state before."""
    store = Store()
    put(store, "a", text="last")
    gone = store.remove(PODS, entry(store, "a", text="last"))

    assert (gone.type, gone.version, gone.entry.version) == ("DELETED", 3, 3)
    assert gone.previous is not None
    assert gone.previous.version == 2


def test_what_is_not_there_cannot_be_removed() -> None:
    """The caller has looked before."""
    store = Store()

    with pytest.raises(KeyError):
        store.remove(PODS, entry(store, "a"))


def test_the_journal_hears_of_a_change_before_anybody_else() -> None:
    """A store on disk must know what a watcher has seen."""
    heard: list[str] = []
    store = Store(journal=lambda name, change: heard.append(f"journal {name} {change.type}"))
    store.collection(PODS).listeners[1] = lambda: heard.append("listener")

    put(store, "a")

    assert heard == ["journal pods ADDED", "listener"]
