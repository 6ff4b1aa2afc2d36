"""Candidates for one lease, in virtual time: one at a time may write, and some leads soon after the last one went."""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from api.core import LEASES
from api.meta import Json, Ref
from controller.runtime.background import background
from controller.runtime.clock import SystemClock
from controller.runtime.election.elector import Elector, Heartbeat, LeaseLost, LeaseName, leading
from controller.runtime.election.series import ElectionSeries
from controller.runtime.errors import AlreadyExists, Conflict, Forbidden, LostAnswer, NotFound, Unreachable

# Nothing here comes from outside the loop, so its clock need not wait whether something does: 42 turns before each jump
# were nine tenths of the time of these tests.
pytestmark = pytest.mark.looptime(noop_cycles=0)

REF = Ref("Lease", "ns", "lease")


@dataclass
class Server:
    """One Lease, with versions as a real server has them."""

    lease: Json | None = None
    version: int = 0
    writes: list[str] = field(default_factory=list)  # holders, as written
    reads: int = 0
    handed_to: Callable[[str], None] = lambda holder: None

    def get(self) -> Json:
        self.reads += 1
        if self.lease is None:
            raise NotFound("get", REF, code=404, message="not there")
        return copy.deepcopy(self.lease)

    def create(self, body: Json) -> Json:
        if self.lease is not None:
            raise AlreadyExists("create", REF, code=409, message="there")
        return self._keep(body)

    def update(self, body: Json) -> Json:
        if self.lease is None:
            raise NotFound("update", REF, code=404, message="not there")
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise Conflict("update", REF, code=409, message="changed")
        return self._keep(body)

    def _keep(self, body: Json) -> Json:
        self.version += 1
        before = self.writes[-1] if self.writes else ""
        if body["spec"]["holderIdentity"] != before:
            self.handed_to(body["spec"]["holderIdentity"])
        self.lease = copy.deepcopy(body)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        self.writes.append(body["spec"]["holderIdentity"])
        return copy.deepcopy(self.lease)


Fate = Callable[[], Awaitable[None]]


async def at_once() -> None:
    return


class Line:
    """One candidate's way to the server; `there` and `back` may take time, or raise."""

    def __init__(self, server: Server, there: Fate = at_once, back: Fate = at_once) -> None:
        self.server, self.there, self.back = server, there, back

    async def get(self, resource: Any, namespace: str, name: str) -> Json:
        return await self._carry(self.server.get)

    async def create(self, resource: Any, body: Json) -> Json:
        return await self._carry(lambda: self.server.create(body))

    async def update(self, resource: Any, body: Json) -> Json:
        assert resource is LEASES
        return await self._carry(lambda: self.server.update(body))

    async def _carry(self, act: Callable[[], Json]) -> Json:
        await self.there()
        answer = act()
        await self.back()
        return answer


def candidate(line: Line, identity: str, *, rate: float = 1.0, seed: int = 1, **more: Any) -> Elector:
    """Its own clock runs at `rate`, from a time of its own."""
    loop = asyncio.get_running_loop()
    start = random.Random(identity).random() * 1000
    return Elector(
        line,
        LeaseName("ns", "lease", identity),
        time=lambda: start + loop.time() * rate,
        wall=SystemClock().now,
        chance=random.Random(seed),
        **more,
    )


async def lost(elector: Elector, living: Callable[[], Awaitable[None]]) -> str:
    """Why the lease was lost while that went on."""

    async def whole() -> None:
        async with leading(elector):
            await living()

    with pytest.raises(ExceptionGroup) as caught:
        await whole()
    found = caught.value.subgroup(LeaseLost)
    assert found is not None
    return str(found.exceptions[0])


async def unreachable() -> None:
    raise Unreachable("cannot reach the server")


async def hanging() -> None:
    await asyncio.sleep(10_000)


