"""`manta run FILE` and `manta up`: start, apply, follow, clean up."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from api.v1.wire import RAY_CRON_JOBS
from localcluster.kubeconfig import write_kubeconfig
from localcluster.node.forward import PortTaken, relaying
from manta.alarms import telling_warnings
from manta.api import Refused
from manta.checking import Rejected, usable
from manta.dashboards import dashboards
from manta.documents import Document, Unusable, read_documents
from manta.doors import sharing
from manta.ending import Stopped, heeding_signals
from manta.follow import follow
from manta.isolation import Isolation
from manta.kubeconfig import kept_for
from manta.lines import Verdict
from manta.local import Local, NotStarted, local_cluster
from manta.progress import Progress
from manta.services import Addresses
from manta.show import Show, chosen

if TYPE_CHECKING:
    from manta.findings import Finding

__all__ = ["Wishes", "run", "up"]

FOLLOWED = ("RayJob", "RayService", "RayCluster", "RayCronJob")
NEVER = {
    "RayJob": "no job ever ends",
    "RayService": "no service ever answers",
    "RayCronJob": "no job ever ends",
}
UNUSABLE = 2  # exit code: the command line or the file cannot be used


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asked for."""

    node: str = "processes"
    capacity: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    output: str = "auto"
    keep: bool = False
    kubeconfig: Path | None = None
    isolation: Isolation = "auto"


class Refusal(Exception):
    """An object was refused; the message shows where and why."""


SAID: Final = (Rejected, Unusable, PortTaken, aiohttp.ClientError, NotStarted, Refusal)  # whose text is for the user


def run(file: str, wishes: Wishes) -> int:
    """Apply the file on a local cluster of its own, and follow it; the exit code."""

    async def main() -> int:
        documents = read_documents(file)
        advice = usable(documents)
        return await running(documents, to_follow(documents), advice, wishes)

    return ending_well(main(), wishes.output)


def up(files: Sequence[str], wishes: Wishes) -> int:
    """A local cluster until Ctrl-C; the exit code."""

    async def main() -> int:
        documents = [document for file in files for document in read_documents(file)]
        return await staying(documents, usable(documents), wishes)

    return ending_well(main(), wishes.output, stopping="everything is gone", stopped_code=0)


def ending_well(
    main: Coroutine[Any, Any, int],
    output: str = "auto",
    *,
    stopping: str = "interrupted; everything that was started is gone",
    stopped_code: int | None = None,
) -> int:
    """Its exit code; what cannot be done is said in a sentence, and so is that a signal ended it.

    With `stopped_code` that is how it is meant to end, and no exit code of a shell's.
    """
    try:
        return heeding_signals(main)
    except Stopped as stopped:
        return ended(output, stopped.exit_code if stopped_code is None else stopped_code, stopping, mark="\n")
    except SAID as error:
        return said(error, output)
    except ExceptionGroup as group:  # of the tasks beside which it was raised
        sayable, others = group.split(SAID)
        if sayable is None or others is not None:
            raise
        return said(first_of(sayable), output)


def said(error: Exception, output: str) -> int:
    """One of SAID, as a sentence or as findings; the exit code."""
    if isinstance(error, Rejected) and output == "json":
        for finding in error.findings:
            sys.stdout.write(json.dumps({"what": "finding", **finding.members}) + "\n")
        return ended(output, UNUSABLE, "nothing was started")
    text = f"the local cluster ended: {error}" if isinstance(error, aiohttp.ClientError) else str(error)
    return ended(output, UNUSABLE if isinstance(error, Rejected | Unusable | PortTaken) else 1, text)


