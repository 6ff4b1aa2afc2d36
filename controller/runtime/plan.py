"""What one look at the world decided: the writes, in order, and what is wanted of the world beside them.

A `decide` function returns a Plan and does nothing itself. `controller.runtime.apply` turns the writes into requests
and every one of them into an Outcome; the kind's `report` reads the outcomes; `controller.runtime.publish` writes the
status. Pure data: no I/O, no clock.

The order inside a plan (design.md §2): what protects (`record`) first, and alone; then `steps`, one after the other.
A step has lanes that do not depend on each other; in a lane writes go out in batches of 1, 2, 4, ... (`apply` says when
the first may be larger) and the first refusal ends the lane, and after its step the plan: a server that refuses all
pods is asked once a pass, not a hundred times.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any, Literal

from api.meta import Json, Ref, Resource

__all__ = [
    "AGAIN",
    "DONE",
    "Announcement",
    "Create",
    "Delete",
    "MergePatch",
    "Outcome",
    "Plan",
    "Result",
    "Step",
    "Verdict",
    "Write",
    "after",
]


@dataclass(frozen=True, slots=True)
class Create:
    """Make `body`, which has its final, derived name (design W1).

    AlreadyExists is settled by `apply` (design W3): the object there counts as ours if it is controlled by the same
    owner UID, is not terminating or finished, and carries the same values under `identity` (annotation keys);
    with `adopt_foreign` it is used as it is, whoever made it.
    """

    resource: Resource
    body: Json
    why: Hashable = None
    identity: tuple[str, ...] = ()
    adopt_foreign: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete exactly this one: the UID is a precondition (design W4). Already gone is success."""

    resource: Resource
    namespace: str
    name: str
    uid: str
    why: Hashable = None
    propagation: Literal["Background", "Foreground", "Orphan"] | None = "Background"


@dataclass(frozen=True, slots=True)
class MergePatch:
    """Change an object by JSON merge patch. `uid` always goes with it, `resource_version` where lists are replaced."""

    resource: Resource
    namespace: str
    name: str
    uid: str
    body: Json
    why: Hashable = None
    resource_version: str | None = None
    subresource: str | None = None


Write = Create | Delete | MergePatch


@dataclass(frozen=True, slots=True)
class Step:
    """Lanes of writes; every lane is tried, and later steps only if none of them was refused."""

    lanes: tuple[tuple[Write, ...], ...]

    @classmethod
    def of(cls, *writes: Write) -> Step:
        """One lane."""
        return cls((writes,))


class Verdict(Enum):
    """What became of a write."""

    DONE = "done"  # it happened now
    ALREADY = "already"  # it had happened before: ours was there, or it was gone
    REFUSED = "refused"  # the server said no; `error` says why
    FOREIGN = "foreign"  # an object of that name is there, and it is not ours
    WAIT = "wait"  # our predecessor's object still stands there, terminating: garbage collection takes it
    STALE = "stale"  # ours by owner, but terminating, finished or of another slot: a new ticket is needed
    CONFLICT = "conflict"  # the object changed or was replaced since it was read
    SKIPPED = "skipped"  # not tried, because one before it was refused


@dataclass(frozen=True, slots=True)
class Outcome:
    """A write and what became of it. `object` is the object as the server has it now, where it told."""

    write: Write
    verdict: Verdict
    object: Json | None = None
    error: Exception | None = None

    @property
    def good(self) -> bool:
        """Nothing more is to be done about it."""
        return self.verdict in (Verdict.DONE, Verdict.ALREADY)


@dataclass(frozen=True, slots=True)
class Announcement:
    """An event for users (events.k8s.io/v1); `regarding` is the reconciled object unless another is named."""

    type: Literal["Normal", "Warning"]
    reason: str
    action: str
    note: str


@dataclass(frozen=True, slots=True)
class Result:
    """When to look again.

    `requeue_after` None: at the next event. Zero: at once, and the key's back-off stays as it is (the pass only
    recorded something, design W5). `error`: the pass failed; back off, but not beyond `requeue_after`.
    """

    requeue_after: timedelta | None = None
    error: Exception | None = None


DONE = Result()
AGAIN = Result(requeue_after=timedelta(0))


def after(delay: timedelta, *, error: Exception | None = None) -> Result:
    """Look again in a while; with an error, when the key's back-off says, if that is earlier."""
    return Result(requeue_after=delay, error=error)


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole decision of one pass."""

    record: MergePatch | None = None  # to be stored before anything else; the pass ends after it
    steps: tuple[Step, ...] = ()
    wants: Any = None  # all that this object wants of Ray now (controller.ray.dashboard.protocol.Wants), or nothing
    events: tuple[Announcement, ...] = ()
    result: Result = DONE
    notes: Json = field(default_factory=dict)  # what decide already knows and report needs; a kind's own keys

    @property
    def writes(self) -> tuple[Write, ...]:
        """All writes in order, for tests and logs."""
        return tuple(write for step in self.steps for lane in step.lanes for write in lane)


def ref_of(write: Write) -> Ref:
    """The object that a write is about."""
    if isinstance(write, Create):
        metadata = write.body["metadata"]
        return Ref(write.resource.kind, metadata.get("namespace", ""), metadata["name"])
    return Ref(write.resource.kind, write.namespace, write.name)
