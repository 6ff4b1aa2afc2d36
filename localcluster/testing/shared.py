"""An open ground of a shared machine with its API and services, on this process's own block of addresses.

Pods are placed and containers started on it without images, kubelet or operator.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from localcluster.addresses import AddressPlan, shared_machine
from localcluster.apiserver.local import LocalApi
from localcluster.apiserver.server import ApiServer
from localcluster.controllers.manager import mirroring
from localcluster.node.ground import Ground, Place, Start
from localcluster.node.images import Image
from localcluster.node.interfaces import Container, VolumeContents
from localcluster.node.launching import Launched
from localcluster.node.services import Serve, proxying
from localcluster.node.shared.ground import SharedMachine
from localcluster.testing.block import own_block

__all__ = ["HOME", "IMAGE", "PLAN", "SLICES", "Machine", "a_machine", "living"]

PLAN = shared_machine(own_block())
SLICES = "endpointslices.discovery.k8s.io"
HOME = "/home/nobody-has-this"
IMAGE = Image("machine:x", {"PATH": os.environ["PATH"], "HOME": HOME}, HOME)


@dataclass
class Machine:
    """An open ground, and the API of the cluster on it."""

    ground: Ground
    api: LocalApi
    run: Path
    events: list[str] = field(default_factory=list)
    refused: dict[int, OSError] = field(default_factory=dict)  # by port: what listening there ends with

    told: asyncio.Event = field(default_factory=asyncio.Event)
    listens: defaultdict[int, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))

    async def place(
        self,
        uid: str = "u1",
        *,
        namespace: str = "default",
        contents: Mapping[str, VolumeContents] | None = None,
        **spec: Any,
    ) -> Place:
        """A pod that has its place; `spec` is its spec's."""
        pod = {
            "metadata": {"name": f"pod-{uid}", "namespace": namespace, "uid": uid},
            "spec": {"containers": [], **spec},
        }
        return await self.ground.settle(pod, contents or {}, self.run / "pods" / uid)

    def start(
        self,
        place: Place,
        command: Sequence[str],
        *,
        image: Image = IMAGE,
        environment: Mapping[str, str] | None = None,
        attempt: int = 0,
        **container: Any,
    ) -> Start:
        """All that a start needs, with its folders made; `container` is more of the container."""
        own = place.files.folder / "containers" / f"main-{attempt}"
        for name in ("home", "tmp", "root"):
            (own / name).mkdir(parents=True)
        one = Container(place.uid, "main", attempt, "x", (), (), (), **container)
        return Start(one, image, command, {**image.environment, **(environment or {})}, own, own / "log")

    async def output(self, place: Place, start: Start) -> str:
        """All that it says until it ends, which it must do by itself."""
        launched = await self.ground.launch(place, start)
        await launched.watch()
        return start.log.read_text()

    async def said_by(self, place: Place, script: str, **start: Any) -> str:
        """All output of a script in that pod."""
        return await self.output(place, self.start(place, ["bash", "-c", script], **start))

    @asynccontextmanager
    async def runs(self, place: Place, *, attempt: int = 0) -> AsyncIterator[Launched]:
        """A container of that pod that does nothing, until the end of the block."""
        launched = await self.ground.launch(place, self.start(place, ["sleep", "600"], attempt=attempt))
        async with living(launched):
            yield launched

    async def listen(self, serve: Serve, address: str, port: int) -> asyncio.Server:
        """As the machine would, but for what is `refused`."""
        if port in self.refused:
            raise self.refused[port]
        server = await asyncio.start_server(serve, address, port)
        self.listens[port].set()
        return server


@asynccontextmanager
async def living(launched: Launched) -> AsyncIterator[None]:
    """The container is watched over, and killed at the end of the block."""
    async with asyncio.TaskGroup() as group:
        group.create_task(launched.watch())
        try:
            yield
        finally:
            launched.kill()
            await launched.ended


@asynccontextmanager
async def a_machine(run: Path, *, pods: str = "") -> AsyncIterator[Machine]:
    """A ground with its services. `pods`: less of a network for them than the block has."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    plan: AddressPlan = replace(PLAN, pods=type(PLAN.pods)(pods)) if pods else PLAN
    api = LocalApi(ApiServer(now=lambda: now, chance=random.Random(0), addresses=plan))
    async with mirroring(api) as mirrors:
        services, slices = mirrors.of("services"), mirrors.of(SLICES)
        await mirrors.synced("services", SLICES)
        async with SharedMachine(plan).opened(run, services, slices) as ground:
            machine = Machine(ground, api, run)

            def told(service: Any, sentence: str) -> None:
                machine.events.append(f"{service['metadata']['name']}: {sentence}")
                machine.told.set()

            async with proxying(services, slices, ground, told=told, listen=machine.listen):
                yield machine
