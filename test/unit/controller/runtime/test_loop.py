"""One controller: what becomes of a key, and that a worker never dies of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
import structlog

from api.core import PODS, SERVICES
from api.meta import Json, Ref
from controller.runtime.brake import BURST
from controller.runtime.cache.caches import Caches
from controller.runtime.cache.informer import Watched
from controller.runtime.client.rest import Identity, RestClient
from controller.runtime.client.status import refusal
from controller.runtime.clock import SystemClock
from controller.runtime.errors import Conflict, StaleCache, Terminal
from controller.runtime.handlers import Source, for_object, labels_changed
from controller.runtime.loop import Controller, CutShort
from controller.runtime.metrics import Metrics
from controller.runtime.plan import AGAIN, DONE, Result, after
from localcluster.testing.scripted_api import Exchange, ScriptedTransport, Stream, status

pytestmark = pytest.mark.looptime

A = Ref("Pod", "ns", "a")
Pass = Callable[[Ref], Awaitable[Result]]


class Script:
    """A reconciler that does, pass after pass, what it is told; after that, nothing."""

    def __init__(self, *passes: Pass) -> None:
        self.passes = list(passes)
        self.started: list[tuple[float, str]] = []

    async def reconcile(self, key: Ref) -> Result:
        self.started.append((asyncio.get_running_loop().time(), key.name))
        if self.passes:
            return await self.passes.pop(0)(key)
        return DONE

    @property
    def looks(self) -> list[tuple[int, str]]:
        """Second and name of each pass."""
        return [(round(at), name) for at, name in self.started]

    @property
    def pauses(self) -> list[float]:
        times = [at for at, _ in self.started]
        return [then - at for at, then in pairwise(times)]


def returning(result: Result) -> Pass:
    async def one(key: Ref) -> Result:
        return result

    return one


def raising(error: BaseException) -> Pass:
    async def one(key: Ref) -> Result:
        raise error

    return one


def taking(seconds: float) -> Pass:
    async def one(key: Ref) -> Result:
        await asyncio.sleep(seconds)
        return DONE

    return one


class Running:
    def __init__(self, reconciler: Script, **options: Any) -> None:
        self.metrics = Metrics()
        self.streams: list[Stream] = []
        self.script = reconciler
        clock, rng = SystemClock(), random.Random(1)
        self.client = RestClient(ScriptedTransport(self._respond), clock=clock, identity=Identity("op", "1"))
        self.caches = Caches(self.client, [Watched(PODS)], clock=clock, rng=rng, metrics=self.metrics)
        self.sources = [Source(PODS, for_object)]
        self.controller = Controller(
            "pods", reconciler, self.sources, clock=clock, rng=rng, metrics=self.metrics, **options
        )

    def _respond(self, exchange: Exchange) -> None:
        if not exchange.watches:
            exchange.answer(a_pod(exchange.body["metadata"]["name"], 20), 201)
            return
        stream = exchange.stream()
        self.streams.append(stream)
        stream.bookmark("Pod", "10", ends_initial_events=True)

    def count(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"controller": "pods", **labels})

    def results(self) -> dict[str, float]:
        found = {
            result: self.count("controller_runtime_reconcile_total", result=result) or 0.0
            for result in ("success", "error", "requeue_after")
        }
        return {result: count for result, count in found.items() if count}


@asynccontextmanager
async def running(*passes: Pass, **options: Any) -> AsyncIterator[Running]:
    at = Running(Script(*passes), **options)
    async with at.caches.running(), at.controller.running(at.caches):
        yield at


def a_pod(name: str, rv: int) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": str(rv)},
    }


def a_conflict() -> Conflict:
    error = refusal("patch", A, status(409, "Conflict"))
    assert isinstance(error, Conflict)
    return error


def write_and_come_back(at: Running) -> Pass:
    """A pass that writes something of a kind that is not watched, and is wanted again at once."""

    async def one(key: Ref) -> Result:
        await at.client.create(SERVICES, {"metadata": {"name": "b", "namespace": "ns"}})
        at.controller.wake(key)
        return DONE

    return one


@pytest.mark.spec("runtime:CTL-13")
async def test_what_is_written_over_and_over_is_slowed_down_and_told_once() -> None:
    """Somebody undoes it at once: no pass fails, so nothing else would slow it."""
    with structlog.testing.capture_logs() as logs:
        async with running() as at:
            at.script.passes = [write_and_come_back(at)] * 1000
            at.controller.wake(A)
            await asyncio.sleep(9.5)
            passes = len(at.script.started)

    assert BURST < passes <= BURST + 11
    assert [one["log_level"] for one in logs if "over and over" in one["event"]] == ["warning"]
    assert (at.count("controller_braked_total") or 0) >= 9


@pytest.mark.spec("runtime:CTL-13")
async def test_a_change_of_its_spec_is_worked_on_at_once() -> None:
    """Its user asks for something else: that is no quarrel."""
    async with running() as at:
        at.script.passes = [write_and_come_back(at)] * 1000
        for version, (event, generation) in enumerate((("ADDED", 1), ("MODIFIED", 1), ("MODIFIED", 2)), 11):
            pod = a_pod("a", version)
            pod["metadata"]["generation"] = generation
            before = len(at.script.started)
            at.streams[0].event(event, pod)
            await asyncio.sleep(0.1)
            made = len(at.script.started) - before
            assert made == (BURST + 1 if generation == 2 or event == "ADDED" else 0)


@pytest.mark.spec("runtime:CTL-13")
async def test_who_is_woken_often_and_writes_nothing_is_not_slowed() -> None:
    async with running() as at:

        async def come_back(key: Ref) -> Result:
            at.controller.wake(key)
            return DONE

        at.script.passes = [come_back] * 1000
        at.controller.wake(A)
        await asyncio.sleep(0.1)

    assert len(at.script.started) == 1001


@pytest.mark.spec("runtime:CTL-12", "runtime:SRC-1")
async def test_a_change_of_an_object_has_it_reconciled_by_name() -> None:
    """And a key that comes from elsewhere too."""
    async with running() as at:
        at.streams[0].event("ADDED", a_pod("a", 11))
        at.streams[0].event("MODIFIED", a_pod("a", 12))
        await asyncio.sleep(1)
        at.controller.wake(Ref("Pod", "ns", "b"))
        await asyncio.sleep(1)

        assert [name for _, name in at.script.started] == ["a", "b"], "two quick changes are one look"
        assert at.results() == {"success": 2}


@pytest.mark.spec("runtime:CTL-5")
@pytest.mark.parametrize(
    ("passes", "pauses", "results"),
    [
        ([returning(DONE)], [], {"success": 1}),
        ([returning(after(timedelta(seconds=9)))], [9.0], {"requeue_after": 1, "success": 1}),
        ([returning(AGAIN)], [0.0], {"requeue_after": 1, "success": 1}),
        ([raising(ValueError("x"))], [0.005], {"error": 1, "success": 1}),
        ([raising(ValueError("x"))] * 3, [0.005, 0.01, 0.02], {"error": 3, "success": 1}),
        ([returning(after(timedelta(seconds=9), error=ValueError("x")))], [0.005], {"error": 1, "success": 1}),
        ([returning(after(timedelta(seconds=0.001), error=ValueError("x")))], [0.001], {"error": 1, "success": 1}),
        ([raising(Terminal("spec is wrong"))], [], {"error": 1}),
        ([raising(StaleCache("lags"))], [1.0], {"requeue_after": 1, "success": 1}),
        ([raising(a_conflict())], [0.005], {"error": 1, "success": 1}),
        ([raising(asyncio.CancelledError())], [0.005], {"error": 1, "success": 1}),
    ],
)
async def test_a_key_becomes_what_the_table_says(passes: list[Pass], pauses: list[float], results: Any) -> None:
    """Forgotten, looked at again, or backed off."""
    async with running(*passes) as at:
        at.controller.wake(A)
        await asyncio.sleep(60)

        assert at.script.pauses == pytest.approx(pauses, rel=0.11, abs=0.0005)
        assert at.results() == results


async def test_a_pass_that_only_recorded_leaves_the_back_off_as_it_is() -> None:
    """Neither reset nor advanced (design W5): a refused name must not turn into a tight loop."""
    fail, again = raising(ValueError("x")), returning(AGAIN)
    async with running(fail, fail, again, fail, again, fail) as at:
        at.controller.wake(A)
        await asyncio.sleep(60)

        assert at.script.pauses == pytest.approx([0.005, 0.01, 0.0, 0.02, 0.0, 0.04], rel=0.11, abs=0.0005)


async def test_a_pass_that_asks_to_look_again_later_went_well() -> None:
    """The back-off starts anew."""
    fail, later = raising(ValueError("x")), returning(after(timedelta(seconds=9)))
    async with running(fail, fail, later, fail) as at:
        at.controller.wake(A)
        await asyncio.sleep(60)

        assert at.script.pauses == pytest.approx([0.005, 0.01, 9.0, 0.005], rel=0.11, abs=0.0005)


async def test_a_stale_cache_is_no_failure() -> None:
    """The failure count stays as it is."""
    async with running(raising(ValueError("x")), raising(StaleCache("lags")), raising(ValueError("x"))) as at:
        at.controller.wake(A)
        await asyncio.sleep(60)

        assert at.script.pauses == pytest.approx([0.005, 1.0, 0.01], rel=0.11, abs=0.0005)


async def test_a_server_that_says_how_long_is_obeyed() -> None:
    """Its wish counts no failure (RL-5)."""
    wish = refusal("create", A, status(429, "TooManyRequests"), 17.0)
    async with running(raising(wish), raising(ValueError("x"))) as at:
        at.controller.wake(A)
        await asyncio.sleep(60)

        assert at.script.pauses[0] == pytest.approx(17.0, rel=0.11)
        assert at.script.pauses[1] == pytest.approx(0.005, rel=0.11)


@pytest.mark.spec("runtime:CTL-7")
async def test_a_reconcile_that_takes_too_long_is_cancelled_and_counted() -> None:
    """Two minutes; then it is a failure like any other."""
    async with running(taking(1000)) as at:
        at.controller.wake(A)
        await asyncio.sleep(119)
        assert at.results() == {}
        await asyncio.sleep(2)

        assert at.results() == {"error": 1, "success": 1}
        assert at.count("controller_runtime_reconcile_timeouts_total") == 1


async def test_a_time_limit_inside_the_reconcile_is_not_taken_for_ours() -> None:
    """It is an ordinary failure."""
    async with running(raising(TimeoutError("a request of its own"))) as at:
        at.controller.wake(A)
        await asyncio.sleep(10)

        assert at.results() == {"error": 1, "success": 1}
        assert at.count("controller_runtime_reconcile_timeouts_total") == 0


@pytest.mark.spec("runtime:CTL-6")
@pytest.mark.parametrize(
    ("error", "panics", "retried"),
    [
        (ExceptionGroup("g", [a_conflict(), Terminal("x")]), 0, True),
        (ExceptionGroup("g", [Terminal("x"), a_conflict()]), 0, True),
        (ExceptionGroup("g", [Terminal("x"), ExceptionGroup("h", [Terminal("y")])]), 0, False),
        (ExceptionGroup("g", [Terminal("x"), KeyError("bug")]), 1, True),
        (TypeError("bug"), 1, True),
        (AssertionError("bug"), 1, True),
        (OSError("no bug"), 0, True),
    ],
)
async def test_any_exception_is_contained_and_a_bug_is_counted_as_one(
    error: Exception, panics: int, retried: bool
) -> None:
    """A group is terminal only if all of it is."""
    async with running(raising(error)) as at:
        at.controller.wake(A)
        await asyncio.sleep(10)

        assert len(at.script.started) == (2 if retried else 1)
        assert at.count("controller_runtime_reconcile_panics_total") == panics


@pytest.mark.spec("runtime:CTL-9")
async def test_no_key_is_reconciled_twice_at_a_time_and_no_more_keys_than_there_are_workers() -> None:
    """A slow key delays nobody as long as there are workers."""
    async with running(*[taking(10)] * 5, workers=3) as at:
        for _ in range(3):
            at.controller.wake(A)
        for name in "bcd":
            at.controller.wake(Ref("Pod", "ns", name))
        await asyncio.sleep(1)
        at.controller.wake(A)
        await asyncio.sleep(1)

        assert len(at.script.started) == 3
        assert at.count("controller_runtime_active_workers") == 3
        assert at.count("controller_runtime_max_concurrent_reconciles") == 3
        await asyncio.sleep(9)
        assert [name for _, name in at.script.started] == ["a", "b", "c", "d", "a"]


async def test_when_the_block_ends_running_reconciles_finish_and_no_new_ones_start() -> None:
    """The queue is drained, not emptied by working it off."""
    async with running(taking(20), workers=1) as at:
        at.controller.wake(A)
        await asyncio.sleep(1)
        at.controller.wake(Ref("Pod", "ns", "b"))
    assert [name for _, name in at.script.started] == ["a"]
    assert at.results() == {"success": 1}


async def test_a_reconcile_that_outlives_the_grace_is_cancelled_and_not_counted() -> None:
    """Thirty seconds are what the end may take; that it was cut short is no orderly end."""
    seen: list[Running] = []

    async def whole() -> None:
        async with running(taking(1000)) as at:
            seen.append(at)
            at.controller.wake(A)
            await asyncio.sleep(1)

    with pytest.raises(ExceptionGroup) as caught:
        await whole()

    (at,) = seen
    assert caught.value.subgroup(CutShort) is not None
    assert asyncio.get_running_loop().time() == pytest.approx(31, abs=1)
    assert at.results() == {}


@pytest.mark.spec("runtime:SRC-5", "runtime:SRC-2", "runtime:CTL-1")
async def test_what_was_there_at_the_start_waits_behind_what_changes_now() -> None:
    """After a restart a user's change is handled first."""
    at = Running(Script(), workers=1)
    async with at.caches.running():
        for n in range(3):
            at.streams[0].event("ADDED", a_pod(f"old{n}", 11 + n))
        await asyncio.sleep(1)
        at.controller.wake(Ref("Pod", "ns", "new"))
        async with at.controller.running(at.caches):
            await asyncio.sleep(1)
    assert [name for _, name in at.script.started] == ["new", "old0", "old1", "old2"]


