"""One look at a cluster, as data: what `observe` gathers and everything else judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Final

from api.meta import Condition, Json, condition
from api.v1 import wire
from api.v1.raycluster import RayCluster, RayClusterCondition
from controller.ray.desired.facts import Facts, facts_of
from controller.ray.desired.names import Slot
from controller.ray.options import Options

__all__ = ["FINISHED", "Fresh", "Memory", "PodView", "Rights", "Seen"]

FINISHED: Final = frozenset({"Failed", "Succeeded"})

Filled = frozenset[tuple[Slot, str]]  # slots, and the ticket under which each was filled


@dataclass(frozen=True, slots=True)
class PodView:
    """What the operator reads of a pod."""

    name: str
    uid: str
    node_type: str
    group: str
    phase: str = "Pending"
    deleting: bool = False
    slot: Slot | None = None  # None: not made by us, and not labelled with an index either
    ticket: str = ""  # "": not made by us
    replica: str = ""  # of which multi-host replica it is a host
    ip: str = ""
    restart_policy: str = "Always"
    ray_container: str = ""
    ready: Mapping[str, str] | None = None  # the condition Ready
    statuses: tuple[Mapping[str, Any], ...] = ()  # containerStatuses
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, pod: Json) -> PodView:
        """The view of a pod as it stands on the wire."""
        metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        containers = spec.get("containers") or [{}]
        return cls(
            name=metadata["name"],
            uid=metadata.get("uid", ""),
            node_type=labels.get(wire.LABEL_NODE_TYPE, ""),
            group=labels.get(wire.LABEL_GROUP, ""),
            phase=status.get("phase") or "Pending",
            deleting=bool(metadata.get("deletionTimestamp")),
            slot=_slot(labels, annotations),
            ticket=annotations.get(wire.ANNOTATION_SLOT_TICKET, ""),
            replica=labels.get(wire.LABEL_REPLICA_NAME, ""),
            ip=status.get("podIP", ""),
            restart_policy=spec.get("restartPolicy") or "Always",
            ray_container=containers[0].get("name", ""),
            ready=condition(status.get("conditions") or (), "Ready"),  # type: ignore[arg-type]
            statuses=tuple(status.get("containerStatuses") or ()),
            annotations=annotations,
        )

    @property
    def is_head(self) -> bool:
        return self.node_type == wire.HEAD

    @property
    def running(self) -> bool:
        return self.phase == "Running"

    @property
    def is_ready(self) -> bool:
        """Running, and its condition Ready is True."""
        return self.running and self.ready is not None and self.ready["status"] == "True"

    @property
    def runs_well(self) -> bool:
        """Running, and not said to be unready: nodes that are played set no condition (spec raycluster E70)."""
        return self.running and (self.ready is None or self.ready["status"] == "True")

    @property
    def terminated(self) -> Mapping[str, Any] | None:
        """How the Ray container ended, if it has. Found by name: the order of statuses is the kubelet's own."""
        ray = next((one for one in self.statuses if one.get("name") == self.ray_container), None)
        state: Mapping[str, Any] = (ray or {}).get("state") or {}
        return state.get("terminated")


def _slot(labels: Mapping[str, str], annotations: Mapping[str, str]) -> Slot | None:
    """The slot a pod fills: as its annotation says, else, for pods that KubeRay made, as its labels do."""
    if wire.ANNOTATION_SLOT in annotations:
        return Slot.parse(annotations[wire.ANNOTATION_SLOT])
    index, host = labels.get(wire.LABEL_REPLICA_INDEX, ""), labels.get(wire.LABEL_HOST_INDEX)
    place = index if host is None else f"{index}.{host}"
    return Slot.parse(f"{labels.get(wire.LABEL_GROUP, '')}/{place}")


@dataclass(frozen=True, slots=True)
class Rights:
    """Which of the autoscaler's objects exist."""

    service_account: bool = False
    role: bool = False
    role_binding: bool = False


