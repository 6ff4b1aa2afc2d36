"""The operator as a process, with the rights of the reference's chart, on a real API server with real controllers.

What it writes is counted by the API server itself: its audit log names each write of a service account. No kubelet is
there; the test says that pods run, as one would.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from api.crds.installed import custom_resource_definitions
from hack.kube.judge import AUDIT_LOG
from localcluster.testing.factories import a_raycluster, a_rayjob
from localcluster.testing.operator_process import OperatorProcess, operator_process
from localcluster.testing.pretence import a_kubelet
from localcluster.testing.rights import Audited, audited, signed_in
from localcluster.testing.wire import Json, Wire

pytestmark = [pytest.mark.judge, pytest.mark.timeout(1800)]  # the first may build the real server

TICKET = "manta.ray.io/ticket"
NAME = re.compile(r"[-.]")  # what follows a cluster's name in its children's and its events' names
NUMBERS = count(1)
SLOW = 60.0  # seconds to wait for what takes one on an idle machine


@dataclass(frozen=True, slots=True)
class Operated:
    """A namespace in which the operator works, and its API server's account of what it did."""

    wire: Wire
    process: OperatorProcess

    def asked(self, cluster: str) -> list[str]:
        """Its writes for a cluster so far but for events, refused ones with their code: "create pods 403"."""
        return [str(one) for one in self._audited(cluster) if one.resource != "events"]

    def events(self, cluster: str) -> list[str]:
        """Its writes of events about a cluster so far."""
        return [str(one) for one in self._audited(cluster) if one.resource == "events"]

    def _audited(self, cluster: str) -> list[Audited]:
        log = self.wire.endpoint.kubeconfig.with_name(AUDIT_LOG)
        writes = audited(log, self.wire.namespace)
        return [one for one in writes if NAME.split(one.name, maxsplit=1)[0] == cluster]

    async def create(self, body: Json) -> None:
        plural = f"{body['kind'].lower()}s.ray.io"
        (await self.wire.post(self.wire.path(plural), body)).ok(201)

    async def until(self, name: str, holds: Callable[[Json], bool], *, kind: str = "rayclusters") -> Json:
        """The object as soon as its status is as wanted."""
        return await self.wire.until(
            self.wire.path(f"{kind}.ray.io", name), lambda found: holds(found.get("status") or {}), seconds=SLOW
        )

    async def pods(self, cluster: str) -> dict[str, Json]:
        found = await self.wire.get(self.wire.path("pods"), labelSelector=f"ray.io/cluster={cluster}")
        return {pod["metadata"]["name"]: pod for pod in found.ok()["items"]}

    async def caught_up(self) -> None:
        """All that was told to the operator before has been looked at: a cluster that came after is up."""
        name = f"after{next(NUMBERS)}"
        await self.create(a_raycluster(name, workers=0, namespace=self.wire.namespace))
        await self.until(name, ready)


def ready(status: Json) -> bool:
    return bool(status.get("state") == "ready")


def condition(status: Json, type_: str) -> str | None:
    """The status of a condition, or None."""
    return next((one["status"] for one in status.get("conditions") or () if one["type"] == type_), None)


def told(status: Json, type_: str) -> str:
    """A condition's message."""
    return next(str(one["message"]) for one in status["conditions"] if one["type"] == type_)


def tally(writes: list[str]) -> dict[str, int]:
    """How many of each."""
    return {write: writes.count(write) for write in dict.fromkeys(sorted(writes))}


@pytest.fixture
async def operated(at_judge: Wire, tmp_path: Path) -> AsyncIterator[Operated]:
    """The operator works in a fresh namespace, under a service account with the reference's rights."""
    for definition in custom_resource_definitions():
        await at_judge.serve(definition)
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(await signed_in(at_judge)))
    async with operator_process(kubeconfig, f"--watch-namespace={at_judge.namespace}") as process:
        yield Operated(at_judge, process)


async def test_four_pods_cost_seven_writes_and_three_events_and_then_none(operated: Operated) -> None:
    async with a_kubelet(operated.wire):
        await operated.create(a_raycluster("r", workers=3, namespace=operated.wire.namespace))
        status = (await operated.until("r", ready))["status"]
        await operated.caught_up()  # and written down all it did for this one
        writes, events = operated.asked("r"), operated.events("r")
        await operated.caught_up()

    assert (status["readyWorkerReplicas"], len(await operated.pods("r"))) == (3, 4)
    assert len(writes) <= 7, tally(writes)
    assert len(events) <= 3, events
    assert (operated.asked("r"), operated.events("r")) == (writes, events)
    assert operated.process.complaints() == []


async def test_pods_of_a_deleted_cluster_are_collected_without_a_write_of_ours(operated: Operated) -> None:
    wire = operated.wire
    async with a_kubelet(wire):
        await operated.create(a_raycluster("r", workers=1, namespace=wire.namespace))
        await operated.until("r", ready)
        await operated.caught_up()
        before = operated.asked("r")
        (pod, *_) = await operated.pods("r")

        (await wire.delete(wire.path("rayclusters.ray.io", "r"))).ok()
        await wire.gone(wire.path("pods", pod), seconds=SLOW)
        await wire.gone(wire.path("services", "r-head-svc"), seconds=SLOW)
        await operated.caught_up()

    assert await operated.pods("r") == {}
    assert operated.asked("r") == before
    assert operated.process.complaints() == []


