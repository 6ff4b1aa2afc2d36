"""Ways into the cell: loopback ports outside, Unix sockets in between, addresses inside (design.md §3).

A Unix socket is reached by its path, whatever network namespace one is in. Inside, `dialing` serves one socket that
connects wherever it is asked to; outside, `forwarding` listens on a loopback port and asks for one address.
The first line of a connection is "HOST:PORT\\n"; the answer "ok\\n", or "error ...\\n" and the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

__all__ = ["PortTaken", "Reach", "carry", "dial", "dialing", "forwarding", "just_there", "relaying"]

Reach: TypeAlias = Callable[[str, int], tuple[str, int]]  # where a connection to an address and port really has to go
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
CONNECT_SECONDS = 10.0
CHUNK = 256 * 1024


class PortTaken(Exception):
    """Somebody listens on that port already."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} on 127.0.0.1 is in use; choose another one, or 0 for any that is free")
        self.port = port


def just_there(host: str, port: int) -> tuple[str, int]:
    """Where all is as it seems."""
    return host, port


@asynccontextmanager
async def dialing(path: str, *, reach: Reach = just_there) -> AsyncIterator[None]:
    """Inside: serves the socket at `path`; every connection is carried to the address that its first line names."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            host, _, port = (await reader.readline()).decode().strip().rpartition(":")
            async with asyncio.timeout(CONNECT_SECONDS):
                inner = await asyncio.open_connection(*reach(host, int(port)))
        except (OSError, ValueError, TimeoutError) as error:
            writer.write(f"error {str(error) or type(error).__name__}\n".encode())
            await _close(writer)
            return
        writer.write(b"ok\n")
        await carry((reader, writer), inner)

    connections = _Connections(serve)
    server = await asyncio.start_unix_server(connections.accept, path, start_serving=False)
    async with connections.of(server):
        yield


async def dial(path: str, host: str, port: int) -> Streams:
    """Outside: a connection to an address inside the cell. Raises ConnectionError with the reason."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(f"{host}:{port}\n".encode())
    answer = (await reader.readline()).decode().strip()
    if answer != "ok":
        writer.close()
        raise ConnectionError(f"{host}:{port} in the cell: {answer.removeprefix('error ') or 'no answer'}")
    return reader, writer


@asynccontextmanager
async def forwarding(dialer: str, host: str, target: int, *, port: int = 0) -> AsyncIterator[int]:
    """Outside: a loopback port that leads to `host:target` inside; yields its number. Raises PortTaken."""
    async with relaying(lambda: dial(dialer, host, target), port=port) as chosen:
        yield chosen


@asynccontextmanager
async def relaying(connect: Callable[[], Awaitable[Streams]], *, port: int = 0) -> AsyncIterator[int]:
    """A loopback port each of whose connections is carried to a new one made by `connect`. Raises PortTaken."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner = await connect()
        except OSError:
            writer.transport.abort()  # as if nobody listened
            return
        await carry((reader, writer), inner)

    connections = _Connections(serve)
    try:
        server = await asyncio.start_server(connections.accept, "127.0.0.1", port, start_serving=False)
    except OSError as error:
        raise PortTaken(port) from error
    async with connections.of(server):
        yield int(server.sockets[0].getsockname()[1])


class _Connections:
    """The connections of a server: a task each, which asyncio's own servers would leave behind when they close."""

    def __init__(self, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self._serve = serve
        self._tasks: set[asyncio.Task[None]] = set()
        self._group: asyncio.TaskGroup

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._group.create_task(self._one(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        finally:
            writer.close()

    @asynccontextmanager
    async def of(self, server: asyncio.Server) -> AsyncIterator[None]:
        """The server takes connections while the block lasts; they end with it.

        What the body raises leaves as it is, not in the tasks' group: callers catch it by its type.
        """
        raised: Exception | None = None
        async with asyncio.TaskGroup() as self._group:
            await server.start_serving()
            try:
                yield
            except Exception as error:  # noqa: BLE001 - raised again below
                raised = error
            finally:
                server.close()
                for task in list(self._tasks):
                    task.cancel()
        if raised is not None:
            raise raised


async def carry(one: Streams, other: Streams) -> None:
    """Both directions until both have ended; an end of one is passed on as an end of writing."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_pump(one[0], other[1]))
            group.create_task(_pump(other[0], one[1]))
    finally:
        for writer in (one[1], other[1]):
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:  # ending the writing of a socket that was reset is ENOTCONN, which is no ConnectionError
        writer.transport.abort()  # the other side is gone: so is this one


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except ConnectionError:
        return
