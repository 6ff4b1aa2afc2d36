"""Where a run keeps its sockets, whatever the temporary directory is."""

from __future__ import annotations

import fcntl
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from manta.folder import LONGEST_NAME, PREFIX, RANDOM, clear_away, held, new_folder, place


def test_a_socket_fits_into_the_longest_place_that_is_taken() -> None:
    """One byte more, and it is /tmp: the kernel has no room for a longer path."""
    longest = Path("/" + "x" * (107 - len(f"//{PREFIX}{RANDOM}/{LONGEST_NAME}")))

    assert place(longest) == longest
    assert place(Path(f"{longest}x")) == Path("/tmp")


def test_a_temporary_directory_that_a_shell_would_split_is_not_used() -> None:
    """Ray writes its session's paths into lines for a shell, without quotes."""
    assert place(Path("/scratch/My Drive")) == Path("/tmp")
    assert place(Path("/scratch/größer-1.2_3")) == Path("/scratch/größer-1.2_3")


def test_a_temporary_directory_with_a_long_path_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch systems and test runners give such ones."""
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))

    directory = new_folder()
    with held(directory), socket.socket(socket.AF_UNIX) as one:
        one.bind(str(directory / LONGEST_NAME))

    assert not directory.exists()
    assert list(long.iterdir()) == []


def test_a_link_into_the_folder_goes_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cluster that had no time to take it away has told of it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    directory, link = new_folder(), tmp_path / "link"
    with held(directory):
        link.symlink_to(directory / "p")
        (directory / "short").write_text(str(link))

    assert list(tmp_path.iterdir()) == []


def test_what_killed_runs_left_goes_and_what_runs_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The lock of a folder says which is which; without one, it is not ours to judge."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    running, killed, just_made = new_folder(), new_folder(), new_folder()
    (killed / "lock").touch()

    with held(running):
        clear_away()

        assert sorted(tmp_path.iterdir()) == sorted([running, just_made])


def test_what_lives_of_a_killed_run_is_ended_and_a_run_that_lives_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A program that works in the folder of a run is that run's."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    running, killed = new_folder(), new_folder()
    (killed / "lock").touch()
    waiting = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]

    def started(folder: Path) -> subprocess.Popen[bytes]:
        program = subprocess.Popen(
            waiting, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert program.stdout is not None
        program.stdout.readline()
        return program

    with held(running), started(running) as spared, started(killed) as outlived:
        assert clear_away() == 1

        assert outlived.wait() == -signal.SIGKILL
        assert spared.poll() is None
        spared.communicate()
    assert not killed.exists()


ANOTHER = """
import fcntl, sys, tempfile
from manta.folder import clear_away
def flock(*_):
    print(flush=True)
    sys.stdin.read()
    raise BlockingIOError
fcntl.flock, tempfile.tempdir = flock, sys.argv[1]
clear_away()
"""


def test_two_that_start_at_once_do_not_end_each_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who is about to lock has a file of the dead run open, as that run's own processes may have."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (new_folder() / "lock").touch()
    command = [sys.executable, "-c", ANOTHER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as other:
        assert other.stdout is not None
        other.stdout.readline()

        assert clear_away() == 0

        other.communicate()
    assert other.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_just_begins_is_not_cleared_away_by_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever it has done when the other looks: its lock is only seen once it is locked."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    lock = fcntl.flock

    def flock_after_another_began(descriptor: int, operation: int) -> None:
        if operation == fcntl.LOCK_EX:
            clear_away()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock_after_another_began)
    directory = new_folder()

    with held(directory):
        clear_away()

        assert directory.exists()
