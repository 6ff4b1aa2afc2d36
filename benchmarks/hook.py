"""What the hook of a shared machine's pods costs each interpreter (localcluster/node/shared/hook).

The reference is the same interpreter without it, in turn.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.figure import Figure
from localcluster.testing.hooked import Neighbours

__all__ = ["figures"]

RUNS = 40
BARE, WITH_SOCKETS = "pass", "import socket, subprocess"  # the second is what any program of Ray loads


async def figures() -> Sequence[Figure]:
    """All of them."""
    with tempfile.TemporaryDirectory() as folder:
        cluster = Neighbours(Path(folder))
        pod = cluster.pod("one", 5, mounts=[["/mnt/code", folder, True]]).variables()
        plain = {"PATH": pod["PATH"]}
        found = []
        for name, code in (("hook: start of an interpreter", BARE), ("the same, with sockets loaded", WITH_SOCKETS)):
            without, with_ = _starts(code, plain, pod)
            found.append(Figure(f"{name}, more", with_ - without, "ms", 20.0))
            found.append(Figure(name, with_, "ms", reference=without, reference_is="the interpreter without the hook"))
        return found


def _starts(code: str, *environments: Mapping[str, str]) -> list[float]:
    """Median milliseconds, in each environment in turn."""
    taken: list[list[float]] = [[] for _ in environments]
    for _ in range(RUNS):
        for number, environment in enumerate(environments):
            before = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], env=environment, check=True)
            taken[number].append((time.perf_counter() - before) * 1000)
    return [statistics.median(one) for one in taken]
