"""What is read out of a spec."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from api.meta import Json
from controller.ray.desired.facts import Facts

FactsOf = Callable[..., Facts]


@pytest.mark.spec("raycluster:E3", "raycluster:E35")
@pytest.mark.parametrize(
    ("group", "pods"),
    [
        ({"replicas": 3}, 3),
        ({"replicas": 9, "maxReplicas": 4}, 4),
        ({"replicas": 1, "minReplicas": 2}, 2),
        ({"replicas": None, "minReplicas": 2}, 2),
        ({"replicas": 3, "minReplicas": None, "maxReplicas": None}, 3),
        ({"replicas": 3, "suspend": True}, 0),
        ({"replicas": 3, "numOfHosts": 4}, 12),
        ({"replicas": 3, "numOfHosts": 0}, 3),
        ({"replicas": 3, "numOfHosts": -2}, 3),
    ],
)
def test_wanted_pods_are_the_replicas_within_their_bounds_times_hosts(facts: FactsOf, group: Json, pods: int) -> None:
    assert facts(groups=[group]).workers[0].desired_pods == pods


@pytest.mark.parametrize(
    ("label", "creator"),
    [("RayJob", "RayJob"), ("RayService", "RayService"), ("RayCluster", "RayCluster"), ("Else", "RayCluster")],
)
def test_the_creator_is_one_of_the_kinds(facts: FactsOf, label: str, creator: str) -> None:
    assert facts(labels={"ray.io/originated-from-crd": label}).creator == creator


@pytest.mark.spec("raycluster:E8")
@pytest.mark.parametrize(
    ("annotations", "spec", "tolerant"),
    [
        ({}, {}, False),
        ({"ray.io/ft-enabled": "TRUE"}, {}, True),
        ({"ray.io/ft-enabled": "false"}, {}, False),
        ({}, {"gcsFaultToleranceOptions": {}}, True),
    ],
)
def test_fault_tolerance_is_asked_for_by_options_or_annotation(
    facts: FactsOf, annotations: Json, spec: Json, tolerant: bool
) -> None:
    assert facts(annotations=annotations, **spec).fault_tolerant is tolerant


def test_the_head_is_found_by_the_service_that_the_user_named(facts: FactsOf) -> None:
    found = facts(head={"headService": {"metadata": {"name": "mine"}}})

    assert found.head_address == "mine.ns.svc.cluster.local"
