"""Certificates in files that somebody renews."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from controller.runtime.certificate_files import CertificateFiles
from controller.runtime.certificates import Authority
from controller.runtime.clock import LoopClock
from controller.runtime.tls import Pair, ServerTls
from controller.runtime.webhook import WebhookSeries, WebhookServer

pytestmark = pytest.mark.looptime

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_pair(days: int = 365) -> Pair:
    return Authority.new("test", NOW, timedelta(days=3650)).serving(["hook"], NOW, timedelta(days=days))


def put(folder: Path, pair: Pair) -> None:
    (folder / "tls.crt").write_bytes(pair.certificate)
    (folder / "tls.key").write_bytes(pair.key)


def a_server() -> tuple[WebhookServer, CollectorRegistry]:
    registry = CollectorRegistry()
    return WebhookServer({}, ServerTls(), clock=LoopClock(NOW), series=WebhookSeries(registry)), registry


@pytest.mark.spec("runtime:WH-12", "runtime:WH-16")
async def test_a_renewed_pair_is_shown_within_a_second_and_a_half_written_one_never(tmp_path: Path) -> None:
    """A volume may change its files one after the other."""
    server, registry = a_server()
    first, second = a_pair(100), a_pair(200)
    put(tmp_path, first)

    async with asyncio.TaskGroup() as group:
        running = group.create_task(CertificateFiles(tmp_path, server.show).run())
        await asyncio.sleep(0.1)
        assert server.tls.not_after == NOW + timedelta(days=100)
        (tmp_path / "tls.crt").write_bytes(second.certificate)
        await asyncio.sleep(5)
        assert server.tls.not_after == NOW + timedelta(days=100)
        put(tmp_path, second)
        await asyncio.sleep(1)
        assert server.tls.not_after == NOW + timedelta(days=200)
        running.cancel()

    assert registry.get_sample_value("certwatcher_read_certificate_total") == 3
    assert registry.get_sample_value("certwatcher_read_certificate_errors_total") == 1
    assert registry.get_sample_value("webhook_certificate_not_after_seconds") == (NOW + timedelta(days=200)).timestamp()


@pytest.mark.spec("runtime:WH-12")
async def test_files_that_are_not_there_yet_are_waited_for(tmp_path: Path) -> None:
    server, _ = a_server()
    files = CertificateFiles(tmp_path / "later", server.show)

    files.look()
    assert server.tls.not_after is None
    (tmp_path / "later").mkdir()
    put(tmp_path / "later", a_pair())
    files.look()

    assert server.tls.not_after == NOW + timedelta(days=365)


@pytest.mark.spec("runtime:WH-12")
async def test_an_end_that_is_near_is_said_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """From a week before."""
    server, _ = a_server()
    server.show(a_pair(days=30))

    async with asyncio.TaskGroup() as group:
        warning = group.create_task(server.warn_of_end())
        await asyncio.sleep(timedelta(days=22).total_seconds())
        assert "ends soon" not in capsys.readouterr().out
        await asyncio.sleep(timedelta(days=2).total_seconds())
        assert "ends soon" in capsys.readouterr().out
        warning.cancel()
