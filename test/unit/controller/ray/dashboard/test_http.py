"""One request to a dashboard, and what its answer means (spec rayjob §11.1, §11.3, ray-side §4)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from controller.ray.dashboard.http import (
    MOST_BYTES,
    AiohttpRayTransport,
    Dashboard,
    DashboardError,
    IdTaken,
    NoAnswer,
    NoSuchJob,
    NotAuthenticated,
)
from controller.ray.dashboard.protocol import JobInfo, Submission


class Wire:
    """Answers everything alike, and remembers the last request."""

    def __init__(self, status: int = 200, body: bytes = b"{}") -> None:
        self.status, self.body = status, body
        self.sent: tuple[str, str, Mapping[str, str], bytes | None] = ("", "", {}, None)

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, timeout: timedelta
    ) -> tuple[int, bytes]:
        self.sent = (method, url, headers, body)
        return self.status, self.body


def a_dashboard(status: int = 200, body: Any = None, *, token: str = "") -> tuple[Dashboard, Wire]:
    wire = Wire(status, body if isinstance(body, bytes) else json.dumps(body if body is not None else {}).encode())
    return Dashboard(wire, "http://head:8265", token), wire


def now(asking: Awaitable[Any]) -> Any:
    """The result of what never waits."""

    async def run() -> Any:
        return await asking

    return asyncio.run(run())


# Requests


@pytest.mark.spec("ray-side:S4-10")
def test_a_submission_carries_what_is_set_and_always_an_entrypoint() -> None:
    dashboard, wire = a_dashboard(200, {"job_id": "j", "submission_id": "j"})

    now(dashboard.submit(Submission("", "j")))

    method, url, _, body = wire.sent
    assert (method, url) == ("POST", "http://head:8265/api/jobs/")
    assert json.loads(body or b"") == {"entrypoint": "", "submission_id": "j"}


@pytest.mark.parametrize("ask", ["job", "stop", "delete"])
def test_an_id_is_one_segment_of_the_path_whatever_it_holds(ask: str) -> None:
    """A user's spec.jobId leads to no other path of the dashboard."""
    dashboard, wire = a_dashboard(200, {"status": "RUNNING", "stopped": True})

    now(getattr(dashboard, ask)("../../x?y#z %"))

    assert wire.sent[1].startswith("http://head:8265/api/jobs/..%2F..%2Fx%3Fy%23z%20%25")


@pytest.mark.spec("ray-side:S4-38")
def test_the_token_travels_with_every_request_and_looks_like_no_other() -> None:
    """Authorization would be taken for a proxy's; only the header of Ray's own is sent."""
    dashboard, wire = a_dashboard(200, {"status": "RUNNING"}, token="a+/=")

    now(dashboard.job("j"))

    headers = {name.lower(): value for name, value in wire.sent[2].items()}
    assert headers["x-ray-authorization"] == "Bearer a+/="
    assert "authorization" not in headers


# Answers


def test_an_answer_is_read_for_what_it_says_and_null_is_unknown() -> None:
    dashboard, _ = a_dashboard(
        200,
        {
            "status": "FAILED",
            "message": None,
            "start_time": 1,
            "end_time": None,
            "entrypoint": "x",
            "metadata": None,
            "driver_info": {"id": "1"},
        },
    )

    assert now(dashboard.job("j")) == JobInfo("FAILED", "", 1, 0, "x", {})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        {"status": 1},
        {"status": "RUNNING", "start_time": 1.5},
        {"status": "RUNNING", "start_time": -1},
        {"status": "RUNNING", "end_time": True},
        {"status": "RUNNING", "metadata": "x"},
    ],
)
def test_what_is_no_job_info_is_a_failed_poll(body: Any) -> None:
    """Never an empty status."""
    dashboard, _ = a_dashboard(200, body)

    with pytest.raises(DashboardError):
        now(dashboard.job("j"))


