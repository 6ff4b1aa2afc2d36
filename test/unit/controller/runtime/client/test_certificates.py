"""TLS to a real server: CA and client certificate in files that somebody renews while we run; through a proxy."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from structlog.testing import capture_logs

from controller.runtime.client.config import connect, from_kubeconfig
from controller.runtime.client.transport import Transport
from controller.runtime.errors import RuntimeProblem, Unreachable
from hack.kube.certificates import Authority

MINUTE = 61.0


class Now:
    """A clock that the test moves."""

    seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds


class Site:
    """A TLS server that wants a client certificate of its authority, and what it sees of its clients."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: list[str] = []
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def serve(self, authority: Authority) -> None:
        """From now on with certificates of that authority, on the same port."""
        await self.close()
        app = web.Application()
        app.router.add_get("/", self._answer)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.1)
        await self._runner.setup()
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority.certificate.decode())
        tls.verify_mode = ssl.CERT_REQUIRED
        ours = authority.signed("server", names=["127.0.0.1"])
        file = self.folder / "server.pem"
        file.write_bytes(ours.certificate + ours.key)
        tls.load_cert_chain(file)
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=tls)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        transport = request.transport
        assert transport is not None
        subject = transport.get_extra_info("peercert")["subject"]
        self.seen.append(dict(part for one in subject for part in one)["commonName"])
        return web.Response()


def hand_out(folder: Path, authority: Authority, name: str) -> None:
    """The files that the kubeconfig names."""
    client = authority.signed(name)
    (folder / "ca.crt").write_bytes(authority.certificate)
    (folder / "client.crt").write_bytes(client.certificate)
    (folder / "client.key").write_bytes(client.key)


@asynccontextmanager
async def connected(folder: Path, site: Site, clock: Now, **more: str) -> AsyncIterator[Transport]:
    cluster = {"server": f"https://127.0.0.1:{site.port}", "certificate-authority": "ca.crt", **more}
    user = {"client-certificate": "client.crt", "client-key": "client.key"}
    config = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (folder / "config").write_text(yaml.safe_dump(config))
    try:
        async with connect(from_kubeconfig([folder / "config"]), clock) as (transport, _):
            yield transport
    finally:
        await site.close()


async def ask(transport: Transport) -> None:
    async with transport.request("GET", "/", query={}, headers={}) as answer:
        assert answer.status == 200


@pytest.mark.spec("runtime:TRN-10")
async def test_renewed_files_are_used_for_new_connections_within_a_minute(tmp_path: Path) -> None:
    """Both ways: whom we trust, and who we are."""
    site, clock, old, new = Site(tmp_path), Now(), Authority(), Authority()
    await site.serve(old)
    hand_out(tmp_path, old, "first")
    async with connected(tmp_path, site, clock) as transport:
        await ask(transport)
        await site.serve(new)
        hand_out(tmp_path, new, "second")
        with pytest.raises(RuntimeProblem, match="certificate verify failed"):
            await ask(transport)

        clock.seconds += MINUTE
        await ask(transport)

    assert site.seen == ["first", "second"]


@pytest.mark.spec("runtime:TRN-10")
async def test_files_that_are_just_being_written_leave_the_old_ones_in_use(tmp_path: Path) -> None:
    """It is said, and they are looked at again a minute later."""
    site, clock, authority = Site(tmp_path), Now(), Authority()
    await site.serve(authority)
    hand_out(tmp_path, authority, "first")
    async with connected(tmp_path, site, clock) as transport:
        (tmp_path / "client.crt").write_bytes(b"-----BEGIN CERT")
        clock.seconds += MINUTE
        with capture_logs() as logs:
            await ask(transport)

        hand_out(tmp_path, authority, "second")
        clock.seconds += MINUTE
        await ask(transport)

    assert [line["event"] for line in logs] == ["the certificates for the API server cannot be renewed"]
    assert site.seen == ["first", "second"]


@pytest.mark.spec("runtime:TRN-10")
async def test_a_client_certificate_needs_no_folder_to_write_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod with a read-only root has none, and a key has no business on a disk."""
    site, authority = Site(tmp_path), Authority()
    await site.serve(authority)
    hand_out(tmp_path, authority, "ours")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))

    async with connected(tmp_path, site, Now()) as transport:
        await ask(transport)

    assert site.seen == ["ours"]


@asynccontextmanager
async def a_proxy(asked: list[bytes]) -> AsyncIterator[str]:
    """One that carries connections, as companies have them; what it was asked for."""

    async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while piece := await source.read(65536):
            target.write(piece)
        target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        host, _, port = asked[-1].split()[1].decode().rpartition(":")
        inner = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        async with asyncio.TaskGroup() as group:
            group.create_task(carry(reader, inner[1]))
            group.create_task(carry(inner[0], writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"http://me:secret@{host}:{port}"


@pytest.mark.spec("runtime:TRN-7")
async def test_a_proxy_is_asked_for_a_connection_and_sees_nothing_of_what_goes_through(tmp_path: Path) -> None:
    """TLS is with the server: it sees our certificate, and the proxy no request."""
    site, clock, authority = Site(tmp_path), Now(), Authority()
    asked: list[bytes] = []
    await site.serve(authority)
    hand_out(tmp_path, authority, "ours")
    async with a_proxy(asked) as url, connected(tmp_path, site, clock, **{"proxy-url": url}) as transport:
        await ask(transport)
        await ask(transport)

    (request,) = asked
    assert request.startswith(f"CONNECT 127.0.0.1:{site.port} HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic bWU6c2VjcmV0\r\n" in request
    assert site.seen == ["ours", "ours"]


@pytest.mark.spec("runtime:TRN-7")
@pytest.mark.parametrize("answer", ["502 Bad Gateway", "407 Proxy Authentication Required"])
async def test_a_proxy_that_does_not_let_us_through_has_sent_nothing_of_the_request(
    tmp_path: Path, answer: str
) -> None:
    """A write through it may be repeated without a look, and its words are told, but no password."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    site, clock, authority = Site(tmp_path), Now(), Authority()
    await site.serve(authority)
    hand_out(tmp_path, authority, "ours")
    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        async with connected(tmp_path, site, clock, **{"proxy-url": f"http://me:secret@{host}:{port}"}) as transport:
            with pytest.raises(Unreachable, match=answer.partition(" ")[2]) as told:
                await ask(transport)

    assert site.seen == []
    assert "secret" not in str(told.value)
