"""A local cluster with the operator on it, for the length of a block: what `manta up` and `manta run` stand on.

Three processes: this one, and inside a cell the local cluster and the operator. What is inside is reached through
Unix sockets in one private folder, which goes with the block.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from api.crds.installed import custom_resource_definitions
from localcluster.node.cell import Cell, CellRefused, Program, a_cell
from localcluster.node.forward import dial
from localcluster.node.images import Images, serving_images
from manta.api import Api, connected

__all__ = ["Local", "NotStarted", "local_cluster"]

START_SECONDS = 60.0
LOOK_SECONDS = 0.02  # between two looks for a file that another process makes
HEALTH_PORT = 8082


class NotStarted(Exception):
    """The local cluster could not be started; the message says why, and the way out."""


@dataclass(frozen=True, slots=True)
class Local:
    """A running local cluster."""

    api: Api
    directory: Path
    cell: Cell
    token: str

    @property
    def api_socket(self) -> str:
        """The API server's Unix socket."""
        return str(self.directory / "api.sock")

    @property
    def dialer(self) -> str:
        """The Unix socket through which addresses inside are reached."""
        return str(self.directory / "dial.sock")


@asynccontextmanager
async def local_cluster(*, node: str, capacity: Mapping[str, str], log_lines: int = 20) -> AsyncIterator[Local]:
    """Cluster and operator run inside the block, and nothing of them is left behind. Raises NotStarted."""
    directory = Path(tempfile.mkdtemp(prefix="manta-"))
    try:
        token = secrets.token_urlsafe(24)
        prepare(directory, token)
        async with (
            serving_images(directory / "images.sock", Images(cache())),  # the cell has no network to make them with
            in_a_cell(programs(directory, node, capacity)) as cell,
        ):
            await until_ready(cell, directory, log_lines)
            async with connected(str(directory / "api.sock"), token) as api:
                yield Local(api, directory, cell, token)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def prepare(directory: Path, token: str) -> None:
    """What the programs inside find in their folder."""
    (directory / "token").touch(mode=0o600)
    (directory / "token").write_text(token)
    (directory / "crds.json").write_text(json.dumps(custom_resource_definitions()))


def programs(directory: Path, node: str, capacity: Mapping[str, str]) -> list[Program]:
    """The local cluster, and the operator once that is ready; an operator that dies is started again."""
    cluster = [sys.executable, "-m", "localcluster.inside", "--directory", str(directory), "--node", node]
    cluster += ["--preload", str(directory / "crds.json"), "--images", str(cache())]
    for name, amount in capacity.items():
        cluster += ["--capacity", f"{name}={amount}"]
    operator = (
        f"while [ ! -e {directory}/ready ]; do sleep 0.05; done; exec {sys.executable} -m controller "
        f"--kubeconfig {directory}/kubeconfig --enable-leader-election=false --metrics-addr=0 "
        f"--health-probe-bind-address=:{HEALTH_PORT}"
    )
    return [
        Program("local cluster", tuple(cluster), log=str(directory / "cluster.log")),
        Program("operator", ("/bin/sh", "-c", operator), log=str(directory / "operator.log"), essential=False),
    ]


def cache() -> Path:
    """The user's cache folder of ours."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "manta"


@asynccontextmanager
async def in_a_cell(inside: Sequence[Program]) -> AsyncIterator[Cell]:
    """`a_cell`, with its refusal as NotStarted."""
    try:
        async with a_cell(inside) as cell:
            yield cell
    except CellRefused as error:
        raise NotStarted(str(error)) from error


async def until_ready(cell: Cell, directory: Path, log_lines: int) -> None:
    """Waits until cluster and operator say so. Raises NotStarted with the end of the log of what failed."""
    ended = asyncio.ensure_future(cell.ended())  # noqa: TID251 - cancelled below, before this function ends
    try:
        async with asyncio.timeout(START_SECONDS):
            while not (directory / "ready").exists() or not await operator_ready(directory):
                if ended.done():
                    raise NotStarted(f"{ended.result()}\n{last_lines(directory, log_lines)}")
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        told = last_lines(directory, log_lines)
        raise NotStarted(f"the local cluster was not ready within {START_SECONDS:g} s\n{told}") from None
    finally:
        ended.cancel()


async def operator_ready(directory: Path) -> bool:
    """GET /readyz of the operator, through the dialer."""
    try:
        reader, writer = await dial(str(directory / "dial.sock"), "127.0.0.1", HEALTH_PORT)
    except OSError:
        return False
    try:
        writer.write(b"GET /readyz HTTP/1.0\r\nHost: operator\r\n\r\n")
        return b" 200 " in await reader.readline()
    finally:
        writer.close()


def last_lines(directory: Path, count: int) -> str:
    """The end of both logs, for people who must find out why."""
    shown = []
    for name in ("cluster.log", "operator.log"):
        log = directory / name
        if log.exists() and (lines := log.read_text(errors="replace").splitlines()):
            shown += [f"--- {name}", *lines[-count:]]
    return "\n".join(shown)
