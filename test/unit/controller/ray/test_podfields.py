"""What is kept of a pod is all that anybody reads of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from api.core import PODS
from controller.ray.dashboard.runs import head_run
from controller.ray.podfields import PodFields
from controller.ray.raycluster.seen import PodView as ClusterPodView
from controller.ray.rayservice.seen import PodView as ServicePodView
from controller.runtime.cache.record import StoredRecord, Words, record_of

Json = dict[str, Any]

POD: Json = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "c-head",
        "generateName": "c-",
        "namespace": "ns",
        "uid": "u",
        "resourceVersion": "7",
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"ray.io/cluster": "c", "ray.io/node-type": "head", "ray.io/group": "headgroup"},
        "annotations": {"manta.ray.io/slot": "headgroup/0", "manta.ray.io/slot-ticket": "t"},
        "ownerReferences": [{"apiVersion": "ray.io/v1", "kind": "RayCluster", "name": "c", "uid": "x"}],
        "managedFields": [{"manager": "m"}],
    },
    "spec": {
        "nodeName": "n",
        "restartPolicy": "Never",
        "volumes": [{"name": "shared-mem", "emptyDir": {"medium": "Memory"}}],
        "containers": [
            {
                "name": "ray-head",
                "image": "rayproject/ray:2.52.0",
                "args": ["ulimit -n 65536; ray start --head"],
                "ports": [{"name": "serve", "containerPort": 8001, "protocol": "TCP"}],
                "readinessProbe": {"exec": {"command": ["wget", "http://localhost:8000/-/healthz"]}},
            },
            {"name": "autoscaler"},
        ],
    },
    "status": {
        "phase": "Running",
        "hostIP": "10.0.0.1",
        "podIP": "10.1.2.3",
        "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z"},
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "ray-head"},
        ],
        "containerStatuses": [
            {
                "name": "ray-head",
                "image": "rayproject/ray:2.52.0",
                "imageID": "sha256:1",
                "containerID": "containerd://1",
                "ready": False,
                "restartCount": 3,
                "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "startedAt": "2026-01-01T00:00:02Z"}},
                "lastState": {"terminated": {"exitCode": 1}},
            }
        ],
    },
}


def recorded(pod: Json) -> StoredRecord:
    return record_of(PODS, msgspec.json.encode(pod), Words(), msgspec.json.Decoder(PodFields).decode)


class Watched(dict[str, Any]):
    """An object that notes the paths at which it is read, also those at which there is nothing."""

    def __init__(self, content: Json, read: set[str], path: str = "") -> None:
        super().__init__({key: watched(value, read, f"{path}.{key}") for key, value in content.items()})
        self.read, self.path = read, path

    def __getitem__(self, key: str) -> Any:
        self.read.add(f"{self.path}.{key}")
        return super().__getitem__(key)

    def get(self, key: str, otherwise: Any = None) -> Any:
        self.read.add(f"{self.path}.{key}")
        return super().get(key, otherwise)

    def __contains__(self, key: object) -> bool:
        self.read.add(f"{self.path}.{key}")
        return super().__contains__(key)

    def __iter__(self) -> Iterator[str]:
        self.read.add(f"{self.path}.*")
        return super().__iter__()


def watched(value: Any, read: set[str], path: str) -> Any:
    if isinstance(value, dict):
        return Watched(value, read, path)
    return [watched(one, read, path) for one in value] if isinstance(value, list) else value


def look_at_cluster_pod(pod: Json) -> object:
    view = ClusterPodView.of(pod)
    ready = view.ready or {}
    states = [(one["name"], one.get("state") or {}) for one in view.statuses]
    stopped = [(name, state.get("waiting"), state.get("terminated")) for name, state in states]
    about = (view.name, view.uid, view.node_type, view.group, view.phase, view.deleting, view.slot, view.ticket)
    health = (view.is_ready, view.runs_well, view.terminated, view.ip, view.restart_policy, view.ray_container)
    return about, health, stopped, (ready.get("status"), ready.get("reason"), ready.get("message")), view.annotations


LOOKS = [look_at_cluster_pod, ServicePodView.of, head_run]


@pytest.mark.spec("runtime:MEM-5")
@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("phase", ["Running", "Pending"])
def test_whoever_looks_at_a_pod_sees_the_same_in_what_is_kept(look: Callable[[Json], object], phase: str) -> None:
    """Each of the kinds; and of the deletion that is under way."""
    metadata = {**POD["metadata"], "deletionTimestamp": "2026-01-01T01:00:00Z"}
    pod = POD | {"status": POD["status"] | {"phase": phase}, "metadata": metadata}

    assert look(recorded(pod).object()) == look(pod)


@pytest.mark.parametrize("look", LOOKS)
def test_nobody_reads_what_is_left_out(look: Callable[[Json], object]) -> None:
    """Where there is something to be read, and where there is not: what is absent in this pod may stand in another."""
    read: set[str] = set()

    look(Watched(POD, read))

    assert {path for path in read if not path.startswith(".metadata")} <= KEPT


KEPT = {
    ".spec",
    ".spec.restartPolicy",
    ".spec.containers",
    *(f".spec.containers.{name}" for name in ("name", "ports", "readinessProbe")),
    *(f".spec.containers.ports.{name}" for name in ("name", "containerPort")),
    ".status",
    *(f".status.{name}" for name in ("phase", "podIP", "conditions", "containerStatuses")),
    *(f".status.conditions.{name}" for name in ("type", "status", "reason", "message")),
    *(f".status.containerStatuses.{name}" for name in ("name", "state", "restartCount")),
    *(f".status.containerStatuses.state.{name}" for name in ("waiting", "terminated")),
}


def test_that_a_container_runs_says_its_pod_and_how_it_stopped_its_state() -> None:
    """Since when it runs is nobody's concern; as much as that is kept of a pod that does."""
    [status] = POD["status"]["containerStatuses"]
    runs = status | {"state": {"running": {"startedAt": "2026-01-01T00:00:02Z"}}}

    kept = recorded(POD | {"status": POD["status"] | {"containerStatuses": [runs]}}).object()

    assert kept["status"]["containerStatuses"] == [{"name": "ray-head", "state": {}, "restartCount": 3}]


def test_most_of_a_pod_is_left_out() -> None:
    """Its template, managed fields, and what comes and goes while it starts."""
    kept = recorded(POD).object()

    assert kept["spec"]["containers"][1] == {"name": "autoscaler"}
    assert [one["type"] for one in kept["status"]["conditions"]] == ["Ready"]
    assert not {"volumes", "nodeName"} & kept["spec"].keys()


@pytest.mark.parametrize("missing", [{"spec": None}, {"status": None}, {"status": {"conditions": None}}])
def test_a_pod_that_lacks_something_is_kept_as_well(missing: Json) -> None:
    """A new one has no status to speak of."""
    assert recorded(POD | missing).object()["metadata"]["name"] == "c-head"
