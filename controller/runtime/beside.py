"""A second thread with an event loop of its own, for what must not wait for the first one (spec runtime LE-8, HLT-3).

The block that runs there is entered and left as if it stood here; what fails there ends the block here.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from controller.runtime.background import background

__all__ = ["Beside", "beside"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Beside(Generic[T]):
    """What the other block gave, and the way to run something where it lives."""

    value: T
    loop: asyncio.AbstractEventLoop

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run it on the other loop; cancelled there when it is cancelled here."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), self.loop))


@asynccontextmanager
async def beside(block: Callable[[], AbstractAsyncContextManager[T]], *, name: str) -> AsyncIterator[Beside[T]]:
    """Enter `block()` on a thread of that name, and leave it there when this block ends.

    Raises what entering it raised; what it raises later ends this block in an ExceptionGroup. The other block is left
    by cancelling it where it stands, so what it must do at its end belongs into `finally`.
    """
    ours, theirs = asyncio.get_running_loop(), asyncio.new_event_loop()
    up: asyncio.Future[Beside[T]] = ours.create_future()
    down: asyncio.Future[None] = ours.create_future()

    async def live() -> None:
        async with block() as value:
            ours.call_soon_threadsafe(_settle, up, Beside(value, theirs))
            await asyncio.Event().wait()

    thread = threading.Thread(
        target=_body, args=(live, theirs, partial(_ended, ours, up, down)), name=name, daemon=True
    )
    thread.start()
    try:
        other = await up
        async with background((name, _waiting(down))):
            yield other
    finally:
        with suppress(RuntimeError):  # its loop is closed: it has ended by itself
            theirs.call_soon_threadsafe(_cancel_all, theirs)
        await asyncio.wait([down])
        thread.join()


def _body(
    live: Callable[[], Coroutine[Any, Any, None]],
    loop: asyncio.AbstractEventLoop,
    ended: Callable[[BaseException | None], None],
) -> None:
    """What the thread runs."""
    error: BaseException | None = None
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(live())
    except asyncio.CancelledError:
        pass  # left as asked
    except BaseException as raised:  # noqa: BLE001 - carried over to the thread that waits for it
        error = raised
    ended(error)


def _ended(
    loop: asyncio.AbstractEventLoop,
    up: asyncio.Future[Any],
    down: asyncio.Future[None],
    error: BaseException | None,
) -> None:
    """Tell the first thread. Before it was up, its entering failed; afterwards it fell."""

    def tell() -> None:
        if error is None:
            _settle(down, None)
        elif up.done():
            down.set_exception(error)
        else:
            up.set_exception(error)
            down.set_result(None)

    loop.call_soon_threadsafe(tell)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()


async def _waiting(down: asyncio.Future[None]) -> None:
    await asyncio.shield(down)


def _settle(future: asyncio.Future[Any], value: object) -> None:
    if not future.done():
        future.set_result(value)
