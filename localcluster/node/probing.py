"""When the probes of a running container ask. Pure; what an answer means is for lifecycle.py."""

from __future__ import annotations

from dataclasses import replace

from localcluster.node import model
from localcluster.node.model import ContainerLife, ContainerSpec, ProbeKind, ProbeLife, Stage
from localcluster.node.turn import Turn

__all__ = ["arm", "ask_probes", "grid"]


def arm(turn: Turn, index: int, *, passed_startup: bool = False) -> None:
    """The container runs: from now on its probes count; readiness and liveness only after a startup probe passed."""
    spec, one = turn.life.spec.containers[index], turn.containers[index]
    waits = ProbeKind.STARTUP in spec.probes and not passed_startup
    kinds = [kind for kind in spec.probes if (kind is ProbeKind.STARTUP) == waits]
    probes = {kind: ProbeLife(max(turn.now, one.running_since + spec.probes[kind].initial_delay)) for kind in kinds}
    turn.set(index, started=not waits, ready=not waits and ProbeKind.READINESS not in spec.probes, probes=probes)


def ask_probes(turn: Turn) -> None:
    """Ask all whose time has come."""
    for index, spec, one in turn.each():
        if one.stage is not Stage.RUNNING or one.stopping or not one.probes:
            continue
        for kind, probe in one.probes.items():
            if probe.asked or probe.due is None or probe.due > turn.now:
                continue
            asked = replace(probe, asked=True, due=grid(one, spec, kind, turn.now))
            turn.set(index, probes={**turn.containers[index].probes, kind: asked})
            turn.do(model.RunProbe(spec.name, kind, one.attempt))


def grid(one: ContainerLife, spec: ContainerSpec, kind: ProbeKind, now: float) -> float:
    """The next time after now at which the probe's ticker ticks."""
    asks = spec.probes[kind]
    first = one.running_since + asks.initial_delay
    if now < first:
        return first
    return first + asks.period * ((now - first) // asks.period + 1)
