"""`manta run` of the sample job on a shared host, beside the same in a cell: to its end, everything gone.

    python -m benchmarks shared_host

Real Ray; the image must be made already, and where there are no cells the reference is missing. Both go in turn.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figure import Figure

__all__ = ["figures"]

ROOT = Path(__file__).parents[1]
RUNS = 3
AIM = 1.1  # times the cell
LEVELS = ("shared-host", "cell")
DONE = "sum of squares below a million: 333332833333500000"


async def figures() -> Sequence[Figure]:
    """The ratio, and both times."""
    taken: dict[str, list[float]] = {level: [] for level in LEVELS}
    for _ in range(RUNS):
        for level in LEVELS:
            seconds = _one(level)
            if seconds is not None:
                taken[level].append(seconds)
    shared, cell = (statistics.median(taken[level]) if taken[level] else None for level in LEVELS)
    if shared is None or cell is None:
        return [Figure("manta run of the demo, shared host", shared or float("nan"), "s", reference_is="no cell here")]
    return [
        Figure("manta run of the demo, shared host", shared, "s", reference=cell, reference_is="the same in a cell"),
        Figure("the same, times the cell's", shared / cell, "", AIM),
    ]


def _one(level: str) -> float | None:
    """Seconds of one run; None where it cannot be. Raises AssertionError for one that goes wrong."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "manta", "run", "--output=plain", f"--isolation={level}"]
        before = time.perf_counter()
        done = subprocess.run(
            [*command, str(ROOT / "config" / "samples" / "rayjob.yaml")],
            env={"PATH": "/usr/bin:/bin", "HOME": str(Path.home()), "TMPDIR": folder, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - before
    if "does not let" in done.stderr:
        return None
    assert done.returncode == 0, done.stdout + done.stderr
    assert DONE in done.stdout, done.stdout
    return seconds
