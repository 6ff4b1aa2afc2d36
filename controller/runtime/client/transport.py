"""The seam between typed calls and the wire: one request, an answer whose body streams (decisions D9, D10).

A Transport knows sockets, TLS and pools; it knows no Kubernetes. What went wrong is told by how far it came:
`Unreachable` when no byte of the request was processed, `Broken` when it may have been.

HTTP/1.1 over aiohttp, with three pools (TRN-1): a watch occupies its connection for life, so one shared bounded pool
would lock up; lease traffic has its own, so that nothing of ours can starve it.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from enum import StrEnum
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import aiohttp
from yarl import URL

from controller.runtime.errors import RuntimeProblem, Unreachable
from controller.runtime.permit import Permit, ask_permit, permitting

__all__ = ["AiohttpTransport", "Answer", "Broken", "Pool", "TcpConnector", "Transport", "connected"]

CONNECT_SECONDS = 5.0  # CLI-17
KEEP_ALIVE_SECONDS = 90.0  # TRN-1
LIFE_SECONDS = (300.0, 600.0)  # TRN-3: then another server behind the same address may get its share
REQUESTS_AT_ONCE = 80  # 64 writes, 8 events, and 8 reads that must not wait for them (CLI-19, CLI-20)
LEASES_AT_ONCE = 2
# A machine that is gone without a word is noticed after 15 + 3 * 5 s (REF-12).
_SOCKET_OPTIONS = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 30_000))


class Broken(RuntimeProblem):
    """The connection ended before the answer did; the request may have been carried out."""


class Pool(StrEnum):
    """Which connections a request may use."""

    REQUEST = "request"
    WATCH = "watch"
    LEASE = "lease"


class Answer(Protocol):
    """An HTTP answer whose headers are in. Valid inside its block only."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]:
        """Names are looked up without regard to case."""
        ...

    async def read(self) -> bytes:
        """The whole body. Raises Broken."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives, in whatever pieces the socket gives. Raises Broken."""
        ...


class Transport(Protocol):
    """Sends requests. Leaving the block of an answer gives its connection back, or closes it when unread."""

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None = None,
        pool: Pool = Pool.REQUEST,
        permit: Permit | None = None,
    ) -> AbstractAsyncContextManager[Answer]:
        """Send it and wait for the headers of the answer. Raises Unreachable, Broken. Sets no time limit of its own.

        A request may wait for a connection, so `permit` is asked after that. It raises: nothing of it was sent.
        """
        ...


class _Answer:
    """aiohttp's response, with its errors translated."""

    __slots__ = ("_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def read(self) -> bytes:
        try:
            return await self._response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise Broken(f"the answer ended early: {error}") from error

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise Broken(f"the stream ended early: {error}") from error


class AiohttpTransport:
    """One API server. Made by `connected`, which closes it."""

    def __init__(
        self,
        server: str,
        sessions: Mapping[Pool, aiohttp.ClientSession],
        server_hostname: str = "",
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._server = URL(server)
        self._below = self._server.path.rstrip("/")
        self._tls = tls
        self._sessions = sessions
        self._server_hostname = server_hostname or None

    @property
    def host(self) -> str:
        """For metrics: no path, no credentials; IPv6 in brackets."""
        return f"{self._server.host_subcomponent}:{self._server.port}"

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
        url = self._server.with_path(self._below + path)
        try:
            with permitting(permit):
                response = await self._sessions[pool].request(
                    method,
                    url,
                    params=query,
                    headers=headers,
                    data=body,
                    allow_redirects=False,
                    server_hostname=self._server_hostname,
                    ssl=self._tls() if self._tls is not None else True,  # True: as the pool has it
                )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Unreachable(f"cannot reach {self.host}: {error}") from error
        except aiohttp.ClientHttpProxyError as error:  # its own text has the proxy's URL, and a password perhaps
            text = f"cannot reach {self.host}: the proxy answers {error.status} {error.message}"
            raise Unreachable(text) from None
        except (aiohttp.ClientError, OSError) as error:
            raise Broken(f"{self.host} gave no answer: {error}") from error
        try:
            yield _Answer(response)
        finally:
            # A body that was read to its end has given the connection back already; an unread one must not be reused.
            response.close()


class _Connector(aiohttp.BaseConnector):
    """Connections that grow old, and the last question before a request leaves on one.

    `permit` is asked once a request has its connection, from the pool or a new one: after this, aiohttp writes without
    a pause. Also when it sends again by itself, since a connection that it had kept was closed by the server.
    """

    def __init__(self, *arguments: Any, chance: random.Random | None = None, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._chance = chance
        self._old_at: WeakKeyDictionary[object, float] = WeakKeyDictionary()

    async def connect(self, *arguments: Any, **more: Any) -> aiohttp.connector.Connection:
        connection = await super().connect(*arguments, **more)
        while self._is_old(connection):
            connection.close()
            connection = await super().connect(*arguments, **more)
        try:
            ask_permit()
        except BaseException:
            connection.release()
            raise
        return connection

    def _is_old(self, connection: aiohttp.connector.Connection) -> bool:
        if self._chance is None or connection.protocol is None:
            return False
        now = asyncio.get_running_loop().time()
        old_at = self._old_at.get(connection.protocol)
        if old_at is None:  # a new one
            self._old_at[connection.protocol] = now + self._chance.uniform(*LIFE_SECONDS)
            return False
        return now >= old_at


class TcpConnector(_Connector, aiohttp.TCPConnector):
    """Over the network. With `chance` each connection is kept for five to ten minutes."""


class _UnixConnector(_Connector, aiohttp.UnixConnector):
    pass


@asynccontextmanager
async def connected(
    server: str,
    *,
    tls: ssl.SSLContext | Callable[[], ssl.SSLContext] | None = None,
    server_hostname: str = "",
    unix_socket: str = "",
    proxy: str = "",
    chance: random.Random | None = None,
) -> AsyncIterator[AiohttpTransport]:
    """A transport to the server at that URL, or behind a Unix socket; its connections close with the block.

    A `tls` that is called is asked before each request: another context than before means new connections. With
    `chance` each connection is kept for five to ten minutes; without, for as long as it is used.
    """

    def connector(limit: int) -> aiohttp.BaseConnector:
        if unix_socket:
            return _UnixConnector(unix_socket, limit=limit, keepalive_timeout=KEEP_ALIVE_SECONDS, chance=chance)
        return TcpConnector(
            limit=limit,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            chance=chance,
            ssl=tls if isinstance(tls, ssl.SSLContext) else True,
            socket_factory=_socket,
        )

    limits = {Pool.REQUEST: REQUESTS_AT_ONCE, Pool.WATCH: 0, Pool.LEASE: LEASES_AT_ONCE}
    async with AsyncExitStack() as stack:
        sessions = {
            pool: await stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=connector(limit),
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                    proxy=proxy or None,
                    cookie_jar=aiohttp.DummyCookieJar(),
                )
            )
            for pool, limit in limits.items()
        }
        yield AiohttpTransport(server, sessions, server_hostname, tls if callable(tls) else None)


def _socket(address: tuple[int, int, int, str, object]) -> socket.socket:
    """A socket that notices a dead peer by itself, where the platform can."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _SOCKET_OPTIONS:
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
