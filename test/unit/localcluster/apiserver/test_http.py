"""What of the HTTP face the conformance tests cannot see: logs of a node, sockets, its end, credentials."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from localcluster.api import Json, Refusal
from localcluster.apiserver.http import HttpFace, serving
from localcluster.apiserver.proxy import Place, Relay, place_of
from localcluster.apiserver.server import ApiServer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PODS = "/api/v1/namespaces/default/pods"


def a_face(token: str | None = None) -> HttpFace:
    server = ApiServer(now=lambda: NOW, chance=random.Random(1))
    return HttpFace(server, now=lambda: NOW, token=token)


@asynccontextmanager
async def a_client(face: HttpFace, **options: Any) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(face) as url, aiohttp.ClientSession(url, **options) as session:
        yield session


async def create_pod(session: aiohttp.ClientSession, **metadata: object) -> None:
    containers = [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]
    body = {"metadata": {"name": "p", **metadata}, "spec": {"nodeName": "n", "containers": containers}}
    async with session.post("/api/v1/namespaces/default/serviceaccounts", json={"metadata": {"name": "default"}}):
        pass
    async with session.post(PODS, json=body) as answer:
        assert answer.status == 201, await answer.text()


async def said(pod: Json, container: str, *, follow: bool, previous: bool) -> AsyncIterator[bytes]:
    """Two lines so far, and a third later."""
    assert (pod["metadata"]["name"], previous) == ("p", False)
    yield f"one of {container}\n".encode()
    yield b"two\n"
    if follow:
        await asyncio.sleep(0)
        yield b"three\n"


async def read(session: aiohttp.ClientSession, query: str) -> tuple[int, str]:
    async with session.get(f"{PODS}/p/log?{query}") as answer:
        return answer.status, await answer.text()


@pytest.mark.spec("kube-api:LOG-1")
@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("container=a", "one of a\ntwo\n"),
        ("container=b&tailLines=1", "two\n"),
        ("container=a&tailLines=0", ""),
        ("container=a&tailLines=9", "one of a\ntwo\n"),
        ("container=a&limitBytes=5", "one o"),
        ("container=a&follow=true", "one of a\ntwo\nthree\n"),
        ("container=a&follow=true&tailLines=1", "two\nthree\n"),
        ("container=a&follow=true&tailLines=0", "three\n"),
    ],
)
async def test_logs_are_cut_as_asked(query: str, text: str) -> None:
    """The tail counts what is there already; what follows comes after it."""
    face = a_face()
    face.logs = said
    async with a_client(face) as session:
        await create_pod(session)

        assert await read(session, query) == (200, text)


@pytest.mark.spec("kube-api:LOG-1")
async def test_without_a_node_there_are_no_logs() -> None:
    """204, and nothing."""
    async with a_client(a_face()) as session:
        await create_pod(session)

        assert await read(session, "container=a") == (204, "")


@pytest.mark.spec("kube-api:LOG-2")
@pytest.mark.parametrize(
    ("query", "code", "text"),
    [
        ("", 400, "a container name must be specified for pod p, choose one of: [a b]"),
        ("container=zz", 400, "container zz is not valid for pod p"),
        ("container=a&tailLines=-1", 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ("container=a&sinceSeconds=0", 422, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ("container=a&tailLines=x", 400, "invalid syntax"),
        ("container=a&previous=true", 400, 'previous terminated container \\"a\\" in pod \\"p\\" not found'),
        (
            "container=a&sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z",
            422,
            "[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
        ),
    ],
)
async def test_what_cannot_be_read_is_said(query: str, code: int, text: str) -> None:
    """In the words of a real server."""
    face = a_face()
    face.logs = said
    async with a_client(face) as session:
        await create_pod(session)

        status, body = await read(session, query)

    assert (status, text in body) == (code, True), body


async def test_a_log_source_may_refuse() -> None:
    """Before the first byte the refusal is a Status."""

    async def refusing(pod: Json, container: str, *, follow: bool, previous: bool) -> AsyncIterator[bytes]:
        if pod:
            raise Refusal(400, "BadRequest", "no such file")
        yield b"never"

    face = a_face()
    face.logs = refusing
    async with a_client(face) as session:
        await create_pod(session)

        status, body = await read(session, "container=a")

    assert (status, "no such file" in body) == (400, True)


async def test_it_serves_on_a_unix_socket(tmp_path: Path) -> None:
    """As stories do, so that the clock jumps only when no byte is on its way."""
    path = tmp_path / "api.sock"
    async with (
        serving(a_face(), socket=path) as url,
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
        session.get(f"{url}/readyz") as answer,
    ):
        assert (answer.status, await answer.text()) == (200, "ok")


async def test_watches_end_cleanly_when_the_server_stops() -> None:
    """The client sees the end of the stream, not a broken connection."""
    async with aiohttp.ClientSession() as session:
        async with serving(a_face()) as url:
            answer = await session.get(f"{url}{PODS}?watch=true")
            assert answer.status == 200
        rest = await answer.content.read()

    assert rest == b""


async def test_a_client_that_goes_away_leaves_no_watch_behind() -> None:
    """Nobody collects events for it."""
    face = a_face()
    async with a_client(face) as session:
        answer = await session.get(f"{PODS}?watch=true")
        assert len(face._watches) == 1
        answer.close()
        async with asyncio.timeout(5):
            while face._watches:  # noqa: ASYNC110 - the server learns of it from the kernel
                await asyncio.sleep(0)


@pytest.mark.spec("kube-api:AUTH-1")
async def test_the_token_is_asked_for() -> None:
    """As a bearer or as a password; a wrong one is 401, none is anonymous."""
    async with serving(a_face("secret")) as url, aiohttp.ClientSession(url) as session:

        async def code(path: str, authorization: str | None) -> int:
            headers = {"Authorization": authorization} if authorization else {}
            async with session.get(path, headers=headers) as answer:
                return answer.status

        assert await code(PODS, "Bearer secret") == 200
        assert await code(PODS, aiohttp.encode_basic_auth("admin", "secret")) == 200
        assert await code(PODS, "Bearer wrong") == 401
        assert await code(PODS, None) == 403
        for path in ("/version", "/healthz", "/livez", "/readyz"):
            assert await code(path, None) == 200, path
            assert await code(path, "Bearer wrong") == 401, path
        assert await code("/api", None) == 403
        assert await code("/apis", None) == 403


async def test_the_token_may_be_the_first_part_of_the_path() -> None:
    """What a kubeconfig can hold that every client understands, over plain HTTP; the rest of the path is as ever."""
    async with serving(a_face("secret")) as url, aiohttp.ClientSession(url) as session:

        async def answered(path: str) -> tuple[int, str]:
            async with session.get(path) as answer:
                return answer.status, (await answer.text())[:30]

        assert (await answered(f"/secret{PODS}"))[0] == 200
        assert (await answered("/secret/apis"))[0] == 200
        assert await answered("/secret/nowhere") == (404, "404 page not found\n")
        for path in (f"/wrong{PODS}", f"/secretive{PODS}"):
            assert (await answered(path))[0] == 403, path


@pytest.mark.parametrize("stream", ["exec", "attach", "portforward"])
async def test_a_stream_into_a_pod_is_refused_in_words(stream: str) -> None:
    """kubectl shows the message of the Status."""
    async with a_client(a_face()) as session, session.get(f"{PODS}/p/{stream}?command=ls") as answer:
        status = await answer.json()

    assert (answer.status, status["reason"]) == (501, "NotImplemented")
    assert status["message"].startswith(f"this local cluster does not serve {stream} yet")


async def test_a_protobuf_body_without_its_envelope_is_refused() -> None:
    """Four bytes are none (NEG-3)."""
    async with (
        a_client(a_face()) as session,
        session.post(PODS, data=b"k8s\0", headers={"Content-Type": "application/vnd.kubernetes.protobuf"}) as answer,
    ):
        assert answer.status == 400
        assert (await answer.json())["reason"] == "BadRequest"


async def test_without_a_dialer_a_proxy_has_no_endpoint() -> None:
    """503, as for a service that nothing stands behind."""
    async with (
        a_client(a_face()) as session,
        session.get("/api/v1/namespaces/default/services/s:80/proxy/x") as answer,
    ):
        assert answer.status == 503


@asynccontextmanager
async def an_echo() -> AsyncIterator[int]:
    """A server behind a pod: it says what it was asked."""

    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        said = (
            f"{request.method} {request.raw_path} {request.headers.get('X-Mine')} {'Authorization' in request.headers}"
        )
        return web.Response(status=418, text=f"{said} {await request.text()}", headers={"X-Theirs": "1"})

    runner = web.ServerRunner(web.Server(echo))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_a_proxied_request_goes_on_to_the_pod_and_back() -> None:
    """Method, path, query, body and headers; not the credentials, which are ours."""
    asked: list[tuple[str, str, Place]] = []
    face = a_face("secret")

    async with an_echo() as port, aiohttp.ClientSession() as backend:

        async def resolve(resource: str, namespace: str, place: Place) -> tuple[str, int]:
            asked.append((resource, namespace, place))
            return "127.0.0.1", port

        face.dial = Relay(resolve, backend)
        headers = {"Authorization": "Bearer secret", "X-Mine": "m"}
        async with (
            a_client(face) as session,
            session.put("/api/v1/namespaces/n/pods/p:dash/proxy/a%20b/c?x=1", data=b"body", headers=headers) as answer,
        ):
            text = await answer.text()

    assert (answer.status, text) == (418, "PUT /a%20b/c?x=1 m False body")
    assert answer.headers["X-Theirs"] == "1"
    assert asked == [("pods", "n", Place("http", "p", "dash"))]


async def test_a_proxy_says_when_nobody_listens() -> None:
    """503, as a Status."""

    async def resolve(resource: str, namespace: str, place: Place) -> tuple[str, int]:
        return "127.0.0.1", 9  # discard: nobody serves it

    face = a_face()
    async with aiohttp.ClientSession() as backend:
        face.dial = Relay(resolve, backend)
        async with a_client(face) as session, session.get("/api/v1/namespaces/n/services/s:80/proxy/") as answer:
            assert answer.status == 503
            assert (await answer.json())["reason"] == "ServiceUnavailable"


def test_a_proxied_name_may_have_a_scheme_and_a_port() -> None:
    """Both may be left out."""
    assert place_of("s") == Place("http", "s", "")
    assert place_of("s:80") == Place("http", "s", "80")
    assert place_of("https:s:web") == Place("https", "s", "web")
    with pytest.raises(Refusal, match="invalid service request"):
        place_of("a:b:c:d")
