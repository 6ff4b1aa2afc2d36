"""What a node tells Ray it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from api.meta import Json
from controller.ray.desired.facts import Facts, Group
from controller.ray.desired.resources import desired_resources, is_gpu, with_resources

FactsOf = Callable[..., Facts]


def group(
    limits: Mapping[str, Any] | None = None,
    requests: Mapping[str, Any] | None = None,
    resources: Mapping[str, str] | None = None,
) -> Group:
    container: Json = {"name": "ray", "resources": {"limits": limits or {}, "requests": requests or {}}}
    return Group("g", "worker", {"spec": {"containers": [container]}}, resources=resources or {})


@pytest.mark.parametrize(
    ("limits", "params", "found"),
    [
        ({"nvidia.com/gpu": 1}, {}, {"num-gpus": "1"}),
        ({"nvidia.com/mig-1g.10gb": "2"}, {}, {"num-gpus": "2"}),
        ({"google.com/tpu": "8"}, {}, {"resources": "'{\"TPU\":8}'"}),
        (
            {"aws.amazon.com/neuroncore": "2", "google.com/tpu": "8", "nvidia.com/gpu": "1"},
            {},
            {"num-gpus": "1", "resources": "'{\"neuron_cores\":2}'"},
        ),
        (
            {"aws.amazon.com/neuroncore": "2"},
            {"resources": '"{"Foo":2}"'},
            {"resources": '\'{"Foo":2,"neuron_cores":2}\''},
        ),
        ({"google.com/tpu": "8"}, {"resources": "'{\"TPU\":4}'"}, {"resources": "'{\"TPU\":4}'"}),
        ({"google.com/tpu": "8"}, {"resources": "'{\"neuron_cores\":4}'"}, {"resources": "'{\"neuron_cores\":4}'"}),
        ({"nvidia.com/gpu": "0"}, {}, {}),
        ({"amd.com/gpu": "1", "nvidia.com/gpu": "2"}, {}, {"num-gpus": "1"}),
        ({"amd.com/gpu": "0", "nvidia.com/gpu": "2"}, {}, {"num-gpus": "2"}),
        ({"nvidia.com/gpu": "4"}, {"num-gpus": "1"}, {"num-gpus": "1"}),
        ({"cpu": "500m"}, {}, {"num-cpus": "1"}),
        ({"cpu": "1500m"}, {}, {"num-cpus": "2"}),
        ({"cpu": "0"}, {}, {}),
        ({"cpu": 2}, {"num-cpus": "7"}, {"num-cpus": "7"}),
        ({"memory": "1Gi"}, {}, {"memory": "1073741824"}),
        ({"cpu": "many"}, {}, {}),
    ],
)
def test_limits_fill_in_what_the_user_did_not_say(
    limits: Mapping[str, Any], params: Mapping[str, str], found: Mapping[str, str]
) -> None:
    assert with_resources(params, group(limits)) == found


@pytest.mark.spec("raycluster:E51")
@pytest.mark.parametrize(
    ("requests", "found"),
    [
        ({"cpu": "1500m"}, {"num-cpus": "2"}),
        ({"memory": "1Gi"}, {}),
        ({"nvidia.com/gpu": "1"}, {}),
    ],
)
def test_of_requests_only_the_cpu_counts(requests: Mapping[str, Any], found: Mapping[str, str]) -> None:
    assert with_resources({}, group(requests=requests)) == found


def test_a_limit_of_cpu_counts_more_than_a_request() -> None:
    assert with_resources({}, group({"cpu": "4"}, {"cpu": "1"})) == {"num-cpus": "4"}


@pytest.mark.spec("raycluster:E52")
@pytest.mark.parametrize("text", ["'{broken'", '"{\\"Foo\\": 1}"', "'[1]'", "'3'", ""])
def test_resources_that_are_no_json_object_stay_and_switch_detection_off(text: str) -> None:
    limits = {"nvidia.com/gpu": "1", "google.com/tpu": "4", "cpu": "2"}

    assert with_resources({"resources": text}, group(limits)) == {"resources": text, "num-cpus": "2"}


@pytest.mark.parametrize(
    ("resources", "found"),
    [
        ({"CPU": "3"}, {"num-cpus": "3"}),
        ({"cpu": "2500m"}, {"num-cpus": "3"}),
        ({"CPU": "0"}, {"num-cpus": "0"}),
        ({"memory": "1Gi", "Memory": "2Gi"}, {"memory": "1073741824", "num-cpus": "8"}),
        ({"GPU": "1"}, {"num-gpus": "1", "num-cpus": "8"}),
        ({"nvidia.com/gpu": "2"}, {"num-gpus": "2", "num-cpus": "8"}),
        ({"b": "2", "A": "1"}, {"resources": '\'{"A":1,"b":2}\'', "num-cpus": "8"}),
        ({"half": "500m"}, {"resources": "'{\"half\":1}'", "num-cpus": "8"}),
        ({"what": "ever"}, {"num-cpus": "8"}),
    ],
)
def test_a_group_s_resources_come_before_its_limits(resources: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Custom amounts are whole: Ray exits on others (spec ray-side §12.7), and the autoscaler rounds up as well."""
    assert with_resources({}, group({"cpu": "8"}, resources=resources)) == found


