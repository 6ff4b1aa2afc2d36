"""What a user of `manta run` and `manta up` sees of a RayService, with the operator's process and real Ray Serve.

What becomes of one that lives: test_serve_lives.py, test_serve_upgrades.py.
"""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.testing.manta_process import SAMPLES, manta, scripted

pytestmark = [pytest.mark.local, pytest.mark.timeout(600)]

SAMPLE = SAMPLES / "rayservice.yaml"


async def test_manta_run_shows_a_service_on_its_way_asks_it_once_and_ends_with_zero(tmp_path: Path) -> None:
    """The first thing that a user of the sample sees."""
    async with manta(tmp_path, "run", "--output", "plain", SAMPLE) as run:
        code, output, errors = await run.ended()

    assert (code, errors) == (0, "")
    assert "RayService greeter: Initializing: waiting for the head of RayCluster greeter-" in output
    assert re.search(r"greeter-\w{5}-head-\w{5}: Ready", output)
    assert re.search(r"application greeter: RUNNING on greeter-\w{5}", output)
    (url,) = re.findall(r"RayService greeter: serves on (http://127\.0\.0\.1:\d+)", output)
    assert re.search(rf"GET {url}/: 200: hello, world, from greeter-", output)
    assert "RayService greeter is ready" in output


async def test_manta_run_ends_with_one_and_the_cause_when_an_application_fails_to_deploy(tmp_path: Path) -> None:
    """Serve's own last word, not only that something is DEPLOY_FAILED."""
    broken = tmp_path / "service.yaml"
    broken.write_text(SAMPLE.read_text().replace("import socket\n", "import sockets_of_mine\n"))

    async with manta(tmp_path, "run", "--output", "plain", broken) as run:
        code, output, errors = await run.ended()

    assert (code, errors) == (1, "")
    (verdict,) = (line for line in output.splitlines() if "could not be deployed" in line)
    assert "application greeter could not be deployed on greeter-" in verdict
    assert verdict.endswith("ModuleNotFoundError: No module named 'sockets_of_mine'")


def a_service(name: str, port: int) -> dict[str, Any]:
    """A serve Service as the operator makes it."""
    labels = {"ray.io/serve": f"{name}-serve", "ray.io/originated-from-cr-name": name}
    metadata = {"name": f"{name}-serve-svc", "labels": labels}
    spec = {"selector": {"ray.io/cluster": name}, "ports": [{"name": "serve", "port": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


async def test_a_service_has_its_own_port_here_and_another_one_where_that_is_taken(tmp_path: Path) -> None:
    """Two services of the same port are the usual thing: both want 8000."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    file = tmp_path / "services.yaml"
    file.write_text(yaml.safe_dump_all([a_service("one", port), a_service("two", port)]))

    async with manta(tmp_path, *scripted("up", "--port", "0", "--apply", file)) as up:
        first = await up.line_with("RayService one: serves on ")
        second = await up.line_with("RayService two: serves on ")

        assert first.endswith(f"serves on http://127.0.0.1:{port}\n")
        other = int(second.rpartition(":")[2])
        assert other != port
        for each in (port, other):  # nobody stands behind it yet: a connection is taken, and ends at once
            reader, writer = await asyncio.open_connection("127.0.0.1", each)
            assert await reader.read() == b""
            writer.close()
