"""Loopback ports of this machine that lead to what runs in the cell, as long as that is there.

What is worth a port, a `Shared` says: dashboards.py has those of heads, services.py those of RayServices.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import aiohttp

from localcluster.node.forward import PortTaken, forwarding
from manta.local import Local

__all__ = ["Door", "Opened", "Shared", "sharing"]

Json: TypeAlias = Mapping[str, Any]
Opened: TypeAlias = Callable[[Json, int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Door:
    """An address inside, and the port here that it should have if nobody else has it (0: any will do)."""

    host: str
    port: int
    preferred: int = 0


@dataclass(frozen=True, slots=True)
class Shared:
    """The objects of a collection that have a door, by their labels; `door` says None of those that have none yet."""

    path: str
    selector: str
    door: Callable[[Json], Door | None]
    opened: Opened  # told the object and the port, once for each


@asynccontextmanager
async def sharing(local: Local, *all_shared: Shared) -> AsyncIterator[None]:
    """While the block is open, each door has a port of this machine; it closes when its object goes."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(share(local, shared), name=f"doors of {shared.path}") for shared in all_shared]
        yield
        for task in tasks:
            task.cancel()


async def share(local: Local, shared: Shared) -> None:
    """One collection; ends with the server."""
    ports: dict[str, AsyncExitStack] = {}
    try:
        async for type_, body in local.api.watch(shared.path, labelSelector=shared.selector):
            await look(local, shared, ports, type_, body)
    except aiohttp.ClientError:
        return  # the server is gone, and all else with it
    finally:
        for stack in ports.values():
            await stack.aclose()


async def look(local: Local, shared: Shared, ports: dict[str, AsyncExitStack], type_: str, body: Json) -> None:
    """Opens or closes the port of one object."""
    uid = body["metadata"]["uid"]
    if type_ == "DELETED":
        if uid in ports:
            await ports.pop(uid).aclose()
    elif uid not in ports and (door := shared.door(body)) is not None:
        ports[uid] = stack = AsyncExitStack()
        await shared.opened(body, await opened(local.dialer, door, stack))


async def opened(dialer: str, door: Door, stack: AsyncExitStack) -> int:
    """The port: the preferred one if it is to be had."""
    try:
        return await stack.enter_async_context(forwarding(dialer, door.host, door.port, port=door.preferred))
    except PortTaken:  # by another service, say, or it is for the administrator alone
        if not door.preferred:
            raise
    return await stack.enter_async_context(forwarding(dialer, door.host, door.port))
