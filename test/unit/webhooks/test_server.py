"""The webhooks inside the runtime: up before the caches, ready when their listener is, asked over TLS."""

from __future__ import annotations

import asyncio
import base64
import random
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from api.core import PODS, SECRETS, VALIDATING_WEBHOOKS
from api.crds.installed import custom_resource_definitions
from api.meta import Json, Resource
from api.v1 import wire
from api.v1.rules.model import Context
from controller.runtime.cache.informer import Watched
from controller.runtime.certificates import Authority
from controller.runtime.client.rest import Identity, RestClient
from controller.runtime.client.transport import Transport, connected
from controller.runtime.clock import SystemClock
from controller.runtime.loop import Controller
from controller.runtime.manager import Kit, Runtime, running
from controller.runtime.tls import BadPair
from controller.runtime.webhook import WebhookServer
from localcluster.apiserver.http import HttpFace, serving
from localcluster.apiserver.server import ApiServer
from localcluster.testing.factories import a_raycluster
from webhooks.registration import SECRET, VALIDATING
from webhooks.server import cached_cluster, kept
from webhooks.server import serving as serving_webhooks
from webhooks.settings import WebhookSettings

DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
PATH = "/validate-ray-io-v1-raycluster"
SETTINGS = WebhookSettings(
    address=("127.0.0.1", 0),
    certificates="self-managed",
    url="https://127.0.0.1:1",
    namespace="default",
    account="system:serviceaccount:default:kuberay-operator",
    lame_duck_seconds=0,
)


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - a client checks the certificates


@asynccontextmanager
async def nothing_to_do(_kit: Kit) -> AsyncIterator[Sequence[Controller]]:
    yield ()


@asynccontextmanager
async def an_api_server(tmp_path: Path) -> AsyncIterator[Transport]:
    face = HttpFace(ApiServer(now=now, chance=random.Random(1)), now=now)
    async with (
        serving(face, socket=tmp_path / "api"),
        connected("http://localhost", unix_socket=str(tmp_path / "api")) as transport,
    ):
        yield transport


def a_runtime(transport: Transport, settings: WebhookSettings, served: list[WebhookServer]) -> Runtime:
    @asynccontextmanager
    async def serve(kit: Kit) -> AsyncIterator[None]:
        async with serving_webhooks(kit, settings, Context({}), lambda _kind, new, _old, _context: new) as server:
            served.append(server)
            yield

    return Runtime(
        transport=transport,
        watched=(Watched(PODS),),
        build=nothing_to_do,
        clock=SystemClock(),
        rng=random.Random(1),
        identity=Identity("kuberay-operator", "1"),
        servers=(serve,),
    )


async def ready(kit: Kit) -> None:
    """As a kubelet finds out."""
    for _ in range(1000):
        if await kit.health.ready["webhook"]() is None:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(await kit.health.ready["webhook"]())


def a_review(**request: Any) -> Json:
    request = {
        "uid": "u-1",
        "operation": "CREATE",
        "kind": {"group": "ray.io", "version": "v1", "kind": "RayCluster"},
        "object": {"kind": "RayCluster", "metadata": {"name": "-bad-"}, "spec": {}},
    } | request
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


@pytest.mark.spec("runtime:WH-14")
async def test_an_operator_with_webhooks_answers_over_tls_that_its_own_configuration_trusts(
    tmp_path: Path,
) -> None:
    served: list[WebhookServer] = []
    async with (
        an_api_server(tmp_path) as transport,
        running(a_runtime(transport, SETTINGS, served)) as kit,
    ):
        await ready(kit)
        configured = (await kit.client.get(VALIDATING_WEBHOOKS, "", VALIDATING))["webhooks"][0]
        bundle = base64.b64decode(configured["clientConfig"]["caBundle"]).decode()
        trusting = ssl.create_default_context(cadata=bundle)
        connector = aiohttp.TCPConnector(ssl=trusting)
        async with aiohttp.ClientSession(connector=connector) as session:
            assert served[0].address is not None
            url = f"https://127.0.0.1:{served[0].address[1]}{PATH}"
            async with session.post(url, json=a_review()) as answer:
                refused = (await answer.json())["response"]
            async with session.post(url, json=a_review(userInfo={"username": SETTINGS.account})) as answer:
                trusted = (await answer.json())["response"]

        assert refused["status"]["code"] == 422
        assert trusted == {"uid": "u-1", "allowed": True}
        sample = kit.metrics.registry.get_sample_value
        assert sample("controller_runtime_webhook_requests_total", {"webhook": PATH, "code": "200"}) == 2
        assert (await kit.client.get(SECRETS, "default", SECRET))["data"].keys() >= {"ca.crt", "tls.crt", "tls.key"}


async def test_files_are_used_where_their_folder_is(tmp_path: Path) -> None:
    """As they are: no Secret is made, and no configuration."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    pair = Authority.new("test", now(), timedelta(days=1)).serving(["hook"], now(), timedelta(days=1))
    (folder / "tls.crt").write_bytes(pair.certificate)
    (folder / "tls.key").write_bytes(pair.key)
    settings = replace(SETTINGS, certificates="auto", folder=str(folder), url="")
    async with (
        an_api_server(tmp_path) as transport,
        running(a_runtime(transport, settings, [])) as kit,
    ):
        await ready(kit)
        assert [one async for page in kit.client.list(SECRETS, "default") for one in page.items] == []


async def test_authorities_of_clients_that_cannot_be_read_end_the_start(tmp_path: Path) -> None:
    settings = replace(SETTINGS, client_authorities_file=str(tmp_path / "none"))
    async with an_api_server(tmp_path) as transport:
        with pytest.RaisesGroup(pytest.RaisesExc(BadPair, match="cannot read"), flatten_subgroups=True):
            async with running(a_runtime(transport, settings, [])):
                pass


def test_a_url_s_host_is_one_of_the_names_of_the_certificate() -> None:
    by_url, by_service = kept(replace(SETTINGS, url="https://[::1]:9443")), kept(replace(SETTINGS, url=""))

    assert by_url.names[-1] == "::1"
    assert by_url.registration is not None
    assert by_service.registration is None
    assert "kuberay-webhook-service.default.svc" in by_service.names


@pytest.mark.spec("runtime:MGR-1")
async def test_a_cluster_is_known_once_the_caches_hold_it(tmp_path: Path) -> None:
    """Webhooks are up before; nobody is kept waiting: rules that would need it are silent."""
    found = []
    body = a_raycluster("there", namespace="default")
    async with an_api_server(tmp_path) as transport:
        admin = RestClient(transport, clock=SystemClock(), identity=Identity("admin", "1"))
        for definition in custom_resource_definitions():
            await admin.create(DEFINITIONS, definition)
        await admin.create(wire.RAY_CLUSTERS, body)

        @asynccontextmanager
        async def before(kit: Kit) -> AsyncIterator[None]:
            found.append(cached_cluster(kit.caches, "default", "there"))
            yield

        runtime = a_runtime(transport, SETTINGS, [])
        runtime = replace(runtime, servers=(before,), watched=(Watched(wire.RAY_CLUSTERS),))
        async with running(runtime) as kit:
            cluster = cached_cluster(kit.caches, "default", "there")
            assert cached_cluster(kit.caches, "default", "elsewhere") is None

    assert found == [None]
    assert cluster is not None
    assert cluster["spec"]["headGroupSpec"] == body["spec"]["headGroupSpec"]
