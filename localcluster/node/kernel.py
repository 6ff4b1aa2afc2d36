"""System calls that Python 3.11 does not wrap: namespaces, mounts, the parent-death signal. Linux only.

Everything raises OSError with the errno of the call and what was tried, so that a refusal can be told in a sentence.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import struct
from typing import Final

__all__ = [
    "CLONE_NEWIPC",
    "CLONE_NEWNET",
    "CLONE_NEWNS",
    "CLONE_NEWPID",
    "CLONE_NEWUSER",
    "CLONE_NEWUTS",
    "MS_BIND",
    "MS_NODEV",
    "MS_NOEXEC",
    "MS_NOSUID",
    "MS_PRIVATE",
    "MS_RDONLY",
    "MS_REC",
    "MS_REMOUNT",
    "adopt_orphans",
    "die_with_parent",
    "loopback_up",
    "mount",
    "notify_of_changes",
    "pivot_root",
    "seal",
    "set_hostname",
    "setns",
    "unmount",
    "unshare",
]

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000

MS_RDONLY: Final = 0x1
MS_NOSUID: Final = 0x2
MS_NODEV: Final = 0x4
MS_NOEXEC: Final = 0x8
MS_REMOUNT: Final = 0x20
MS_BIND: Final = 0x1000
MS_REC: Final = 0x4000
MS_PRIVATE: Final = 0x40000

MNT_DETACH: Final = 0x2
PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
SYS_MOUNT_SETATTR: Final = (
    442  # the same on every architecture; since Linux 5.12, and in no libc wrapper we may rely on
)
AT_FDCWD: Final = -100
AT_RECURSIVE: Final = 0x8000
MOUNT_ATTR_RDONLY: Final = 0x1
IN_MODIFY: Final = 0x2
IN_CREATE: Final = 0x100
IN_NONBLOCK: Final = 0o4000
IN_CLOEXEC: Final = 0o2000000
SIOCSIFFLAGS: Final = 0x8914
IFF_UP: Final = 0x1
IFF_RUNNING: Final = 0x40

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """New namespaces for this process; for CLONE_NEWPID, for its children."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(descriptor: int, flags: int = 0) -> None:
    """Enter the namespace behind an open /proc/PID/ns/* or a pidfd."""
    _checked(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(flags)), "setns")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    result = _libc.mount(
        source.encode() or None, target.encode(), kind.encode() or None, flags, options.encode() or None
    )
    _checked(result, f"mount {kind or source} on {target}")


def unmount(target: str) -> None:
    """Take a mount away, now from view and in time altogether."""
    _checked(_libc.umount2(target.encode(), ctypes.c_int(MNT_DETACH)), f"umount {target}")


def loopback_up() -> None:
    """Bring up `lo` of this network namespace, which is born down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", IFF_UP | IFF_RUNNING)
        fcntl.ioctl(control, SIOCSIFFLAGS, request)


def pivot_root(new: str, old: str) -> None:
    """Make the mount at `new` the root, and put what was the root at `old`, a folder under it."""
    _checked(_libc.pivot_root(new.encode(), old.encode()), f"pivot_root {new}")


def seal(target: str) -> None:
    """Make a mount and all that is mounted below it read-only."""
    attributes = struct.pack("=QQQQ", MOUNT_ATTR_RDONLY, 0, 0, 0)
    result = _libc.syscall(
        ctypes.c_long(SYS_MOUNT_SETATTR),
        ctypes.c_int(AT_FDCWD),
        ctypes.c_char_p(target.encode()),
        ctypes.c_uint(AT_RECURSIVE),
        ctypes.c_char_p(attributes),
        ctypes.c_size_t(len(attributes)),
    )
    _checked(result, f"mount_setattr read-only {target}")


def notify_of_changes(path: str) -> int:
    """A descriptor that is readable whenever the file was written to, or the folder got a new entry.

    It does not block, and its caller closes it.
    """
    descriptor: int = _libc.inotify_init1(ctypes.c_int(IN_NONBLOCK | IN_CLOEXEC))
    _checked(min(descriptor, 0), "inotify_init1")
    try:
        watch = _libc.inotify_add_watch(ctypes.c_int(descriptor), path.encode(), ctypes.c_uint32(IN_MODIFY | IN_CREATE))
        _checked(min(watch, 0), f"inotify_add_watch {path}")
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def set_hostname(name: str) -> None:
    """Of this UTS namespace."""
    encoded = name.encode()
    _checked(_libc.sethostname(encoded, ctypes.c_size_t(len(encoded))), f"sethostname {name}")


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """The kernel sends us that signal when the thread that forked us ends.

    To be called again after anything that changes credentials (a new user namespace does): the kernel then forgets it.
    """
    _checked(_libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0), "prctl")


def adopt_orphans() -> None:
    """Descendants whose parent ends become children of this process. Children do not inherit it."""
    _checked(_libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")
