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
        (["up", "--data", "here"], "not supported yet: state lives in memory"),
        (["up", "--isolation", "vm"], "'vm' is not one of 'auto', 'cell', 'shared-host'"),
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


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([], ["manta [OPTIONS] COMMAND", "docs/local.md", "config/samples/"]),
        (["run"], ["manta run config/samples/rayjob.yaml", "Exit code 0", "NAME=AMOUNT", "reads standard input"]),
        (["up"], ["manta up --apply", "kubectl get pods", "Not supported yet", "a new file that is gone at the end"]),
        (["up"], ["docs/shared-host.md", "MANTA_ISOLATION"]),
    ],
)
def test_help_says_what_to_do_first(command: list[str], words: list[str], flag: str) -> None:
    """An example to copy, what the options want, how it ends, and where to read on."""
    environment = {**os.environ, "COLUMNS": "200", "TERM": "dumb"}
    done = subprocess.run(
        [sys.executable, "-m", "manta", *command, flag], capture_output=True, text=True, check=True, env=environment
    )

    told = " ".join(done.stdout.replace("│", " ").split())
    assert [word for word in words if word not in told] == []
