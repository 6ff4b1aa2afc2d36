"""The same tests where every call that makes a namespace is refused: `manta` takes the shared host by itself.

The user is an ordinary one, without any capability and with no-new-privs; no network tool is on his PATH. What of these
files needs a cell is chosen out below, each with its reason.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster.testing.manta_process import SAMPLES
from localcluster.testing.somebody import Unfit, a_home, without_namespaces

pytestmark = [pytest.mark.local, pytest.mark.timeout(3600)]

HERE = Path(__file__).parent
MANTA = [sys.executable, "-m", "manta"]
TEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--durations=5"]


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home of that user's."""
    try:
        with a_home() as folder:
            yield folder
    except Unfit as why:
        pytest.skip(str(why))


def test_the_demo_ends_with_zero_and_the_output_of_its_job(home: Path) -> None:
    """The first thing that anybody tries; `auto` says in one line what follows, and once."""
    done = without_namespaces([*MANTA, "run", "--output", "plain", str(SAMPLES / "rayjob.yaml")], home)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "sum of squares below a million: 333332833333500000" in done.stdout
    assert "nodes: 3" in done.stdout
    told = [line for line in done.stdout.splitlines() if line.startswith("namespaces are refused here (")]
    assert len(told) == 1
    assert "docs/shared-host.md" in told[0]


# What is chosen out is about namespaces.
OF_A_CELL = (
    "not owner_died_before and "  # a cell's own start
    "not machine_of_its_own and "  # a host name, PID 1, a /tmp, files that cannot be changed: there are none here
    "not where_the_pod_wants_them"  # a shell finds nothing at a mount path but what its own text names
)
FILES = [
    pytest.param("test_pods.py", OF_A_CELL, id="pods"),
    pytest.param("test_ray.py", "", id="ray"),
    pytest.param("test_cluster_lives.py", "", id="cluster lives"),
    pytest.param("test_serve.py", "", id="serve"),
    pytest.param("test_serve_lives.py", "", id="serve lives"),
    pytest.param("test_manta_ends.py", "not without_namespaces", id="manta ends"),
    pytest.param("test_endings.py", "", id="endings"),
    pytest.param("test_shared_host.py", "", id="shared host"),
]


@pytest.mark.parametrize(("file", "chosen"), FILES)
def test_all_of_it_holds_without_namespaces(file: str, chosen: str, home: Path) -> None:
    """Job, cluster, service; start and end."""
    command = [*TEST, "-m", "local", "-k", chosen, f"--basetemp={home / 't'}", str(HERE / file)]

    done = without_namespaces(command, home)

    print(done.stdout[-1500:])  # noqa: T201 - how long it took, for those who ask with -s
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert re.search(r"\d+ passed", done.stdout)


def test_a_cell_is_really_refused_here(home: Path) -> None:
    """Else all of the above would be about something else."""
    done = without_namespaces([*MANTA, "run", "--isolation", "cell", str(SAMPLES / "rayjob.yaml")], home)

    assert done.returncode == 1
    assert "does not let an ordinary user make namespaces" in done.stderr
    assert "--isolation shared-host" in done.stderr
    assert [one.name for one in home.glob("manta-*")] == []
