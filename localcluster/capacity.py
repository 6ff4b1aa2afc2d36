"""How much of this machine the local cluster may use: all of it, or less where it runs in a container that is limited.

The kernel tells programs of a container what the machine has. What they are kept to is said by their cgroups, by each
from their own up to the root of what they see: `memory.max` and `cpu.max` of the one tree of version 2,
`memory.limit_in_bytes` and `cpu.cfs_quota_us` of a tree for each controller of version 1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path, PurePosixPath
from typing import Final

__all__ = ["Capacity", "capacity"]

_PROC: Final = Path("/proc/self")


@dataclass(frozen=True, slots=True)
class Capacity:
    """What may be used."""

    cpus: int
    memory: int  # bytes

    def quantities(self) -> dict[str, str]:
        """As a node says it: {"cpu": "2", "memory": "2048Mi"}."""
        return {"cpu": str(self.cpus), "memory": f"{self.memory // 2**20}Mi"}


def capacity(proc: Path = _PROC) -> Capacity:
    """What this process and its children may use.

    A part of a core counts as a whole one: pods are slower for it, which is no reason not to start them.
    """
    cpus = Fraction(len(os.sched_getaffinity(0)))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for folder in _folders(proc):
        cpus = min([cpus, *_cpus(folder)])
        memory = min([memory, *_memory(folder)])
    return Capacity(ceil(cpus), memory)


def _folders(proc: Path) -> Iterator[Path]:
    """The cgroups that this process is in, and all above them that can be seen."""
    try:
        memberships = (proc / "cgroup").read_text().splitlines()
        mounts = (proc / "mountinfo").read_text().splitlines()
    except OSError:  # a kernel without cgroups
        return
    places = dict(
        line.split(":", 2)[1:] for line in memberships
    )  # controllers ("" for version 2) -> the path in its tree
    for line in mounts:
        about, _, kind = line.partition(" - ")
        root, point = about.split(" ")[3:5]
        type_, _, options = kind.split(" ", 2)
        names = [""] if type_ == "cgroup2" else options.split(",") if type_ == "cgroup" else []
        for controllers, place in places.items():
            if any(name in controllers.split(",") for name in names):
                yield from _upwards(Path(point), root, place)


def _upwards(point: Path, root: str, place: str) -> Iterator[Path]:
    """From a cgroup up to where its tree is mounted. In a container only a part of the tree is, from `root` on."""
    below = PurePosixPath(place)
    inside = below.relative_to(root) if below.is_relative_to(root) and ".." not in below.parts else PurePosixPath()
    yield from (point / one for one in (inside, *inside.parents))


def _cpus(folder: Path) -> Iterator[Fraction]:
    quota, _, period = _said(folder / "cpu.max").partition(" ")
    yield from _share(quota, period)
    yield from _share(_said(folder / "cpu.cfs_quota_us"), _said(folder / "cpu.cfs_period_us"))


def _share(quota: str, period: str) -> Iterator[Fraction]:
    if quota.isdecimal() and period.isdecimal() and int(period):  # not "max", and not -1
        yield Fraction(int(quota), int(period))


def _memory(folder: Path) -> Iterator[int]:
    for name in ("memory.max", "memory.limit_in_bytes"):
        if (said := _said(folder / name)).isdecimal():
            yield int(said)


def _said(file: Path) -> str:
    """What stands there; "" where no such limit can be set."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""
