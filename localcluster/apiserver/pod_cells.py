"""What a row about a pod says: the one word that tells best how it is doing, ready containers, restarts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from localcluster.api import Json
from localcluster.apiserver.ages import age

__all__ = ["readiness_gates", "ready", "restarts", "status"]

NODE_LOST = "NodeLost"
FINISHED = ("Succeeded", "Failed")


def ready(pod: Json) -> str:
    """Ready containers of all, sidecars included: "1/2"."""
    specs = [*pod.get("spec", {}).get("containers", ()), *filter(_is_sidecar, _init_specs(pod))]
    sidecars = {one["name"] for one in specs}
    states = [*_states(pod, "containerStatuses"), *_states(pod, "initContainerStatuses")]
    return f"{sum(1 for one in states if one.get('ready') and one.get('name') in sidecars)}/{len(specs)}"


def restarts(pod: Json, now: datetime) -> str:
    """How often its containers started again, and how long ago the last time: "3 (5m ago)"."""
    if _initializing(pod):
        counted = _states(pod, "initContainerStatuses")
    else:
        sidecars = {one["name"] for one in _init_specs(pod) if _is_sidecar(one)}
        counted = [
            *_states(pod, "containerStatuses"),
            *(one for one in _states(pod, "initContainerStatuses") if one.get("name") in sidecars),
        ]
    total = sum(int(one.get("restartCount", 0)) for one in counted)
    ends = [(one.get("lastState") or {}).get("terminated", {}).get("finishedAt") for one in counted]
    last = max((one for one in ends if one), default="")
    return f"{total} ({age(last, now)} ago)" if total and last else str(total)


def readiness_gates(pod: Json) -> str:
    """Gates that are open of all: "1/2"."""
    gates = [one["conditionType"] for one in pod.get("spec", {}).get("readinessGates") or ()]
    if not gates:
        return "<none>"
    true = {one["type"] for one in pod.get("status", {}).get("conditions") or () if one.get("status") == "True"}
    return f"{sum(1 for gate in gates if gate in true)}/{len(gates)}"


def status(pod: Json) -> str:
    """Running, Pending, or what is in the way: ImagePullBackOff, Init:0/1, Completed, Terminating, ..."""
    said = pod.get("status", {})
    reason = said.get("reason") or said.get("phase", "")
    for condition in said.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            reason = "SchedulingGated"
    reason = _init_reason(pod) if _initializing(pod) else _container_reason(pod, reason)
    if pod.get("metadata", {}).get("deletionTimestamp"):
        if said.get("reason") == NODE_LOST:
            return "Unknown"
        return reason if said.get("phase") in FINISHED else "Terminating"
    return reason


def _init_specs(pod: Json) -> Sequence[Json]:
    return pod.get("spec", {}).get("initContainers") or ()


def _states(pod: Json, which: str) -> Sequence[Json]:
    return pod.get("status", {}).get(which) or ()


def _is_sidecar(container: Json) -> bool:
    return container.get("restartPolicy") == "Always"


def _passed(container: Json, spec: Json) -> bool:
    """Whether an init container lets the next one start."""
    terminated = (container.get("state") or {}).get("terminated")
    if terminated is not None:
        return bool(terminated.get("exitCode") == 0)
    return _is_sidecar(spec) and bool(container.get("started"))


def _first_unpassed(pod: Json) -> tuple[int, Json] | None:
    specs = {one["name"]: one for one in _init_specs(pod)}
    for index, one in enumerate(_states(pod, "initContainerStatuses")):
        if not _passed(one, specs.get(one.get("name", ""), {})):
            return index, one
    return None


def _initializing(pod: Json) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    if any(one.get("type") == "Initialized" and one.get("status") == "True" for one in conditions):
        return False
    return _first_unpassed(pod) is not None


def _init_reason(pod: Json) -> str:
    found = _first_unpassed(pod)
    assert found is not None
    index, one = found
    state = one.get("state") or {}
    terminated, waiting = state.get("terminated"), state.get("waiting")
    if terminated is not None:
        return f"Init:{terminated.get('reason') or _ending(terminated)}"
    if waiting is not None and waiting.get("reason") not in (None, "", "PodInitializing"):
        return f"Init:{waiting['reason']}"
    return f"Init:{index}/{len(_init_specs(pod))}"


def _container_reason(pod: Json, reason: str) -> str:
    running = False
    for one in reversed(_states(pod, "containerStatuses")):
        state = one.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if waiting.get("reason"):
            reason = waiting["reason"]
        elif terminated is not None:
            reason = terminated.get("reason") or _ending(terminated)
        elif one.get("ready") and state.get("running") is not None:
            running = True
    if reason == "Completed" and running:
        conditions = pod.get("status", {}).get("conditions") or ()
        is_ready = any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
        return "Running" if is_ready else "NotReady"
    return reason


def _ending(terminated: Json) -> str:
    signal = terminated.get("signal")
    return f"Signal:{signal}" if signal else f"ExitCode:{terminated.get('exitCode')}"
