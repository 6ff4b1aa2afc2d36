"""What real pods stand on: a level of isolation, as the runtime of real processes (processes.py) sees it.

    cell            celled.py: network, mount and PID namespaces for every pod, in a cell of the whole cluster
    shared host     shared/: plain processes of one machine, each pod on an address of 127/8

The runtime knows pods, containers, attempts and logs; a ground knows addresses, files and processes. What both levels
share is said once, in the runtime.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from localcluster.addresses import AddressPlan
from localcluster.node.images import Image
from localcluster.node.interfaces import Container, VolumeContents
from localcluster.node.launching import Launched
from localcluster.node.volumes import PodFiles

__all__ = ["Ground", "Place", "Start"]

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """A pod that has its place: an address, and files. `warnings`: what it asked for and does not get here."""

    pod: Json
    address: str
    files: PodFiles
    warnings: tuple[str, ...] = ()

    @property
    def uid(self) -> str:
        """The pod's."""
        return str(self.pod["metadata"]["uid"])


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a container: what runs, with which environment, and where its output goes.

    `own` is a folder of this start alone, with empty folders home, tmp and root in it.
    """

    container: Container
    image: Image
    command: Sequence[str]
    environment: Mapping[str, str]
    own: Path
    log: Path


class Ground(Protocol):
    """A level of isolation. All methods raise Fault for what the user must read, nothing else."""

    @property
    def addresses(self) -> AddressPlan:
        """Where pods, services and the rest of the cluster are."""
        ...

    async def settle(self, pod: Json, contents: Mapping[str, VolumeContents], folder: Path) -> Place:
        """Network, names and volumes of a pod; its files below `folder`, which is not there yet.

        Raises Fault FailedCreatePodSandBox, FailedMount; then nothing stays.
        """
        ...

    async def leave(self, place: Place) -> None:
        """The pod's containers have ended: its files, address and names go."""
        ...

    async def launch(self, place: Place, start: Start) -> Launched:
        """Start a container; returns once its program runs. Raises Fault StartError."""
        ...

    async def enter(self, launched: Launched, command: Sequence[str], *, timeout_seconds: float) -> tuple[int, bytes]:
        """Run a command in the container; exit code and output. Raises TimeoutError, Fault when it does not run."""
        ...

    def reach(self, address: str, port: int) -> tuple[str, int]:
        """Where a connection to that port of a pod really has to go."""
        ...

    def relocate(self, address: str, port: int, number: int | None) -> None:
        """A service's port cannot be listened on here, and is at that number; None: it is not there any more.

        Whatever `reach` and pods can be told of it, they are.
        """
        ...
