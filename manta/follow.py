"""Follows what was applied until it is over: watches the API, reads the job's log, feeds Progress, shows its lines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, Final, TypeVar

import aiohttp

from localcluster.node.forward import dial
from manta.api import Api, Refused, path_of
from manta.asking import asked_once, route_of
from manta.documents import Document
from manta.joblog import JobLog
from manta.lines import Line, Verdict
from manta.local import Local
from manta.progress import Progress
from manta.services import Addresses
from manta.show import Show
from manta.tokens import token_of_cluster

__all__ = ["News", "follow", "lasting", "until", "watch"]

LOG_LOOK_SECONDS: Final = 0.5  # between two looks at a dashboard's log
LAST_LOG_SECONDS: Final = 3.0  # what the job said last may come after its end
PATIENCE_SECONDS: Final = 20.0  # a pod that cannot start, as things are: for its image to be made known, say
LASTING_SECONDS: Final = 5.0  # a pod without a place, until that is told
SETTLING_SECONDS: Final = 1.0  # within which the pods of a group get into the same trouble
CRASH_LINES: Final = 10
DASHBOARD: Final = 8265
RAY: Final = "ray.io/v1"

T = TypeVar("T")


async def follow(local: Local, document: Document, progress: Progress, show: Show, addresses: Addresses) -> Verdict:
    """Until the job is over, the cluster ready, a service has answered, or the cell is gone.

    The verdict's tail holds just what was not shown.
    """
    over = asyncio.Event()
    lines, said = Teller(progress, show, over), JobLog()
    namespace = document.namespace
    path = path_of(document.body["apiVersion"], document.kind, namespace)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                watch(local.api, path, lines.object_of(document.name), fieldSelector=f"metadata.name={document.name}")
            ),
            group.create_task(watch(local.api, f"/api/v1/namespaces/{namespace}/pods", lines.pod)),
            group.create_task(watch(local.api, f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", lines.event)),
            group.create_task(cell_ends(local, progress, over)),
            group.create_task(watch(local.api, path_of(RAY, "RayCluster", namespace), lines.cluster)),
            group.create_task(patience_ends(document, progress, lines.news, over)),
            group.create_task(lines.tell_troubles()),
            group.create_task(lines.tell_unplaced()),
            group.create_task(last_words(local.api, namespace, progress, show, lines.news)),
            group.create_task(service_answers(document, progress, lines, addresses)),
        ]
        log = group.create_task(job_log(local, document, progress, lines, said))
        await over.wait()
        lines.tell(progress.troubles_told())
        for task in tasks:
            task.cancel()
        _, unfinished = await asyncio.wait([log], timeout=LAST_LOG_SECONDS)
        for task in unfinished:
            task.cancel()
    assert progress.verdict is not None
    return replace(progress.verdict, tail=said.not_shown(progress.verdict.tail))


class News:
    """Wakes all who wait for the next of it."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def tell(self) -> None:
        """There is some."""
        self.event.set()
        self.event = asyncio.Event()

    async def next(self) -> None:
        """Until there is some again."""
        await self.event.wait()


class Teller:
    """Feeds events to Progress and shows what it answers; `news` wakes those who wait for something in Progress."""

    def __init__(self, progress: Progress, show: Show, over: asyncio.Event) -> None:
        self.progress, self.show, self.over = progress, show, over
        self.news = News()

    def tell(self, lines: Iterable[Line]) -> None:
        """Show them; note the end."""
        for line in lines:
            self.show.tell(line)
        self.news.tell()
        if self.progress.verdict is not None:
            self.over.set()

    async def tell_troubles(self) -> None:
        """Each a little later, with all pods that are in it by then."""
        while True:
            await until(lambda: self.progress.has_troubles, self.news)
            await asyncio.sleep(SETTLING_SECONDS)
            self.tell(self.progress.troubles_told())

    async def tell_unplaced(self) -> None:
        """Of pods that have no place: a while later, and if it is still so."""
        while True:
            self.tell(self.progress.troubles_told(await lasting(lambda: self.progress.unplaced, self.news)))

    def object_of(self, name: str) -> Callable[[str, Mapping[str, Any]], None]:
        """For the watch of the object itself."""

        def changed(type_: str, body: Mapping[str, Any]) -> None:
            if type_ == "DELETED":
                self.progress.verdict = self.progress.verdict or Verdict(1, f"{self.progress.kind} {name} was deleted")
            self.tell(self.progress.object_changed(body) if type_ != "DELETED" else ())

        return changed

    def cluster(self, type_: str, body: Mapping[str, Any]) -> None:
        """For the watch of RayClusters."""
        self.progress.cluster_seen(type_, body)
        self.news.tell()

    def pod(self, type_: str, body: Mapping[str, Any]) -> None:
        """For the watch of pods."""
        self.tell(self.progress.pod_changed(type_, body))

    def event(self, type_: str, body: Mapping[str, Any]) -> None:
        """For the watch of events."""
        if type_ != "DELETED":
            self.tell(self.progress.event_told(body))


async def watch(api: Api, path: str, tell: Callable[[str, Mapping[str, Any]], None], **query: str) -> None:
    """Every event of the collection; the local server ends no stream but by ending itself, which `cell_ends` tells."""
    with suppress(aiohttp.ClientError):
        async with aclosing(api.watch(path, **query)) as events:  # type: ignore[type-var]
            async for type_, body in events:
                tell(type_, body)


