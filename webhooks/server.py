"""Our webhooks, served: hooks by path, the certificate they show, and readiness (spec runtime §18, admission §4.11).

Every replica serves, with or without the lease, and before its caches are loaded: what they hold is only looked up.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry

from api.v1 import wire
from api.v1.rules.model import Context
from controller.runtime.background import background
from controller.runtime.cache.caches import Caches
from controller.runtime.certificate_files import CertificateFiles
from controller.runtime.manager import Kit
from controller.runtime.tls import BadPair, ServerTls
from controller.runtime.webhook import Hook, WebhookSeries, WebhookServer, webhooks_served
from webhooks.certificates import service_names
from webhooks.keeping import Keeper, Kept
from webhooks.kinds import DOORS
from webhooks.registration import Registration
from webhooks.review import answered
from webhooks.settings import FILES, SELF_MANAGED, WebhookSettings
from webhooks.steps import Defaulting, FindCluster, Findings, defaulting, no_cluster, validating

__all__ = ["hooks", "serving"]


def hooks(
    context: Context, defaulted: Defaulting, registry: CollectorRegistry, find_cluster: FindCluster = no_cluster
) -> Mapping[str, Hook]:
    """Every kind's two hooks, by path."""
    findings = Findings(registry)
    found: dict[str, Hook] = {}
    for door in DOORS:
        found[door.mutating_path] = partial(answered, [defaulting(door.resource, context, defaulted)])
        found[door.validating_path] = partial(answered, [validating(door.resource, context, findings, find_cluster)])
    return found


@asynccontextmanager
async def serving(
    kit: Kit, settings: WebhookSettings, context: Context, defaulted: Defaulting
) -> AsyncIterator[WebhookServer]:
    """Serve while the block is open. Raises CannotListen, BadPair, and in a group CannotKeep.

    Ready once a certificate is there and a handshake with ourselves works.
    """
    server = WebhookServer(
        hooks(
            _trusting(context, settings.account), defaulted, kit.metrics.registry, partial(cached_cluster, kit.caches)
        ),
        ServerTls(_client_authorities(settings)),
        clock=kit.clock,
        series=WebhookSeries(kit.metrics.registry),
    )
    kit.health.ready["webhook"] = server.check
    host, port = settings.address
    async with (
        webhooks_served(server, host=host, port=port, lame_duck_seconds=settings.lame_duck_seconds),
        background(
            ("webhook certificates", _certificates(kit, settings, server)),
            ("webhook certificate's end", server.warn_of_end()),
        ),
    ):
        yield server


def cached_cluster(caches: Caches, namespace: str, name: str) -> Mapping[str, Any] | None:
    """A RayCluster, if it is there and the caches are loaded."""
    if not caches.available(wire.RAY_CLUSTERS):
        return None
    records = (informer.store.get(namespace, name) for informer in caches.informers(wire.RAY_CLUSTERS))
    return next((record.object() for record in records if record is not None), None)


def _trusting(context: Context, account: str) -> Context:
    """We are not asked about what we write ourselves, whatever the configuration says (P8)."""
    admission = context.admission
    if not account or account in admission.trusted_users:
        return context
    return replace(context, admission=replace(admission, trusted_users=(*admission.trusted_users, account)))


def _client_authorities(settings: WebhookSettings) -> bytes | None:
    if not settings.client_authorities_file:
        return None
    try:
        return Path(settings.client_authorities_file).read_bytes()
    except OSError as error:
        raise BadPair(f"cannot read {settings.client_authorities_file}: {error.strerror}") from error


def _certificates(kit: Kit, settings: WebhookSettings, server: WebhookServer) -> Coroutine[Any, Any, None]:
    """What looks after them, for ever."""
    folder = Path(settings.folder)
    if settings.certificates == FILES or (settings.certificates != SELF_MANAGED and folder.is_dir()):
        return CertificateFiles(folder, server.show).run()
    keeper = Keeper(
        kit.unled,
        kept(settings),
        use=server.show,
        leading=kit.may_write,
        clock=kit.clock,
        rng=kit.rng,
    )
    return keeper.run()


def kept(settings: WebhookSettings) -> Kept:
    """Where our own certificates are, and for whom they are."""
    names = list(service_names(settings.service, settings.namespace, settings.cluster_domain))
    if not settings.url:
        return Kept(settings.namespace, names)
    registration = Registration(url=settings.url, account=settings.account, namespaces=settings.namespaces)
    return Kept(settings.namespace, [*names, urlsplit(settings.url).hostname or ""], registration)
