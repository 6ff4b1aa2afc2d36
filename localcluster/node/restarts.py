"""How a container is begun, and how long one that failed must wait before it is begun again. Pure."""

from __future__ import annotations

from localcluster.node import model
from localcluster.node.model import ContainerLife, Ended, PodSpec, Stage
from localcluster.node.turn import Turn

__all__ = [
    "FIRST_BACKOFF",
    "MOST_BACKOFF",
    "begin",
    "begin_again",
    "restart",
    "show_crash_backoff",
    "show_pull_backoff",
]

FIRST_BACKOFF = 10.0  # seconds, of restarts and of pulls
MOST_BACKOFF = 300.0
FORGET_BACKOFF = 600.0  # a run this long after the last back-off was set starts anew with the first
SYNC_RETRY = 10.0  # how long a container that may not restart yet shows its end, before it reads CrashLoopBackOff
SYNC_SECONDS = 1.0  # and how long it reads that at least: what a restart takes that is due by then


def begin(turn: Turn, index: int) -> None:
    """Its image is wanted: the first step of every start."""
    turn.set(index, stage=Stage.PULLING, wake_at=None)
    turn.do(model.Pull(turn.life.spec.containers[index].name))


def restart(turn: Turn, index: int) -> None:
    """At once the first time; then after a back-off counted from the end of the last run.

    For a container that the kubelet itself killed, the end of the run before counts: it judges by what it saw before.
    """
    one = turn.containers[index]
    if one.ended is None:
        return
    if one.killed and one.previous is None:
        begin(turn, index)
    elif _due(one, one.previous if one.killed else one.ended) <= turn.now:
        begin_again(turn, index)
    else:
        turn.set(
            index,
            stage=Stage.CRASH_BACKOFF,
            wake_at=turn.now + SYNC_RETRY,
            retry_at=max(_due(one, one.ended), turn.now + SYNC_RETRY + SYNC_SECONDS),
        )
        _say_back_off(turn, index)


def _due(one: ContainerLife, ended: Ended | None) -> float:
    if ended is None or _forgotten(one, ended):
        return 0
    return ended.finished_at + one.backoff_seconds


def _say_back_off(turn: Turn, index: int) -> None:
    name = turn.life.spec.containers[index].name
    message = f"Back-off restarting failed container {name} in pod {_where(turn.life.spec)}"
    turn.say("Warning", "BackOff", message, name)


def _where(pod: PodSpec) -> str:
    return f"{pod.name}_{pod.namespace}({pod.uid})"


def show_crash_backoff(turn: Turn, index: int) -> None:
    """From now on it reads CrashLoopBackOff instead of how it ended."""
    spec, one = turn.life.spec.containers[index], turn.containers[index]
    wait = _duration(one.backoff_seconds)
    where = _where(turn.life.spec)
    turn.set(
        index,
        wake_at=one.retry_at,
        reason="CrashLoopBackOff",
        message=f"back-off {wait} restarting failed container={spec.name} pod={where}",
    )


def begin_again(turn: Turn, index: int) -> None:
    """The same for a container that ran before: the next time it will have to wait longer."""
    one = turn.containers[index]
    forgotten = _forgotten(one, one.previous if one.killed else one.ended)
    longer = FIRST_BACKOFF if forgotten else min(2 * one.backoff_seconds, MOST_BACKOFF)
    turn.set(index, backoff_seconds=longer, backoff_at=turn.now)
    begin(turn, index)


def _forgotten(one: ContainerLife, ended: Ended | None) -> bool:
    """There is no back-off, or the container ran well for long after it was set."""
    if one.backoff_seconds == 0 or ended is None:
        return True
    return ended.finished_at - one.backoff_at > FORGET_BACKOFF


def show_pull_backoff(turn: Turn, index: int) -> None:
    """From now on it reads ImagePullBackOff instead of what went wrong."""
    spec, one = turn.life.spec.containers[index], turn.containers[index]
    turn.set(
        index,
        reason="ImagePullBackOff",
        message=f'Back-off pulling image "{spec.image}": {one.reason}: {one.message}',
        wake_at=one.retry_at,
    )
    turn.say("Normal", "BackOff", f'Back-off pulling image "{spec.image}"', spec.name)
    turn.say("Warning", "Failed", "Error: ImagePullBackOff", spec.name)


def _duration(seconds: float) -> str:
    """As Go writes it: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
