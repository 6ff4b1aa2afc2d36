"""The node's part of the cgroup trees: one folder at the root of each, in which all of its programs and pods live.

Namespaces end with their processes, cgroups do not: the folders are noted before they are made, and taken away by
whoever finds the note (bare.py). Both layouts of Linux are known, a tree per controller (v1) and one for all (v2).
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from localcluster.node import kernel

__all__ = ["CLONE_NEWCGROUP", "Tree", "enter", "make", "remove", "show_only_ours", "trees"]

CLONE_NEWCGROUP = 0x02000000
INHERITED = ("cpuset.cpus", "cpuset.mems")  # a v1 cpuset is born without any, and takes no process then
PROGRAMS = "programs"  # the node's own; a v2 folder that hands controllers on may hold no process itself
GONE_SECONDS = 5.0
LOOK_AGAIN_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Tree:
    """A mounted cgroup tree; `options` mount it again. `version` is 1 or 2."""

    folder: Path
    options: str
    version: int


def trees(mounts: str) -> tuple[Tree, ...]:
    """The trees with controllers among the lines of /proc/self/mounts."""
    found = []
    for line in mounts.splitlines():
        _, folder, kind, options, *_ = line.split()
        if kind == "cgroup":
            wanted = [
                one for one in options.split(",") if one not in ("rw", "ro", "relatime", "nosuid", "nodev", "noexec")
            ]
            found.append(Tree(Path(folder), ",".join(wanted), 1))
        elif kind == "cgroup2":
            found.append(Tree(Path(folder), "", 2))
    old = tuple(tree for tree in found if tree.version == 1)
    return old or tuple(found)  # beside v1 trees, v2 has no controller


def make(name: str, among: Iterable[Tree]) -> None:
    """The folder `name` in each tree."""
    for tree in among:
        folder = tree.folder / name
        folder.mkdir()
        if tree.version == 2:
            _hand_on(tree.folder)
        for setting in INHERITED:
            parent = tree.folder / setting
            if tree.version == 1 and parent.exists():
                (folder / setting).write_text(parent.read_text())


def enter(name: str, among: Sequence[Tree]) -> None:
    """This process and its children live in the folder from now on, and see it as the root of each tree."""
    for tree in among:
        (tree.folder / name / "cgroup.procs").write_text("0")
    kernel.unshare(CLONE_NEWCGROUP)
    for tree in among:
        inner = tree.folder / name / PROGRAMS
        inner.mkdir()
        for setting in INHERITED:
            if tree.version == 1 and (inner / setting).exists():
                (inner / setting).write_text((inner.parent / setting).read_text())
        (inner / "cgroup.procs").write_text("0")
        if tree.version == 2:
            _hand_on(inner.parent)


def show_only_ours(among: Sequence[Tree]) -> None:
    """Mount the trees anew in this mount and cgroup namespace, on a fresh /sys."""
    kernel.mount("sysfs", "/sys", "sysfs", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    if among[0].version == 2:
        kernel.mount("cgroup2", "/sys/fs/cgroup", "cgroup2")
        return
    kernel.mount("cgroups", "/sys/fs/cgroup", "tmpfs", options="mode=755,size=1m")
    for tree in among:
        target = Path("/sys/fs/cgroup") / tree.options.removeprefix("name=")
        target.mkdir()
        kernel.mount("cgroup", str(target), "cgroup", options=tree.options)


def remove(name: str, among: Iterable[Tree]) -> None:
    """Take the folder away in each tree, with all below it; its processes must be dead or dying.

    Raises OSError when some still live after GONE_SECONDS.
    """
    for tree in among:
        if (tree.folder / name).is_dir():
            for folder, _, _ in os.walk(tree.folder / name, topdown=False):
                _remove_one(Path(folder))


def _remove_one(folder: Path) -> None:
    deadline = time.monotonic() + GONE_SECONDS
    while True:
        try:
            folder.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(LOOK_AGAIN_SECONDS)  # the kernel tells nobody when the last process has left a v1 folder
        else:
            return


def _hand_on(folder: Path) -> None:
    """Let the children of a v2 folder have its controllers."""
    controllers = (folder / "cgroup.controllers").read_text().split()
    (folder / "cgroup.subtree_control").write_text(" ".join(f"+{one}" for one in controllers))
