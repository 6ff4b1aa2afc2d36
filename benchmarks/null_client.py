"""The reference of `scale`: a client that writes what the operator writes and does nothing else.

    python -m benchmarks.null_client KUBECONFIG SCRIPT

The same watches are open as the operator's, and what they bring is thrown away but for which RayClusters came and which
of their pods are ready. There is no cache, no queue and no decision: bodies are text in which a name and a UID are put.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

__all__ = ["NAME", "UID", "WORKS", "Request", "Script"]

WORKS = "the null client watches"
NAME, UID = "the-cluster", "the-uid-of-the-cluster"  # what is replaced in bodies and paths
AT_ONCE = 16  # clusters whose writes are under way, as the operator has workers


class Request(msgspec.Struct, frozen=True):
    """One write, with placeholders in it."""

    method: str
    path: str
    body: str
    content_type: str = "application/json"


class Script(msgspec.Struct, frozen=True):
    """What to watch, and what to write: one after another what is in `first`, side by side what stands in one step."""

    watched: Sequence[tuple[str, str]]  # path and label selector; RayClusters, then pods, then the others
    first: Sequence[Sequence[Request]]
    beside: Sequence[Request]  # events, which nobody waits for
    ready: Sequence[Request]
    pods: int


class _Metadata(msgspec.Struct):
    name: str
    uid: str
    resourceVersion: str  # noqa: N815 - as on the wire
    labels: dict[str, str] = {}


class _Condition(msgspec.Struct):
    type: str
    status: str


class _Status(msgspec.Struct):
    conditions: list[_Condition] = []


class _Object(msgspec.Struct):
    metadata: _Metadata
    status: _Status = msgspec.field(default_factory=_Status)


class _Event(msgspec.Struct):
    type: str
    object: _Object


_decode = msgspec.json.Decoder(_Event).decode


@dataclass(frozen=True, slots=True)
class Client:
    """Writes what the script says, for each RayCluster that comes."""

    session: aiohttp.ClientSession
    script: Script
    limit: asyncio.Semaphore
    ready: defaultdict[str, set[str]]
    uids: dict[str, str]

    async def run(self) -> None:
        """Watch and write until cancelled."""
        clusters, pods, *others = self.script.watched
        async with asyncio.TaskGroup() as group:
            group.create_task(self._clusters(*clusters, group))
            group.create_task(self._pods(*pods, group))
            for path, selector in others:
                group.create_task(self._ignored(path, selector))
            print(WORKS, flush=True)

    async def _clusters(self, path: str, selector: str, group: asyncio.TaskGroup) -> None:
        async for event in self._events(path, selector):
            if event.type == "ADDED":
                self.uids[event.object.metadata.name] = event.object.metadata.uid
                group.create_task(self._first(event.object.metadata.name, group))

    async def _pods(self, path: str, selector: str, group: asyncio.TaskGroup) -> None:
        async for event in self._events(path, selector):
            one = event.object
            if any(condition.type == "Ready" and condition.status == "True" for condition in one.status.conditions):
                cluster = one.metadata.labels["ray.io/cluster"]
                known = self.ready[cluster]
                before = len(known)
                known.add(one.metadata.name)
                if before < len(known) == self.script.pods:
                    group.create_task(self._all(self.script.ready, cluster))

    async def _ignored(self, path: str, selector: str) -> None:
        async for _ in self._events(path, selector):
            pass

    async def _events(self, path: str, selector: str) -> AsyncIterator[_Event]:
        """A watch, opened again where it ended: a server closes those that read too slowly."""
        version = ""
        while True:
            query = {"watch": "true", "labelSelector": selector, "resourceVersion": version}
            query = {key: value for key, value in query.items() if value}
            async with self.session.get(path, params=query) as answer:
                answer.raise_for_status()
                async for line in _lines(answer.content):
                    event = _decode(line)
                    version = event.object.metadata.resourceVersion
                    yield event

    async def _first(self, cluster: str, group: asyncio.TaskGroup) -> None:
        async with self.limit:
            for step in self.script.first:
                async with asyncio.TaskGroup() as side_by_side:
                    for request in step:
                        side_by_side.create_task(self._send(request, cluster))
            group.create_task(self._all(self.script.beside, cluster))

    async def _all(self, requests: Sequence[Request], cluster: str) -> None:
        for request in requests:
            await self._send(request, cluster)

    async def _send(self, request: Request, cluster: str) -> None:
        body = request.body.replace(UID, self.uids[cluster]).replace(NAME, cluster).encode()
        headers = {"Content-Type": request.content_type}
        path = request.path.replace(NAME, cluster)
        async with self.session.request(request.method, path, data=BytesIO(body), headers=headers) as answer:
            said = await answer.read()
            if answer.status >= 400:
                raise RuntimeError(f"{request.method} {path}: {said.decode()}")


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line


def main(kubeconfig: Path, script: Path) -> None:
    """Until it is ended, or a write is refused."""
    config = json.loads(kubeconfig.read_text())
    asyncio.run(_run(config, msgspec.json.decode(script.read_bytes(), type=Script)))


async def _run(config: Mapping[str, Any], script: Script) -> None:
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    tls = ssl.create_default_context(cafile=cluster["certificate-authority"])
    async with aiohttp.ClientSession(
        cluster["server"],
        connector=aiohttp.TCPConnector(ssl=tls, limit=0),
        headers={"Authorization": f"Bearer {user['token']}"},
        timeout=aiohttp.ClientTimeout(total=None),
    ) as session:
        await Client(session, script, asyncio.Semaphore(AT_ONCE), defaultdict(set), {}).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
