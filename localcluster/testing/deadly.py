"""`localcluster.inside`, but the operator beside it is killed at one of its writes.

`python -m localcluster.testing.deadly --journal FILE [--nth N --at before|after|answered] ARGUMENTS OF INSIDE` kills
the operator's real process while its N-th write is on the way: before it takes effect, after that but before its
answer, or when the answer is out. What restarts it is the cell. It dies at the latest at the write that tells the end
of a RayJob: under load some words about it are put into one, and there are fewer writes than there were last time.
Every write of the operator is a line of the journal, and its death one more: what a test reads afterwards. Events are
not counted, they are told by the way.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import select
import signal
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from localcluster.faults import Asked, Faults, When
from localcluster.inside import Inside, arguments_of, serve, wall_clock

__all__ = ["main"]

OPERATOR = "kuberay-operator*"  # its User-Agent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m localcluster.testing.deadly", add_help=False)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--nth", type=int, default=0)  # 0: never
    parser.add_argument("--at", choices=("before", "after", "answered"), default="before")
    ours, others = parser.parse_known_args(arguments)
    inside = Inside(arguments_of().parse_args(others))
    journal = Journal(ours.journal)
    fatal = Fatal(ours.nth)
    faults = Faults(now=wall_clock, crashed=lambda: die(inside.directory, journal, fatal.at), noted=journal.note)
    if ours.nth:
        faults.crash(When(also=fatal.strikes), ours.at)
    asyncio.run(serve(inside, faults=faults))
    return 0


def counts(asked: Asked) -> bool:
    """Is it one of the writes among which the n-th is sought?"""
    if asked.namespace == "kube-system" or asked.resource.endswith(".admissionregistration.k8s.io"):
        return False  # the registration of its webhooks, with each start
    return asked.write and fnmatchcase(asked.agent, OPERATOR) and not asked.resource.startswith("events")


def tells_the_end(asked: Asked) -> bool:
    """Is it the word that a RayJob is over?"""
    status = asked.body.get("status") if isinstance(asked.body, dict) else None
    return asked.resource == "rayjobs.ray.io" and (status or {}).get("jobDeploymentStatus") in ("Complete", "Failed")


class Fatal:
    """Which write is the fatal one; `at` is its number."""

    def __init__(self, nth: int) -> None:
        self.nth, self.at = nth, 0

    def strikes(self, asked: Asked) -> bool:
        """To be asked once for each request."""
        if not counts(asked):
            return False
        self.at += 1
        return self.at == self.nth or tells_the_end(asked)


class Journal:
    """What the operator wrote, and when it died; kept outside, since nothing of a cell survives it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def note(self, asked: Asked) -> None:
        """Write down what counts."""
        if counts(asked):
            self.add(verb=asked.verb, resource=asked.resource, name=asked.name, subresource=asked.subresource)

    def add(self, **what: object) -> None:
        """One more line."""
        with self._file.open("a") as file:
            file.write(json.dumps(what) + "\n")


def die(directory: Path, journal: Journal, at: int) -> None:
    """SIGKILL to the operator; returns once it is dead, so that no answer finds it alive."""
    pid = operator(directory)
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll()
    finally:
        os.close(descriptor)
    journal.add(died=pid, at=at)


def operator(directory: Path) -> int:
    """The process that was started with its kubeconfig of this cluster. Raises ProcessLookupError if there is none."""
    kubeconfig = f"{directory}/operator.kubeconfig".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it ended meanwhile
        if kubeconfig in arguments:
            return int(process.name)
    raise ProcessLookupError(f"no operator runs with {directory}/operator.kubeconfig")


if __name__ == "__main__":
    sys.exit(main())
