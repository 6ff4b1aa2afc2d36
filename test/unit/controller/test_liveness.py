"""Liveness while the event loop of the operator stands still: answered by another thread, in real time."""

from __future__ import annotations

import http.client
import socket
from functools import partial

import pytest

from controller.process import _Watch, _watching
from controller.runtime.beside import beside
from controller.runtime.client.config import ServerConfig
from controller.runtime.election.elector import Heartbeat
from controller.runtime.health import Health
from controller.settings import Settings

pytestmark = [pytest.mark.looptime(False), pytest.mark.timeout(20)]


def status(port: int, path: str) -> int:
    """Asked without giving up the thread: the loop that this is called on stands still meanwhile."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def a_free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
    return port


@pytest.mark.spec("runtime:HLT-2", "runtime:HLT-3")
async def test_a_long_decode_fails_no_probe_and_a_loop_that_died_does() -> None:
    """Ten seconds of standing still are borne; no API server is asked at all."""
    port, seconds = a_free_port(), 0.0
    settings = Settings(health_address=f"127.0.0.1:{port}", leader_election=False)
    watch = _Watch(settings, ServerConfig("http://127.0.0.1:9"), None, Health(), Heartbeat(lambda: seconds))
    async with beside(partial(_watching, watch), name="watch"):
        assert status(port, "/healthz") == 200
        seconds = 9.0
        assert status(port, "/healthz") == 200
        seconds = 11.0
        assert status(port, "/healthz") == 500
        watch.heartbeat.beat()
        assert status(port, "/livez") == 200
        assert status(port, "/readyz") == 500
