"""Who fits where, and how it is said when nobody does."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from localcluster.node.scheduler import misfits, requests_of, too_large, unschedulable_message


def a_pod(*containers: dict[str, str], inits: tuple[dict[str, Any], ...] = (), **spec: Any) -> dict[str, Any]:
    """A pod whose containers request so much."""
    return {"spec": {"containers": [_container(one) for one in containers], "initContainers": list(inits), **spec}}


def _container(requests: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"resources": {"requests": requests}, **more}


def a_node(spec: dict[str, Any] | None = None, labels: dict[str, str] | None = None, **has: str) -> dict[str, Any]:
    """A node with room for ten pods and four CPUs."""
    allocatable = {"cpu": "4", "memory": "8Gi", "pods": "10", **has}
    return {
        "metadata": {"name": "n", "labels": labels or {}},
        "spec": spec or {},
        "status": {"allocatable": allocatable},
    }


def why(pod: dict[str, Any], node: dict[str, Any], **taken: int) -> tuple[str, ...]:
    """The reasons against."""
    return misfits(pod, requests_of(pod), node, {name: Fraction(value) for name, value in taken.items()})


def test_a_pod_takes_the_sum_of_its_containers_or_its_largest_init_container() -> None:
    """Sidecars count beside both."""
    sidecar = _container({"cpu": "1"}, restartPolicy="Always")
    init = _container({"cpu": "5", "memory": "1Gi"})

    taken = requests_of(a_pod({"cpu": "500m"}, {"cpu": "1500m"}, inits=(sidecar, init)))

    assert taken == {"pods": 1, "cpu": 6, "memory": 2**30}


def test_a_limit_stands_for_an_absent_request() -> None:
    """As the API server would fill it in."""
    pod = {"spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "2"}}}]}}

    assert requests_of(pod) == {"pods": 1, "nvidia.com/gpu": 2}


@pytest.mark.parametrize(
    ("pod", "node", "reasons"),
    [
        (a_pod({"cpu": "4"}), a_node(), ()),
        (a_pod({"cpu": "4001m"}), a_node(), ("Insufficient cpu",)),
        (a_pod({"cpu": "5", "memory": "9Gi"}), a_node(), ("Insufficient cpu", "Insufficient memory")),
        (a_pod({"nvidia.com/gpu": "1"}), a_node(), ("Insufficient nvidia.com/gpu",)),
        (a_pod({}), a_node(pods="0"), ("Too many pods",)),
        (a_pod({}), a_node({"unschedulable": True}), ("node(s) were unschedulable",)),
        (
            a_pod({}, nodeSelector={"gpu": "yes"}),
            a_node(labels={"gpu": "no"}),
            ("node(s) didn't match Pod's node affinity/selector",),
        ),
        (
            a_pod({}),
            a_node({"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}),
            ("node(s) had untolerated taint {k: v}",),
        ),
        (
            a_pod({}, tolerations=[{"key": "k", "operator": "Exists"}]),
            a_node({"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}),
            (),
        ),
    ],
)
def test_a_node_says_why_a_pod_does_not_fit(
    pod: dict[str, Any], node: dict[str, Any], reasons: tuple[str, ...]
) -> None:
    """In the scheduler's own words."""
    assert why(pod, node) == reasons


def test_what_is_taken_is_not_free() -> None:
    """Of four CPUs, three are gone."""
    assert why(a_pod({"cpu": "2"}), a_node(), cpu=3) == ("Insufficient cpu",)


@pytest.mark.parametrize(
    ("operator", "values", "fits"),
    [("In", ["a", "b"], True), ("NotIn", ["a"], False), ("Exists", [], True), ("DoesNotExist", [], False)],
)
def test_node_affinity_is_asked(operator: str, values: list[str], fits: bool) -> None:
    """One term is enough."""
    term = {"matchExpressions": [{"key": "zone", "operator": operator, "values": values}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    pod = a_pod({}, affinity={"nodeAffinity": required})

    assert (why(pod, a_node(labels={"zone": "a"})) == ()) is fits


def test_the_message_counts_the_reasons_of_all_nodes() -> None:
    """Sorted, with what preemption could do."""
    assert unschedulable_message([("Insufficient nvidia.com/gpu",)], 1) == (
        "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption:"
        " 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )
    nodes = [("Insufficient cpu",), ("node(s) were unschedulable",), ("Insufficient cpu",)]
    assert unschedulable_message(nodes, 0) == (
        "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu. no new claims to deallocate,"
        " preemption: 0/3 nodes are available: 2 No preemption victims found for incoming pod,"
        " 1 Preemption is not helpful for scheduling."
    )
    assert unschedulable_message([], 0) == "no nodes available to schedule pods"


def test_a_node_that_is_too_small_as_a_whole_is_no_case_for_preemption() -> None:
    """Whatever went from there, there would not be room enough."""
    node = a_node(cpu="2")

    assert too_large({"cpu": Fraction(3)}, node)
    assert not too_large({"cpu": Fraction(2)}, node)
    assert too_large({"nvidia.com/gpu": Fraction(1)}, node)
