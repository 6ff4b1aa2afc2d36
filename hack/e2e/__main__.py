"""Runs the end-to-end tests: on bare nodes two groups of suites at once, each on a node of its own.

    python -m hack.e2e FOLDER...

Most of a run is waiting, for Ray to start and for deadlines to pass, so two nodes on one machine take little more time
than one. Other providers have one cluster, and one run of pytest. Its options stand in E2E_PYTEST; logs and what was
left of failed tests go into a folder for each group below E2E_ARTIFACTS.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from hack.e2e.cluster import NoCluster, choose

__all__ = ["grouped", "main"]

# Suites that install and remove the operator, or end parts of the node; those of the second group take as long.
BY_ITSELF: Final = ("node", "operator", "webhooks", "raycronjob")
OPTIONS: Final = ("-m", "e2e", "-v", "--no-header", "--durations=10", "-p", "no:cacheprovider")  # a line for each test
LONGEST_LINE: Final = 16 * 1024 * 1024  # bytes: an assertion may show a whole object
NOTHING_TO_RUN: Final = 5  # pytest's exit code


def grouped(suites: Sequence[str], provider: str) -> Mapping[str, list[str]]:
    """The runs of pytest that there are to be: name -> arguments."""
    if provider != "bare":
        return {"all": list(suites)}
    groups: dict[str, list[str]] = {"installed": [], "at-work": []}
    for suite in suites:
        groups["installed" if set(Path(suite.partition("::")[0]).parts) & set(BY_ITSELF) else "at-work"].append(suite)
    return {name: found for name, found in groups.items() if found}


def main(suites: Sequence[str]) -> int:
    """Until all runs have ended; 0 if all are green."""
    if not suites:
        print("no folders were given; `make e2e` has them all", file=sys.stderr)
        return 2
    try:
        groups = grouped(suites, choose(os.environ))
    except NoCluster as refused:
        print(refused, file=sys.stderr)
        return 2
    return asyncio.run(all_of(groups))


async def all_of(groups: Mapping[str, Sequence[str]]) -> int:
    """Every group at once; the worst exit code."""
    async with asyncio.TaskGroup() as tasks:
        runs = [tasks.create_task(one(name, found, alone=len(groups) == 1)) for name, found in groups.items()]
    return max(run.result() for run in runs)


async def one(name: str, suites: Sequence[str], *, alone: bool) -> int:
    """One run of pytest, what it says line by line with the group's name before it; its exit code.

    Interrupted, it is told once and waited for: it takes its node away. It cannot outlive us either.
    """
    artifacts = Path(os.environ.get("E2E_ARTIFACTS") or Path(".pytest_cache") / "e2e")
    environment = {
        **os.environ,
        "E2E_ARTIFACTS": str(artifacts if alone else artifacts / name),
        "PYTHONUNBUFFERED": "1",
    }
    options = os.environ.get("E2E_PYTEST", "").split() or OPTIONS
    began = time.monotonic()
    tied = [sys.executable, "-S", str(Path(__file__).parent.parent / "kube" / "tied.py"), str(os.getpid())]
    process = await asyncio.create_subprocess_exec(
        *tied,
        sys.executable,
        "-m",
        "pytest",
        *suites,
        *options,
        limit=LONGEST_LINE,
        start_new_session=True,  # Ctrl-C is for us alone
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=None if alone else asyncio.subprocess.PIPE,
        stderr=None if alone else asyncio.subprocess.STDOUT,
    )
    try:
        if process.stdout is not None:
            async for line in process.stdout:
                print(f"[{name}] {line.decode(errors='replace')}", end="", flush=True)
        code = await process.wait()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            await process.wait()
    print(f"{name}: exit code {code} after {time.monotonic() - began:.0f} s", flush=True)
    return 0 if code == NOTHING_TO_RUN and not alone else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
