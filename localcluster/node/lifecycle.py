"""A pod's life on its node, pure: (life, event, now) -> (life, actions, when to look again).

Two rules for whoever edits this file. Every transition is here or in what it calls (restarts.py,
probing.py); and none of these files learns what runs a container.

An event first changes what it is about (`_ABOUT`); then `_settle` asks, in the order in which a kubelet does, what is
due now: the pod's deadline, its end, its place, its init containers one after the other, its main containers, its
probes. Nothing happens by itself: whoever drives a life comes back with a `Tick` at `wake`.

What this cannot show: a kubelet syncs a pod every few seconds, so some of its delays are up to a sync longer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from localcluster.node import model
from localcluster.node.interfaces import Exit
from localcluster.node.model import (
    Action,
    ContainerKind,
    ContainerLife,
    ContainerSpec,
    Ended,
    Event,
    Life,
    PodSpec,
    ProbeKind,
    SandboxState,
    Stage,
)
from localcluster.node.probing import arm, ask_probes, grid
from localcluster.node.restarts import (
    FIRST_BACKOFF,
    MOST_BACKOFF,
    begin,
    begin_again,
    restart,
    show_crash_backoff,
    show_pull_backoff,
)
from localcluster.node.turn import Turn

__all__ = ["Step", "initialized", "new", "over", "step"]

CONFIG_RETRY = 10.0  # a kubelet's own wait after a failed sync
MOUNT_RETRY, MOST_MOUNT_RETRY = 0.5, 122.0
ERROR_SHOWN = 1.0  # how long ErrImagePull shows before it reads ImagePullBackOff
LEAST_GRACE = 2.0  # what any container gets between TERM and KILL
START_FAILED_CODE = 128

_BACKOFFS = frozenset({Stage.PULL_BACKOFF, Stage.CONFIG_BACKOFF, Stage.CRASH_BACKOFF})


@dataclass(frozen=True, slots=True)
class Step:
    """What became of a life, what is to be done now, and when to come back with a Tick (None: not before an event)."""

    life: Life
    actions: tuple[Action, ...]
    wake: float | None


def new(spec: PodSpec) -> Life:
    """A pod that its node has not seen yet."""
    return Life(spec, (ContainerLife(),) * len(spec.containers))


def step(life: Life, event: Event, now: float) -> Step:
    """The next state. Events about a pod that is gone, or a container's earlier start, change nothing."""
    if life.gone:
        return Step(life, (), None)
    turn = Turn(life, now)
    about = _ABOUT.get(type(event))
    if about is not None:
        about(turn, event)
    _settle(turn)
    return Step(turn.result(), tuple(turn.actions), _wake(turn))


def initialized(life: Life) -> bool:
    """All init containers have done their part; once a main container came up this stays true."""
    pairs = list(zip(life.spec.containers, life.containers, strict=True))
    if any(one.stage is not Stage.WAITING for spec, one in pairs if spec.kind is ContainerKind.MAIN):
        return True
    return all(_passed(spec, one) for spec, one in pairs if spec.kind is not ContainerKind.MAIN)


def over(pod: PodSpec, spec: ContainerSpec, one: ContainerLife) -> bool:
    """The container has ended and will not be restarted."""
    return one.stage is Stage.EXITED and not _restarts(pod, spec, one)


# What an event says ------------------------------------------------------------------------------------------------


def _admitted(turn: Turn, event: model.Admitted) -> None:
    if turn.life.started_at is None:
        turn.pod(started_at=turn.now)


def _sandbox_ready(turn: Turn, event: model.SandboxReady) -> None:
    if turn.life.sandbox is SandboxState.CREATING:
        turn.pod(sandbox=SandboxState.READY, ip=event.ip, host_ip=event.host_ip, sandbox_wake_at=None)


