"""One look at a RayCluster and all that belongs to it, from the caches alone."""

from __future__ import annotations

from api import core
from api.meta import Json, Ref, controller_of
from api.v1 import wire
from api.v1.raycluster import RayCluster
from controller.ray.desired import labels, names, rbac
from controller.ray.desired.facts import Facts, facts_of
from controller.ray.looking import Views, another_s
from controller.ray.options import Options
from controller.ray.raycluster.seen import FINISHED, PodView, Rights, Seen
from controller.runtime.interfaces import Reader, Record

__all__ = ["observe"]

NODES = frozenset({wire.HEAD, wire.WORKER})


async def observe(reader: Reader, key: Ref, options: Options, views: Views[PodView]) -> Seen | None:
    """The cluster as the caches have it now, or None when it is gone. Raises StaleCache, and Malformed.

    Pods of another controller are none of ours, whatever their labels say; pods of nobody count as ours, as
    with the reference.
    """
    record = await reader.get(wire.RAY_CLUSTERS, key.namespace, key.name)
    if record is None:
        return None
    body = record.object()
    cluster = RayCluster.from_json(body)
    pods, predecessors = await _pods(reader, record, views)
    seen = Seen(object=body, cluster=cluster, pods=pods, predecessors=predecessors)
    if cluster.spec is None:
        return seen
    return await _with_children(reader, record, seen, facts_of(cluster, options))


async def _pods(reader: Reader, cluster: Record, views: Views[PodView]) -> tuple[tuple[PodView, ...], tuple[str, ...]]:
    place, name = cluster.ref.namespace, cluster.ref.name
    found = await reader.labelled(core.PODS, place, wire.LABEL_CLUSTER, name, owner_uid=cluster.uid)
    nodes = [one for one in found if one.labels.get(wire.LABEL_NODE_TYPE) in NODES]
    ours, predecessors = [], []
    for record, view in zip(nodes, views.of(nodes), strict=True):
        if not another_s(record, cluster.uid):
            ours.append(view)
        elif _of_a_namesake(record, name):
            predecessors.append(view)
    alive = tuple(pod.name for pod in predecessors if pod.phase not in FINISHED)
    return tuple(sorted(ours, key=lambda pod: pod.name)), alive


def _of_a_namesake(record: Record, name: str) -> bool:
    """Of a deleted cluster that was called the same: garbage collection is about to take it."""
    owner = controller_of({"ownerReferences": record.owners})
    return owner is not None and owner["kind"] == wire.RAY_CLUSTERS.kind and owner["name"] == name


async def _with_children(reader: Reader, record: Record, seen: Seen, facts: Facts) -> Seen:
    place, uid = record.ref.namespace, record.uid
    found = await reader.labelled(core.SERVICES, place, wire.LABEL_CLUSTER, facts.name, owner_uid=uid)
    selector = labels.plain_head_selector(facts.name)
    marks = {key: selector[key] for key in (wire.LABEL_CLUSTER, wire.LABEL_NODE_TYPE, wire.LABEL_IDENTIFIER)}
    heads = [one for one in found if marks.items() <= one.labels.items() and not another_s(one, uid)]
    return Seen(
        object=seen.object,
        cluster=seen.cluster,
        pods=seen.pods,
        predecessors=seen.predecessors,
        head_services=tuple(one.object() for one in sorted(heads, key=lambda one: one.ref.name)),
        headless_service=await _own_service(reader, record, names.headless_service(facts.name)),
        serve_service=await _own_service(reader, record, names.serve_service(facts.name)),
        ingress=await _ingress(reader, facts) if facts.ingress is not None else None,
        rights=await _rights(reader, facts) if facts.autoscaling else Rights(),
        facts=facts,
    )


async def _own_service(reader: Reader, cluster: Record, name: str) -> Json | None:
    record = await reader.get(core.SERVICES, cluster.ref.namespace, name)
    return record.object() if record is not None and not another_s(record, cluster.uid) else None


async def _ingress(reader: Reader, facts: Facts) -> Json | None:
    """By name alone: its labels may have been changed, and are then repaired."""
    record = await reader.get(core.INGRESSES, facts.namespace, names.ingress(facts.name))
    return record.object() if record is not None else None


async def _rights(reader: Reader, facts: Facts) -> Rights:
    account, role = rbac.service_account_name(facts), names.check_name(facts.name)
    return Rights(
        service_account=await reader.get(core.SERVICE_ACCOUNTS, facts.namespace, account) is not None,
        role=await reader.get(core.ROLES, facts.namespace, role) is not None,
        role_binding=await reader.get(core.ROLE_BINDINGS, facts.namespace, role) is not None,
    )
