"""Objects of the API as controllers and node see them: listed once, then watched, shared by all who ask.

What a mirror holds is for reading; whoever wants to change an object copies it first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from localcluster.api import Api, Json, Refusal, WatchExpired

__all__ = ["Key", "Mirror", "Mirrors", "key_of"]

Key: TypeAlias = tuple[str, str]  # namespace, name
Told: TypeAlias = Callable[[Json | None, Json | None], None]

LOST_RETRY = 1.0  # seconds before listing again after a refusal or a broken connection


def key_of(item: Json) -> Key:
    """Where an object is kept."""
    metadata = item["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


class Mirror:
    """One resource. `objects` is complete once `synced` is set."""

    def __init__(self, api: Api, resource: str) -> None:
        self.resource = resource
        self.objects: dict[Key, Json] = {}
        self.synced = asyncio.Event()
        self._api = api
        self._told: list[Told] = []

    def subscribe(self, told: Told) -> None:
        """Call `told(old, new)` for all that is here and each change; None is absent. It must not raise."""
        self._told.append(told)
        for item in list(self.objects.values()):
            told(None, item)

    def get(self, namespace: str, name: str) -> Json | None:
        """The object, or None."""
        return self.objects.get((namespace, name))

    def forget(self, key: Key) -> None:
        """Treat the object as gone."""
        self._now(key, None)

    async def run(self) -> None:
        """List and watch until cancelled. Refusals and broken connections are tried again."""
        while True:
            try:
                await self._follow()
            except WatchExpired:
                continue
            except (Refusal, OSError):
                await asyncio.sleep(LOST_RETRY)

    async def _follow(self) -> None:
        listing = await self._api.list(self.resource)
        version = listing.resource_version
        fresh = {key_of(item): item for item in listing.items}
        for key in [key for key in self.objects if key not in fresh]:
            self._now(key, None)
        for key, item in fresh.items():
            self._now(key, item)
        self.synced.set()
        while True:
            before = version
            async for type_, item in self._api.watch(self.resource, resource_version=version):
                version = item["metadata"]["resourceVersion"]
                if type_ != "BOOKMARK":
                    self._now(key_of(item), None if type_ == "DELETED" else item, gone=item)
            # The server closed the watch in good order: go on from the last version, but not in a hurry.
            await asyncio.sleep(LOST_RETRY if version == before else 0)

    def _now(self, key: Key, item: Json | None, *, gone: Json | None = None) -> None:
        old = self.objects.get(key)
        if item is None:
            old = self.objects.pop(key, gone)
            if old is None:
                return
        else:
            if old is not None and old["metadata"]["uid"] != item["metadata"]["uid"]:
                self._now(key, None)
                old = None
            elif old is not None and old["metadata"]["resourceVersion"] == item["metadata"]["resourceVersion"]:
                return
            self.objects[key] = item
        for told in self._told:
            told(old, item)


class Mirrors:
    """One mirror for each resource that anybody asked for."""

    def __init__(self, api: Api, group: asyncio.TaskGroup) -> None:
        self._api, self._group = api, group
        self._running: dict[str, tuple[Mirror, asyncio.Task[None]]] = {}

    def of(self, resource: str) -> Mirror:
        """The mirror of "pods", "jobs.batch", ...; it starts to fill when it is asked for first."""
        if resource not in self._running:
            mirror = Mirror(self._api, resource)
            self._running[resource] = mirror, self._group.create_task(mirror.run(), name=f"mirror {resource}")
        return self._running[resource][0]

    def drop(self, resource: str) -> None:
        """The resource is not served any more: forget it."""
        if resource in self._running:
            mirror, task = self._running.pop(resource)
            task.cancel()
            for key in list(mirror.objects):
                mirror.forget(key)

    async def synced(self, *resources: str) -> None:
        """Wait until the mirrors have listed."""
        for resource in resources:
            await self.of(resource).synced.wait()

    def close(self) -> None:
        """End them all."""
        for _, task in self._running.values():
            task.cancel()
