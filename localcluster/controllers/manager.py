"""All controllers of the control plane in one block, on shared mirrors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from localcluster.api import Api
from localcluster.controllers.accounts import AccountController
from localcluster.controllers.endpoints import EndpointsController
from localcluster.controllers.garbage import GarbageCollector
from localcluster.controllers.jobs import JobController
from localcluster.controllers.namespaces import NamespaceController
from localcluster.controllers.nodes import NodeController
from localcluster.controllers.podgc import PodGarbageCollector
from localcluster.mirror import Mirrors
from localcluster.node.scheduler import Scheduler

__all__ = ["controlling", "mirroring"]


@asynccontextmanager
async def mirroring(api: Api) -> AsyncIterator[Mirrors]:
    """Mirrors that controllers and nodes share; they end with the block."""
    async with asyncio.TaskGroup() as group:
        mirrors = Mirrors(api, group)
        try:
            yield mirrors
        finally:
            mirrors.close()


@asynccontextmanager
async def controlling(
    api: Api, mirrors: Mirrors, *, now: Callable[[], datetime], certificate: str = "", tell_events: bool = True
) -> AsyncIterator[NodeController]:
    """Scheduler and controllers work while the block lasts; gives the one that is told when a node is cut off."""
    nodes = NodeController(api, mirrors, now=now)
    runs = [
        AccountController(api, mirrors, certificate=certificate).run,
        Scheduler(api, mirrors, now=now, tell_events=tell_events).run,
        JobController(api, mirrors, now=now).run,
        EndpointsController(api, mirrors).run,
        NamespaceController(api, mirrors, now=now).run,
        PodGarbageCollector(api, mirrors).run,
        GarbageCollector(api, mirrors).run,
        nodes.run,
    ]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(), name=f"controller {run.__qualname__}") for run in runs]
        try:
            yield nodes
        finally:
            for task in tasks:
                task.cancel()
