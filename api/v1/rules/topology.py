"""Rules about names: of objects, groups, Services, ports, labels, containers (spec admission §4.5; NM01 to NM16).

NM01 is M1 to M7, which are enforced, and NM04 is M11 for a RayCluster: neither is said twice. NM02 stands with the
other rules about RayCronJobs, NM12 in `service_ports`. A common name of more than 64 characters (NM16) would need a
cluster name that M1 refuses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from api.v1.rules.making import GENERATED_LENGTH, job_in, name_of, object_rule, placed_rule, queued
from api.v1.rules.metadata import LONGEST_NAME
from api.v1.rules.model import Context, Rule, Severity
from api.v1.rules.names import dns1035_problem, dns1123_problem, dns_problem, label_value_problem
from api.v1.rules.places import PlacedCluster, cluster_rule
from api.v1.rules.reading import Cluster, Found, Group
from api.v1.rules.security import tls_enabled
from api.v1.rules.typed import child, entries, mapping, text, whole
from api.v1.wire import (
    ANNOTATION_SERVE_SERVICE,
    APPLICATION,
    CREATED_BY,
    HEAD,
    HEAD_GROUP,
    LABEL_APP_NAME,
    LABEL_CLUSTER,
    LABEL_CREATED_BY,
    LABEL_GROUP,
    LABEL_IDENTIFIER,
    LABEL_NODE_TYPE,
    WORKER,
)

__all__ = ["RULES", "cluster_name"]

Json = Mapping[str, Any]

POD_PREFIX: Final = 50  # characters of <cluster>-<group> that pod names keep
MOST_QUEUED_GROUPS: Final = 7  # Kueue admits eight pod sets, and the head is one
LONGEST_DOMAIN: Final = 253
TICK: Final = "-00000000"  # what a RayCronJob's tick adds to its name
CHILD: Final = "-xxxxx"  # what a RayJob or a RayService adds to its own for its cluster
RESERVED_GROUPS: Final = ("head", "submittergroup", "submitter")
TIER: Final = "volcano.sh/network-topology-highest-tier-allowed"
TOPOLOGY_MODE: Final = "volcano.sh/network-topology-mode"
SUBMITTER: Final = "ray-job-submitter"


def cluster_name(new: Json) -> str:
    """The name of the cluster that an object is or makes; "" where nobody can know."""
    name, kind = name_of(new), text(new, "kind")
    if not name or kind == "RayCluster":
        return name
    return name + (TICK if kind == "RayCronJob" else "") + CHILD


@object_rule("NM03")
def generated_name(new: Json, _: Context) -> Iterator[Found]:
    """Offline: in a cluster the server has made the name, and M1 to M7 judge that."""
    metadata, kind = child(new, "metadata"), text(new, "kind")
    prefix, most = text(metadata, "generateName"), LONGEST_NAME.get(kind)
    if text(metadata, "name") or not prefix or most is None:
        return
    if len(name_of(new)) > most:
        yield Found(
            "metadata.generateName",
            f"the generated name has {len(name_of(new))} characters; a {kind} may have {most}",
            prefix,
            f"shorten the prefix to {most - GENERATED_LENGTH} characters or fewer",
        )
    elif problem := dns1035_problem(name_of(new)):
        yield Found("metadata.generateName", f"the generated name is no DNS1035 label: {problem}", prefix)


@placed_rule("NM04", kinds=["RayJob", "RayService", "RayCronJob"])
def same_group_twice(_new: Json, placed: PlacedCluster, _: Context) -> Iterator[Found]:
    """The child is refused, or its groups fight over pods; of a RayCluster itself M11 says it."""
    seen: set[str] = set()
    for group in placed.cluster.groups:
        if group.name in seen:
            yield Found(f"{group.path}.groupName", "worker group names must be unique", group.name, item=group.index)
        seen.add(group.name)


@cluster_rule("NM05", Severity.WARN)
def same_group_but_for_case(cluster: Cluster, _: Context) -> Iterator[Found]:
    """Pod names and Kueue's pod sets are lower-cased."""
    seen: dict[str, str] = {}
    for group in cluster.groups:
        former = seen.setdefault(group.name.lower(), group.name)
        if former != group.name:
            yield Found(
                f"{group.path}.groupName",
                f"worker group {group.name} differs from {former} in case only: pod names do not tell them apart, and "
                "Kueue takes them for one",
                group.name,
                "choose another name",
                group.index,
            )


