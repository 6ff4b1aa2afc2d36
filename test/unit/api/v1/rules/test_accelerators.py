"""Rules about accelerators and resources find what they are there for, in all kinds, and let near misses pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from api.v1.rules.families import RULES_BY_KIND
from api.v1.rules.places import CLUSTER_PATHS
from api.v1.rules.settings import AdmissionSettings
from localcluster.testing.judged import found
from localcluster.testing.ruled import CONTEXT, Changes, found_by, found_in_every_kind, good, placed

LIMITS, REQUESTS = "WC.resources.limits", "WC.resources.requests"
HEAD_LIMITS = "HC.resources.limits"
NVIDIA = "nvidia~com/gpu"
GPUS, TPUS = f"{LIMITS}.{NVIDIA}", f"{LIMITS}.google~com/tpu"
PARAM, HEAD_PARAM = "W.rayStartParams.num-gpus", "HEAD.rayStartParams.num-gpus"
PARAM_PATH, HEAD_PARAM_PATH = "W.rayStartParams[num-gpus]", "HEAD.rayStartParams[num-gpus]"
GPU_PATH = f"{LIMITS}[nvidia.com/gpu]"
MIG, SUFFIXED = "nvidia~com/mig-1g~10gb", "nvidia~com/mig-1g~10gb~me"
MIG_PATH = f"{LIMITS}[nvidia.com/mig-1g.10gb]"
SCALED: Changes = {"enableInTreeAutoscaling": True}
CUSTOM, CUSTOM_PATH = "W.rayStartParams.resources", "W.rayStartParams[resources]"
OWN_COMMAND: Changes = {"W.template.metadata.annotations": {"ray.io/overwrite-container-cmd": "true"}}
SELECTOR, TOLERATIONS = "W.template.spec.nodeSelector", "W.template.spec.tolerations"
TOPOLOGY = {"cloud.google.com/gke-tpu-topology": "2x2x2", "cloud.google.com/gke-tpu-accelerator": "tpu-v4-podslice"}
CLAIMS = [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}]
SIDECAR = {"name": "exporter", "resources": {"limits": {"nvidia.com/gpu": "1"}}}

FOUND: list[tuple[str, Changes, list[tuple[str, str]]]] = [
    ("GPU01", {GPUS: "2", f"{REQUESTS}.{NVIDIA}": "1"}, [("deny", GPU_PATH)]),
    ("GPU01", {TPUS: "4", f"{REQUESTS}.google~com/tpu": "2"}, [("deny", f"{LIMITS}[google.com/tpu]")]),
    ("GPU20", {TPUS: "3"}, [("warn", f"{LIMITS}[google.com/tpu]")]),
    ("GPU02", {f"{REQUESTS}.{NVIDIA}": "1"}, [("deny", f"{REQUESTS}[nvidia.com/gpu]")]),
    (
        "GPU02",
        {"W.template.spec.initContainers": [{"name": "x", "resources": {"requests": {"amd.com/gpu": 1}}}]},
        [("deny", "W.template.spec.initContainers[0].resources.requests[amd.com/gpu]")],
    ),
    ("GPU04", {GPUS: "0.5"}, [("deny", GPU_PATH)]),
    ("GPU04", {GPUS: "500m", f"{REQUESTS}.{NVIDIA}": "500m"}, [("deny", GPU_PATH)]),
    ("GPU04", {GPUS: 0.5}, [("deny", GPU_PATH)]),
    ("GPU04", {f"{LIMITS}.aliyun~com/gpu-mem": "1.5"}, [("deny", f"{LIMITS}[aliyun.com/gpu-mem]")]),
    ("GPU05", {GPUS: "1", PARAM: "4"}, [("deny", PARAM_PATH)]),
    ("GPU05", {PARAM: "2"}, [("warn", PARAM_PATH)]),
    ("GPU05", {HEAD_PARAM: "2"}, [("warn", HEAD_PARAM_PATH)]),
    ("GPU05", {f"{LIMITS}.{MIG}": "2", PARAM: "3"}, [("deny", PARAM_PATH)]),
    ("GPU05", {f"{LIMITS}.gpu~intel~com/i915": "1", PARAM: "2"}, [("deny", PARAM_PATH)]),
    ("GPU06", {GPUS: "4", PARAM: "1"}, [("warn", PARAM_PATH)]),
    ("GPU07", {GPUS: "4", PARAM: "0"}, [("warn", PARAM_PATH)]),
    ("GPU08", {f"{HEAD_LIMITS}.{NVIDIA}": "1"}, [("warn", f"{HEAD_LIMITS}[nvidia.com/gpu]")]),
    (
        "GPU09",
        {"HEAD.template.spec.tolerations": [{"key": "team"}, {"key": "nvidia.com/gpu", "operator": "Exists"}]},
        [("warn", "HEAD.template.spec.tolerations[1]")],
    ),
    (
        "GPU09",
        {"HEAD.template.spec.nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-l4"}},
        [("warn", "HEAD.template.spec.nodeSelector[cloud.google.com/gke-accelerator]")],
    ),
    ("GPU10", {GPUS: "1", f"{LIMITS}.amd~com/gpu": "1"}, [("warn", LIMITS)]),
    ("GPU10", {GPUS: "1", f"{LIMITS}.{MIG}": "1"}, [("warn", LIMITS)]),
    ("GPU10", {TPUS: "4", f"{LIMITS}.aws~amazon~com/neuroncore": "2"}, [("warn", LIMITS)]),
    (
        "GPU11",
        {"W.template.spec.containers.1": SIDECAR},
        [("warn", "W.template.spec.containers[1].resources.limits[nvidia.com/gpu]")],
    ),
    (
        "GPU11",
        {"W.template.spec.initContainers": [SIDECAR]},
        [("warn", "W.template.spec.initContainers[0].resources.limits[nvidia.com/gpu]")],
    ),
    ("GPU13", {"W.template.spec.resourceClaims": CLAIMS}, [("warn", PARAM_PATH)]),
    ("GPU13", {"WC.resources.claims": [{"name": "gpu"}]}, [("warn", PARAM_PATH)]),
    ("GPU14", {f"{LIMITS}.{MIG}": "1"}, [("warn", MIG_PATH)]),
    ("GPU14", {f"{LIMITS}.{SUFFIXED}": "1"}, [("warn", f"{LIMITS}[nvidia.com/mig-1g.10gb.me]")]),
    ("GPU14", {f"{LIMITS}.{MIG}": "1", **SCALED}, [("deny", MIG_PATH)]),
    ("GPU14", {f"{LIMITS}.{MIG}": "1", **SCALED, "W.minReplicas": 1}, [("warn", MIG_PATH)]),
    ("GPU14", {f"{LIMITS}.{MIG}": "1", **SCALED, CUSTOM: "'{\"slice\": 1}'"}, [("warn", MIG_PATH)]),
    ("GPU14", {f"{HEAD_LIMITS}.{MIG}": "1", **SCALED}, [("warn", f"{HEAD_LIMITS}[nvidia.com/mig-1g.10gb]")]),
    ("GPU15", {f"{LIMITS}.aliyun~com/gpu-mem": "8"}, [("warn", f"{LIMITS}[aliyun.com/gpu-mem]")]),
    ("GPU15", {f"{LIMITS}.tencent~com/vcuda-core": "50"}, [("warn", f"{LIMITS}[tencent.com/vcuda-core]")]),
    (
        "GPU15",
        {f"{LIMITS}.tencent~com/vcuda-core": "5", f"{LIMITS}.aliyun~com/gpu-mem": "8"},
        [("warn", f"{LIMITS}[aliyun.com/gpu-mem]")],
    ),
    ("GPU16", {**SCALED, "W.rayStartParams.num-cpus": "1.5"}, [("deny", "W.rayStartParams[num-cpus]")]),
    ("GPU16", {**SCALED, "W.rayStartParams.num-cpus": "$CPUS"}, [("deny", "W.rayStartParams[num-cpus]")]),
    ("GPU16", {**SCALED, "HEAD.rayStartParams.memory": "2Gi"}, [("deny", "HEAD.rayStartParams[memory]")]),
    ("GPU16", {"W.rayStartParams.num-cpus": "1.5"}, [("deny", "W.rayStartParams[num-cpus]")]),
    ("GPU16", {"W.rayStartParams.num-cpus": "1.5", **OWN_COMMAND}, [("warn", "W.rayStartParams[num-cpus]")]),
    ("GPU17", {CUSTOM: '{"a": 1}', **OWN_COMMAND}, [("warn", CUSTOM_PATH)]),
    ("GPU17", {CUSTOM: '{"a": 1}', **OWN_COMMAND, **SCALED}, [("deny", CUSTOM_PATH)]),
    ("GPU16", {"W.rayStartParams.num-gpus": "many"}, [("deny", PARAM_PATH)]),
    ("GPU16", {"W.rayStartParams.num-cpus": "-1"}, [("deny", "W.rayStartParams[num-cpus]")]),
    ("GPU17", {CUSTOM: '{"a": 1}'}, [("deny", CUSTOM_PATH)]),
    ("GPU17", {CUSTOM: '"{"a": 1}"'}, [("deny", CUSTOM_PATH)]),
    ("GPU17", {CUSTOM: "'{\"a\": }'"}, [("deny", CUSTOM_PATH)]),
    ("GPU17", {CUSTOM: "'[1]'"}, [("deny", CUSTOM_PATH)]),
    ("GPU17", {CUSTOM: ""}, [("deny", CUSTOM_PATH)]),
    ("GPU17", {CUSTOM: '\'{"a": "1"}\''}, [("deny", CUSTOM_PATH)]),
    ("GPU17", {CUSTOM: "'{\"GPU\": 1}'"}, [("deny", CUSTOM_PATH)]),
    ("GPU17", {**SCALED, CUSTOM: "'{\"a\": 1.5}'"}, [("warn", CUSTOM_PATH)]),
    ("GPU17", {**SCALED, CUSTOM: "'{\"a\": 2.0}'"}, [("warn", CUSTOM_PATH)]),
    ("GPU17", {**SCALED, CUSTOM: '{\\"a\\":1}'}, [("deny", CUSTOM_PATH)]),
    ("GPU17", {**SCALED, CUSTOM: " '{\"a\": 1}'"}, [("deny", CUSTOM_PATH)]),
    ("GPU17", {**SCALED, CUSTOM: "$RESOURCES"}, [("deny", CUSTOM_PATH)]),
    ("GPU17", {CUSTOM: '{\\"a\\":1,\\"b\\":1}'}, [("deny", CUSTOM_PATH)]),
    ("GPU17", {CUSTOM: '{\\"a\\": 1}'}, [("deny", CUSTOM_PATH)]),
    (
        "GPU18",
        {**SCALED, "WC.resources": {"limits": {"memory": "2Gi"}}},
        [("deny", "WC.resources")],
    ),
    ("GPU18", {**SCALED, "HC.resources": {}}, [("deny", "HC.resources")]),
    ("GPU18", {**SCALED, "HC.resources": {}, "HEAD.resources": {"cpu": "4"}}, [("deny", "HC.resources")]),
    ("GPU19", {TPUS: "4", "W.numOfHosts": 4, SELECTOR: TOPOLOGY}, [("warn", "W.numOfHosts")]),
    (
        "GPU19",
        {**SCALED, TPUS: "4"},
        [
            ("warn", f"{SELECTOR}[cloud.google.com/gke-tpu-accelerator]"),
            ("warn", f"{SELECTOR}[cloud.google.com/gke-tpu-topology]"),
        ],
    ),
    ("GPU21", {f"{LIMITS}.aws~amazon~com/neuron": "1"}, [("warn", f"{LIMITS}[aws.amazon.com/neuron]")]),
    ("GPU22", {"W.resources": {"CPU": "four"}}, [("deny", "W.resources[CPU]")]),
    ("GPU22", {"W.resources": {"GPU": "1", "nvidia.com/gpu": "1"}}, [("deny", "W.resources")]),
    ("GPU22", {GPUS: "1", "W.resources": {"GPU": "4"}}, [("warn", "W.resources[GPU]")]),
    ("GPU22", {GPUS: "1", "W.resources": {"GPU": "0"}}, [("warn", "W.resources[GPU]")]),
    ("GPU22", {"W.resources": {"CPU": "8"}}, [("warn", "W.resources[CPU]")]),
    ("GPU25", {SELECTOR: {"nvidia.com/gpu.present": "true"}}, [("warn", f"{SELECTOR}[nvidia.com/gpu.present]")]),
    ("GPU25", {TOLERATIONS: [{"key": "amd.com/gpu"}]}, [("warn", f"{TOLERATIONS}[0]")]),
    (
        "GPU25",
        {"HEAD.template.spec.tolerations": [{"key": "nvidia.com/gpu"}], HEAD_PARAM: "0"},
        [("warn", "HEAD.template.spec.tolerations[0]")],
    ),
    ("GPU27", {**SCALED, GPUS: "1", "W.maxReplicas": 2147483647}, [("warn", "W.maxReplicas")]),
    ("GPU27", {**SCALED, GPUS: "1", "W.maxReplicas": "-"}, [("warn", "W.maxReplicas")]),
    ("GPU28", {GPUS: "1"}, [("off", "W.replicas")]),
    ("GPU28", {GPUS: "1", "W.minReplicas": 1}, [("off", "W.minReplicas")]),
    ("GPU29", {"W.numOfHosts": 2}, [("off", "W.numOfHosts")]),
    ("GPU30", {f"{LIMITS}.cpu": "500m"}, [("deny", f"{LIMITS}[cpu]")]),
    ("GPU30", {f"{LIMITS}.memory": "1Gi"}, [("deny", f"{LIMITS}[memory]")]),
    ("GPU31", {"WC.resources": {}}, [("warn", "WC.resources")]),
    ("GPU31", {"WC.resources": {"limits": {"nvidia.com/gpu": "1"}}}, [("warn", "WC.resources")]),
    ("GPU32", {f"{HEAD_LIMITS}.memory": "-"}, [("warn", f"{HEAD_LIMITS}[memory]")]),
]

QUEUED = {"kueue.x-k8s.io/queue-name": "team-a"}
SHARED: Changes = {GPUS: "1", PARAM: "2"}
CORRECTED = {"GPU10": ["AC-7"], "GPU17": ["AC-9"], "GPU22": ["AC-9"]}
NEAR: list[tuple[str, Changes]] = [
    ("GPU01", {GPUS: "1", f"{REQUESTS}.{NVIDIA}": "1000m"}),
    ("GPU01", {GPUS: 1, f"{REQUESTS}.{NVIDIA}": "1"}),
    ("GPU01", {f"{LIMITS}.cpu": "4"}),
    ("GPU02", {GPUS: "1", f"{REQUESTS}.{NVIDIA}": "1"}),
    ("GPU04", {GPUS: "1000m"}),
    ("GPU04", {f"{LIMITS}.cpu": "1500m"}),
    ("GPU05", {GPUS: "4", PARAM: "4"}),
    ("GPU05", {PARAM: "0"}),
    ("GPU05", {f"{LIMITS}.aliyun~com/gpu-mem": "8", PARAM: "1"}),
    ("GPU05", {f"{LIMITS}.volcano~sh/vgpu-number": "1", PARAM: "1"}),
    ("GPU05", {**SHARED, "W.template.metadata.annotations": {"gpu-fraction": "0.5"}}),
    ("GPU05", {**SHARED, "W.template.metadata.labels": {"gpu-memory": "4096"}}),
    ("GPU05", {**SHARED, "W.template.metadata.annotations": {"hami.io/vgpu": "x"}}),
    ("GPU05", {PARAM: "1", "W.template.spec.resourceClaims": CLAIMS}),
    ("GPU06", {GPUS: "4", PARAM: "4"}),
    ("GPU06", {GPUS: "4", PARAM: "0"}),
    ("GPU06", {GPUS: "4", PARAM: "$N"}),
    ("GPU07", {f"{HEAD_LIMITS}.{NVIDIA}": "1", HEAD_PARAM: "0"}),
    ("GPU07", {PARAM: "0"}),
    ("GPU08", {f"{HEAD_LIMITS}.{NVIDIA}": "1", HEAD_PARAM: "0"}),
    ("GPU08", {f"{HEAD_LIMITS}.{NVIDIA}": "1", HEAD_PARAM: "1"}),
    ("GPU08", {f"{HEAD_LIMITS}.{NVIDIA}": "1", "HEAD.resources": {"GPU": "0"}}),
    ("GPU08", {f"{HEAD_LIMITS}.{NVIDIA}": "4", "workerGroupSpecs": []}),
    ("GPU09", {"HEAD.template.spec.tolerations": [{"key": "nvidia.com/gpu"}], HEAD_PARAM: "0"}),
    ("GPU09", {"HEAD.template.spec.tolerations": [{"key": "team"}, {"operator": "Exists"}]}),
    ("GPU09", {"HEAD.template.spec.nodeSelector": {"nvidia.com/gpu.present": "false"}}),
    ("GPU10", {GPUS: "1", TPUS: "4"}),
    ("GPU10", {GPUS: "1", f"{LIMITS}.amd~com/gpu": "0"}),
    ("GPU11", {GPUS: "1", "W.template.spec.containers.1": SIDECAR}),
    ("GPU11", {"W.template.spec.containers.1": {"name": "exporter", "resources": {"limits": {"cpu": "1"}}}}),
    ("GPU13", {"W.template.spec.resourceClaims": CLAIMS, PARAM: "1"}),
    ("GPU13", {"W.template.spec.resourceClaims": CLAIMS, "W.resources": {"GPU": "1"}}),
    ("GPU14", {f"{LIMITS}.{MIG}": "1", PARAM: "1", **SCALED}),
    ("GPU14", {f"{LIMITS}.{MIG}": "1", "W.resources": {"GPU": "1"}, **SCALED}),
    ("GPU15", {f"{LIMITS}.aliyun~com/gpu-mem": "8", PARAM: "1"}),
    ("GPU15", {GPUS: "1", f"{LIMITS}.nvidia~com/gpumem": "3000"}),
    ("GPU16", {**SCALED, "W.rayStartParams.num-cpus": "4", "W.rayStartParams.memory": "4294967296"}),
    ("GPU16", {"W.rayStartParams.num-cpus": "$CPUS"}),
    ("GPU17", {CUSTOM: '"{\\"a\\": 1}"'}),
    ("GPU17", {**SCALED, CUSTOM: "'{\"a\": 2}'"}),
    ("GPU17", {CUSTOM: '{\\"a\\":1}'}),
    ("GPU17", {CUSTOM: "'{\"a\": 1.5}'"}),
    ("GPU17", {CUSTOM: "$RESOURCES"}),
    ("GPU18", {"WC.resources": {"limits": {"memory": "2Gi"}}}),
    ("GPU18", {**SCALED, "WC.resources": {}, "W.rayStartParams.num-cpus": "0"}),
    ("GPU18", {**SCALED, "WC.resources": {}, "W.resources": {"CPU": "4"}}),
    ("GPU18", {**SCALED, "WC.resources": {"requests": {"cpu": "1"}}}),
    ("GPU19", {**SCALED, TPUS: "4", "W.numOfHosts": 2, SELECTOR: TOPOLOGY}),
    ("GPU19", {TPUS: "4"}),
    ("GPU20", {TPUS: "8"}),
    ("GPU21", {f"{LIMITS}.aws~amazon~com/neuroncore": "2"}),
    ("GPU21", {f"{LIMITS}.aws~amazon~com/neuron": "1", CUSTOM: "'{\"neuron_cores\": 2}'"}),
    ("GPU22", {GPUS: "4", "W.resources": {"GPU": "4", "CPU": "2", "special": "1"}}),
    ("GPU22", {f"{HEAD_LIMITS}.{NVIDIA}": "1", "HEAD.resources": {"GPU": "0", "CPU": "0"}}),
    ("GPU25", {GPUS: "1", TOLERATIONS: [{"key": "nvidia.com/gpu"}]}),
    ("GPU25", {TOLERATIONS: [{"key": "nvidia.com/gpu"}], "W.template.metadata.labels": {"gpu-fraction": "0.5"}}),
    ("GPU25", {TOLERATIONS: [{"key": "nvidia.com/gpu"}], PARAM: "1"}),
    ("GPU25", {TPUS: "4", TOLERATIONS: [{"key": "nvidia.com/gpu"}]}),
    ("GPU25", {"W.template.spec.resourceClaims": CLAIMS, TOLERATIONS: [{"key": "nvidia.com/gpu"}]}),
    ("GPU25", {TOLERATIONS: [{"key": "team"}]}),
    ("GPU27", {**SCALED, GPUS: "1", "W.maxReplicas": 10}),
    ("GPU27", {GPUS: "1", "W.maxReplicas": 2147483647}),
    ("GPU27", {**SCALED, "W.maxReplicas": 2147483647}),
    ("GPU28", {GPUS: "1", "W.replicas": 0}),
    ("GPU29", {"W.numOfHosts": 1}),
    ("GPU30", {f"{LIMITS}.cpu": "1000m"}),
    ("GPU31", {"WC.resources": {"requests": {"cpu": "1"}}}),
    ("GPU32", {f"{LIMITS}.memory": "-"}),
]


def rows(table: list[Any]) -> list[Any]:
    return [
        pytest.param(*row, marks=pytest.mark.spec(*(f"admission:{id_}" for id_ in claims(row[0])))) for row in table
    ]


def claims(id_: str) -> list[str]:
    """The rule, and the correction of the specification that its rows hold it to."""
    return [id_, *CORRECTED.get(id_, ())]


@pytest.mark.parametrize(("id_", "changes", "expected"), rows(FOUND))
def test_a_rule_finds_what_it_is_there_for_in_every_kind(
    id_: str, changes: Changes, expected: list[tuple[str, str]]
) -> None:
    """With the severity of the table, and the path at which the field stands in that kind."""
    assert found_in_every_kind(id_, changes) == {kind: placed(kind, expected) for kind in CLUSTER_PATHS}


@pytest.mark.parametrize(("id_", "changes"), rows(NEAR))
def test_the_nearest_good_object_passes(id_: str, changes: Changes) -> None:
    assert found_by(id_, good(changes=changes)) == []


@pytest.mark.spec("admission:GPU03")
def test_a_limit_without_a_request_is_right() -> None:
    """Kubernetes copies it."""
    limited = good(changes={GPUS: "1", "WC.image": "rayproject/ray:2.52.0-gpu", "W.replicas": 0})

    found = [one for rule in RULES_BY_KIND["RayCluster"] for one in found_by(rule.id, limited)]

    assert found == []


@pytest.mark.spec("admission:GPU12")
@pytest.mark.parametrize(
    "mark",
    [
        {"annotations": {"gpu-fraction": "0.5"}},
        {"labels": {"gpu-memory": "4096"}},
        {"annotations": {"hami.io/vgpu-node": "a"}},
        {"labels": {"nvidia.com/gpu.sharing-strategy": "mps"}},
    ],
)
def test_where_a_gpu_is_shared_limits_and_parameters_are_not_compared(mark: dict[str, Any]) -> None:
    """GPU05 to GPU09 would all have something to say of these."""
    for id_, changes in (
        ("GPU05", SHARED),
        ("GPU06", {GPUS: "4", PARAM: "1"}),
        ("GPU07", {GPUS: "4", PARAM: "0"}),
        ("GPU08", {f"{HEAD_LIMITS}.{NVIDIA}": "1"}),
        ("GPU09", {"HEAD.template.spec.nodeSelector": {"nvidia.com/gpu.present": "true"}}),
    ):
        marked = {"W.template.metadata": mark, "HEAD.template.metadata": mark}
        assert found_by(id_, good(changes=changes)) != []
        assert found_by(id_, good(changes={**changes, **marked})) == []


def held_to(**settings: Any) -> Any:
    return replace(CONTEXT, admission=AdmissionSettings(**settings))


@pytest.mark.spec("admission:GPU24")
def test_a_taint_of_gpu_nodes_must_be_tolerated_where_the_owner_lists_it() -> None:
    """Kueue brings tolerations of its own, so queued objects need none."""
    tainted = held_to(gpu_taints=("nvidia.com/gpu",))
    bare = good(changes={GPUS: "1"})

    assert found_by("GPU24", bare, context=tainted) == [("warn", "spec.workerGroupSpecs[0].template.spec.tolerations")]
    assert found_by("GPU24", bare) == []
    assert found_by("GPU24", good(changes={GPUS: "1"}, labels=QUEUED), context=tainted) == []
    for toleration in ({"key": "nvidia.com/gpu", "operator": "Exists"}, {"operator": "Exists"}):
        assert found_by("GPU24", good(changes={GPUS: "1", TOLERATIONS: [toleration]}), context=tainted) == []


@pytest.mark.spec("admission:GPU26")
def test_a_gpu_that_no_node_has_is_told_where_the_owner_lists_what_there_is() -> None:
    """Nobody looks at nodes."""
    listed = held_to(gpu_products=("nvidia-l4", "nvidia-h100"))
    asked = good(changes={SELECTOR: {"cloud.google.com/gke-accelerator": "nvidia-a100"}})

    path = "spec.workerGroupSpecs[0].template.spec.nodeSelector[cloud.google.com/gke-accelerator]"
    assert found_by("GPU26", asked, context=listed) == [("warn", path)]
    assert found_by("GPU26", asked) == []
    there = good(changes={SELECTOR: {"cloud.google.com/gke-accelerator": "nvidia-l4"}})
    assert found_by("GPU26", there, context=listed) == []


@pytest.mark.spec("admission:GPU28", "admission:GPU29")
def test_queued_objects_meet_the_house_rules() -> None:
    """A queue places whole replicas, and hands out GPUs."""
    queued = good(changes={GPUS: "1", "W.numOfHosts": 2}, labels=QUEUED)

    assert found_by("GPU28", queued) == found_by("GPU29", queued) == []


@pytest.mark.spec("admission:GPU19")
@pytest.mark.parametrize(
    ("hosts", "chips", "message", "hint"),
    [
        (1, "4", "has 8 chips, and 1 hosts of 4 chips have 4", "numOfHosts: 2"),
        (1, "16", "has 8 chips, and 1 hosts of 16 chips have 16", "google.com/tpu: 8, on one host"),
    ],
)
def test_who_asks_for_another_slice_than_the_topology_is_told_what_fits(
    hosts: int, chips: str, message: str, hint: str
) -> None:
    """A number that can be written there."""
    asked = good(changes={TPUS: chips, "W.numOfHosts": hosts, SELECTOR: TOPOLOGY})

    (told,) = found(RULES_BY_KIND["RayCluster"], asked, only="GPU19")

    assert message in told.message
    assert told.hint == hint


@pytest.mark.spec("admission:GPU05")
@pytest.mark.parametrize(
    ("limits", "hint"),
    [
        ({}, "add a limit, as in nvidia.com/gpu: 2, or leave num-gpus out"),
        ({f"{LIMITS}.nvidia~com/a100": "2"}, "if nvidia.com/a100 is a GPU, the operator's owner may list it in "),
    ],
)
def test_a_number_of_gpus_without_a_limit_is_told_with_the_way_out(limits: Changes, hint: str) -> None:
    """A device plugin may give its GPUs a name of its own."""
    (told,) = found(RULES_BY_KIND["RayCluster"], good(changes={PARAM: "2", **limits}), only="GPU05")

    assert told.hint.startswith(hint)


@pytest.mark.spec("admission:GPU16")
def test_memory_with_a_unit_is_told_in_bytes() -> None:
    """So that it need not be worked out."""
    (told,) = found(RULES_BY_KIND["RayCluster"], good(changes={"W.rayStartParams.memory": "16Gi"}), only="GPU16")

    assert told.hint == 'in bytes: memory: "17179869184"'


@pytest.mark.spec("admission:GPU05")
def test_the_owners_lists_say_what_a_gpu_is() -> None:
    """A key that nobody else knows."""
    listed = held_to(gpu_keys=("example.com/*",))
    asked = good(changes={f"{LIMITS}.example~com/npu": "1", PARAM: "2"})

    assert found_by("GPU05", asked, context=listed) == [("deny", "spec.workerGroupSpecs[0].rayStartParams[num-gpus]")]
    assert found_by("GPU05", asked) == [("warn", "spec.workerGroupSpecs[0].rayStartParams[num-gpus]")]


JOBS = [
    ({"entrypointNumGpus": 2}, {GPUS: "1"}, ["entrypointNumGpus"]),
    ({"entrypointNumGpus": 0.5}, {}, ["entrypointNumGpus"]),
    ({"entrypointNumCpus": 3}, {}, ["entrypointNumCpus"]),
    ({"entrypointResources": '{"special": 1}'}, {}, ["entrypointResources"]),
    ({"entrypointNumGpus": 1}, {GPUS: "1"}, []),
    ({"entrypointNumGpus": 1}, {HEAD_PARAM: "1"}, []),
    ({"entrypointNumGpus": 1}, {"W.template.spec.resourceClaims": CLAIMS}, []),
    ({"entrypointNumCpus": 2}, {}, []),
    ({"entrypointNumCpus": 64}, {"WC.resources": {}}, []),
    ({"entrypointNumCpus": 8}, {"W.resources": {"special": "2", "CPU": "16"}}, []),
    ({"entrypointNumCpus": 2}, {"HEAD.resources": {"CPU": "1"}, "W.resources": {"CPU": "1"}}, ["entrypointNumCpus"]),
    ({"entrypointResources": '{"special": 1}'}, {CUSTOM: "'{\"special\": 4}'"}, []),
    ({"entrypointResources": '{"special": 1}'}, {"W.resources": {"special": "4"}}, []),
    ({"entrypointResources": '{"special": 1}'}, {CUSTOM: "$RESOURCES"}, []),
    ({"entrypointResources": '{"TPU": 4}'}, {TPUS: "4"}, []),
    ({"entrypointResources": "not JSON"}, {}, []),
]


@pytest.mark.spec("admission:GPU23")
@pytest.mark.parametrize(("job", "changes", "fields"), JOBS)
def test_an_entrypoint_that_fits_on_no_node_is_told(job: dict[str, Any], changes: Changes, fields: list[str]) -> None:
    """It runs on one node, and waits for one that has all of it. Of what cannot be told from the spec nothing is."""
    once, often = good("RayJob", changes), good("RayCronJob", changes)
    once["spec"] |= job
    often["spec"]["jobTemplate"] |= job

    assert found_by("GPU23", once) == [("warn", f"spec.{field}") for field in fields]
    assert found_by("GPU23", often) == [("warn", f"spec.jobTemplate.{field}") for field in fields]


@pytest.mark.spec("admission:GPU23")
def test_an_entrypoint_on_a_cluster_of_somebody_else_is_not_judged() -> None:
    """Nobody knows what that one has."""
    job = good("RayJob")
    job["spec"] |= {"entrypointNumGpus": 8, "clusterSelector": {"ray.io/cluster": "shared"}}

    assert found_by("GPU23", job) == []
