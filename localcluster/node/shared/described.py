"""Pure: what a container of a shared machine is told, in its environment and in its description (hook.py reads that).

Paths are a matter of their length here: Ray's sockets stand below its temporary folder, those of Python's
multiprocessing below TMPDIR, and a socket's path ends at 107 bytes (S10-18). So a pod has a short folder, `temporary`:

    RUN/p/N/ray    what Ray keeps, and what the container finds at /tmp/ray
    RUN/p/N/1      a link to what is private to the pod's first start of a container, and so on: home, tmp, root
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from localcluster.node.ground import Place, Start
from localcluster.node.rootfs import Mount
from localcluster.node.shared.records import RUN
from localcluster.node.volumes import hostname_of
from localcluster.quantities import quantity

__all__ = [
    "RAY",
    "Cluster",
    "Private",
    "confined",
    "description",
    "environment",
    "hides",
    "marker",
    "mounts",
]

Json: TypeAlias = dict[str, Any]

RAY: Final = "/tmp/ray"  # noqa: S108 - where Ray is without being told otherwise
HOME: Final = "HOME"
NEVER: Final = ("/dev", "/proc", "/sys")


@dataclass(frozen=True, slots=True)
class Cluster:
    """What all pods of a run share: its folder, the files of tables.py, and the machine's memory."""

    run: str
    table: str
    ports: str
    memory: int  # bytes


@dataclass(frozen=True, slots=True)
class Private:
    """Of one start of a container, by short paths: `temporary` is the pod's, `own` this start's."""

    temporary: str
    own: str


def marker(run: str) -> dict[str, str]:
    """By which every process of a run can be known that did not throw its environment away (S10-26)."""
    return {RUN: run}


def mounts(given: Sequence[Mount], homes: Sequence[Mount], needed: Sequence[str]) -> list[Mount]:
    """Where paths of the container are on this machine, the longest first; `homes` where the pod says nothing else.

    Nothing is mounted above `needed`, which programs of the pod find by its own name, nor where C libraries look
    whatever we say.
    """
    found = {one.target: one for one in (*homes, *given)}
    kept = [one for one in found.values() if not hides(one.target, needed)]
    return sorted(kept, key=lambda one: (-len(one.target), one.target))


def hides(target: str, needed: Sequence[str]) -> bool:
    """No volume can be mounted there."""
    if any(_is_below(target, one) for one in NEVER):
        return True
    return any(_is_below(one, target) for one in needed)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def description(place: Place, start: Start, cluster: Cluster, private: Private, every: Sequence[Mount]) -> Json:
    """What the hook reads in every interpreter of the container."""
    limits = start.container.resources.get("limits") or {}
    return {
        "address": place.address,
        "hostname": hostname_of(place.pod),
        "namespace": place.pod["metadata"].get("namespace", "default"),
        "folder": str(place.files.folder),
        "temporary": private.temporary,
        "table": cluster.table,
        "ports": cluster.ports,
        "mounts": [[one.target, one.source, one.read_only] for one in every],
        "memory": int(quantity(limits.get("memory") or 0)),
        "cpus": float(quantity(limits.get("cpu") or 0)),
        "machine": cluster.memory,
    }


def confined(command: Sequence[str], address: str) -> list[str]:
    """A server that is not Python takes its port at all addresses, unless it is told better: Redis can be."""
    words = list(command)
    if words and words[0].rpartition("/")[2] == "redis-server" and "--bind" not in words:
        words += ["--bind", address]
    return words


def environment(start: Start, cluster: Cluster, private: Private) -> dict[str, str]:
    """The container's, and what makes it keep to its own: a mark, a home, folders for what is temporary."""
    own = {"TMPDIR": f"{private.own}/tmp", "RAY_TMPDIR": private.temporary}  # noqa: S108 - the container's
    told = own | dict(start.environment) | marker(cluster.run)
    if told.get(HOME, start.image.home) == start.image.home:  # a home that the pod itself chose is its own affair
        told[HOME] = f"{private.own}/home"
    return told
