"""What the operator costs as a process: memory with nothing to do, and how quickly it answers and starts.

The reference is an interpreter that imports the libraries and does nothing.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from api.crds.installed import custom_resource_definitions
from benchmarks.figure import Figure
from localcluster.controllers.garbage import DEFINITIONS
from localcluster.kubeconfig import write_kubeconfig
from localcluster.running import running
from localcluster.testing.operator_process import operator_process

__all__ = ["figures"]

RUNS = 5
LIBRARIES = "aiohttp, asyncio, msgspec, orjson, packaging.version, prometheus_client, pydantic, ssl, structlog, yaml"
BARE = f"""
import sys
sys.modules["rich"] = None
import {LIBRARIES}
print([int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmRSS")][0])
"""


async def figures() -> Sequence[Figure]:
    """All of them."""
    memory, start = await _idle()
    bare = statistics.median(float(_run("-c", BARE)) for _ in range(RUNS))
    version = statistics.median(_seconds("-m", "controller", "--version") for _ in range(RUNS))
    nothing = statistics.median(_seconds("-c", "pass") for _ in range(RUNS))
    imports = statistics.median(_seconds("-c", BARE) for _ in range(RUNS))
    return [
        Figure("idle operator, resident", memory, "MiB", 60, reference=bare, reference_is="its libraries, imported"),
        Figure(
            "manta-operator --version",
            1000 * version,
            "ms",
            300,
            reference=1000 * nothing,
            reference_is="an empty interpreter",
        ),
        Figure(
            "start until its controllers work",
            1000 * start,
            "ms",
            reference=1000 * imports,
            reference_is="importing its libraries",
        ),
    ]


async def _idle() -> tuple[float, float]:
    """Medians of memory and of seconds to start, with all kinds served and no object."""
    memory, seconds = [], []
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        async with running(token="t", now=lambda: datetime.now(UTC), chance=random.Random(1)) as cluster:  # noqa: S106
            for definition in custom_resource_definitions():
                await cluster.api.create(DEFINITIONS, "", dict(definition))
            write_kubeconfig(kubeconfig, cluster.url, "t")
            for _ in range(RUNS):
                started = time.perf_counter()
                async with operator_process(kubeconfig) as operator:
                    seconds.append(time.perf_counter() - started)
                    await asyncio.sleep(1)  # what an idle operator does by itself, it has done
                    memory.append(operator.memory_mib)
    return statistics.median(memory), statistics.median(seconds)


def _run(*arguments: str) -> str:
    return subprocess.check_output([sys.executable, *arguments], text=True)


def _seconds(*arguments: str) -> float:
    started = time.perf_counter()
    _run(*arguments)
    return time.perf_counter() - started


if __name__ == "__main__":
    for one in asyncio.run(figures()):
        print(json.dumps(one.cells(), ensure_ascii=False))
