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
from localcluster.testing.deadly import Fatal, Journal, counts, die
from manta.local import programs

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


def test_the_nth_write_is_fatal_whatever_comes_between() -> None:
    """Reads, and the writes of others, are passed over."""
    fatal = Fatal(2)

    assert [fatal.strikes(one) for one in (asked(), asked(verb="get"), asked(agent="kubectl"))] == [False, False, False]
    assert fatal.strikes(asked())
    assert fatal.at == 2


def test_the_word_that_the_job_is_over_is_fatal_at_the_latest() -> None:
    """A death that was drawn must come, though there be fewer writes than there were when it was drawn."""
    fatal = Fatal(20)
    running, over = (asked(verb="patch", resource="rayjobs.ray.io") for _ in range(2))
    running.body = {"status": {"jobDeploymentStatus": "Running"}}
    over.body = {"status": {"jobDeploymentStatus": "Complete"}}

    assert not fatal.strikes(running)
    assert fatal.strikes(over)
    assert fatal.at == 2


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like the operator of the cluster in that folder: it has the arguments of one."""
    script = "import sys; print('up', flush=True); sys.stdin.read()"
    _, program = programs(tmp_path, "scripted", {})
    command = [sys.executable, "-c", script, *program.arguments[3:]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # its arguments can be seen a moment after it was started only
        yield process
        process.kill()


def test_the_operator_is_dead_when_its_death_is_written_down(operator: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """Else it might still hear an answer that it must not get."""
    die(tmp_path, Journal(tmp_path / "journal"), 3)

    assert operator.poll() == -9
    assert json.loads((tmp_path / "journal").read_text()) == {"died": operator.pid, "at": 3}


def test_without_an_operator_nobody_is_killed(tmp_path: Path) -> None:
    """A death that did not happen is no death."""
    with pytest.raises(ProcessLookupError):
        die(tmp_path, Journal(tmp_path / "journal"), 3)
