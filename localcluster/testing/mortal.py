"""An operator that can die in the middle of anything: whatever its tasks still try then reaches nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from controller.ray.dashboard.http import NoAnswer, RayTransport
from controller.runtime.client.transport import Answer, Pool, Transport
from controller.runtime.errors import Unreachable
from controller.runtime.manager import Kit
from controller.runtime.permit import Permit

__all__ = ["Incarnation", "MortalRay", "MortalTransport"]


@dataclass(slots=True)
class Incarnation:
    """One run of the operator. What is dead reaches nobody any more, however long its tasks take to end."""

    number: int
    dead: bool = False
    up: asyncio.Event = field(default_factory=asyncio.Event)
    kit: Kit | None = None
    task: asyncio.Task[None] | None = None

    def kill(self) -> None:
        """From now on it is dead; its tasks are told to end. Nobody waits any longer for it to be up."""
        self.dead = True
        self.up.set()
        if self.task is not None:
            self.task.cancel()


class MortalTransport:
    """The operator's way to the API server; nothing goes out once it is dead."""

    def __init__(self, transport: Transport, operator: Incarnation) -> None:
        self._transport, self._operator = transport, operator

    @property
    def host(self) -> str:
        """For metrics."""
        return "localhost"

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None = None,
        pool: Pool = Pool.REQUEST,
        permit: Permit | None = None,
    ) -> AsyncIterator[Answer]:
        """See controller.runtime.client.transport.Transport."""
        if self._operator.dead:
            raise Unreachable("this process is dead")
        async with self._transport.request(
            method, path, query=query, headers=headers, body=body, pool=pool, permit=permit
        ) as answer:
            yield answer


class MortalRay:
    """The operator's way to dashboards; the same."""

    def __init__(self, transport: RayTransport, operator: Incarnation) -> None:
        self._transport, self._operator = transport, operator

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, timeout: timedelta
    ) -> tuple[int, bytes]:
        """See controller.ray.dashboard.http.RayTransport."""
        if self._operator.dead:
            raise NoAnswer("this process is dead")
        return await self._transport.request(method, url, headers=headers, body=body, timeout=timeout)
