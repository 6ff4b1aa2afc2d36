"""What the API server is told: failure policies, and CEL conditions that decide whether we are asked at all."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from cel_expr_python import cel

from api.meta import Json
from webhooks.kinds import DOORS
from webhooks.registration import Registration, covers, mutating, operator_account, service, validating

HERE = Registration(namespace="ray-system", account=operator_account("ray-system"))
ENVIRONMENT = cel.NewEnv(
    variables={"object": cel.Type.DYN, "oldObject": cel.Type.DYN, "request": cel.Type.DYN}, extensions=[]
)


def a_cluster(**spec: Any) -> Json:
    groups = [
        {"groupName": "a", "replicas": 1, "minReplicas": 0, "template": {"spec": {"x": [1]}}},
        {"groupName": "b", "replicas": 2, "scaleStrategy": {"workersToDelete": ["w"]}},
    ]
    return {"metadata": {"name": "c"}, "spec": {"rayVersion": "2.52.0", "workerGroupSpecs": groups} | spec}


def changed(path: str, value: Any, base: Json | None = None) -> Json:
    """The object with something set at a dotted path."""
    result = copy.deepcopy(base or a_cluster())
    node: Any = result
    *parents, last = path.split(".")
    for step in parents:
        node = node[int(step)] if isinstance(node, list) else node.setdefault(step, {})
    if isinstance(node, list):
        node[int(last)] = value
    elif value is None:
        node.pop(last)
    else:
        node[last] = value
    return result


def asked(kind: str, new: Json, old: Json | None, user: str = "jane", how: Registration = HERE) -> bool:
    """Would the API server call us? All conditions must hold, and none may fail."""
    names = [door.validating_name for door in DOORS if door.resource.kind == kind]
    (webhook,) = [one for one in validating(how)["webhooks"] if one["name"] in names]
    data = {"object": new, "oldObject": old, "request": {"userInfo": {"username": user}}}
    results = [ENVIRONMENT.compile(one["expression"]).eval(data=data).value() for one in webhook["matchConditions"]]
    assert all(isinstance(one, bool) for one in results), results
    return all(results)


@pytest.mark.spec("runtime:WH-10")
@pytest.mark.parametrize(("replicas", "policy"), [(1, "Ignore"), (2, "Fail"), (3, "Fail")])
def test_one_replica_must_not_block_its_own_rescheduling(replicas: int, policy: str) -> None:
    how = Registration(namespace="ray-system", replicas=replicas)

    assert {one["failurePolicy"] for one in validating(how)["webhooks"]} == {policy}
    assert {one["failurePolicy"] for one in mutating(how)["webhooks"]} == {"Ignore"}


@pytest.mark.spec("runtime:WH-10", "runtime:WH-6")
def test_what_is_declared_of_each_webhook() -> None:
    for configuration in (validating(HERE), mutating(HERE)):
        for webhook, door in zip(configuration["webhooks"], DOORS, strict=True):
            assert webhook["sideEffects"] == "None"
            assert webhook["matchPolicy"] == "Equivalent"
            assert webhook["timeoutSeconds"] == 5
            assert webhook["admissionReviewVersions"] == ["v1"]
            assert webhook["namespaceSelector"] == webhook["objectSelector"] == {}
            assert webhook["rules"][0]["resources"] == [door.resource.plural]  # and no subresource
            assert webhook["rules"][0]["operations"] == ["CREATE", "UPDATE"]
            assert len(webhook["matchConditions"]) <= 64
    assert {one["reinvocationPolicy"] for one in mutating(HERE)["webhooks"]} == {"IfNeeded"}


def test_they_are_reached_by_the_service_of_their_namespace_or_by_a_url() -> None:
    by_service = validating(HERE)["webhooks"][0]["clientConfig"]
    by_url = mutating(Registration(url="https://127.0.0.1:9443/", bundle=b"ca"))["webhooks"][0]["clientConfig"]

    assert by_service["service"] == {
        "name": service()["metadata"]["name"],
        "namespace": "ray-system",
        "path": "/validate-ray-io-v1-raycluster",
        "port": service()["spec"]["ports"][0]["port"],
    }
    assert by_url == {"url": "https://127.0.0.1:9443/mutate-ray-io-v1-raycluster", "caBundle": "Y2E="}


def test_an_operator_of_some_namespaces_is_asked_about_those_alone() -> None:
    selector = validating(Registration(namespaces=("a", "b")))["webhooks"][0]["namespaceSelector"]

    assert selector["matchExpressions"] == [
        {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["a", "b"]}
    ]


@pytest.mark.parametrize("kind", [door.resource.kind for door in DOORS])
def test_a_new_object_is_asked_about_and_the_operator_itself_is_not(kind: str) -> None:
    assert asked(kind, a_cluster(), None)
    assert not asked(kind, a_cluster(), None, user="system:serviceaccount:ray-system:kuberay-operator")
    assert asked(kind, a_cluster(), None, user="system:serviceaccount:other:kuberay-operator")
    assert asked(kind, a_cluster(), None, how=Registration())


@pytest.mark.parametrize("kind", [door.resource.kind for door in DOORS])
def test_deletion_is_never_held_up(kind: str) -> None:
    going = changed("metadata.deletionTimestamp", "2026-01-01T00:00:00Z")

    assert not asked(kind, changed("spec.rayVersion", "2.9.0", going), a_cluster())


@pytest.mark.parametrize("kind", [door.resource.kind for door in DOORS])
@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (a_cluster(), False),
        (changed("metadata.finalizers", ["x"]), False),
        (changed("metadata.managedFields", [{}]), False),
        (changed("metadata.resourceVersion", "2"), False),
        (changed("status.state", "ready"), False),
        (changed("metadata.annotations.a", "b"), True),
        (changed("metadata.labels.a", "b"), True),
        (changed("spec.rayVersion", "2.9.0"), True),
        (changed("spec.suspend", True), True),
        (changed("spec.rayVersion", None), True),
        (changed("spec.workerGroupSpecs", None), True),
        (changed("spec.workerGroupSpecs.0.minReplicas", 3), True),
        (changed("spec.workerGroupSpecs.0.minReplicas", None), True),
        (changed("spec.workerGroupSpecs.1.suspend", True), True),
        (changed("spec.workerGroupSpecs.0.template.spec.x.0", 2), True),
        (changed("spec.workerGroupSpecs.0.groupName", "z"), True),
    ],
)
def test_only_what_can_matter_is_asked_about(kind: str, new: Json, expected: bool) -> None:
    """A finalizer, a status, an owner: what no rule looks at."""
    assert asked(kind, new, a_cluster()) is expected


@pytest.mark.spec("admission:P8")
@pytest.mark.parametrize(
    "new",
    [
        changed("spec.workerGroupSpecs.0.replicas", 5),
        changed("spec.workerGroupSpecs.0.scaleStrategy.workersToDelete", ["x"]),
        changed("spec.workerGroupSpecs.1.scaleStrategy.workersToDelete", []),
        changed("spec.workerGroupSpecs.1.replicas", None),
    ],
)
def test_the_autoscaler_s_patches_of_a_cluster_are_not_asked_about(new: Json) -> None:
    assert not asked("RayCluster", new, a_cluster())


def test_groups_that_come_go_or_have_none_before_are_asked_about() -> None:
    bare = a_cluster()
    del bare["spec"]["workerGroupSpecs"]
    fewer = a_cluster()
    del fewer["spec"]["workerGroupSpecs"][0]

    for one, other in ((bare, a_cluster()), (fewer, a_cluster())):
        assert asked("RayCluster", one, other)
        assert asked("RayCluster", other, one)
    assert not asked("RayCluster", bare, bare)


@pytest.mark.parametrize("kind", [door.resource.kind for door in DOORS])
def test_an_object_without_a_spec_can_be_changed_too(kind: str) -> None:
    """A condition that fails would refuse it, where the policy is Fail."""
    empty = {"metadata": {"name": "c"}}

    assert not asked(kind, changed("metadata.finalizers", [], empty), empty)
    assert asked(kind, a_cluster(), empty)
    assert asked(kind, empty, a_cluster())


def test_an_annotation_taken_away_is_asked_about() -> None:
    annotated = changed("metadata.annotations.a", "b")

    assert asked("RayCluster", a_cluster(), annotated)
    assert not asked("RayCluster", annotated, annotated)


def test_what_is_stored_may_say_more_than_what_we_want() -> None:
    wanted = {"webhooks": [{"name": "a", "rules": [{"x": [1, 2]}]}]}

    assert covers({"webhooks": [{"name": "a", "new": 1, "rules": [{"x": [1, 2], "y": 0}]}], "z": 1}, wanted)
    others: list[Any] = [None, {}, {"webhooks": []}, {"webhooks": [{"name": "b", "rules": [{"x": [1, 2]}]}]}]
    for found in others:
        assert not covers(found, wanted)


def test_a_cluster_of_very_many_groups_is_always_asked_about() -> None:
    """To compare them costs more than the API server lets a condition cost, and then it fails."""
    many = a_cluster(workerGroupSpecs=[{"groupName": f"g{number}"} for number in range(101)])

    assert asked("RayCluster", many, many)
    del many["spec"]["workerGroupSpecs"][0]
    assert not asked("RayCluster", many, many)
