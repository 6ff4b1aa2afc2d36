"""The operator's webhooks on the local API server, as in `manta up`: account, registration, verdicts."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from api.core import PODS
from api.crds.installed import custom_resource_definitions
from api.meta import Json
from api.v1.admission_defaults import defaulted
from api.v1.rules.model import Context
from controller.admission import account_of
from controller.runtime.cache.informer import Watched
from controller.runtime.client.config import from_kubeconfig
from controller.runtime.client.rest import Identity
from controller.runtime.client.transport import connected
from controller.runtime.clock import SystemClock
from controller.runtime.loop import Controller
from controller.runtime.manager import Kit, Runtime, running
from localcluster.inside import token_of
from localcluster.kubeconfig import write_kubeconfig
from localcluster.running import running as running_cluster
from localcluster.testing.factories import a_raycluster
from webhooks.server import serving
from webhooks.settings import WebhookSettings

ACCOUNT = ("kube-system", "manta-operator")
CLUSTERS = "/apis/ray.io/v1/namespaces/default/rayclusters"


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - a client checks the certificates


@asynccontextmanager
async def nothing_to_do(_kit: Kit) -> AsyncIterator[Sequence[Controller]]:
    yield ()


def a_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def ready(kit: Kit) -> None:
    """As a kubelet finds out."""
    for _ in range(1000):
        if await kit.health.ready["webhook"]() is None:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(await kit.health.ready["webhook"]())


class Clients:
    """Two who write: the user, and the operator."""

    def __init__(self, session: aiohttp.ClientSession, url: str, operator: str) -> None:
        self._session, self._url, self._operator = session, url, operator

    async def send(self, method: str, path: str, body: object, *, kind: str = "", operator: bool = False) -> Json:
        """The answer's object, with the HTTP status under `http`."""
        token = self._operator if operator else "token"
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind or "application/json"}
        async with self._session.request(method, self._url + path, data=json.dumps(body), headers=headers) as answer:
            return {**await answer.json(), "http": answer.status}


@pytest.fixture
async def clients(tmp_path: Path) -> AsyncIterator[Clients]:
    port = a_port()
    async with (
        running_cluster(now=now, chance=random.Random(1), token="token") as cluster,
        aiohttp.ClientSession() as session,
    ):
        for definition in custom_resource_definitions():
            await cluster.api.create("customresourcedefinitions.apiextensions.k8s.io", "", definition)
        token = await token_of(cluster.api, *ACCOUNT)
        write_kubeconfig(tmp_path / "kubeconfig", cluster.url, token, account=True)
        config = from_kubeconfig([tmp_path / "kubeconfig"])
        settings = WebhookSettings(
            address=("127.0.0.1", port),
            certificates="self-managed",
            url=f"https://127.0.0.1:{port}",
            namespace=ACCOUNT[0],
            account=account_of(config.token),
            lame_duck_seconds=0,
        )
        serve = partial(serving, settings=settings, context=Context({}), defaulted=defaulted)
        async with (
            connected(config.server) as transport,
            running(
                Runtime(
                    transport=transport,
                    watched=(Watched(PODS),),
                    build=nothing_to_do,
                    clock=SystemClock(),
                    rng=random.Random(1),
                    identity=Identity("kuberay-operator", "1"),
                    credentials=config.credentials(SystemClock()),
                    servers=(serve,),
                )
            ) as kit,
        ):
            await ready(kit)
            yield Clients(session, cluster.url, token)


def a_bad(name: str) -> Json:
    cluster: Json = a_raycluster(name)
    cluster["spec"]["workerGroupSpecs"] *= 2
    return cluster


async def test_a_bad_object_is_refused_and_a_good_one_let_in(clients: Clients) -> None:
    refused = await clients.send("POST", CLUSTERS, a_bad("bad"))
    good = await clients.send("POST", CLUSTERS, a_raycluster("good"))

    assert (refused["http"], refused["reason"]) == (422, "Invalid")
    assert refused["message"].startswith('admission webhook "vraycluster.kb.io" denied the request:')
    assert good["http"] == 201


async def test_the_operator_itself_is_not_asked_about(clients: Clients) -> None:
    """The API server knows it by its token, and the registration leaves its account out."""
    made = await clients.send("POST", CLUSTERS, a_bad("own"), operator=True)

    assert made["http"] == 201


async def test_what_is_bad_already_may_be_scaled_and_deleted(clients: Clients) -> None:
    """As the autoscaler and a cleaning user do."""
    await clients.send("POST", CLUSTERS, a_bad("old"), operator=True)
    patch = [{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": 2}]

    scaled = await clients.send("PATCH", f"{CLUSTERS}/old", patch, kind="application/json-patch+json")
    deleted = await clients.send("DELETE", f"{CLUSTERS}/old", {})

    assert (scaled["http"], deleted["http"]) == (200, 200)


async def test_a_dry_run_is_judged_like_the_real_thing(clients: Clients) -> None:
    """So `kubectl apply --dry-run=server` tells."""
    dry = await clients.send("POST", f"{CLUSTERS}?dryRun=All", a_bad("bad"))

    assert (dry["http"], [cause["field"] for cause in dry["details"]["causes"]]) == (422, ["spec.workerGroupSpecs[1]"])
