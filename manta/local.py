"""A local cluster with the operator on it, for the length of a block: what `manta up` and `manta run` stand on.

Three processes: this one, and inside a cell the local cluster and the operator; where there is no cell to be had, they
share the machine (isolation.py). What is inside is reached through Unix sockets in one private folder, which goes with
the block.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from localcluster.addresses import IN_A_CELL, shared_machine
from localcluster.node.cell import Cell, CellRefused, Program, a_cell
from localcluster.node.forward import dial
from localcluster.node.shared.records import TABLE
from localcluster.node.shellwords import UNQUOTED
from manta.api import Api, connected
from manta.folder import clear_away, held, new_folder
from manta.gates import OPENED
from manta.isolation import Isolation, NoBlock, a_block, a_port, falling_back, way_out

__all__ = ["Level", "Local", "NotStarted", "local_cluster", "started"]

START_SECONDS = 60.0
CLUSTER = ("localcluster.inside",)  # the module that is the local cluster
LOOK_SECONDS = 0.02  # between two looks for a file that another process makes
HEALTH_PORT, WEBHOOK_PORT = 8082, 9443
ACCOUNT = ("kube-system", "manta-operator")  # who the operator is, so that its webhooks need not judge it

# Bad objects are refused at once, as with an installed operator. It and the API server share a loopback, so the
# webhooks need no Service; the Secret with their certificates goes where nobody looks.
WEBHOOKS = (
    "--webhook-certificates=self-managed",
    "--webhook-lame-duck=0s",
    f"--leader-election-namespace={ACCOUNT[0]}",
)

# The operator loads what it needs while the cluster comes up, and begins once that is ready. On a shared host it looks
# names up as pods do there.
OPERATOR = """# python -m controller, with a head start
import os, runpy, sys, time
ready, names = sys.argv.pop(1), sys.argv.pop(1)
if names:
    import socket
    from localcluster.node.shared.hook.names import Names
    from localcluster.node.shared.hook.sockets import patch_names
    patch_names(Names(names), socket)
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
class Level:
    """How a cluster is kept from the machine, and where its own programs listen; `block`: see addresses.py."""

    block: int | None = None
    health_port: int = HEALTH_PORT
    webhook_port: int = WEBHOOK_PORT

    @property
    def isolation(self) -> Isolation:
        """What it is called."""
        return "cell" if self.block is None else "shared-host"

    @property
    def host(self) -> str:
        """The address of the cluster's own programs."""
        return (IN_A_CELL if self.block is None else shared_machine(self.block)).host


@dataclass(frozen=True, slots=True)
class Local:
    """A running local cluster."""

    api: Api
    directory: Path
    cell: Cell
    token: str
    level: Level = Level()

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
    isolation: Isolation = "auto",
    said: Callable[[str], None] | None = None,
) -> AsyncIterator[Local]:
    """Cluster and operator run inside the block, and nothing of them is left behind. Raises NotStarted.

    `told` gets the lines of progress of images that are made; `said` the sentence that tells what follows when `auto`
    finds no cell. `cluster` is the module that is the local cluster, with arguments of its own: another one than usual
    is what tests bring.
    """
    from localcluster.node.images import Images, serving_images

    usable_cache()
    if ended := clear_away():
        (said or told)(f"{ended} processes that a killed run had left are ended")
    directory = new_folder()
    with held(directory):
        token = secrets.token_urlsafe(24)
        prepare(directory, token)

        def programs_at(level: Level) -> list[Program]:
            return programs(directory, node, capacity, cluster, level)

        async with (
            serving_images(directory / "images.sock", Images(cache()), told),  # the cell has no network for it
            started(programs_at, isolation, said or told) as (cell, level),
        ):
            await until_ready(cell, directory, log_lines, level)
            async with connected(str(directory / "api.sock"), token) as api:
                yield Local(api, directory, cell, token, level)


def prepare(directory: Path, token: str) -> None:
    """What the programs inside find in their folder."""
    (directory / "token").touch(mode=0o600)
    (directory / "token").write_text(token)
    crds = sorted(one.name for one in files("api.crds").iterdir() if one.name.endswith(".json"))
    texts = [files("api.crds").joinpath(name).read_bytes() for name in crds]  # as they are: models take long to load
    (directory / "crds.json").write_bytes(b"[" + b",".join(texts) + b"]")


