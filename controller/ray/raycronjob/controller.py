"""The RayCronJob controller: looks once, decides once, writes, reports (style.md §2)."""

from __future__ import annotations

from typing import Final

from api.meta import Ref
from api.v1 import wire
from controller.ray.concerns import Concerns
from controller.ray.options import Options
from controller.ray.raycronjob.decide import decide
from controller.ray.raycronjob.observe import observe
from controller.ray.raycronjob.status import report, result_of
from controller.ray.raycronjob.validation import complaint
from controller.runtime.apply import apply
from controller.runtime.cache.informer import Watched
from controller.runtime.events import Recorder
from controller.runtime.handlers import Source, annotations_changed, for_object, generation_changed, labels_changed
from controller.runtime.interfaces import Client, Clock, Reader
from controller.runtime.plan import DONE, Result
from controller.runtime.publish import publish

__all__ = ["NAME", "WATCHED", "RayCronJobReconciler", "sources"]

NAME: Final = "raycronjob-controller"  # in events; the reference's
WATCHED: Final = (Watched(wire.RAY_CRON_JOBS),)


class RayCronJobReconciler:
    """`Reconciler` for RayCronJobs."""

    def __init__(
        self,
        *,
        client: Client,
        reader: Reader,
        recorder: Recorder,
        clock: Clock,
        options: Options,
        concerns: Concerns,
    ) -> None:
        self._client, self._reader, self._recorder = client, reader, recorder
        self._clock, self._options, self._concerns = clock, options, concerns

    async def reconcile(self, key: Ref) -> Result:
        """See Reconciler."""
        seen = await observe(self._reader, key, self._options)
        if seen is None:
            self._concerns.forget(key)
            return DONE
        decision = decide(seen, self._clock.now(), complaint(seen))
        outcomes = await apply(self._client, decision.plan, seen.metadata["uid"])
        told = report(seen, decision, outcomes)
        announce = self._recorder.about(wire.RAY_CRON_JOBS, seen.cron, NAME)
        for event in (*told.events, *(self._concerns.news(key, seen.cron) if decision.works else ())):
            announce(event)
        if told.status is not None:
            await publish(self._client, wire.RAY_CRON_JOBS, seen.cron, told.status)
        return result_of(told, self._clock.now())


def sources() -> tuple[Source, ...]:
    """What wakes a RayCronJob: its spec. Its status is our own, and its RayJobs are not looked at."""
    return (Source(wire.RAY_CRON_JOBS, for_object, (generation_changed | labels_changed | annotations_changed,)),)