@pytest.mark.spec("runtime:SRC-7")
async def test_a_predicate_that_fails_lets_the_object_itself_through() -> None:
    """Rather look once too often."""
    at = Running(Script())
    broken = Source(PODS, for_object, (lambda delta: 1 / 0,))  # type: ignore[arg-type]
    controller = Controller(
        "broken", at.script, [broken], clock=SystemClock(), rng=random.Random(1), metrics=at.metrics
    )
    async with at.caches.running(), controller.running(at.caches):
        at.streams[0].event("ADDED", a_pod("a", 11))
        await asyncio.sleep(1)
    assert [name for _, name in at.script.started] == ["a"]


async def test_updates_that_can_wait_make_one_look_together_and_none_waits_longer_than_the_first() -> None:
    """A pod that comes up is changed many times in a second."""
    at = Running(Script())
    source = Source(PODS, for_object, can_wait=~labels_changed)
    controller = Controller("calm", at.script, [source], clock=SystemClock(), rng=random.Random(1), metrics=at.metrics)
    async with at.caches.running(), controller.running(at.caches):
        at.streams[0].event("ADDED", a_pod("a", 11))
        for version in (12, 13, 14):
            await asyncio.sleep(0.4)
            at.streams[0].event("MODIFIED", a_pod("a", version))
        await asyncio.sleep(10)
    assert [at for at, _ in at.script.started] == pytest.approx([0, 1.4], abs=0.01)


