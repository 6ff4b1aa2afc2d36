"""A life as the API shows it: phase, conditions, container statuses (spec raycluster §8.4, §19.3), pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from localcluster.node import lifecycle
from localcluster.node.model import ContainerKind, ContainerLife, ContainerSpec, Ended, Life, SandboxState, Stage
from localcluster.node.references import canonical

__all__ = ["phase_of", "status_of"]

Json: TypeAlias = dict[str, Any]

_OURS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")


def status_of(life: Life, pod: Mapping[str, Any], now: float) -> Json:
    """The members of status that the node owns, whole; `pod` is the object as it stands now.

    Conditions of others (PodScheduled, readiness gates, DisruptionTarget) are carried over, and a condition that does
    not change keeps its time.
    """
    old = pod.get("status") or {}
    phase = phase_of(life, old.get("phase", ""))
    status: Json = {"phase": phase, "conditions": _conditions(life, phase, pod, now)}
    if generation := pod["metadata"].get("generation"):
        status["observedGeneration"] = generation
    if life.started_at is not None:
        status["startTime"] = _time(life.started_at)
    if life.host_ip:
        status |= {"hostIP": life.host_ip, "hostIPs": [{"ip": life.host_ip}]}
    if life.ip:
        status |= {"podIP": life.ip, "podIPs": [{"ip": life.ip}]}
    if life.failure is not None and phase == "Failed":
        status |= {"reason": life.failure[0], "message": life.failure[1]}
    pairs = list(zip(life.spec.containers, life.containers, strict=True))
    mains = [_container(life, spec, one) for spec, one in pairs if spec.kind is ContainerKind.MAIN]
    # The API keeps container statuses sorted by name, whatever the order of the spec; those of inits stay in order.
    status["containerStatuses"] = sorted(mains, key=lambda one: str(one["name"]))
    inits = [_container(life, spec, one) for spec, one in pairs if spec.kind is not ContainerKind.MAIN]
    if inits:
        status["initContainerStatuses"] = inits
    return status


def phase_of(life: Life, old: str = "") -> str:
    """The phase; a final one stays."""
    if old in ("Succeeded", "Failed"):
        return old
    if life.finished and life.failure is not None:
        return "Failed"
    pairs = list(zip(life.spec.containers, life.containers, strict=True))
    mains = [one for spec, one in pairs if spec.kind is ContainerKind.MAIN]
    if life.finished:
        return "Succeeded" if all(_succeeded(one) for one in mains) else "Failed"
    came_up = [one for one in mains if one.starts > 0 and one.hook != "postStart"]
    if not lifecycle.initialized(life) or len(came_up) < len(mains):
        return "Pending"
    return "Running"


def _succeeded(one: ContainerLife) -> bool:
    return one.ended is not None and one.ended.exit.exit_code == 0


def _conditions(life: Life, phase: str, pod: Mapping[str, Any], now: float) -> list[Json]:
    old = (pod.get("status") or {}).get("conditions") or []
    known = {one["type"]: one for one in old}
    fresh = [
        _condition("PodReadyToStartContainers", life.sandbox is SandboxState.READY and not life.finished),
        _initialized(life, phase),
        _ready(life, phase, pod, known),
        _containers_ready(life, phase),
    ]
    for one in fresh:
        before = known.get(one["type"])
        same = before is not None and before["status"] == one["status"]
        one["lastTransitionTime"] = before["lastTransitionTime"] if before and same else _time(now)
        one.setdefault("lastProbeTime", None)
        if generation := pod["metadata"].get("generation"):
            one["observedGeneration"] = generation
    return [*fresh, *(one for one in old if one["type"] not in _OURS)]


def _condition(type_: str, good: bool, reason: str = "", message: str = "") -> Json:
    one: Json = {"type": type_, "status": "True" if good else "False"}
    if reason:
        one["reason"] = reason
    if message:
        one["message"] = message
    return one


def _initialized(life: Life, phase: str) -> Json:
    if phase == "Succeeded":
        return _condition("Initialized", True, "PodCompleted")
    if lifecycle.initialized(life):
        return _condition("Initialized", True)
    waiting = [
        spec.name
        for spec, one in zip(life.spec.containers, life.containers, strict=True)
        if spec.kind is not ContainerKind.MAIN and not _init_done(spec, one)
    ]
    return _condition(
        "Initialized",
        False,
        "ContainersNotInitialized",
        f"containers with incomplete status: [{' '.join(waiting)}]",
    )


def _init_done(spec: ContainerSpec, one: ContainerLife) -> bool:
    return one.started if spec.kind is ContainerKind.SIDECAR else one.stage is Stage.EXITED and _succeeded(one)


def _containers_ready(life: Life, phase: str) -> Json:
    if phase in ("Succeeded", "Failed"):
        return _condition("ContainersReady", False, "PodCompleted" if phase == "Succeeded" else "PodFailed")
    unready = [
        spec.name
        for spec, one in zip(life.spec.containers, life.containers, strict=True)
        if spec.kind is not ContainerKind.INIT and not one.ready
    ]
    if not unready:
        return _condition("ContainersReady", True)
    message = f"containers with unready status: [{' '.join(unready)}]"
    return _condition("ContainersReady", False, "ContainersNotReady", message)


def _ready(life: Life, phase: str, pod: Mapping[str, Any], known: Mapping[str, Json]) -> Json:
    containers = {**_containers_ready(life, phase), "type": "Ready"}
    if containers["status"] == "False":
        return containers
    missing = []
    for gate in pod["spec"].get("readinessGates") or ():
        type_ = gate["conditionType"]
        if type_ not in known:
            missing.append(f'corresponding condition of pod readiness gate "{type_}" does not exist.')
        elif known[type_]["status"] != "True":
            missing.append(f'the status of pod readiness gate "{type_}" is not "True", but {known[type_]["status"]}')
    if missing:
        return _condition("Ready", False, "ReadinessGatesNotReady", ", ".join(missing))
    return containers


def _container(life: Life, spec: ContainerSpec, one: ContainerLife) -> Json:
    uid = life.spec.uid
    status: Json = {
        "name": spec.name,
        "image": canonical(spec.image) if one.starts else spec.image,
        "imageID": one.image_id,
        "ready": one.ready or (spec.kind is ContainerKind.INIT and _init_done(spec, one)),
        "started": one.started,
        "restartCount": one.attempt,
        "state": _state(life, one, uid, spec.name),
        "lastState": _last_state(one, uid, spec.name),
    }
    if one.starts:
        status["containerID"] = _container_id(uid, spec.name, one.attempt)
    return status


def _state(life: Life, one: ContainerLife, uid: str, name: str) -> Json:
    if one.stage is Stage.RUNNING and one.hook != "postStart":
        return {"running": {"startedAt": _time(one.running_since)}}
    if _shows_end(one) and one.ended is not None:
        return {"terminated": _terminated(one.ended, uid, name)}
    waiting: Json = {"reason": one.reason or _usual_wait(life)}
    if one.message:
        waiting["message"] = one.message
    return {"waiting": waiting}


def _shows_end(one: ContainerLife) -> bool:
    """While it is brought up again, a container shows what it showed: its end, or its back-off."""
    if one.stage is Stage.EXITED or (one.stage is Stage.CRASH_BACKOFF and not one.reason):
        return True
    return one.ended is not None and not one.reason and one.stage in (Stage.PULLING, Stage.STARTING)


def _usual_wait(life: Life) -> str:
    has_inits = any(spec.kind is not ContainerKind.MAIN for spec in life.spec.containers)
    return "PodInitializing" if has_inits else "ContainerCreating"


def _last_state(one: ContainerLife, uid: str, name: str) -> Json:
    last = one.previous if one.stage is Stage.RUNNING or _shows_end(one) else one.ended or one.previous
    return {} if last is None else {"terminated": _terminated(last, uid, name)}


def _terminated(ended: Ended, uid: str, name: str) -> Json:
    state: Json = {
        "exitCode": ended.exit.exit_code,
        "reason": ended.exit.reason or ("Completed" if ended.exit.exit_code == 0 else "Error"),
        "startedAt": _time(ended.started_at),
        "finishedAt": _time(ended.finished_at),
        "containerID": _container_id(uid, name, ended.attempt),
    }
    if ended.exit.message:
        state["message"] = ended.exit.message
    return state


def _container_id(uid: str, name: str, attempt: int) -> str:
    return f"local://{uid}/{name}/{attempt}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
