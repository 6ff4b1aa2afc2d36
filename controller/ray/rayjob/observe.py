"""The RayJob and what belongs to it, read from the caches in one go."""

from __future__ import annotations

from api.core import JOBS, PODS, SERVICES
from api.meta import Json, Ref
from api.v1 import wire
from controller.ray.dashboard.address import head_service_of
from controller.ray.dashboard.protocol import Sessions
from controller.ray.dashboard.runs import head_run
from controller.ray.desired.names import head_service
from controller.ray.looking import object_of
from controller.ray.options import Options
from controller.ray.rayjob.seen import Seen, spec_of
from controller.runtime.interfaces import Reader

__all__ = ["observe"]


async def observe(
    reader: Reader, sessions: Sessions, key: Ref, options: Options, fresh: tuple[str, str]
) -> Seen | None:
    """One snapshot, or None when the RayJob is gone. Raises StaleCache."""
    record = await reader.get(wire.RAY_JOBS, key.namespace, key.name)
    if record is None:
        return None
    job = record.object()
    spec, malformed = spec_of(job)
    cluster_name = (job.get("status") or {}).get("rayClusterName", "")
    cluster = await object_of(reader, wire.RAY_CLUSTERS, key.namespace, cluster_name)
    chosen = head_service_of(cluster) if cluster else ""
    return Seen(
        job=job,
        spec=spec,
        malformed=malformed,
        options=options,
        cluster=cluster,
        head_run=await present_head(reader, cluster) if cluster else "",
        head_service=await object_of(reader, SERVICES, key.namespace, chosen),
        service=await object_of(reader, SERVICES, key.namespace, head_service(key.name)),
        submitter=await object_of(reader, JOBS, key.namespace, key.name),
        known=sessions.known(key),
        fresh=fresh,
    )


async def present_head(reader: Reader, cluster: Json) -> str:
    """The run of the head that answers now; "" without one."""
    metadata = cluster["metadata"]
    pods = await reader.labelled(PODS, metadata["namespace"], wire.LABEL_CLUSTER, metadata["name"])
    heads = (pod for pod in pods if pod.labels.get(wire.LABEL_NODE_TYPE) == wire.HEAD and not pod.deletion_timestamp)
    return next((run for pod in heads if (run := head_run(pod.object()))), "")
