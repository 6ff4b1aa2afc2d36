"""What of a pod can lead to a write at once: it ended, it is ready or not. All else is counted, or told along. Pure.

Asked of both sides of each update of a pod, so nothing but this is decoded.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from controller.ray.raycluster.seen import FINISHED

__all__ = ["Fate", "fate_of"]


class Fate(NamedTuple):
    """`runs_well` as PodView has it; `ready`: the pod says so; `ended`: how many of its containers did."""

    finished: bool
    runs_well: bool
    ready: bool
    ended: int


class _State(msgspec.Struct):
    terminated: Any = None


class _ContainerStatus(msgspec.Struct):
    state: _State | None = None


class _Condition(msgspec.Struct):
    type: str
    status: str


class _Status(msgspec.Struct, rename="camel"):
    phase: Any = None
    conditions: list[_Condition] | None = None
    container_statuses: list[_ContainerStatus] | None = None


class _Pod(msgspec.Struct):
    status: _Status | None = None


_decode = msgspec.json.Decoder(_Pod).decode
_UNTOLD = _Status()


def fate_of(pod: bytes) -> Fate:
    """The fate of a cached pod with that body."""
    status = _decode(pod).status or _UNTOLD
    ready = next((one.status for one in status.conditions or () if one.type == "Ready"), "")
    ended = sum(one.state is not None and bool(one.state.terminated) for one in status.container_statuses or ())
    runs_well = status.phase == "Running" and ready in ("", "True")
    return Fate(status.phase in FINISHED, runs_well, ready == "True", ended)
