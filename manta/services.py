"""Loopback ports for what RayServices serve: the port of the serve Service itself, where it is free."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from api.v1.wire import LABEL_ORIGIN_NAME, LABEL_SERVE
from manta.doors import Door, Shared
from manta.lines import Line
from manta.show import Show

__all__ = ["Addresses"]

PORT_NAME: Final = "serve"


class Addresses:
    """Where the RayServices of a cluster answer on this machine, as that becomes known; each is told."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self._found: dict[tuple[str, str], asyncio.Future[str]] = {}

    @property
    def shared(self) -> Shared:
        """What opens the ports."""
        return Shared("/api/v1/services", LABEL_SERVE, door_of, self._opened)

    async def of(self, namespace: str, name: str) -> str:
        """The URL of a RayService, once it has one."""
        return await asyncio.shield(self._future(namespace, name))

    async def _opened(self, service: Mapping[str, Any], port: int) -> None:
        metadata = service["metadata"]
        name, url = metadata["labels"].get(LABEL_ORIGIN_NAME, metadata["name"]), f"http://127.0.0.1:{port}"
        self._show.tell(Line("url", f"RayService {name}", f"serves on {url}"))
        future = self._future(metadata["namespace"], name)
        if not future.done():  # a Service made again is told, and who asked has been answered
            future.set_result(url)

    def _future(self, namespace: str, name: str) -> asyncio.Future[str]:
        return self._found.setdefault((namespace, name), asyncio.get_running_loop().create_future())


def door_of(service: Mapping[str, Any]) -> Door | None:
    """Of a Service that has an address; its port here is the one it has there, where nobody else has that."""
    spec = service["spec"]
    address, ports = spec.get("clusterIP") or "None", spec.get("ports") or ()
    port = next((one["port"] for one in ports if one.get("name") == PORT_NAME), None)
    return Door(address, port, preferred=port) if address != "None" and port is not None else None