async def test_what_cannot_wait_takes_along_what_waits() -> None:
    """One look sees all that changed before it."""
    at = Running(Script())
    source = Source(PODS, for_object, can_wait=~labels_changed)
    controller = Controller("calm", at.script, [source], clock=SystemClock(), rng=random.Random(1), metrics=at.metrics)
    labelled = a_pod("a", 13)
    labelled["metadata"]["labels"] = {"a": "b"}
    async with at.caches.running(), controller.running(at.caches):
        at.streams[0].event("ADDED", a_pod("a", 11))
        await asyncio.sleep(1)
        at.streams[0].event("MODIFIED", a_pod("a", 12))
        await asyncio.sleep(0.2)
        at.streams[0].event("MODIFIED", labelled)
        await asyncio.sleep(10)
    assert [at for at, _ in at.script.started] == pytest.approx([0, 1.2], abs=0.01)


@pytest.mark.spec("runtime:CTL-3")
async def test_the_series_of_a_controller_exist_before_anything_happens() -> None:
    """A dashboard shows zero, not nothing."""
    at = Running(Script())

    for result in ("success", "error", "requeue", "requeue_after"):
        assert at.count("controller_runtime_reconcile_total", result=result) == 0
    assert at.count("controller_runtime_reconcile_panics_total") == 0
    assert at.count("controller_runtime_terminal_reconcile_errors_total") == 0


