"""The wire under a test's control: each request waits until the test answers it (spec runtime TST-12).

It stands in the place of a Transport, so that everything above it runs unchanged, with no socket and in virtual time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from controller.runtime.client.transport import Answer, Broken, Pool
from controller.runtime.errors import Unreachable
from controller.runtime.permit import Permit

__all__ = ["Exchange", "ScriptedTransport", "Stream", "status"]


class Stream:
    """The body of an answer, fed by the test."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.closed = False  # the client let go of it

    def send(self, piece: bytes) -> None:
        """Bytes as they come from the socket."""
        self._pieces.put_nowait(piece)

    def event(self, type_: str, obj: Mapping[str, Any]) -> None:
        """One whole event of a watch."""
        self.send(json.dumps({"type": type_, "object": obj}).encode() + b"\n")

    def bookmark(self, kind: str, rv: str, *, ends_initial_events: bool = False) -> None:
        """A BOOKMARK, plain or the one that ends a WatchList's initial events."""
        metadata: dict[str, Any] = {"resourceVersion": rv}
        if ends_initial_events:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        self.event("BOOKMARK", {"kind": kind, "apiVersion": "v1", "metadata": metadata})

    def end(self) -> None:
        """An orderly end."""
        self._pieces.put_nowait(None)

    def cut(self) -> None:
        """The connection breaks."""
        self._pieces.put_nowait(Broken("cut by the test"))

    async def chunks(self) -> AsyncIterator[bytes]:
        while (piece := await self._pieces.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            yield piece


class _Answer:
    def __init__(self, status_code: int, headers: Mapping[str, str], stream: Stream) -> None:
        self.status = status_code
        self.headers = headers
        self._stream = stream

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self._stream.chunks()])

    def chunks(self) -> AsyncIterator[bytes]:
        return self._stream.chunks()


class Exchange:
    """One request that was sent, and its answer once the test has given one."""

    def __init__(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None,
        pool: Pool,
    ) -> None:
        self.method, self.path, self.query, self.headers, self.pool = method, path, dict(query), dict(headers), pool
        self.body: Any = json.loads(body) if body else None
        self.outcome: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        return f"<{self.method} {self.path} {self.query}>"

    @property
    def watches(self) -> bool:
        """Is it a watch?"""
        return self.query.get("watch") == "true"

    def answer(self, body: Any, code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """A whole answer: bytes as they are, anything else as JSON."""
        stream = self.stream(code, headers)
        stream.send(body if isinstance(body, bytes) else json.dumps(body).encode())
        stream.end()

    def refuse(
        self,
        code: int,
        reason: str = "",
        message: str = "refused by the test",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """A Status."""
        self.answer(status(code, reason, message), code, headers)

    def stream(self, code: int = 200, headers: Mapping[str, str] | None = None) -> Stream:
        """Headers now; the body when the test sends it."""
        stream = Stream()
        self.outcome.set_result(_Answer(code, headers or {}, stream))
        return stream

    def cut(self) -> None:
        """The connection breaks before an answer: the server may or may not have done it."""
        self.outcome.set_exception(Broken("cut by the test"))

    def unreachable(self) -> None:
        """Nobody listens."""
        self.outcome.set_exception(Unreachable("nobody listens"))


class ScriptedTransport:
    """Implements Transport. With a `responder`, it is called for each request; else the test takes them one by one."""

    def __init__(self, responder: Callable[[Exchange], None] | None = None) -> None:
        self.responder = responder
        self.free = asyncio.Event()  # cleared: no connection is, and requests wait for one
        self.free.set()
        self.log: list[Exchange] = []
        self.open = 0  # answers that the client has not let go of
        self._unseen: asyncio.Queue[Exchange] = asyncio.Queue()

    async def next(self, method: str = "", path: str = "") -> Exchange:
        """The next request; it must be of that method and to that path, if given."""
        async with asyncio.timeout(3600):
            exchange = await self._unseen.get()
        assert method in ("", exchange.method), f"expected {method}, got {exchange}"
        assert path in ("", exchange.path), f"expected {path}, got {exchange}"
        return exchange

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None = None,
        pool: Pool = Pool.REQUEST,
        permit: Permit | None = None,
    ) -> AsyncIterator[Answer]:
        await self.free.wait()
        if permit is not None:
            permit()
        exchange = Exchange(method, path, query, headers, body, pool)
        self.log.append(exchange)
        if self.responder is not None:
            self.responder(exchange)
        else:
            self._unseen.put_nowait(exchange)
        self.open += 1
        try:
            answer = await exchange.outcome
            try:
                yield answer
            finally:
                answer._stream.closed = True
        finally:
            self.open -= 1


def status(
    code: int, reason: str = "", message: str = "", causes: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """A Status object of a refusal."""
    details: dict[str, Any] = {"causes": causes} if causes else {}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
        "details": details,
    }
