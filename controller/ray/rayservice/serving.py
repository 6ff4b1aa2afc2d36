"""What one cluster is to serve: configuration, the head's label, what is asked of it (spec rayservice §10, §11). Pure.

A configuration goes through three marks on the RayCluster, each written before what follows from it: *sending* before
the PUT, *sent* after it. A restarted operator that reads *sending* sends once more, which changes nothing when it had
arrived; one that reads *sent* does not. What the head says counts as an answer to a configuration only when it was
asked after that was sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from api.core import PODS
from api.meta import Json
from api.v1 import wire
from controller.ray.dashboard.protocol import Effect, EffectState, Proxy, Wants
from controller.ray.rayservice.seen import SENDING, SENT, ClusterView, Seen
from controller.runtime.plan import Announcement, MergePatch

__all__ = ["CONFIGURATION", "HEAD_LABEL", "Serving", "is_configured", "serving_of"]

CONFIGURATION: Final = "configuration"
HEAD_LABEL: Final = "head label"


@dataclass(frozen=True, slots=True)
class Serving:
    """What is written to one cluster and to its head, asked of it, and told."""

    mark: MergePatch | None = None  # of the configuration, on the RayCluster
    label: MergePatch | None = None  # on the head pod
    wants: Wants | None = None
    events: tuple[Announcement, ...] = ()


def is_configured(seen: Seen, cluster: ClusterView, *, prepares: bool) -> bool:
    """Is that cluster to have the configuration? One that is being replaced keeps what it has (E-19)."""
    if cluster.deleting or not cluster.head_ready:
        return False
    return cluster.name == seen.name_of("pending") or not (seen.name_of("pending") or prepares)


def serving_of(seen: Seen, cluster: ClusterView, *, configured: bool, proven: bool) -> Serving:
    """For a cluster that is to have the configuration (`configured`), and whose doors must be proven open (`proven`).

    Of one that is not, only its head's proxy is asked.
    """
    label = _head_label(seen, cluster)
    if cluster.target is None:
        return Serving(label=label)
    doors = tuple(_doors(seen, cluster, all_of_them=proven))
    if not configured:
        return Serving(label=label, wants=Wants(cluster.target, proxies=doors))
    wants = Wants(
        cluster.target,
        effects=_effects(seen, cluster),
        mark=seen.goal.digest if cluster.configuration == (SENT, seen.goal.digest) else "",
        serve=True,
        proxies=doors,
    )
    return Serving(_marked(seen, cluster), label, wants, tuple(_told(seen, cluster)))


def _doors(seen: Seen, cluster: ClusterView, *, all_of_them: bool) -> Iterator[Proxy]:
    """The head's, for its label; all that requests may go through, where that must be proven."""
    head = cluster.head.door if cluster.head is not None else None
    if head is not None and not seen.spec.exclude_head_pod_from_serve_svc:
        yield head
    if all_of_them:
        yield from (door for door in cluster.doors if door != head)


def _effects(seen: Seen, cluster: ClusterView) -> tuple[Effect, ...]:
    """The configuration, while it is on its way, and again for a head that has forgotten it (E-29)."""
    goal = seen.goal
    if goal.problem:
        return ()
    if cluster.configuration == (SENDING, goal.digest):
        return (goal.put,)
    return (goal.put,) if cluster.forgot(goal) else ()


def _marked(seen: Seen, cluster: ClusterView) -> MergePatch | None:
    """What is to be remembered of the configuration, if that is news."""
    goal = seen.goal
    state, digest = cluster.configuration
    if goal.problem or (state == SENT and digest == goal.digest):
        return None
    if digest != goal.digest:
        return _remembering(cluster, f"{SENDING}:{goal.digest}")
    arrived = cluster.effect(goal)[0] is EffectState.DONE
    return _remembering(cluster, f"{SENT}:{goal.digest}") if arrived else None


def _remembering(cluster: ClusterView, text: str) -> MergePatch:
    body: Json = {"metadata": {"annotations": {wire.ANNOTATION_SERVE_CONFIG: text}}}
    namespace = cluster.object["metadata"]["namespace"]
    return MergePatch(wire.RAY_CLUSTERS, namespace, cluster.name, cluster.uid, body, why=CONFIGURATION)


def _told(seen: Seen, cluster: ClusterView) -> Iterator[Announcement]:
    """Why a configuration does not arrive, and that it did."""
    where = f"{seen.metadata['namespace']}/{cluster.name}"
    state, why = cluster.effect(seen.goal)
    problem = seen.goal.problem or (why if state in (EffectState.FAILED, EffectState.REFUSED) else "")
    if problem:
        note = f"Failed to update serve applications to the RayCluster {where}: {problem}"
        yield Announcement("Warning", "FailedToUpdateServeApplications", "Update", note)
    elif state is EffectState.DONE and (
        cluster.configuration == (SENDING, seen.goal.digest) or cluster.forgot(seen.goal)
    ):
        note = f"Updated serve applications to the RayCluster {where}"
        yield Announcement("Normal", "UpdatedServeApplications", "Update", note)


def _head_label(seen: Seen, cluster: ClusterView) -> MergePatch | None:
    """ray.io/serve of the head pod: whether requests are sent to it. Its readiness probe does not look at its proxy."""
    head = cluster.head
    if head is None:
        return None
    wanted = "false"
    if not seen.spec.exclude_head_pod_from_serve_svc and head.door is not None:
        said = cluster.known.proxies.get(head.door)
        if said is None:
            return None  # nothing is known yet: it stays as it is
        wanted = "true" if said.healthy else "false"
    if wanted == head.label:
        return None
    body: Json = {"metadata": {"labels": {wire.LABEL_SERVE: wanted}}}
    namespace = cluster.object["metadata"]["namespace"]
    return MergePatch(PODS, namespace, head.name, head.uid, body, why=HEAD_LABEL)
