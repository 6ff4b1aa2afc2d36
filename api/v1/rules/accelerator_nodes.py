"""Rules about where pods with accelerators run, and how many there may be (spec admission §4.4).

GPU24 and GPU26 need to know the cluster's nodes: they are silent until the operator's owner lists taints and products.
GPU28 and GPU29 are hooks for house rules, off until somebody turns them on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from api.v1.raycluster import MAX_REPLICAS
from api.v1.rules.hardware import Hardware, compared, hardware_of, is_gpu_key
from api.v1.rules.making import QUEUE_LABEL
from api.v1.rules.model import Context, Rule, Severity
from api.v1.rules.places import cluster_rule
from api.v1.rules.reading import Cluster, Found, children
from api.v1.rules.typed import mapping, text, whole

__all__ = ["RULES"]

GPU_NODES: Final = ("cloud.google.com/gke-accelerator", "k8s.amazonaws.com/accelerator")  # labels of nodes with GPUs
GANG_LABELS: Final = ("ray.io/gang-scheduling-enabled", "ray.io/scheduler-name", QUEUE_LABEL)


@cluster_rule("GPU09", Severity.WARN)
def head_may_find_gpus(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Ray counts the GPUs that it sees, limits or not."""
    for hardware in compared(cluster, context):
        if not hardware.group.is_head or hardware.accelerated or hardware.says_gpus:
            continue
        for path, key in _gpu_nodes(hardware, context):
            yield Found(
                path,
                f"the head may land on a node with GPUs ({key}) and would take them without a limit",
                key,
                'num-gpus: "0" on the head',
            )
            break


@cluster_rule("GPU24", Severity.WARN)
def taint_not_tolerated(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Silent unless the operator's owner lists the taints of GPU nodes; Kueue injects tolerations itself."""
    taints = context.admission.gpu_taints
    if not taints or cluster.labels.get(QUEUE_LABEL):
        return
    for hardware in hardware_of(cluster, context):
        if not hardware.gpus:
            continue
        tolerations = children(hardware.group.pod_spec, "tolerations")
        every = any(not text(one, "key") and one.get("operator") == "Exists" for one in tolerations)
        if not every and not any(text(one, "key") in taints for one in tolerations):
            yield Found(
                f"{hardware.group.path}.template.spec.tolerations",
                f"{hardware.group.called} has GPUs and no toleration for {' or '.join(taints)}: it will not be "
                "scheduled",
            )


@cluster_rule("GPU25", Severity.WARN)
def on_gpu_nodes_without(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Pods that need no GPU hold nodes that have some."""
    for hardware in hardware_of(cluster, context):
        for path, key in _gpu_nodes(hardware, context):
            if hardware.uses_none:
                yield Found(path, f"{hardware.group.called} asks for nodes with GPUs ({key}) and for no GPU", key)
            break


@cluster_rule("GPU26", Severity.WARN)
def product_unknown(cluster: Cluster, context: Context) -> Iterator[Found]:
    """Silent unless the operator's owner lists the products that there are."""
    products = context.admission.gpu_products
    if not products:
        return
    for hardware in hardware_of(cluster, context):
        for key, value in mapping(hardware.group.pod_spec, "nodeSelector").items():
            if (key in GPU_NODES or key.endswith("gpu.product")) and value not in products:
                yield Found(
                    f"{hardware.group.path}.template.spec.nodeSelector[{key}]",
                    f"{hardware.group.called}: no node has the GPU {value}; there are {', '.join(products)}",
                    value,
                )


@cluster_rule("GPU27", Severity.WARN)
def unbounded(cluster: Cluster, context: Context) -> Iterator[Found]:
    """The schema's default is 2147483647."""
    for hardware in hardware_of(cluster, context) if cluster.autoscaling else ():
        most = whole(hardware.group.spec, "maxReplicas")
        if hardware.gpus and not hardware.group.is_head and (most is None or most >= MAX_REPLICAS):
            yield Found(
                f"{hardware.group.path}.maxReplicas",
                f"{hardware.group.called} has GPUs and no maxReplicas: nothing bounds what the autoscaler may ask for",
                most,
            )


@cluster_rule("GPU28", Severity.OFF)
def gpus_without_queue(cluster: Cluster, context: Context) -> Iterator[Found]:
    """A hook for those whose GPUs are all to be queued for."""
    for hardware in hardware_of(cluster, context) if not cluster.labels.get(QUEUE_LABEL) else ():
        wanted = [name for name in ("minReplicas", "replicas") if (whole(hardware.group.spec, name) or 0) > 0]
        if hardware.gpus and wanted:
            yield Found(
                f"{hardware.group.path}.{wanted[0]}",
                f"{hardware.group.called} takes GPUs at once, without a queue ({QUEUE_LABEL})",
                whole(hardware.group.spec, wanted[0]),
            )


@cluster_rule("GPU29", Severity.OFF)
def hosts_without_gang(cluster: Cluster, context: Context) -> Iterator[Found]:
    """A hook for those who want whole replicas scheduled together or not at all."""
    for hardware in hardware_of(cluster, context) if not any(map(cluster.labels.get, GANG_LABELS)) else ():
        hosts = whole(hardware.group.spec, "numOfHosts") or 1
        if hosts > 1:
            yield Found(
                f"{hardware.group.path}.numOfHosts",
                f"{hardware.group.called}: {hosts} hosts per replica and no scheduler that places them together",
                hosts,
            )


RULES: Final[tuple[Rule, ...]] = (
    head_may_find_gpus,
    taint_not_tolerated,
    on_gpu_nodes_without,
    product_unknown,
    unbounded,
    gpus_without_queue,
    hosts_without_gang,
)


def _gpu_nodes(hardware: Hardware, context: Context) -> Iterator[tuple[str, str]]:
    """Where the pod template asks for nodes with GPUs: path and key."""
    spec, path = hardware.group.pod_spec, f"{hardware.group.path}.template.spec"
    for key, value in mapping(spec, "nodeSelector").items():
        if _of_gpu_node(key, context) and value != "false":
            yield f"{path}.nodeSelector[{key}]", key
    for index, toleration in enumerate(children(spec, "tolerations")):
        if _of_gpu_node(text(toleration, "key"), context):
            yield f"{path}.tolerations[{index}]", text(toleration, "key")


def _of_gpu_node(key: str, context: Context) -> bool:
    """Is it a label or a taint of nodes with GPUs?"""
    named = (
        key in GPU_NODES or key in context.admission.gpu_taints or key.startswith(("nvidia.com/gpu", "nvidia.com/mig"))
    )
    return named or is_gpu_key(key, context)
