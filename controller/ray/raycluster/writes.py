"""Why each write is made, and what users are told of it (spec raycluster §8.5, §20). Pure, and mostly a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import groupby
from typing import Final

from api.v1.raycluster import (
    FAILED_CREATE_HEAD_POD,
    FAILED_CREATE_WORKER_POD,
    FAILED_DELETE_ALL_PODS,
    FAILED_DELETE_HEAD_POD,
    FAILED_DELETE_WORKER_POD,
)
from controller.runtime.errors import ApiError
from controller.runtime.plan import Announcement, Outcome, Verdict, ref_of

__all__ = ["Kind", "Why", "announcements", "failure", "words_of"]

NOTE_LIMIT: Final = 1024  # bytes of an event's note; the API server refuses more
FAILED: Final = frozenset({Verdict.REFUSED, Verdict.FOREIGN})


class Kind(Enum):
    """What a write is for."""

    SERVICE_ACCOUNT = auto()
    ROLE = auto()
    ROLE_BINDING = auto()
    AUTH_SECRET = auto()
    CREATE_INGRESS = auto()
    UPDATE_INGRESS = auto()
    HEAD_SERVICE = auto()
    HEADLESS_SERVICE = auto()
    SERVE_SERVICE = auto()
    CREATE_HEAD = auto()
    DELETE_HEAD = auto()
    CREATE_WORKER = auto()
    DELETE_UNHEALTHY = auto()
    DELETE_NAMED = auto()
    DELETE_SURPLUS = auto()
    DELETE_HOST = auto()
    SUSPEND_GROUP = auto()
    SUSPEND = auto()
    RECREATE = auto()
    ADOPT_HEAD = auto()


@dataclass(frozen=True, slots=True)
class Why:
    """The reason of one write: `tail` is what the event adds about the pod's health, `cause` why its replica goes."""

    kind: Kind
    group: str = ""
    tail: str = ""
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """The events of a kind of write.

    In notes: {o} the object, {c} the cluster, {g} the group, {t} the tail, {w} the cause, {e} the error.
    """

    done: str
    refused: str
    action: str
    done_note: str
    refused_note: str
    marker: str = ""  # reason of ReplicaFailure when it is refused
    about_all: bool = False  # the note speaks of all objects at once


def _created(what: str, reason: str) -> Words:
    return Words(
        f"Created{reason}",
        f"FailedToCreate{reason}",
        "Create",
        f"Created {what} {{o}}",
        f"Failed creating {what} {{o}}, {{e}}",
    )


def _worker_deleted(done_note: str, refused_note: str) -> Words:
    return Words(
        "DeletedWorkerPod", "FailedToDeleteWorkerPod", "Delete", done_note, refused_note, FAILED_DELETE_WORKER_POD
    )


WORDS: Final[Mapping[Kind, Words]] = {
    Kind.SERVICE_ACCOUNT: _created("service account", "ServiceAccount"),
    Kind.ROLE: _created("role", "Role"),
    Kind.ROLE_BINDING: _created("role binding", "RoleBinding"),
    Kind.CREATE_INGRESS: _created("ingress", "Ingress"),
    Kind.UPDATE_INGRESS: Words(
        "UpdatedIngress", "FailedToUpdateIngress", "Update", "Updated ingress {o}", "Failed updating ingress {o}, {e}"
    ),
    Kind.HEAD_SERVICE: _created("service", "Service"),
    Kind.HEADLESS_SERVICE: _created("service", "Service"),
    Kind.CREATE_HEAD: Words(
        "CreatedHeadPod",
        "FailedToCreateHeadPod",
        "Create",
        "Created head Pod {o}",
        "Failed to create head Pod {o}, {e}",
        FAILED_CREATE_HEAD_POD,
    ),
    Kind.DELETE_HEAD: Words(
        "DeletedHeadPod",
        "FailedToDeleteHeadPod",
        "Delete",
        "Deleted head Pod {o}{t}",
        "Failed deleting head Pod {o}{t}, {e}",
        FAILED_DELETE_HEAD_POD,
    ),
    Kind.CREATE_WORKER: Words(
        "CreatedWorkerPod",
        "FailedToCreateWorkerPod",
        "Create",
        "Created worker Pod {o}",
        "Failed to create worker Pod for the cluster {c}, {e}",
        FAILED_CREATE_WORKER_POD,
    ),
    Kind.DELETE_UNHEALTHY: _worker_deleted("Deleted worker Pod {o}{t}", "Failed deleting worker Pod {o}{t}, {e}"),
    Kind.DELETE_HOST: _worker_deleted(
        "Deleted worker Pod {o} for group {g}: {w}", "Failed deleting worker Pod {o} for group {g}{t}, {e}"
    ),
    Kind.DELETE_NAMED: _worker_deleted("Deleted pod {o}", "Failed deleting pod {o}, {e}"),
    Kind.DELETE_SURPLUS: _worker_deleted("Deleted Pod {o}", "Failed deleting Pod {o}, {e}"),
    Kind.SUSPEND_GROUP: Words(
        "DeletedWorkerPod",
        "FailedToDeleteWorkerPodCollection",
        "Delete",
        "Deleted all pods for suspended worker group {g} in RayCluster {c}",
        "Failed deleting worker Pods for suspended group {g} in RayCluster {c}, {e}",
        FAILED_DELETE_WORKER_POD,
        about_all=True,
    ),
    Kind.SUSPEND: Words(
        "DeletedPod",
        "FailedToDeletePodCollection",
        "Delete",
        "Deleted Pods for RayCluster {c} due to suspension",
        "Failed deleting Pods due to suspension for RayCluster {c}, {e}",
        FAILED_DELETE_ALL_PODS,
        about_all=True,
    ),
    Kind.RECREATE: Words(
        "DeletedPod",
        "FailedToDeletePodCollection",
        "Delete",
        "Deleted all Pods for RayCluster {c} due to spec change with Recreate upgradeStrategy",
        "Failed deleting Pods due to spec change with Recreate upgradeStrategy for RayCluster {c}, {e}",
        FAILED_DELETE_ALL_PODS,
        about_all=True,
    ),
}
SILENT: Final = frozenset({Kind.AUTH_SECRET, Kind.SERVE_SERVICE, Kind.ADOPT_HEAD})