@pytest.mark.spec("runtime:LE-1")
async def test_the_first_gets_it_and_the_second_gets_it_soon_after_an_orderly_end() -> None:
    """Released, it is free at once: no waiting for 15 seconds."""
    server = Server()
    loop = asyncio.get_running_loop()
    first, second = candidate(Line(server), "a"), candidate(Line(server), "b")
    moments: list[float] = []

    async def follow() -> None:
        async with leading(second):
            moments.append(loop.time())
            assert second.transitions == 1

    async with asyncio.TaskGroup() as group:
        async with leading(first):
            group.create_task(follow())
            await asyncio.sleep(60)
            assert first.may_write()
            assert first.leads
            assert not second.may_write()
        assert not first.may_write()

    assert 60 <= moments[0] <= 60 + 2.2 * 2
    assert server.lease is not None
    assert server.lease["spec"]["holderIdentity"] == ""


@pytest.mark.spec("runtime:LE-3")
async def test_a_leader_renews_without_looking_first() -> None:
    """A request each two seconds, not two."""
    server = Server()
    async with leading(candidate(Line(server), "a")):
        await asyncio.sleep(60)

    assert server.reads == 1
    assert len(server.writes) == 1 + 29 + 1


@pytest.mark.spec("runtime:LE-2", "runtime:LE-7")
@pytest.mark.parametrize("trouble", [unreachable, hanging])
async def test_who_cannot_renew_stops_writing_before_anybody_else_may_start(trouble: Fate) -> None:
    """A refused and a hanging request alike. When nobody else had the lease meanwhile, it goes on without a restart."""
    line = Line(Server())
    elector = candidate(line, "a")
    async with leading(elector):
        await asyncio.sleep(20.5)  # renewed at 20
        line.there = trouble
        await asyncio.sleep(9)
        assert elector.may_write()
        await asyncio.sleep(2)
        assert not elector.may_write()
        await asyncio.sleep(600)
        assert await elector.check() is None, "a server that is away must not restart operators"
        line.there = at_once
        await asyncio.sleep(8)
        assert elector.may_write()
        assert elector.transitions == 0


@pytest.mark.parametrize("released", [False, True])
async def test_who_finds_that_another_led_meanwhile_ends(released: bool) -> None:
    """Also when that one has released it since: what goes on here was decided before."""
    server, loop = Server(), asyncio.get_running_loop()
    line = Line(server)
    first, second = candidate(line, "a"), candidate(Line(server), "b")

    async def living() -> None:
        await asyncio.sleep(20.5)
        line.there = unreachable
        async with leading(second):
            await asyncio.sleep(5)
            if not released:
                line.there = at_once
                await asyncio.sleep(1000)
        line.there = at_once
        await asyncio.sleep(1000)

    assert f"held by {'nobody' if released else 'b'}" in await lost(first, living)
    assert loop.time() < 60
    assert not first.may_write()
    assert server.lease is not None
    assert server.lease["spec"]["holderIdentity"] == ("" if released else "b"), "the first took nothing"


async def test_a_slow_answer_does_not_prolong_the_right_to_write() -> None:
    """It counts from before the request left: from the change on, another counts too."""

    async def slow() -> None:
        await asyncio.sleep(4)

    line = Line(Server())
    elector = candidate(line, "a")
    async with leading(elector):
        await asyncio.sleep(20.5)
        line.back = slow  # renewed at 22, answered at 26
        await asyncio.sleep(6)
        line.there, line.back = unreachable, at_once
        await asyncio.sleep(6)
        assert elector.may_write(), "32.5: until 22 + 10 + 1"
        await asyncio.sleep(1)
        assert not elector.may_write()