@pytest.mark.spec("runtime:CTL-4", "runtime:CTL-11")
async def test_each_reconcile_has_an_id_in_its_trace_and_in_all_its_log_lines() -> None:
    """Also in those of the rooms it calls."""
    spans: list[tuple[str, str, str]] = []
    bound: list[dict[str, Any]] = []

    @contextmanager
    def trace(controller: str, key: Ref, reconcile_id: str) -> Iterator[None]:
        spans.append((controller, key.name, reconcile_id))
        yield

    async def look(key: Ref) -> Result:
        bound.append(dict(structlog.contextvars.get_contextvars()))
        return DONE

    async with running(look, look, tracer=trace) as at:
        at.controller.wake(A)
        at.controller.wake(Ref("Pod", "ns", "b"))
        await asyncio.sleep(1)

    assert [one[:2] for one in spans] == [("pods", "a"), ("pods", "b")]
    assert [one["reconcile_id"] for one in bound] == [one[2] for one in spans]
    assert spans[0][2] != spans[1][2]
    assert (bound[0]["namespace"], bound[0]["name"], bound[0]["attempt"]) == ("ns", "a", 1)
    assert "reconcile_id" not in structlog.contextvars.get_contextvars()


async def test_a_controller_that_ended_is_told_nothing_more() -> None:
    """Else its buffers would fill for as long as the caches live."""
    at = Running(Script())
    async with at.caches.running():
        async with at.controller.running(at.caches):
            at.streams[0].event("ADDED", a_pod("a", 11))
            await asyncio.sleep(1)
        at.streams[0].event("ADDED", a_pod("b", 12))
        await asyncio.sleep(1)
        (informer,) = at.caches.informers(PODS)

        assert informer.listeners == 0
    assert [name for _, name in at.script.started] == ["a"]


