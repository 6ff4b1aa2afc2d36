"""The one place where the controllers are wired together: settings and transports in, a running operator out."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Final

from api.core import JOBS, SECRETS
from api.meta import Json, Ref, Resource
from api.meta import controller_of as controller_owner
from api.v1 import wire
from controller.admission import context_of
from controller.ray.concerns import Concerns
from controller.ray.dashboard.http import RayTransport
from controller.ray.dashboard.sessions import DashboardSessions
from controller.ray.metrics import JobDurations, RaySeries
from controller.ray.raycluster import controller as raycluster
from controller.ray.raycronjob import controller as raycronjob
from controller.ray.rayjob import controller as rayjob
from controller.ray.rayservice import controller as rayservice
from controller.runtime.cache.informer import Watched
from controller.runtime.cache.record import StoredRecord
from controller.runtime.client.credentials import ANONYMOUS, Credentials
from controller.runtime.client.rest import Identity
from controller.runtime.client.transport import Transport
from controller.runtime.handlers import Source
from controller.runtime.interfaces import Clock, Reconciler
from controller.runtime.loop import Controller
from controller.runtime.manager import Kit, Runtime, Serve, running
from controller.settings import Settings

__all__ = ["operating", "runtime_of"]

BY_CLUSTER: Final = "cluster"  # index of RayJobs: the RayCluster that their job runs on

WATCHED: Final = (
    *raycluster.WATCHED,
    *rayservice.WATCHED,
    Watched(wire.RAY_JOBS, indexes={BY_CLUSTER: lambda record: clusters_of(record.object())}),
    Watched(JOBS, label_selector=f"{wire.LABEL_CREATED_BY}={wire.CREATED_BY}"),
)


def clusters_of(job: Json) -> Sequence[tuple[str, str]]:
    """(namespace, name) of the cluster that a RayJob runs on, if it has one."""
    name = (job.get("status") or {}).get("rayClusterName")
    return [(job["metadata"]["namespace"], name)] if name else []


@asynccontextmanager
async def operating(
    settings: Settings,
    transport: Transport,
    *,
    ray: RayTransport,
    clock: Clock,
    rng: random.Random,
    secret: Callable[[], str],
    credentials: Credentials = ANONYMOUS,
    instance: str = "local",
) -> AsyncIterator[Kit]:
    """The operator runs while the block is open. Everything it touches is handed in (decision D9); stories use this."""
    runtime = runtime_of(settings, transport, ray, clock, rng, secret, credentials, instance)
    async with running(runtime) as kit:
        yield kit


def runtime_of(
    settings: Settings,
    transport: Transport,
    ray: RayTransport,
    clock: Clock,
    rng: random.Random,
    secret: Callable[[], str],
    credentials: Credentials,
    instance: str,
) -> Runtime:
    """What the manager runs; a process adds its ports and its lease."""

    def build(kit: Kit) -> AbstractAsyncContextManager[Sequence[Controller]]:
        return controllers(kit, settings, ray, secret)

    return Runtime(
        transport=transport,
        watched=watched(settings),
        build=build,
        clock=clock,
        rng=rng,
        identity=Identity("kuberay-operator", settings.options.version),
        instance=instance,
        namespaces=settings.namespaces,
        credentials=credentials,
        servers=servers(settings),
    )


def servers(settings: Settings) -> Sequence[Serve]:
    """The webhooks, if they are on. Loaded only then, since 8 MiB of cryptography come with them."""
    if settings.webhooks is None:
        return ()
    from api.v1.admission_defaults import defaulted
    from webhooks.server import serving

    context = context_of(settings.options, settings.admission)
    return (partial(serving, settings=settings.webhooks, context=context, defaulted=defaulted),)


def watched(settings: Settings) -> Sequence[Watched]:
    """What the caches hold: a kind behind a gate is not even listed while that is shut, and need not be installed."""
    return (*WATCHED, *(raycronjob.WATCHED if settings.options.gates.ray_cron_job else ()))


@asynccontextmanager
async def controllers(
    kit: Kit, settings: Settings, ray: RayTransport, secret: Callable[[], str]
) -> AsyncIterator[Sequence[Controller]]:
    """The controllers, inside the block in which dashboards are watched."""
    asking: dict[str, Controller] = {}  # by kind: sessions and the controllers that read them know each other

    def wake(key: Ref) -> None:
        if key.kind in asking:
            asking[key.kind].wake(key)

    sessions = DashboardSessions(
        ray,
        clock=kit.clock,
        chance=kit.rng,
        read_token=TokenReader(kit),
        wake=wake,
        may_write=kit.may_write,
    )
    durations = JobDurations()
    if settings.enable_metrics:
        clusters, rayjobs = partial(records, kit, wire.RAY_CLUSTERS), partial(records, kit, wire.RAY_JOBS)
        services = partial(records, kit, wire.RAY_SERVICES)
        kit.metrics.registry.register(RaySeries(clusters, rayjobs, services, durations))
    asking[wire.RAY_JOBS.kind] = rayjob_controller(kit, settings, sessions, durations)
    asking[wire.RAY_SERVICES.kind] = rayservice_controller(kit, settings, sessions)
    gated = [raycronjob_controller(kit, settings)] if settings.options.gates.ray_cron_job else []
    async with sessions.running():
        yield (raycluster_controller(kit, settings, secret), *asking.values(), *gated)


def records(kit: Kit, resource: Resource) -> Iterable[StoredRecord]:
    """All of a kind that the caches hold."""
    return (record for informer in kit.caches.informers(resource) for record in informer.store.all())


def raycluster_controller(kit: Kit, settings: Settings, secret: Callable[[], str]) -> Controller:
    """A RayCluster is woken by its spec and by what belongs to it."""
    reconciler = raycluster.RayClusterReconciler(
        client=kit.client.named(raycluster.NAME),
        reader=kit.caches,
        recorder=kit.recorder,
        clock=kit.clock,
        rng=kit.rng,
        options=settings.options,
        secret=secret,
        concerns=concerns(settings, wire.RAY_CLUSTERS),
    )
    sources = raycluster.sources(reconciler.pod_can_wait)
    return controller_of(kit, settings, wire.RAY_CLUSTERS, reconciler, sources)


def rayjob_controller(kit: Kit, settings: Settings, sessions: DashboardSessions, durations: JobDurations) -> Controller:
    """A RayJob is woken by its children, by the cluster it selects, and by news from its dashboard."""

    def users_of(cluster: StoredRecord) -> Iterable[Ref]:
        place = (cluster.ref.namespace, cluster.ref.name)
        stores = (informer.store for informer in kit.caches.informers(wire.RAY_JOBS))
        return [record.ref for store in stores for record in store.find(BY_CLUSTER, place)]

    reconciler = rayjob.RayJobReconciler(
        client=kit.client.named(rayjob.NAME),
        reader=kit.caches,
        recorder=kit.recorder,
        sessions=sessions,
        clock=kit.clock,
        rng=kit.rng,
        options=settings.options,
        durations=durations,
        concerns=concerns(settings, wire.RAY_JOBS),
    )
    return controller_of(kit, settings, wire.RAY_JOBS, reconciler, rayjob.sources(users_of))


def rayservice_controller(kit: Kit, settings: Settings, sessions: DashboardSessions) -> Controller:
    """A RayService is woken by its children, by their pods, by who is behind its serve Service, and by Serve."""

    def owner_of_pod(pod: StoredRecord) -> Iterable[Ref]:
        name = pod.labels.get(wire.LABEL_CLUSTER, "")
        for informer in kit.caches.informers(wire.RAY_CLUSTERS):
            cluster = informer.store.get(pod.ref.namespace, name)
            owner = controller_owner({"ownerReferences": cluster.owners}) if cluster is not None else None
            if owner is not None and owner["kind"] == wire.RAY_SERVICES.kind:
                yield Ref(wire.RAY_SERVICES.kind, pod.ref.namespace, owner["name"])

    def owner_of_slice(one: StoredRecord) -> Iterable[Ref]:
        if one.labels.get(wire.LABEL_ORIGIN_KIND) == wire.RAY_SERVICES.kind:
            yield Ref(wire.RAY_SERVICES.kind, one.ref.namespace, one.labels.get(wire.LABEL_ORIGIN_NAME, ""))

    reconciler = rayservice.RayServiceReconciler(
        client=kit.client.named(rayservice.NAME),
        reader=kit.caches,
        recorder=kit.recorder,
        sessions=sessions,
        clock=kit.clock,
        rng=kit.rng,
        options=settings.options,
        concerns=concerns(settings, wire.RAY_SERVICES),
    )
    return controller_of(kit, settings, wire.RAY_SERVICES, reconciler, rayservice.sources(owner_of_pod, owner_of_slice))


def raycronjob_controller(kit: Kit, settings: Settings) -> Controller:
    """A RayCronJob is woken by its spec and by the clock."""
    reconciler = raycronjob.RayCronJobReconciler(
        client=kit.client.named(raycronjob.NAME),
        reader=kit.caches,
        recorder=kit.recorder,
        clock=kit.clock,
        options=settings.options,
        concerns=concerns(settings, wire.RAY_CRON_JOBS),
    )
    return controller_of(kit, settings, wire.RAY_CRON_JOBS, reconciler, raycronjob.sources())


def concerns(settings: Settings, resource: Resource) -> Concerns:
    """What admission would say of that kind, whether or not this operator serves webhooks."""
    return Concerns(resource.kind, context_of(settings.options, settings.admission))


def controller_of(
    kit: Kit,
    settings: Settings,
    resource: Resource,
    reconciler: Reconciler,
    sources: Iterable[Source],
) -> Controller:
    """One controller on the shared caches, with a queue and workers of its own.

    It is named after its kind, as the reference's are in their series; `NAME` is for events and requests.
    """
    return Controller(
        resource.kind.lower(),
        reconciler,
        sources,
        clock=kit.clock,
        rng=kit.rng,
        metrics=kit.metrics,
        workers=settings.concurrency,
    )


class TokenReader:
    """Reads a dashboard's token: one GET by name, never a list or a watch of Secrets (design §2)."""

    def __init__(self, kit: Kit) -> None:
        self._client = kit.client

    async def __call__(self, namespace: str, name: str) -> str:
        """Raises ApiError, and KeyError where the Secret has no auth_token."""
        import base64

        body = await self._client.get(SECRETS, namespace, name)
        return base64.b64decode(body["data"]["auth_token"]).decode()
