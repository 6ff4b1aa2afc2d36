"""A real local cluster in a real cell, for tests that run pods as processes, and what is left of one afterwards."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp

from localcluster.httpapi import HttpApi
from localcluster.node import kernel
from localcluster.node.cell import Cell, Program
from localcluster.node.descent import below
from manta.local import Level, started

__all__ = [
    "Celled",
    "Traces",
    "a_celled_cluster",
    "a_pod",
    "a_service",
    "created",
    "descendants",
    "is_ready",
    "mentioned",
    "nothing_lives",
]

Json: TypeAlias = dict[str, Any]

TOKEN = "for-tests"  # noqa: S105
MACHINE = '[images."machine:*"]\nmachine = true\n'
PATIENCE_SECONDS = 60.0
MARKED = ("mountinfo", "environ")
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Celled:
    """A cluster in a cell, and the way to it."""

    cell: Cell
    api: HttpApi
    session: aiohttp.ClientSession
    directory: Path

    async def until(
        self, resource: str, name: str, true: Callable[[Json], bool], *, namespace: str = "default"
    ) -> Json:
        """The object once that is true of it. Raises AssertionError with its last state."""
        last: Json = {}
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                listing = await self.api.list(resource, namespace)
                for last in (one for one in listing.items if one["metadata"]["name"] == name):
                    if true(last):
                        return last
                async for _, item in self.api.watch(resource, namespace, resource_version=listing.resource_version):
                    if item.get("metadata", {}).get("name") == name:
                        last = item
                        if true(item):
                            return item
        except TimeoutError:
            log = (self.directory / "cluster.log").read_text()
            raise AssertionError(f"{resource} {name} is {last.get('status')}\n{log[-4000:]}") from None
        raise AssertionError("the watch ended")

    async def gone(self, name: str) -> None:
        """Until there is no such pod."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            listing = await self.api.list("pods", "default")
            if all(one["metadata"]["name"] != name for one in listing.items):
                return
            async for type_, item in self.api.watch("pods", "default", resource_version=listing.resource_version):
                if type_ == "DELETED" and item["metadata"]["name"] == name:
                    return

    async def ready(self, name: str) -> Json:
        """The pod once it is ready."""
        return await self.until("pods", name, is_ready)

    async def ended(self, name: str) -> Json:
        """The pod once it has ended."""
        return await self.until(
            "pods", name, lambda pod: (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        )

    async def log(self, name: str, **query: str) -> str:
        """Its output."""
        path = f"http://localhost/api/v1/namespaces/default/pods/{name}/log"
        async with self.session.get(path, params=query) as answer:
            return await answer.text()


def is_ready(pod: Json) -> bool:
    """Does its condition say so?"""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def a_pod(name: str, script: str, *, image: str = "machine:any", **more: Any) -> Json:
    """A pod whose one container runs a shell script; `container` adds to the container, all else to the spec."""
    container = {"name": "main", "image": image, "command": ["bash", "-c", script], **more.pop("container", {})}
    spec = {"restartPolicy": "Never", "containers": [container], **more}
    metadata = {"name": name, "namespace": "default", "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def a_service(name: str, port: int, target: int, **spec: Any) -> Json:
    """A service in front of the pods of `a_pod(name, ...)`."""
    ports = [{"port": port, "targetPort": target}]
    metadata = {"name": name, "namespace": "default"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": {"app": name}, "ports": ports, **spec},
    }


@asynccontextmanager
async def a_celled_cluster(
    directory: Path, images: Path, *, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Celled]:
    """In a cell; where there are no namespaces to be had, on the machine that all share."""
    (directory / "token").write_text(TOKEN)
    config = directory / "config" / "manta" / "images.toml"
    config.parent.mkdir(parents=True)
    config.write_text(MACHINE)
    inside = (sys.executable, "-m", "localcluster.inside", "--directory", str(directory), "--images", str(images))

    def programs_at(level: Level) -> list[Program]:
        block = () if level.block is None else ("--block", str(level.block))
        given = {"XDG_CONFIG_HOME": str(directory / "config"), "PYTHONPATH": str(ROOT), **(environment or {})}
        log = str(directory / "cluster.log")
        return [Program("local cluster", (*inside, *block), environment=given, log=log)]

    async with AsyncExitStack() as stack:
        cell, _ = await stack.enter_async_context(started(programs_at, "auto", print))
        await created(directory / "ready")
        connector = aiohttp.UnixConnector(str(directory / "api.sock"))
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                connector=connector,
                headers={"Authorization": f"Bearer {TOKEN}"},
                timeout=aiohttp.ClientTimeout(total=None),
            )
        )
        celled = Celled(cell, HttpApi(session, "http://localhost"), session, directory)
        await celled.until("serviceaccounts", "default", lambda account: True)
        yield celled


async def created(path: Path) -> None:
    """Until there is such a file, in a folder that is there."""
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    notifier = kernel.notify_of_changes(str(path.parent))

    def notice() -> None:
        os.read(notifier, 4096)
        changed.set()

    loop.add_reader(notifier, notice)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not os.access(path, os.F_OK):
                changed.clear()
                await changed.wait()
    finally:
        loop.remove_reader(notifier)
        os.close(notifier)


def descendants(pid: int) -> list[int]:
    """The processes below that one, itself included."""
    return [pid, *below(pid)]


class Traces:
    """Some processes, to see later that all of them are gone: those below one, or those that `mentioned` finds."""

    def __init__(self, *pids: int) -> None:
        self._descriptors = [descriptor for pid in pids for one in descendants(pid) for descriptor in _open(one)]

    async def gone(self) -> None:
        """Until all of them have ended. Raises TimeoutError for one that stays."""
        loop = asyncio.get_running_loop()
        for descriptor in self._descriptors:
            ended = asyncio.Event()
            loop.add_reader(descriptor, ended.set)
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await ended.wait()
            finally:
                loop.remove_reader(descriptor)
                os.close(descriptor)


def _open(pid: int) -> list[int]:
    try:
        return [os.pidfd_open(pid)]
    except ProcessLookupError:
        return []


async def nothing_lives(folder: Path, traces: Traces) -> None:
    """No process of that run, and with them none of its namespaces, mounts and interfaces.

    What began after the traces were taken is waited for, too: the kernel ends a cell within moments, not at once. A
    mount or an interface outside of the cell would be seen by this process, which lives where the machine does.
    """
    await traces.gone()
    await Traces(*mentioned(str(folder))).gone()
    assert mentioned(str(folder)) == {}
    assert [name for name in interfaces() if re.fullmatch(r"manta\d+|pod\d+", name)] == []


def interfaces() -> list[str]:
    """The network interfaces that this process can see."""
    return [line.split(":")[0].strip() for line in Path("/proc/self/net/dev").read_text().splitlines()[2:]]


def mentioned(text: str) -> dict[int, str]:
    """The machine's processes that have to do with a folder, with their command lines: by name, or it is mounted.

    Every process of a cell has, since the cell's and every pod's mounts come from the cluster's folder. Namespaces live
    as long as their processes; to compare their numbers would prove nothing, the kernel gives them away again at once.
    Without a cell, the environment of a pod's processes names the folder.
    """
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text().replace("\0", " ")
            if text in command or any(text in (process / one).read_text(errors="replace") for one in MARKED):
                found[int(process.name)] = command
        except OSError:
            continue  # it ended, or is a zombie of which nothing but the name is left
    return found
