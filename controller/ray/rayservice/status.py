"""What a pass reports of a RayService: its new status, if worth a write, and the events (spec rayservice §15, §16).

Pure. Ready is judged by ready pods behind the serve Service alone, not by what applications say of themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from api.meta import Condition, Json, format_time, parse_time, set_condition
from api.v1 import wire
from api.v1.rayservice import RayServiceCondition
from controller.ray.concerns import DOUBTFUL, doubtful
from controller.ray.dashboard.protocol import ServeInfo
from controller.ray.rayservice import upgrade
from controller.ray.rayservice.decide import HEAD_SERVICE, SERVE_SERVICE, Course, Decision, initializing_due
from controller.ray.rayservice.seen import ClusterView, Seen
from controller.ray.rayservice.serving import HEAD_LABEL, is_configured
from controller.ray.rayservice.suspension import CLUSTER, SERVICE, Suspension
from controller.runtime.plan import AGAIN, Announcement, Create, Delete, MergePatch, Outcome, Result, Verdict, ref_of

__all__ = ["OWN_CONDITIONS", "Report", "report"]

OWN_CONDITIONS: Final = frozenset({RayServiceCondition.ROLLBACK_IN_PROGRESS.value, DOUBTFUL})  # ours to take away
EXCEPTION: Final = re.compile(r"[\w.]+(Error|Exception)\b")  # as a traceback ends
ROLES: Final = ("activeServiceStatus", "pendingServiceStatus")
PLAIN: Final = ("serviceStatus", "numServeEndpoints")  # left out where they are "" and 0 (spec rayservice §3)
TIMED_OUT: Final = "InitializingTimeout"
SHOWN_AFTER: Final = timedelta(seconds=5)  # since the last write, what the clusters say of themselves (§15.5)
LONGEST_WAIT: Final = timedelta(seconds=30)  # a quota that was raised is found in time (spec rayservice §5.3)


@dataclass(frozen=True, slots=True)
class Report:
    """`status` is the whole new status, or None where nothing is worth a write.

    The conditions of the types in `anew` begin again: their times are new, whatever their status was.
    """

    status: Json | None
    events: tuple[Announcement, ...]
    result: Result
    anew: frozenset[str] = frozenset()


def report(seen: Seen, decision: Decision, outcomes: Sequence[Outcome], now: datetime) -> Report:
    """From what was decided and what became of the writes."""
    refused = next((one for one in outcomes if not one.good and one.verdict is not Verdict.SKIPPED), None)
    draft = _Draft(seen, decision, now, awaited(seen, decision, refused))
    if decision.course is Course.REFUSED:
        draft.invalid()
    elif decision.course is Course.SUSPENSION:
        draft.suspension(decision.suspension)
    elif decision.course is Course.RUNNING:
        moved = all(one.good for one in outcomes if one.write.why in (HEAD_SERVICE, SERVE_SERVICE))
        taken = any(one.verdict is Verdict.FOREIGN for one in outcomes if one.write.why == upgrade.CREATE)
        draft.running(moved=moved, renames=decision.prepares or taken)
    told = (*decision.plan.events, *draft.events, *(event for one in outcomes for event in announced(one)))
    result = _result(decision, refused)
    if not _differs(seen.status, draft.status):
        wait = _until_shown(seen.status, draft.status, now)
        if wait is None:
            return Report(None, told, result)
        if wait > timedelta(0):
            return Report(None, told, _no_later(result, wait))
    status = {name: value for name, value in draft.status.items() if value or name not in PLAIN}
    status["lastUpdateTime"] = format_time(now)
    if result.error is None and _names(status) != _names(seen.status):
        result = AGAIN  # a cluster that lost its name is noticed by the next pass, and nothing else would start it
    return Report(status, told, result, frozenset(draft.anew))


def _result(decision: Decision, refused: Outcome | None) -> Result:
    """A refused write or a problem fails the pass; the key then backs off, but for no longer than `LONGEST_WAIT`."""
    error: Exception | None = None
    if refused is not None:
        error = refused.error or RuntimeError(f"{ref_of(refused.write)}: {refused.verdict.value}")
    elif decision.problem:
        error = RuntimeError(decision.problem)
    else:
        return decision.plan.result
    wait = decision.plan.result.requeue_after or LONGEST_WAIT  # at once is the next try, whose time the back-off says
    return Result(min(wait, LONGEST_WAIT), error)


def _names(status: Mapping[str, Any]) -> list[str]:
    return [(status.get(role) or {}).get("rayClusterName") or "" for role in ROLES]


class _Draft:
    """The new status as it comes to be."""

    def __init__(self, seen: Seen, decision: Decision, now: datetime, awaited: str) -> None:
        self.seen, self.decision, self.now, self.awaited = seen, decision, now, awaited
        self.status: Json = {**seen.status}
        self.anew: set[str] = set()
        self.events: list[Announcement] = []

    # The courses

    def invalid(self) -> None:
        """Ready is False and says why; all else stays, traffic included (E-06)."""
        note = self.decision.plan.events[0].note
        self.set(RayServiceCondition.READY, "False", "ValidationFailed", note.partition(": ")[2])

    def suspension(self, state: Suspension) -> None:
        """The machine's own conditions, and those that it makes False (spec rayservice §7)."""
        match state:
            case Suspension.ASKED:
                self.status["observedGeneration"] = self.seen.metadata["generation"]
                self.set(RayServiceCondition.SUSPENDING, "True", "SuspendRequested", "Suspend was requested")
                self.all_false("SuspendInProgress", "The service is being suspended")
                self.cleared()
            case Suspension.GOING:
                self.set(RayServiceCondition.SUSPENDING, "True", "SuspendInProgress", "Clusters and Services are going")
            case Suspension.DONE:
                self.set(RayServiceCondition.SUSPENDING, "False", "SuspendComplete", "Nothing is left")
                self.set(RayServiceCondition.SUSPENDED, "True", "SuspendComplete", "The service is suspended")
                self.all_false("SuspendComplete", "The service is suspended")
            case _:
                return

    def running(self, *, moved: bool, renames: bool) -> None:
        """Spec rayservice §15.1. `moved`: both Services are as they were to be. `renames`: a new name is chosen."""
        seen = self.seen
        self.status["observedGeneration"] = seen.metadata["generation"]
        if self.decision.suspension is Suspension.OVER:
            self.set(RayServiceCondition.SUSPENDED, "False", "RayServiceResumed", "The service was resumed")
            self.forget(RayServiceCondition.READY, RayServiceCondition.UPGRADE_IN_PROGRESS)
        self.first_conditions()
        for role in ("active", "pending"):
            self.status[f"{role}ServiceStatus"] = shown(role, seen, prepares=self.decision.prepares)
        if moved:
            self.promoted()
        if renames:
            name = f"{seen.metadata['name']}-{seen.fresh}"
            self.status["pendingServiceStatus"] = {
                "rayClusterName": name,
                "rayClusterStatus": {**wire.EMPTY_CLUSTER_STATUS},
            }
        self.status["numServeEndpoints"] = seen.endpoints
        self.ready()
        self.upgrading()
        self.status["serviceStatus"] = "Running" if self.is_true(RayServiceCondition.READY) else ""
        self.doubted()

    # Their parts

    def first_conditions(self) -> None:
        """Both are there from the first full pass on, and anew after a resume; a service that was invalid from birth
        starts like any other (E-07).
        """
        reason = self.reason(RayServiceCondition.READY)
        born_invalid = reason == "ValidationFailed" and not self.reason(RayServiceCondition.UPGRADE_IN_PROGRESS)
        if born_invalid:
            self.forget(RayServiceCondition.READY)  # what it may take begins now
        if not reason or born_invalid:
            self.set(RayServiceCondition.READY, "False", "Initializing", "The service is being set up")
        if not self.reason(RayServiceCondition.UPGRADE_IN_PROGRESS):
            message = "The service is being set up"
            self.set(RayServiceCondition.UPGRADE_IN_PROGRESS, "False", "Initializing", message)

    def promoted(self) -> None:
        """The cluster that the Services select is the active one."""
        pending = self.status["pendingServiceStatus"]
        taking_over = self.decision.taking_over
        if taking_over and taking_over == pending.get("rayClusterName"):
            self.status["activeServiceStatus"] = pending
            self.status["pendingServiceStatus"] = {"rayClusterStatus": {**wire.EMPTY_CLUSTER_STATUS}}

    def ready(self) -> None:
        if self.seen.endpoints > 0:
            number = self.seen.endpoints
            message = "1 pod takes requests" if number == 1 else f"{number} pods take requests"
            self.set(RayServiceCondition.READY, "True", "NonZeroServeEndpoints", message)
        elif self.is_true(RayServiceCondition.READY):
            self.set(RayServiceCondition.READY, "False", "ZeroServeEndpoints", "No pod takes requests")
        elif (due := initializing_due(self.seen)) is not None and due <= self.now:
            self.timed_out()
        else:  # the reason stays what it is
            self.set(RayServiceCondition.READY, "False", self.reason(RayServiceCondition.READY), self.awaited)

    def timed_out(self) -> None:
        """For good: only a new RayService, or suspend and resume, starts again."""
        for role in ROLES:
            self.status[role] = {name: one for name, one in self.status[role].items() if name != "rayClusterName"}
        message = f"RayService failed to become ready within the configured timeout of {self.seen.time_limit}"
        self.set(RayServiceCondition.READY, "False", TIMED_OUT, f"{message}: {self.awaited}")
        where = f"{self.seen.metadata['namespace']}/{self.seen.metadata['name']}"
        note = f"RayService initializing timeout exceeded for {where}: {self.awaited}"
        self.events.append(Announcement("Warning", "RayServiceInitializingTimeout", "Reconcile", note))

    def upgrading(self) -> None:
        active = self.status["activeServiceStatus"].get("rayClusterName")
        pending = self.status["pendingServiceStatus"].get("rayClusterName")
        type_ = RayServiceCondition.UPGRADE_IN_PROGRESS
        if active and pending:
            message = f"{pending} is made ready to take over from {active}: {self.awaited}"
            self.set(type_, "True", "BothActivePendingClustersExist", message)
        elif active:
            self.set(type_, "False", "NoPendingCluster", f"{active} serves")
        elif self.reason(type_) not in ("Initializing", TIMED_OUT):
            self.set(type_, "Unknown", "NoActiveCluster", "There is no active cluster")

    def doubted(self) -> None:
        """There only while there is something to say."""
        if not self.seen.concern:
            self.status["conditions"] = [one for one in self.conditions if one["type"] != DOUBTFUL]
        for one in doubtful(self.seen.concern, self.now):
            one["observedGeneration"] = self.status["observedGeneration"]
            self.status["conditions"] = set_condition(self.conditions, one)

    def all_false(self, reason: str, message: str) -> None:
        for type_ in (
            RayServiceCondition.READY,
            RayServiceCondition.UPGRADE_IN_PROGRESS,
            RayServiceCondition.ROLLBACK_IN_PROGRESS,
        ):
            self.set(type_, "False", reason, message)

    def cleared(self) -> None:
        """Nothing serves, and no cluster is named."""
        for role in ROLES:
            self.status[role] = {"rayClusterStatus": {**wire.EMPTY_CLUSTER_STATUS}}
        self.status |= {"numServeEndpoints": 0, "serviceStatus": ""}

    # Conditions

    def set(self, type_: RayServiceCondition, status: str, reason: str, message: str) -> None:
        """lastTransitionTime moves only with the status."""
        new: Condition = {
            "type": type_.value,
            "status": status,  # type: ignore[typeddict-item]
            "reason": reason,
            "message": message,
            "lastTransitionTime": format_time(self.now),
            "observedGeneration": self.status.get("observedGeneration") or 0,
        }
        self.status["conditions"] = set_condition(self.conditions, new)

    def forget(self, *types: RayServiceCondition) -> None:
        """So that they start anew, with a fresh time."""
        self.anew |= {one.value for one in types}
        self.status["conditions"] = [one for one in self.conditions if one["type"] not in types]

    @property
    def conditions(self) -> list[Condition]:
        return list(self.status.get("conditions") or ())

    def reason(self, type_: RayServiceCondition) -> str:
        return next((one.get("reason", "") for one in self.conditions if one["type"] == type_), "")

    def is_true(self, type_: RayServiceCondition) -> bool:
        return any(one["type"] == type_ and one["status"] == "True" for one in self.conditions)


