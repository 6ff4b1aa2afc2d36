"""Which changes wake a RayService."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from api.core import PODS, SERVICES
from api.meta import Json, Ref, Resource
from api.v1 import wire
from controller.ray.rayservice.controller import sources
from controller.runtime.cache.record import StoredRecord, Words, record_of
from controller.runtime.cache.store import Delta, Kind

WEB = Ref("RayService", "default", "web")


def a_pod(*, version: int = 1, labels: Json | None = None, status: Json | None = None, **metadata: Any) -> StoredRecord:
    labels = {wire.LABEL_CLUSTER: "web-a", wire.LABEL_NODE_TYPE: "worker", wire.LABEL_SERVE: "true"} | (labels or {})
    body = {
        "kind": "Pod",
        "metadata": {"name": "w", "namespace": "default", "uid": "u", "resourceVersion": str(version), "labels": labels}
        | metadata,
        "spec": {"containers": [{"name": "ray"}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1"} | (status or {}),
    }
    return record_of(PODS, json.dumps(body).encode(), Words())


def woken(old: StoredRecord | None, new: StoredRecord | None) -> list[Ref]:
    def owner_of(pod: StoredRecord) -> Iterable[Ref]:
        return [WEB] if pod.labels[wire.LABEL_CLUSTER] == "web-a" else []

    kind = Kind.UPDATED if old and new else Kind.ADDED if new else Kind.DELETED
    (source,) = [one for one in sources(owner_of, lambda _: ()) if one.resource == PODS]
    return list(source.keys(Delta(kind, old, new)))


def ready(status: str) -> Json:
    return {"conditions": [{"type": "Ready", "status": status}]}


@pytest.mark.parametrize(
    "change",
    [
        {"status": {"startTime": "2026-01-01T12:00:00Z"}},
        {"status": {"conditions": [{"type": "PodScheduled", "status": "True"}]}},
        {"status": {"containerStatuses": [{"name": "ray", "restartCount": 0, "ready": True}]}},
        {"annotations": {"seen": "true"}},
    ],
)
def test_a_pod_that_changes_in_what_is_not_looked_at_wakes_nobody(change: Json) -> None:
    """A worker that comes up brings half a dozen such changes; each would be a pass over the whole service."""
    assert woken(a_pod(), a_pod(version=2, **change)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"status": ready("True")},
        {"status": {"podIP": "10.0.0.2"}},
        {"status": {"phase": "Failed"}},
        {"status": {"containerStatuses": [{"name": "ray", "restartCount": 1}]}},
        {"labels": {wire.LABEL_SERVE: "false"}},
        {"labels": {wire.LABEL_CLUSTER: "another"}},
        {"deletionTimestamp": "2026-01-01T12:00:00Z"},
    ],
)
def test_a_pod_that_takes_requests_now_or_no_more_wakes_its_service(change: Json) -> None:
    assert woken(a_pod(), a_pod(version=2, **change)) == [WEB]


def test_a_pod_that_comes_or_goes_wakes_its_service_and_another_s_wakes_nobody() -> None:
    other = a_pod(labels={wire.LABEL_CLUSTER: "another"})

    assert woken(None, a_pod()) == woken(a_pod(), None) == [WEB]
    assert woken(None, other) == woken(other, a_pod(version=2, labels={wire.LABEL_CLUSTER: "other"})) == []


def a_child(resource: Resource, labels: Json, *owners: tuple[str, str], version: int = 1) -> StoredRecord:
    references = [
        {"apiVersion": "ray.io/v1", "kind": kind, "name": name, "uid": f"uid-{name}", "controller": True}
        for kind, name in owners
    ]
    metadata = {"name": "x", "namespace": "default", "uid": "u", "resourceVersion": str(version)}
    body = {"kind": resource.kind, "metadata": metadata | {"labels": labels, "ownerReferences": references}}
    return record_of(resource, json.dumps(body).encode(), Words())


ORIGIN = {wire.LABEL_ORIGIN_NAME: "web", wire.LABEL_ORIGIN_KIND: "RayService"}


@pytest.mark.spec("rayservice:E57")
@pytest.mark.parametrize(
    ("labels", "owners", "expected"),
    [
        ({}, [("RayService", "web")], [WEB]),
        (ORIGIN, [("RayService", "web")], [WEB]),
        (ORIGIN, [], [WEB]),
        (ORIGIN, [("RayJob", "train")], []),
        (ORIGIN | {wire.LABEL_ORIGIN_KIND: "RayJob"}, [], []),
        ({}, [], []),
    ],
)
@pytest.mark.parametrize("resource", [wire.RAY_CLUSTERS, SERVICES])
def test_every_change_of_a_cluster_or_a_service_wakes_the_one_that_controls_it_or_that_its_labels_name(
    resource: Resource, labels: Json, owners: list[tuple[str, str]], expected: list[Ref]
) -> None:
    old, new = (a_child(resource, labels, *owners, version=version) for version in (1, 2))
    (source,) = [one for one in sources(lambda _: (), lambda _: ()) if one.resource == resource]

    assert set(source.keys(Delta(Kind.UPDATED, old, new))) == set(expected)
    assert set(source.keys(Delta(Kind.DELETED, new, None))) == set(expected)
