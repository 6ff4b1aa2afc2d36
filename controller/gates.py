"""Feature gates as flags name them (spec deployment §1.4). `manta lint` takes the same flag, without an operator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from api.v1.gates import DEFAULT_GATES
from controller.configfile import BadSettings
from controller.flags import boolean

__all__ = ["BETA", "parse_gates"]

BETA: Final = frozenset(
    {"RayClusterStatusConditions", "RayJobDeletionPolicy", "RayMultiHostIndexing", "RayServiceIncrementalUpgrade"}
)


def parse_gates(text: str) -> Mapping[str, bool]:
    """All gates by wire name; named gates beat AllAlpha and AllBeta (spec deployment §1.4). Raises BadSettings."""
    asked: dict[str, bool] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, _, value = part.partition("=")
        name = name.strip()
        if name not in DEFAULT_GATES and name not in ("AllAlpha", "AllBeta"):
            raise BadSettings(f"unrecognized feature gate: {name}; known are {', '.join(sorted(DEFAULT_GATES))}")
        on = boolean(value.strip())
        if on is None:
            raise BadSettings(f"feature gate {name}={value!r}: the value must be true or false")
        asked[name] = on
    gates = {}
    for name, default in DEFAULT_GATES.items():
        stage = asked.get("AllBeta" if name in BETA else "AllAlpha", default)
        gates[name] = asked.get(name, stage)
    return gates
