"""What a mirror tells, whatever becomes of its watch."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from localcluster.api import Json, Refusal
from localcluster.apiserver.local import LocalApi
from localcluster.apiserver.server import ApiServer
from localcluster.controllers.manager import mirroring
from localcluster.mirror import Mirror, Mirrors

pytestmark = pytest.mark.looptime


class Told:
    """A server, a mirror of its ConfigMaps in one namespace, and what that told."""

    def __init__(self) -> None:
        self.server = ApiServer(now=lambda: datetime(2026, 1, 1, tzinfo=UTC), chance=random.Random(0))
        self.api = LocalApi(self.server)
        self.heard: list[tuple[str, str]] = []

    def hear(self, old: Json | None, new: Json | None) -> None:
        item = new or old or {}
        if item["metadata"]["namespace"] == "default":
            word = "gone" if new is None else "new" if old is None else "changed"
            self.heard.append((word, item["metadata"]["name"]))

    async def create(self, name: str) -> None:
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
        await self.api.create("configmaps", "default", body)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Mirror]:
        """The mirror follows while the block lasts."""
        async with mirroring(self.api) as mirrors:
            mirror = mirrors.of("configmaps")
            await mirrors.synced("configmaps")
            mirror.subscribe(self.hear)
            yield mirror


async def test_a_subscriber_hears_what_is_there_and_every_change() -> None:
    """Once each."""
    told = Told()
    await told.create("a")
    async with told.listening():
        await told.create("b")
        await told.api.patch("configmaps", "default", "b", {"data": {"k": "v"}})
        await told.api.delete("configmaps", "default", "a")
        await asyncio.sleep(1)

    assert told.heard == [("new", "a"), ("new", "b"), ("changed", "b"), ("gone", "a")]


async def test_an_object_that_was_replaced_under_its_name_goes_and_comes() -> None:
    """Its uid is another one."""
    told = Told()
    await told.create("a")
    async with told.listening():
        await told.api.delete("configmaps", "default", "a")
        await told.create("a")
        await asyncio.sleep(1)

    assert told.heard == [("new", "a"), ("gone", "a"), ("new", "a")]


class Forgetful:
    """An Api whose watches expire or break now and then, and which misses changes meanwhile."""

    def __init__(self, api: LocalApi) -> None:
        self._api = api
        self.failures: list[Exception] = []
        self.lists = self.watches = 0
        self.closes_at_once = False

    async def list(self, resource: str) -> Any:
        self.lists += 1
        return await self._api.list(resource)

    async def watch(self, resource: str, *, resource_version: str) -> AsyncIterator[tuple[str, Json]]:
        self.watches += 1
        if self.closes_at_once:
            return
        async for event in self._api.watch(resource, resource_version=resource_version):
            if self.failures:
                raise self.failures.pop()
            yield event


@pytest.mark.parametrize("failure", [Refusal(500, "InternalError", "no"), ConnectionResetError()])
async def test_after_a_broken_watch_the_difference_is_told(failure: Exception) -> None:
    """What came, changed and went in between."""
    told = Told()
    await told.create("stays")
    await told.create("goes")
    api = Forgetful(told.api)
    async with asyncio.TaskGroup() as group:
        mirrors = Mirrors(api, group)  # type: ignore[arg-type]  # as much of an Api as a mirror uses
        mirrors.of("configmaps").subscribe(told.hear)
        await mirrors.synced("configmaps")
        api.failures.append(failure)
        await told.create("comes")
        await told.api.delete("configmaps", "default", "goes")
        await asyncio.sleep(5)
        mirrors.close()

    assert sorted(told.heard) == [("gone", "goes"), ("new", "comes"), ("new", "goes"), ("new", "stays")]
    assert api.lists == 2


async def test_a_server_that_closes_watches_at_once_is_not_asked_in_a_hurry() -> None:
    """Once a second, from the same version."""
    api = Forgetful(Told().api)
    api.closes_at_once = True
    async with asyncio.TaskGroup() as group:
        mirrors = Mirrors(api, group)  # type: ignore[arg-type]  # as much of an Api as a mirror uses
        await mirrors.synced("configmaps")
        await asyncio.sleep(60)
        mirrors.close()

    assert api.watches in range(55, 65)
    assert api.lists == 1
