"""The hash of a spec."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from controller.ray.desired.hashes import goal_hash, spec_hash

SPEC: dict[str, Any] = {
    "rayVersion": "2.52.0",
    "headGroupSpec": {"template": {"spec": {"containers": [{"name": "ray", "image": "a"}]}}},
    "workerGroupSpecs": [
        {
            "groupName": "g",
            "replicas": 1,
            "minReplicas": 0,
            "maxReplicas": 5,
            "template": {"spec": {"containers": [{"name": "ray", "image": "a"}]}},
        }
    ],
}


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    spec = deepcopy(SPEC)
    *way, last = path
    place: Any = spec
    for step in way:
        place = place[step]
    place[last] = to
    return spec


def pod(*, metadata: Any = None, spec: Any = None, container: Any = None) -> dict[str, Any]:
    """The SPEC with more in its head's template."""
    template = deepcopy(SPEC["headGroupSpec"]["template"])
    template["spec"] |= spec or {}
    template["spec"]["containers"][0] |= container or {}
    return changed("headGroupSpec", "template", to=template | ({} if metadata is None else {"metadata": metadata}))


def test_a_hash_is_32_characters_of_base32hex() -> None:
    found = spec_hash(SPEC)

    assert len(found) == 32
    assert set(found) <= set("0123456789ABCDEFGHIJKLMNOPQRSTUV")


@pytest.mark.spec("raycluster:E86")
@pytest.mark.parametrize(
    "same",
    [
        changed("workerGroupSpecs", 0, "replicas", to=4),
        changed("workerGroupSpecs", 0, "minReplicas", to=2),
        changed("workerGroupSpecs", 0, "maxReplicas", to=9),
        changed("workerGroupSpecs", 0, "scaleStrategy", to={"workersToDelete": ["a"]}),
        changed("workerGroupSpecs", 0, "scaleStrategy", to={}),
        changed("workerGroupSpecs", 0, "template", "spec", "tolerations", to=[{"key": "x"}]),
        changed("workerGroupSpecs", 0, "template", "spec", "schedulingGates", to=[{"name": "x"}]),
        changed("headGroupSpec", "template", "spec", "tolerations", to=[{"key": "x"}]),
        changed("headGroupSpec", "rayStartParams", to={}),
        changed("upgradeStrategy", to={"type": "Recreate"}),
    ],
)
def test_scaling_and_placing_are_no_upgrade(same: dict[str, Any]) -> None:
    assert spec_hash(same) == spec_hash(SPEC)


@pytest.mark.spec("raycluster:E86")
@pytest.mark.parametrize(
    "other",
    [
        changed("rayVersion", to="2.53.0"),
        changed("suspend", to=False),
        changed("workerGroupSpecs", 0, "template", "spec", "containers", 0, "image", to="b"),
        changed("headGroupSpec", "template", "spec", "containers", 0, "image", to="b"),
        changed("headGroupSpec", "rayStartParams", to={"num-cpus": "1"}),
        changed("workerGroupSpecs", 0, "groupName", to="h"),
        changed("workerGroupSpecs", to=[]),
    ],
)
def test_everything_else_is_one(other: dict[str, Any]) -> None:
    assert spec_hash(other) != spec_hash(SPEC)


def test_the_order_of_members_does_not_count() -> None:
    assert spec_hash(dict(reversed(SPEC.items()))) == spec_hash(SPEC)


def test_hashing_leaves_the_spec_alone() -> None:
    spec = deepcopy(SPEC)

    spec_hash(spec)

    assert spec == SPEC


# The hash by which a RayService knows its goal


def sized(cpu: Any, memory: Any) -> dict[str, Any]:
    return changed(
        "headGroupSpec",
        "template",
        "spec",
        "containers",
        to=[{"name": "ray", "image": "a", "resources": {"limits": {"cpu": cpu, "memory": memory}}}],
    )