@pytest.mark.spec("runtime:LE-6")
async def test_the_first_to_hear_of_a_lost_lease_may_end_the_process() -> None:
    """The other thread may not listen any more: whoever ends us must not wait for it."""
    server = Server()
    told: list[str] = []
    known_here: list[bool] = []
    elector = candidate(Line(server), "a", on_lost=lambda lost: told.append(str(lost)))

    async def living() -> None:
        assert server.lease is not None
        server.lease["spec"]["holderIdentity"] = "b"
        server.lease["metadata"]["resourceVersion"] = "x"
        try:
            await asyncio.sleep(1000)
        finally:
            known_here.append(bool(told))

    with capture_logs() as logs:
        assert "held by b" in await lost(elector, living)

    assert known_here == [True], "told before the work that went on here"
    assert len(told) == 1
    holders = [line["holder"] for line in logs if line["event"] == "the lease has a new holder"]
    assert holders == ["nobody", "a", "b"] or holders == ["a", "b"]


async def test_one_lost_answer_costs_nothing() -> None:
    """The write went through: the version has changed, and is ours still."""
    server = Server()
    line = Line(server)
    elector = candidate(line, "a")

    async def once() -> None:
        line.back = at_once
        raise LostAnswer("update", REF, "the connection broke")

    async with leading(elector):
        await asyncio.sleep(5)
        line.back = once
        await asyncio.sleep(20)
        assert elector.may_write()

    assert elector.slow_paths == 1


async def test_a_lease_that_somebody_deletes_is_made_again() -> None:
    server = Server()
    elector = candidate(Line(server), "a")
    async with leading(elector):
        await asyncio.sleep(5)
        server.lease = None
        await asyncio.sleep(20)
        assert elector.may_write()
        assert server.lease is not None


async def test_a_lease_that_somebody_gives_to_another_is_lost_at_once() -> None:
    """By hand, say: there may be two who think that they lead, so the first to notice goes."""
    server, loop = Server(), asyncio.get_running_loop()
    elector = candidate(Line(server), "a")

    async def living() -> None:
        await asyncio.sleep(5)
        assert server.lease is not None
        server.update({**server.lease, "spec": {**server.lease["spec"], "holderIdentity": "b"}})
        await asyncio.sleep(1000)

    assert "held by b" in await lost(elector, living)
    assert loop.time() <= 7.1


@pytest.mark.spec("runtime:LE-8")
async def test_a_dead_main_loop_must_not_stay_leader() -> None:
    """Its heart stops at 30 s; nothing of it can be trusted to act, but it still holds the lease."""
    loop = asyncio.get_running_loop()
    heart = Heartbeat(loop.time)
    elector = candidate(Line(Server()), "a", heartbeat=heart)

    async def beating() -> None:
        for _ in range(30):
            heart.beat()
            await asyncio.sleep(1)
        await asyncio.sleep(1000)

    assert "stood still" in await lost(elector, beating)
    assert 39 <= loop.time() <= 29 + 10 + 2 + 0.1


async def test_missing_rights_are_told_with_the_way_out_once_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    """They may be granted later: it stands by."""

    async def forbidden() -> None:
        raise Forbidden("get", REF, code=403, message="no rights")

    elector = candidate(Line(Server(), there=forbidden), "a")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(100), leading(elector):
            pytest.fail("it leads")

    said = [line for line in capsys.readouterr().out.splitlines() if "cannot get or renew" in line]
    assert len(said) == 2
    assert "create and update of leases in namespace ns" in said[0]


async def test_a_failed_block_does_not_release() -> None:
    """A write of it may still be on its way; the lease expires by itself."""
    server = Server()
    with pytest.raises(ExceptionGroup):
        async with leading(candidate(Line(server), "a")):
            raise LookupError

    assert server.lease is not None
    assert server.lease["spec"]["holderIdentity"] == "a"


@pytest.mark.spec("runtime:LE-9")
async def test_liveness_notices_a_leader_that_has_not_renewed_for_long() -> None:
    """An elector that neither renews nor gives up is broken."""
    line = Line(Server())
    elector = candidate(line, "a")
    assert await elector.check() is None
    await elector.acquire()
    assert await elector.check() is None

    await asyncio.sleep(36)

    assert "36 s ago" in (await elector.check() or "")


