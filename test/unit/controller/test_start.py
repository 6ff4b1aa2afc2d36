"""What the operator's start costs: how long --version takes, and what is loaded for it and for a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}


def loaded_after(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after that code."""
    report = f"{code}\nimport json, sys\nprint(json.dumps([name for name, one in sys.modules.items() if one]))"
    run = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True, cwd=ROOT, env=ENVIRONMENT
    )
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_version_answers_within_three_tenths_of_a_second() -> None:
    """The quickest of five: others use the machine too."""
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        said = subprocess.check_output(
            [sys.executable, "-m", "controller", "--version"], text=True, cwd=ROOT, env=ENVIRONMENT
        )
        seconds.append(time.perf_counter() - started)
        assert said.startswith("manta-operator ")

    assert min(seconds) < 0.3


def test_version_loads_nothing_heavy() -> None:
    code = "import sys, controller.__main__ as program\nsys.argv = ['manta-operator', '--version']\nprogram.main()"

    assert not loaded_after(code) & {
        "aiohttp",
        "asyncio",
        "msgspec",
        "prometheus_client",
        "pydantic",
        "structlog",
        "yaml",
    }


def test_a_run_loads_neither_rich_nor_a_kubeconfig_s_plugins() -> None:
    """3 and 33 MiB, which an idle operator has no use for."""
    start = "from controller.__main__ import leave_rich_out\nleave_rich_out()"

    loaded = loaded_after(
        f"{start}\nimport controller.process, controller.runtime.client.config, controller.runtime.logs"
    )

    assert "controller.main" in loaded
    assert not loaded & {"cryptography", "kubernetes_asyncio", "localcluster", "pygments", "rich", "typer"}


@pytest.mark.parametrize(("asked", "counted"), [("1", "True"), ("0", "False"), ("", "False")])
def test_memory_is_counted_where_it_is_asked_for_also_in_the_image(asked: str, counted: str) -> None:
    """Whose interpreter heeds no variable of Python's."""
    isolated = f"import os, sys, tracemalloc; sys.path.insert(0, {str(ROOT)!r}); import controller.__main__ as program"
    code = f"{isolated}; program.count_memory(os.environ); print(tracemalloc.is_tracing())"

    said = subprocess.check_output(
        [sys.executable, "-IB", "-c", code], text=True, env={**ENVIRONMENT, "PYTHONTRACEMALLOC": asked}
    )

    assert said == f"{counted}\n"


def test_a_start_that_is_not_wanted_any_more_ends_when_asked() -> None:
    """Also as the first process of a container, for which the kernel has no default answer to SIGTERM."""
    early = "import os, signal, time, controller.__main__ as program; program.end_when_asked()"
    asked = f"{early}; os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)"

    assert subprocess.run([sys.executable, "-c", asked], timeout=30, check=False, cwd=ROOT).returncode == 0