def test_an_answer_without_a_status_is_a_failed_poll() -> None:
    """All keys are always present (ray-side S4-11): what has none comes from somebody else."""
    dashboard, _ = a_dashboard(200, {"kind": "Status"})

    with pytest.raises(DashboardError):
        now(dashboard.job("j"))


def test_a_message_is_as_long_as_ray_makes_them_and_not_longer() -> None:
    """It goes into a status, which has its limits; Ray's own is 20,000 characters (ray-side S4-15)."""
    dashboard, _ = a_dashboard(200, {"status": "FAILED", "message": "x" * 3_000_000})

    assert 20_000 <= len(now(dashboard.job("j")).message) <= 40_000


@pytest.mark.spec("ray-side:S4-14")
@pytest.mark.parametrize("ask", ["job", "stop", "delete"])
def test_an_unknown_id_is_told_apart(ask: str) -> None:
    dashboard, _ = a_dashboard(404, b"Job j does not exist")

    with pytest.raises(NoSuchJob):
        now(getattr(dashboard, ask)("j"))


@pytest.mark.spec("ray-side:S4-17")
@pytest.mark.parametrize("stopped", [True, False])
def test_a_stop_of_a_job_that_is_over_is_a_stop(stopped: bool) -> None:
    """Ray says false, and 200."""
    dashboard, _ = a_dashboard(200, {"stopped": stopped})

    assert now(dashboard.stop("j")) is None


def test_an_id_that_is_taken_is_told_apart_from_other_troubles() -> None:
    """By the words of the traceback: the code is 500 for all of them."""
    taken, _ = a_dashboard(500, b"Traceback\nValueError: Please use a different submission_id.")
    busy, _ = a_dashboard(500, b"Traceback\nNo available agent to submit job, please try again later.")

    with pytest.raises(IdTaken):
        now(taken.submit(Submission("x", "j")))
    with pytest.raises(DashboardError, match="No available agent"):
        now(busy.submit(Submission("x", "j")))


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_not_taken_is_told_apart(status: int) -> None:
    dashboard, _ = a_dashboard(status, b"Forbidden: Invalid authentication token", token="T")

    with pytest.raises(NotAuthenticated, match="Invalid authentication token"):
        now(dashboard.job("j"))


# The network


@asynccontextmanager
async def serving(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """A server on loopback that answers everything so; its address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def ask(url: str, **options: Any) -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as session:
        limit = options.pop("timeout", timedelta(seconds=10))
        return await AiohttpRayTransport(session).request("GET", url, headers={}, body=None, timeout=limit)


async def test_every_status_is_an_answer() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=503, text=request.raw_path)

    async with serving(answer) as url:
        assert await ask(f"{url}/api/jobs/a%2Fb") == (503, b"/api/jobs/a%2Fb")


async def test_an_endless_answer_is_none_and_is_not_kept() -> None:
    """A head that is not to be trusted cannot fill the operator's memory."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(MOST_BYTES // 65536 + 2):
            await response.write(bytes(65536))
        return response

    async with serving(answer) as url:
        with pytest.raises(NoAnswer, match="more than"):
            await ask(url)


async def test_a_connection_that_breaks_is_no_answer() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 100
        await response.prepare(request)
        assert request.transport is not None
        request.transport.abort()
        return response

    async with serving(answer) as url:
        with pytest.raises(NoAnswer):
            await ask(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://no-such-host.invalid/", f"http://{'x' * 300}:8265/"])
async def test_a_place_that_cannot_be_reached_or_is_none_is_no_answer(url: str) -> None:
    with pytest.raises(NoAnswer):
        await ask(url)


async def test_a_redirect_is_an_answer_and_not_followed() -> None:
    """The token must not travel to wherever a head points."""

    async def answer(request: web.Request) -> web.Response:
        raise web.HTTPFound("http://127.0.0.1:1/")

    async with serving(answer) as url:
        assert (await ask(url))[0] == 302
