"""How a service is asked once, and how its answer is shown."""

from __future__ import annotations

import socket

from aiohttp import web

from manta.asking import asked_once, route_of, shown
from manta.lines import Line


def a_service(config: str) -> dict[str, dict[str, str]]:
    return {"spec": {"serveConfigV2": config}}


def test_the_root_is_asked_where_there_is_one() -> None:
    """It is what an application has that does not say anything."""
    config = "applications: [{name: a, route_prefix: /a, import_path: a:a}, {name: b, import_path: b:b}]"

    assert route_of(a_service(config)) == "/"


def test_without_a_root_the_first_route_is_asked() -> None:
    """By name: the order of a set says nothing."""
    config = (
        "applications: [{name: b, route_prefix: /b, import_path: a:a}, {name: a, route_prefix: /a, import_path: b:b}]"
    )

    assert route_of(a_service(config)) == "/a"


def test_an_answer_in_words_is_shown() -> None:
    """Without the end of its line."""
    assert shown(200, "text/plain", b"hello\n") == "200: hello"


def test_an_answer_that_is_trouble_says_what_the_code_means() -> None:
    """A service that wants POST answers, too."""
    assert shown(405, "application/json", b'{"detail": "no"}') == '405 Method Not Allowed: {"detail": "no"}'


def test_an_answer_that_is_no_text_is_measured() -> None:
    """Nobody wants a picture on a terminal."""
    assert shown(200, "image/png", b"\x89PNG\xff") == "200, 5 bytes of image/png"


def test_of_a_long_answer_the_beginning_is_shown() -> None:
    """And how much more there is."""
    assert shown(200, "text/plain", b"a" * 512) == f"200: {'a' * 500} ... and 12 characters more"


async def at(url: str) -> str:
    return url


async def test_a_service_is_asked_at_its_address() -> None:
    """The line names the whole URL, to be asked again."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.method} {request.path}")

    app = web.Application()
    app.router.add_get("/greet", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        (address,) = runner.addresses
        url = f"http://127.0.0.1:{address[1]}"

        line = await asked_once(at(url), "/greet")

        assert line == Line("answer", f"GET {url}/greet", "200: GET /greet")
    finally:
        await runner.cleanup()


async def test_no_answer_is_a_line_like_any_other() -> None:
    """The service is ready all the same: its user decides."""
    with socket.socket() as taken:  # and nobody listens
        taken.bind(("127.0.0.1", 0))

        line = await asked_once(at(f"http://127.0.0.1:{taken.getsockname()[1]}"), "/")

    assert line.what == "trouble"
    assert line.text.startswith("no answer: Cannot connect")
