"""The RayCluster controller: look once, decide once, write, report."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from api import core
from api.meta import Ref
from api.v1 import wire
from api.v1.common import Malformed
from api.v1.raycluster import RayCluster
from controller.ray.concerns import Concerns
from controller.ray.looking import Views
from controller.ray.options import Options
from controller.ray.podfields import PodFields
from controller.ray.raycluster.coming import Coming
from controller.ray.raycluster.decide import REPORTED, decide, kept_ticket, new_ticket
from controller.ray.raycluster.observe import observe
from controller.ray.raycluster.seen import Fresh, Memory, PodView, Seen
from controller.ray.raycluster.status import CONFLICT_PAUSE, OWN_CONDITIONS, report
from controller.runtime.apply import apply
from controller.runtime.cache.informer import Watched
from controller.runtime.cache.store import Delta
from controller.runtime.errors import Terminal
from controller.runtime.events import Recorder
from controller.runtime.handlers import Source, for_object, for_owner, kept_part_changed, more_than_status_changed
from controller.runtime.interfaces import Client, Clock, Reader
from controller.runtime.plan import AGAIN, DONE, Outcome, Result, Verdict
from controller.runtime.publish import publish, record

__all__ = ["NAME", "WATCHED", "RayClusterReconciler", "sources"]

NAME: Final = "raycluster-controller"  # reportingController of its events
TICKET_LENGTH: Final = 8  # of 27 characters: none comes twice in the life of a cluster

# What must be cached. Service accounts and Services are not all ours, so no label can select them.
WATCHED: Final = (
    Watched(wire.RAY_CLUSTERS, labels=(wire.LABEL_ORIGIN_NAME,)),
    Watched(
        core.PODS,
        label_selector=f"{wire.LABEL_NODE_TYPE} in ({wire.HEAD}, {wire.WORKER}, redis-cleanup)",
        labels=(wire.LABEL_CLUSTER,),
        field_set=PodFields,
    ),
    Watched(core.SERVICES, labels=(wire.LABEL_CLUSTER, wire.LABEL_ORIGIN_NAME)),
    Watched(core.INGRESSES),  # found by name, whatever became of their labels
    Watched(core.SERVICE_ACCOUNTS, metadata_only=True),
    Watched(core.ROLES, metadata_only=True, label_selector=wire.LABEL_CLUSTER),
    Watched(core.ROLE_BINDINGS, metadata_only=True, label_selector=wire.LABEL_CLUSTER),
)
# An event of these wakes the RayCluster that controls the object. It is known by name, so pods of a deleted namesake
# wake the new one, which waits for them.
OWNED: Final = (core.SERVICES, core.INGRESSES, core.SERVICE_ACCOUNTS, core.ROLES, core.ROLE_BINDINGS)


class RayClusterReconciler:
    """`Reconciler` for RayClusters: keeps them as their specs want them.

    `secret` answers a new token for Ray's authentication; it must be unguessable, which `rng` is not.
    """

    def __init__(
        self,
        *,
        client: Client,
        reader: Reader,
        recorder: Recorder,
        clock: Clock,
        rng: random.Random,
        options: Options,
        secret: Callable[[], str],
        concerns: Concerns,
    ) -> None:
        self._client, self._reader, self._recorder = client, reader, recorder
        self._clock, self._rng, self._options, self._secret = clock, rng, options, secret
        self._concerns = concerns
        self._fresh = self._drawn()
        self._coming = Coming()
        self.pod_can_wait = self._coming.can_wait  # for `sources`
        self._memories: dict[Ref, Memory] = {}
        self._views: dict[Ref, Views[PodView]] = {}

    async def reconcile(self, key: Ref) -> Result:
        """See Reconciler."""
        seen = await self._look(key)
        if seen is None:
            self._memories.pop(key, None)
            self._views.pop(key, None)
            self._coming.forget(key)
            self._concerns.forget(key)
            return DONE  # owner references clean up
        fresh = self._fresh
        plan = decide(seen, self._options, fresh)
        if plan.record is not None or plan.steps:
            self._fresh = self._drawn()  # chance that may have been used is never used again
        if plan.notes.get(REPORTED):
            self._memories[key] = self._memories[key].accepting(seen)
        if plan.record is not None:
            await record(self._client, plan.record)
            return AGAIN
        outcomes = await apply(self._client, plan, seen.uid)
        if any(one.verdict is Verdict.STALE for one in outcomes):
            await record(self._client, new_ticket(seen, fresh.ticket))  # the names under this one are used up
            return Result(requeue_after=CONFLICT_PAUSE)
        said = report(seen, plan, outcomes, self._clock.now(), self._options)
        announce = self._recorder.about(wire.RAY_CLUSTERS, seen.object, NAME)
        for event in (*said.events, *(self._concerns.news(key, seen.object) if plan.notes.get(REPORTED) else ())):
            announce(event)
        if said.status is not None:
            seen = await self._keep_ticket(seen, outcomes)
            await publish(self._client, wire.RAY_CLUSTERS, seen.object, said.status, own_conditions=OWN_CONDITIONS)
        return said.result

    async def _look(self, key: Ref) -> Seen | None:
        try:
            seen = await observe(self._reader, key, self._options, self._views.setdefault(key, Views(PodView.of)))
        except Malformed as problem:
            raise Terminal(f"{key} does not have the shape that its schema asks for: {problem}") from problem
        if seen is None:
            return None
        self._coming.saw(key, seen.pods)
        seen = self._memories.get(key, Memory()).recall(seen)
        self._memories[key] = Memory.after(seen)
        return replace(seen, concern=self._concerns.about(key, seen.object))

    def _drawn(self) -> Fresh:
        return Fresh(ticket="".join(self._rng.choices(wire.SAFE_ALPHABET, k=TICKET_LENGTH)), token=self._secret())

    async def _keep_ticket(self, seen: Seen, outcomes: Sequence[Outcome]) -> Seen:
        patch = kept_ticket(seen, outcomes)
        if patch is None:
            return seen
        stored = await record(self._client, patch)
        return replace(seen, object=stored, cluster=RayCluster.from_json(stored), facts=None)


def sources(pod_can_wait: Callable[[Delta], bool]) -> tuple[Source, ...]:
    """What wakes a RayCluster: its spec, and what belongs to it. A status alone does not: it is our own (§4).

    Of updates of pods some can wait, as the reconciler says.
    """
    return (
        Source(wire.RAY_CLUSTERS, for_object, (more_than_status_changed,)),
        Source(core.PODS, for_owner(wire.RAY_CLUSTERS), (kept_part_changed,), can_wait=pod_can_wait),
        *(Source(resource, for_owner(wire.RAY_CLUSTERS)) for resource in OWNED),
    )
