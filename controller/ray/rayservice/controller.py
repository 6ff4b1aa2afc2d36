"""The RayService controller: looks once, decides once, writes, reports (style.md §2)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from api.core import ENDPOINT_SLICES, PODS, SERVICES
from api.meta import Ref, controller_of
from api.v1 import wire
from controller.ray.concerns import Concerns
from controller.ray.dashboard.protocol import Sessions
from controller.ray.looking import Views
from controller.ray.options import Options
from controller.ray.rayservice import upgrade
from controller.ray.rayservice.decide import Course, decide
from controller.ray.rayservice.observe import LABEL_SERVICE_NAME, is_originated, observe
from controller.ray.rayservice.seen import PodView, Seen
from controller.ray.rayservice.status import OWN_CONDITIONS, report
from controller.ray.rayservice.validation import complaint
from controller.runtime.apply import apply
from controller.runtime.cache.informer import Watched
from controller.runtime.cache.record import StoredRecord
from controller.runtime.cache.store import Delta
from controller.runtime.events import Recorder
from controller.runtime.handlers import Handler, Source, for_object, mapped, more_than_status_changed
from controller.runtime.interfaces import Client, Clock, Reader
from controller.runtime.plan import DONE, Result
from controller.runtime.publish import publish, record

__all__ = ["NAME", "WATCHED", "RayServiceReconciler", "sources"]

NAME: Final = "rayservice-controller"  # in events; the reference's
SUFFIX_LENGTH: Final = 5

WATCHED: Final = (
    Watched(wire.RAY_SERVICES),
    # A slice bears the labels of its Service, and every serve Service bears this one.
    Watched(ENDPOINT_SLICES, label_selector=wire.LABEL_SERVE, labels=(LABEL_SERVICE_NAME,)),
)


class RayServiceReconciler:
    """`Reconciler` for RayServices."""

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
        concerns: Concerns,
    ) -> None:
        self._client, self._reader, self._recorder = client, reader, recorder
        self._sessions, self._clock, self._rng, self._options = sessions, clock, rng, options
        self._concerns = concerns
        self._unwanted: dict[Ref, upgrade.Unwanted] = {}
        self._views: dict[Ref, Views[PodView]] = {}

    async def reconcile(self, key: Ref) -> Result:
        """See Reconciler."""
        views = self._views.setdefault(key, Views(PodView.of))
        seen = await observe(self._reader, self._sessions, key, self._options, self._suffix(), views)
        if seen is None:
            self._sessions.want(key)  # what is gone wants nothing of Ray
            self._unwanted.pop(key, None)
            self._views.pop(key, None)
            self._concerns.forget(key)
            return DONE
        now = self._clock.now()
        concern = self._concerns.about(key, seen.service)
        seen = replace(seen, goes_at=self._goes_at(key, seen, now), concern=concern)
        decision = decide(seen, now, complaint(seen))
        plan = decision.plan
        if plan.record is not None:
            await record(self._client, plan.record)
            return plan.result
        outcomes = await apply(self._client, plan, seen.metadata["uid"])
        if decision.course is not Course.REFUSED:  # what is invalid goes on as it was, its head's label included
            self._sessions.want(key, *(plan.wants or ()))
        told = report(seen, decision, outcomes, now)
        announce = self._recorder.about(wire.RAY_SERVICES, seen.service, NAME)
        news = self._concerns.news(key, seen.service) if decision.course is Course.RUNNING else ()
        for event in (*told.events, *news):
            announce(event)
        if told.status is not None:
            own, anew = OWN_CONDITIONS, told.anew
            await publish(self._client, wire.RAY_SERVICES, seen.service, told.status, own_conditions=own, anew=anew)
        return told.result

    def _goes_at(self, key: Ref, seen: Seen, now: datetime) -> Mapping[str, datetime]:
        """Of the clusters that an earlier pass noticed."""
        return self._unwanted.setdefault(key, upgrade.Unwanted()).noticed(seen, now)

    def _suffix(self) -> str:
        return "".join(self._rng.choices(wire.SAFE_ALPHABET, k=SUFFIX_LENGTH))


def sources(
    owner_of_pod: Callable[[StoredRecord], Iterable[Ref]], owner_of_slice: Callable[[StoredRecord], Iterable[Ref]]
) -> tuple[Source, ...]:
    """What wakes a RayService: its spec, its clusters and Services, their pods, and who is behind its serve Service.

    The two functions name the RayService behind a pod, and behind a slice.
    """
    return (
        Source(wire.RAY_SERVICES, for_object, (more_than_status_changed,)),
        Source(wire.RAY_CLUSTERS, mapped(behind)),
        Source(SERVICES, mapped(behind)),
        Source(PODS, of_pods(owner_of_pod)),
        Source(ENDPOINT_SLICES, mapped(owner_of_slice)),
    )


def behind(child: StoredRecord) -> Iterable[Ref]:
    """The RayService that controls the object, or that the labels of an object of nobody's name (E-57)."""
    owner = controller_of({"ownerReferences": child.owners})
    if owner is not None:
        name = owner["name"] if owner["kind"] == wire.RAY_SERVICES.kind else ""
    else:
        name = child.labels.get(wire.LABEL_ORIGIN_NAME, "") if is_originated(child.labels) else ""
    return [Ref(wire.RAY_SERVICES.kind, child.ref.namespace, name)] if name else []


def of_pods(owner_of: Callable[[StoredRecord], Iterable[Ref]]) -> Handler:
    """Whose pod it is, where something changed of what is looked at: most of a pod's updates are about other things."""

    def keys(delta: Delta) -> Iterable[Ref]:
        records = [record for record in (delta.old, delta.new) if record is not None]
        found = dict.fromkeys(key for record in records for key in owner_of(record))
        return found if found and (len(records) == 1 or _looked_at(records[0]) != _looked_at(records[1])) else ()

    return keys


def _looked_at(pod: StoredRecord) -> tuple[PodView, bool, str]:
    return PodView.of(pod.object()), bool(pod.deletion_timestamp), pod.labels.get(wire.LABEL_CLUSTER, "")