def shown(role: str, seen: Seen, *, prepares: bool) -> Json:
    """status.activeServiceStatus or pendingServiceStatus: what is known of its cluster.

    Applications only of a cluster that is asked about them. Before the first answer (another process was asking until
    now) they stay as they are.
    """
    name, cluster = seen.name_of(role), seen.cluster(role)
    found: Json = {"rayClusterName": name} if name else {}
    status = (cluster.object.get("status") or {}) if cluster is not None else {}
    found["rayClusterStatus"] = {**wire.EMPTY_CLUSTER_STATUS, **status}
    applications: Mapping[str, Any] = {}
    if cluster is not None and is_configured(seen, cluster, prepares=prepares):
        before = (seen.status.get(f"{role}ServiceStatus") or {}).get("applicationStatuses") or {}
        applications = applications_of(cluster.serve) if cluster.serve is not None else before
    return found | ({"applicationStatuses": applications} if applications else {})


def applications_of(serve: ServeInfo) -> Json:
    """status.*.applicationStatuses: Serve's words, as they are; what is empty is left out."""
    return {
        name: _said(one.status, one.message)
        | (
            {"serveDeploymentStatuses": {each: _said(its.status, its.message) for each, its in one.deployments.items()}}
            if one.deployments
            else {}
        )
        for name, one in serve.applications.items()
    }


