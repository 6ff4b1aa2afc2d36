"""The same tests as an ordinary user: a user namespace around the cell is all that differs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.local, pytest.mark.root, pytest.mark.timeout(900)]

USER = 61234  # nobody has it: all that is needed is that it is not root
ROOT = Path(__file__).parents[3]


@pytest.fixture
def home() -> Iterator[Path]:
    """A home of that user's; not below pytest's folders, which only root may enter."""
    folder = Path(tempfile.mkdtemp(prefix="manta-user-"))
    os.chown(folder, USER, USER)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
@pytest.mark.parametrize("file", ["test_pods.py", "test_ray.py", "test_endings.py"])
def test_all_of_it_holds_for_an_ordinary_user(file: str, home: Path) -> None:
    """No privilege, no capability, no helper program."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
        **{name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_"))},
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        str(ROOT / "test" / "e2e" / "local" / file),
    ]

    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        user=USER,
        group=USER,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert " skipped" not in done.stdout
