"""The operator's webhooks, asked by a real API server: what it refuses, what it must never refuse, and a rotation."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from controller.runtime.certificates import Authority, certificates_in
from localcluster.testing.factories import a_raycluster
from localcluster.testing.wire import Reply
from webhooks.certificates import Material, data_of, service_names
from webhooks.registration import MUTATING, SECRET, VALIDATING

if TYPE_CHECKING:
    from test.process.conftest import Plane, Replica

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1"
TOLD = "telling the API server of the webhooks"
LOOK_SECONDS = 1.0


def a_port() -> int:
    """A free one, for a moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@asynccontextmanager
async def judged(plane: Plane) -> AsyncIterator[Replica]:
    """An operator that registers its webhooks for this namespace, and is asked once its first answer came."""
    wire, port = plane.wire, a_port()
    operator = await plane.replica(
        "admin",
        f"--webhook-bind-address=127.0.0.1:{port}",
        f"--webhook-url=https://127.0.0.1:{port}",
        "--webhook-certificates=self-managed",
        "--webhook-lame-duck=0s",
        config=json.loads(plane.judge.kubeconfig.read_text()),  # the administrator's: registering is cluster-wide
        ENABLE_WEBHOOKS="true",
        LOOK_SECONDS=str(LOOK_SECONDS),
    )
    try:
        await operator.said(TOLD, times=2)
        await until_asked(plane)
        yield operator
    finally:
        for kind, name in (
            ("validatingwebhookconfigurations", VALIDATING),
            ("mutatingwebhookconfigurations", MUTATING),
        ):
            await wire.delete(f"{CONFIGURATIONS}/{kind}/{name}")


async def until_asked(plane: Plane) -> None:
    """A new configuration acts within half a second (kube-api ADM-9)."""
    for _ in range(100):
        if (await create(plane, a_bad("probe"), dryRun="All")).code == 422:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the API server does not ask our webhooks")


def a_bad(name: str) -> Any:
    """Two groups of one name: what schema and CEL let through."""
    cluster = a_raycluster(name)
    cluster["metadata"].pop("namespace")
    cluster["spec"]["workerGroupSpecs"] *= 2
    return cluster


def a_good(name: str) -> Any:
    cluster = a_raycluster(name)
    cluster["metadata"].pop("namespace")
    return cluster


async def create(plane: Plane, body: Any, **query: str) -> Reply:
    return await plane.wire.post(plane.wire.path("rayclusters.ray.io"), body, **query)


async def change(plane: Plane, name: str, patch: Any, kind: Any = "json") -> Reply:
    return await plane.wire.patch(plane.wire.path("rayclusters.ray.io", name), patch, kind=kind)


@pytest.mark.spec("runtime:WH-3", "runtime:WH-6", "kube-api:ADM-6")
async def test_a_bad_object_is_refused_by_a_real_api_server_with_a_cause_and_a_good_one_is_let_in(plane: Plane) -> None:
    async with judged(plane):
        refused = await create(plane, a_bad("bad"))
        dry = await create(plane, a_bad("bad"), dryRun="All")
        good = await create(plane, a_good("good"))

    assert refused.code == dry.code == 422
    assert refused.json["reason"] == "Invalid"
    assert refused.message.startswith(
        'admission webhook "vraycluster.kb.io" denied the request: RayCluster.ray.io "bad"'
    )
    ((reason, field_, message),) = refused.causes
    assert (reason, field_) == ("FieldValueInvalid", "spec.workerGroupSpecs[1]")
    assert "[M11]" in message
    assert good.code == 201


