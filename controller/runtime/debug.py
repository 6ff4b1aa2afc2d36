"""What the operator does just now, for a developer on the same machine (spec runtime HLT-5). Off unless asked for.

Pages show names of objects and stacks, so they are served on loopback alone: `kubectl port-forward` leads there.
"""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from aiohttp import web

from controller.runtime.cache.caches import Caches
from controller.runtime.cache.informer import Informer
from controller.runtime.health import serving
from controller.runtime.interfaces import Clock
from controller.runtime.loop import Controller
from controller.runtime.manager import Kit, Runtime

__all__ = ["Debug", "debugged"]

MOST_LINES = 25  # of the memory page


def debugged(runtime: Runtime, host: str, port: int) -> Runtime:
    """The same, with the pages at that address from before the caches are loaded until after they are closed."""
    debug = Debug(runtime.clock)

    @asynccontextmanager
    async def pages(kit: Kit) -> AsyncIterator[None]:
        debug.caches = kit.caches
        async with serving(debug.application(), what="debug pages", host=host, port=port):
            yield

    @asynccontextmanager
    async def build(kit: Kit) -> AsyncIterator[Sequence[Controller]]:
        async with runtime.build(kit) as controllers:
            debug.controllers = controllers
            yield controllers

    return replace(runtime, build=build, servers=(*runtime.servers, pages))


class Debug:
    """What the pages look at; caches and controllers are put in as they come up."""

    def __init__(self, clock: Clock) -> None:
        self.caches: Caches | None = None
        self.controllers: Sequence[Controller] = ()
        self._clock = clock

    def application(self) -> web.Application:
        """/debug/queues, /debug/informers, /debug/tasks, /debug/memory: plain text, for people."""
        app = web.Application()
        for path, page in (
            ("queues", self.queues),
            ("informers", self.informers),
            ("tasks", tasks),
            ("memory", memory),
        ):
            app.router.add_get(f"/debug/{path}", _showing(page))
        return app

    def queues(self) -> Iterable[str]:
        """For each controller: what waits, for how long, and what is worked on."""
        for one in self.controllers:
            state = one.queue.statistics()
            oldest = f" (the oldest for {state.oldest_ready_seconds:.1f} s)" if state.ready else ""
            yield f"{one.name}: {state.ready} ready{oldest}, {state.waiting} later, {state.in_work} in work"
            for key, seconds in state.longest_running:
                yield f"  {key.namespace}/{key.name} for {seconds:.1f} s"

    def informers(self) -> Iterable[str]:
        """For each kind that is watched: how much is held, of which version, and when the server was last heard."""
        now = self._clock.monotonic()
        for one in self.caches.every_informer() if self.caches is not None else ():
            yield self._informer(one, now)

    def _informer(self, one: Informer, now: float) -> str:
        reflector = one.reflector
        place = f"{one.watched.resource.plural}{f' in {one.namespace}' if one.namespace else ''}"
        if not reflector.loaded.is_set():
            return f"{place}: not loaded ({reflector.unavailable or 'no answer yet'})"
        heard = f"last heard {now - reflector.progress_at:.1f} s ago"
        return f"{place}: {len(one.store)} objects at version {one.store.rv}, {heard}"


def tasks() -> Iterable[str]:
    """Every task by its name, which says what a worker works on, and where it stands."""
    for task in sorted(asyncio.all_tasks(), key=lambda one: one.get_name()):
        yield task.get_name()
        yield from _frames(task.get_coro())


def _frames(awaited: Any) -> Iterable[str]:
    """From the task's first function to the one that waits; a task's own stack shows the first alone."""
    while awaited is not None:
        frame = next((getattr(awaited, name) for name in _FRAMES if getattr(awaited, name, None)), None)
        if frame is not None:
            yield f"  {frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}"
        awaited = next((getattr(awaited, name) for name in _AWAITED if getattr(awaited, name, None)), None)


# Of a coroutine, a generator, an asynchronous generator
_FRAMES: Final = ("cr_frame", "gi_frame", "ag_frame")
_AWAITED: Final = ("cr_await", "gi_yieldfrom", "ag_await")


def memory() -> Iterable[str]:
    """The lines of code that hold most; counted only where the process was started with PYTHONTRACEMALLOC=1."""
    if not tracemalloc.is_tracing():
        return ("not counted: start the operator with PYTHONTRACEMALLOC=1, which makes it slower",)
    return [str(one) for one in tracemalloc.take_snapshot().statistics("lineno")[:MOST_LINES]]


def _showing(page: Callable[[], Iterable[str]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def show(request: web.Request) -> web.Response:
        return web.Response(text="".join(f"{line}\n" for line in page()))

    return show