def _sandbox_failed(turn: Turn, event: model.SandboxFailed) -> None:
    failures = turn.life.sandbox_failures
    wait = CONFIG_RETRY
    message = event.message
    if event.reason == "FailedMount":
        wait = min(MOUNT_RETRY * 2**failures, MOST_MOUNT_RETRY)
    elif event.reason == "FailedCreatePodSandBox":
        message = f"Failed to create pod sandbox: {message}"
    turn.pod(sandbox=SandboxState.FAILED, sandbox_failures=failures + 1, sandbox_wake_at=turn.now + wait)
    turn.say("Warning", event.reason, message)


def _pull_began(turn: Turn, event: model.PullBegan) -> None:
    spec = turn.life.spec.containers[turn.index(event.container)]
    turn.say("Normal", "Pulling", f'Pulling image "{spec.image}"', spec.name)


def _pulled(turn: Turn, event: model.Pulled) -> None:
    index = turn.index(event.container)
    spec, one = turn.life.spec.containers[index], turn.containers[index]
    if one.stage is not Stage.PULLING:
        return
    if event.seconds is None:
        words = f'Container image "{spec.image}" already present on machine and can be accessed by the pod'
        turn.say("Normal", "Pulled", words, spec.name)
    else:
        took = f"{event.seconds:.3f}".rstrip("0").rstrip(".") + "s"
        turn.say(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{spec.image}" in {took} ({took} including waiting)',
            spec.name,
        )
    if _stopping(turn.life):
        turn.set(index, stage=Stage.WAITING if one.ended is None else Stage.EXITED)
        return
    turn.set(index, stage=Stage.STARTING, image_id=event.image_id, pull_failures=0, wake_at=None)
    turn.do(model.Start(spec.name, one.starts))


def _pull_failed(turn: Turn, event: model.PullFailed) -> None:
    index = turn.index(event.container)
    spec, one = turn.life.spec.containers[index], turn.containers[index]
    backs_off = event.reason == "ErrImagePull"
    wait = min(FIRST_BACKOFF * 2**one.pull_failures, MOST_BACKOFF) if backs_off else CONFIG_RETRY
    if backs_off:
        turn.say("Warning", "Failed", f'Failed to pull image "{spec.image}": {event.message}', spec.name)
    elif one.pull_failures == 0:
        turn.say(
            "Warning",
            "InspectFailed" if event.reason == "InvalidImageName" else event.reason,
            event.message,
            spec.name,
        )
    turn.say("Warning", "Failed", f"Error: {event.reason}", spec.name)
    turn.set(
        index,
        stage=Stage.PULL_BACKOFF,
        reason=event.reason,
        message=event.message,
        pull_failures=one.pull_failures + 1,
        retry_at=turn.now + wait,
        wake_at=turn.now + (ERROR_SHOWN if backs_off else wait),
    )


def _config_missing(turn: Turn, event: model.ConfigMissing) -> None:
    index = turn.index(event.container)
    turn.say("Warning", "Failed", f"Error: {event.message}", event.container)
    turn.set(
        index,
        stage=Stage.CONFIG_BACKOFF,
        reason="CreateContainerConfigError",
        message=event.message,
        wake_at=turn.now + CONFIG_RETRY,
    )


def _started(turn: Turn, event: model.Started) -> None:
    index = turn.index(event.container)
    spec, one = turn.life.spec.containers[index], turn.containers[index]
    turn.say("Normal", "Created", "Container created", spec.name)
    turn.say("Normal", "Started", "Container started", spec.name)
    turn.set(
        index,
        stage=Stage.RUNNING,
        starts=one.starts + 1,
        running_since=turn.now,
        started=False,
        ready=False,
        stopping=False,
        hook="",
        reason="",
        message="",
        previous=one.ended or one.previous,
        ended=None,
        probes={},
    )
    if spec.post_start:
        turn.set(index, hook="postStart")
        turn.do(model.RunHook(spec.name, "postStart"))
    else:
        arm(turn, index)


