"""What the operator reads of a pod: all else is left out of the cache when a pod arrives (spec runtime MEM-5).

A pod on the wire is some 6 KB, of which most is what its template said. Whoever looks at more of a pod adds it here.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import UNSET, Raw, Struct, UnsetType, field

from controller.runtime.cache.record import FieldSet

__all__ = ["PodFields"]

Whole: TypeAlias = Raw | UnsetType  # whatever it is


class _Container(Struct, rename="camel", omit_defaults=True):
    name: str
    ports: Whole = UNSET  # where Serve listens
    readiness_probe: Whole = UNSET  # does it ask Serve?


class _Spec(Struct, rename="camel", omit_defaults=True):
    restart_policy: Whole = UNSET
    containers: list[_Container] | None = None


class _State(Struct, omit_defaults=True):
    """Since when a container runs is not read."""

    waiting: Whole = UNSET
    terminated: Whole = UNSET


class _ContainerStatus(Struct, rename="camel", omit_defaults=True):
    name: str
    state: _State | None = None
    restart_count: int = 0


class _Condition(Struct, omit_defaults=True):
    type: str
    status: str
    reason: Whole = UNSET
    message: Whole = UNSET


class _Status(Struct, rename="camel", omit_defaults=True):
    phase: Whole = UNSET
    pod_ip: Whole = field(name="podIP", default=UNSET)
    conditions: list[_Condition] | None = None
    container_statuses: list[_ContainerStatus] | None = None


class PodFields(FieldSet):
    """The field set of pods."""

    spec: _Spec | None = None
    status: _Status | None = None

    def trim(self) -> None:
        """Of the conditions `Ready` is read; the others come and go while a pod starts."""
        if self.status is not None and self.status.conditions:
            self.status.conditions = [one for one in self.status.conditions if one.type == "Ready"]
