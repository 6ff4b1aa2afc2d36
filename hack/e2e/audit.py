"""What the operator's service account did, by the API server's own audit log, beside what it may do."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from controller.rights import LEADER_ELECTION, RIGHTS, WEBHOOK_CONFIGURATIONS, WEBHOOK_SECRET, Right

__all__ = ["Request", "Use", "judge", "requests"]

Json = dict[str, Any]
Window = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as RBAC sees it."""

    group: str
    resource: str  # plural, or plural/subresource; a path where it is no resource
    verb: str
    allowed: bool  # by RBAC: a quota that is exceeded is another matter
    at: datetime


@dataclass(frozen=True, slots=True)
class Use:
    """How rights were used: what was refused, what was done without a right of our table, what no run needed."""

    refused: tuple[str, ...]
    beyond: tuple[str, ...]
    unused: tuple[tuple[Right, str], ...]  # the verb
    count: int

    def report(self) -> str:
        """For people: what was not used, by why it was not."""
        told = [f"{self.count} requests; refused: {_list(self.refused)}; without a right: {_list(self.beyond)}"]
        reasons: dict[str, list[str]] = {}
        for right, verb in self.unused:
            reasons.setdefault(_why_not(right, verb), []).append(f"{verb} {_name(right)}")
        told += [f"not used, {reason}: {_list(names)}" for reason, names in sorted(reasons.items())]
        return "\n".join(told)


def requests(audit_log: Path, account: str) -> list[Request]:
    """All requests of a service account, "namespace:name", that were answered."""
    found = []
    for line in audit_log.read_text().splitlines():
        event: Json = json.loads(line)
        if event["user"].get("username") != f"system:serviceaccount:{account}":
            continue
        if event["stage"] == "ResponseStarted":  # of a watch: it is told again when it ends
            if event["verb"] != "watch":
                continue
        elif event["verb"] == "watch" and event.get("responseStatus", {}).get("code") == 200:
            continue
        found.append(_request(event))
    return found


def _request(event: Json) -> Request:
    target = event.get("objectRef") or {}
    below = f"/{target['subresource']}" if "subresource" in target else ""
    return Request(
        target.get("apiGroup", ""),
        f"{target['resource']}{below}" if "resource" in target else event["requestURI"],
        event["verb"],
        (event.get("annotations") or {}).get("authorization.k8s.io/decision") != "forbid",
        datetime.fromisoformat(event["requestReceivedTimestamp"]),
    )


def judge(done: Iterable[Request], away: Sequence[Window] = ()) -> Use:
    """Hold the requests against controller/rights.py; refusals within `away` do not count."""
    granted = {(right.group, right.resource, verb) for right, verb in (*_verbs(), *_verbs(OPTIONAL))}
    used: Counter[tuple[str, str, str]] = Counter()
    refused: Counter[str] = Counter()
    for one in done:
        if one.allowed:
            used[one.group, one.resource, one.verb] += 1
        elif not any(began <= one.at <= ended for began, ended in away):
            refused[f"{one.verb} {one.resource}"] += 1
    beyond = sorted(f"{verb} {resource}" for group, resource, verb in used.keys() - granted)
    unused = [(right, verb) for right, verb in _verbs() if (right.group, right.resource, verb) not in used]
    return Use(tuple(sorted(refused)), tuple(beyond), tuple(unused), used.total())


ALWAYS: Final = (*RIGHTS, *LEADER_ELECTION)
OPTIONAL: Final = (*WEBHOOK_CONFIGURATIONS, *WEBHOOK_SECRET)  # of an installation with webhooks alone


def _verbs(rights: Sequence[Right] = ALWAYS) -> list[tuple[Right, str]]:
    return [(right, verb) for right in rights for verb in right.verbs]


def _why_not(right: Right, verb: str) -> str:
    """Why a run had no use for it; what these tests never ask for is told as such."""
    if verb == "list":
        return "since the API server streams the beginning of a watch, and a list is only for those that do not"
    if verb == "get" and right.resource != "secrets":
        return "since no answer to a write was lost"
    if right.resource.endswith("/finalizers"):
        return "since it is asked only of clusters with the admission plugin OwnerReferencesPermissionEnforcement"
    if (right.resource, verb) == ("leases", "create"):
        return "since the lease stands in the manifests"
    return f"since no test asked for it ({right.why})"


def _name(right: Right) -> str:
    return f"{right.resource}.{right.group}" if right.group else right.resource


def _list(words: Sequence[str]) -> str:
    return ", ".join(words) or "none"
