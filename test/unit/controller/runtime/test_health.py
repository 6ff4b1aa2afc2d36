"""The endpoints for probes and scrapes, over a real socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import Gauge
from prometheus_client.exposition import choose_encoder

from controller.runtime.health import CannotListen, Health, metrics_application, rendered, serving
from controller.runtime.metrics import Metrics

pytestmark = pytest.mark.looptime


@asynccontextmanager
async def asking(path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession("http://localhost", connector=aiohttp.UnixConnector(str(path))) as session:
        yield session


async def ask(session: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with session.get(path) as answer:
        return answer.status, await answer.text()


async def broken() -> str | None:
    return "the disk is full"


async def stuck() -> str | None:
    await asyncio.sleep(1000)
    return None


async def raising() -> str | None:
    raise KeyError("a bug")


@pytest.mark.spec("runtime:HLT-1")
async def test_checks_run_at_once_are_bounded_and_their_reasons_are_not_shown(tmp_path: Path) -> None:
    """A stuck check is a failed one, a second later; a bug in one as well."""
    health = Health()
    health.serve_traffic = True
    health.ready |= {"broken": broken, "stuck": stuck, "raising": raising}
    async with serving(health.application(), unix_socket=str(tmp_path / "s")), asking(tmp_path / "s") as session:
        before = asyncio.get_running_loop().time()
        code, text = await ask(session, "/readyz")
        assert asyncio.get_running_loop().time() - before == pytest.approx(1, abs=0.1)
        assert code == 500
        assert "[-]broken failed: reason withheld" in text
        assert "[-]stuck" in text
        assert "[-]raising" in text
        assert "[+]serving ok" in text
        assert "disk" not in text

        only = "/readyz?exclude=broken&exclude=stuck&exclude=raising&exclude=unknown&verbose"
        code, text = await ask(session, only)
        assert code == 200
        assert "warn: no check unknown to exclude" in text
        assert (await ask(session, "/readyz/serving"))[0] == 200
        assert (await ask(session, "/readyz/broken"))[0] == 500
        assert (await ask(session, "/readyz/unknown"))[0] == 404


@pytest.mark.spec("runtime:HLT-2")
async def test_who_is_not_ready_lives_all_the_same(tmp_path: Path) -> None:
    """An outage elsewhere must not restart operators."""
    health = Health()
    async with serving(health.application(), unix_socket=str(tmp_path / "s")), asking(tmp_path / "s") as session:
        assert (await ask(session, "/readyz"))[0] == 500
        assert await ask(session, "/healthz") == (200, "ok")
        assert await ask(session, "/livez") == (200, "ok")
        health.serve_traffic = True
        assert await ask(session, "/readyz") == (200, "ok")


@pytest.mark.spec("runtime:HLT-4")
async def test_the_figures_come_in_the_format_that_is_asked_for(tmp_path: Path) -> None:
    """Text by default, OpenMetrics on request."""
    metrics = Metrics()
    metrics.reconciles.labels("pods", "success").inc()
    async with (
        serving(metrics_application(metrics), unix_socket=str(tmp_path / "s")),
        asking(tmp_path / "s") as session,
    ):
        code, text = await ask(session, "/metrics")
        assert code == 200
        assert 'controller_runtime_reconcile_total{controller="pods",result="success"} 1.0' in text
        async with session.get("/metrics", headers={"Accept": "application/openmetrics-text"}) as answer:
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
            assert (await answer.text()).endswith("# EOF\n")


@pytest.mark.spec("runtime:HLT-6")
@pytest.mark.parametrize("accept", ["", "application/openmetrics-text"])
@pytest.mark.parametrize("families", [50, 2], ids=["many families", "large families"])
async def test_five_thousand_series_are_rendered_in_slices_and_come_out_as_in_one_piece(
    families: int, accept: str
) -> None:
    """Work goes on between them: ten slices, ten turns of the loop."""
    metrics = Metrics()
    for family in range(families):
        gauge = Gauge(f"g{family}", "Figures.", ["of"], registry=metrics.registry)
        for series in range(5000 // families):
            gauge.labels(str(series)).set(series)
    encode, _ = choose_encoder(accept)
    turns = 0

    async def work() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        working = group.create_task(work())
        body = await rendered(metrics.registry, encode)
        working.cancel()

    assert body == encode(metrics.registry)
    assert turns >= 10


@pytest.mark.looptime(False)
async def test_a_name_is_served_at_one_address_which_this_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pod without IPv6, localhost still stands for ::1, too; that must not keep the operator from its start."""
    elsewhere = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 0, 0, 0))
    here = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))
    usual = socket.getaddrinfo

    def both(host: str, *arguments: Any, **more: Any) -> Any:
        return [elsewhere, here] if host == "localhost" else usual(host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]

    async with (
        serving(Health().application(), host="localhost", port=port),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        code, _ = await ask(session, "/healthz")

    assert code == 200


async def test_a_name_that_nobody_knows_is_no_place_to_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: Any, **more: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(CannotListen, match=r"cannot serve metrics on nowhere\.invalid:9: Name or service"):
        async with serving(Health().application(), what="metrics", host="nowhere.invalid", port=9):
            pytest.fail("nobody listens there")
