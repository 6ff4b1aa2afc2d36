"""The RayService and what belongs to it, read from the caches in one go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from api.core import ENDPOINT_SLICES, PODS, SERVICES
from api.meta import Json, Ref, Resource, controller_of
from api.v1 import wire
from api.v1.rayservice import RayServiceSpec
from controller.ray.dashboard.protocol import Known, Proxy, Sessions, Target
from controller.ray.dashboard.runs import head_run
from controller.ray.desired import names
from controller.ray.desired.ports import serve_port
from controller.ray.options import Options
from controller.ray.rayservice.seen import ClusterView, HeadView, Seen, goal_of, spec_of
from controller.runtime.interfaces import Reader, Record

__all__ = ["LABEL_SERVICE_NAME", "observe"]

LABEL_SERVICE_NAME: Final = "kubernetes.io/service-name"  # on an EndpointSlice
DASHBOARD: Final = "dashboard"
PROXY_HEALTH: Final = "/-/healthz"  # in whatever form a probe asks for it


async def observe(reader: Reader, sessions: Sessions, key: Ref, options: Options, fresh: str) -> Seen | None:
    """One snapshot, or None when the RayService is gone. Raises StaleCache."""
    record = await reader.get(wire.RAY_SERVICES, key.namespace, key.name)
    if record is None:
        return None
    service = record.object()
    spec, malformed = spec_of(service)
    clusters = await _originated(reader, record, wire.RAY_CLUSTERS)
    services = await _originated(reader, record, SERVICES)
    serve_name = _serve_service_name(service)
    return Seen(
        service=service,
        spec=spec if spec is not None else RayServiceSpec.model_construct(),
        malformed=malformed,
        options=options,
        goal=goal_of(spec.serve_config_v2 if spec is not None else ""),
        clusters=tuple([await _cluster(reader, sessions, key, one.object(), options) for one in clusters]),
        services=tuple(one.object() for one in services),
        head_service=await _object_of(reader, SERVICES, key.namespace, names.head_service(key.name)),
        serve_service=await _object_of(reader, SERVICES, key.namespace, serve_name),
        endpoints=await _endpoints(reader, key.namespace, serve_name),
        fresh=fresh,
    )


def _serve_service_name(service: Json) -> str:
    custom = ((service.get("spec") or {}).get("serveService") or {}).get("metadata") or {}
    return str(custom.get("name") or names.serve_service(service["metadata"]["name"]))


async def _originated(reader: Reader, service: Record, resource: Resource) -> list[Record]:
    """Those that were made for this RayService: by label, and not another's by owner."""
    ref = service.ref
    found = await reader.labelled(resource, ref.namespace, wire.LABEL_ORIGIN_NAME, ref.name, owner_uid=service.uid)
    ours = (one for one in found if one.labels.get(wire.LABEL_ORIGIN_KIND) == wire.RAY_SERVICES.kind)
    return sorted((one for one in ours if _ours(one, service.uid)), key=lambda one: one.ref.name)


def _ours(record: Record, uid: str) -> bool:
    owner = controller_of({"ownerReferences": record.owners})
    return owner is not None and owner["uid"] == uid


async def _object_of(reader: Reader, resource: Resource, namespace: str, name: str) -> Json | None:
    record = await reader.get(resource, namespace, name)
    return record.object() if record is not None else None


async def _cluster(reader: Reader, sessions: Sessions, key: Ref, cluster: Json, options: Options) -> ClusterView:
    metadata = cluster["metadata"]
    pods = [
        one.object()
        for one in await reader.labelled(PODS, metadata["namespace"], wire.LABEL_CLUSTER, metadata["name"])
        if not one.deletion_timestamp
    ]
    heads = [pod for pod in pods if _is_head(pod)]
    # Two heads are there for a moment, while one is being replaced: neither counts (E-10).
    head = heads[0] if len(heads) == 1 else None
    return ClusterView(
        object=cluster,
        head=_head(head) if head is not None else None,
        target=await _target(reader, cluster, head, options) if head is not None else None,
        doors=tuple(_doors(pods)),
        ungated=frozenset(_doors(pod for pod in pods if not (_is_head(pod) or _asks_proxy(pod)))),
        known=sessions.known(key, metadata["uid"]) if head is not None else Known(),
        tells=options.gates.ray_cluster_status_conditions,
    )


def _head(pod: Json) -> HeadView:
    metadata = pod["metadata"]
    return HeadView(
        name=metadata["name"],
        uid=metadata["uid"],
        ip=(pod.get("status") or {}).get("podIP", ""),
        port=serve_port(pod["spec"]["containers"][0]),
        label=(metadata.get("labels") or {}).get(wire.LABEL_SERVE, ""),
        ready=(pod.get("status") or {}).get("phase") == "Running" and _is_ready(pod),
    )


def _doors(pods: Iterable[Json]) -> Iterable[Proxy]:
    """The proxies of pods that the serve Service selects and that are ready."""
    for pod in pods:
        if _is_ready(pod) and pod["metadata"]["labels"].get(wire.LABEL_SERVE) == "true":
            door = _head(pod).door
            if door is not None:
                yield door


def _is_head(pod: Json) -> bool:
    return bool(pod["metadata"]["labels"].get(wire.LABEL_NODE_TYPE) == wire.HEAD)


def _asks_proxy(pod: Json) -> bool:
    """Does its readiness depend on its Serve proxy, as that of the probes that we inject does?"""
    return PROXY_HEALTH in str(pod["spec"]["containers"][0].get("readinessProbe") or "")


def _is_ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


async def _target(reader: Reader, cluster: Json, head: Json, options: Options) -> Target | None:
    """The dashboard of the head that runs now; None without one, or while its Service is not there."""
    run = head_run(head)
    metadata = cluster["metadata"]
    told = ((cluster.get("status") or {}).get("head") or {}).get("serviceName")
    service = await _object_of(reader, SERVICES, metadata["namespace"], told or names.head_service(metadata["name"]))
    if not run or service is None:
        return None
    port = next((one["port"] for one in service["spec"].get("ports") or () if one.get("name") == DASHBOARD), None)
    if port is None:
        return None
    host = names.fqdn(service["metadata"]["name"], metadata["namespace"], options.cluster_domain)
    auth = cluster["spec"].get("authOptions") or {}
    secret = names.token_secret(auth.get("secretName"), metadata["name"]) if auth.get("mode") == "token" else ""
    return Target(metadata["uid"], run, metadata["namespace"], f"http://{host}:{port}", secret)


async def _endpoints(reader: Reader, namespace: str, service: str) -> int:
    """Distinct pods behind the Service that are ready; those of two address families count once (E-46)."""
    slices = await reader.labelled(ENDPOINT_SLICES, namespace, LABEL_SERVICE_NAME, service)
    return len({uid for one in slices for endpoint in one.object().get("endpoints") or () if (uid := _ready(endpoint))})


def _ready(endpoint: Mapping[str, Any]) -> str:
    """The UID of the pod behind it; "" for one that is not ready, or of nobody."""
    ready = (endpoint.get("conditions") or {}).get("ready") is True
    return str((endpoint.get("targetRef") or {}).get("uid") or "") if ready else ""