def first_of(error: Exception) -> Exception:
    """Out of its groups."""
    return first_of(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error


def ended(output: str, code: int, text: str, *, mark: str = "manta: ") -> int:
    """Says why it ended without a verdict, where its reader looks, and answers the exit code."""
    if output == "json":
        sys.stdout.write(json.dumps({"what": "end", "code": code, "text": text}) + "\n")
        sys.stdout.flush()
    else:
        sys.stderr.write(f"{mark}{text}\n")
    return code


def to_follow(documents: Sequence[Document]) -> Document:
    """The first that can be followed. Raises Unusable."""
    for document in documents:
        if document.kind in FOLLOWED:
            return document
    file, there = documents[0].file, ", ".join(str(one) for one in documents)
    kinds = f"{', '.join(FOLLOWED[:-1])} or {FOLLOWED[-1]}"
    way = "`manta up --apply FILE` applies anything, and stays"
    raise Unusable(f"{file} has no {kinds} to run; what it has is {there}; {way}")


async def running(documents: Sequence[Document], followed: Document, advice: Iterable[Finding], wishes: Wishes) -> int:
    """Everything of `manta run`."""
    progress = Progress(followed.kind, followed.name, followed.namespace)
    with chosen(wishes.output, progress) as show:
        async with reachable(wishes, show) as (local, url):
            show.stage("")
            kubectl = f"kubectl --kubeconfig {kubeconfig_of(wishes, local)}"
            show.say(f"local cluster on {url}; {kubectl} get pods", isolation=local.level.isolation)
            warn(advice, show)
            created = await apply(local, documents, show)
            followed = created[documents.index(followed)]
            progress.name = followed.name
            others = [str(one) for one in created if one is not followed and one.kind in FOLLOWED]
            if others:
                show.say(f"following {followed}; not followed: {', '.join(others)}")
            if wishes.node == "scripted" and followed.kind in NEVER:
                show.say(f"--node scripted: pods live by a table and no Ray runs in them, so {NEVER[followed.kind]}")
            addresses = Addresses(show)
            async with sharing(local, dashboards(show, local.api, local.directory), addresses.shared):
                verdict = await to_its_end(local, followed, progress, show, addresses)
                for line in verdict.tail:
                    show.log(line)
                show.end(verdict)
                show_logs(verdict, local, show)
                if wishes.keep and not verdict.cell_ended:
                    show.stage("kept running; Ctrl-C ends it")
                    await local.cell.ended()
            show.stage("cleaning up")
    return verdict.code


async def to_its_end(local: Local, followed: Document, progress: Progress, show: Show, addresses: Addresses) -> Verdict:
    """Follow it; of a RayCronJob the first RayJob that it makes."""
    if followed.kind == RAY_CRON_JOBS.kind:
        from manta.cron import first_job

        made = await first_job(local, followed, show)
        if isinstance(made, Verdict):
            return made
        progress.kind, progress.name = made.kind, made.name
        followed = made
    return await follow(local, followed, progress, show, addresses)


async def staying(documents: Sequence[Document], advice: Iterable[Finding], wishes: Wishes) -> int:
    """Everything of `manta up`."""
    output = "plain" if wishes.output == "auto" else wishes.output
    with chosen(output, Progress("", "")) as show:
        async with reachable(wishes, show) as (local, url):
            where = f"local cluster on {url}\nexport KUBECONFIG={kubeconfig_of(wishes, local)}"
            show.say(where, isolation=local.level.isolation)
            warn(advice, show)
            await apply(local, documents, show)
            async with (
                sharing(local, dashboards(show, local.api, local.directory), Addresses(show).shared),
                telling_warnings(local.api, show),
            ):
                show.stage("ready; Ctrl-C ends it")
                why = await local.cell.ended()
    return ended(wishes.output, 1, why)


@asynccontextmanager
async def reachable(wishes: Wishes, show: Show) -> AsyncIterator[tuple[Local, str]]:
    """The cluster, and the loopback URL under which kubectl reaches it.

    Port and kubeconfig are seen to before anything starts, or is said to. Raises PortTaken, Unusable, NotStarted.
    """

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(local.api_socket)  # nobody knows the port before it is there

    with kept_for(wishes.kubeconfig):
        async with relaying(connect, port=wishes.port) as port:
            show.stage("starting the local cluster")
            async with local_cluster(
                node=wishes.node,
                capacity=wishes.capacity,
                told=show.stage,
                isolation=wishes.isolation,
                said=show.say,
            ) as local:
                url = f"http://127.0.0.1:{port}"
                write_kubeconfig(kubeconfig_of(wishes, local), url, local.token)
                yield local, url


def kubeconfig_of(wishes: Wishes, local: Local) -> Path:
    """Where the user's kubeconfig stands: as asked, else beside the cluster's own files."""
    return (wishes.kubeconfig or local.directory / "user.kubeconfig").absolute()


def warn(advice: Iterable[Finding], show: Show) -> None:
    """What works, but not as its author may think."""
    for finding in advice:
        show.say(f"! {finding}")


async def apply(local: Local, documents: Sequence[Document], show: Show) -> list[Document]:
    """Create all objects, in their order; answers them under the names that they got. Raises Refusal with the line."""
    created = []
    for document in documents:
        try:
            body = await local.api.create(document.body)
        except Refused as refused:
            raise Refusal(refusal(document, refused)) from refused
        named = {**document.body["metadata"], "name": body["metadata"]["name"]}  # it may have been generated
        created.append(replace(document, body={**document.body, "metadata": named}))
        show.say(f"{created[-1]} created")
    for warning in local.api.warnings:
        if warning.startswith(f"{local.level.isolation}: "):  # what is wrong with the file is told already
            show.say(f"! {warning}")
    return created


def refusal(document: Document, refused: Refused) -> str:
    """The server's words, and under them every field that they name, with its line."""
    message = refused.message
    if refused.code == 404 and message.startswith("namespaces "):
        space = document.body["metadata"].get("namespace")
        message = f"there is no namespace {space}; put a Namespace of that name into the file, above what stands in it"
        place = "metadata.namespace"
        return f"{document} is refused: {message}\n{document.where(place)}\n{document.excerpt(place)}"
    if refused.code == 404:
        message = f"the local cluster does not serve {document.body['apiVersion']} {document.kind}"
    shown = [f"{document} is refused: {message}"]
    paths = re.findall(r'(?:unknown|duplicate) field "([^"]+)"', message)
    paths += re.findall(r"(?:^|[ :\[])((?:spec|metadata)(?:\.[\w/-]+|\[\d+\])+)", message)
    for path in dict.fromkeys(paths):
        shown += [document.where(path), document.excerpt(path)]
    return "\n".join(shown)


def show_logs(verdict: Verdict, local: Local, show: Show) -> None:
    """After a failure that is nobody's fault but ours, what the programs inside said."""
    if verdict.cell_ended:
        from manta.local import last_lines

        show.say(last_lines(local.directory, 20))
