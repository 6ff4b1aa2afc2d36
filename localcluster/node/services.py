"""The addresses of services: a TCP proxy inside the cell, that spreads connections over a service's ready endpoints.

The whole service range is local to the cell (network.py), so one can listen on any address of it. A port is open as
long as somebody stands behind it: without ready endpoints a connection is refused, as kube-proxy does it. Connections
once made stay when the endpoints change.

On a machine that pods share an ordinary user may not have every port, and other programs have some: then the ground is
told where the service is instead, and the user by an event.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

from localcluster.mirror import Key, Mirror
from localcluster.node.forward import carry
from localcluster.node.ground import Ground
from localcluster.node.shared.limits import port_moved, port_not_carried, port_taken
from localcluster.worklist import Worklist

__all__ = ["Backends", "Listen", "Told", "backends", "proxying"]

Json: TypeAlias = dict[str, Any]
Target: TypeAlias = tuple[str, int]
Backends: TypeAlias = dict[Target, tuple[Target, ...]]
Told: TypeAlias = Callable[[Json, str], None]  # a service, and a sentence about what it does not get
Serve: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Listen: TypeAlias = Callable[[Serve, str, int], Awaitable[asyncio.Server]]

CONNECT_SECONDS: Final = 10.0
KUBERNETES: Final = ("default", "kubernetes")  # the API server's own service: it listens on the cell's loopback
OWNER: Final = "kubernetes.io/service-name"


def backends(service: Json, slices: Iterable[Json], host: str = "127.0.0.1") -> Backends:
    """For each (address, port) of the service, in order, what stands behind it and is ready. TCP only.

    `host` is where the API server listens, for its own service.
    """
    spec = service["spec"]
    address = spec.get("clusterIP") or "None"
    if address == "None" or spec.get("type") == "ExternalName":
        return {}
    own = list(slices)
    found: Backends = {}
    for port in spec.get("ports") or ():
        if port.get("protocol", "TCP") == "TCP":
            found[address, port["port"]] = tuple(_behind(port.get("name") or "", own))
    metadata = service["metadata"]
    if (metadata["namespace"], metadata["name"]) == KUBERNETES:
        for port in spec.get("ports") or ():
            found[address, port["port"]] = ((host, int(port.get("targetPort") or port["port"])),)
    return found


def _behind(name: str, slices: Sequence[Json]) -> Iterable[Target]:
    for item in slices:
        for port in item.get("ports") or ():
            if (port.get("name") or "") != name or port.get("port") is None:
                continue
            for one in item.get("endpoints") or ():
                if (one.get("conditions") or {}).get("ready", True):
                    yield from ((address, port["port"]) for address in one["addresses"])


def _not_carried(service: Json | None) -> set[tuple[str, int]]:
    """Protocols and ports of the service's address to which nobody listens."""
    spec: Json = (service or {}).get("spec") or {}
    if spec.get("type") == "ExternalName" or spec.get("clusterIP") in (None, "", "None"):
        return set()
    every = [(port.get("protocol") or "TCP", int(port["port"])) for port in spec.get("ports") or ()]
    return {one for one in every if one[0] != "TCP"}


class _Listener:
    """One (address, port) of a service."""

    def __init__(self, reach: Callable[[str, int], Target]) -> None:
        self.targets: tuple[Target, ...] = ()
        self.server: asyncio.Server | None = None
        self.relocated = False
        self.reach = reach
        self._turns = itertools.count()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to the next endpoint that can be reached."""
        targets = self.targets
        first = next(self._turns)
        for number in range(len(targets)):
            host, port = self.reach(*targets[(first + number) % len(targets)])
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    inner = await asyncio.open_connection(host, port)
            except (OSError, TimeoutError):
                continue
            await carry((reader, writer), inner)
            return
        writer.transport.abort()


class _Proxy:
    def __init__(self, services: Mirror, slices: Mirror, ground: Ground, told: Told, listen: Listen) -> None:
        self._services, self._slices, self._ground = services, slices, ground
        self._told, self._listen = told, listen
        self._listeners: dict[Key, dict[Target, _Listener]] = {}
        self.work: Worklist[Key] = Worklist(self._look, workers=1)

    def service_changed(self, old: Json | None, new: Json | None) -> None:
        metadata = (new or old or {})["metadata"]
        key = metadata["namespace"], metadata["name"]
        for protocol, port in sorted(_not_carried(new) - _not_carried(old)):
            self._tell(key, port_not_carried(port, protocol))
        self.work.add(key)

    def slice_changed(self, old: Json | None, new: Json | None) -> None:
        metadata = (new or old or {})["metadata"]
        owner = (metadata.get("labels") or {}).get(OWNER)
        if owner:
            self.work.add((metadata["namespace"], owner))

    async def _look(self, key: Key) -> None:
        wanted = self._wanted(key, self._services.get(*key))
        listeners = self._listeners.setdefault(key, {})
        for place in [place for place in listeners if not wanted.get(place)]:
            self._close(place, listeners.pop(place))
        for place, targets in wanted.items():
            if not targets:
                continue
            if place not in listeners:
                listeners[place] = await self._listening(key, place)
            listeners[place].targets = targets
        if not listeners:
            del self._listeners[key]

    async def _listening(self, key: Key, place: Target) -> _Listener:
        """Raises OSError for a port that somebody else has: it is tried again."""
        listener = _Listener(self._ground.reach)
        address, port = place
        try:
            listener.server = await self._listen(listener.serve, address, port)
        except PermissionError:
            listener.server = await self._listen(listener.serve, address, 0)
            number: int = listener.server.sockets[0].getsockname()[1]
            self._ground.relocate(address, port, number)
            listener.relocated = True
            self._tell(key, port_moved(address, port, number))
        except OSError as error:
            self._tell(key, port_taken(port, error.strerror or str(error)))
            raise
        return listener

    def _tell(self, key: Key, sentence: str) -> None:
        service = self._services.get(*key)
        if service is not None:
            self._told({"kind": "Service", "apiVersion": "v1", "metadata": service["metadata"]}, sentence)

    def _wanted(self, key: Key, service: Json | None) -> Mapping[Target, tuple[Target, ...]]:
        if service is None:
            return {}
        namespace, name = key
        own = [
            item
            for (where, _), item in self._slices.objects.items()
            if where == namespace and (item["metadata"].get("labels") or {}).get(OWNER) == name
        ]
        return backends(service, own, self._ground.addresses.host)

    def close(self) -> None:
        for listeners in self._listeners.values():
            for place, listener in listeners.items():
                self._close(place, listener)

    def _close(self, place: Target, listener: _Listener) -> None:
        if listener.server is not None:
            listener.server.close()
        if listener.relocated:
            self._ground.relocate(*place, None)


async def _listen(serve: Serve, address: str, port: int) -> asyncio.Server:
    return await asyncio.start_server(serve, address, port)


@asynccontextmanager
async def proxying(
    services: Mirror,
    slices: Mirror,
    ground: Ground,
    *,
    told: Told = lambda service, sentence: None,
    listen: Listen = _listen,
) -> AsyncIterator[None]:
    """Services have their addresses while the block lasts."""
    proxy = _Proxy(services, slices, ground, told, listen)
    services.subscribe(proxy.service_changed)
    slices.subscribe(proxy.slice_changed)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(proxy.work.run())
        try:
            yield
        finally:
            task.cancel()
            proxy.close()
