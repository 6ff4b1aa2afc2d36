"""A machine that pods share: where they are placed, started and ended.

    RUN/names.json       the table of names (tables.py)
    RUN/ports/           moved ports
    RUN/sessions/        what a later start needs to find what was left (records.py)
    RUN/pods/UID/        a pod's files, as on every ground (volumes.py)
    RUN/tools/           what makes a pod's interpreters and programs take part (installing.py)
    RUN/p/N/             the pod's short folder (described.py), N for its address

Nothing is mounted and nothing needs a privilege. Where RUN is so long that Ray's sockets would find no room below it,
the short folders are reached through a link in /tmp, of which RUN/short tells.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary

from localcluster.addresses import AddressPlan
from localcluster.capacity import capacity
from localcluster.mirror import Mirror
from localcluster.node import volumes
from localcluster.node.ground import Ground, Place, Start
from localcluster.node.interfaces import Fault, VolumeContents
from localcluster.node.launching import Launch, Launched, enter_supervised, launch_supervised
from localcluster.node.network import Addresses
from localcluster.node.rootfs import Mount
from localcluster.node.shared import described
from localcluster.node.shared.described import Cluster, Private
from localcluster.node.shared.hook.mounts import real_path
from localcluster.node.shared.hook.pod import Pod
from localcluster.node.shared.installing import Tools, tools_into
from localcluster.node.shared.limits import missing
from localcluster.node.shared.machine import look
from localcluster.node.shared.records import POINTER, TABLE
from localcluster.node.shared.tables import MovedPorts, telling_names
from localcluster.node.shared.texts import Surroundings, surroundings
from localcluster.node.shellwords import UNQUOTED
from localcluster.node.volumes import PodFiles, Source

__all__ = ["SharedGround", "SharedMachine"]

Json: TypeAlias = dict[str, Any]

LONGEST: Final = 39  # bytes of a pod's short folder; "/ray" and then 64 of a socket's path follow (S10-18)
LARGEST_POD: Final = "32767"  # the highest number of an address in a block
SHORT: Final = Path("/tmp")  # noqa: S108 - for a link with a name that nobody can guess


class SharedMachine:
    """Opens the ground of one cluster, on its block of addresses."""

    def __init__(self, addresses: AddressPlan) -> None:
        self._addresses = addresses

    def opened(self, directory: Path, services: Mirror, slices: Mirror) -> AbstractAsyncContextManager[Ground]:
        """Names are told to pods while the block lasts. `directory` is the run's. Raises OSError."""
        return _opened(self._addresses, Path(os.path.abspath(directory)), services, slices)  # noqa: PTH100 - no link


@asynccontextmanager
async def _opened(addresses: AddressPlan, run: Path, services: Mirror, slices: Mirror) -> AsyncIterator[SharedGround]:
    table = run / TABLE
    short = _short(run)
    try:
        async with telling_names(table, services, slices):
            cluster = Cluster(str(run), str(table), str(run / "ports"), capacity().memory)
            yield SharedGround(addresses, cluster, short, tools_into(run / "tools"))
    finally:
        if short.is_symlink():
            short.unlink()


def _short(run: Path) -> Path:
    """Where pods' short folders are, by a path that is short enough."""
    real = run / "p"
    real.mkdir(exist_ok=True)
    if len(str(real / LARGEST_POD)) <= LONGEST:
        return real
    link = SHORT / f"manta-{secrets.token_hex(4)}"
    link.symlink_to(real)
    (run / POINTER).write_text(str(link))
    return link


