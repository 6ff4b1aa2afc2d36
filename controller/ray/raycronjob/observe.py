"""The RayCronJob, read from the cache."""

from __future__ import annotations

from api.meta import Ref
from api.v1 import wire
from api.v1.raycronjob import RayCronJobSpec
from controller.ray.options import Options
from controller.ray.raycronjob.seen import Seen, spec_of
from controller.runtime.interfaces import Reader

__all__ = ["observe"]


async def observe(reader: Reader, key: Ref, options: Options) -> Seen | None:
    """One snapshot, or None when the RayCronJob is gone. Raises StaleCache."""
    record = await reader.get(wire.RAY_CRON_JOBS, key.namespace, key.name)
    if record is None:
        return None
    cron = record.object()
    spec, malformed = spec_of(cron)
    return Seen(cron, spec if spec is not None else RayCronJobSpec.model_construct(), options, malformed)
