"""Loopback ports for what users open in a browser: the dashboards of Ray heads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import aiohttp

from localcluster.node.forward import forwarding
from manta.local import Local
from manta.podstates import state_of
from manta.show import Show

__all__ = ["sharing_dashboards"]

DASHBOARD: Final = 8265


@asynccontextmanager
async def sharing_dashboards(local: Local, show: Show) -> AsyncIterator[None]:
    """While the block is open, every head that is ready has its dashboard on a port of this machine, and it is told."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(share(local, show))
        yield
        task.cancel()


async def share(local: Local, show: Show) -> None:
    """One port for each head; it closes when the pod goes."""
    ports: dict[str, AsyncExitStack] = {}
    try:
        await watch_heads(local, show, ports)
    except aiohttp.ClientError:
        return  # the server is gone, and all else with it
    finally:
        for stack in ports.values():
            await stack.aclose()


async def watch_heads(local: Local, show: Show, ports: dict[str, AsyncExitStack]) -> None:
    """Opens and closes ports as heads come and go; ends with the server."""
    async for type_, pod in local.api.watch("/api/v1/pods", labelSelector="ray.io/node-type=head"):
        uid = pod["metadata"]["uid"]
        if type_ == "DELETED":
            if uid in ports:
                await ports.pop(uid).aclose()
        elif uid not in ports and state_of(pod).word == "Ready":
            ports[uid] = stack = AsyncExitStack()
            port = await stack.enter_async_context(forwarding(local.dialer, pod["status"]["podIP"], DASHBOARD))
            show.say(f"dashboard of {cluster_of(pod)} on http://127.0.0.1:{port}")


def cluster_of(pod: Mapping[str, Any]) -> str:
    """The RayCluster's name."""
    return str(pod["metadata"]["labels"].get("ray.io/cluster", pod["metadata"]["name"]))
