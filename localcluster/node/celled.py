"""Pods in namespaces of their own, inside a cell (cell.py): the level of isolation that is like a real node's.

pod         network, UTS and IPC namespaces, held as descriptors; an address on the cell's bridge; a folder
container   mount and PID namespaces of its own, the machine's files read-only with the pod's mounted over them
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

from localcluster.addresses import IN_A_CELL, AddressPlan
from localcluster.mirror import Mirror
from localcluster.node import kernel, volumes
from localcluster.node.dns import names_of, serving_names
from localcluster.node.ground import Place, Start
from localcluster.node.interfaces import Fault, VolumeContents
from localcluster.node.launching import Launch, Launched, enter, launch, place
from localcluster.node.network import NETMASK, Link, Network, networking
from localcluster.node.rootfs import Mount

__all__ = ["CellGround", "in_namespaces"]

Json: TypeAlias = dict[str, Any]

GATEWAY = IN_A_CELL.node


class CellGround:
    """Implements `Ground`. Entered as a block by `in_namespaces`."""

    def __init__(self, network: Network, claims: Path) -> None:
        self._network, self._claims = network, claims
        self._held: dict[str, tuple[list[int], Link | None]] = {}  # by pod: namespaces, interface

    @property
    def addresses(self) -> AddressPlan:
        """The cell's."""
        return IN_A_CELL

    def reach(self, address: str, port: int) -> tuple[str, int]:
        """Just there."""
        return address, port

    def relocate(self, address: str, port: int, number: int | None) -> None:
        """Every port can be had in a cell: nobody asks for this."""

    async def settle(self, pod: Json, contents: Mapping[str, VolumeContents], folder: Path) -> Place:
        """Namespaces, an interface, a folder."""
        link: Link | None = None

        async def attach(pid: int) -> Json:
            nonlocal link
            link = await self._network.attach(pid)
            return {"address": link.address, "netmask": NETMASK, "gateway": GATEWAY}

        on_host = bool(pod["spec"].get("hostNetwork"))
        try:
            async with place(volumes.hostname_of(pod), None if on_host else attach) as namespaces:
                address = link.address if link is not None else GATEWAY
                etc = volumes.etc_files(pod, address, GATEWAY)
                files = volumes.provide(pod, contents, folder, self._claims, etc)
        except OSError as error:
            await self._detach(link)
            raise Fault("FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}") from error
        except BaseException:
            await self._detach(link)
            raise
        self._held[pod["metadata"]["uid"]] = namespaces, link
        return Place(pod, address, files)

    async def leave(self, place: Place) -> None:
        """The namespaces go with the last who holds them."""
        namespaces, link = self._held.pop(place.uid)
        for descriptor in namespaces:
            os.close(descriptor)
        await self._detach(link)
        volumes.remove(place.files)

    async def _detach(self, link: Link | None) -> None:
        if link is not None:
            await self._network.detach(link)

    async def launch(self, place: Place, start: Start) -> Launched:
        """In the pod's namespaces, and some of its own."""
        what = Launch(
            command=start.command,
            environment=start.environment,
            directory=start.container.working_dir or start.image.home,
            mounts=_mounts(place, start),
            log=str(start.log),
            scratch=str(start.own / "root"),
        )
        return await launch(what, self._held[place.uid][0])

    async def enter(self, launched: Launched, command: Sequence[str], *, timeout_seconds: float) -> tuple[int, bytes]:
        """In all of the container's namespaces."""
        return await enter(launched, command, timeout_seconds=timeout_seconds)


def _mounts(place: Place, start: Start) -> list[Mount]:
    folder, private = os.path.realpath(place.files.folder), os.path.realpath(start.own)
    mounts = [
        Mount(f"{private}/tmp", "/tmp"),  # noqa: S108 - the container's
        Mount(f"{private}/home", start.image.home),
        Mount(f"{folder}/shm", "/dev/shm"),  # noqa: S108
    ]
    mounts += [Mount(f"{folder}/etc/{name}", f"/etc/{name}") for name in ("hosts", "resolv.conf", "hostname")]
    mounts += [Mount(os.path.realpath(source), target, True) for source, target in start.image.mounts]
    return mounts + volumes.mounts_of(start.container, place.files.sources)


def _name_server_of_the_cell(file: Path) -> None:
    """The other programs of the cell, the operator above all, find services by name as pods do."""
    machine = os.path.realpath("/etc/resolv.conf")
    if not Path(machine).exists():
        return  # then everybody asks the loopback's name server, where ours listens, too
    file.write_text(f"nameserver {GATEWAY}\nsearch svc.cluster.local cluster.local\noptions ndots:5\n")
    kernel.mount(os.path.realpath(file), machine, flags=kernel.MS_BIND)


@asynccontextmanager
async def in_namespaces(directory: Path, services: Mirror, slices: Mirror) -> AsyncIterator[CellGround]:
    """Network and name server are up while the block lasts. Must run in a cell, since it mounts and makes interfaces
    as if the machine were its own. Raises OSError elsewhere."""
    _name_server_of_the_cell(directory / "resolv.conf")
    lookup = names_of(services.objects, slices.objects)
    async with networking() as network, serving_names(lookup, GATEWAY), serving_names(lookup, IN_A_CELL.host):
        yield CellGround(network, directory / "claims")
