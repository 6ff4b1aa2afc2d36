"""A wrong option is a sentence and exit code 2, before anything starts."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["up", "--port", "99999"], "'--port'"),
        (["run", "--port=-1", "x.yaml"], "'--port'"),
        (["run", "x.yaml", "--node-resources", "cpu=lots"], "'lots' of cpu is no quantity"),
        (["up", "--node-resources", "gpu"], "is not NAME=AMOUNT"),
    ],
)
def test_a_wrong_option_is_told_in_a_sentence(arguments: list[str], words: str) -> None:
    environment = {**os.environ, "COLUMNS": "200", "TERM": "dumb"}
    done = subprocess.run(
        [sys.executable, "-m", "manta", *arguments], capture_output=True, text=True, check=False, env=environment
    )

    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
