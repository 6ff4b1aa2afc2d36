"""What of a pod can lead to a write at once: it ended, it is ready or not. All else is counted, or told along. Pure.

Asked of both sides of each update of a pod, so nothing but this is decoded.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from controller.ray.raycluster.seen import FINISHED

__all__ = ["Fate", "fate_of"]

Fate: TypeAlias = tuple[bool, bool, bool, int]


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
    """Did it finish, does it run well, does it say that it is ready, and how many of its containers ended?

    `pod` is the body of a cached one. Whether it runs well is what PodView.runs_well says.
    """
    status = _decode(pod).status or _UNTOLD
    ready = next((one.status for one in status.conditions or () if one.type == "Ready"), "")
    ended = sum(one.state is not None and bool(one.state.terminated) for one in status.container_statuses or ())
    runs_well = status.phase == "Running" and ready in ("", "True")
    return status.phase in FINISHED, runs_well, ready == "True", ended