@cluster_rule("NM06")
def group_name_odd(cluster: Cluster, _: Context) -> Iterator[Found]:
    """It is a label's value, and part of pod names. Under a network policy C59 is stricter, and says so."""
    if cluster.spec.get("networkPolicy") is not None:
        return
    for group in cluster.groups:
        path, hint = f"{group.path}.groupName", "use lower case letters, digits and '-'"
        if not group.name:
            yield Found(path, "a worker group needs a name", group.name, hint, group.index)
        elif problem := label_value_problem(group.name):
            message = f"worker group name {group.name} cannot be a label value: {problem}"
            yield Found(path, message, group.name, hint, group.index)
        elif problem := dns1123_problem(group.name):
            message = f"worker group name {group.name} is no DNS label: {problem}"
            yield Found(path, message, group.name, hint, group.index, Severity.WARN)


@cluster_rule("NM07")
def group_name_reserved(cluster: Cluster, _: Context) -> Iterator[Found]:
    """The head's own group has that name for the autoscaler; Kueue has names for pod sets of its own."""
    for group in cluster.groups:
        path = f"{group.path}.groupName"
        if group.name == HEAD_GROUP:
            message = f"a worker group cannot be called {HEAD_GROUP}: that is the head's"
            yield Found(path, message, group.name, "rename the group", group.index)
        elif group.name.lower() in (*RESERVED_GROUPS, HEAD_GROUP):
            message = f"a worker group called {group.name} is taken for something else by Kueue"
            yield Found(path, message, group.name, "rename the group", group.index, Severity.WARN)


@placed_rule("NM08", Severity.WARN)
def pod_names_cut(new: Json, placed: PlacedCluster, _: Context) -> Iterator[Found]:
    """What is cut is the group's name."""
    name = cluster_name(new)
    for group in placed.cluster.groups:
        length = len(f"{name}-{group.name}")
        if name and group.name and length > POD_PREFIX:
            yield Found(
                f"{group.path}.groupName",
                f"cluster and group name together have {length} characters; pod names keep {POD_PREFIX}",
                group.name,
                "shorten the object's name or the group's",
                group.index,
            )


@placed_rule("NM09", Severity.WARN, kinds=["RayCluster", "RayJob", "RayService"])
def too_many_groups_for_kueue(new: Json, placed: PlacedCluster, _: Context) -> Iterator[Found]:
    """It would never admit the object."""
    count = len(placed.cluster.groups)
    if queued(new) and count > MOST_QUEUED_GROUPS:
        yield Found(
            "workerGroupSpecs",
            f"Kueue admits {MOST_QUEUED_GROUPS} worker groups at most, here are {count}",
            count,
            "join groups, or leave the queue label out",
        )


@placed_rule("NM10", kinds=["RayCluster", "RayJob", "RayCronJob"])
def head_service_name(new: Json, placed: PlacedCluster, _: Context) -> Iterator[Found]:
    """The Service could not be made, or would be another one. In a RayService V3 refuses any name."""
    name = text(child(placed.cluster.head.spec, "headService", "metadata"), "name")
    yield from _service_name(name, _made_beside(new, placed), "headGroupSpec.headService.metadata.name", "head Service")


def _made_beside(new: Json, placed: PlacedCluster) -> list[str]:
    """The names of the Services that the operator makes for that very object beside the head's."""
    own, kind = name_of(new), text(new, "kind")
    made = [f"{own}-head-svc"] if kind == "RayJob" else []
    if kind == "RayCluster" and mapping(new, "metadata", "annotations").get(ANNOTATION_SERVE_SERVICE) == "true":
        made.append(f"{own}-serve-svc")
    if kind == "RayCluster" and any((whole(group.spec, "numOfHosts") or 1) > 1 for group in placed.cluster.groups):
        made.append(f"{own}-headless")
    return made


@object_rule("NM11", ["RayService"])
def serve_service_name(new: Json, _: Context) -> Iterator[Found]:
    """As for the head's."""
    name = text(child(new, "spec", "serveService", "metadata"), "name")
    taken = (f"{name_of(new)}-head-svc",)
    yield from _service_name(name, taken, "spec.serveService.metadata.name", "serve Service")


def _service_name(name: str, taken: Sequence[str], path: str, what: str) -> Iterator[Found]:
    if not name:
        return
    if problem := dns1035_problem(name):
        yield Found(path, f"the {what}'s name should be a DNS1035 label: {problem}", name)
    elif name in taken:
        yield Found(path, f"the {what} cannot be called {name}: another Service of this object is", name)


