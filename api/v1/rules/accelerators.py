"""Rules about GPUs and other accelerators (spec admission §4.4): what a pod asks for, and what Ray is told of it.

GPU03 is no rule: a limit without a request is right. Sharing schedulers (GPU12) and resource claims (GPU13) deal out
devices in other ways; where they do, rules that compare limits with start parameters say nothing. Where such pods run
is in `accelerator_nodes`, what is no accelerator in `offered`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import prod
from typing import Final

from api.v1.rules.hardware import Family, Hardware, compared, family_of, hardware_of, is_plain_mig, spoken
from api.v1.rules.model import Context, Rule, Severity
from api.v1.rules.places import cluster_rule
from api.v1.rules.reading import Cluster, Found
from api.v1.rules.typed import child, mapping, whole

__all__ = ["RULES"]

TPU: Final = "google.com/tpu"
TPU_ACCELERATOR: Final = "cloud.google.com/gke-tpu-accelerator"
TPU_TOPOLOGY: Final = "cloud.google.com/gke-tpu-topology"
EXAMPLES: Final = {TPU_ACCELERATOR: "tpu-v6e-slice", TPU_TOPOLOGY: "4x4"}
TPU_CHIPS: Final = (1, 2, 4, 8)  # of one machine, as they are sold
NEURON_CORE: Final = "aws.amazon.com/neuroncore"
NEURON_DEVICE: Final = "aws.amazon.com/neuron"
NEURON_CORES: Final = "neuron_cores"  # Ray's word
_TOPOLOGY: Final = re.compile(r"[0-9]{1,6}(x[0-9]{1,6}){1,3}", re.ASCII)


@cluster_rule("GPU01")
def request_against_limit(cluster: Cluster, context: Context) -> Iterator[Found]:
    """The API server refuses such a pod."""
    for hardware in hardware_of(cluster, context):
        for container in hardware.containers:
            for key, limit in container.limits.items():
                if family_of(key, context.admission) is Family.PLAIN:
                    continue
                if container.requests.get(key, limit) != limit:
                    written = child(container.written, "limits")[key]
                    yield Found(
                        f"{container.path}.resources.limits[{key}]",
                        f"{hardware.group.called}: {key} limit {written} differs from its request "
                        f"{child(container.written, 'requests')[key]}: such a pod is refused",
                        written,
                        "leave the request out: it is that of the limit then",
                    )


@cluster_rule("GPU02")
def request_without_limit(cluster: Cluster, context: Context) -> Iterator[Found]:
    """The API server refuses such a pod, and the operator reads limits only."""
    for hardware in hardware_of(cluster, context):
        for container in hardware.containers:
            limits = child(container.written, "limits")
            for key in container.requests:
                if key not in limits and family_of(key, context.admission) is not Family.PLAIN:
                    yield Found(
                        f"{container.path}.resources.requests[{key}]",
                        f"{hardware.group.called}: {key} has a request and no limit: such a pod is refused",
                        child(container.written, "requests")[key],
                        "write it under limits; the request follows",
                    )


@cluster_rule("GPU04")
def part_of_a_device(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Kubernetes counts devices."""
    for hardware in hardware_of(cluster, context):
        for container in hardware.containers:
            parts = {key: "requests" for key, much in container.requests.items() if much.denominator != 1}
            parts |= {key: "limits" for key, much in container.limits.items() if much.denominator != 1}
            for key, which in parts.items():
                if family_of(key, context.admission) is not Family.PLAIN:
                    written = child(container.written, which)[key]
                    yield Found(
                        f"{container.path}.resources.{which}[{key}]",
                        f"{hardware.group.called}: {key} must be a whole number, not {written}",
                        written,
                        "a task may ask for a part: num_gpus=0.5; or let a sharing scheduler deal them out",
                    )


