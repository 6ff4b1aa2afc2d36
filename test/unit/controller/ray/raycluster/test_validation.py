"""A spec that was judged once is not judged in each pass, and a change of whatever is judged is never missed."""

from __future__ import annotations

from typing import Any

import pytest

from api.v1 import wire
from api.v1.raycluster import RayCluster
from controller.ray.options import Options
from controller.ray.raycluster.seen import Memory, Seen
from controller.ray.raycluster.validation import refusal

BOTH_TRUE = {"conditions": [{"type": one, "status": "True"} for one in ("RayClusterSuspending", "RayClusterSuspended")]}


def a_look(*, generation: int = 1, uid: str = "u", good: bool = True, metadata: Any = None, status: Any = None) -> Seen:
    """A cluster as seen; one that is not good has no container in its head."""
    template = {"spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.52.0"}] if good else []}}
    body = {
        "metadata": {"name": "r", "namespace": "ns", "uid": uid, "generation": generation} | (metadata or {}),
        "spec": {"headGroupSpec": {"template": template}, "upgradeStrategy": {"type": "Recreate"}},
        "status": status or {},
    }
    return Seen(object=body, cluster=RayCluster.from_json(body))


@pytest.fixture
def memory() -> Memory:
    """Of a cluster that was found good."""
    look = a_look()
    assert refusal(look, Options()) is None
    return Memory.after(look).accepting(look)


def test_what_was_accepted_is_not_judged_again(memory: Memory) -> None:
    """A wrong spec under the same generation, which no server tells, shows that nobody looked; nor later."""
    for _ in range(3):
        look = memory.recall(a_look(good=False))
        memory = Memory.after(look)
        assert refusal(look, Options()) is None


@pytest.mark.parametrize(
    "changed",
    [
        a_look(generation=2, good=False),
        a_look(metadata={"labels": {wire.LABEL_ORIGIN_KIND: "RayJob"}}),
        a_look(status=BOTH_TRUE),
        a_look(uid="another", good=False),
    ],
    ids=["spec", "label", "status", "namesake"],
)
def test_every_change_that_matters_is_judged(memory: Memory, changed: Seen) -> None:
    """The status is looked at in each pass, since its changes count as no new generation."""
    assert refusal(memory.recall(changed), Options()) is not None


def test_a_changed_annotation_is_judged(memory: Memory) -> None:
    """Some of what a spec may say stands there."""
    look = memory.recall(a_look(metadata={"annotations": {"ray.io/ft-enabled": "true"}}))

    assert not look.accepted


def test_what_was_refused_is_judged_in_each_pass() -> None:
    """It says so each time."""
    memory = Memory()
    for _ in range(3):
        look = memory.recall(a_look(good=False))
        memory = Memory.after(look)
        assert refusal(look, Options()) is not None
