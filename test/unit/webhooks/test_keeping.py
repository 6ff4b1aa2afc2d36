"""Replicas that keep the webhooks' certificates, on the local API server: they agree, and the configurations follow."""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.core import MUTATING_WEBHOOKS, SECRETS, VALIDATING_WEBHOOKS
from api.meta import Json, Ref, Resource
from controller.runtime.certificates import Certificate, certificates_in
from controller.runtime.client.rest import Identity, RestClient
from controller.runtime.client.transport import connected
from controller.runtime.errors import Forbidden, RuntimeProblem, Unreachable
from controller.runtime.tls import Pair
from localcluster.apiserver.http import HttpFace, serving
from localcluster.apiserver.server import ApiServer
from webhooks.certificates import service_names
from webhooks.keeping import CannotKeep, Keeper, Kept
from webhooks.registration import MUTATING, SECRET, VALIDATING, Registration, mutating, validating

pytestmark = pytest.mark.looptime

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = service_names("kuberay-webhook-service", "default", "cluster.local")
BY_SERVICE = Kept("default", NAMES)
BY_URL = Kept("default", [*NAMES, "127.0.0.1"], Registration(url="https://127.0.0.1:9443"))
BOTH = ((VALIDATING_WEBHOOKS, VALIDATING, validating), (MUTATING_WEBHOOKS, MUTATING, mutating))


