"""Finds and ends what a killed run has left: its programs and supervisors may have been killed with it (S10-26).

A process of this user is one of that run's if any of these is true, and if it is not who looks, or an ancestor of that:

    marked      its environment names the run's folder; some programs overwrite theirs with a title
    session     it is in a session that a supervisor or a container of the run led
    in folder   it works in the run's folder or writes to a file there, and has no terminal: who has one only looks
    descent     one of its ancestors is one of these

Whoever gave up all of that (`env -i`, an own session, `/`, no open file, a dead parent) after its supervisor was killed
is not found; while the supervisor lived, it was.

A PID may be another process's a moment later, so everything is asked again through a descriptor of the process before
it is killed.
"""

from __future__ import annotations

import os
import select
import signal
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from localcluster.node.descent import stat_of
from localcluster.node.shared.records import POINTER, RUN, Session, boot, forks, sessions, started_at

__all__ = ["Process", "Seen", "Swept", "forget_link", "left_over", "sweep"]

PATIENCE_SECONDS: Final = 5.0  # for the end of what was killed: the kernel needs moments


@dataclass(frozen=True, slots=True)
class Process:
    """One process of this user. `start` is in ticks since the boot; `terminal` 0 without one."""

    pid: int
    parent: int
    session: int
    terminal: int
    start: int
    marked: bool = False
    in_folder: bool = False
    command: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """The machine at one moment: its processes by PID, which of them are never ended, and how old numbers may be.

    `forks` is how many processes the machine has made, `numbers` how many PIDs there are, `boot` which boot it is.
    """

    processes: Mapping[int, Process]
    spared: frozenset[int]
    forks: int
    numbers: int
    boot: str


@dataclass(frozen=True, slots=True)
class Swept:
    """What was found and ended, with its commands, and what would not end."""

    ended: tuple[Process, ...] = ()
    remaining: tuple[Process, ...] = ()


# Pure --------------------------------------------------------------------------------------------------------------


def left_over(seen: Seen, recorded: Iterable[Session]) -> list[Process]:
    """All that is of the run whose sessions these are."""
    led = {one.leader: one for one in recorded if one.boot == seen.boot}
    own = {pid for pid, one in seen.processes.items() if _is_of_the_run(one, led, seen)} - seen.spared
    children: dict[int, list[int]] = {}
    for pid, one in seen.processes.items():
        children.setdefault(one.parent, []).append(pid)
    found = sorted(own)
    for pid in found:
        new = [child for child in children.get(pid, ()) if child not in own and child not in seen.spared]
        own.update(new)
        found += new
    return [seen.processes[pid] for pid in found]


def _is_of_the_run(one: Process, led: Mapping[int, Session], seen: Seen) -> bool:
    if one.marked or (one.in_folder and not one.terminal):
        return True
    session = led.get(one.session)
    return session is not None and _is_still(session, seen) and one.start >= session.start


def _is_still(session: Session, seen: Seen) -> bool:
    """No other session can have that number by now (S10-27)."""
    leader = seen.processes.get(session.leader)
    if leader is not None:
        return leader.start == session.start
    return seen.forks > 0 and seen.forks - session.forks < seen.numbers // 2  # they are given away in turn


# I/O ---------------------------------------------------------------------------------------------------------------


def sweep(folder: Path) -> Swept:
    """End all that a dead run with that folder has left. The folder itself, and what is in it, is the caller's.

    Whoever calls this must know that the run is dead: what lives of it is killed. Returns once all has ended, or after
    PATIENCE_SECONDS for what does not.
    """
    run = Path(os.path.abspath(folder))  # noqa: PTH100 - as it was written down, by whatever links
    recorded = sessions(run)
    ended: dict[int, Process] = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while found := left_over(look(run), recorded):
        ended |= {one.pid: one for one in found}
        if not _killed(found, deadline):
            break
    forget_link(run)
    left = {one.pid for one in found}
    return Swept(tuple(one for one in ended.values() if one.pid not in left), tuple(one for one in found))


def look(run: Path) -> Seen:
    """Every process of this user, as far as it may be asked."""
    every = {one.pid: one for one in _processes(run)}
    spared = {os.getpid()}
    above = os.getppid()
    while above and above not in spared:
        spared.add(above)
        above = _parent(above)
    numbers = int(Path("/proc/sys/kernel/pid_max").read_text())
    return Seen(every, frozenset(spared), forks(), numbers, boot())


def _parent(pid: int) -> int:
    try:
        return int(stat_of(pid)[1])
    except OSError:
        return 0


def _processes(run: Path) -> Iterator[Process]:
    user = os.geteuid()
    folders = tuple({str(run), os.path.realpath(run)})
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with suppress(OSError):  # it ended meanwhile
            if entry.stat().st_uid == user and (found := _process(int(entry.name), folders)) is not None:
                yield found


def _process(pid: int, folders: Sequence[str]) -> Process | None:
    """None for one that has ended and only waits to be told of. Raises OSError."""
    state, parent, _, session, terminal, *more = stat_of(pid)
    if state in "ZX":
        return None
    marks = {os.fsencode(f"{RUN}={folder}") for folder in folders}
    place = Path(f"/proc/{pid}")
    return Process(
        pid,
        int(parent),
        int(session),
        int(terminal),
        int(more[14]),
        marked=not marks.isdisjoint(_read(place / "environ").split(b"\0")),
        in_folder=_works_in(place, folders),
        command=_read(place / "cmdline").replace(b"\0", b" ").decode(errors="replace").strip(),
    )


def _read(file: Path) -> bytes:
    """Nothing of what may not be read."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _works_in(process: Path, folders: Sequence[str]) -> bool:
    """Its working directory is there, or a file that it may write to."""
    if _is_below(process / "cwd", folders):
        return True
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:
        return False
    return any(_is_below(one, folders) and _writes(one) for one in descriptors)


def _is_below(link: Path, folders: Sequence[str]) -> bool:
    try:
        path = str(link.readlink())
    except OSError:
        return False
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _writes(descriptor: Path) -> bool:
    """The link's own mode tells how the file is open."""
    try:
        return bool(descriptor.lstat().st_mode & stat.S_IWUSR)
    except OSError:
        return False


def _killed(found: Sequence[Process], deadline: float) -> bool:
    """Kill them and wait until they have ended; False when none could be killed, or the time is over."""
    poll = select.poll()
    waiting: set[int] = set()
    with ExitStack() as stack:
        for one in found:
            try:
                descriptor = os.pidfd_open(one.pid)
            except ProcessLookupError:
                continue
            stack.callback(os.close, descriptor)
            if _kill(descriptor, one):
                poll.register(descriptor, select.POLLIN)
                waiting.add(descriptor)
        if not waiting:
            return False
        while waiting and (left := deadline - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(left * 1000):
                poll.unregister(descriptor)
                waiting.discard(descriptor)
    return time.monotonic() < deadline


def _kill(descriptor: int, one: Process) -> bool:
    """Unless the number is another process's by now."""
    try:
        if started_at(one.pid) != one.start:
            return False
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except OSError:
        return False  # it ended, or became another user's
    return True


def forget_link(run: Path) -> None:
    """Take away the short way to the pods' folders (ground.py), which stands elsewhere, if the run had one."""
    try:
        link = Path((run / POINTER).read_text())
        if link.is_symlink() and link.readlink().is_relative_to(run):
            link.unlink()
    except OSError:
        return
