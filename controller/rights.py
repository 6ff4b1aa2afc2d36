"""What the operator may do, each with its reason: the one place from which config/rbac is written (hack/generate.py).

Least rights: nothing is listed or watched but what a cache holds, no Secret is ever listed, and no rule has a wildcard.
A right stands here because a line of code needs it; `get` is for the look after a write whose answer was lost. Tests
hold the requests of whole lives against this table, and the e2e runs hold the API server's audit log against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from api.core import (
    ENDPOINT_SLICES,
    EVENTS,
    INGRESSES,
    JOBS,
    LEASES,
    MUTATING_WEBHOOKS,
    PODS,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    VALIDATING_WEBHOOKS,
)
from api.meta import Resource
from api.v1 import wire
from webhooks.registration import MUTATING, SECRET, VALIDATING

__all__ = ["LEADER_ELECTION", "RIGHTS", "WEBHOOK_CONFIGURATIONS", "WEBHOOK_SECRET", "Right", "rules"]


@dataclass(frozen=True, slots=True)
class Right:
    """Verbs on one resource, `plural` or `plural/subresource`, and what for."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    why: str
    names: tuple[str, ...] = ()  # of the only objects; none: all


def _on(resource: Resource, verbs: str, why: str, *, below: str = "") -> Right:
    return Right(resource.group, resource.plural + (f"/{below}" if below else ""), tuple(verbs.split()), why)


RAY: Final = (wire.RAY_CLUSTERS, wire.RAY_JOBS, wire.RAY_SERVICES, wire.RAY_CRON_JOBS)


def _rights() -> Iterator[Right]:
    yield _on(
        wire.RAY_CLUSTERS, "get list watch create patch delete", "made for RayJobs; tickets; suspended or deleted"
    )
    yield _on(
        wire.RAY_JOBS,
        "get list watch create patch delete",
        "made for RayCronJobs; finalizer; deleted after they finished, if asked",
    )
    yield _on(wire.RAY_SERVICES, "get list watch patch", "finalizer")
    yield _on(wire.RAY_CRON_JOBS, "get list watch", "with the gate RayCronJob")
    for resource in RAY:
        yield _on(resource, "get patch", "written once at the end of a pass", below="status")
        yield _on(resource, "update", "children that block their owner's deletion", below="finalizers")
    yield _on(PODS, "get list watch create patch delete", "head and workers; the autoscaler is given the first four")
    yield _on(PODS, "patch", "given to the autoscaler, which resizes in place", below="resize")
    yield _on(SERVICES, "get list watch create patch delete", "head, headless and serve Services")
    yield _on(ENDPOINT_SLICES, "list watch", "how many pods take a RayService's requests")
    yield _on(INGRESSES, "get list watch create patch", "the dashboard's way in, if asked")
    yield _on(JOBS, "get list watch create patch delete", "submitters of RayJobs")
    yield _on(SECRETS, "get create", "the token of a cluster with authentication: by name, never listed")
    for resource in (SERVICE_ACCOUNTS, ROLES, ROLE_BINDINGS):
        yield _on(resource, "get list watch create", "the autoscaler's identity")
    yield _on(EVENTS, "create patch", "what happened, and how often")


RIGHTS: Final = tuple(_rights())
# In the namespace of the lease alone.
LEADER_ELECTION: Final = (
    _on(LEASES, "get create update", "one lease: who may write"),
    _on(EVENTS, "create patch", "who became leader"),
)


# Only with webhooks whose certificates we keep ourselves: one Secret in our own namespace, which RIGHTS let us create,
# and the authority's certificate in the two configurations that are installed with us.
WEBHOOK_SECRET: Final = (Right("", SECRETS.plural, ("get", "update"), "certificates are renewed", (SECRET,)),)
WEBHOOK_CONFIGURATIONS: Final = tuple(
    Right(resource.group, resource.plural, ("get", "patch"), "whom the API server trusts", (name,))
    for resource, name in ((VALIDATING_WEBHOOKS, VALIDATING), (MUTATING_WEBHOOKS, MUTATING))
)


def rules(rights: tuple[Right, ...]) -> list[dict[str, list[str]]]:
    """As an RBAC role lists them: one rule for all resources of a group with the same verbs and names."""
    grouped: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for right in rights:
        grouped.setdefault((right.group, tuple(sorted(right.verbs)), right.names), []).append(right.resource)
    return [
        {"apiGroups": [group], "resources": sorted(resources), "verbs": list(verbs)}
        | ({"resourceNames": list(names)} if names else {})
        for (group, verbs, names), resources in sorted(grouped.items())
    ]
