"""Kinds whose objects the API takes and nobody works on: their users are told, on the object and in `manta up`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final

import aiohttp

from api.meta import Resource
from api.v1.wire import RAY_CRON_JOBS
from manta.api import Api, Refused
from manta.show import Show

__all__ = ["NOT_YET", "sentence", "telling_what_is_not_run"]

NOT_YET: Final = (RAY_CRON_JOBS,)
REASON: Final = "NotSupported"


def sentence(kind: str) -> str:
    """For the user of such an object."""
    return f"this version runs RayCluster, RayJob and RayService, not yet {kind}"


@asynccontextmanager
async def telling_what_is_not_run(api: Api, show: Show) -> AsyncIterator[None]:
    """While the block is open, every new object of such a kind gets an Event, and a line is shown."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(tell_all(api, resource, show)) for resource in NOT_YET]
        yield
        for task in tasks:
            task.cancel()


async def tell_all(api: Api, resource: Resource, show: Show) -> None:
    """One kind; ends with the server."""
    try:
        async with aclosing(api.watch(f"/apis/{resource.group}/{resource.version}/{resource.plural}")) as events:  # type: ignore[type-var]
            async for type_, body in events:
                if type_ == "ADDED":
                    await tell(api, resource, body, show)
    except aiohttp.ClientError:
        return  # the server is gone, and all else with it


async def tell(api: Api, resource: Resource, body: Mapping[str, Any], show: Show) -> None:
    """One object: its event first, so that it is there once the line is."""
    metadata, said = body["metadata"], ""
    try:
        await api.create(warning(resource, metadata, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())))
    except Refused as refused:  # the namespace may be on its way out
        said = f" (and no event could be written about it: {refused.message})"
    about = f"{resource.kind} {metadata['namespace']}/{metadata['name']}"
    show.say(f"! {about}: {sentence(resource.kind)}; nothing will happen{said}")


def warning(resource: Resource, metadata: Mapping[str, Any], now: str) -> dict[str, Any]:
    """The Event that `kubectl describe` shows; its name is derived, so that there is one for each object."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{metadata['uid'][:8]}", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": f"{resource.group}/{resource.version}",
            "kind": resource.kind,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "type": "Warning",
        "reason": REASON,
        "message": sentence(resource.kind),
        "source": {"component": "manta"},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