@dataclass(frozen=True, slots=True)
class Fresh:
    """Chance, drawn before the judgement that may need it."""

    ticket: str
    token: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A RayCluster and what belongs to it, all read at one moment."""

    object: Json  # the RayCluster on the wire
    cluster: RayCluster
    pods: tuple[PodView, ...] = ()  # ours, and those that nobody controls
    predecessors: tuple[str, ...] = ()  # pods of a deleted cluster of the same name
    head_services: tuple[Json, ...] = ()
    headless_service: Json | None = None
    serve_service: Json | None = None
    ingress: Json | None = None  # of the expected name, whoever made it
    rights: Rights = field(default_factory=Rights)
    spent: Filled = frozenset()  # what this process saw filled earlier, under the present ticket, and is empty now
    known: bool = False  # did this process look at the cluster before?
    accepted: bool = False  # did it judge this very spec, with these labels and annotations, and found it good?
    concern: str = ""  # what admission would refuse, and the reference runs
    facts: Facts | None = None  # of the cluster, where they were read already: see `asks`

    @property
    def name(self) -> str:
        return self.cluster.name

    @property
    def namespace(self) -> str:
        return self.cluster.namespace

    @property
    def uid(self) -> str:
        return self.cluster.uid

    @property
    def resource_version(self) -> str:
        return str(self.cluster.metadata.get("resourceVersion", ""))

    def asks(self, options: Options) -> Facts:
        """What the cluster asks for. It must have a spec."""
        return self.facts if self.facts is not None else facts_of(self.cluster, options)

    @property
    def deleting(self) -> bool:
        return bool(self.cluster.metadata.get("deletionTimestamp"))

    @property
    def status_is_empty(self) -> bool:
        """Has nothing ever been reported?"""
        return not self.object.get("status")

    @property
    def ticket(self) -> str:
        """The ticket at hand, or "" when one has to be recorded first (design W2)."""
        recorded = self.cluster.annotations.get(wire.ANNOTATION_TICKET, "")
        return recorded or (self.uid if self.status_is_empty else "")

    @property
    def heads(self) -> tuple[PodView, ...]:
        return tuple(pod for pod in self.pods if pod.is_head)

    def workers_of(self, group: str) -> tuple[PodView, ...]:
        return tuple(pod for pod in self.pods if pod.node_type == wire.WORKER and pod.group == group)

    def holds(self, type_: RayClusterCondition) -> bool:
        """Is that condition True?"""
        found: Condition | None = condition(self.cluster.status.conditions, type_)  # type: ignore[arg-type]
        return found is not None and found["status"] == "True"


@dataclass(frozen=True, slots=True)
class Memory:
    """Where pods of a cluster's ticket were seen, so that no name of a pod that died comes back (design W1).

    A restart forgets it; then the names in workersToDelete are all that still tells. Only what a cache showed is
    remembered, never what was merely asked for: a view that lags must not look like a death.
    """

    uid: str = ""
    filled: Filled = frozenset()
    accepted: bytes = b""  # a digest of what was judged and found good

    def recall(self, seen: Seen) -> Seen:
        """The look, with the places that were filled before and are empty now, and whether it was accepted before."""
        if self.uid != seen.uid:
            return seen
        accepted = bool(self.accepted) and self.accepted == _judged(seen)
        return replace(seen, spent=self.filled - _filled(seen), known=True, accepted=accepted)

    @classmethod
    def after(cls, seen: Seen) -> Memory:
        """What to remember of a look that `recall` completed: a ticket that is over needs no memory."""
        known = seen.spent | _filled(seen)
        kept = frozenset((slot, ticket) for slot, ticket in known if ticket == seen.ticket)
        return cls(seen.uid, kept, _judged(seen) if seen.accepted else b"")

    def accepting(self, seen: Seen) -> Memory:
        """With this: nothing was wrong with the spec of that look."""
        return replace(self, accepted=_judged(seen))


def _judged(seen: Seen) -> bytes:
    """A digest of all that is judged but the status; the spec is known by its generation."""
    about = (seen.cluster.generation, sorted(seen.cluster.labels.items()), sorted(seen.cluster.annotations.items()))
    return blake2b(repr(about).encode(), digest_size=16).digest()


def _filled(seen: Seen) -> Filled:
    return frozenset((pod.slot, pod.ticket) for pod in seen.pods if pod.slot is not None)