@pytest.mark.spec("rayservice:E13", "rayservice:E16")
@pytest.mark.parametrize(
    "same",
    [
        changed("workerGroupSpecs", 0, "replicas", to=4),
        changed("workerGroupSpecs", 0, "minReplicas", to=2),
        changed("workerGroupSpecs", 0, "maxReplicas", to=9),
        changed("workerGroupSpecs", 0, "scaleStrategy", to={"workersToDelete": ["a"]}),
        changed("workerGroupSpecs", 0, "template", "spec", "tolerations", to=[{"key": "x"}]),
        changed("headGroupSpec", "template", "spec", "schedulingGates", to=[{"name": "x"}]),
        changed("upgradeStrategy", to={"type": "Recreate"}),
        changed("suspend", to=True),
    ],
)
def test_what_others_may_change_is_no_new_goal(same: dict[str, Any]) -> None:
    assert goal_hash(same) == goal_hash(SPEC)


@pytest.mark.spec("rayservice:E22")
@pytest.mark.parametrize(
    "same",
    [
        changed("workerGroupSpecs", 0, "numOfHosts", to=1),
        changed("workerGroupSpecs", 0, "priority", to=0),
        changed("headGroupSpec", "rayStartParams", to={}),
        changed("fieldOfTomorrow", to="default"),
        changed("workerGroupSpecs", 0, "fieldOfTomorrow", to=3),
        changed("headServiceAnnotations", to={}),
        changed("workerGroupSpecs", 0, "suspend", to=None),
    ],
)
def test_defaults_and_fields_of_a_newer_schema_are_no_new_goal(same: dict[str, Any]) -> None:
    assert goal_hash(same) == goal_hash(SPEC)


@pytest.mark.spec("rayservice:E21")
def test_a_quantity_may_be_spelt_otherwise_and_keys_stand_in_any_order() -> None:
    assert goal_hash(sized("1000m", "1024Mi")) == goal_hash(sized(1, "1Gi")) == goal_hash(sized("1", "1Gi"))
    assert goal_hash(sized("2", "1Gi")) != goal_hash(sized("1", "1Gi"))
    assert goal_hash(dict(reversed(SPEC.items()))) == goal_hash(SPEC)


@pytest.mark.spec("rayservice:E28")
@pytest.mark.parametrize(
    "same",
    [
        pod(metadata={}),
        pod(metadata={"labels": {}}),
        pod(spec={"volumes": [], "hostNetwork": False, "nodeName": ""}),
        pod(container={"resources": {}, "env": [], "tty": False}),
        pod(container={"resources": {"limits": {}}}),
    ],
)
def test_what_the_reference_writes_of_its_own_accord_is_no_new_goal(same: dict[str, Any]) -> None:
    """Its cluster is compared with the goal by this hash when it is taken over."""
    assert goal_hash(same) == goal_hash(pod())


@pytest.mark.parametrize(
    "other",
    [
        pod(spec={"automountServiceAccountToken": False}),
        pod(spec={"securityContext": {}}),
        pod(metadata={"labels": {"a": ""}}),
        pod(container={"env": [{"name": "A", "value": ""}]}),
        changed("headGroupSpec", "rayStartParams", to={"block": ""}),
    ],
)
def test_what_means_something_though_it_is_empty_is_seen(other: dict[str, Any]) -> None:
    assert goal_hash(other) != goal_hash(SPEC) == goal_hash(pod())


@pytest.mark.parametrize(
    "other",
    [
        changed("rayVersion", to="2.53.0"),
        changed("workerGroupSpecs", 0, "groupName", to="h"),
        changed("workerGroupSpecs", 0, "numOfHosts", to=2),
        changed("workerGroupSpecs", 0, "suspend", to=True),
        changed("headGroupSpec", "template", "spec", "containers", 0, "env", to=[{"name": "A", "value": ""}]),
        changed("enableInTreeAutoscaling", to=True),
        changed("managedBy", to="ray.io/kuberay-operator"),
        changed("workerGroupSpecs", to=[]),
    ],
)
def test_everything_else_is(other: dict[str, Any]) -> None:
    assert goal_hash(other) != goal_hash(SPEC)


def test_hashing_changes_nothing() -> None:
    before = deepcopy(SPEC)
    goal_hash(SPEC)

    assert before == SPEC
