"""Tasks that run while a block is open (decision D8): the block waits for them, and ends with the first that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

__all__ = ["background"]


@asynccontextmanager
async def background(*named: tuple[str, Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run the coroutines, each in a task of that name, until the body is done; then cancel them and wait for them.

    One that raises cancels the body and the others, and its exception leaves the block in an ExceptionGroup; one that
    returns is finished.
    """
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(coroutine, name=name) for name, coroutine in named]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