@cluster_rule("GPU05")
def more_than_the_limit(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Ray would schedule more than is there. Without a limit nobody can tell: the node's own, or pretended ones."""
    for hardware in compared(cluster, context):
        told = hardware.told_gpus
        if told is None or told <= hardware.gpus or (not hardware.gpus and hardware.keys(Family.SHARED)):
            continue
        severity = Severity.DENY if hardware.gpus else Severity.WARN
        key = hardware.gpu_keys[0] if hardware.gpu_keys else "GPU"
        limit = f"exceeds {key} limit {spoken(hardware.gpus)}" if hardware.gpus else "is set, and there is no GPU limit"
        hint = "leave num-gpus out: it follows the limit" if hardware.gpus else _without_limit(hardware)
        yield Found(
            hardware.gpu_path,
            f"{hardware.group.called}: num-gpus {hardware.gpu_param} {limit}",
            hardware.gpu_param,
            hint,
            severity=severity,
        )


def _without_limit(hardware: Hardware) -> str:
    """The way out; of a device that nobody here knows, what makes it known."""
    device = next((key for key in sorted(hardware.group.limits) if "/" in key), "")
    if device and not hardware.accelerated:
        return f"if {device} is a GPU, the operator's owner may list it in admission.gpuKeys"
    return f"add a limit, as in nvidia.com/gpu: {hardware.gpu_param}, or leave num-gpus out"


@cluster_rule("GPU06", Severity.WARN)
def less_than_the_limit(cluster: Cluster, context: Context) -> Iterator[Found]:
    """The rest is paid for and never used."""
    for hardware in compared(cluster, context):
        told = hardware.told_gpus
        if told is not None and 0 < told < hardware.gpus:
            yield Found(
                hardware.gpu_path,
                f"{hardware.group.called}: only {hardware.gpu_param} of {spoken(hardware.gpus)} requested GPUs is "
                "announced to Ray",
                hardware.gpu_param,
            )


@cluster_rule("GPU07", Severity.WARN)
def none_of_the_limit(cluster: Cluster, context: Context) -> Iterator[Found]:
    """As GPU06, of a worker. A head may well be kept free of tasks."""
    for hardware in compared(cluster, context):
        if not hardware.group.is_head and hardware.gpus and hardware.told_gpus == 0:
            yield Found(
                hardware.gpu_path,
                f"{hardware.group.called}: num-gpus is 0, and the pod has {spoken(hardware.gpus)} GPUs: nothing will "
                "be scheduled on them",
                hardware.gpu_param,
            )


@cluster_rule("GPU08", Severity.WARN)
def head_takes_tasks(cluster: Cluster, context: Context) -> Iterator[Found]:
    """A task on the head competes with what runs the cluster. Who says how many GPUs Ray gets there means it."""
    for hardware in compared(cluster, context):
        if hardware.group.is_head and hardware.gpus and not hardware.says_gpus and cluster.groups:
            count = spoken(hardware.gpus)
            yield Found(
                f"{hardware.group.container_path}.resources.limits[{hardware.gpu_keys[0]}]",
                f"the head has GPUs ({count}), which tasks will take",
                None,
                f'num-gpus: "0" on the head, or a head without GPUs; num-gpus: "{count}" if tasks are to take them',
            )


@cluster_rule("GPU10", Severity.WARN)
def only_one_announced(cluster: Cluster, context: Context) -> Iterator[Found]:
    """The operator announces the first GPU key and one other accelerator (AC-7)."""
    for hardware in hardware_of(cluster, context):
        others = [key for key in (NEURON_CORE, TPU) if hardware.group.limits.get(key)]
        for keys in (hardware.gpu_keys, others):
            if len(keys) > 1:
                yield Found(
                    f"{hardware.group.container_path}.resources.limits",
                    f"{hardware.group.called}: of {', '.join(keys)} only {keys[0]} is announced to Ray",
                    list(keys),
                    "one kind per worker group",
                )


@cluster_rule("GPU11", Severity.WARN)
def device_of_a_sidecar(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Ray's container gets none of it."""
    for hardware in hardware_of(cluster, context):
        if hardware.accelerated:
            continue
        for container in hardware.containers[1:]:
            for key, limit in container.limits.items():
                if limit and family_of(key, context.admission) is not Family.PLAIN:
                    yield Found(
                        f"{container.path}.resources.limits[{key}]",
                        f"{hardware.group.called}: {key} is requested by container {container.name}, not by the Ray "
                        "container (index 0)",
                        child(container.written, "limits")[key],
                    )


@cluster_rule("GPU13", Severity.WARN)
def claimed_and_untold(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Ray cannot see devices that come by resource claims."""
    for hardware in hardware_of(cluster, context):
        if hardware.claims and not hardware.says_gpus:
            yield Found(
                hardware.gpu_path,
                f"{hardware.group.called}: devices come by resource claims, which Ray cannot see; set num-gpus",
            )


@cluster_rule("GPU14", Severity.WARN)
def slices_untold(cluster: Cluster, context: Context) -> Iterator[Found]:
    """The autoscaler takes keys that end in gpu for GPUs, and no others: it starts no node of the group for a GPU."""
    for hardware in hardware_of(cluster, context):
        for key in hardware.keys(Family.MIG)[:1]:
            if hardware.gpu_param or hardware.group.resources:
                continue
            seen = "the autoscaler" if is_plain_mig(key) else "neither operator nor autoscaler"
            verb = "does not take" if is_plain_mig(key) else "takes"
            yield Found(
                f"{hardware.group.container_path}.resources.limits[{key}]",
                f"{hardware.group.called}: {seen} {verb} {key} for a GPU; set num-gpus",
                child(hardware.containers[0].written, "limits")[key],
                f'num-gpus: "{spoken(hardware.gpus)}"',
                severity=Severity.DENY if _never_started(cluster, hardware) else Severity.WARN,
            )


def _never_started(cluster: Cluster, hardware: Hardware) -> bool:
    """Is it for the autoscaler to start the first node, and is there no other name by which a task could ask for it?"""
    group = hardware.group
    waits = cluster.autoscaling and not group.is_head and not whole(group.spec, "minReplicas")
    return waits and "resources" not in group.start_params


@cluster_rule("GPU15", Severity.WARN)
def share_untold(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Ray knows nothing of parts of a GPU."""
    for hardware in hardware_of(cluster, context):
        for key in hardware.keys(Family.SHARED)[:1]:
            if not hardware.gpu_keys and not hardware.says_gpus:
                yield Found(
                    f"{hardware.group.container_path}.resources.limits[{key}]",
                    f"{hardware.group.called}: {key} is no GPU to Ray; set num-gpus",
                    child(hardware.containers[0].written, "limits")[key],
                    hint='num-gpus: "1" lets one task have the share',
                )


@cluster_rule("GPU19", Severity.WARN)
def tpu_slice(cluster: Cluster, context: Context) -> Iterator[Found]:
    """A slice has as many hosts as its topology has chips for."""
    for hardware in hardware_of(cluster, context):
        chips = hardware.group.limits.get(TPU)
        if not chips:
            continue
        selector = mapping(hardware.group.pod_spec, "nodeSelector")
        for key in (TPU_ACCELERATOR, TPU_TOPOLOGY) if cluster.autoscaling else ():
            if not selector.get(key):
                yield Found(
                    f"{hardware.group.path}.template.spec.nodeSelector[{key}]",
                    f"{hardware.group.called}: without the node selector {key} the autoscaler cannot tell which slice "
                    "this is, and starts none for a task that asks for a whole one",
                    None,
                    f"add it, as in {key.rpartition('/')[2]}: {EXAMPLES[key]}",
                )
        topology, hosts = selector.get(TPU_TOPOLOGY, ""), whole(hardware.group.spec, "numOfHosts")
        hosts = 1 if hosts is None else hosts
        if _TOPOLOGY.fullmatch(topology) and (wanted := prod(map(int, topology.split("x")))) != chips * hosts:
            fitting = wanted / chips
            yield Found(
                f"{hardware.group.path}.numOfHosts",
                f"{hardware.group.called}: topology {topology} has {wanted} chips, and {hosts} hosts of "
                f"{spoken(chips)} chips have {spoken(chips * hosts)}",
                hosts,
                f"numOfHosts: {fitting}" if fitting.denominator == 1 else f"{TPU}: {wanted}, on one host",
            )


@cluster_rule("GPU20", Severity.WARN)
def tpu_chips(cluster: Cluster, context: Context) -> Iterator[Found]:
    """No machine has another number. A request that differs is GPU01's."""
    for hardware in hardware_of(cluster, context):
        chips = hardware.group.limits.get(TPU)
        if chips and chips not in TPU_CHIPS:
            yield Found(
                f"{hardware.group.container_path}.resources.limits[{TPU}]",
                f"{hardware.group.called}: a pod has 1, 2, 4 or 8 TPU chips, not {spoken(chips)}",
                child(hardware.containers[0].written, "limits")[TPU],
            )


@cluster_rule("GPU21", Severity.WARN)
def neuron_devices(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Only neuroncore is announced."""
    for hardware in hardware_of(cluster, context):
        limits, told = hardware.group.limits, hardware.start_resources
        named = NEURON_CORES in hardware.group.resources or (told is not None and NEURON_CORES in told.offered)
        if limits.get(NEURON_DEVICE) and not limits.get(NEURON_CORE) and not named:
            yield Found(
                f"{hardware.group.container_path}.resources.limits[{NEURON_DEVICE}]",
                f"{hardware.group.called}: {NEURON_DEVICE} is not announced to Ray; {NEURON_CORE} is",
                child(hardware.containers[0].written, "limits")[NEURON_DEVICE],
                f"or say how many there are: resources: '{{\"{NEURON_CORES}\": n}}'",
            )


RULES: Final[tuple[Rule, ...]] = (
    request_against_limit,
    request_without_limit,
    part_of_a_device,
    more_than_the_limit,
    less_than_the_limit,
    none_of_the_limit,
    head_takes_tasks,
    only_one_announced,
    device_of_a_sidecar,
    claimed_and_untold,
    slices_untold,
    share_untold,
    tpu_slice,
    tpu_chips,
    neuron_devices,
)
