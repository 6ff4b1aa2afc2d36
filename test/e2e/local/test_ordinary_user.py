"""The same tests as an ordinary user: a user namespace around the cell is all that differs.

Nobody has the uid, none of its groups, and no network tool is on its PATH.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster.testing.somebody import Unfit, a_home, as_user

pytestmark = [pytest.mark.local, pytest.mark.root, pytest.mark.timeout(1800)]

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home of that user's."""
    if os.geteuid() != 0:
        pytest.skip("only root may become somebody else")
    try:
        with a_home() as folder:
            yield folder
    except Unfit as why:
        pytest.skip(str(why))


# Who starts again what is not essential is the same for everybody; those runs are long.
FILES = [
    pytest.param("test_pods.py", "", id="pods"),
    pytest.param("test_ray.py", "", id="ray"),
    pytest.param("test_manta_ends.py", "", id="manta ends"),
    pytest.param("test_endings.py", "not no_run_hanging and not (essential and (starting or operator))", id="endings"),
]


@pytest.mark.parametrize(("file", "chosen"), FILES)
def test_all_of_it_holds_for_an_ordinary_user(file: str, chosen: str, home: Path) -> None:
    """No privilege, no capability, no helper program."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    command += ["--durations=5"]

    done = as_user([*command, "-k", chosen, f"--basetemp={home / 't'}", str(HERE / file)], home)

    print(done.stdout[-1500:])  # noqa: T201 - how long it took, for those who ask with -s
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    unlent = 0 if list(home.glob(".cache/manta/kube/*/kubectl")) else 1
    assert len(re.findall(r"^SKIPPED", done.stdout, re.MULTILINE)) == (unlent if file == "test_manta_ends.py" else 0)
