"""What is kept of one look for the next, for every kind."""

from __future__ import annotations

import json
from typing import Any

from api.core import PODS
from controller.ray.looking import Views
from controller.ray.raycluster.seen import PodView
from controller.runtime.cache.record import StoredRecord, Words, record_of


def a_record(name: str, version: int, phase: str = "Running", **metadata: Any) -> StoredRecord:
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": str(version)} | metadata
    body = {"kind": "Pod", "metadata": metadata, "status": {"phase": phase}}
    return record_of(PODS, json.dumps(body).encode(), Words())


def test_of_pods_that_did_not_change_the_views_are_those_of_the_last_look() -> None:
    """And what did change is seen: a pod that runs now, one that came, one that took the name of another."""
    views = Views(PodView.of)
    before = views.of([a_record("a", 1), a_record("b", 2, "Pending"), a_record("c", 3)])

    after = views.of([a_record("a", 1), a_record("b", 4), a_record("c", 3, "Failed", uid="another"), a_record("d", 5)])

    assert after[0] is before[0]
    assert [one.phase for one in after] == ["Running", "Running", "Failed", "Running"]
    assert [one.name for one in after] == ["a", "b", "c", "d"]


def test_a_pod_that_was_not_in_the_last_look_is_not_kept() -> None:
    """However many pods a cluster has had, it keeps those that it has."""
    views = Views(PodView.of)
    (first,) = views.of([a_record("a", 1)])
    views.of([])

    (again,) = views.of([a_record("a", 1)])

    assert again == first
    assert again is not first
