"""A toy application on the runtime, and a line to the server that can be cut: what the runtime's stories stand on.

A ConfigMap that wants so many children gets them, under names that are *random*, so nothing but reading our own
writes keeps the controller from making too many.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from api.core import CONFIG_MAPS
from api.meta import Json, Ref, owner_reference
from controller.runtime.apply import apply
from controller.runtime.cache.informer import Watched
from controller.runtime.client.rest import Identity
from controller.runtime.client.transport import Answer, Broken, Pool, Transport, connected
from controller.runtime.errors import Unreachable
from controller.runtime.handlers import Source, for_object, for_owner
from controller.runtime.loop import Controller
from controller.runtime.manager import Kit, Runtime, running
from controller.runtime.permit import Permit
from controller.runtime.plan import DONE, Announcement, Create, Delete, Plan, Result, Step
from localcluster.testing.cluster import Cluster

__all__ = ["CHILD", "US", "Line", "Operated", "Toy", "operated"]

CHILD = "child"  # label
US = "toy*"  # our User-Agent


class Line:
    """Our line to the server, which can be cut."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._reads: set[asyncio.Timeout] = set()
        self.down = False
        self.tries = 0

    def cut(self) -> None:
        """Every stream that somebody reads from breaks."""
        for read in self._reads:
            read.reschedule(asyncio.get_running_loop().time())

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
        self.tries += 1
        if self.down:
            raise Unreachable("the line is down")
        async with self._transport.request(
            method, path, query=query, headers=headers, body=body, pool=pool, permit=permit
        ) as answer:
            yield _Cuttable(answer, self._reads)


class _Cuttable:
    def __init__(self, answer: Answer, reads: set[asyncio.Timeout]) -> None:
        self.status, self.headers = answer.status, answer.headers
        self._answer, self._reads = answer, reads

    async def read(self) -> bytes:
        return await self._answer.read()

    async def chunks(self) -> AsyncIterator[bytes]:
        chunks = self._answer.chunks()
        while (chunk := await self._next(chunks)) is not None:
            yield chunk

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        try:
            async with asyncio.timeout(None) as read:
                self._reads.add(read)
                try:
                    return await anext(chunks, None)
                finally:
                    self._reads.discard(read)
        except TimeoutError:
            if not read.expired():
                raise
            raise Broken("cut by the story") from None


class Toy:
    """Gives each ConfigMap as many children as its `count` wants, and tells an event when it has them."""

    def __init__(self, kit: Kit, seed: int) -> None:
        self.kit = kit
        self.passes = 0
        self.names = random.Random(seed)

    async def reconcile(self, key: Ref) -> Result:
        """See controller.runtime.interfaces.Reconciler."""
        self.passes += 1
        seen = await self.kit.caches.get(CONFIG_MAPS, key.namespace, key.name)
        if seen is None or "count" not in (seen.object().get("data") or {}):
            return DONE
        owner = seen.object()
        children = await self.kit.caches.owned(CONFIG_MAPS, seen.uid)
        missing = int(owner["data"]["count"]) - len(children)
        creates = [self._create(owner) for _ in range(missing)]
        deletes = [
            Delete(CONFIG_MAPS, one.ref.namespace, one.ref.name, one.uid) for one in children[: max(0, -missing)]
        ]
        done = await apply(self.kit.client, Plan(steps=(Step((tuple(creates), tuple(deletes))),)), seen.uid)
        if not done:
            tell = self.kit.recorder.about(CONFIG_MAPS, owner, "toy")
            tell(Announcement("Normal", "Complete", "Count", f"{len(children)} children"))
        failed = next((one.error for one in done if one.error is not None), None)
        return Result(error=failed) if failed is not None else DONE

    def _create(self, owner: Json) -> Create:
        name = f"{owner['metadata']['name']}-{self.names.getrandbits(40):010x}"
        metadata = {
            "name": name,
            "namespace": owner["metadata"]["namespace"],
            "labels": {"role": CHILD},
            "ownerReferences": [owner_reference(CONFIG_MAPS, owner)],
        }
        return Create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {}})


class Operated:
    """The toy at work on a cluster."""

    def __init__(self, cluster: Cluster, line: Line, kit: Kit, toy: Toy) -> None:
        self.cluster, self.line, self.kit, self.toy = cluster, line, kit, toy

    async def want(self, name: str, count: int) -> None:
        """Make or change the ConfigMap that wants so many children."""
        if await self.cluster.find("ConfigMap", name) is not None:
            await self.cluster.patch("ConfigMap", name, {"data": {"count": str(count)}})
            return
        metadata = {"name": name, "namespace": "default", "labels": {"role": "owner"}}
        await self.cluster.create(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"count": str(count)}}
        )

    async def children(self) -> list[str]:
        """Their names, from the server."""
        return [one.name for one in await self.cluster.all_of("ConfigMap", labels=f"role={CHILD}")]

    async def cached(self) -> list[str]:
        """The names of everything in our cache."""
        return sorted(one.ref.name for one in self.kit.caches.informers(CONFIG_MAPS)[0].store.all())

    def die(self) -> None:
        """Nothing of ours reaches the server any more."""
        self.line.down = True
        self.line.cut()

    def asked(self, verb: str) -> int:
        """How many requests of ours there were of that verb, for ConfigMaps."""
        mine = [one for one in self.cluster.faults.asked if one.agent.startswith("toy/")]
        return len([one for one in mine if one.verb == verb and one.resource == "configmaps"])


@asynccontextmanager
async def operated(cluster: Cluster, *, seed: int = 7, **watching: Any) -> AsyncIterator[Operated]:
    """The toy works on the cluster while the block is open; `watching` goes to its Watched."""
    toys: list[Toy] = []

    @asynccontextmanager
    async def build(kit: Kit) -> AsyncIterator[Sequence[Controller]]:
        toy = Toy(kit, seed)
        toys.append(toy)
        parts: Any = {"clock": kit.clock, "rng": kit.rng, "metrics": kit.metrics}
        sources = [Source(CONFIG_MAPS, for_object), Source(CONFIG_MAPS, for_owner(CONFIG_MAPS))]
        yield [Controller("toy", toy, sources, **parts)]

    async with connected("http://localhost", unix_socket=str(cluster.socket)) as transport:
        line = Line(transport)
        runtime = Runtime(
            transport=line,
            watched=[Watched(CONFIG_MAPS, **({"label_selector": "role"} | watching))],
            build=build,
            clock=cluster.clock,
            rng=random.Random(1),
            identity=Identity("toy", "1"),
        )
        async with running(runtime) as kit:
            yield Operated(cluster, line, kit, toys[0])