def _start_failed(turn: Turn, event: model.StartFailed) -> None:
    index = turn.index(event.container)
    one = turn.containers[index]
    if event.reason == "StartError":
        turn.say("Normal", "Created", "Container created", event.container)  # it could be made, and not started
    turn.say("Warning", "Failed", f"Error: {event.message}", event.container)
    exit_ = Exit(START_FAILED_CODE, event.reason, event.message)
    turn.set(
        index,
        stage=Stage.EXITED,
        starts=one.starts + 1,
        reason="",
        message="",
        killed=False,
        previous=one.ended or one.previous,
        ended=Ended(exit_, turn.now, turn.now, one.starts),
    )


def _hook_done(turn: Turn, event: model.HookDone) -> None:
    index = turn.index(event.container)
    spec, one = turn.life.spec.containers[index], turn.containers[index]
    if one.stage is not Stage.RUNNING or one.hook != event.hook:
        return
    turn.set(index, hook="")
    if event.hook == "preStop":
        if not event.good:
            turn.say("Warning", "FailedPreStopHook", "PreStopHook failed", spec.name)
        turn.do(model.Stop(spec.name, max(LEAST_GRACE, one.stop_deadline - turn.now)))
    elif event.good:
        arm(turn, index)
    else:
        turn.say("Warning", "FailedPostStartHook", "PostStartHook failed", spec.name)
        _stop(turn, index, turn.now + turn.life.spec.grace_seconds, "FailedPostStartHook")


def _exited(turn: Turn, event: model.Exited) -> None:
    index = turn.index(event.container)
    one = turn.containers[index]
    if one.stage is not Stage.RUNNING:
        return
    turn.set(
        index,
        stage=Stage.EXITED,
        started=False,
        ready=False,
        stopping=False,
        killed=one.stopping,
        hook="",
        probes={},
        ended=Ended(event.exit, one.running_since, turn.now, one.attempt),
    )


def _probed(turn: Turn, event: model.Probed) -> None:
    index = turn.index(event.container)
    spec, one = turn.life.spec.containers[index], turn.containers[index]
    probe = one.probes.get(event.kind)
    if probe is None or event.attempt != one.attempt or one.stage is not Stage.RUNNING or one.stopping:
        return
    asks = spec.probes[event.kind]
    if event.good:
        probe = replace(probe, asked=False, steady=event.steady, successes=probe.successes + 1, failures=0)
    else:
        probe = replace(probe, asked=False, steady=event.steady, successes=0, failures=probe.failures + 1)
        turn.say("Warning", "Unhealthy", f"{event.kind.value} probe failed: {event.output}", spec.name)
    settled = probe.successes >= asks.success_threshold or probe.failures >= asks.failure_threshold
    if settled and probe.steady:
        probe = replace(probe, due=None)
    turn.set(index, probes={**one.probes, event.kind: probe})
    if settled:
        _judge(turn, index, event.kind, good=event.good)


def _judge(turn: Turn, index: int, kind: ProbeKind, *, good: bool) -> None:
    """A threshold is reached."""
    spec, asks = turn.life.spec.containers[index], turn.life.spec.containers[index].probes[kind]
    if kind is ProbeKind.READINESS:
        turn.set(index, ready=good)
    elif not good:
        grace = turn.life.spec.grace_seconds if asks.grace_seconds is None else asks.grace_seconds
        word = f"Container {spec.name} failed {kind.value.lower()} probe, will be restarted"
        _stop(turn, index, turn.now + grace, word)
    elif kind is ProbeKind.STARTUP:
        arm(turn, index, passed_startup=True)


def _stirred(turn: Turn, event: model.Stirred) -> None:
    index = turn.index(event.container)
    spec, one = turn.life.spec.containers[index], turn.containers[index]
    fresh = {
        kind: replace(probe, steady=False, due=grid(one, spec, kind, turn.now)) if probe.due is None else probe
        for kind, probe in one.probes.items()
    }
    turn.set(index, probes=fresh)


def _deleted(turn: Turn, event: model.Deleted) -> None:
    _hasten(turn, event.grace_seconds)
    turn.pod(deleted=True)


