"""The RayService and what belongs to it, read from the caches in one go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from api.core import ENDPOINT_SLICES, PODS, SERVICES
from api.meta import Json, Ref, Resource
from api.v1 import wire
from api.v1.rayservice import RayServiceSpec
from controller.ray.dashboard.address import address_of, dashboard_at, head_service_of
from controller.ray.dashboard.protocol import Known, Sessions, Target
from controller.ray.desired import names
from controller.ray.desired.goal import ClusterGoal
from controller.ray.looking import Views, another_s, object_of
from controller.ray.options import Options
from controller.ray.rayservice.seen import ClusterView, PodView, Seen, goal_of, spec_of
from controller.runtime.interfaces import Reader, Record

__all__ = ["LABEL_SERVICE_NAME", "is_originated", "observe"]

LABEL_SERVICE_NAME: Final = "kubernetes.io/service-name"  # on an EndpointSlice


async def observe(
    reader: Reader, sessions: Sessions, key: Ref, options: Options, fresh: str, views: Views[PodView]
) -> Seen | None:
    """One snapshot, or None when the RayService is gone. Raises StaleCache."""
    record = await reader.get(wire.RAY_SERVICES, key.namespace, key.name)
    if record is None:
        return None
    service = record.object()
    spec, malformed = spec_of(service)
    clusters = [one.object() for one in await _originated(reader, record, wire.RAY_CLUSTERS)]
    services = await _originated(reader, record, SERVICES)
    pods = await _pods(reader, clusters, views)
    serve_name = _serve_service_name(service)
    return Seen(
        service=service,
        spec=spec if spec is not None else RayServiceSpec.model_construct(),
        malformed=malformed,
        options=options,
        goal=goal_of(spec.serve_config_v2 if spec is not None else ""),
        cluster_goal=ClusterGoal((service.get("spec") or {}).get("rayClusterConfig") or {}),
        clusters=tuple(
            [await _cluster(reader, sessions, key, one, its, options) for one, its in zip(clusters, pods, strict=True)]
        ),
        services=tuple(one.object() for one in services),
        head_service=await object_of(reader, SERVICES, key.namespace, names.head_service(key.name)),
        serve_service=await object_of(reader, SERVICES, key.namespace, serve_name),
        endpoints=await _endpoints(reader, key.namespace, serve_name),
        fresh=fresh,
    )


def _serve_service_name(service: Json) -> str:
    custom = ((service.get("spec") or {}).get("serveService") or {}).get("metadata") or {}
    return str(custom.get("name") or names.serve_service(service["metadata"]["name"]))


async def _originated(reader: Reader, service: Record, resource: Resource) -> list[Record]:
    """Those that were made for this RayService, by label; what nobody controls was given to it by its user (E-57)."""
    ref = service.ref
    found = await reader.labelled(resource, ref.namespace, wire.LABEL_ORIGIN_NAME, ref.name, owner_uid=service.uid)
    named = (one for one in found if is_originated(one.labels))
    return sorted((one for one in named if not another_s(one, service.uid)), key=lambda one: one.ref.name)


def is_originated(labels: Mapping[str, str]) -> bool:
    """Do the labels of something say that it was made for a RayService?"""
    return labels.get(wire.LABEL_ORIGIN_KIND) == wire.RAY_SERVICES.kind


async def _pods(reader: Reader, clusters: Sequence[Json], views: Views[PodView]) -> list[list[PodView]]:
    """The pods of each cluster; those that are going are not there any more."""
    found = []
    for metadata in (one["metadata"] for one in clusters):
        pods = await reader.labelled(PODS, metadata["namespace"], wire.LABEL_CLUSTER, metadata["name"])
        found.append([one for one in pods if not one.deletion_timestamp])
    viewed = iter(views.of(one for pods in found for one in pods))
    return [[next(viewed) for _ in pods] for pods in found]


async def _cluster(
    reader: Reader, sessions: Sessions, key: Ref, cluster: Json, pods: Sequence[PodView], options: Options
) -> ClusterView:
    heads = [pod for pod in pods if pod.is_head]
    # Two heads are there for a moment, while one is being replaced: neither counts (E-10).
    head = heads[0] if len(heads) == 1 else None
    # The proxies that the serve Service would send requests to.
    doors = {door: pod for pod in pods if pod.ready and pod.label == "true" and (door := pod.door) is not None}
    target = await _target(reader, cluster, head, options) if head is not None else None
    return ClusterView(
        object=cluster,
        head=head,
        target=target,
        doors=tuple(doors),
        ungated=frozenset(door for door, pod in doors.items() if not (pod.is_head or pod.asks_proxy)),
        known=sessions.known(key, target) if target is not None else Known(),
        tells=options.gates.ray_cluster_status_conditions,
    )


async def _target(reader: Reader, cluster: Json, head: PodView, options: Options) -> Target | None:
    """The dashboard of the head that runs now; None without one, or while its Service is not there."""
    service = await object_of(reader, SERVICES, cluster["metadata"]["namespace"], head_service_of(cluster))
    address = address_of(service, options.cluster_domain) if service is not None else ""
    return dashboard_at(cluster, head.run, address) if head.run and address else None


async def _endpoints(reader: Reader, namespace: str, service: str) -> int:
    """Distinct pods behind the Service that are ready; those of two address families count once (E-46)."""
    slices = await reader.labelled(ENDPOINT_SLICES, namespace, LABEL_SERVICE_NAME, service)
    return len({uid for one in slices for endpoint in one.object().get("endpoints") or () if (uid := _ready(endpoint))})


def _ready(endpoint: Mapping[str, Any]) -> str:
    """The UID of the pod behind it; "" for one that is not ready, or of nobody."""
    ready = (endpoint.get("conditions") or {}).get("ready") is True
    return str((endpoint.get("targetRef") or {}).get("uid") or "") if ready else ""
