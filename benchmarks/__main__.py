"""All figures, each beside its reference run, as the table of benchmarks/README.md.

    python -m benchmarks [apiserver] [runtime] [services] [admission] [process] [hook] [shared_host] [judge] [scale]

Without arguments all nine. The last two need the real API server of hack/kube, and build it once; shared_host real Ray.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime

import structlog

from benchmarks import admission, apiserver, hook, judge, process, runtime, scale, services, shared_host
from benchmarks.figure import Figure, table

SUITES: Mapping[str, Callable[[], Awaitable[Sequence[Figure]]]] = {
    "apiserver": apiserver.figures,
    "runtime": runtime.figures,
    "services": services.figures,
    "admission": admission.figures,
    "process": process.figures,
    "hook": hook.figures,
    "shared_host": shared_host.figures,
    "judge": judge.figures,
    "scale": scale.figures,
}


def machine() -> str:
    """What the figures hold for."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    load = "/".join(f"{one:.1f}" for one in os.getloadavg())
    day = datetime.now(UTC).date()
    return f"{day}, {cores} cores, {memory:.0f} GiB, Python {platform.python_version()}, load {load}"


async def main(names: Sequence[str]) -> int:
    """Run them; 1 if an aim is missed, 2 for a name that is none."""
    if unknown := [name for name in names if name not in SUITES]:
        print(f"no such suite: {', '.join(unknown)}; there are {', '.join(SUITES)}", file=sys.stderr)
        return 2
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    print(f"before: {machine()}", flush=True)
    figures: list[Figure] = []
    for name in names or SUITES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        figures += await SUITES[name]()
    print(f"after: {machine()}\n\n{table(figures)}")
    return int(any(figure.missed for figure in figures))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
