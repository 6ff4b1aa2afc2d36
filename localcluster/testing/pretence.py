"""A kubelet's words without a kubelet: what a test says in its place on a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from localcluster.testing.wire import Wire

__all__ = ["a_kubelet"]

ADDRESS = "192.0.2.1"  # leads nowhere: what is asked of Ray there has no answer


@asynccontextmanager
async def a_kubelet(wire: Wire) -> AsyncIterator[None]:
    """Every pod runs and is ready as soon as it is there."""

    async def living() -> None:
        async with wire.watch(wire.path("pods"), resourceVersion="0") as events:
            events.seconds = 3600.0
            while True:
                kind, pod = await events.next()
                if kind == "ADDED":
                    await _runs(wire, pod["metadata"]["name"])

    async with asyncio.TaskGroup() as group:
        lives = group.create_task(living())
        try:
            yield
        finally:
            lives.cancel()


async def _runs(wire: Wire, name: str) -> None:
    status = {
        "phase": "Running",
        "podIP": ADDRESS,
        "podIPs": [{"ip": ADDRESS}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    answer = await wire.patch(wire.path("pods", f"{name}/status"), {"status": status})
    assert answer.code in (200, 404), answer.text  # it may be gone already
