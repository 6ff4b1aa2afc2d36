"""Upgrades of a RayService on real Ray, asked ten times a second where `manta up` says that it answers: none fails.

One service, a head and a worker with a replica on each, goes through all of them. The figures are printed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hack.e2e.asker import Asking, asking
from hack.e2e.serving import a_cluster_config, a_config, a_rayservice, an_application, some_code
from localcluster.node.forward import forwarding
from localcluster.testing.real import CLUSTERS, PODS, RAYSERVICES, Live
from localcluster.testing.up import OPERATOR, Up, manta_up

pytestmark = [pytest.mark.local, pytest.mark.timeout(600)]

Json = dict[str, Any]
NAME = "greeter"
WORKERS = 1
DELAY_SECONDS = 6


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One `manta up` for all."""
    with manta_up(tmp_path_factory.mktemp("up")) as running:
        yield running


@pytest.fixture
async def live(up: Up) -> AsyncIterator[Live]:
    """Its API, with the service on it, which is ready and has one cluster."""
    async with up.live() as found:
        if NAME not in found.now(RAYSERVICES):
            service = a_rayservice(NAME, "default", workers=WORKERS, rayClusterDeletionDelaySeconds=1)
            await found.api.create("configmaps", "default", some_code("default"))
            await found.api.create(RAYSERVICES, "default", service)
        await found.until(RAYSERVICES, NAME, is_ready)
        await found.all(CLUSTERS, lambda clusters: len(clusters) == 1)
        await found.all(PODS, lambda pods: len(pods) == 1 + WORKERS)
        yield found


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints a line, captured or not: figures are for the reader of a run that passed."""

    def print_it(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{line}\n")

    return print_it


async def patch(live: Live, **spec: Any) -> None:
    """A merge patch of the spec, as kubectl sends it."""
    await live.api.patch(RAYSERVICES, "default", NAME, {"spec": spec})


def another(**environment: str) -> Json:
    """The cluster with such variables."""
    return a_cluster_config(workers=WORKERS, **environment)


def is_ready(service: Json) -> bool:
    """It takes requests, and no other cluster is made for it."""
    return (service.get("status") or {}).get("serviceStatus") == "Running" and not named(service, "pending")


def named(service: Json, role: str) -> str:
    """The active cluster, or the pending one; "" for none."""
    return ((service.get("status") or {}).get(f"{role}ServiceStatus") or {}).get("rayClusterName") or ""


def active(live: Live) -> str:
    """The name of the cluster that serves."""
    return named(live.now(RAYSERVICES)[NAME], "active")


@asynccontextmanager
async def asked(up: Up, live: Live) -> AsyncIterator[Asking]:
    """The service is asked while the block is open, and answers from the cluster that is active at first."""
    old = active(live)
    async with asking(await up.url(NAME)) as client:
        await client.until(lambda said: old in said)
        yield client


async def until_half_way(live: Live) -> str:
    """Until a pending cluster's head is ready, before its applications are; the cluster's name."""

    def is_half_way(cluster: Json) -> bool:
        conditions = (cluster.get("status") or {}).get("conditions") or ()
        return any(one["type"] == "HeadPodReady" and one["status"] == "True" for one in conditions)

    service = await live.until(RAYSERVICES, NAME, lambda one: bool(named(one, "pending")))
    await live.until(CLUSTERS, named(service, "pending"), is_half_way)
    return named(service, "pending")


async def through(live: Live, client: Asking, old: str) -> None:
    """Until another cluster answers, the old one is gone, and all is well."""
    await client.until(lambda said: " from " in said and old not in said)
    await live.until(RAYSERVICES, NAME, is_ready)
    await live.all(CLUSTERS, lambda clusters: len(clusters) == 1 and old not in clusters)
    await live.all(PODS, lambda pods: len(pods) == 1 + WORKERS)
    await client.until(bool)


def begun_after(live: Live, old: str) -> list[str]:
    """The clusters that were pending since that one served, in order: the first of all was pending once, too."""
    names = (named(one.item, "pending") for one in live.told if one.resource == RAYSERVICES)
    return [name for name in dict.fromkeys(names) if name not in ("", old)]


async def test_an_upgrade_by_a_new_variable_loses_no_request(up: Up, live: Live, say: Callable[[str], None]) -> None:
    """Another cluster takes over, and the old one goes."""
    old = active(live)
    async with asked(up, live) as client:
        await patch(live, rayClusterConfig=another(A="1"))
        await through(live, client, old)

    say(f"a new variable: {client.told}")
    assert client.failures == []
    assert begun_after(live, old) == [active(live)]


async def test_an_upgrade_in_which_the_operator_is_killed_loses_no_request(
    up: Up, live: Live, say: Callable[[str], None]
) -> None:
    """SIGKILL half-way; what starts it again is the cell. It goes on with the cluster that it had begun."""
    old = active(live)
    async with asked(up, live) as client:
        await patch(live, rayClusterConfig=another(A="2"))
        begun = await until_half_way(live)
        up.kill(OPERATOR)
        await through(live, client, old)

    say(f"the operator killed: {client.told}")
    assert client.failures == []
    assert begun_after(live, old) == [begun] == [active(live)]


async def test_an_upgrade_that_is_reverted_half_way_loses_no_request(
    up: Up, live: Live, say: Callable[[str], None]
) -> None:
    """The half-made cluster is let go and never asked; a third, like the first, takes over (spec rayservice §13)."""
    old = active(live)
    before = live.now(RAYSERVICES)[NAME]["spec"]["rayClusterConfig"]
    async with asked(up, live) as client:
        await patch(live, rayClusterConfig=another(A="wrong"))
        wrong = await until_half_way(live)
        await patch(live, rayClusterConfig=before)
        await through(live, client, old)

    say(f"reverted: {client.told}")
    assert client.failures == []
    assert begun_after(live, old) == [wrong, active(live)]
    assert not any(wrong in one.said for one in client.answers)


@pytest.mark.spec("rayservice:E19", "rayservice:E26")
async def test_an_old_cluster_keeps_its_answer_as_long_as_it_is_kept(
    up: Up, live: Live, say: Callable[[str], None]
) -> None:
    """Configuration and cluster are edited together: only the new cluster gets the new configuration.

    The old one is asked directly, too, until it goes, which is after the delay and not much later.
    """
    old, greeting = active(live), a_config(an_application("good day", replicas=1 + WORKERS))
    (address,) = (
        pod["status"]["podIP"]
        for pod in live.now(PODS).values()
        if pod["metadata"]["labels"]["ray.io/node-type"] == "head"
    )
    async with asked(up, live) as client, forwarding(up.dialer, address, 8000) as port:
        await patch(
            live,
            rayClusterConfig=another(A="4"),
            serveConfigV2=greeting,
            rayClusterDeletionDelaySeconds=DELAY_SECONDS,
        )
        async with asking(f"http://127.0.0.1:{port}") as beside:
            await live.until(RAYSERVICES, NAME, lambda one: named(one, "active") not in ("", old))
            switched = time.monotonic()
            await client.until(lambda said: said.startswith("good day"))
            await live.all(CLUSTERS, lambda clusters: old not in clusters)
            kept = time.monotonic() - switched
        await through(live, client, old)

    say(f"cluster and configuration: {client.told}; the old cluster was kept for {kept:.1f} s of {DELAY_SECONDS}")
    assert client.failures == []
    for said in (one.said for one in client.answers):
        assert said.startswith("hello, from " if old in said else "good day, from "), said
    assert {one.said.partition(",")[0] for one in beside.answers if one.good} == {"hello"}
    assert DELAY_SECONDS - 1 <= kept <= DELAY_SECONDS + 5
