"""One look at a RayCronJob, as data. There is nothing else to see: its RayJobs are not watched (spec rayjob §12.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.meta import Json, parse_time
from api.v1.common import Malformed
from api.v1.raycronjob import RayCronJobSpec
from controller.ray.options import Options

__all__ = ["Seen", "spec_of"]


@dataclass(frozen=True, slots=True)
class Seen:
    """The RayCronJob as it is stored."""

    cron: Json
    spec: RayCronJobSpec
    options: Options
    malformed: str = ""  # why the spec cannot be read, if so; `spec` is empty then

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The RayCronJob's metadata."""
        metadata: Mapping[str, Any] = self.cron["metadata"]
        return metadata

    @property
    def status(self) -> Mapping[str, Any]:
        """As stored, {} before the first tick."""
        return self.cron.get("status") or {}

    @property
    def where(self) -> str:
        """<namespace>/<name>"""
        return f"{self.metadata['namespace']}/{self.metadata['name']}"

    @property
    def attended(self) -> datetime:
        """All ticks up to this moment are attended to: the last of them, or the object's own beginning."""
        return parse_time(self.status.get("lastScheduleTime") or self.metadata["creationTimestamp"])


def spec_of(cron: Json) -> tuple[RayCronJobSpec | None, str]:
    """The spec, and why it cannot be read: it may have been stored under another schema."""
    try:
        return RayCronJobSpec.from_json(cron.get("spec") or {}), ""
    except Malformed as error:
        return None, str(error)