class Calendar:
    """A clock that is moved by days."""

    def __init__(self) -> None:
        self.days = 0.0

    def now(self) -> datetime:
        return START + timedelta(days=self.days)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class Counting(RestClient):
    """Counts what is written, and fails as it is told."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.writes: list[str] = []
        self.fails: dict[str, Exception] = {}

    async def get(self, resource: Resource, namespace: str, name: str) -> Json:
        if resource.kind in self.fails:
            raise self.fails[resource.kind]
        return await super().get(resource, namespace, name)

    async def create(self, resource: Resource, body: Json) -> Json:
        answer = await super().create(resource, body)
        self.writes.append(f"create {resource.kind}")
        return answer

    async def update(self, resource: Resource, body: Json) -> Json:
        answer = await super().update(resource, body)
        self.writes.append(f"update {resource.kind}")
        return answer

    async def patch(self, resource: Resource, *args: Any, **named: Any) -> Json:
        answer = await super().patch(resource, *args, **named)
        self.writes.append(f"patch {resource.kind}")
        return answer


@dataclass
class Replica:
    client: Counting
    keeper: Keeper
    shown: list[Pair] = field(default_factory=list)
    leads: bool = False


@dataclass
class Place:
    client: Counting
    clock: Calendar
    transport: Any

    def replica(self, kept: Kept = BY_SERVICE, *, leads: bool = False) -> Replica:
        client = Counting(self.transport, clock=self.clock, identity=Identity("kuberay-operator", "1"))
        shown: list[Pair] = []
        replica = Replica(client, None, shown, leads)  # type: ignore[arg-type]
        replica.keeper = Keeper(
            client,
            kept,
            use=shown.append,
            leading=lambda: replica.leads,
            clock=self.clock,
            rng=random.Random(1),
        )
        return replica

    async def installed(self, **how: Any) -> None:
        for resource, _, made in BOTH:
            await self.client.create(resource, made(Registration(namespace="default", **how)))

    async def bundles(self) -> set[bytes]:
        """Of all our webhooks."""
        found = set()
        for resource, name, _ in BOTH:
            for one in (await self.client.get(resource, "", name))["webhooks"]:
                found.add(base64.b64decode(one["clientConfig"].get("caBundle", "")))
        return found

    async def secret(self) -> Json:
        return await self.client.get(SECRETS, "default", SECRET)


@asynccontextmanager
async def a_place(tmp_path: Path) -> AsyncIterator[Place]:
    clock = Calendar()
    server = ApiServer(now=clock.now, chance=random.Random(1))
    async with (
        serving(HttpFace(server, now=clock.now), socket=tmp_path / "api"),
        connected("http://localhost", unix_socket=str(tmp_path / "api")) as transport,
    ):
        yield Place(Counting(transport, clock=clock, identity=Identity("admin", "1")), clock, transport)


def trusts(bundle: bytes, pair: Pair) -> bool:
    return any(Certificate(pair.certificate).signed_by(one) for one in certificates_in(bundle))


@pytest.mark.spec("runtime:WH-13")
async def test_replicas_that_start_together_show_one_certificate_that_the_configurations_trust(tmp_path: Path) -> None:
    """One of them creates the Secret, the others find it."""
    async with a_place(tmp_path) as place:
        await place.installed()
        replicas = [place.replica() for _ in range(3)]
        async with asyncio.TaskGroup() as group:
            for one in replicas:
                group.create_task(one.keeper.look())

        ((bundle,), *_) = [await place.bundles()]
        assert {one.shown[-1] for one in replicas} == {replicas[0].shown[0]}
        assert trusts(bundle, replicas[0].shown[0])
        assert sum(one.client.writes.count("create Secret") for one in replicas) == 1
        assert (await place.secret())["type"] == "kubernetes.io/tls"


async def test_a_look_at_what_is_as_it_should_be_writes_nothing_and_shows_nothing_anew(tmp_path: Path) -> None:
    async with a_place(tmp_path) as place:
        await place.installed()
        replica = place.replica(leads=True)
        await replica.keeper.look()
        await replica.keeper.look()
        replica.client.writes.clear()

        await replica.keeper.look()

        assert replica.client.writes == []
        assert len(replica.shown) == 1


@pytest.mark.spec("runtime:WH-13")
async def test_the_leader_renews_and_another_does_where_the_leader_did_not(tmp_path: Path) -> None:
    async with a_place(tmp_path) as place:
        leader, other = place.replica(leads=True), place.replica()
        await leader.keeper.look()
        await other.keeper.look()
        place.clock.days = 250

        await other.keeper.look()
        assert other.shown == leader.shown
        await leader.keeper.look()
        await other.keeper.look()
        assert len(leader.shown) == len(other.shown) == 2
        assert leader.shown == other.shown

        place.clock.days = 500
        await other.keeper.look()
        await other.keeper.look()
        assert "update Secret" in other.client.writes
        await leader.keeper.look()
        assert leader.shown == other.shown


@pytest.mark.spec("runtime:WH-13")
async def test_a_new_authority_is_trusted_before_anything_of_it_is_shown(tmp_path: Path) -> None:
    """Each look: what the API server trusted before it also covers what is shown after it."""
    async with a_place(tmp_path) as place:
        await place.installed()
        replicas = [place.replica(leads=True), place.replica()]
        for one in replicas:
            await one.keeper.look()
        (first,) = await place.bundles()

        for day in range(200, 3000, 40):
            place.clock.days = day
            for one in replicas:
                (before,) = await place.bundles()
                await one.keeper.look()
                assert all(trusts(before, shower.shown[-1]) for shower in replicas)

        (last,) = await place.bundles()
        assert not {one.pem for one in certificates_in(first)} & {one.pem for one in certificates_in(last)}


@pytest.mark.spec("runtime:WH-13")
async def test_what_cert_manager_injects_is_left_to_it(tmp_path: Path) -> None:
    async with a_place(tmp_path) as place:
        await place.installed(certificate="default/serving-cert")
        replica = place.replica()

        await replica.keeper.look()

        assert await place.bundles() == {b""}


async def test_configurations_that_come_later_are_told_then(tmp_path: Path) -> None:
    async with a_place(tmp_path) as place:
        replica = place.replica()
        await replica.keeper.look()
        await place.installed()

        await replica.keeper.look()

        (bundle,) = await place.bundles()
        assert trusts(bundle, replica.shown[0])


async def test_a_bundle_that_somebody_took_away_comes_back_and_nothing_else_is_changed(tmp_path: Path) -> None:
    async with a_place(tmp_path) as place:
        await place.installed()
        replica = place.replica()
        await replica.keeper.look()
        was = await place.client.get(VALIDATING_WEBHOOKS, "", VALIDATING)
        stripped = [
            {**one, "failurePolicy": "Fail", "clientConfig": {"service": one["clientConfig"]["service"]}}
            for one in was["webhooks"]
        ]
        await place.client.update(VALIDATING_WEBHOOKS, {**was, "webhooks": stripped})

        await replica.keeper.look()

        now = await place.client.get(VALIDATING_WEBHOOKS, "", VALIDATING)
        assert [one["clientConfig"] for one in now["webhooks"]] == [one["clientConfig"] for one in was["webhooks"]]
        assert {one["failurePolicy"] for one in now["webhooks"]} == {"Fail"}


async def test_outside_of_a_cluster_the_configurations_are_made_and_kept_as_they_were_made(tmp_path: Path) -> None:
    async with a_place(tmp_path) as place:
        replica = place.replica(BY_URL)
        await replica.keeper.look()
        found = await place.client.get(MUTATING_WEBHOOKS, "", MUTATING)
        assert found["webhooks"][0]["clientConfig"]["url"] == "https://127.0.0.1:9443/mutate-ray-io-v1-raycluster"
        assert Certificate(replica.shown[0].certificate).names >= {"127.0.0.1"}
        await place.client.update(MUTATING_WEBHOOKS, {**found, "webhooks": found["webhooks"][:1]})

        await replica.keeper.look()
        await replica.keeper.look()

        assert len((await place.client.get(MUTATING_WEBHOOKS, "", MUTATING))["webhooks"]) == 4
        assert replica.client.writes == [
            "create Secret",
            "create ValidatingWebhookConfiguration",
            "create MutatingWebhookConfiguration",
            "patch MutatingWebhookConfiguration",
        ]


async def test_a_secret_that_was_deleted_is_made_anew_beside_the_authority_that_is_trusted(tmp_path: Path) -> None:
    async with a_place(tmp_path) as place:
        await place.installed()
        replica = place.replica()
        await replica.keeper.look()
        (first,) = await place.bundles()
        uid = (await place.secret())["metadata"]["uid"]
        await place.client.delete(SECRETS, "default", SECRET, uid=uid)

        await replica.keeper.look()

        (bundle,) = await place.bundles()
        assert first in bundle
        assert trusts(bundle, replica.shown[-1])


async def test_a_secret_of_somebody_else_that_holds_no_certificate_is_not_touched(tmp_path: Path) -> None:
    async with a_place(tmp_path) as place:
        theirs = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET, "namespace": "default"}}
        await place.client.create(SECRETS, theirs | {"data": {"password": "eA=="}})
        replica = place.replica()

        with pytest.raises(RuntimeProblem, match="holds no certificate, and is not ours"):
            await replica.keeper.look()

        assert (await place.secret())["data"] == {"password": "eA=="}


async def test_without_rights_it_ends_with_a_sentence_that_names_them(tmp_path: Path) -> None:
    async with a_place(tmp_path) as place:
        replica = place.replica()
        forbidden = Forbidden(
            "get", Ref("Secret", "default", SECRET), code=403, message="no rights", reason="Forbidden"
        )
        replica.client.fails["Secret"] = forbidden

        with pytest.raises(
            CannotKeep, match="need get, create and update of the Secret webhook-server-cert in default"
        ):
            await replica.keeper.run()


async def test_an_api_server_that_is_away_is_asked_again_and_rights_lost_later_end_nothing(tmp_path: Path) -> None:
    async with a_place(tmp_path) as place, asyncio.TaskGroup() as group:
        replica = place.replica()
        replica.client.fails["Secret"] = Unreachable("away")
        running = group.create_task(replica.keeper.run())
        await asyncio.sleep(10)
        assert replica.shown == []

        replica.client.fails.clear()
        await asyncio.sleep(5)
        assert len(replica.shown) == 1

        replica.client.fails["Secret"] = Forbidden("get", Ref("Secret", "default", SECRET), code=403, message="no more")
        await asyncio.sleep(120)
        assert not running.done()
        running.cancel()