def test_a_group_s_resources_replace_what_the_parameters_say() -> None:
    params = {"num-gpus": "7", "resources": "'{\"old\":1}'"}

    assert with_resources(params, group(resources={"GPU": "1", "new": "2"})) == {
        "num-gpus": "1",
        "resources": "'{\"new\":2}'",
    }


def test_the_parameters_handed_in_are_left_alone() -> None:
    params: dict[str, str] = {}

    with_resources(params, group({"cpu": "1", "google.com/tpu": "1"}, resources={"x": "1"}))

    assert params == {}


@pytest.mark.parametrize(
    ("name", "gpu"),
    [
        ("nvidia.com/gpu", True),
        ("gpu", True),
        ("nvidia.com/mig-2g.20gb", True),
        ("example.com/mynvidia.com/mig-2g.20gb", True),
        ("nvidia.com/mig-2g.20gb.shared", False),
        ("nvidia.com/gpu.shared", False),
        ("google.com/tpu", False),
    ],
)
def test_gpus_are_known_by_the_end_of_their_name(name: str, gpu: bool) -> None:
    assert is_gpu(name) is gpu


def asking(cpu: str = "", memory: str = "", **more: str) -> Json:
    asked = {name: text for name, text in (("cpu", cpu), ("memory", memory)) if text}
    asked |= {name.replace("__", ".com/"): text for name, text in more.items()}
    return {"spec": {"containers": [{"name": "ray", "resources": {"requests": asked}}]}}


@pytest.mark.spec("raycluster:19.1/desiredcpu-memory", "raycluster:19.1/desiredgpu", "raycluster:19.1/desiredtpu")
def test_the_resources_of_all_pods_are_summed_in_canonical_form(facts: FactsOf) -> None:
    found = desired_resources(
        facts(
            head={"template": asking("500m", "1Gi")},
            groups=[
                {"replicas": 2, "template": asking("1", "512Mi", nvidia__gpu="1")},
                {"groupName": "t", "replicas": 1, "numOfHosts": 2, "template": asking("1", google__tpu="4")},
            ],
        )
    )

    assert {name: str(amount) for name, amount in found.items()} == {
        "cpu": "4500m",
        "memory": "2Gi",
        "gpu": "2",
        "tpu": "8",
    }


@pytest.mark.spec("raycluster:E72", "raycluster:19.1/desiredcpu-memory")
def test_replicas_are_counted_as_they_are_written_and_suspended_groups_not_at_all(facts: FactsOf) -> None:
    groups = [
        {"replicas": 10, "maxReplicas": 2, "template": asking("1")},
        {"groupName": "s", "replicas": 5, "suspend": True, "template": asking("1")},
    ]

    assert str(desired_resources(facts(groups=groups))["cpu"]) == "10"


@pytest.mark.spec("raycluster:19.1/desiredcpu-memory")
def test_a_limit_stands_in_for_a_request_and_init_containers_do_not_count(facts: FactsOf) -> None:
    pod = {
        "spec": {
            "initContainers": [{"name": "i", "resources": {"requests": {"cpu": "9"}}}],
            "containers": [
                {"name": "ray", "resources": {"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1"}}},
                {"name": "side", "resources": {"limits": {"cpu": "1"}}},
            ],
        }
    }

    found = desired_resources(facts(head={"template": pod}, groups=[]))

    assert (str(found["cpu"]), str(found["memory"])) == ("2", "1Gi")


def test_a_cluster_that_asks_for_nothing_asks_for_zero(facts: FactsOf) -> None:
    assert {str(amount) for amount in desired_resources(facts()).values()} == {"0"}