async def test_a_lost_ticket_costs_one_write_and_doubles_nothing(operated: Operated) -> None:
    """Somebody replaces the object and our annotation is gone (design W2)."""
    wire = operated.wire

    async def replace_a_worker() -> list[str]:
        """The writes that it took, but for status; the pod's successor has another name."""
        before, pods = operated.asked("r"), await operated.pods("r")
        victim = next(name for name in pods if "-small-" in name)
        (await wire.delete(wire.path("pods", victim))).ok()
        await operated.caught_up()
        await operated.until("r", lambda status: ready(status) and status.get("availableWorkerReplicas") == 2)
        await operated.caught_up()
        after = await operated.pods("r")
        assert len(after) == 3
        assert victim not in after
        return [one for one in operated.asked("r")[len(before) :] if one != "patch rayclusters/status"]

    async with a_kubelet(wire):
        await operated.create(a_raycluster("r", workers=2, namespace=wire.namespace))
        await operated.until("r", ready)
        with_ticket = await replace_a_worker()
        before = operated.asked("r")

        change = {"metadata": {"annotations": {TICKET: None}}}
        (await wire.patch(wire.path("rayclusters.ray.io", "r"), change)).ok()
        await operated.caught_up()
        pods, untouched = await operated.pods("r"), operated.asked("r")
        without_ticket = await replace_a_worker()

    assert (len(pods), untouched) == (3, before)
    assert with_ticket == without_ticket == ["patch rayclusters", "create pods"]
    assert operated.process.complaints() == []


async def changes_within(seconds: float, wire: Wire, path: str, version: str) -> list[tuple[str, Json]]:
    """What a watcher of a collection sees for that long."""
    changes = []
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), wire.watch(path, resourceVersion=version) as events:
            events.seconds = 2 * seconds
            while True:
                changes.append(await events.next())
    return changes


@pytest.mark.spec("raycluster:E31")
async def test_a_full_quota_is_asked_ever_more_seldom_until_it_is_raised(operated: Operated) -> None:
    """Two minutes under a real quota; 25 writes an hour would be fine."""
    wire = operated.wire
    quota, every = wire.path("resourcequotas", "none"), wire.path("rayclusters.ray.io")
    limit = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    (await wire.post(wire.path("resourcequotas"), limit)).ok(201)
    await wire.until(quota, lambda found: "hard" in (found.get("status") or {}))
    async with a_kubelet(wire):
        await operated.create(a_raycluster("r", workers=3, namespace=wire.namespace))
        refused = await operated.until("r", lambda status: condition(status, "ReplicaFailure") == "True")
        changes = await changes_within(120, wire, every, refused["metadata"]["resourceVersion"])
        asked = tally(operated.asked("r"))

        (await wire.patch(quota, {"spec": {"hard": {"pods": "10"}}})).ok()
        up = await wire.until(f"{every}/r", lambda found: ready(found.get("status") or {}), seconds=180)

    assert "exceeded quota: none" in told(refused["status"], "ReplicaFailure")
    assert changes == []  # reported once
    assert 5 <= asked.pop("create pods 403") <= 16  # 5 ms, doubled each time
    assert asked == {"create services": 1, "patch rayclusters": 1, "patch rayclusters/status": 1}
    assert len(operated.events("r")) <= 6
    assert condition(up["status"], "ReplicaFailure") is None
    assert len(await operated.pods("r")) == 4


async def test_kubectl_shows_the_references_columns_filled(operated: Operated) -> None:
    wire = operated.wire
    async with a_kubelet(wire):
        await operated.create(a_raycluster("r", workers=3, namespace=wire.namespace))
        await operated.until("r", ready)
    await operated.create(a_rayjob("train", workers=1, namespace=wire.namespace))
    job = await operated.until(
        "train", lambda status: status.get("jobDeploymentStatus") == "Initializing", kind="rayjobs"
    )

    clusters = columns((await wire.kubectl("get", "raycluster", "r")).ok())
    jobs = columns((await wire.kubectl("get", "rayjob")).ok())

    assert {name: value for name, value in clusters.items() if name != "AGE"} == {
        "NAME": "r",
        "DESIRED WORKERS": "3",
        "AVAILABLE WORKERS": "3",
        "CPUS": "5",
        "MEMORY": "7Gi",
        "GPUS": "0",
        "STATUS": "ready",
    }
    assert {name: value for name, value in jobs.items() if name != "AGE"} == {
        "NAME": "train",
        "JOB STATUS": "",
        "DEPLOYMENT STATUS": "Initializing",
        "RAY CLUSTER NAME": job["status"]["rayClusterName"],
        "START TIME": job["status"]["startTime"],
        "END TIME": "",
    }


def columns(table: str) -> dict[str, str]:
    """Column -> value of a table with one row, as kubectl prints it: columns begin where their heads do."""
    head, row = table.splitlines()
    starts = [match.start() for match in re.finditer(r"(?:^|(?<=\s{2}))\S", head)]
    ends = [*starts[1:], max(len(head), len(row))]
    return {head[a:b].strip(): row[a:b].strip() for a, b in zip(starts, ends, strict=True)}
