"""Connections that are carried into the cell end as they would without anybody in between."""

from __future__ import annotations

import asyncio

from localcluster.node.forward import Streams, carry


async def a_connection() -> tuple[Streams, Streams]:
    """Both ends of a connection over loopback."""
    accepted: asyncio.Future[Streams] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda *streams: accepted.set_result(streams), "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        return await asyncio.open_connection(host, port), await accepted


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
