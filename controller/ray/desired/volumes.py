"""Shared memory and shared logs (spec raycluster §10.9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from api.meta import Json

__all__ = ["LOGS_PATH", "add_mount", "add_volume", "share_logs", "share_memory"]

MEMORY_VOLUME: Final = "shared-mem"
MEMORY_PATH: Final = "/dev/shm"  # noqa: S108 - where Ray puts its object store
LOGS_VOLUME: Final = "ray-logs"
LOGS_PATH: Final = "/tmp/ray"  # noqa: S108 - Ray's own default


def share_memory(pod_spec: Json, params: Mapping[str, str]) -> None:
    """Give the object store memory of its own, as much as the container may have.

    Not where the user placed the store elsewhere (`plasma-directory`, whatever it says) or mounted the path.
    """
    container = pod_spec["containers"][0]
    if "plasma-directory" in params or _mounted(container, MEMORY_PATH):
        return
    resources = container.get("resources") or {}
    memory = (resources.get("limits") or {}).get("memory") or (resources.get("requests") or {}).get("memory")
    source: Json = {"medium": "Memory"}
    if memory is not None:
        source["sizeLimit"] = memory
    add_volume(pod_spec, {"name": MEMORY_VOLUME, "emptyDir": source})
    add_mount(container, {"name": MEMORY_VOLUME, "mountPath": MEMORY_PATH})


def share_logs(pod_spec: Json, sidecars: frozenset[str]) -> None:
    """Let the sidecars of those names read what Ray writes, unless a container has something mounted there."""
    sharing = [one for index, one in enumerate(pod_spec["containers"]) if index == 0 or one["name"] in sidecars]
    add_volume(pod_spec, {"name": LOGS_VOLUME, "emptyDir": {}})
    for container in sharing:
        if not _mounted(container, LOGS_PATH):
            add_mount(container, {"name": LOGS_VOLUME, "mountPath": LOGS_PATH})


def add_volume(pod_spec: Json, volume: Json) -> None:
    """Append it, unless a volume of that name is there."""
    volumes = pod_spec.setdefault("volumes", [])
    if all(one["name"] != volume["name"] for one in volumes):
        volumes.append(volume)


def add_mount(container: Json, mount: Json) -> None:
    """Append it."""
    container.setdefault("volumeMounts", []).append(mount)


def _mounted(container: Json, path: str) -> bool:
    return any(mount.get("mountPath") == path for mount in container.get("volumeMounts") or ())