async def cell_ends(local: Local, progress: Progress, over: asyncio.Event) -> None:
    """The end of the cell is the end of the run."""
    why = await local.cell.ended()
    progress.verdict = progress.verdict or Verdict(1, f"the local cluster ended: {why}", cell_ended=True)
    over.set()


async def patience_ends(document: Document, progress: Progress, news: News, over: asyncio.Event) -> None:
    """Gives up when pods cannot be made or start for long, and nothing runs that could change it."""
    while not over.is_set():
        await until(lambda: progress.hopeless, news)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await until(lambda: not progress.hopeless, news)
        except TimeoutError:
            progress.verdict = progress.verdict or progress.given_up(document)
            over.set()


async def service_answers(document: Document, progress: Progress, lines: Teller, addresses: Addresses) -> None:
    """A RayService that serves is asked once, whatever it says: then the run is over."""
    await until(lambda: progress.can_be_asked, lines.news)
    answer = await asked_once(addresses.of(document.namespace, document.name), route_of(document.body))
    progress.verdict = progress.verdict or Verdict(0, f"RayService {document.name} is ready")
    lines.tell([answer])


async def last_words(api: Api, namespace: str, progress: Progress, show: Show, news: News) -> None:
    """What containers said before they crashed."""
    while True:
        await until(lambda: bool(progress.crashed), news)
        pod, container = progress.crashed.pop(0)
        try:
            log = api.log(namespace, pod, container, follow=False, tail=CRASH_LINES, previous=True)
            text = b"".join([chunk async for chunk in log]).decode(errors="replace")
        except Refused as refused:
            text = f"no output: {refused.message}"
        show.say(f"the last that {pod}, container {container}, said:")
        for line in text.splitlines():
            show.log(line)


# The job's own output


async def job_log(local: Local, document: Document, progress: Progress, lines: Teller, said: JobLog) -> None:
    """The driver's output: from the submitter's pod in K8sJobMode, from the dashboard in HTTPMode."""
    if document.kind != "RayJob":
        return
    mode = (document.body.get("spec") or {}).get("submissionMode", "K8sJobMode")
    source = submitter_log if mode == "K8sJobMode" else dashboard_log

    def tell(line: str) -> None:
        lines.show.log(line, news=said.is_news(line))

    rest = ""
    async for text in source(local, document, progress, lines.news):
        *whole, rest = (rest + text).split("\n")
        for line in whole:
            tell(line.rstrip("\r"))
    if rest:
        tell(rest)


async def submitter_log(local: Local, document: Document, progress: Progress, news: News) -> AsyncIterator[str]:
    """Follows the log of each pod of the submitter from its beginning, once it has one: a retry has another pod."""
    followed = {""}
    while True:
        await until(lambda: progress.submitter not in followed or progress.verdict is not None, news)
        if (pod := progress.submitter) in followed:
            return
        try:
            async for chunk in local.api.log(document.namespace, pod, SUBMITTER, follow=True):
                yield chunk.decode(errors="replace")
            followed.add(pod)
        except aiohttp.ClientError:
            return  # the server is gone
        except Refused:
            if progress.verdict is not None:
                return
            await asyncio.sleep(LOG_LOOK_SECONDS)


SUBMITTER: Final = "ray-job-submitter"


async def dashboard_log(local: Local, document: Document, progress: Progress, news: News) -> AsyncIterator[str]:
    """Asks the dashboard for the whole log again and again, and passes on what is new; a retry has a log of its own."""
    job, told, token = "", 0, ""
    while True:
        await until(lambda: bool(progress.head_ip and progress.job_id) or progress.verdict is not None, news)
        if progress.job_id != job:
            job, told, token = progress.job_id, 0, ""
            with suppress(aiohttp.ClientError):  # the server is gone, and `cell_ends` says so
                token = await token_of_cluster(local.api, document.namespace, progress.cluster)
        text = await log_so_far(local, progress.head_ip, job, token)
        if len(text) > told:
            yield text[told:]
            told = len(text)
        elif progress.verdict is not None:
            return
        await asyncio.sleep(LOG_LOOK_SECONDS)


async def log_so_far(local: Local, head: str, job: str, token: str) -> str:
    """GET /api/jobs/ID/logs; "" while there is none."""
    permission = f"x-ray-authorization: Bearer {token}\r\n" if token else ""
    try:
        reader, writer = await dial(local.dialer, head, DASHBOARD)
    except OSError:
        return ""
    try:
        writer.write(f"GET /api/jobs/{job}/logs HTTP/1.0\r\nHost: {head}\r\n{permission}\r\n".encode())
        answer = await reader.read()
    except OSError:
        return ""
    finally:
        writer.close()
    head_of_answer, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head_of_answer.partition(b"\r\n")[0]:
        return ""
    try:
        return str(json.loads(body)["logs"])
    except (ValueError, KeyError):
        return ""


async def lasting(unplaced: Callable[[], frozenset[T]], news: News) -> frozenset[T]:
    """The pods without a place, once there are some: as they were then, LASTING_SECONDS ago."""
    await until(lambda: bool(unplaced()), news)
    those = unplaced()
    await asyncio.sleep(LASTING_SECONDS)
    return those


async def until(holds: Callable[[], bool], news: News) -> None:
    """Waits for news until it holds."""
    while not holds():
        await news.next()