def _said(status: str, message: str) -> Json:
    return {name: text for name, text in (("status", status), ("message", message)) if text}


def awaited(seen: Seen, decision: Decision, refused: Outcome | None = None) -> str:
    """What the service waits for, in a sentence: the answer to "why is it not there yet"."""
    if refused is not None and refused.verdict in (Verdict.REFUSED, Verdict.FOREIGN):
        return str(refused.error or f"{ref_of(refused.write)}: {refused.verdict.value}")
    if decision.problem:
        return decision.problem
    cluster = seen.pending or seen.active
    if cluster is None or decision.prepares or (seen.name_of("pending") and seen.pending is None):
        return "its cluster is about to be made"
    if not cluster.head_ready:
        return f"waiting for the head of RayCluster {cluster.name}"
    if seen.goal.problem:
        return seen.goal.problem
    return _awaited_of_serve(seen, cluster)


def _awaited_of_serve(seen: Seen, cluster: ClusterView) -> str:
    known = cluster.known
    if known.failing_since is not None:
        return f"the dashboard of {cluster.name} does not answer: {known.error}"
    _, why = cluster.effect(seen.goal)
    if why:
        return f"{cluster.name} does not take the configuration: {why}"
    if cluster.serve is None or not cluster.serve.applications:
        return f"waiting for Serve on {cluster.name}"
    behind = {name: one for name, one in cluster.serve.applications.items() if one.status != "RUNNING"}
    if behind:
        name, one = next(iter(behind.items()))
        return ": ".join(filter(None, (f"application {name} is {one.status}", _telling_line(one.message))))
    shut = [door for door, said in known.proxies.items() if not (said.healthy and seen.goal.routes <= said.routes)]
    if not shut:
        return f"waiting for pods of {cluster.name} to be ready"
    first = min(shut, key=lambda door: door not in cluster.doors)  # those that requests would go through, before others
    return f"waiting for the Serve proxy at {first.url}"