@pytest.mark.spec("admission:P6", "admission:P7", "admission:P8")
async def test_what_was_bad_before_the_webhooks_can_be_changed_elsewhere_scaled_and_deleted(plane: Plane) -> None:
    """An upgrade of the operator freezes nobody's cluster."""
    old = a_bad("old")
    old["metadata"]["finalizers"] = ["example.com/held"]
    (await create(plane, old)).ok(201)
    async with judged(plane):
        group = "/spec/workerGroupSpecs/0"
        label = {"op": "add", "path": f"{group}/template/metadata", "value": {"labels": {"team": "a"}}}
        edited = await change(plane, "old", [label])
        scaled = await change(plane, "old", [{"op": "replace", "path": f"{group}/replicas", "value": 2}])
        to_delete = {
            "op": "add",
            "path": f"{group}/scaleStrategy",
            "value": {"workersToDelete": ["old-small-worker-a"]},
        }
        shrunk = await change(plane, "old", [to_delete])
        suspended = await change(plane, "old", {"spec": {"suspend": True}}, kind="merge")
        deleted = await plane.wire.delete(plane.wire.path("rayclusters.ray.io", "old"))
        released = await change(plane, "old", {"metadata": {"finalizers": None}}, kind="merge")

    assert [one.code for one in (edited, scaled, shrunk, suspended, deleted, released)] == [200] * 6
    assert any("[M11]" in warning for warning in edited.warnings)
    assert not scaled.warnings  # it was not even asked about
    assert not shrunk.warnings


@dataclass
class Load:
    """Bad objects, one after the other: each must be refused. A webhook that fails is ignored, and lets one in."""

    let_in: list[int] = field(default_factory=list)
    refused: asyncio.Queue[Reply] = field(default_factory=asyncio.Queue)

    async def run(self, plane: Plane) -> None:
        while True:
            answer = await create(plane, a_bad("bad"), dryRun="All")
            if answer.code == 422:
                self.refused.put_nowait(answer)
            else:
                self.let_in.append(answer.code)

    async def until_refused(self, more: int) -> None:
        """So many from now on."""
        for _ in range(self.refused.qsize() + more):
            await self.refused.get()


@pytest.mark.spec("runtime:WH-13", "runtime:WH-12")
async def test_authority_and_certificate_are_replaced_under_load_and_no_request_is_lost(plane: Plane) -> None:
    """Its authority is due: a new one is announced, then signs; the API server trusts both all the while."""
    secret = {"metadata": {"name": SECRET}, "type": "kubernetes.io/tls", "data": data_of(an_old_material(plane))}
    (await plane.wire.post(plane.wire.path("secrets"), secret)).ok(201)
    async with judged(plane) as operator, asyncio.TaskGroup() as group:
        load = Load()
        loads = [group.create_task(load.run(plane)) for _ in range(4)]
        await operator.said("the webhooks' certificates are new", times=2, seconds=60)
        async with asyncio.timeout(60):
            await load.until_refused(100)  # those are answered with the new certificate
        for one in loads:
            one.cancel()
        found = (await plane.wire.get(plane.wire.path("secrets", SECRET))).ok()

    bundle = certificates_in(base64.b64decode(found["data"]["ca.crt"]))
    assert len(bundle) == 2
    assert bundle[0].not_before > bundle[1].not_before
    assert load.let_in == []


def an_old_material(plane: Plane) -> Material:
    """An authority at more than two thirds of its life, with a certificate of yesterday."""
    now = datetime.now(UTC)  # noqa: TID251 - the API server checks it with its own clock
    authority = Authority.new("old", now - timedelta(days=2500), timedelta(days=3650))
    names = (*service_names("kuberay-webhook-service", plane.wire.namespace, "cluster.local"), "127.0.0.1")
    serving = authority.serving(names, now - timedelta(days=1), timedelta(days=365))
    return Material([authority.pair.certificate], serving, authority.pair.key)


async def test_an_operator_that_is_gone_refuses_nothing(plane: Plane) -> None:
    """One replica: what its webhooks do not answer is let in."""
    async with judged(plane) as operator:
        operator.process.kill()
        await operator.ended()
        answer = await create(plane, a_bad("bad"), dryRun="All")

    assert answer.code == 201
