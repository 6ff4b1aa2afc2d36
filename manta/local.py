"""A local cluster with the operator on it, for the length of a block: what `manta up` and `manta run` stand on.

Three processes: this one, and inside a cell the local cluster and the operator. What is inside is reached through
Unix sockets in one private folder, which goes with the block.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from localcluster.node.cell import Cell, CellRefused, Program, a_cell
from localcluster.node.forward import dial
from manta.api import Api, connected
from manta.folder import clear_away, held, new_folder
from manta.gates import OPENED

__all__ = ["Local", "NotStarted", "local_cluster"]

START_SECONDS = 60.0
CLUSTER = ("localcluster.inside",)  # the module that is the local cluster
LOOK_SECONDS = 0.02  # between two looks for a file that another process makes
HEALTH_PORT, WEBHOOK_PORT = 8082, 9443
ACCOUNT = ("kube-system", "manta-operator")  # who the operator is, so that its webhooks need not judge it

# Bad objects are refused at once, as with an installed operator. It and the API server share a loopback, so the
# webhooks need no Service; the Secret with their certificates goes where nobody looks.
WEBHOOKS = (
    f"--webhook-bind-address=127.0.0.1:{WEBHOOK_PORT}",
    f"--webhook-url=https://127.0.0.1:{WEBHOOK_PORT}",
    "--webhook-certificates=self-managed",
    "--webhook-lame-duck=0s",
    f"--leader-election-namespace={ACCOUNT[0]}",
)

# The operator loads what it needs while the cluster comes up, and begins once that is ready.
OPERATOR = """# python -m controller, with a head start
import os, runpy, sys, time
ready = sys.argv.pop(1)
from controller.__main__ import leave_rich_out
leave_rich_out()
import controller.process
while not os.path.exists(ready):
    time.sleep(0.02)
runpy.run_module("controller", run_name="__main__", alter_sys=True)
"""


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
async def local_cluster(
    *,
    node: str,
    capacity: Mapping[str, str],
    told: Callable[[str], None],
    log_lines: int = 20,
    cluster: Sequence[str] = CLUSTER,
) -> AsyncIterator[Local]:
    """Cluster and operator run inside the block, and nothing of them is left behind. Raises NotStarted.

    `told` gets the lines of progress of images that are made. `cluster` is the module that is the local cluster, with
    arguments of its own: another one than usual is what tests bring.
    """
    from localcluster.node.images import Images, serving_images

    clear_away()
    directory = new_folder()
    with held(directory):
        token = secrets.token_urlsafe(24)
        prepare(directory, token)
        async with (
            serving_images(directory / "images.sock", Images(cache()), told),  # the cell has no network for it
            in_a_cell(programs(directory, node, capacity, cluster)) as cell,
        ):
            await until_ready(cell, directory, log_lines)
            async with connected(str(directory / "api.sock"), token) as api:
                yield Local(api, directory, cell, token)


def prepare(directory: Path, token: str) -> None:
    """What the programs inside find in their folder."""
    (directory / "token").touch(mode=0o600)
    (directory / "token").write_text(token)
    crds = sorted(one.name for one in files("api.crds").iterdir() if one.name.endswith(".json"))
    texts = [files("api.crds").joinpath(name).read_bytes() for name in crds]  # as they are: models take long to load
    (directory / "crds.json").write_bytes(b"[" + b",".join(texts) + b"]")


def programs(directory: Path, node: str, capacity: Mapping[str, str], module: Sequence[str] = CLUSTER) -> list[Program]:
    """The local cluster, and the operator once that is ready; an operator that dies is started again."""
    cluster = [sys.executable, "-m", *module, "--directory", str(directory), "--node", node]
    cluster += ["--preload", str(directory / "crds.json"), "--images", str(cache()), "--account", "/".join(ACCOUNT)]
    for name, amount in capacity.items():
        cluster += ["--capacity", f"{name}={amount}"]
    operator = [sys.executable, "-c", OPERATOR, str(directory / "ready")]
    operator += ["--kubeconfig", f"{directory}/operator.kubeconfig", *WEBHOOKS]
    operator += ["--enable-leader-election=false", "--metrics-addr=0"]
    operator += [f"--health-probe-bind-address=:{HEALTH_PORT}"]
    operator += [f"--feature-gates={','.join(f'{gate}=true' for gate in OPENED)}"]
    return [
        Program("local cluster", tuple(cluster), log=str(directory / "cluster.log")),
        Program(
            "operator",
            tuple(operator),
            environment={"ENABLE_WEBHOOKS": "true"},
            log=str(directory / "operator.log"),
            essential=False,
        ),
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
    try:
        async with asyncio.timeout(START_SECONDS):
            ended = await ended_before(cell, all_ready(directory))
    except TimeoutError:
        told = last_lines(directory, log_lines)
        raise NotStarted(f"the local cluster was not ready within {START_SECONDS:g} s\n{told}") from None
    if ended:
        raise NotStarted(f"the local cluster did not start: {ended}\n{last_lines(directory, log_lines)}".rstrip())


async def ended_before(cell: Cell, other: Coroutine[Any, Any, None]) -> str:
    """What ended the cell while that was still going on; "" if it did not."""
    async with asyncio.TaskGroup() as group:
        end = group.create_task(cell.ended())
        done = group.create_task(other)
        await asyncio.wait([end, done], return_when=asyncio.FIRST_COMPLETED)
        end.cancel()
        done.cancel()
    return "" if end.cancelled() else end.result()


async def all_ready(directory: Path) -> None:
    """Until both say so. The cluster makes a file, the operator answers a request: both take but a few looks."""
    while not (directory / "ready").exists() or not await operator_ready(directory):  # noqa: ASYNC110 - files of others tell no event
        await asyncio.sleep(LOOK_SECONDS)


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
