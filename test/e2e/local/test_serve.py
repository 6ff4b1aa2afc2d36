"""RayServices with the operator's process and real Ray Serve, asked where `manta` says that they answer.

The same lives in virtual time, and many more of them: test/stories/test_rayservice_lives.py.
"""

from __future__ import annotations

import asyncio
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from localcluster.testing.manta_process import SAMPLES, manta, scripted
from localcluster.testing.real import CLUSTERS, RAYSERVICES, Real, a_real_cluster
from manta.doors import sharing
from manta.services import Addresses
from manta.show import Plain

pytestmark = [pytest.mark.local, pytest.mark.timeout(600)]

SAMPLE = SAMPLES / "rayservice.yaml"
SLOWEST_SECONDS = 10.0  # an answer that takes longer is none
PACE_SECONDS = 0.1
PATIENCE_SECONDS = 200.0


# `manta run`


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


# What becomes of one that lives


@dataclass
class Client:
    """Asks a service ten times a second, each time anew and without a second try, and keeps all answers."""

    url: str
    answers: list[str] = field(default_factory=list)  # what it said, or how it failed
    failed: int = 0
    longest: float = 0.0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """For ever. The pace is the point: a request does not wait for the one before."""
        timeout = aiohttp.ClientTimeout(total=SLOWEST_SECONDS)
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session, asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._ask(session))
                await asyncio.sleep(PACE_SECONDS)

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        began = time.monotonic()
        try:
            async with session.get(self.url) as response:
                said, good = (await response.text()).strip(), response.ok
        except (aiohttp.ClientError, TimeoutError) as error:
            said, good = repr(error), False
        self.longest = max(self.longest, time.monotonic() - began)
        self.failed += not good
        self.answers.append(said)
        self._news.set()

    async def until(self, true: Callable[[str], bool]) -> None:
        """Until an answer to come is like that."""
        seen = len(self.answers)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not any(true(answer) for answer in self.answers[seen:]):
                self._news.clear()
                await self._news.wait()

    @property
    def told(self) -> str:
        """For the reader of a run."""
        return f"{len(self.answers)} requests, {self.failed} failed, the longest answer took {self.longest:.2f} s"


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[Client]:
    """A client for the length of the block."""
    client = Client(url)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(client.run())
        yield client
        task.cancel()


@asynccontextmanager
async def a_greeter(real: Real, **config: Any) -> AsyncIterator[Addresses]:
    """The sample is applied; changes to its Serve application may be given."""
    code, service = yaml.safe_load_all(SAMPLE.read_text())
    service["spec"] |= {"serveConfigV2": a_config(**config), "rayClusterDeletionDelaySeconds": 1}
    await real.api.create("configmaps", "default", code)
    await real.api.create(RAYSERVICES, "default", service)
    addresses = Addresses(Plain(sys.stdout))
    async with sharing(real.local, addresses.shared):
        yield addresses


def a_config(**changes: Any) -> str:
    """The sample's Serve configuration with some fields of its application changed."""
    *_, service = yaml.safe_load_all(SAMPLE.read_text())
    config = yaml.safe_load(service["spec"]["serveConfigV2"])
    config["applications"][0].update(changes)
    return yaml.safe_dump(config)


async def patch(real: Real, **spec: Any) -> None:
    """A merge patch of the spec, as kubectl sends it."""
    await real.api.patch(RAYSERVICES, "default", "greeter", {"spec": spec})


def is_ready(service: dict[str, Any]) -> bool:
    """It takes requests, and no other cluster is made for it."""
    status = service.get("status") or {}
    upgrading = (status.get("pendingServiceStatus") or {}).get("rayClusterName")
    return status.get("serviceStatus") == "Running" and not upgrading


def applications(service: dict[str, Any]) -> dict[str, Any]:
    """Those of the cluster that is made ready, or of the one that serves."""
    status = service.get("status") or {}
    roles = [status.get(f"{role}ServiceStatus") or {} for role in ("pending", "active")]
    return next((role["applicationStatuses"] for role in roles if role.get("applicationStatuses")), {})


async def test_an_edit_of_the_serve_config_changes_the_answer_and_no_cluster(tmp_path: Path) -> None:
    """In place: the one cluster goes on, asked all the time, and no request fails."""
    async with a_real_cluster(tmp_path) as real, a_greeter(real) as addresses:
        await real.until(RAYSERVICES, "greeter", is_ready)
        url = await addresses.of("default", "greeter")
        async with asking(f"{url}/?name=Ann") as client:
            await client.until(lambda said: said.startswith("hello, Ann, from "))

            await patch(real, serveConfigV2=a_config(args={"greeting": "good day"}))
            await client.until(lambda said: said.startswith("good day, Ann, from "))

        assert client.failed == 0, client.answers
        assert len(real.ever(CLUSTERS)) == 1


@pytest.mark.spec("ray-side:S4-30")
async def test_an_application_that_fails_is_mended_by_an_edit(tmp_path: Path) -> None:
    """The status has Serve's cause, the condition a sentence; then the same cluster serves."""
    async with a_real_cluster(tmp_path) as real, a_greeter(real, import_path="greeter:nothing") as addresses:
        failed = await real.until(
            RAYSERVICES,
            "greeter",
            lambda service: "DEPLOY_FAILED" in [one["status"] for one in applications(service).values()],
        )
        message = applications(failed)["greeter"]["message"]
        assert message.startswith("Deploying app 'greeter' failed with exception")
        assert "no attribute 'nothing'" in message
        (ready,) = (one for one in failed["status"]["conditions"] if one["type"] == "Ready")
        assert (ready["status"], ready["reason"]) == ("False", "Initializing")
        assert ready["message"].startswith("application greeter is DEPLOY_FAILED: ")

        await patch(real, serveConfigV2=a_config())
        await real.until(RAYSERVICES, "greeter", is_ready)
        async with asking(await addresses.of("default", "greeter")) as client:
            await client.until(lambda said: said.startswith("hello, world, from "))

        assert len(real.ever(CLUSTERS)) == 1


async def test_an_upgrade_loses_no_request(tmp_path: Path) -> None:
    """For a new environment variable: another cluster takes over and the old one goes, under ten requests a second."""
    async with a_real_cluster(tmp_path) as real, a_greeter(real) as addresses:
        first = await real.until(RAYSERVICES, "greeter", is_ready)
        old = first["status"]["activeServiceStatus"]["rayClusterName"]
        async with asking(await addresses.of("default", "greeter")) as client:
            await client.until(lambda said: old in said)

            config = first["spec"]["rayClusterConfig"]
            config["headGroupSpec"]["template"]["spec"]["containers"][0]["env"].append({"name": "A", "value": "1"})
            await patch(real, rayClusterConfig=config)
            await client.until(lambda said: said.startswith("hello") and old not in said)
            await real.all(CLUSTERS, lambda clusters: old not in clusters)
            await client.until(lambda said: said.startswith("hello"))

        sys.stdout.write(f"{client.told}\n")
        assert client.failed == 0, client.told
        assert len(real.ever(CLUSTERS)) == 2
