"""Which run of a head a dashboard belongs to: what an earlier run knew is gone (design §2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["head_run"]


def head_run(pod: Mapping[str, Any]) -> str:
    """Which run of the Ray container this is; "" while the pod does not run. Never the same after a restart."""
    status = pod.get("status") or {}
    if status.get("phase") != "Running":
        return ""
    ray = pod["spec"]["containers"][0]["name"]
    restarts = sum(one.get("restartCount", 0) for one in status.get("containerStatuses") or () if one["name"] == ray)
    return f"{pod['metadata']['uid']}/{restarts}"
