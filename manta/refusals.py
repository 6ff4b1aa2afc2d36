"""What the API server does not take of what the operator makes: why, and where in the user's object that stands. Pure.

The operator tries again for ever, since somebody might change the object, a quota or a right. Of a run nobody does: so
what does not pass by itself is told from what does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from manta.documents import Document, steps_in
from manta.doubts import value_at

__all__ = ["NO_CLUSTER", "explained", "lasting", "pods_not_taken"]

Json: TypeAlias = Mapping[str, Any]

NO_CLUSTER: Final = "FailedToCreateRayCluster"  # reason of the event about a RayJob or RayService
REPLICA_FAILURE: Final = "ReplicaFailure"  # condition of a RayCluster: a write about its pods was refused
CREATING: Final = frozenset({"FailedCreateHeadPod", "FailedCreateWorkerPod"})  # reasons of it
REFUSED: Final = re.compile(r'(?P<kind>\S+) "(?P<name>[^"]+)" is (?P<how>invalid|forbidden): (?P<why>.*)', re.DOTALL)
# What 403 says that is over by itself: pods of others end, the server counts up, a namespace is made anew.
PASSING: Final = ("exceeded quota", "status unknown for quota", "is being terminated")
CAUSE: Final = re.compile(r"\[?(?P<field>(?:spec|metadata)[^:\s]*): (?P<why>.*)", re.DOTALL)
VALUE: Final = re.compile(r'Invalid value: (?P<value>"(?:[^"\\]|\\.)*"|[^:]*): (?P<rule>.*)', re.DOTALL)
NEXT_CAUSE: Final = re.compile(r", (?=(?:spec|metadata)[.\[][^:\s]*: )")
LONGEST: Final = 50  # characters of cluster and group in the name of a pod
BASES: Final = {"RayCluster": "spec", "RayJob": "spec.rayClusterSpec", "RayService": "spec.rayClusterConfig"}
WAYS: Final = (  # words of the server -> the way out
    (re.compile(r"must be less than or equal to \S+ limit"), "ask for less there, or raise the limit"),
    (re.compile(r'serviceaccount "(\S+)" not found'), r"put that ServiceAccount into the file, above the object"),
    (re.compile(r"no PriorityClass with name (\S+)"), r"put that PriorityClass into the file, above the object"),
)
CHANGE: Final = "change it there, and run again"
NAMED_BY: Final = (  # words of a 403, which names no field -> the field of a pod that it is about
    ("serviceaccount", "spec.serviceAccountName"),
    ("PriorityClass", "spec.priorityClassName"),
)


def lasting(words: str) -> bool:
    """Whether the server will say so again, as things are: the object is invalid, or forbidden by more than a quota."""
    return REFUSED.search(words) is not None and not any(one in words for one in PASSING)


def pods_not_taken(cluster: Json) -> str:
    """The server's words about pods of a RayCluster that it does not take now; "" if it does, or will by itself."""
    for one in (cluster.get("status") or {}).get("conditions") or ():
        if one["type"] == REPLICA_FAILURE and one["status"] == "True" and one.get("reason") in CREATING:
            words = str(one.get("message", "")).removeprefix(one["reason"]).strip()
            return words if lasting(words) else ""
    return ""


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the user's object, of which something was to be made."""

    what: str  # as sentences name it
    path: str


def explained(words: str, cluster: str, document: Document) -> str:
    """A refusal in a sentence: what is refused, at which field, why, and the way out."""
    found = REFUSED.search(words)
    if found is None:
        return words
    base = BASES.get(document.kind, "spec")
    pod = not found["kind"].lower().startswith("raycluster")
    part = part_of(found["name"], cluster, document, base) if pod else _Part(f"RayCluster {found['name']}", base)
    first, *more = NEXT_CAUSE.split(found["why"].partition(" (HTTP ")[0])
    cause = CAUSE.match(first)
    field, why = (cause["field"], cause["why"].rstrip("]")) if cause else (field_named_by(first), first)
    path = f"{part.path}.{field}" if pod else f"{part.path}{field.removeprefix('spec')}"
    rest = f" (and {len(more)} more)" if more else ""
    place = f"{path} ({document.where(steps_in(document.body, path))}): " if field else ""
    return f"the API refuses {part.what}: {place}{worded(why)}{rest}; {way_out(why)}"


def part_of(name: str, cluster: str, document: Document, base: str) -> _Part:
    """What the refused pod of that name was to be made of."""
    for index, group in enumerate(value_at(document.body, (*base.split("."), "workerGroupSpecs")) or ()):
        own = str(group.get("groupName", ""))
        if name.startswith(f"{f'{cluster}-{own}'[:LONGEST].lower()}-worker-"):
            path = f"{base}.workerGroupSpecs[{index}].template"
            return _Part(f"the pods of worker group {own} of RayCluster {cluster}", path)
    if name.startswith(f"{cluster[:LONGEST].lower()}-head-"):
        return _Part(f"the head pod of RayCluster {cluster}", f"{base}.headGroupSpec.template")
    return _Part(f"pod {name} of RayCluster {cluster}", f"{base}.workerGroupSpecs[?].template")


def field_named_by(words: str) -> str:
    """The field of a pod that a 403 is about; "" if nobody knows."""
    return next((field for word, field in NAMED_BY if word in words), "")


def worded(why: str) -> str:
    """A cause without the server's label: what stands there, and what is wrong with it."""
    value = VALUE.match(why)
    why = why.replace("Required value", "it is missing", 1)
    return f"found {value['value']}, {value['rule']}" if value else why


def way_out(why: str) -> str:
    """What to do about it."""
    return next((way for words, way in WAYS if words.search(why)), CHANGE)