def _telling_line(text: str) -> str:
    """The line that says most: the first, but of a traceback the one that names the exception."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    raised = [line for line in lines if EXCEPTION.match(line)] if "Traceback " in text else []
    return next(iter([*raised[-1:], *lines]), "")[:300]


def _differs(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Only these changes cause a write; everything else rides along (spec rayservice §15.5)."""
    if any((old.get(name) or None) != (new.get(name) or None) for name in PLAIN):
        return True
    if (old.get("conditions") or []) != (new.get("conditions") or []):
        return True
    return any(_telling(old.get(role)) != _telling(new.get(role)) for role in ROLES)


def _telling(role: Mapping[str, Any] | None) -> tuple[Any, Any]:
    found = role or {}
    return found.get("rayClusterName") or "", found.get("applicationStatuses") or {}


def _until_shown(old: Mapping[str, Any], new: Mapping[str, Any], now: datetime) -> timedelta | None:
    """How long what the clusters say of themselves waits, where nothing else is new; None where that is none either.

    Of a cluster that grows by hundreds of workers each is news: they are shown together (spec rayservice §15.5).
    """
    written = parse_time(old["lastUpdateTime"]) if old.get("lastUpdateTime") else None
    if not any(_is_behind(_copy(old, role), _copy(new, role), written) for role in ROLES):
        return None
    if written is None or written > now:  # of another clock
        return timedelta(0)
    return max(written + SHOWN_AFTER - now, timedelta(0))


