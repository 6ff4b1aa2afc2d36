"""Tells the Warning events of a whole local cluster, as `manta up` shows them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from manta.api import Api
from manta.follow import News, lasting, until, watch
from manta.show import Show
from manta.warned import Warned

__all__ = ["telling_warnings"]

SETTLING_SECONDS: Final = 1.0  # within which pods of a group get into the same trouble, and first repetitions come


@asynccontextmanager
async def telling_warnings(api: Api, show: Show) -> AsyncIterator[None]:
    """While the block is open, each new Warning is shown, a moment after it came."""
    warned, news = Warned(), News()

    def noting(note: Callable[[str, Mapping[str, Any]], None]) -> Callable[[str, Mapping[str, Any]], None]:
        def told(type_: str, body: Mapping[str, Any]) -> None:
            note(type_, body)
            news.tell()

        return told

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(watch(api, "/api/v1/pods", noting(warned.pod_changed))),
            group.create_task(watch(api, "/apis/events.k8s.io/v1/events", noting(warned.event_told))),
            group.create_task(tell(warned, news, show)),
            group.create_task(tell_unplaced(warned, news, show)),
        ]
        yield
        for task in tasks:
            task.cancel()


async def tell(warned: Warned, news: News, show: Show) -> None:
    """For ever."""
    while True:
        await until(lambda: warned.has_news, news)
        await asyncio.sleep(SETTLING_SECONDS)
        for line in warned.lines():
            show.tell(line)


async def tell_unplaced(warned: Warned, news: News, show: Show) -> None:
    """For ever, of pods that have no place: a while later, and if it is still so."""
    while True:
        for line in warned.lines(await lasting(lambda: warned.unplaced, news)):
            show.tell(line)
