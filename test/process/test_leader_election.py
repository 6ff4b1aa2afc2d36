"""Two replicas on a real API server: whatever happens to the leader, never two that write, and soon one that does."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from test.process.conftest import Plane, Replica

DURATION, DEADLINE, RETRY = 15.0, 10.0, 2.0  # seconds, as deployed
# After the leader's last renewal: its lease runs out, the other looks at most 2.2 periods later, and a busy machine.
TAKE_OVER_SECONDS = DURATION + 2.2 * RETRY + 5
# A dead loop is watched for the renew deadline before it costs the lease.
NOTICED_SECONDS = {signal.SIGUSR1: DEADLINE + RETRY}


async def two(plane: Plane) -> tuple[Replica, Replica]:
    """A leader and a standby, and a cluster that the leader has made."""
    first = await plane.replica("first")
    await first.said("controllers work")
    second = await plane.replica("second")
    await second.said("standing by for the lease")
    await plane.cluster("r", 1)
    await plane.until_pods("r", 2)
    return first, second


async def keep_changing(plane: Plane) -> None:
    """A user who never rests: there is always something to write."""
    workers = 1
    while True:
        workers = 3 - workers
        await plane.scale("r", workers)
        await asyncio.sleep(0.2)


def last(plane: Plane, account: str) -> datetime:
    return max(one.received for one in plane.writes(account))


def first_of(plane: Plane, account: str) -> datetime:
    return min(one.received for one in plane.writes(account))


@pytest.mark.spec("runtime:LE-7", "runtime:LE-8")
@pytest.mark.parametrize("fate", [signal.SIGSTOP, signal.SIGKILL, signal.SIGUSR1], ids=["stopped", "killed", "blocked"])
async def test_fault_f12_never_two_write_and_the_other_takes_over_in_time(plane: Plane, fate: signal.Signals) -> None:
    """Stopped: it wakes up when another leads, and must not write. Blocked: its loop stands still for 20 seconds."""
    first, second = await two(plane)
    async with asyncio.TaskGroup() as group:
        user = group.create_task(keep_changing(plane))
        await asyncio.sleep(3)
        first.send(fate)
        begun = time.monotonic()

        led = await second.said("leading") - begun
        await asyncio.sleep(3)
        first.send(signal.SIGCONT) if fate is signal.SIGSTOP else None
        code = await first.ended()
        await asyncio.sleep(2)
        user.cancel()
    await plane.scale("r", 2)
    await plane.until_pods("r", 3)

    sys.stdout.write(f"{fate.name}: the other led after {led:.1f} s\n")
    assert led <= TAKE_OVER_SECONDS + NOTICED_SECONDS.get(fate, 0)
    assert code == (-signal.SIGKILL if fate is signal.SIGKILL else 1)
    assert last(plane, "first") < first_of(plane, "second")
    assert len(plane.writes("first")) > 10
    assert len(plane.writes("second")) > 10


@pytest.mark.spec("runtime:LE-5", "runtime:LE-11", "deployment:1.7/events")
async def test_an_orderly_end_hands_over_at_once(plane: Plane) -> None:
    """Released: nobody waits for fifteen seconds. Events on the Lease say who became leader."""
    first, second = await two(plane)

    first.send(signal.SIGTERM)
    begun = time.monotonic()
    led = await second.said("leading") - begun

    assert await first.ended() == 0
    assert led <= 2.2 * RETRY + 5
    await second.said("controllers work")
    second.send(signal.SIGTERM)
    assert await second.ended() == 0  # and has written down what it had to tell
    found = (await plane.wire.get(plane.wire.path("events.events.k8s.io"))).ok()["items"]
    told = [one["note"] for one in found if one["regarding"]["kind"] == "Lease"]
    assert len(told) == 2
    assert all(note.endswith(" became leader") for note in told)


async def test_the_times_that_were_chosen_are_those_that_others_respect(plane: Plane) -> None:
    """They stand in the Lease: whoever waits for it waits that long."""
    operator = await plane.replica(
        "patient", "-leader-election-lease-duration=90s", "-leader-election-renew-deadline=60s"
    )
    await operator.said("controllers work")

    found = (await plane.wire.get(plane.wire.path("leases.coordination.k8s.io", "ray-operator-leader"))).ok()

    assert found["spec"]["leaseDurationSeconds"] == 90


async def test_a_standby_ends_when_it_is_asked_to(plane: Plane) -> None:
    _, second = await two(plane)

    second.send(signal.SIGTERM)

    assert await second.ended(5) == 0
