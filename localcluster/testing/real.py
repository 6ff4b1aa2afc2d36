"""A cluster as `manta run` has it, with the operator's own process and real Ray, and all that became of its objects."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp

from localcluster.faults import Crash
from localcluster.httpapi import HttpApi
from localcluster.testing.factories import IMAGE, RAY_VERSION
from manta.local import Local, local_cluster

__all__ = [
    "CLUSTERS",
    "JOBS",
    "PODS",
    "RAYJOBS",
    "RAYSERVICES",
    "Death",
    "History",
    "Live",
    "Real",
    "Told",
    "a_real_cluster",
    "a_small_ray",
    "an_api",
    "version_of",
    "watched",
]

Json: TypeAlias = dict[str, Any]

PODS, JOBS = "pods", "jobs.batch"
CLUSTERS, RAYJOBS, RAYSERVICES = "rayclusters.ray.io", "rayjobs.ray.io", "rayservices.ray.io"
NAMESPACE = "default"
PATIENCE_SECONDS = 150.0  # Ray alone starts in ten; beside others, on two cores, it takes its time
CAPACITY = {"cpu": "8", "memory": "16Gi"}  # what pods may ask for, whatever this machine has: they do little


@dataclass(frozen=True, slots=True)
class Death:
    """The operator dies at its n-th write, or the one that tells the end of a RayJob (0: it lives)."""

    nth: int = 0
    at: Crash = "before"


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a watch."""

    type: str
    resource: str
    item: Json

    @property
    def name(self) -> str:
        """Of the object."""
        return str(self.item["metadata"]["name"])


class History:
    """All that watches told, in order."""

    def __init__(self) -> None:
        self.told: list[Told] = []

    def now(self, resource: str) -> dict[str, Json]:
        """The objects that exist, by name."""
        found: dict[str, Json] = {}
        for told in self.told:
            if told.resource == resource:
                found[told.name] = told.item
                if told.type == "DELETED":
                    del found[told.name]
        return found

    def ever(self, resource: str) -> list[Json]:
        """Those that ever were, each as it was made, in order."""
        return [told.item for told in self.told if (told.resource, told.type) == (resource, "ADDED")]

    def removed(self, resource: str, *, before: int) -> list[str]:
        """The names of those that were gone before that version."""
        gone = [told for told in self.told if (told.resource, told.type) == (resource, "DELETED")]
        return [told.name for told in gone if version_of(told.item) < before]


class Live(History):
    """The API of a cluster that lives, and what it told."""

    def __init__(self, api: HttpApi, directory: Path) -> None:
        super().__init__()
        self.api, self.directory = api, directory  # where the operator's log is
        self._news = asyncio.Event()

    async def until(self, resource: str, name: str, true: Callable[[Json], bool]) -> Json:
        """The object once that is true of it. Raises AssertionError with what was told and logged last."""
        return await self._once(lambda: self._found(resource, name, true), f"{resource} {name}")

    async def gone(self, resource: str) -> None:
        """Until no such object is left."""
        await self._once(lambda: None if self.now(resource) else {}, f"the end of {resource}")

    async def all(self, resource: str, true: Callable[[dict[str, Json]], bool]) -> dict[str, Json]:
        """Those that exist, by name, once that is true of them."""
        return await self._once(lambda: found if true(found := self.now(resource)) else None, resource)

    async def watch(self, resource: str, version: str) -> None:
        """Notes what happens from then on, for ever."""
        async for type_, item in self.api.watch(resource, NAMESPACE, resource_version=version):
            if type_ != "BOOKMARK":
                self.told.append(Told(type_, resource, item))
                self._news.set()

    def _found(self, resource: str, name: str, true: Callable[[Json], bool]) -> Json | None:
        item = self.now(resource).get(name)
        return item if item is not None and true(item) else None

    async def _once(self, look: Callable[[], Json | None], what: str) -> Json:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while (found := look()) is None:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            states = [f"{one.type} {one.resource} {one.name} {one.item.get('status')}" for one in self.told[-8:]]
            log = (self.directory / "operator.log").read_text()[-3000:]
            raise AssertionError("\n".join([f"waited in vain for {what}; what was last told:", *states, log])) from None
        return found


