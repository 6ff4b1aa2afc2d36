"""The container's description, as an object."""

from __future__ import annotations

import json

from localcluster.node.shared.hook.names import Names
from localcluster.node.shared.hook.ports import Ports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Pod", "described"]

# These of the machine are everybody's, and C libraries use them whatever we say.
NEVER_MAPPED = ("/dev", "/proc", "/sys")


class Pod:
    """What an interpreter must know of its pod."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.address: str = given["address"]
        self.hostname: str = given["hostname"]
        self.namespace: str = given["namespace"]
        self.folder: str = given["folder"]
        self.temporary: str = given.get("temporary") or given["folder"]
        self.mounts: tuple[tuple[str, str], ...] = tuple(
            (target.rstrip("/"), real)
            for target, real, _ in given["mounts"]
            if target.strip("/") and not _below(target, NEVER_MAPPED)
        )
        self.memory: int = int(given.get("memory") or 0)
        self.cpus: float = float(given.get("cpus") or 0)
        self.machine: int = int(given["machine"])
        self.names = Names(given["table"], self.namespace, {self.hostname: [self.address]})
        self.ports = Ports(given["ports"], self.address)


def _below(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in folders)


def described(path: str) -> Pod:
    """The description at `path`. Raises OSError, ValueError, KeyError, TypeError when it is none."""
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs every interpreter more than the rest
        return Pod(json.load(file))
