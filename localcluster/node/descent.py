"""The end of all processes below this one, where no PID namespace ends with its first process (spec ray-side S10-25).

What a process leaves behind when it ends is handed to its nearest ancestor that adopts orphans: nothing gets away by
forking twice, by a session of its own or with an empty environment. The standard library alone: whoever surrounds a
container imports it.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Final

__all__ = ["below", "end_all_below", "stat_of"]

LOOK_SECONDS: Final = 0.005


def stat_of(pid: int) -> list[str]:
    """What /proc says after the name: state, parent, group, session, terminal, ... Raises OSError."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def below(pid: int) -> list[int]:
    """All that descends from that process and lives, parents first."""
    children: dict[int, list[int]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state, parent, *_ = stat_of(int(process.name))
        except OSError:
            continue  # it ended meanwhile
        if state not in "ZX":
            children.setdefault(int(parent), []).append(int(process.name))
    found = children.get(pid, [])
    for one in found:
        found += children.get(one, [])
    return found


def end_all_below() -> None:
    """KILL to every descendant, again and again, until none is left; all are reaped. Wants
    kernel.adopt_orphans before.

    What may not be killed (a program that became another user) is left.
    """
    while sum(map(_killed, below(os.getpid()))):  # not `any`: all of them, each time
        _reap()
        time.sleep(LOOK_SECONDS)  # the kernel hands orphans on when their parent has ended, and no event tells of it
    _reap()


def _killed(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _reap() -> None:
    """Every child that has ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return
