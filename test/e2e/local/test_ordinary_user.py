"""The same tests as an ordinary user: a user namespace around the cell is all that differs.

Nobody has the uid, none of its groups, and no network tool is on its PATH.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from localcluster.testing.manta_process import NETWORK_TOOLS, ROOT, without

pytestmark = [pytest.mark.local, pytest.mark.root, pytest.mark.timeout(1800)]

USER = 61234  # nobody has it: all that is needed is that it is not root
HERE = Path(__file__).parent
IMPORTS = "import aiohttp, api.meta, manta.run, pytest"


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home of that user's, in which images are made once; not below pytest's folders, which only root may enter."""
    if os.geteuid() != 0:
        pytest.skip("only root may become somebody else")
    folder = Path(tempfile.mkdtemp(prefix="manta-user-"))
    try:
        without(NETWORK_TOOLS, folder / "bin")
        lend_kubectl(folder)
        for one in (folder, *folder.rglob("*")):
            os.chown(one, USER, USER, follow_symlinks=False)
        tried = as_user([sys.executable, "-c", IMPORTS], folder)
        if tried.returncode != 0:
            said = tried.stderr.strip().splitlines()[-1:]
            pytest.skip(f"the checkout, or its Python, stands where an ordinary user may not read it: {said}")
        yield folder
    finally:
        shutil.rmtree(folder)


def lend_kubectl(home: Path) -> None:
    """The one that the conformance tests built, for the test that asks for one."""
    kept = Path.home() / ".cache" / "manta" / "kube"
    for found in sorted(kept.glob("v1.*/kubectl"))[-1:]:
        lent = home / found.relative_to(Path.home())
        lent.parent.mkdir(parents=True)
        shutil.copy2(found, lent)


def as_user(command: Sequence[str], home: Path) -> subprocess.CompletedProcess[str]:
    """Run it without any privilege, and with little in its environment."""
    handed_on = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_"))}
    return subprocess.run(
        command,
        cwd=ROOT,
        env={
            **handed_on,
            "PATH": str(home / "bin"),
            "HOME": str(home),
            "TMPDIR": str(home),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        user=USER,
        group=USER,
        extra_groups=[],
        umask=0o077,
        capture_output=True,
        text=True,
        check=False,
    )


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
