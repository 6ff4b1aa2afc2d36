"""What pods of a shared machine read of the cluster while they run: names of services and pods, ports that had to move.

There is no name server, whose port an ordinary user may not have. A pod's hook reads a file (hook/__init__.py says its
form) and reads it again when it was replaced; the operator's process reads the same one. Ports that had to move are
written by whoever moves them, a file each (hook/ports.py says which): a head's here by nobody, a service's by `move`.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

from localcluster.mirror import Mirror
from localcluster.node.dns import listed
from localcluster.node.shared.hook.ports import file_of, moved

__all__ = ["MovedPorts", "telling_names"]

Json: TypeAlias = dict[str, Any]

BUNDLED_SECONDS: Final = 0.01  # a cluster's start makes many changes at once; nobody notices so short a wait


class MovedPorts:
    """Ports of pods that really are at another number."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made if need be. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def find(self, address: str, port: int) -> int:
        """The number at which that port really is; itself if nobody moved it."""
        found = moved(str(self.folder), address, port)
        return port if found is None else found

    def move(self, address: str, port: int, number: int) -> None:
        """From now on. Whoever reads meanwhile finds it as it was."""
        file = Path(file_of(str(self.folder), address, port))
        unfinished = file.with_name(f".{file.name}")
        unfinished.write_text(str(number))
        unfinished.replace(file)

    def forget(self, address: str, port: int | None = None) -> None:
        """Whoever had the address, or only that port of it, is gone."""
        every = self.folder.glob(f"{address}-*")
        for file in every if port is None else [Path(file_of(str(self.folder), address, port))]:
            file.unlink(missing_ok=True)


class _Names:
    def __init__(self, file: Path, services: Mirror, slices: Mirror) -> None:
        self._file, self._services, self._slices = file, services, slices
        self._written = b""
        self.stale = asyncio.Event()

    def changed(self, old: Json | None, new: Json | None) -> None:
        self.stale.set()

    def write(self) -> None:
        """The whole file, at once or not at all, if anything in it is different."""
        self.stale.clear()
        content = json.dumps(listed(self._services.objects, self._slices.objects), sort_keys=True).encode()
        if content == self._written:
            return
        unfinished = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        unfinished.write_bytes(content)
        unfinished.replace(self._file)
        self._written = content

    async def run(self) -> None:
        """Write whenever something changed, until cancelled."""
        while True:
            await self.stale.wait()
            await asyncio.sleep(BUNDLED_SECONDS)
            self.write()


@asynccontextmanager
async def telling_names(file: Path, services: Mirror, slices: Mirror) -> AsyncIterator[None]:
    """The file is there, and up to date but for a moment, while the block lasts. Raises OSError."""
    names = _Names(file, services, slices)
    services.subscribe(names.changed)
    slices.subscribe(names.changed)
    names.write()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(names.run())
        try:
            yield
        finally:
            task.cancel()
