"""The states of the keys of a queue, against a model that is too simple to be wrong (invariants Q1 to Q8)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller.runtime.queue.line import AGING_SECONDS, LONGEST_DELAY_SECONDS, Line

KEYS = st.sampled_from(["a/1", "a/2", "a/3", "b/1", "c/1"])


def namespace(key: str) -> str:
    return key.partition("/")[0]


class Model(RuleBasedStateMachine):
    """Wishes per key, as a list; the line must hand out what the wishes allow and never lose one."""

    def __init__(self) -> None:
        super().__init__()
        self.line: Line[str] = Line(namespace)
        self.now = 0.0
        self.wished: dict[str, float] = {}  # the earliest time at which a get of the key is owed
        self.priority: dict[str, int] = {}
        self.order: list[str] = []  # ready keys, in order of becoming ready
        self.work: set[str] = set()
        self.adds = 0
        self.gets = 0

    @rule(key=KEYS, delay=st.sampled_from([0.0, 0.0, 1.0, 5.0, 20.0]), priority=st.sampled_from([0, 0, -100, 7]))
    def add(self, key: str, delay: float, priority: int) -> None:
        self.adds += 1
        if delay:
            delay += self.adds / 1000  # no two become ready at one time: their order would be anybody's
        self.line.add(key, self.now, delay=delay, priority=priority)
        owed = key in self.wished
        if key in self.order and priority > self.priority[key]:
            self.order.remove(key)
            self.order.append(key)  # WQ-6: at the tail of its new level
        if key not in self.order:
            self.wished[key] = min(self.wished.get(key, float("inf")), self.now + delay)
        self.priority[key] = max(self.priority[key], priority) if owed else priority
        self.note_ready()

    @rule(seconds=st.sampled_from([0.5, 3.0, 31.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.line.wake(self.now)
        self.note_ready()

    def note_ready(self) -> None:
        """Keys become ready in the order of their times."""
        due = [
            key for key, at in self.wished.items() if at <= self.now and key not in self.work and key not in self.order
        ]
        self.order += sorted(due, key=lambda key: self.wished[key])

    @rule()
    def take(self) -> None:
        taken = self.line.take(self.now)
        if taken is None:
            assert not self.order, "Q2: a ready key must be handed out"
            return
        key, priority, _ = taken
        assert key in self.order, "Q1, Q5: only a ready key, and none that is in work"
        best = max(self.priority[one] for one in self.order)
        assert priority == self.priority[key]
        same = [one for one in self.order if self.priority[one] == priority and namespace(one) == namespace(key)]
        if self.line._turn % 16:  # else it may be the turn of one that starves
            assert priority == best, "the highest level first"
            assert key == same[0], "Q4: inside a level and group, in order of becoming ready"
        self.order.remove(key)
        del self.wished[key], self.priority[key]
        self.work.add(key)
        self.gets += 1
        assert self.gets <= self.adds, "Q3: no phantom"

    @precondition(lambda self: self.work)
    @rule(data=st.data())
    def done(self, data: Any) -> None:
        key = data.draw(st.sampled_from(sorted(self.work)))
        self.work.remove(key)
        self.line.done(key, self.now)
        self.note_ready()

    @invariant()
    def agrees(self) -> None:
        assert sorted(key for key, _ in self.line.ready) == sorted(self.order), "Q8"
        assert set(self.line.in_work) == self.work
        waiting = [key for key in self.wished if key not in self.order and key not in self.work]
        assert self.line.waiting_count == len(waiting)
        if waiting:
            assert self.line.next_due() == min(self.wished[key] for key in waiting)

    def teardown(self) -> None:
        """Q2, Q7: everything owed is handed out in the end, and then nothing is left."""
        for key in list(self.work):
            self.line.done(key, self.now)
        self.now += LONGEST_DELAY_SECONDS
        self.line.wake(self.now)
        while (taken := self.line.take(self.now)) is not None:
            self.wished.pop(taken[0])
            self.line.done(taken[0], self.now)
        assert not self.wished
        assert self.line.next_due() is None
        assert self.line.residue == 0


TestQueueAgainstItsModel = pytest.mark.spec("runtime:WQ-1", "runtime:WQ-2", "runtime:WQ-5")(Model.TestCase)


def taken(line: Line[str], now: float = 0.0, count: int = 1) -> list[str]:
    keys = []
    for _ in range(count):
        found = line.take(now)
        assert found is not None
        keys.append(found[0])
    return keys


@pytest.mark.spec("runtime:WQ-9")
def test_a_namespace_with_many_keys_does_not_make_another_wait() -> None:
    """Groups are served in turn."""
    line: Line[str] = Line(namespace)
    for n in range(100):
        line.add(f"big/{n}", 0.0)
    line.add("small/1", 0.0)

    assert taken(line, count=3) == ["big/0", "small/1", "big/1"]


@pytest.mark.spec("runtime:WQ-6", "runtime:WQ-7")
def test_a_higher_level_goes_first_and_a_raised_key_joins_its_tail() -> None:
    """After a restart with ten thousand objects a user's change is handled first."""
    line: Line[str] = Line()
    for key in ("old1", "old2", "old3"):
        line.add(key, 0.0, priority=-100)
    line.add("new", 0.0)
    line.add("old3", 0.0, priority=0)
    line.add("old3", 0.0, priority=-100)

    assert taken(line, count=4) == ["new", "old3", "old1", "old2"]


def test_a_cleared_line_forgets_also_what_is_wanted_again() -> None:
    """What is in work ends, and nothing begins."""
    line: Line[str] = Line()
    for key in ("in work", "ready"):
        line.add(key, 0.0)
    line.add("waiting", 0.0, delay=5)
    assert taken(line, count=1) == ["in work"]
    line.add("in work", 0.0)

    line.clear()
    line.done("in work", 0.0)

    assert line.residue == 0


@pytest.mark.spec("runtime:WQ-8")
def test_a_key_of_a_low_level_does_not_starve() -> None:
    """Every 16th turn is for the one that is ready longest, if that is long."""
    line: Line[str] = Line()
    line.add("low", 0.0, priority=-100)
    now = AGING_SECONDS + 1
    order = []
    for n in range(20):
        line.add(f"high{n}", now)
        order += taken(line, now)

    assert order.index("low") == 15


def test_a_delay_of_years_is_a_day() -> None:
    """Timers of absurd length have crashed others (WQ-10)."""
    line: Line[str] = Line()

    line.add("a", 0.0, delay=1e12)

    assert line.next_due() == LONGEST_DELAY_SECONDS


@pytest.mark.spec("runtime:WQ-10")
def test_times_that_were_overtaken_do_not_pile_up() -> None:
    """A key that is asked for a thousand times earlier has one wish."""
    line: Line[str] = Line()

    for n in range(10_000):
        line.add("a", 0.0, delay=20_000.0 - n)

    assert line.residue < 200
