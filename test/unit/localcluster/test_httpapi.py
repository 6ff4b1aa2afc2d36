"""The narrow Api over HTTP, against a server that answers as a real one did."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from localcluster.api import Refusal
from localcluster.httpapi import HttpApi

pytestmark = pytest.mark.looptime(False)


def listed(*names: str) -> dict[str, object]:
    return {"resources": [{"name": one, "kind": one.title(), "namespaced": True, "verbs": ["list"]} for one in names]}


@asynccontextmanager
async def an_api(answers: Mapping[str, tuple[int, object]]) -> AsyncIterator[HttpApi]:
    """Of a server that has the groups a.example and b.example, and answers so about them."""
    groups = [{"preferredVersion": {"groupVersion": f"{name}.example/v1"}} for name in "ab"]
    every = {"/api/v1": (200, listed("pods")), "/apis": (200, {"groups": groups}), **answers}

    async def answer(request: web.Request) -> web.Response:
        status, body = every[request.path]
        return web.Response(text=body, status=status) if isinstance(body, str) else web.json_response(body)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession() as session:
            yield HttpApi(session, f"http://{host}:{port}")
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("gone", [(404, "404 page not found\n"), (503, "service unavailable\n")])
async def test_a_group_that_is_not_to_be_had_hides_no_other(gone: tuple[int, str]) -> None:
    """Its last CRD was deleted after the groups were listed, or the server behind it is away."""
    async with an_api({"/apis/a.example/v1": gone, "/apis/b.example/v1": (200, listed("bees"))}) as api:
        assert [one.name for one in await api.served()] == ["pods", "bees.b.example"]


async def test_who_may_not_ask_is_told_so() -> None:
    """A refusal is no missing group."""
    async with an_api({"/apis/a.example/v1": (403, "no"), "/apis/b.example/v1": (200, listed("bees"))}) as api:
        with pytest.raises(Refusal, match="no"):
            await api.served()
