"""What pods of a shared machine read of the cluster while they run: names of services and pods, ports that had to move.

There is no name server, whose port an ordinary user may not have. A pod's hook reads a file (hook.py says its form) and
reads it again when it was replaced; the operator's process reads the same one. Ports that had to move are written by
whoever moves them, a file each; here they are only looked up, and taken away with their pod.
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
        try:
            return int((self.folder / f"{address}-{port}").read_text())
        except (OSError, ValueError):
            return port

    def move(self, address: str, port: int, number: int) -> None:
        """From now on. Whoever reads meanwhile finds it as it was."""
        unfinished = self.folder / f".{address}-{port}"
        unfinished.write_text(str(number))
        unfinished.replace(self.folder / f"{address}-{port}")

    def forget(self, address: str, port: int | None = None) -> None:
        """Whoever had the address, or only that port of it, is gone."""
        for file in self.folder.glob(f"{address}-{'*' if port is None else port}"):
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