# The gate: what a pass wrote comes in before the next one looks


def creating(at: list[Running], then: Pass) -> Pass:
    """A pass that creates a pod and goes on; the server answers at once, the cache hears of it later."""

    async def one(key: Ref) -> Result:
        await at[0].client.create(PODS, a_pod("child", 0))
        return await then(key)

    return one


@asynccontextmanager
async def writing(*then: Pass, **options: Any) -> AsyncIterator[Running]:
    """Each pass creates a pod first."""
    place: list[Running] = []
    async with running(*(creating(place, one) for one in then), **options) as at:
        place.append(at)
        yield at


@pytest.mark.spec("runtime:RYW-11")
async def test_a_key_waits_without_a_worker_until_the_cache_has_what_its_last_pass_wrote() -> None:
    """The event that brings it wakes the key; the only worker does other work meanwhile."""
    async with writing(returning(DONE), workers=1) as at:
        at.controller.wake(A)
        await asyncio.sleep(1)
        at.controller.wake(A)
        at.controller.wake(Ref("Pod", "ns", "b"))
        await asyncio.sleep(2)
        at.streams[0].event("ADDED", a_pod("child", 20))
        await asyncio.sleep(60)

        assert at.script.looks[:2] == [(0, "a"), (1, "b")]
        assert sorted(at.script.looks[2:]) == [(3, "a"), (3, "child")]
        assert at.count("controller_stale_gate_parked_total") == 1
        assert at.count("controller_stale_gate_timeouts_total") == 0


@pytest.mark.spec("runtime:RYW-11")
async def test_a_key_waits_for_five_seconds_at_most_however_often_it_is_woken() -> None:
    """Then its reads wait themselves."""
    async with writing(returning(DONE), workers=1) as at:
        at.controller.wake(A)
        for _ in range(4):
            await asyncio.sleep(1)
            at.controller.wake(A)
        await asyncio.sleep(60)

        assert at.script.looks == [(0, "a"), (6, "a")]
        assert at.count("controller_stale_gate_parked_total") == 1
        assert at.count("controller_stale_gate_timeouts_total") == 1


@pytest.mark.spec("runtime:RYW-12")
async def test_to_wait_for_the_cache_counts_neither_as_a_failure_nor_as_a_success() -> None:
    """The back-off goes on where it was."""

    async def failing(key: Ref) -> Result:
        if key == A:
            raise ValueError("x")
        return DONE

    async with writing(failing, workers=1) as at:
        at.controller.wake(A)
        await asyncio.sleep(2)
        at.script.passes += [failing] * 3
        at.streams[0].event("ADDED", a_pod("child", 20))
        await asyncio.sleep(60)

        mine = [started for started, name in at.script.started if name == "a"]
        pauses = [then - before for before, then in pairwise(mine)]
        assert pauses == pytest.approx([2.0, 0.01, 0.02], rel=0.11, abs=0.0005)


@pytest.mark.spec("runtime:RYW-12")
async def test_a_key_that_waited_for_the_cache_has_its_priority_still() -> None:
    """What came at the first load stays behind what users do."""
    async with writing(returning(DONE), workers=1) as at:
        at.controller.queue.add(A, priority=-100)
        await asyncio.sleep(1)
        at.controller.queue.add(A, priority=-100)
        await asyncio.sleep(1)
        at.streams[0].event("ADDED", a_pod("child", 20))
        at.script.passes.append(taking(1))
        at.controller.wake(Ref("Pod", "ns", "b"))
        await asyncio.sleep(0.5)

        assert at.controller.queue.statistics().ready_by_priority == {0: 1, -100: 1}
