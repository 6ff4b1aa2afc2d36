"""What of a pod wakes its RayCluster, and what can wait a second so that several changes make one look."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from api.core import PODS
from api.meta import Json, Ref
from controller.ray.podfields import PodFields
from controller.ray.raycluster.coming import Coming
from controller.ray.raycluster.controller import sources
from controller.ray.raycluster.fate import fate_of
from controller.ray.raycluster.seen import PodView
from controller.runtime.cache.record import StoredRecord, Words, record_of
from controller.runtime.cache.store import Delta, Kind
from controller.runtime.handlers import LATER, Source

OWNER = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "name": "r", "uid": "8f2a", "controller": True}
CLUSTER = Ref("RayCluster", "ns", "r")
AT_ONCE = timedelta(0)
RUNS: Json = {"running": {}}


def a_pod(metadata: Json | None = None, *, state: Json = RUNS, ready: str = "False", **status: Any) -> StoredRecord:
    """A pod that runs, and is not ready."""
    told = {
        "phase": "Running",
        "podIP": "10.1.0.7",
        "conditions": [{"type": "Ready", "status": ready}],
        "containerStatuses": [{"name": "ray", "state": state}],
        **status,
    }
    about = {"name": "p", "namespace": "ns", "uid": "u", "resourceVersion": "7", "ownerReferences": [OWNER]}
    pod = {"metadata": about | (metadata or {}), "spec": {"containers": [{"name": "ray"}]}, "status": told}
    return record_of(PODS, json.dumps(pod).encode(), Words(), msgspec.json.Decoder(PodFields).decode)


def of_pods(coming: Coming | None = None) -> Source:
    return next(one for one in sources((coming or Coming()).can_wait) if one.resource == PODS)


def becomes_ready(name: str) -> Delta:
    return Delta(Kind.UPDATED, a_pod({"name": name}), a_pod({"name": name}, ready="True"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (a_pod(podIP=""), a_pod()),
        (a_pod(phase="Pending"), a_pod()),
        (a_pod(phase="Pending", conditions=[]), a_pod(phase="Pending")),
        (a_pod(phase="Pending", state={"waiting": {"reason": "PodInitializing"}}), a_pod()),
        (a_pod(), a_pod(conditions=[{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}])),
    ],
    ids=["address", "runs", "not ready is said", "no longer waits", "why it is not ready"],
)
def test_what_is_only_counted_can_wait(before: StoredRecord, after: StoredRecord) -> None:
    """Each pod of a cluster takes these steps as it comes up; its counts may lag for longer than that."""
    delta = Delta(Kind.UPDATED, before, after)

    assert list(of_pods().keys(delta)) == [CLUSTER]
    assert of_pods().delay(delta) == LATER


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (a_pod(ready="True"), a_pod()),
        (a_pod(phase="Pending", conditions=[]), a_pod(conditions=[])),
        (a_pod(), a_pod(phase="Failed")),
        (a_pod(), a_pod(phase="Succeeded")),
        (a_pod(), a_pod(state={"terminated": {"exitCode": 1}})),
        (a_pod(), a_pod({"deletionTimestamp": "2026-01-01T00:00:00Z"})),
        (a_pod(), a_pod({"labels": {"ray.io/group": "other"}})),
        (a_pod(), a_pod({"annotations": {"a": "b"}})),
    ],
    ids=[
        *("no longer ready", "runs, and readiness is not said", "failed", "succeeded"),
        *("its container ended", "goes", "labels", "annotations"),
    ],
)
def test_what_may_decide_something_cannot_wait(before: StoredRecord, after: StoredRecord) -> None:
    """It may lead to a write: a pod that is replaced, a cluster that is ready."""
    assert of_pods().delay(Delta(Kind.UPDATED, before, after)) == AT_ONCE


@pytest.mark.parametrize("phase", ["Pending", "Running", "Succeeded", "Failed", "Unknown"])
@pytest.mark.parametrize(
    "conditions", [[], *([{"type": "Ready", "status": one}] for one in ("True", "False", "Unknown"))]
)
def test_a_pod_runs_well_by_what_wakes_as_by_what_decides(phase: str, conditions: list[Json]) -> None:
    """Bytes are read for the one, a decoded pod for the other."""
    pod = a_pod(phase=phase, conditions=conditions)

    assert fate_of(pod.body).runs_well == PodView.of(pod.object()).runs_well


@pytest.mark.parametrize(
    "told",
    [
        {"phase": None},
        {"conditions": None},
        {"containerStatuses": None},
        {"containerStatuses": [{"name": "ray"}]},
        {"containerStatuses": [{"name": "ray", "state": {"terminated": None}}]},
    ],
)
def test_a_pod_that_lacks_something_wakes_all_the_same(told: Json) -> None:
    """Null and nothing said are alike."""
    delta = Delta(Kind.UPDATED, a_pod(**{"phase": "Pending", **told}), a_pod())

    assert of_pods().delay(delta) == LATER


@pytest.mark.parametrize(
    "delta", [Delta(Kind.ADDED, None, a_pod()), Delta(Kind.DELETED, a_pod(), None)], ids=["comes", "is gone"]
)
def test_a_pod_that_comes_or_goes_cannot_wait(delta: Delta) -> None:
    """A slot counts as used once a pass has seen its pod (design W2)."""
    assert of_pods().delay(delta) == AT_ONCE


def test_of_pods_that_become_ready_only_the_last_cannot_wait(a: Any) -> None:
    """With it the cluster is ready; the others are counted until then."""
    coming = Coming()
    coming.saw(CLUSTER, [a.pod(name, ready=False) for name in ("p", "q", "r")] + [a.pod("s")])
    source = of_pods(coming)

    assert [source.delay(becomes_ready(name)) for name in ("q", "p", "r")] == [LATER, LATER, AT_ONCE]


def test_a_pod_that_becomes_ready_cannot_wait_where_no_pass_knows_of_others(a: Any) -> None:
    """Of what this process has not looked at, or what is up but for this pod."""
    coming = Coming()
    assert of_pods(coming).delay(becomes_ready("p")) == AT_ONCE

    coming.saw(CLUSTER, [a.pod("p", ready=False), a.pod("q")])
    assert of_pods(coming).delay(becomes_ready("p")) == AT_ONCE


def test_nobody_waits_for_a_pod_that_will_not_come(a: Any) -> None:
    """It failed, or its cluster is gone."""
    coming = Coming()
    coming.saw(CLUSTER, [a.pod("p", ready=False), a.pod("q", phase="Failed")])
    assert of_pods(coming).delay(becomes_ready("p")) == AT_ONCE

    coming.saw(CLUSTER, [a.pod("p", ready=False), a.pod("q", ready=False)])
    coming.forget(CLUSTER)
    assert of_pods(coming).delay(becomes_ready("p")) == AT_ONCE


def test_a_pod_that_becomes_ready_as_its_container_ended_cannot_wait(a: Any) -> None:
    """What comes along with it may decide something."""
    coming = Coming()
    coming.saw(CLUSTER, [a.pod("p", ready=False), a.pod("q", ready=False)])
    both = Delta(Kind.UPDATED, a_pod(), a_pod(ready="True", state={"terminated": {"exitCode": 0}}))

    assert of_pods(coming).delay(both) == AT_ONCE


@pytest.mark.parametrize("step", ["address", "runs", "says that it is not ready"])
def test_while_pods_come_up_a_pass_makes_nothing_of_what_can_wait(a: Any, step: str) -> None:
    """Neither a write nor a word: looked at sooner, it would have been for nothing."""
    world = a.world(a.body(a.group(2)))
    world.settle()
    before = len(world.writes), world.status_writes, len(world.events)
    for pod in world.pods.values():
        pod["status"] |= {
            "address": {"podIP": "10.1.0.7"},
            "runs": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]},
            "says that it is not ready": {"conditions": [{"type": "Ready", "status": "False"}]},
        }[step]
    world.wait(5)
    world.settle()

    assert (len(world.writes), world.status_writes, len(world.events)) == before
