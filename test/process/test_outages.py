"""The API server goes away and comes back: the operator stays, writes nothing it must not, and misses nothing."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from test.process.conftest import Plane

# A quick run by default; by hand: two minutes away, as the acceptance of the real node asks.
AWAY_SECONDS = float(os.environ.get("MANTA_AWAY_SECONDS", "30"))


async def back(plane: Plane) -> None:
    """The API server answers again."""
    plane.judge.api_server.start()
    await asyncio.to_thread(plane.judge.wait_until_ready)


async def test_fault_f9_an_api_server_that_restarts_five_times_and_is_then_away_for_long_restarts_no_operator(
    plane: Plane,
) -> None:
    """After each return a change is acted on, and after the long absence, which outlasts the lease, too."""
    operator = await plane.replica("steady")
    await operator.said("controllers work")
    await plane.cluster("r", 1)
    await plane.until_pods("r", 2)

    for turn in range(5):
        plane.judge.api_server.stop()
        await back(plane)
        await plane.scale("r", 2 + turn % 2)
        await plane.until_pods("r", 3 + turn % 2)
    plane.judge.api_server.stop()
    await asyncio.sleep(AWAY_SECONDS)
    await back(plane)
    await plane.scale("r", 5)
    await plane.until_pods("r", 6)

    assert operator.process.returncode is None
    assert len(await plane.pods("r")) == len(set(await plane.pods("r"))) == 6
    assert [one for one in operator.lines if one["msg"] == "controllers work"][1:] == []
