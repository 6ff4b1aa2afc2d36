"""Which kinds are reviewed, under which names and paths (spec admission §1.1, §4.11).

The three validating names and paths that the reference has are kept: configurations and dashboards know them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from api.meta import Resource
from api.v1 import wire

__all__ = ["DOORS", "Door"]


@dataclass(frozen=True, slots=True)
class Door:
    """One kind's two webhooks."""

    resource: Resource

    @property
    def validating_name(self) -> str:
        return f"v{self.resource.kind.lower()}.kb.io"

    @property
    def mutating_name(self) -> str:
        """Not one of Kueue's, which are called `mraycluster.kb.io` and so on."""
        return f"mraydefault-{self.resource.kind.lower()}.ray.io"

    @property
    def validating_path(self) -> str:
        return f"/validate-{self._dashed}"

    @property
    def mutating_path(self) -> str:
        return f"/mutate-{self._dashed}"

    @property
    def _dashed(self) -> str:
        group = self.resource.group.replace(".", "-")
        return f"{group}-{self.resource.version}-{self.resource.kind.lower()}"


DOORS: Final[Sequence[Door]] = tuple(
    Door(resource) for resource in (wire.RAY_CLUSTERS, wire.RAY_JOBS, wire.RAY_SERVICES, wire.RAY_CRON_JOBS)
)
