"""The files that a container sees: those of the machine, read-only, with what is its own mounted over them.

Runs in the process that becomes the container, in its own mount and PID namespaces, before the container's program.
Nothing of the machine is changed: where a mount point does not exist, its folder is covered by a memory file system
that holds everything the folder holds, by bind mounts, and the mount point as well.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localcluster.node import kernel

__all__ = ["Mount", "enter_root"]

OLD = "/.machine"  # where the machine's root stands while mounts are made
COVER_OPTIONS = "mode=755,size=16m"  # covers hold mount points only
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or folder of the machine (an absolute path without links) and where the container sees it."""

    source: str
    target: str
    read_only: bool = False


def enter_root(scratch: str, mounts: Sequence[Mount]) -> None:
    """Build the root on the empty folder `scratch`, make the mounts in order, and go there. Raises OSError."""
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", scratch, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, COVER_OPTIONS)
    for name in _names("/"):
        if name != "proc" and _show(f"/{name}", f"{scratch}/{name}"):
            kernel.seal(f"{scratch}/{name}")
    for name in ("proc", OLD.strip("/")):
        Path(scratch, name).mkdir()
    kernel.mount("proc", f"{scratch}/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    kernel.pivot_root(scratch, scratch + OLD)
    os.chdir("/")
    for mount in mounts:
        _mount(mount)
    kernel.unmount(OLD)
    Path(OLD).rmdir()


def _mount(mount: Mount) -> None:
    source = OLD + mount.source
    target = _prepared(mount.target, folder=Path(source).is_dir())
    kernel.mount(source, target, flags=kernel.MS_BIND | kernel.MS_REC)
    if mount.read_only:
        kernel.seal(target)


def _prepared(target: str, *, folder: bool) -> str:
    """The mount point, links followed, made if need be."""
    real = os.path.realpath(target)
    if Path(real).exists():
        return real
    try:
        _make(real, folder=folder)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        _cover(next(str(parent) for parent in Path(real).parents if parent.exists()))
        _make(real, folder=folder)
    return real


def _make(path: str, *, folder: bool) -> None:
    if folder:
        Path(path).mkdir(parents=True, exist_ok=True)
    else:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()


def _cover(folder: str) -> None:
    """Mount a memory file system over the folder, that shows all that was there and can be added to."""
    below = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        names = _names(folder)
        kernel.mount("tmpfs", folder, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, COVER_OPTIONS)
        for name in names:
            _show(f"/proc/self/fd/{below}/{name}", f"{folder}/{name}")
    finally:
        os.close(below)


def _names(folder: str) -> list[str]:
    return sorted(entry.name for entry in Path(folder).iterdir())


def _show(source: str, target: str) -> bool:
    """Let `target` be what `source` is: a link is copied, all else is bound. What is gone meanwhile is left out.

    Tells whether a mount was made.
    """
    try:
        mode = os.lstat(source).st_mode
        if stat.S_ISLNK(mode):
            Path(target).symlink_to(Path(source).readlink())
            return False
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        Path(target).mkdir()
    else:
        Path(target).touch()
    try:
        kernel.mount(source, target, flags=kernel.MS_BIND | kernel.MS_REC)
    except FileNotFoundError:
        return False
    return True
