"""Which writes are counted among which the n-th is fatal, and that the victim is dead when it is said to be."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from localcluster.faults import Asked
from localcluster.testing.deadly import Journal, counts, die

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def asked(agent: str = "kuberay-operator/1", verb: str = "create", resource: str = "pods") -> Asked:
    return Asked(agent, verb, resource, "default", "a", "", NOON)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (asked(), True),
        (asked(verb="patch", resource="rayjobs.ray.io"), True),
        (asked(verb="list"), False),
        (asked(agent="kubectl"), False),
        (asked(resource="events.events.k8s.io"), False),
    ],
)
def test_only_writes_of_the_operator_that_are_no_events_count(request_: Asked, expected: bool) -> None:
    """How many events there are depends on the moment; and a test's own writes are not the operator's."""
    assert counts(request_) is expected


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like the operator of the cluster in that folder."""
    script = "import sys; sys.stdin.read()"
    command = [sys.executable, "-c", script, "--kubeconfig", f"{tmp_path}/kubeconfig"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_the_operator_is_dead_when_its_death_is_written_down(operator: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """Else it might still hear an answer that it must not get."""
    die(tmp_path, Journal(tmp_path / "journal"))

    assert operator.poll() == -9
    assert json.loads((tmp_path / "journal").read_text()) == {"died": operator.pid}


def test_without_an_operator_nobody_is_killed(tmp_path: Path) -> None:
    """A death that did not happen is no death."""
    with pytest.raises(ProcessLookupError):
        die(tmp_path, Journal(tmp_path / "journal"))