def _is_behind(copy: Mapping[str, Any], own: Mapping[str, Any], written: datetime | None) -> bool:
    """Does the copy lack what the cluster says? One of the same time does for a moment alone: two changes may come in
    a second, but what the server does not keep, under an older schema, is no reason to write for ever.
    """
    time = str(own.get("lastUpdateTime") or "")
    if copy == own or time != (copy.get("lastUpdateTime") or ""):
        return copy != own
    return time != "" and (written is None or written < parse_time(time) + SHOWN_AFTER)


def _copy(status: Mapping[str, Any], role: str) -> Mapping[str, Any]:
    return (status.get(role) or {}).get("rayClusterStatus") or {}


def _no_later(result: Result, wait: timedelta) -> Result:
    """The same, and a look after that time at the latest."""
    earlier = wait if result.requeue_after is None else min(result.requeue_after, wait)
    return replace(result, requeue_after=earlier)


# The events

WORDS: Final[Mapping[str, tuple[str, str]]] = {  # why of a write -> what it is called, whether a note adds something
    upgrade.CREATE: ("RayCluster", ""),
    upgrade.UPDATE_ACTIVE: ("RayCluster", "active "),
    upgrade.UPDATE_PENDING: ("RayCluster", "pending "),
    upgrade.DELETE: ("RayCluster", ""),
    CLUSTER: ("RayCluster", "suspended "),
    SERVICE: ("Service", "suspended "),
    HEAD_SERVICE: ("Service", ""),
    SERVE_SERVICE: ("Service", ""),
    HEAD_LABEL: ("HeadPodServeLabel", ""),
}
PAST: Final = {"Create": "Created", "Update": "Updated", "Delete": "Deleted"}


def announced(outcome: Outcome) -> Iterator[Announcement]:
    """The event of one write; what was there already, was not tried, or only has to be looked at again has none."""
    if outcome.verdict in (Verdict.ALREADY, Verdict.SKIPPED, Verdict.CONFLICT, Verdict.WAIT):
        return
    words = WORDS.get(str(outcome.write.why))
    if words is None:
        return
    kind, addition = words
    match outcome.write:
        case Create():
            action = "Create"
        case Delete():
            action = "Delete"
        case MergePatch():
            action = "Update"
    ref = ref_of(outcome.write)
    what = f"{addition}{kind} {ref.namespace}/{ref.name}"
    if outcome.write.why == HEAD_LABEL:
        what = f"the serve label of head Pod {ref.namespace}/{ref.name}{_label_value(outcome)}"
    if outcome.good:
        yield Announcement("Normal", f"{PAST[action]}{kind}", action, f"{PAST[action]} {what}")
    else:
        error = outcome.error or outcome.verdict.value
        yield Announcement("Warning", f"FailedTo{action}{kind}", action, f"Failed to {action.lower()} {what}: {error}")


def _label_value(outcome: Outcome) -> str:
    assert isinstance(outcome.write, MergePatch)
    (value,) = outcome.write.body["metadata"]["labels"].values()
    return f' to "{value}"'