class SharedGround:
    """Implements `Ground`. Entered as a block by `SharedMachine.opened`."""

    def __init__(self, addresses: AddressPlan, cluster: Cluster, short: Path, tools: Tools) -> None:
        self._plan, self._cluster, self._short, self._tools = addresses, cluster, short, tools
        self._addresses = Addresses(addresses.pods)
        self._ports = MovedPorts(Path(cluster.ports))
        self._marker = described.marker(cluster.run)
        self._starts: dict[str, int] = {}  # of a pod's containers
        self._surroundings: WeakKeyDictionary[Launched, Surroundings] = WeakKeyDictionary()

    @property
    def addresses(self) -> AddressPlan:
        """The block's."""
        return self._plan

    def reach(self, address: str, port: int) -> tuple[str, int]:
        """A head's GCS has another number than its pod says, and so have low ports of services."""
        return address, self._ports.find(address, port)

    def relocate(self, address: str, port: int, number: int | None) -> None:
        """Hooks look there, too."""
        if number is None:
            self._ports.forget(address, port)
        else:
            self._ports.move(address, port, number)

    async def settle(self, pod: Json, contents: Mapping[str, VolumeContents], folder: Path) -> Place:
        """An address and some folders."""
        try:
            address = self._addresses.take()
        except LookupError as error:
            raise Fault("FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}") from error
        temporary = self._temporary(address)
        try:
            files = volumes.provide(pod, contents, folder, Path(self._cluster.run) / "claims", None)
            try:
                (temporary / "ray").mkdir(parents=True)
            except OSError as error:
                volumes.remove(files)
                raise Fault("FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}") from error
        except BaseException:
            self._addresses.give_back(address)
            raise
        self._starts[pod["metadata"]["uid"]] = 0
        warnings = missing(pod, address, look(), self._cluster.run)
        return Place(pod, address, _with_ray(pod, files, temporary / "ray"), warnings)

    def _temporary(self, address: str) -> Path:
        return self._short / str(int(IPv4Address(address)) - int(self._plan.pods[0]))

    async def leave(self, place: Place) -> None:
        """What came from the API goes first: secrets are among it."""
        del self._starts[place.uid]
        volumes.remove(place.files)
        shutil.rmtree(self._temporary(place.address), ignore_errors=True)
        self._ports.forget(place.address)
        self._addresses.give_back(place.address)

    async def launch(self, place: Place, start: Start) -> Launched:
        """A process of this machine, that is told who it is."""
        try:
            what, around = self._prepared(place, start)
        except OSError as error:
            raise Fault("StartError", str(error)) from error
        launched = await launch_supervised(what, self._marker)
        self._surroundings[launched] = around
        return launched

    def _prepared(self, place: Place, start: Start) -> tuple[Launch, Surroundings]:
        private = self._private(place, start)
        every = self._mounts(place, start, private)
        about = described.description(place, start, self._cluster, private, every)
        file = start.own / "pod.json"
        file.write_text(json.dumps(about))
        pod = Pod(about)
        around = surroundings(pod)
        told = described.environment(
            replace(start, environment=around.environment(start.environment)), self._cluster, private
        )
        told = self._tools.environment(told, file)
        (start.own / "home" / ".bash_profile").write_text(self._tools.login(told))
        directory = real_path(pod, start.container.working_dir or start.image.home)
        if not Path(directory).is_dir() and not Path(directory).is_relative_to(self._cluster.run):
            directory = f"{private.own}/root{directory}"  # of the machine it is not made
        command = described.confined(around.command(start.command), place.address)
        return Launch(command, told, directory, str(start.log)), around

    def _private(self, place: Place, start: Start) -> Private:
        temporary = self._temporary(place.address)
        number = self._starts[place.uid] = self._starts[place.uid] + 1
        own = temporary / str(number)
        own.symlink_to(start.own)
        return Private(str(temporary), str(own))

    def _mounts(self, place: Place, start: Start, private: Private) -> list[Mount]:
        """A machine may have the image's home: inside of one of Ray's images it is the user's, with all that is his."""
        homes = [Mount(f"{private.temporary}/ray", described.RAY)]
        if not Path(start.image.home).exists():
            homes.append(Mount(f"{private.own}/home", start.image.home))
        needed = [self._cluster.run, *(source for source, _ in start.image.mounts)]
        given = volumes.mounts_of(start.container, place.files.sources)
        return described.mounts(_plain(given, start.own, private.own), homes, needed)

    async def enter(self, launched: Launched, command: Sequence[str], *, timeout_seconds: float) -> tuple[int, bytes]:
        """As the container itself, in a session of its own. Its main process is no PID 1, and is called so often."""
        own = f"/proc/{launched.pid}/"
        words = [word.replace("/proc/1/", own) for word in self._surroundings[launched].probe(command)]
        return await enter_supervised(launched, words, self._marker, timeout_seconds=timeout_seconds)


def _plain(given: Sequence[Mount], folder: Path, known_as: str) -> list[Mount]:
    """Each under a path that a shell takes as it is, a link in the folder of the container's start if need be.

    A mount path is replaced where it stands, by `python /mnt/x.py` as within quotes.
    """
    plain = []
    for number, one in enumerate(given):
        if UNQUOTED.search(one.source):
            (folder / f"m{number}").symlink_to(one.source)
            one = replace(one, source=f"{known_as}/m{number}")
        plain.append(one)
    return plain


def _with_ray(pod: Json, files: PodFiles, ray: Path) -> PodFiles:
    """An emptyDir at /tmp/ray is where Ray's files are: containers share it to read one another's logs."""
    spec = pod["spec"]
    every = [*(spec.get("initContainers") or ()), *spec["containers"]]
    at_ray = {
        mount["name"]
        for container in every
        for mount in container.get("volumeMounts") or ()
        if mount["mountPath"].rstrip("/") == described.RAY and not mount.get("subPath") and not mount.get("subPathExpr")
    }
    made = str(files.folder / "volumes")
    moved = {
        name: Source(str(ray))
        for name, source in files.sources.items()
        if name in at_ray and source.path.startswith(f"{made}/")
    }
    return replace(files, sources={**files.sources, **moved})
