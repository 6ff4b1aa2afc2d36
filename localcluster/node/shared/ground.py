"""A machine that pods share: where they are placed, started and ended."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from localcluster.addresses import AddressPlan
from localcluster.node.dns import Lookup
from localcluster.node.ground import Ground

__all__ = ["SharedMachine"]


class SharedMachine:
    """Opens the ground of one cluster, on its block of addresses."""

    def __init__(self, addresses: AddressPlan) -> None:
        self._addresses = addresses

    def opened(self, directory: Path, lookup: Lookup) -> AbstractAsyncContextManager[Ground]:
        """Names are told to pods while the block lasts. `directory` is the run's."""
        raise NotImplementedError
