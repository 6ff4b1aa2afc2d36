"""Many due times on one timer."""

from __future__ import annotations

import asyncio

import pytest

from localcluster.alarms import Alarms

pytestmark = pytest.mark.looptime


async def test_each_key_rings_once_at_its_time() -> None:
    """In the order of their times, not of their setting."""
    loop = asyncio.get_running_loop()
    rung: list[tuple[str, float]] = []
    begun = loop.time()
    alarms: Alarms[str] = Alarms(lambda key: rung.append((key, round(loop.time() - begun, 3))))

    alarms.set("b", 20)
    alarms.set("a", 10)
    await asyncio.sleep(100)

    assert rung == [("a", 10), ("b", 20)]


async def test_setting_anew_forgets_the_old_time_and_advancing_keeps_the_earlier_one() -> None:
    """Clearing forgets both."""
    rung: list[str] = []
    alarms: Alarms[str] = Alarms(rung.append)

    alarms.set("later", 10)
    alarms.set("later", 50)
    alarms.set("sooner", 10)
    alarms.advance("sooner", 50)
    alarms.set("never", 10)
    alarms.clear("never")
    await asyncio.sleep(20)
    assert rung == ["sooner"]

    await asyncio.sleep(40)
    assert rung == ["sooner", "later"]


async def test_a_key_may_be_set_while_it_rings() -> None:
    """So that something may ring again and again."""
    rung: list[str] = []

    def ring(key: str) -> None:
        rung.append(key)
        if len(rung) < 3:
            alarms.set(key, 5)

    alarms: Alarms[str] = Alarms(ring)
    alarms.set("k", 5)
    await asyncio.sleep(60)

    assert rung == ["k"] * 3


async def test_closed_alarms_are_silent() -> None:
    """Whatever was set."""
    rung: list[str] = []
    alarms: Alarms[str] = Alarms(rung.append)
    alarms.set("k", 5)

    alarms.close()
    await asyncio.sleep(10)

    assert rung == []
