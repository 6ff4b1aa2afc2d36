"""Probes from outside of a container, against real servers on the loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from localcluster.node.grpchealth import question, status_in
from localcluster.node.interfaces import ProbeAnswer
from localcluster.node.probes import Prober, port_of

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def a_server(serve: Serve) -> AsyncIterator[int]:
    served: list[asyncio.Event] = []

    async def to_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        over = asyncio.Event()
        served.append(over)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        over.set()

    async with await asyncio.start_server(to_the_end, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        for over in served:
            await over.wait()


def saying(status: str) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        said = f"{asked.split()[1].decode()} {'yes' if b'X-Me: 1' in asked else 'no'}"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(said)}\r\n\r\n{said}".encode())
        await writer.drain()

    return serve


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def ask(probe: dict[str, object], limit: float = 5) -> ProbeAnswer:
    async with Prober() as prober:
        return await prober.ask(probe, "127.0.0.1", {}, limit)


async def test_an_http_probe_asks_with_its_path_and_headers() -> None:
    """Below 400 is good; the body is what the event says."""
    async with a_server(saying("200 OK")) as port:
        given = {"port": port, "path": "/healthz", "httpHeaders": [{"name": "X-Me", "value": "1"}]}

        assert await ask({"httpGet": given}) == ProbeAnswer(True, "/healthz yes")


async def test_an_http_probe_fails_by_status_refusal_and_silence() -> None:
    """In a kubelet's words."""
    async with a_server(saying("503 Busy")) as port:
        assert await ask({"httpGet": {"port": port}}) == ProbeAnswer(False, "HTTP probe failed with statuscode: 503")
    refused = await ask({"httpGet": {"port": port}})
    assert refused == ProbeAnswer(False, f'Get "http://127.0.0.1:{port}/": connect: connection refused')
    async with a_server(silent) as port:
        late = await ask({"httpGet": {"port": port}}, 0.05)
    assert late == ProbeAnswer(False, f'Get "http://127.0.0.1:{port}/": context deadline exceeded')


async def test_a_tcp_probe_is_good_where_somebody_listens() -> None:
    """Nothing is said."""
    async with a_server(silent) as port:
        assert await ask({"tcpSocket": {"port": port}}) == ProbeAnswer(True)
    refused = await ask({"tcpSocket": {"port": port}})
    assert refused == ProbeAnswer(False, f"dial tcp 127.0.0.1:{port}: connect: connection refused")


def health(status: int | None) -> Serve:
    """A health service that answers so, or that it does not know the service."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(question(f"127.0.0.1:{writer.get_extra_info('sockname')[1]}", "")))
        settings, headers = b"\0\0\0\x04\0\0\0\0\0", b"\0\0\x01\x01\x04\0\0\0\x01\x88"
        body = b"\0\0\0\0\x02\x08" + bytes([status or 0])
        data = len(body).to_bytes(3, "big") + b"\0\0\0\0\0\x01" + body
        trailers = b"\0\0\x01\x01\x05\0\0\0\x01\x88"
        writer.write(settings + headers + (data if status is not None else b"") + trailers)
        await reader.read()

    return serve


@pytest.mark.parametrize(
    ("status", "good", "output"),
    [
        (1, True, "service ok"),
        (2, False, 'service unhealthy (responded with "NOT_SERVING")'),
        (None, False, "the health service is not implemented there, or does not know the service"),
    ],
)
async def test_a_grpc_probe_is_good_when_the_service_serves(status: int | None, good: bool, output: str) -> None:
    """One unary call, by hand."""
    async with a_server(health(status)) as port:
        assert await ask({"grpc": {"port": port}}) == ProbeAnswer(good, output)


async def test_a_grpc_probe_of_something_else_fails() -> None:
    """An HTTP/1 server hangs up."""
    async with a_server(saying("200 OK")) as port:
        answer = await ask({"grpc": {"port": port}})

    assert not answer.good


def test_a_status_without_a_number_is_unknown() -> None:
    """proto3 leaves zeros out."""
    assert status_in(b"\0\0\0\0\0") == 0
    assert status_in(b"\0\0\0\0\x02\x08\x01") == 1


def test_a_port_is_a_number_or_one_of_the_containers_names() -> None:
    """Digits in a string, too."""
    assert (port_of(80, {}), port_of("80", {}), port_of("http", {"http": 8000})) == (80, 80, 8000)
    with pytest.raises(LookupError, match="no port named 'none'"):
        port_of("none", {"http": 8000})