def _failed(turn: Turn, event: model.Failed) -> None:
    if turn.life.failure is not None or turn.life.finished:
        return
    grace = turn.life.spec.grace_seconds if event.grace_seconds is None else event.grace_seconds
    _hasten(turn, grace)
    turn.pod(failure=(event.reason, event.message))
    turn.say("Normal" if event.reason == "DeadlineExceeded" else "Warning", event.reason, event.message)


def _hasten(turn: Turn, grace_seconds: float) -> None:
    """A deletion can only be brought forward (spec kube-api DEL-9)."""
    deadline = turn.now + grace_seconds
    before = turn.life.stop_deadline
    turn.pod(stop_deadline=deadline if before is None else min(before, deadline))


_ABOUT: dict[type, Callable[[Turn, Any], None]] = {
    model.Admitted: _admitted,
    model.SandboxReady: _sandbox_ready,
    model.SandboxFailed: _sandbox_failed,
    model.PullBegan: _pull_began,
    model.Pulled: _pulled,
    model.PullFailed: _pull_failed,
    model.ConfigMissing: _config_missing,
    model.Started: _started,
    model.StartFailed: _start_failed,
    model.HookDone: _hook_done,
    model.Exited: _exited,
    model.Probed: _probed,
    model.Stirred: _stirred,
    model.Deleted: _deleted,
    model.Failed: _failed,
}


# What is due now ---------------------------------------------------------------------------------------------------


def _settle(turn: Turn) -> None:
    life = turn.life
    if life.started_at is None and not life.deleted:
        return
    limit = life.spec.active_deadline_seconds
    if limit is not None and life.started_at is not None and turn.now >= life.started_at + limit:
        _failed(
            turn,
            model.Failed("DeadlineExceeded", "Pod was active on the node longer than the specified deadline"),
        )
    if _stopping(turn.life):
        _wind_down(turn)
    elif not turn.life.finished:
        _place(turn)
        if turn.life.sandbox is SandboxState.READY:
            _advance(turn)
    ask_probes(turn)


def _stopping(life: Life) -> bool:
    return life.deleted or life.failure is not None


def _wind_down(turn: Turn) -> None:
    """Main containers first and together; then the sidecars, the last one first (as they depend on each other)."""
    life = turn.life
    deadline = turn.now if life.stop_deadline is None else life.stop_deadline
    _stop_in_order(turn, deadline)
    if turn.alive:
        return
    turn.pod(finished=True)
    if life.deleted:
        turn.pod(gone=True, sandbox=SandboxState.REMOVING)
        turn.do(model.RemoveSandbox())
        turn.do(model.FinishDeletion())


def _stop_in_order(turn: Turn, deadline: float) -> None:
    others = False
    for index, spec, one in turn.each(ContainerKind.INIT, ContainerKind.MAIN):
        if one.alive:
            others = True
            _stop(turn, index, deadline, f"Stopping container {spec.name}")
    if not others:
        _stop_last_sidecar(turn, deadline)


def _stop_last_sidecar(turn: Turn, deadline: float) -> None:
    for index, spec, one in reversed(list(turn.each(ContainerKind.SIDECAR))):
        if one.alive:
            _stop(turn, index, deadline, f"Stopping container {spec.name}")
            return


def _stop(turn: Turn, index: int, deadline: float, message: str) -> None:
    """TERM after the preStop hook; again only if the time became shorter. What is just starting is stopped later."""
    spec, one = turn.life.spec.containers[index], turn.containers[index]
    if one.stage is not Stage.RUNNING or (one.stopping and deadline >= one.stop_deadline):
        return
    first = not one.stopping
    turn.set(index, stopping=True, stop_deadline=deadline, hook="")
    if first:
        turn.say("Normal", "Killing", message, spec.name)
    if first and spec.pre_stop:
        turn.set(index, hook="preStop")
        turn.do(model.RunHook(spec.name, "preStop", max(0.0, deadline - turn.now)))
    else:
        turn.do(model.Stop(spec.name, max(LEAST_GRACE, deadline - turn.now)))