# Many of them, under everything that a network does


class Weather:
    """What happens to one candidate's requests: delays, losses, and times in which nothing of it moves."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._still_until = 0.0

    def freeze(self, seconds: float) -> None:
        self._still_until = asyncio.get_running_loop().time() + seconds

    async def __call__(self) -> None:
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, self._still_until - now))
        roll = self._chance.random()
        if roll < 0.1:
            raise LostAnswer("update", REF, "lost")
        await asyncio.sleep(self._chance.random() * (8 if roll > 0.9 else 0.3))


async def life(elector: Elector, chance: random.Random) -> None:
    """Leads for a while whenever it can; loses it, ends well, or dies, and comes back."""
    while True:
        try:
            async with leading(elector):
                await asyncio.sleep(chance.random() * 60)
                if chance.random() < 0.5:
                    raise LookupError
        except* (LeaseLost, LookupError):
            await asyncio.sleep(chance.random() * 10)


@pytest.mark.spec("runtime:LE-4")
@pytest.mark.parametrize("seed", range(10))
async def test_never_two_may_write_and_mostly_one_does(seed: int) -> None:
    """Three candidates, clocks whose rates differ by a third, half an hour of weather.

    Looked at whenever the lease changes hands: then nobody else may think that it can write.
    """
    chance = random.Random(seed)
    weathers = [Weather(random.Random(chance.random())) for _ in range(3)]
    electors: list[Elector] = []
    too_long: list[str] = []

    def handed_to(holder: str) -> None:
        too_long.extend(one.lease.identity for one in electors if one.may_write() and one.lease.identity != holder)

    server = Server(handed_to=handed_to)
    electors += [
        candidate(Line(server, weather, weather), f"candidate {n}", rate=0.85 + 0.15 * n, seed=n)
        for n, weather in enumerate(weathers)
    ]
    led = 0
    async with background(*((one.lease.identity, life(one, random.Random(chance.random()))) for one in electors)):
        for _ in range(360):
            await asyncio.sleep(5)
            if chance.random() < 0.05:
                chance.choice(weathers).freeze(chance.random() * 40)
            led += any(one.may_write() for one in electors)

    assert too_long == []
    assert led > 360 / 3
    assert len(set(server.writes)) == 4, "all three led, and it was released, too"


@pytest.mark.spec("runtime:LE-10")
async def test_figures_tell_the_leader_from_the_standby_and_how_long_renewals_take() -> None:
    """As /metrics says it: also whether a renewal had to look first, and how often the lease changed hands."""
    server = Server()

    async def a_while() -> None:
        await asyncio.sleep(0.3)

    first, second = candidate(Line(server, there=a_while), "first"), candidate(Line(server), "second")
    registry, other = CollectorRegistry(), CollectorRegistry()
    registry.register(ElectionSeries(first))
    other.register(ElectionSeries(second))
    async with leading(first), background(("second", second.acquire())):
        await asyncio.sleep(8)  # three renewals
        assert server.lease is not None
        server.lease["metadata"]["resourceVersion"] = "99"  # somebody labels it
        await asyncio.sleep(2.1)
        value, name = registry.get_sample_value, {"name": "lease"}
        assert value("leader_election_master_status", name) == 1
        assert other.get_sample_value("leader_election_master_status", name) == 0
        assert value("leader_election_slowpath_total", name) == 1
        assert value("leader_election_transitions", name) == 0
        tries = value("leader_election_renew_seconds_count", name)
        assert tries == len([one for one in server.writes if one == "first"]) >= 5
        assert value("leader_election_renew_seconds_bucket", {**name, "le": "0.25"}) == 0  # there and back takes 300 ms
        assert (
            value("leader_election_renew_seconds_bucket", {**name, "le": "0.5"}) == tries - 2
        )  # but for the first, and the one that had to look

    assert value("leader_election_master_status", name) == 0
