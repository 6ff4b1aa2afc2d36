"""The whole local cluster as one program: API server, controllers and a node. `manta` runs it inside a cell.

`python -m localcluster.inside --directory DIR ...` serves the API on `DIR/api.sock` and on a loopback port, writes
`DIR/kubeconfig` (and `DIR/operator.kubeconfig`, of a service account, if told so), carries connections from
`DIR/dial.sock` to addresses inside, and makes `DIR/ready` once all is up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from localcluster.addresses import BLOCKS, IN_A_CELL, AddressPlan, shared_machine
from localcluster.api import Api
from localcluster.apiserver.bootstrap import KUBERNETES_PORT
from localcluster.apiserver.http import serving
from localcluster.capacity import capacity
from localcluster.certificates import Certified, certified, names_on
from localcluster.faults import Faults
from localcluster.kubeconfig import write_kubeconfig
from localcluster.node.forward import Reach, dialing, just_there
from localcluster.node.interfaces import Runtime
from localcluster.node.kubelet import Kubelet, NodeSettings
from localcluster.recorder import Recorder
from localcluster.running import Running, running

__all__ = ["Inside", "arguments_of", "main", "serve", "token_of", "wall_clock"]

ACCOUNT_SECONDS = 10 * 365 * 24 * 3600
PORT, TLS_PORT = 8080, KUBERNETES_PORT  # at the address of the cluster's own programs


class Inside:
    """What the program was asked for."""

    def __init__(self, said: argparse.Namespace) -> None:
        self.directory: Path = said.directory
        self.node: str = said.node
        self.capacity: dict[str, str] = dict(pair.split("=", 1) for pair in said.capacity)
        self.preload: list[Path] = said.preload
        self.images: Path = said.images
        self.account: str = said.account
        self.shared: bool = said.block is not None
        self.addresses: AddressPlan = shared_machine(said.block) if self.shared else IN_A_CELL
        self.token = (self.directory / "token").read_text().strip()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM."""
    asyncio.run(serve(Inside(arguments_of().parse_args(arguments))))
    return 0


def arguments_of() -> argparse.ArgumentParser:
    """What the program may be told."""
    parser = argparse.ArgumentParser(prog="python -m localcluster.inside", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="where sockets, kubeconfig and logs stand")
    parser.add_argument("--node", choices=("processes", "scripted"), default="processes", help="what runs pods")
    parser.add_argument("--capacity", action="append", default=[], help="of the node: cpu=8, nvidia.com/gpu=2")
    parser.add_argument("--preload", type=Path, action="append", default=[], help="JSON files with objects to create")
    parser.add_argument("--account", default="", help="NAMESPACE/NAME of the service account that the operator is")
    parser.add_argument("--images", type=Path, default=Path.home() / ".cache" / "manta", help="where images are kept")
    parser.add_argument("--block", type=int, choices=BLOCKS, help="no cell: pods are processes on 127.BLOCK.0.0/16")
    return parser


async def serve(inside: Inside, *, faults: Faults | None = None) -> None:
    """Everything is up, then `ready` is there, then until a signal. `faults`: see `running`."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for wanted in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(wanted, stop.set)
    directory = inside.directory
    async with AsyncExitStack() as stack:
        own = certified(wall_clock(), names_on(inside.addresses))
        chance = random.Random(os.urandom(16))
        cluster = await stack.enter_async_context(
            running(
                now=wall_clock,
                chance=chance,
                token=inside.token,
                addresses=inside.addresses,
                port=0 if inside.shared else PORT,  # others of the machine may have it
                faults=faults,
                authority=own.authority,
                tokens=inside.shared and inside.node == "processes",
            )
        )
        tls = tls_of(own, directory)
        await stack.enter_async_context(
            serving(cluster.face, host=inside.addresses.host, port=TLS_PORT, tls=tls)
        )  # the service `kubernetes`
        await stack.enter_async_context(serving(cluster.face, socket=directory / "api.sock"))
        for file in inside.preload:
            await create_all(cluster, json.loads(file.read_text()))
        reach = await stack.enter_async_context(node(inside, cluster))
        await stack.enter_async_context(dialing(str(directory / "dial.sock"), reach=reach))
        write_kubeconfig(directory / "kubeconfig", cluster.url, inside.token)
        if inside.account:
            token = await token_of(cluster.api, *inside.account.split("/"))
            write_kubeconfig(directory / "operator.kubeconfig", cluster.url, token, account=True)
        (directory / "ready").touch()
        await stop.wait()


def tls_of(own: Certified, directory: Path) -> ssl.SSLContext:
    """What the server shows. The library reads keys from files only, so there is one, for a moment."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    file = directory / "server.pem"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as opened:
            opened.write(own.certificate + own.key)
        context.load_cert_chain(file)
    finally:
        file.unlink()
    return context


async def create_all(cluster: Running, objects: Sequence[Mapping[str, object]]) -> None:
    """Objects that are there from the start: CustomResourceDefinitions."""
    for body in objects:
        await cluster.api.create("customresourcedefinitions.apiextensions.k8s.io", "", dict(body))


async def token_of(api: Api, namespace: str, name: str) -> str:
    """A token of a new service account, good for as long as the cluster lives."""
    await api.create("serviceaccounts", namespace, {"metadata": {"name": name}})
    asked = {"metadata": {"name": name}, "spec": {"expirationSeconds": ACCOUNT_SECONDS}}
    answer = await api.create("serviceaccounts", namespace, asked, subresource="token")
    return str(answer["status"]["token"])


@asynccontextmanager
async def node(inside: Inside, cluster: Running) -> AsyncIterator[Reach]:
    """The one node, and what runs its pods; yields where a connection to a pod really has to go."""
    settings = NodeSettings(
        name="manta",
        ip=inside.addresses.host,
        capacity={**capacity().quantities(), "pods": "110", "ephemeral-storage": "100Gi", **inside.capacity},
    )
    async with (
        runtime_of(inside, cluster) as (runtime, reach),
        Kubelet(cluster.api, cluster.mirrors, runtime, settings, now=wall_clock).running() as kubelet,
    ):
        cluster.face.logs = kubelet.logs
        yield reach


@asynccontextmanager
async def runtime_of(inside: Inside, cluster: Running) -> AsyncIterator[tuple[Runtime, Reach]]:
    """Real processes, or a table that says how pods live."""
    if inside.node == "scripted":
        from localcluster.node.scripted import Scripted

        yield Scripted(), just_there
        return
    from localcluster.node.celled import in_namespaces
    from localcluster.node.processes import OpenGround, process_runtime

    ground: OpenGround = in_namespaces
    if inside.shared:
        from localcluster.node.shared.ground import SharedMachine

        ground = SharedMachine(inside.addresses).opened
    recorder = Recorder(cluster.api, "kube-proxy", now=wall_clock, host="manta")
    async with process_runtime(cluster.mirrors, inside.directory, inside.images, ground, recorder=recorder) as runtime:
        yield runtime, runtime.reach


def wall_clock() -> datetime:
    """Now."""
    return datetime.now(UTC)  # noqa: TID251 - the one place of this program that knows the time


Clock = Callable[[], datetime]

if __name__ == "__main__":
    sys.exit(main())
