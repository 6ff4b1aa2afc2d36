"""The RayJob controller: looks once, decides once, writes, reports (style.md §2)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Final

from api.core import JOBS, SERVICES
from api.meta import Ref
from api.v1 import wire
from controller.ray.concerns import Concerns
from controller.ray.dashboard.protocol import Sessions
from controller.ray.metrics import JobDurations
from controller.ray.options import Options
from controller.ray.rayjob.decide import decide
from controller.ray.rayjob.observe import observe
from controller.ray.rayjob.status import report
from controller.ray.rayjob.validation import complaint
from controller.runtime.apply import apply
from controller.runtime.cache.record import StoredRecord
from controller.runtime.events import Recorder
from controller.runtime.handlers import Source, for_object, for_owner, mapped
from controller.runtime.interfaces import Client, Clock, Reader
from controller.runtime.plan import DONE, Result
from controller.runtime.publish import publish, record

__all__ = ["NAME", "RayJobReconciler", "sources"]

NAME: Final = "rayjob-controller"  # in events; the reference's
SUFFIX_LENGTH: Final = 5


class RayJobReconciler:
    """`Reconciler` for RayJobs."""

    def __init__(
        self,
        *,
        client: Client,
        reader: Reader,
        recorder: Recorder,
        sessions: Sessions,
        clock: Clock,
        rng: random.Random,
        options: Options,
        durations: JobDurations,
        concerns: Concerns,
    ) -> None:
        self._client, self._reader, self._recorder = client, reader, recorder
        self._sessions, self._clock, self._rng, self._options = sessions, clock, rng, options
        self._durations, self._concerns = durations, concerns

    async def reconcile(self, key: Ref) -> Result:
        """See Reconciler."""
        seen = await observe(self._reader, self._sessions, key, self._options, (self._suffix(), self._suffix()))
        if seen is None:
            self._sessions.want(key, None)  # what is gone wants nothing of Ray
            self._durations.forget(key)
            self._concerns.forget(key)
            return DONE
        now = self._clock.now()
        decision = decide(seen, now, complaint(seen))
        plan = decision.plan
        if plan.record is not None:
            await record(self._client, plan.record)
            return plan.result
        outcomes = await apply(self._client, plan, seen.metadata["uid"])
        self._sessions.want(key, plan.wants)
        told = report(seen, decision, outcomes, now)
        announce = self._recorder.about(wire.RAY_JOBS, seen.job, NAME)
        for event in (*told.events, *(self._concerns.news(key, seen.job) if decision.works else ())):
            announce(event)
        if told.status is not None:
            await publish(self._client, wire.RAY_JOBS, seen.job, told.status)
            self._durations.note(key, seen.job, told.status, now)
        return told.result

    def _suffix(self) -> str:
        return "".join(self._rng.choices(wire.SAFE_ALPHABET, k=SUFFIX_LENGTH))


def sources(users_of: Callable[[StoredRecord], Iterable[Ref]]) -> tuple[Source, ...]:
    """What wakes a RayJob: itself, its children, and the cluster that it selects; `users_of` names those RayJobs."""
    return (
        Source(wire.RAY_JOBS, for_object),
        Source(wire.RAY_CLUSTERS, for_owner(wire.RAY_JOBS)),
        Source(wire.RAY_CLUSTERS, mapped(users_of)),
        Source(SERVICES, for_owner(wire.RAY_JOBS)),
        Source(JOBS, for_owner(wire.RAY_JOBS)),
    )
