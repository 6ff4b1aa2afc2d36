"""What a run writes down of its processes, so that a later start can find what a killed one has left (S10-26, S10-27).

    MANTA_RUN=FOLDER       in the environment of every container, and of the supervisor around it
    FOLDER/sessions/PID    a session that a supervisor or a container leads: what it takes to know it again
    FOLDER/short           the link in /tmp that leads to the pods' short folders, where there is one (ground.py)
    FOLDER/names.json      the table of names (tables.py), which the operator reads, too

The standard library alone: supervisor.py writes it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

from localcluster.node.descent import stat_of

__all__ = ["POINTER", "RUN", "TABLE", "Session", "forget_session", "forks", "record_session", "sessions", "started_at"]

RUN: Final = "MANTA_RUN"
POINTER: Final = "short"
TABLE: Final = "names.json"
_START_FIELD: Final = 19  # of `stat_of`: when the process began, in ticks since the boot


class Session(NamedTuple):
    """A session by its leader's PID, when that began, and how many processes the machine had made until then.

    PIDs are given away again, but only in turn: as long as fewer processes were made than there are numbers, a session
    of that number is this one, also when its leader is long gone.
    """

    leader: int
    start: int
    forks: int
    boot: str


def record_session(run: str) -> None:
    """The session that this process leads. Raises OSError."""
    leader = os.getpid()
    folder = Path(run, "sessions")
    folder.mkdir(exist_ok=True)
    (folder / str(leader)).write_text(f"{started_at(leader)} {forks()} {boot()}")


def forget_session(run: str, leader: int) -> None:
    """It is over."""
    Path(run, "sessions", str(leader)).unlink(missing_ok=True)


def sessions(run: Path) -> list[Session]:
    """All that were recorded and not forgotten. One that was not written to its end is none.

    Supervisors of a run that was killed a moment ago still forget theirs meanwhile.
    """
    found = []
    for file in (run / "sessions").glob("[0-9]*"):
        try:
            words = file.read_text().split()
        except FileNotFoundError:
            continue
        match words:
            case [start, made, since]:
                found.append(Session(int(file.name), int(start), int(made), since))
    return found


def started_at(pid: int) -> int:
    """Raises OSError when there is no such process."""
    return int(stat_of(pid)[_START_FIELD])


def forks() -> int:
    """Processes and threads made since the boot, on the whole machine. Raises OSError."""
    lines = Path("/proc/stat").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("processes ")), 0)


def boot() -> str:
    """Which one it is. Raises OSError."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
