"""`manta run FILE` and `manta up`: start, apply, follow, clean up."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from localcluster.node.forward import PortTaken, relaying
from localcluster.running import write_kubeconfig
from manta.api import Refused
from manta.documents import Document, Unusable, read_documents
from manta.follow import follow
from manta.local import Local, NotStarted, local_cluster
from manta.progress import Progress, Verdict
from manta.show import Show, chosen

__all__ = ["Wishes", "run", "up"]

FOLLOWED = ("RayJob", "RayCluster")
UNUSABLE = 2  # exit code: the input cannot be used
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asked for."""

    node: str = "processes"
    capacity: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    output: str = "auto"
    keep: bool = False
    kubeconfig: Path | None = None


class Refusal(Exception):
    """An object was refused; the message shows where and why."""


def run(file: str, wishes: Wishes) -> int:
    """Apply the file on a local cluster of its own, and follow it; the exit code."""
    try:
        documents = read_documents(file)
        return asyncio.run(running(documents, wishes))
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; everything that was started is gone\n")
        return INTERRUPTED
    except (Unusable, NotStarted, PortTaken, Refusal) as error:
        sys.stderr.write(f"manta: {error}\n")
        return 1 if isinstance(error, NotStarted) else UNUSABLE


def up(files: Sequence[str], wishes: Wishes) -> int:
    """A local cluster until Ctrl-C; the exit code."""
    try:
        documents = [document for file in files for document in read_documents(file)]
        return asyncio.run(staying(documents, wishes))
    except KeyboardInterrupt:
        sys.stderr.write("\neverything is gone\n")
        return 0
    except (Unusable, NotStarted, PortTaken, Refusal) as error:
        sys.stderr.write(f"manta: {error}\n")
        return 1 if isinstance(error, NotStarted) else UNUSABLE


async def running(documents: Sequence[Document], wishes: Wishes) -> int:
    """Everything of `manta run`."""
    followed = next((one for one in documents if one.kind in FOLLOWED), documents[-1])
    progress = Progress(followed.kind, followed.name, followed.namespace)
    async with reachable(wishes) as (local, url):
        with chosen(wishes.output, progress) as show:
            show.say(f"local cluster on {url}; kubectl --kubeconfig {kubeconfig_of(wishes, local)} get pods")
            await apply(local, documents, show)
            verdict = await follow(local, followed, progress, show)
            show.end(verdict)
            show_logs(verdict, local, show)
        if wishes.keep:
            sys.stderr.write("kept running; Ctrl-C ends it\n")
            await local.cell.ended()
        return verdict.code


async def staying(documents: Sequence[Document], wishes: Wishes) -> int:
    """Everything of `manta up`."""
    async with reachable(wishes) as (local, url):
        with chosen("plain" if wishes.output == "auto" else wishes.output, Progress("", "")) as show:
            show.say(f"local cluster on {url}\nexport KUBECONFIG={kubeconfig_of(wishes, local)}")
            await apply(local, documents, show)
            show.say("Ctrl-C ends it")
        sys.stderr.write(f"manta: {await local.cell.ended()}\n")
        return 1


@asynccontextmanager
async def reachable(wishes: Wishes) -> AsyncIterator[tuple[Local, str]]:
    """The cluster, and the loopback URL under which kubectl reaches it; the port is taken before anything starts."""

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(local.api_socket)  # nobody knows the port before it is there

    async with (
        relaying(connect, port=wishes.port) as port,
        local_cluster(node=wishes.node, capacity=wishes.capacity) as local,
    ):
        url = f"http://127.0.0.1:{port}"
        write_kubeconfig(kubeconfig_of(wishes, local), url, local.token)
        try:
            yield local, url
        finally:
            kubeconfig_of(wishes, local).unlink(missing_ok=True)


def kubeconfig_of(wishes: Wishes, local: Local) -> Path:
    """Where the user's kubeconfig stands: as asked, else beside the cluster's own files."""
    return (wishes.kubeconfig or local.directory / "user.kubeconfig").absolute()


async def apply(local: Local, documents: Sequence[Document], show: Show) -> None:
    """Create all objects in the order of the file. Raises Refusal that shows the line."""
    for document in documents:
        body = {**document.body, "metadata": {"namespace": document.namespace, **document.body["metadata"]}}
        try:
            await local.api.create(body)
        except Refused as refused:
            raise Refusal(refusal(document, refused)) from refused
        show.say(f"{document} created")


def refusal(document: Document, refused: Refused) -> str:
    """The server's words, and under them every field that they name, with its line."""
    message = refused.message
    if refused.code == 404:
        message = f"the local cluster does not serve {document.body['apiVersion']} {document.kind}"
    shown = [f"{document} is refused: {message}"]
    paths = re.findall(r'(?:unknown|duplicate) field "([^"]+)"', message)
    paths += re.findall(r"(?:^|[ :\[])((?:spec|metadata)(?:\.[\w/-]+|\[\d+\])+)", message)
    shown += [document.shown(path) for path in dict.fromkeys(paths)]
    return "\n".join(shown)


def show_logs(verdict: Verdict, local: Local, show: Show) -> None:
    """After a failure that is nobody's fault but ours, what the programs inside said."""
    if verdict.code and verdict.text.startswith("the local cluster ended"):
        from manta.local import last_lines

        show.say(last_lines(local.directory, 20))