def _place(turn: Turn) -> None:
    life = turn.life
    wake = life.sandbox_wake_at
    if life.sandbox is SandboxState.NONE or (
        life.sandbox is SandboxState.FAILED and wake is not None and wake <= turn.now
    ):
        turn.pod(sandbox=SandboxState.CREATING, sandbox_wake_at=None)
        turn.do(model.CreateSandbox())


def _advance(turn: Turn) -> None:
    """Init containers one after the other, then all main ones; at the end the sidecars go."""
    pod = turn.life.spec
    if _pod_is_over(turn):
        _stop_last_sidecar(turn, turn.now + pod.grace_seconds)
        if not turn.alive:
            turn.pod(finished=True)
        return
    ready_for_main = initialized(turn.result())
    for index, spec, _ in turn.each(ContainerKind.INIT, ContainerKind.SIDECAR):
        if spec.kind is ContainerKind.INIT and (ready_for_main or _passed(spec, turn.containers[index])):
            continue
        _bring_up(turn, index)
        if not ready_for_main and not _passed(spec, turn.containers[index]):
            return
    for index, _, _ in turn.each(ContainerKind.MAIN):
        _bring_up(turn, index)


def _pod_is_over(turn: Turn) -> bool:
    pod = turn.life.spec
    if any(
        over(pod, spec, one) and one.ended is not None and one.ended.exit.exit_code != 0
        for _, spec, one in turn.each(ContainerKind.INIT)
    ):
        return True
    return all(over(pod, spec, one) for _, spec, one in turn.each(ContainerKind.MAIN))


def _passed(spec: ContainerSpec, one: ContainerLife) -> bool:
    """The next container in line may start."""
    if spec.kind is ContainerKind.SIDECAR:
        return one.stage is Stage.RUNNING and one.started
    return one.stage is Stage.EXITED and one.ended is not None and one.ended.exit.exit_code == 0


def _restarts(pod: PodSpec, spec: ContainerSpec, one: ContainerLife) -> bool:
    if spec.kind is ContainerKind.SIDECAR:
        return True
    failed = one.ended is not None and one.ended.exit.exit_code != 0
    if spec.kind is ContainerKind.INIT:
        return failed and pod.restart_policy != "Never"
    return pod.restart_policy == "Always" or (failed and pod.restart_policy == "OnFailure")


def _bring_up(turn: Turn, index: int) -> None:
    """What can be done now for a container that is to run."""
    pod, spec = turn.life.spec, turn.life.spec.containers[index]
    one = turn.containers[index]
    if one.stage is Stage.WAITING:
        begin(turn, index)
    elif one.stage is Stage.EXITED and _restarts(pod, spec, one):
        restart(turn, index)
    elif one.stage in _BACKOFFS and one.wake_at is not None and one.wake_at <= turn.now:
        if one.stage is Stage.PULL_BACKOFF and one.retry_at > turn.now:
            show_pull_backoff(turn, index)
        elif one.stage is Stage.CRASH_BACKOFF and one.retry_at > turn.now:
            show_crash_backoff(turn, index)
        elif one.stage is Stage.CRASH_BACKOFF:
            begin_again(turn, index)
        else:
            begin(turn, index)


def _wake(turn: Turn) -> float | None:
    life = turn.life
    if life.gone or life.finished:
        return None
    times = []
    if life.sandbox_wake_at is not None and not _stopping(life):
        times.append(life.sandbox_wake_at)
    if life.spec.active_deadline_seconds is not None and life.started_at is not None and life.failure is None:
        times.append(life.started_at + life.spec.active_deadline_seconds)
    for one in turn.containers:
        if one.stage in _BACKOFFS and one.wake_at is not None and not _stopping(life):
            times.append(one.wake_at)
        elif one.stage is Stage.RUNNING and not one.stopping:
            times += [probe.due for probe in one.probes.values() if probe.due is not None and not probe.asked]
    return min(times, default=None)
