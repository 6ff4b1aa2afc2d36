"""The ledger knows which of our own writes a cache has not seen yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from api.core import PODS, SERVICES
from api.meta import Ref
from controller.runtime.ledger import TTL_SECONDS, WRITER, Ledger

POD = Ref("Pod", "ns", "a")


@dataclass
class Cached:
    """One object as a store has it."""

    uid: str
    resource_version: str
    deletion_timestamp: str | None = None


@dataclass
class CacheAt:
    """A store that has come to `rv`, holding `objects`, and covering labels with app=ray."""

    rv: str
    objects: dict[Ref, Cached] = field(default_factory=dict)

    def seen(self, ref: Ref) -> Cached | None:
        return self.objects.get(ref)

    def covers(self, ref: Ref, labels: Mapping[str, str]) -> bool:
        return ref in self.objects or labels.get("app") == "ray"


def a_ledger() -> Ledger:
    ledger = Ledger()
    ledger.watch(PODS)
    return ledger


@pytest.mark.spec("runtime:RYW-1", "runtime:RYW-5", "runtime:RYW-6")
@pytest.mark.parametrize(
    ("cache", "settled"),
    [
        (CacheAt("9"), False),
        (CacheAt("10"), True),
        (CacheAt("11"), True),
        (CacheAt("9", {POD: Cached("u", "10")}), True),
        (CacheAt("9", {POD: Cached("u", "8")}), False),
    ],
)
def test_a_write_is_settled_when_the_store_or_the_object_has_come_to_its_version(cache: CacheAt, settled: bool) -> None:
    """The object's own version counts: on a quiet resource the store's moves only with the next bookmark."""
    ledger = a_ledger()
    ledger.wrote(ledger.begin(PODS, POD, 0.0), "10", {"app": "ray"})

    ledger.settle(PODS, cache, 1.0)

    assert (ledger.open(PODS, ref=POD) == ()) is settled


@pytest.mark.spec("runtime:RYW-2")
def test_a_write_under_way_stands_in_the_way_until_it_ends() -> None:
    """Its answer is not known, so no cache can be new enough."""
    ledger = a_ledger()
    entry = ledger.begin(PODS, POD, 0.0)

    ledger.settle(PODS, CacheAt("999"), 1.0)

    assert ledger.open(PODS, ref=POD)
    ledger.failed(entry)
    assert not ledger.open(PODS, ref=POD)


@pytest.mark.spec("runtime:RYW-3")
@pytest.mark.parametrize(
    ("cached", "settled"),
    [
        (None, True),
        (Cached("other", "12"), True),
        (Cached("u", "8"), False),
        (Cached("u", "8", deletion_timestamp="2026-01-01T00:00:00Z"), True),
    ],
)
def test_a_deleted_uid_must_leave_the_store_or_be_on_its_way_out(cached: Cached | None, settled: bool) -> None:
    """A Status as answer has no version that a store could reach."""
    ledger = a_ledger()
    ledger.deleted(ledger.begin(PODS, POD, 0.0, uid="u"), "u")

    ledger.settle(PODS, CacheAt("9", {POD: cached} if cached else {}), 1.0)

    assert (ledger.open(PODS, ref=POD) == ()) is settled


def test_a_deletion_that_only_marked_the_object_is_an_ordinary_write() -> None:
    """With finalizers or a grace period the answer is the object, and it has a version."""
    ledger = a_ledger()
    ledger.deleted(ledger.begin(PODS, POD, 0.0, uid="u"), "u", "12")

    ledger.settle(PODS, CacheAt("11", {POD: Cached("u", "8")}), 1.0)
    assert ledger.open(PODS, ref=POD)
    ledger.settle(PODS, CacheAt("12", {POD: Cached("u", "12", deletion_timestamp="x")}), 1.0)
    assert not ledger.open(PODS, ref=POD)


@pytest.mark.spec("runtime:RYW-4")
def test_a_lost_answer_is_settled_by_a_live_look_and_nothing_else() -> None:
    """No version of any store tells whether the write happened."""
    ledger = a_ledger()
    ledger.lost(ledger.begin(PODS, POD, 0.0))
    ledger.settle(PODS, CacheAt("999"), 1.0)
    (entry,) = ledger.open(PODS, ref=POD)
    assert entry.uncertain

    ledger.looked(entry, "1000", {"app": "ray"})

    (entry,) = ledger.open(PODS, ref=POD)
    assert not entry.uncertain
    assert ledger.settle_one(entry, CacheAt("1000"))


def test_a_live_look_that_finds_nothing_asks_the_store_to_lose_what_it_still_has() -> None:
    """Else the next read would find an object that is gone."""
    ledger = a_ledger()
    ledger.lost(ledger.begin(PODS, POD, 0.0))
    (entry,) = ledger.open(PODS, ref=POD)

    ledger.looked(entry, None, {}, uid="u")

    assert not ledger.settle_one(entry, CacheAt("9", {POD: Cached("u", "8")}))
    assert ledger.settle_one(entry, CacheAt("9"))


def test_a_live_look_that_finds_nothing_ends_the_wait_for_an_earlier_version() -> None:
    """It was written, and then deleted by somebody: that version may never arrive."""
    ledger = a_ledger()
    ledger.wrote(ledger.begin(PODS, POD, 0.0), "10", {"app": "ray"})
    ledger.lost(ledger.begin(PODS, POD, 1.0))
    (entry,) = ledger.open(PODS, ref=POD)

    ledger.looked(entry, None, {})

    assert not ledger.open(PODS, ref=POD)


def test_a_refused_deletion_is_not_waited_for() -> None:
    """The object stays where it is."""
    ledger = a_ledger()

    ledger.failed(ledger.begin(PODS, POD, 0.0, uid="u"), "u")

    assert not ledger.open(PODS, ref=POD)


def test_a_write_under_way_does_not_expire() -> None:
    """However long it hangs: nobody can tell yet what will have to be waited for."""
    ledger = a_ledger()
    ledger.begin(PODS, POD, 0.0)

    ledger.settle(PODS, CacheAt("9"), 1000.0)

    assert ledger.open(PODS, ref=POD)
    assert ledger.expired == 0


@pytest.mark.spec("runtime:RYW-8")
def test_an_object_that_the_selector_hides_is_not_waited_for() -> None:
    """It will never arrive; but one that was in the store will leave it, and that does arrive."""
    ledger = a_ledger()
    ledger.wrote(ledger.begin(PODS, POD, 0.0), "10", {"app": "other"})
    ledger.settle(PODS, CacheAt(""), 1.0)
    assert ledger.open(PODS, ref=POD), "before the first load nothing is known"

    ledger.settle(PODS, CacheAt("9", {POD: Cached("u", "8")}), 1.0)
    assert ledger.open(PODS, ref=POD)
    ledger.settle(PODS, CacheAt("9"), 1.0)
    assert not ledger.open(PODS, ref=POD)


@pytest.mark.spec("runtime:RYW-5")
def test_an_entry_that_is_never_reached_goes_after_five_minutes_and_is_counted() -> None:
    """It must not happen; if it does, it must not block reads for ever."""
    ledger = a_ledger()
    ledger.wrote(ledger.begin(PODS, POD, 0.0), "10", {"app": "ray"})

    ledger.settle(PODS, CacheAt("9"), 299)
    assert ledger.open(PODS, ref=POD)
    ledger.settle(PODS, CacheAt("9"), 300)
    assert not ledger.open(PODS, ref=POD)
    assert ledger.expired == 1


def test_a_read_through_an_owner_waits_for_that_owners_writes_only() -> None:
    """One hanging write delays one object (design.md §2)."""
    ledger = a_ledger()
    ledger.begin(PODS, POD, 0.0, owner_uid="mine")
    ledger.begin(PODS, Ref("Pod", "ns", "b"), 0.0, owner_uid="theirs")

    assert [entry.ref.name for entry in ledger.open(PODS, owner_uid="mine")] == ["a"]
    ledger.begin(PODS, POD, 1.0)
    assert [entry.ref.name for entry in ledger.open(PODS, owner_uid="mine")] == ["a"], (
        "a later write does not say whose"
    )
    assert [entry.ref.name for entry in ledger.open(PODS, namespace="ns")] == ["a", "b"]
    assert ledger.open(PODS, namespace="elsewhere") == []


def test_writes_to_kinds_that_nobody_watches_are_not_kept() -> None:
    """Nothing would ever take them away."""
    ledger = a_ledger()

    ledger.wrote(ledger.begin(SERVICES, Ref("Service", "ns", "a"), 0.0), "10", {})

    assert list(ledger) == []


def test_two_writes_of_one_object_require_the_later_version() -> None:
    """Answers may come in any order."""
    ledger = a_ledger()
    first, second = ledger.begin(PODS, POD, 0.0), ledger.begin(PODS, POD, 0.0)
    ledger.wrote(second, "12", {"app": "ray"})
    ledger.settle(PODS, CacheAt("11"), 1.0)
    ledger.wrote(first, "10", {"app": "ray"})

    ledger.settle(PODS, CacheAt("11"), 1.0)
    assert ledger.open(PODS, ref=POD)
    ledger.settle(PODS, CacheAt("12"), 1.0)
    assert not ledger.open(PODS, ref=POD)


@pytest.mark.spec("runtime:RYW-5")
def test_after_a_rewound_history_versions_written_before_mean_nothing() -> None:
    """A restored server counts from where the backup was (STO-9)."""
    ledger = a_ledger()
    ledger.wrote(ledger.begin(PODS, POD, 0.0), "1000", {"app": "ray"})

    ledger.forget(PODS)

    assert list(ledger) == []


def test_an_opaque_version_is_not_waited_for() -> None:
    """Without an order there is nothing to wait for (RV-4)."""
    ledger = a_ledger()

    ledger.wrote(ledger.begin(PODS, POD, 0.0), "abc", {"app": "ray"})

    assert list(ledger) == []


def test_a_writer_is_released_when_the_last_of_its_writes_is_settled() -> None:
    """Once; what another wrote is not its business."""
    ledger = a_ledger()
    released: list[object] = []
    ledger.released = released.append
    token = WRITER.set("mine")
    first, second = (ledger.begin(PODS, ref, 0.0) for ref in (POD, Ref("Pod", "ns", "b")))
    WRITER.reset(token)
    ledger.begin(PODS, Ref("Pod", "ns", "c"), 0.0)

    ledger.failed(first)
    ledger.wrote(second, "10", {"app": "ray"})
    assert (released, len(ledger.of_writer("mine"))) == ([], 1)
    ledger.settle(PODS, CacheAt("10"), 1.0)

    assert (released, ledger.of_writer("mine")) == (["mine"], ())


def test_two_writers_of_one_object_are_both_released() -> None:
    """And an entry that expires lets go of its writers, too."""
    ledger = a_ledger()
    released: list[object] = []
    ledger.released = released.append
    for writer in ("one", "other"):
        token = WRITER.set(writer)
        ledger.wrote(ledger.begin(PODS, POD, 0.0), "10", {"app": "ray"})
        WRITER.reset(token)

    ledger.settle(PODS, CacheAt("9"), TTL_SECONDS)

    assert sorted(map(str, released)) == ["one", "other"]
    assert (ledger.of_writer("one"), ledger.of_writer("other")) == ((), ())