def words_of(error: Exception | None) -> str:
    """What the server said, without what we say around it."""
    return error.message if isinstance(error, ApiError) else str(error)


def failure(outcomes: Iterable[Outcome]) -> tuple[str, str] | None:
    """Reason and message of ReplicaFailure: of the first refused write that counts for it; None without one."""
    for outcome in outcomes:
        words = WORDS.get(outcome.write.why.kind) if isinstance(outcome.write.why, Why) else None
        if words is not None and words.marker and outcome.verdict in FAILED:
            return words.marker, f"{words.marker}\n{words_of(outcome.error)}"
    return None


def announcements(outcomes: Iterable[Outcome], cluster: str) -> tuple[Announcement, ...]:
    """The events about what was done and refused; `cluster` is "namespace/name".

    What is alike within a pass is one event, so that a group of a hundred workers is one line for people, too.
    """
    told = [one for one in outcomes if isinstance(one.write.why, Why) and one.write.why.kind not in SILENT]
    done = [one for one in told if one.verdict is Verdict.DONE]
    refused = [one for one in told if one.verdict in FAILED]
    return (
        *(_told(same, cluster) for _, same in _alike(done)),
        *(_complained(next(iter(same)), cluster) for _, same in _alike(refused)),
    )


def _alike(outcomes: Sequence[Outcome]) -> Iterable[tuple[tuple[int, str, str], Iterable[Outcome]]]:
    def key(outcome: Outcome) -> tuple[int, str, str]:
        why = outcome.write.why
        assert isinstance(why, Why)
        return why.kind.value, why.group, why.cause

    return groupby(sorted(outcomes, key=key), key)


def _told(outcomes: Iterable[Outcome], cluster: str) -> Announcement:
    same = list(outcomes)
    why = same[0].write.why
    assert isinstance(why, Why)
    words = WORDS[why.kind]
    note = words.done_note.format(o=_name(same[0]), c=cluster, g=why.group, t=why.tail, w=why.cause)
    if len(same) > 1 and not words.about_all:
        others = ", ".join(_name(one) for one in same[1:])
        note = f"{note} and {len(same) - 1} more: {others}"
    return Announcement("Normal", words.done, words.action, _cut(note))


def _complained(outcome: Outcome, cluster: str) -> Announcement:
    why = outcome.write.why
    assert isinstance(why, Why)
    words = WORDS[why.kind]
    error = words_of(outcome.error)
    note = words.refused_note.format(o=_name(outcome), c=cluster, g=why.group, t=why.tail, w=why.cause, e=error)
    return Announcement("Warning", words.refused, words.action, _cut(note))


def _name(outcome: Outcome) -> str:
    ref = ref_of(outcome.write)
    return f"{ref.namespace}/{ref.name}"


def _cut(note: str) -> str:
    """What the API server takes. The reference sends more, which is refused and lost."""
    encoded = note.encode()
    return note if len(encoded) <= NOTE_LIMIT else encoded[: NOTE_LIMIT - 3].decode(errors="ignore") + "..."
