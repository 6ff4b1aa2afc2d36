"""Fault F15: the process dies at each of its writes in turn, and what comes of it is the same.

Before the write took effect, after it but unanswered, and right after its answer. The toy's names are random: its new
incarnation knows nothing but what the server tells.
"""

from __future__ import annotations

import asyncio

import pytest

from localcluster.faults import Crash, When
from localcluster.testing.cluster import Cluster, a_cluster
from localcluster.testing.toy import US, operated


async def live(cluster: Cluster, seed: int, crashed: asyncio.Event | None) -> None:
    """One incarnation of the toy: until it crashes, or until everything has come to rest."""
    async with operated(cluster, seed=seed) as toy:
        if crashed is None:
            await cluster.after(120)
            return
        async with asyncio.timeout(120):
            await crashed.wait()
        toy.die()


@pytest.mark.parametrize("at", ["before", "after", "answered"])
@pytest.mark.parametrize("nth", range(1, 9))
async def test_a_crash_at_any_write_neither_doubles_nor_loses(nth: int, at: Crash) -> None:
    """Five children to make, then three to take away: eight writes, a crash at each."""
    async with a_cluster(operator=False, seed=nth) as cluster:
        crashed = asyncio.Event()
        cluster.faults.crashed = crashed.set
        when = When(resource="configmaps", writes=True, agent=US, nth=nth)
        cluster.faults.crash(when, at)
        metadata = {"name": "a", "namespace": "default", "labels": {"role": "owner"}}
        await cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"count": "5"}})

        async def shrink() -> None:
            await cluster.after(20)
            await cluster.patch("ConfigMap", "a", {"data": {"count": "2"}})

        async with asyncio.TaskGroup() as group:
            group.create_task(shrink())
            await live(cluster, 1, crashed)
            await live(cluster, 2, None)

        assert len(await cluster.all_of("ConfigMap", labels="role=child")) == 2
        ours = [one for one in cluster.faults.asked if one.agent.startswith("toy/") and one.resource == "configmaps"]
        made = [one for one in ours if one.verb == "create" and one.code == 201]
        # An unanswered write that took effect has no code: it is one more than those that were answered.
        assert len(made) == 5 - (at == "after" and nth <= 5)
