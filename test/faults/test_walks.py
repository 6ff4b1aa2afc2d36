"""Random histories: users, losses, crashes and faults in an order that nobody chose, each told again by its seed.

A walk that fails names its seed and its steps. `MANTA_WALKS=first:last` tells others than the sample.
"""

from __future__ import annotations

import os

import pytest

from localcluster.testing.cluster import a_cluster
from localcluster.testing.walk import Walk

FIRST, _, LAST = os.environ.get("MANTA_WALKS", "0:6").partition(":")
STEPS = 30


@pytest.mark.parametrize("seed", range(int(FIRST), int(LAST)))
async def test_whatever_happens_nothing_doubles_and_everything_settles(seed: int) -> None:
    """No pod twice, no name twice, no write without a uid; in the end what was asked for, told truly, and rest."""
    async with a_cluster(restart_after=2.0, seed=seed, tell_events=False) as cluster:
        await Walk(cluster, seed).go(STEPS)
