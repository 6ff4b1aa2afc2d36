"""An ordinary user with a home of his own, for tests that root starts: nobody has his uid, none of its groups."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from localcluster.testing.manta_process import NETWORK_TOOLS, ROOT, without
from localcluster.testing.without_namespaces import USER

__all__ = ["Unfit", "a_home", "as_user", "environment_in", "run_in", "without_namespaces"]

END_SECONDS = 60.0
LOOK_SECONDS = 1.0
IMPORTS = "import aiohttp, api.meta, manta.run, pytest"


class Unfit(Exception):
    """Nobody else can be tested as here; the message says why."""


@contextmanager
def a_home() -> Iterator[Path]:
    """His home, in which images are made once, with a PATH on which no network tool is. Raises Unfit.

    Not below pytest's folders, which only root may enter. Started by an ordinary user, it is that one's.
    """
    folder = Path(tempfile.mkdtemp(prefix="manta-user-"))
    try:
        without(NETWORK_TOOLS, folder / "bin")
        _lend_kubectl(folder)
        if os.geteuid() == 0:
            for one in (folder, *folder.rglob("*")):
                os.chown(one, USER, USER, follow_symlinks=False)
        tried = without_namespaces([sys.executable, "-c", IMPORTS], folder)
        if tried.returncode != 0:
            said = tried.stderr.strip().splitlines()[-1:]
            raise Unfit(f"the checkout, or its Python, stands where an ordinary user may not read it: {said}")
        yield folder
    finally:
        shutil.rmtree(folder)


def _lend_kubectl(home: Path) -> None:
    """The one that the conformance tests built, for the test that asks for one."""
    kept = Path.home() / ".cache" / "manta" / "kube"
    for found in sorted(kept.glob("v1.*/kubectl"))[-1:]:
        lent = home / found.relative_to(Path.home())
        lent.parent.mkdir(parents=True)
        shutil.copy2(found, lent)


def environment_in(home: Path) -> dict[str, str]:
    """Little, beside what leads to packages."""
    handed_on = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_"))}
    return {
        **handed_on,
        "PATH": str(home / "bin"),
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def as_user(command: Sequence[str], home: Path) -> subprocess.CompletedProcess[str]:
    """Run it without any privilege; only root may become somebody else."""
    return run_in(home, command, user=USER, group=USER, extra_groups=[])


def without_namespaces(command: Sequence[str], home: Path) -> subprocess.CompletedProcess[str]:
    """Run it as that user, without any capability, and with every call refused that has to do with namespaces."""
    return run_in(home, [sys.executable, "-m", "localcluster.testing.without_namespaces", *command])


def run_in(home: Path, command: Sequence[str], **who: object) -> subprocess.CompletedProcess[str]:
    """Run it to its end. `who`: as somebody else, in Popen's words.

    Ctrl-C is handed on, once, and what was started has its time to end: it clears away what it has in the home.
    """
    with subprocess.Popen(  # type: ignore[call-overload]
        command,
        cwd=ROOT,
        env=environment_in(home),
        umask=0o077,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # or a terminal would say it as well
        **who,
    ) as process:
        try:
            output, errors = _said_by(process)
        except BaseException:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def _said_by(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it wrote, once it has ended. Python hears of a Ctrl-C that comes right before a wait only after that."""
    while True:
        try:
            return process.communicate(timeout=LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            continue