class Real(Live):
    """What a test sees: the API, and what it has told since before there was anything."""

    def __init__(self, local: Local, api: HttpApi, journal: Path) -> None:
        super().__init__(api, local.directory)
        self.local = local
        self._journal = journal

    def writes(self) -> list[Json]:
        """What the operator wrote so far, but events."""
        return [line for line in self._lines() if "verb" in line]

    def deaths(self) -> list[int]:
        """At which of its writes it was killed."""
        return [line["at"] for line in self._lines() if "died" in line]

    def _lines(self) -> list[Json]:
        return [json.loads(line) for line in self._journal.read_text().splitlines()] if self._journal.exists() else []


def version_of(item: Json) -> int:
    """Its resourceVersion: that of a deleted object is the version of its deletion."""
    return int(item["metadata"]["resourceVersion"])


@asynccontextmanager
async def a_real_cluster(directory: Path, death: Death = Death()) -> AsyncIterator[Real]:
    """Cluster and operator are there for the length of the block; the folder is for what survives them.

    Raises NotStarted where there are no namespaces to be had.
    """
    journal = directory / "journal"
    program = ("localcluster.testing.deadly", f"--journal={journal}", f"--nth={death.nth}", f"--at={death.at}")
    async with (
        local_cluster(node="processes", capacity=CAPACITY, told=said, cluster=program) as local,
        an_api(local.api_socket, local.token) as api,
    ):
        real = Real(local, api, journal)
        async with watched(real):
            yield real


@asynccontextmanager
async def an_api(socket: str, token: str) -> AsyncIterator[HttpApi]:
    """That of a local cluster, by its Unix socket."""
    headers = {"Authorization": f"Bearer {token}"}
    connector = aiohttp.UnixConnector(socket, limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session:
        yield HttpApi(session, "http://localhost")


@asynccontextmanager
async def watched(live: Live) -> AsyncIterator[None]:
    """It notes what is there already, as added, and all that happens while the block is open."""
    async with asyncio.TaskGroup() as group:
        watching = []
        for resource in (PODS, CLUSTERS, RAYJOBS, RAYSERVICES, JOBS):
            listing = await live.api.list(resource, NAMESPACE)
            live.told += [Told("ADDED", resource, item) for item in listing.items]
            watch = live.watch(resource, listing.resource_version)
            watching.append(group.create_task(watch, name=f"the watch of {resource}"))
        try:
            yield
        finally:
            for task in watching:
                task.cancel()


def said(line: str) -> None:
    """Progress of an image that is made: it may take minutes."""
    sys.stderr.write(f"{line}\n")


def a_small_ray(*, workers: int, shared: Path | None = None) -> Json:
    """The spec of a RayCluster that a laptop carries; `shared`, a folder of this machine, is /shared in its head."""
    head = _a_node("ray-head", memory="2Gi")
    if shared is not None:
        head["containers"][0]["volumeMounts"] = [{"name": "shared", "mountPath": "/shared"}]
        head["volumes"] = [{"name": "shared", "hostPath": {"path": str(shared), "type": "Directory"}}]
    group = {"groupName": "small", "replicas": workers, "minReplicas": 0, "maxReplicas": 4, "rayStartParams": {}}
    return {
        "rayVersion": RAY_VERSION,
        "headGroupSpec": {"rayStartParams": {}, "template": {"spec": head}},
        "workerGroupSpecs": [group | {"template": {"spec": _a_node("ray-worker", memory="1Gi")}}],
    }


def _a_node(name: str, *, memory: str) -> Json:
    resources = {"limits": {"cpu": "1", "memory": memory}, "requests": {"cpu": "200m", "memory": "512Mi"}}
    return {"containers": [{"name": name, "image": IMAGE, "resources": resources}]}
