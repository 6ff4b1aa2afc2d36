"""What a RayCluster asks for, read once: the facts that names, labels, pods and Services are built from.

The builders work on these and never on the API model, so each rule that derives something from several fields (the
head's port, the creator kind, is it a RayService's cluster) stands here, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from api.meta import Json, OwnerReference, owner_reference
from api.v1.raycluster import MAX_REPLICAS, RayCluster, RayClusterSpec, WorkerGroupSpec
from api.v1.version import parse_version
from api.v1.wire import (
    ANNOTATION_FT_ENABLED,
    HEAD,
    HEAD_GROUP,
    LABEL_ORIGIN_KIND,
    PORT_AGENT,
    PORT_DASHBOARD,
    PORT_GCS,
    RAY_CLUSTERS,
    WORKER,
)
from controller.ray.desired import names
from controller.ray.options import Options

__all__ = ["Facts", "Group", "agent_port", "dashboard_port", "facts_of"]

CREATORS: Final = frozenset({"RayCluster", "RayJob", "RayService"})


@dataclass(frozen=True, slots=True)
class Group:
    """The head, or one worker group, as the spec has it."""

    name: str
    node_type: str
    template: Json
    params: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    replicas: int = 0
    least: int = 0  # minReplicas
    most: int = MAX_REPLICAS  # maxReplicas
    hosts: int = 1
    suspended: bool = False
    workers_to_delete: frozenset[str] = frozenset()

    @property
    def is_head(self) -> bool:
        return self.node_type == HEAD

    @property
    def container(self) -> Json:
        """The Ray container: index 0, always."""
        first: Json = self.template["spec"]["containers"][0]
        return first

    @property
    def desired_replicas(self) -> int:
        """How many replicas there should be now (spec raycluster §8.3.2)."""
        if self.suspended:
            return 0
        return min(max(self.replicas, self.least), self.most)

    @property
    def desired_pods(self) -> int:
        """How many pods there should be now."""
        return self.desired_replicas * self.hosts


@dataclass(frozen=True, slots=True)
class Facts:
    """A cluster, ready to be built."""

    name: str
    namespace: str
    uid: str
    owner: OwnerReference
    head: Group
    workers: tuple[Group, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    ray_version: tuple[int, ...] | None = None  # None: not given, or not a version
    cluster_domain: str = "cluster.local"
    creator: str = "RayCluster"  # RayJob or RayService when one of them made the cluster
    service_type: str = ""
    head_service: Json | None = None
    head_service_annotations: Mapping[str, str] = field(default_factory=dict)
    ingress: Json | None = None  # spec.headGroupSpec.ingressOptions, as on the wire; None: no Ingress is wanted
    autoscaling: bool = False
    autoscaler: Json = field(default_factory=dict)  # spec.autoscalerOptions, as on the wire
    auth: Json | None = None  # spec.authOptions, as on the wire
    fault_tolerance: Json | None = None  # spec.gcsFaultToleranceOptions, as on the wire

    @property
    def head_service_name(self) -> str:
        chosen = ((self.head_service or {}).get("metadata") or {}).get("name") or ""
        return names.head_service(self.name, chosen)

    @property
    def head_address(self) -> str:
        """The head's full domain name."""
        return names.fqdn(self.head_service_name, self.namespace, self.cluster_domain)

    @property
    def head_port(self) -> str:
        """The GCS port, as text, for it is pasted into addresses."""
        return self.head.params.get("port") or str(PORT_GCS)

    @property
    def of_ray_service(self) -> bool:
        return self.creator == "RayService"

    @property
    def fault_tolerant(self) -> bool:
        """Does the GCS keep its state outside the head (spec raycluster §12)?"""
        return self.fault_tolerance is not None or self.annotations.get(ANNOTATION_FT_ENABLED, "").lower() == "true"

    @property
    def multi_host(self) -> bool:
        return any(group.hosts > 1 for group in self.workers)

    @property
    def desired_workers(self) -> int:
        return sum(group.desired_pods for group in self.workers)

    def group(self, name: str) -> Group | None:
        """The worker group of that name (the first, should there be two)."""
        return next((group for group in self.workers if group.name == name), None)


def facts_of(cluster: RayCluster, options: Options) -> Facts:
    """The facts of a stored cluster. It must have a spec: what lacks one was refused before (spec raycluster §6.2)."""
    spec = cluster.spec
    assert spec is not None
    head = spec.head_group_spec
    autoscaler = spec.autoscaler_options
    return Facts(
        name=cluster.name,
        namespace=cluster.namespace,
        uid=cluster.uid,
        owner=owner_reference(RAY_CLUSTERS, {"metadata": cluster.metadata}),
        head=_head(spec),
        workers=tuple(_workers(group) for group in spec.worker_group_specs),
        labels=cluster.labels,
        annotations=cluster.annotations,
        ray_version=parse_version(spec.ray_version),
        cluster_domain=options.cluster_domain,
        creator=_creator(cluster.labels),
        service_type=head.service_type,
        head_service=head.head_service,
        head_service_annotations=spec.head_service_annotations,
        ingress=_ingress(spec),
        autoscaling=bool(spec.enable_in_tree_autoscaling),
        autoscaler=autoscaler.to_json() if autoscaler else {},
        auth=spec.auth_options.to_json() if spec.auth_options else None,
        fault_tolerance=spec.gcs_fault_tolerance_options.to_json() if spec.gcs_fault_tolerance_options else None,
    )


def _head(spec: RayClusterSpec) -> Group:
    head = spec.head_group_spec
    return Group(
        name=HEAD_GROUP,
        node_type=HEAD,
        template=head.template,
        params=head.ray_start_params,
        resources=head.resources,
        labels=head.labels,
        replicas=1,
        least=1,
        most=1,
    )


def _workers(group: WorkerGroupSpec) -> Group:
    strategy = group.scale_strategy
    return Group(
        name=group.group_name,
        node_type=WORKER,
        template=group.template,
        params=group.ray_start_params,
        resources=group.resources,
        labels=group.labels,
        replicas=group.replicas,
        least=group.min_replicas,
        most=group.max_replicas,
        hosts=max(1, group.num_of_hosts),  # the reference crashes on a negative one, and deletes all on 0
        suspended=bool(group.suspend),
        workers_to_delete=frozenset(strategy.workers_to_delete if strategy else ()),
    )


def _ingress(spec: RayClusterSpec) -> Json | None:
    head = spec.head_group_spec
    if not head.enable_ingress:
        return None
    return head.ingress_options.to_json() if head.ingress_options else {}


def _creator(labels: Mapping[str, str]) -> str:
    """Who made the cluster, by its label; a word that is none of the kinds counts as absent (spec raycluster §10.1)."""
    kind = labels.get(LABEL_ORIGIN_KIND, "")
    return kind if kind in CREATORS else "RayCluster"


def agent_port(params: Mapping[str, Any]) -> int:
    """Where the node's agent answers health requests."""
    return _integer(params, "dashboard-agent-listen-port", PORT_AGENT)


def dashboard_port(params: Mapping[str, Any]) -> int:
    """Where the head's dashboard listens."""
    return _integer(params, "dashboard-port", PORT_DASHBOARD)


def _integer(params: Mapping[str, Any], name: str, otherwise: int) -> int:
    """A port out of rayStartParams; what is no number counts as absent (spec raycluster §10.10)."""
    text = str(params.get(name, ""))
    return int(text) if text.isascii() and text.isdecimal() else otherwise
