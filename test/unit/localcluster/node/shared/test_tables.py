"""What pods read of the cluster while they run."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from localcluster.addresses import shared_machine
from localcluster.apiserver.local import LocalApi
from localcluster.apiserver.server import ApiServer
from localcluster.controllers.manager import mirroring
from localcluster.node.shared.hook.names import Names
from localcluster.node.shared.tables import BUNDLED_SECONDS, MovedPorts, telling_names

pytestmark = pytest.mark.looptime

SLICES = "endpointslices.discovery.k8s.io"


@asynccontextmanager
async def told(file: Path) -> AsyncIterator[LocalApi]:
    """A server, whose services are told in that file."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    api = LocalApi(ApiServer(now=lambda: now, chance=random.Random(0), addresses=shared_machine(71)))
    async with mirroring(api) as mirrors:
        services, slices = mirrors.of("services"), mirrors.of(SLICES)
        await mirrors.synced("services", SLICES)
        async with telling_names(file, services, slices):
            yield api


def a_service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 8000}], **spec}}


async def test_a_service_is_found_by_the_hook_as_soon_as_it_is_there(tmp_path: Path) -> None:
    """By the very code that pods run; short names are the namespace's."""
    table = tmp_path / "names.json"
    names = Names(str(table), "default")
    async with told(table) as api:
        before = names.first("web")

        made = await api.create("services", "default", a_service("web"))
        await asyncio.sleep(2 * BUNDLED_SECONDS)

        assert before is None
        assert names.first("web") == made["spec"]["clusterIP"]


async def test_a_pod_behind_a_headless_service_is_found_when_it_is_ready_and_no_more_when_it_is_not(
    tmp_path: Path,
) -> None:
    """The service itself does not change then."""
    table = tmp_path / "names.json"
    names = Names(str(table), "default")
    ready = {
        "metadata": {"name": "head-x", "labels": {"kubernetes.io/service-name": "head"}},
        "addressType": "IPv4",
        "ports": [],
        "endpoints": [{"addresses": ["127.71.0.9"], "conditions": {"ready": True}}],
    }
    async with told(table) as api:

        async def first() -> str | None:
            await asyncio.sleep(2 * BUNDLED_SECONDS)
            return names.first("head")

        await api.create("services", "default", a_service("head", clusterIP="None", selector={"a": "b"}))
        found = [await first()]
        await api.create(SLICES, "default", ready)
        found += [await first()]
        await api.patch(SLICES, "default", "head-x", {"endpoints": []})
        found += [await first()]

    assert found == [None, "127.71.0.9", None]


async def test_the_file_is_replaced_once_for_many_changes_and_for_none_that_matters_not_at_all(tmp_path: Path) -> None:
    """Every interpreter of every pod reads it again when it was replaced."""
    table = tmp_path / "names.json"
    async with told(table) as api:
        first = table.stat().st_ino
        for number in range(20):
            await api.create("services", "default", a_service(f"web-{number}"))
        await asyncio.sleep(BUNDLED_SECONDS / 2)
        meanwhile = table.stat().st_ino
        await asyncio.sleep(2 * BUNDLED_SECONDS)
        second = table.stat().st_ino, table.stat().st_mtime_ns

        await api.patch("services", "default", "web-3", {"metadata": {"labels": {"a": "b"}}})
        await asyncio.sleep(2 * BUNDLED_SECONDS)

        assert meanwhile == first
        assert second[0] != first
        assert (table.stat().st_ino, table.stat().st_mtime_ns) == second
        assert sum(name.startswith("web-") for name in json.loads(table.read_text())) == 20


def test_a_port_that_moved_is_found_until_whoever_had_it_is_gone(tmp_path: Path) -> None:
    """Of others, and of other addresses that begin alike, nothing changes."""
    ports = MovedPorts(tmp_path / "ports")
    ports.move("127.71.0.5", 6379, 23456)
    ports.move("127.71.0.5", 80, 8081)
    ports.move("127.71.0.55", 6379, 23457)

    moved = [ports.find("127.71.0.5", port) for port in (6379, 80, 8265)]
    for _ in range(2):  # the second time there is nothing
        ports.forget("127.71.0.5", 80)
    one_gone = [ports.find("127.71.0.5", port) for port in (6379, 80)]
    ports.forget("127.71.0.5")

    assert (moved, one_gone) == ([23456, 8081, 8265], [23456, 80])
    assert (ports.find("127.71.0.5", 6379), ports.find("127.71.0.55", 6379)) == (6379, 23457)