def programs(
    directory: Path, node: str, capacity: Mapping[str, str], module: Sequence[str] = CLUSTER, level: Level = Level()
) -> list[Program]:
    """The local cluster, and the operator once that is ready; an operator that dies is started again."""
    cluster = [sys.executable, "-m", *module, "--directory", str(directory), "--node", node]
    cluster += ["--preload", str(directory / "crds.json"), "--images", str(cache()), "--account", "/".join(ACCOUNT)]
    cluster += [] if level.block is None else ["--block", str(level.block)]
    for name, amount in capacity.items():
        cluster += ["--capacity", f"{name}={amount}"]
    return [
        Program("local cluster", tuple(cluster), log=str(directory / "cluster.log")),
        Program(
            "operator",
            tuple(operator(directory, level)),
            environment={"ENABLE_WEBHOOKS": "true"},
            log=str(directory / "operator.log"),
            essential=False,
        ),
    ]


def operator(directory: Path, level: Level) -> list[str]:
    """Its command."""
    names = "" if level.block is None else str(directory / TABLE)
    words = [sys.executable, "-c", OPERATOR, str(directory / "ready"), names]
    words += ["--kubeconfig", f"{directory}/operator.kubeconfig", *WEBHOOKS]
    webhooks = f"{level.host}:{level.webhook_port}"
    words += [f"--webhook-bind-address={webhooks}", f"--webhook-url=https://{webhooks}"]
    words += ["--enable-leader-election=false", "--metrics-addr=0"]
    words += [f"--health-probe-bind-address={level.host}:{level.health_port}"]
    words += [f"--feature-gates={','.join(f'{gate}=true' for gate in OPENED)}"]
    return words


def cache() -> Path:
    """The user's cache folder of ours."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "manta"


def usable_cache() -> None:
    """Images can be kept in the cache folder. Raises NotStarted."""
    where = "anywhere"
    try:
        folder = cache()
        where = f"in {folder}"
        if found := UNQUOTED.search(str(folder)):
            raise NotStarted(no_cache(where, f"Ray starts no program from a path with {found[0]!r} in it"))
        (folder / "images").mkdir(parents=True, exist_ok=True)
        if not os.access(folder / "images", os.W_OK | os.X_OK):
            raise NotStarted(no_cache(where, "you may not write there"))
    except OSError as error:
        raise NotStarted(no_cache(where, str(error.strerror))) from error
    except RuntimeError as error:  # of Path.home
        raise NotStarted(no_cache(where, "no home is known of you")) from error


def no_cache(where: str, why: str) -> str:
    """With the way out."""
    way = "set XDG_CACHE_HOME to a folder that you may write into and start programs from"
    return f"images cannot be kept {where} ({why}): {way}"


@asynccontextmanager
async def started(
    programs_at: Callable[[Level], Sequence[Program]], isolation: Isolation, said: Callable[[str], None]
) -> AsyncIterator[tuple[Cell, Level]]:
    """The programs run, in a cell if there is one to be had and nothing else is wished for. Raises NotStarted."""
    async with AsyncExitStack() as stack:
        if isolation != "shared-host":
            try:
                cell = await stack.enter_async_context(a_cell(programs_at(Level())))
            except CellRefused as refused:
                if isolation == "cell":
                    raise NotStarted(way_out(str(refused))) from refused
                said(falling_back(refused.reason))
            else:
                yield cell, Level()
                return
        try:
            block = stack.enter_context(a_block(random.Random(os.urandom(16))))
            level = on_the_machine(block)
        except NoBlock as error:
            raise NotStarted(str(error)) from error
        yield await stack.enter_async_context(a_cell(programs_at(level), shared=True)), level


def on_the_machine(block: int) -> Level:
    """The level of a run that has that block."""
    host = shared_machine(block).host
    return Level(block, a_port(host, HEALTH_PORT), a_port(host, WEBHOOK_PORT))


async def until_ready(cell: Cell, directory: Path, log_lines: int, level: Level) -> None:
    """Waits until cluster and operator say so. Raises NotStarted with the end of the log of what failed."""
    try:
        async with asyncio.timeout(START_SECONDS):
            ended = await ended_before(cell, all_ready(directory, level))
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


async def all_ready(directory: Path, level: Level) -> None:
    """Until both say so. The cluster makes a file, the operator answers a request: both take but a few looks."""
    while not (directory / "ready").exists() or not await operator_ready(directory, level):  # noqa: ASYNC110 - files of others tell no event
        await asyncio.sleep(LOOK_SECONDS)


async def operator_ready(directory: Path, level: Level) -> bool:
    """GET /readyz of the operator, through the dialer."""
    try:
        reader, writer = await dial(str(directory / "dial.sock"), level.host, level.health_port)
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
