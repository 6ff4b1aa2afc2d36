"""A finalizer comes and goes without taking another's along."""

from __future__ import annotations

from typing import Any

import pytest

from api.core import PODS
from api.meta import Json
from controller.runtime.diff import merged
from controller.runtime.finalizers import finalizer_added, finalizer_removed
from controller.runtime.plan import MergePatch

OURS, THEIRS = "manta.io/ours", "example.com/theirs"


def held_by(*names: str, **metadata: Any) -> Json:
    return {
        "metadata": {"name": "a", "namespace": "ns", "uid": "u", "resourceVersion": "7", "finalizers": list(names)}
        | metadata
    }


def after(seen: Json, patch: MergePatch | None) -> list[str]:
    """Who holds the object once the server took the patch, which must be for exactly what was seen."""
    assert patch is not None
    assert (patch.namespace, patch.name, patch.uid, patch.resource_version) == ("ns", "a", "u", "7")
    holding: list[str] = merged(seen, patch.body)["metadata"]["finalizers"]
    return holding


@pytest.mark.spec("runtime:FIN-1")
def test_it_is_added_beside_the_others_and_once() -> None:
    """Over the version that was read: what somebody added meanwhile makes it a conflict."""
    assert after(held_by(THEIRS), finalizer_added(PODS, held_by(THEIRS), OURS)) == [THEIRS, OURS]
    assert finalizer_added(PODS, held_by(THEIRS, OURS), OURS) is None


def test_the_first_one_makes_the_list() -> None:
    """Objects without finalizers have no such field."""
    seen = held_by()
    del seen["metadata"]["finalizers"]

    assert after(seen, finalizer_added(PODS, seen, OURS)) == [OURS]


@pytest.mark.spec("runtime:FIN-2")
def test_it_is_removed_alone_and_never_added_again() -> None:
    """Others hold on; and where it is not, nothing is written."""
    assert after(held_by(OURS, THEIRS), finalizer_removed(PODS, held_by(OURS, THEIRS), OURS)) == [THEIRS]
    assert finalizer_removed(PODS, held_by(THEIRS), OURS) is None


@pytest.mark.spec("runtime:FIN-3")
def test_what_is_being_deleted_gets_no_new_one_but_may_lose_its_own() -> None:
    """The API server refuses the one and waits for the other."""
    going = held_by(OURS, deletionTimestamp="2026-01-01T00:00:00Z")

    assert finalizer_added(PODS, going, THEIRS) is None
    assert after(going, finalizer_removed(PODS, going, OURS)) == []