@placed_rule("NM13", Severity.WARN)
def reserved_labels(new: Json, placed: PlacedCluster, _: Context) -> Iterator[Found]:
    """The operator's values stand in any case, or a Service no longer finds the head."""
    cluster, own_name = placed.cluster, name_of(new) if text(new, "kind") == "RayCluster" else ""
    for group in cluster.all_groups:
        given = mapping(group.pod_metadata, "labels")
        if not given:
            continue
        ours = {
            LABEL_CLUSTER: own_name,
            LABEL_NODE_TYPE: HEAD if group.is_head else WORKER,
            LABEL_GROUP: HEAD_GROUP if group.is_head else group.name,
        }
        at_labels = f"{group.path}.template.metadata.labels"
        for key in (key for key, value in ours.items() if key in given and given[key] != value):
            message = f"the operator sets {key} itself; this value is ignored"
            yield Found(f"{at_labels}[{key}]", message, given[key], "leave the label out", group.index)
        selected = _selecting(text(new, "kind"), cluster_name(new))
        for key in (key for key, value in selected.items() if group.is_head and key in given and given[key] != value):
            message = f"the head Service selects {key}={selected[key]}, so it finds no head with this label"
            yield Found(f"{at_labels}[{key}]", message, given[key], "leave the label out", group.index)


def _selecting(kind: str, cluster: str) -> dict[str, str]:
    """What head Services select beside the labels that nobody can change."""
    follows = kind == "RayCluster"  # its head Service looks for the template's application name
    application = {} if follows else {LABEL_APP_NAME: APPLICATION}
    return {LABEL_IDENTIFIER: f"{cluster}-{HEAD}", LABEL_CREATED_BY: CREATED_BY} | application


@object_rule("NM14", ["RayCluster", "RayJob", "RayService"], of_metadata=True)
def topology_tier(new: Json, _: Context) -> Iterator[Found]:
    """The batch scheduler's group could not be made; without the mode beside it nobody reads the tier."""
    labels = mapping(new, "metadata", "labels")
    tier = labels.get(TIER)
    if tier is not None and not tier.removeprefix("-").removeprefix("+").isdecimal():
        read = TOPOLOGY_MODE in labels
        yield Found(
            f"metadata.labels[{TIER}]",
            f"{TIER} should be an integer",
            tier,
            "" if read else f"it is read only beside {TOPOLOGY_MODE}",
            severity=None if read else Severity.WARN,
        )


@placed_rule("NM15")
def container_names_taken(new: Json, placed: PlacedCluster, context: Context) -> Iterator[Found]:
    """The operator adds containers of these names, and a pod cannot have two. The history collector is C49's."""
    cluster, around = placed.cluster, context.surroundings
    tls = {"wait-for-tls-ip-san": "TLS is on"} if tls_enabled(cluster, context) else {}
    head = dict.fromkeys(around.head_sidecars, "it is a sidecar of every head") | tls
    if cluster.autoscaling:
        head["autoscaler"] = "autoscaling is on"
    job = job_in(new)
    if job is not None and job.mode == "SidecarMode":
        head[SUBMITTER] = "SidecarMode adds it"
    worker = dict.fromkeys(around.worker_sidecars, "it is a sidecar of every worker") | tls
    if around.injects_init_container:
        worker["wait-gcs-ready"] = "every worker waits in it for the head"
    yield from _taken(cluster.head, head)
    for group in cluster.groups:
        yield from _taken(group, worker)


def _taken(group: Group, names: Mapping[str, str]) -> Iterator[Found]:
    for field in ("containers", "initContainers"):
        for index, container in entries(group.spec, "template", "spec", field):
            name = text(container, "name")
            if name in names:
                yield Found(
                    f"{group.path}.template.spec.{field}[{index}].name",
                    f"the operator adds a container called {name}: {names[name]}",
                    name,
                    "rename the container",
                    group.index,
                )


@placed_rule("NM16")
def domain_too_long(new: Json, placed: PlacedCluster, context: Context) -> Iterator[Found]:
    """Workers look for the head under it."""
    domain = context.surroundings.cluster_domain
    if problem := dns_problem(domain):
        yield Found("metadata.name", "CLUSTER_DOMAIN of the operator is no DNS name", domain, problem)
        return
    service = (
        text(child(placed.cluster.head.spec, "headService", "metadata"), "name") or f"{cluster_name(new)}-head-svc"
    )
    name = f"{service}.{text(child(new, 'metadata'), 'namespace')}.svc.{domain}"
    if len(name) > LONGEST_DOMAIN:
        yield Found("metadata.name", f"the head's address has {len(name)} characters, a DNS name may have 253", name)


RULES: Final[tuple[Rule, ...]] = (
    generated_name,
    same_group_twice,
    same_group_but_for_case,
    group_name_odd,
    group_name_reserved,
    pod_names_cut,
    too_many_groups_for_kueue,
    head_service_name,
    serve_service_name,
    reserved_labels,
    topology_tier,
    container_names_taken,
    domain_too_long,
)
