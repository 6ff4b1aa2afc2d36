"""A watch: changes of one resource as a stream, from a version on (spec kube-api §11)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from localcluster.apiserver.requests import WatchEvent

__all__ = ["Watch"]


class Watch:
    """The events of one watch, in order. It ends after `timeoutSeconds`, after an ERROR event, or when closed.

    `async for event in watch` gives one event at a time, `batch()` all that are there, for one write to a socket.
    One consumer only. Close it when done: `with contextlib.closing(watch)`.
    """

    async def batch(self) -> list[WatchEvent]:
        """At least one event, in order; an empty list when the stream has ended."""
        raise NotImplementedError

    def close(self) -> None:
        """End the stream: a waiting `batch()` returns an empty list."""
        raise NotImplementedError

    async def __aiter__(self) -> AsyncIterator[WatchEvent]:
        while events := await self.batch():
            for event in events:
                yield event
