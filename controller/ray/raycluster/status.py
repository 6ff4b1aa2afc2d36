"""What is reported of a RayCluster: its status, its events, and when to look again (spec raycluster §19, §20). Pure.

A status write costs the API server and every watcher, so not every change is worth one. What decides anything is
written at once; what only counts on its way (pods becoming ready one after the other) waits for the last of them, or
for SETTLING, whichever is first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from api.core import PODS
from api.meta import Condition, ConditionStatus, Json, condition, format_time, parse_time, set_condition
from api.v1.raycluster import HeadInfo, RayClusterCondition, RayClusterState, RayClusterStatus
from controller.ray.concerns import DOUBTFUL, doubtful
from controller.ray.desired.facts import Facts
from controller.ray.desired.resources import desired_resources
from controller.ray.options import Options
from controller.ray.raycluster.decide import REPORTED
from controller.ray.raycluster.seen import PodView, Seen
from controller.ray.raycluster.writes import Kind, Why, announcements, failure
from controller.runtime.plan import Announcement, Create, Delete, Outcome, Plan, Result, Verdict

__all__ = ["OWN_CONDITIONS", "SETTLING", "Report", "report", "seen_after"]

OWN_CONDITIONS: Final = frozenset({RayClusterCondition.REPLICA_FAILURE.value, DOUBTFUL})  # taken away when it is over
# Longest time that a count may lag while pods are on their way. Ray's head answers its first probe after 10 s and
# workers follow some seconds later, so a start is mostly two writes: begun, and ready.
SETTLING: Final = timedelta(seconds=20)
CONFLICT_PAUSE: Final = timedelta(seconds=1)  # an event is on its way that will show what changed
PREDECESSOR_PAUSE: Final = timedelta(seconds=10)  # garbage collection is slow; its event mostly comes first
INT32: Final = 2147483647
RIDES_ALONG: Final = (  # never the reason for a write (spec raycluster §19.6)
    "desiredCPU",
    "desiredMemory",
    "desiredGPU",
    "desiredTPU",
    "observedGeneration",
    "lastUpdateTime",
    "stateTransitionTimes",
)
COUNTS: Final = ("readyWorkerReplicas", "availableWorkerReplicas", "endpoints")  # may lag while pods come up
ADDRESSES: Final = ("podIP", "serviceIP")  # of status.head, likewise


@dataclass(frozen=True, slots=True)
class Report:
    """The whole new status, or None when nothing is worth a write; what users are told; when to look again."""

    status: Json | None
    events: tuple[Announcement, ...]
    result: Result


def report(seen: Seen, plan: Plan, outcomes: Sequence[Outcome], now: datetime, options: Options) -> Report:
    """Judge what came of the plan. Refusals are reported like successes (design W7)."""
    events = (*plan.events, *announcements(outcomes, f"{seen.namespace}/{seen.name}"))
    result = _result(plan, outcomes, options)
    if not plan.notes.get(REPORTED):
        return Report(None, events, result)
    after = seen_after(seen, outcomes)
    facts = seen.asks(options)
    clean = result.error is None and all(one.good for one in outcomes)
    new = _computed(after, facts, outcomes, now, options, clean=clean)
    before, status = seen.cluster.status.to_wire(), new.to_wire()
    if _without(before, RIDES_ALONG) == _without(status, RIDES_ALONG):
        return Report(None, events, result)
    lag = _may_lag(seen, before, status, now) if not _settled(after, facts) else None
    if lag is not None:
        return Report(None, events, _sooner(result, lag))
    if _suspension(before) != _suspension(status):
        result = _sooner(result, timedelta(0))  # the next pass does what the status now says
    return Report(status, events, result)


def _result(plan: Plan, outcomes: Sequence[Outcome], options: Options) -> Result:
    verdicts = {one.verdict for one in outcomes}
    refused = next((one.error for one in outcomes if one.verdict in (Verdict.REFUSED, Verdict.FOREIGN)), None)
    error = refused or plan.result.error
    if error is not None:
        return Result(error=error)
    if Verdict.CONFLICT in verdicts or Verdict.STALE in verdicts:
        return Result(requeue_after=CONFLICT_PAUSE)
    if Verdict.WAIT in verdicts:
        return Result(requeue_after=PREDECESSOR_PAUSE)
    if plan.result.requeue_after is not None or not options.requeue:
        return plan.result
    return Result(requeue_after=options.requeue)


def _sooner(result: Result, delay: timedelta) -> Result:
    if result.error is not None:
        return result
    return Result(requeue_after=delay if result.requeue_after is None else min(delay, result.requeue_after))


# The world after the writes


def seen_after(seen: Seen, outcomes: Sequence[Outcome]) -> Seen:
    """The look, brought up to date by what the server answered: so the next pass finds nothing new to report."""
    pods = {pod.name: pod for pod in seen.pods}
    head_services = seen.head_services
    for outcome in outcomes:
        if not outcome.good:
            continue
        match outcome.write:
            case Create(resource=resource) if resource == PODS and outcome.object is not None:
                pod = PodView.of(outcome.object)
                pods[pod.name] = pod
            case Delete(resource=resource, name=name) if resource == PODS:
                if outcome.object is None:
                    pods.pop(name, None)
                else:
                    pods[name] = PodView.of(outcome.object)
            case Create(why=Why(kind=Kind.HEAD_SERVICE)) if outcome.object is not None:
                head_services = (outcome.object,)
            case _:
                continue
    return replace(seen, pods=tuple(pods.values()), head_services=head_services)


# The status


def _computed(
    seen: Seen, facts: Facts, outcomes: Sequence[Outcome], now: datetime, options: Options, *, clean: bool
) -> RayClusterStatus:
    old = seen.cluster.status
    workers = [pod for pod in seen.pods if not pod.is_head]
    asked = desired_resources(facts)
    changes: dict[str, Any] = {
        "ready_worker_replicas": sum(pod.is_ready for pod in workers),
        "available_worker_replicas": sum(pod.running for pod in workers),
        "desired_worker_replicas": facts.desired_workers,
        "min_worker_replicas": sum(group.least * group.hosts for group in facts.workers if not group.suspended),
        "max_worker_replicas": min(
            INT32, sum(group.most * group.hosts for group in facts.workers if not group.suspended)
        ),
        "desired_cpu": str(asked["cpu"]),
        "desired_memory": str(asked["memory"]),
        "desired_gpu": str(asked["gpu"]),
        "desired_tpu": str(asked["tpu"]),
        "endpoints": old.endpoints | _endpoints(seen),
        "head": _head(seen),
        "observed_generation": seen.cluster.generation,
        "last_update_time": format_time(now),
    }
    if options.gates.ray_cluster_status_conditions:
        changes["conditions"] = _conditions(seen, outcomes, now, clean=clean)
    changes |= _state(seen, facts, now, clean=clean)
    return old.model_copy(update=changes)


def _state(seen: Seen, facts: Facts, now: datetime, *, clean: bool) -> dict[str, Any]:
    """`state` only ever goes forward: it stays `ready` when pods fail, and `suspended` until all are back."""
    old = seen.cluster.status
    state, reason = old.state, old.reason
    if clean and len(seen.pods) == facts.desired_workers + 1 and _all_run_well(seen):
        state, reason = RayClusterState.READY.value, ""
    if seen.cluster.spec and seen.cluster.spec.suspend and not seen.pods:
        state = RayClusterState.SUSPENDED.value
    times = old.state_transition_times
    if state != old.state:
        times = times | {state: format_time(now)}
    return {"state": state, "reason": reason, "state_transition_times": times}


def _all_run_well(seen: Seen) -> bool:
    return bool(seen.pods) and all(pod.runs_well for pod in seen.pods)


def _endpoints(seen: Seen) -> dict[str, str]:
    if not seen.head_services:
        return {}
    found = {}
    for port in seen.head_services[0]["spec"].get("ports") or ():
        number = port.get("nodePort") or port.get("targetPort") or port["port"]
        if port.get("name"):
            found[port["name"]] = str(number)
    return found


def _head(seen: Seen) -> HeadInfo:
    """Where the head is. Without a Service, what was known of it stays."""
    pod = seen.heads[0] if seen.heads else None
    old = seen.cluster.status.head
    ip, name = (pod.ip, pod.name) if pod is not None else ("", "")
    if not seen.head_services:
        return old.model_copy(update={"pod_ip": ip, "pod_name": name})
    service = seen.head_services[0]
    cluster_ip = service["spec"].get("clusterIP", "")
    return old.model_copy(
        update={
            "pod_ip": ip,
            "pod_name": name,
            "service_name": service["metadata"]["name"],
            "service_ip": ip if cluster_ip == "None" else cluster_ip,
        }
    )


# Conditions


def _conditions(seen: Seen, outcomes: Sequence[Outcome], now: datetime, *, clean: bool) -> list[Condition]:
    conditions: list[Condition] = list(seen.cluster.status.conditions)  # type: ignore[arg-type]
    failed = failure(outcomes)
    if failed is not None:
        conditions = set_condition(conditions, _new(RayClusterCondition.REPLICA_FAILURE, "True", *failed, now))
    elif clean:
        conditions = [one for one in conditions if one["type"] != RayClusterCondition.REPLICA_FAILURE]
    if not seen.concern:
        conditions = [one for one in conditions if one["type"] != DOUBTFUL]
    changes = [_head_pod_ready(seen, now), *_provisioned(seen, now), *_suspend_conditions(seen, now)]
    for one in (*changes, *doubtful(seen.concern, now)):
        conditions = set_condition(conditions, one)
    return conditions


def _new(type_: RayClusterCondition, status: ConditionStatus, reason: str, message: str, now: datetime) -> Condition:
    return {
        "type": type_.value,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": format_time(now),
    }


def _head_pod_ready(seen: Seen, now: datetime) -> Condition:
    type_ = RayClusterCondition.HEAD_POD_READY
    if not seen.heads:
        return _new(type_, "False", "HeadPodNotFound", "Head Pod not found", now)
    head = seen.heads[0]
    if head.ready is None:
        return _new(type_, "False", "Unknown", "", now)
    status: ConditionStatus = head.ready["status"]  # type: ignore[assignment]
    fallback = "HeadPodRunningAndReady" if status == "True" else "Unknown"
    reason, message = head.ready.get("reason") or fallback, head.ready.get("message") or ""
    if status == "False" and reason == "ContainersNotReady":
        reason, message = _of_container(head, reason, message)
    return _new(type_, status, reason, message, now)


def _of_container(head: PodView, reason: str, message: str) -> tuple[str, str]:
    """What holds a container back says more than that one is not ready. An empty reason would be no condition."""
    for one in head.statuses:
        state = one.get("state") or {}
        stopped = state.get("waiting") or state.get("terminated")
        if stopped is not None:
            joint = "; " if message else ""
            return stopped.get("reason") or reason, f"{message}{joint}{one['name']}: {stopped.get('message', '')}"
    return reason, message


def _provisioned(seen: Seen, now: datetime) -> list[Condition]:
    """True once, and from then on until a suspend (spec raycluster §19.3)."""
    type_ = RayClusterCondition.PROVISIONED
    if seen.holds(type_) or seen.holds(RayClusterCondition.SUSPENDED):
        return []
    if _all_run_well(seen):
        reason, message = "AllPodRunningAndReadyFirstTime", "All Ray Pods are ready for the first time"
        return [_new(type_, "True", reason, message, now)]
    message = "RayCluster Pods are being provisioned for first time"
    return [_new(type_, "False", "RayClusterPodsProvisioning", message, now)]


def _suspend_conditions(seen: Seen, now: datetime) -> list[Condition]:
    """The status step of spec raycluster §18."""
    suspending, suspended = RayClusterCondition.SUSPENDING, RayClusterCondition.SUSPENDED
    asked = seen.cluster.spec.suspend if seen.cluster.spec else None

    def says(type_: RayClusterCondition, status: ConditionStatus) -> Condition:
        return _new(type_, status, type_.value, "", now)

    if seen.holds(suspending):
        if seen.pods:
            return []
        message = "RayCluster has been suspended"
        provisioned = _new(RayClusterCondition.PROVISIONED, "False", "RayClusterPodsProvisioning", message, now)
        return [provisioned, says(suspending, "False"), says(suspended, "True")]
    if seen.holds(suspended):
        return [says(suspended, "False")] if asked is False else []
    return [says(suspended, "False"), says(suspending, "True" if asked else "False")]


# What is worth a write


def _settled(seen: Seen, facts: Facts) -> bool:
    """Is no pod on its way, so that no further change is to be expected soon?"""
    return not seen.pods or (len(seen.pods) >= facts.desired_workers + 1 and _all_run_well(seen))


def _may_lag(seen: Seen, before: Json, after: Json, now: datetime) -> timedelta | None:
    """How long this change may wait, or None when it may not."""
    if seen.status_is_empty or seen.cluster.status.last_update_time is None:
        return None
    if _urgent(before, after) != _urgent(after, after):
        return None
    rest = parse_time(seen.cluster.status.last_update_time) + SETTLING - now
    return rest if rest > timedelta(0) else None


def _urgent(status: Json, goal: Json) -> Json:
    """The part of a status whose change cannot wait.

    Of conditions it is their status alone, and a head that becomes ready may wait for its workers.
    """
    part = _without(status, (*RIDES_ALONG, *COUNTS, "conditions", "head"))
    part["head"] = _without(status.get("head") or {}, ADDRESSES)
    part["conditions"] = {one["type"]: one["status"] for one in status.get("conditions") or ()}
    ready = condition(goal.get("conditions") or (), RayClusterCondition.HEAD_POD_READY)
    if ready is not None and ready["status"] == "True":
        part["conditions"][RayClusterCondition.HEAD_POD_READY.value] = "True"
    return part


def _suspension(status: Json) -> tuple[str, ...]:
    found = (
        condition(status.get("conditions") or (), type_)
        for type_ in (RayClusterCondition.SUSPENDING, RayClusterCondition.SUSPENDED)
    )
    return tuple(one["status"] if one is not None else "False" for one in found)


def _without(status: Json, names: Sequence[str]) -> Json:
    return {name: value for name, value in status.items() if name not in names}
