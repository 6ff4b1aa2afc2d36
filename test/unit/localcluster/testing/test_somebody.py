"""How programs run in a home that goes with the test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from localcluster.testing.somebody import run_in

INTERRUPTING = """
import os, signal, sys, time
from pathlib import Path
try:
    os.kill(os.getppid(), signal.SIGINT)
    signal.pause()
finally:
    time.sleep(0.5)  # longer than subprocess.run would wait before it kills
    Path(sys.argv[1]).write_text("cleared away")
"""


def test_what_is_interrupted_has_ended_before_its_home_is_taken_away(tmp_path: Path) -> None:
    """Two who clear away the same folder at once fail on one another's work, or one is killed and leaves it."""
    with pytest.raises(KeyboardInterrupt):
        run_in(tmp_path, [sys.executable, "-c", INTERRUPTING, str(tmp_path / "told")])

    assert (tmp_path / "told").read_text() == "cleared away"


def test_what_a_program_said_and_how_it_ended_is_told(tmp_path: Path) -> None:
    """Both of its outputs."""
    code = "import os, sys; print(os.environ['HOME']); print('no', file=sys.stderr); sys.exit(3)"

    done = run_in(tmp_path, [sys.executable, "-c", code])

    assert (done.returncode, done.stdout, done.stderr) == (3, f"{tmp_path}\n", "no\n")
