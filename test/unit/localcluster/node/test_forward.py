"""Connections that are carried into the cell end as they would without anybody in between."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from localcluster.node.forward import Streams, carry, dialing, forwarding, relaying


async def a_connection() -> tuple[Streams, Streams]:
    """Both ends of a connection over loopback."""
    accepted: asyncio.Future[Streams] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda *streams: accepted.set_result(streams), "127.0.0.1", 0)
    try:
        host, port = server.sockets[0].getsockname()
        return await asyncio.open_connection(host, port), await accepted
    finally:
        server.close()  # from Python 3.12 on, `async with` would wait for the connection to end


async def test_a_client_that_does_not_wait_for_the_last_bytes_leaves_no_error_behind() -> None:
    """kubectl closes at once; the API server's farewell then meets a socket that is gone, which is nobody's fault."""
    (client, outer), (inner, server) = await a_connection(), await a_connection()

    async with asyncio.TaskGroup() as tasks:
        carrying = tasks.create_task(carry(outer, inner))
        client[1].close()
        assert await server[0].read() == b""
        server[1].write(b"farewell")
        server[1].close()
        await carrying

    assert outer[1].is_closing()
    assert inner[1].is_closing()


async def test_connections_that_are_open_when_the_doors_close_end_with_them() -> None:
    """Else their tasks are destroyed with the loop, each with a complaint on the terminal of whoever pressed Ctrl-C."""
    (far, answering), before = await a_connection(), asyncio.all_tasks()

    async def connect() -> Streams:
        return answering

    async with relaying(connect) as port:
        client = await asyncio.open_connection("127.0.0.1", port)
        client[1].write(b"hello")
        assert await far[0].readexactly(5) == b"hello"

    assert asyncio.all_tasks() == before
    assert await client[0].read() == b""
    client[1].close()
    far[1].close()


async def test_a_way_into_the_cell_closes_with_what_goes_through_it(tmp_path: Path) -> None:
    """Both halves: the one that listens outside, and the one that dials inside."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(5))
        await reader.read()
        writer.close()

    inner = await asyncio.start_server(greet, "127.0.0.1", 0)
    target = inner.sockets[0].getsockname()[1]
    socket = str(tmp_path / "dial.sock")
    async with dialing(socket), forwarding(socket, "127.0.0.1", target) as port:
        client = await asyncio.open_connection("127.0.0.1", port)
        client[1].write(b"hello")
        assert await client[0].readexactly(5) == b"hello"

    assert await client[0].read() == b""
    client[1].close()
    inner.close()
    await inner.wait_closed()


class OutOfTheBlock(Exception):
    """What a body may raise."""


async def test_what_the_block_raises_leaves_it_as_it_is() -> None:
    """`manta` catches a refusal by its type, and tells it in a sentence: a group around it would be a traceback."""

    async def connect() -> Streams:
        raise OSError("nobody is there")

    with pytest.raises(OutOfTheBlock):
        async with relaying(connect):
            raise OutOfTheBlock
