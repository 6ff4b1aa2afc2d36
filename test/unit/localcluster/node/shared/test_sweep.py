"""What a killed run has left is found and ended, and nothing else: judged on tables, then with real processes."""

from __future__ import annotations

import json
import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localcluster.node.shared.records import RUN, Session, forks, record_session, sessions, started_at
from localcluster.node.shared.sweep import Process, Seen, Swept, _kill, _killed, left_over, sweep

ROOT = Path(__file__).parents[5]
INIT, SHELL, US = Process(1, 0, 1, 0, 10), Process(50, 1, 50, 7, 500), Process(60, 50, 60, 7, 600)


def seen(*processes: Process, forks: int = 2000) -> Seen:
    every = {one.pid: one for one in (INIT, SHELL, US, *processes)}
    return Seen(every, frozenset((1, 50, 60)), forks, 32768, "this boot")


def found(*processes: Process, recorded: tuple[Session, ...] = (), forks: int = 2000) -> list[int]:
    return [one.pid for one in left_over(seen(*processes, forks=forks), recorded)]


def a_process(pid: int, **more: Any) -> Process:
    return replace(Process(pid, 1, pid, 0, 1000), **more)


# Judgement -----------------------------------------------------------------------------------------------------------


def test_what_bears_the_mark_is_found_with_all_that_descends_from_it() -> None:
    """Children may have thrown their environment away; they are its children still."""
    assert found(a_process(100, marked=True), a_process(101, parent=100), a_process(102, parent=101)) == [100, 101, 102]


def test_who_looks_is_spared_with_its_ancestors() -> None:
    """Also when all of them bear the mark: manta may have been started from a shell of a pod."""
    marked = [replace(one, marked=True) for one in (INIT, SHELL, US)]

    assert found(*marked, a_process(100, parent=60)) == []
    assert found(replace(US, parent=100), a_process(100, marked=True)) == [100]


def test_what_is_found_by_two_signs_is_found_once() -> None:
    """Marked, and a child of what is marked."""
    assert found(a_process(100, marked=True), a_process(101, parent=100, marked=True)) == [100, 101]


def test_a_session_that_the_run_led_is_found_after_its_leader_died() -> None:
    """The leader, a supervisor, was killed with the rest."""
    session = Session(100, 1000, 1500, "this boot")

    assert found(a_process(103, session=100, start=1010), recorded=(session,)) == [103]


def test_a_session_whose_leader_lives_is_found_with_its_leader() -> None:
    """A supervisor outlived its run."""
    session = Session(100, 1000, 1500, "this boot")

    assert found(a_process(100), a_process(103, session=100, start=1010), recorded=(session,)) == [100, 103]


@pytest.mark.parametrize(
    ("process", "recorded", "forks"),
    [
        (a_process(100, start=1700), Session(100, 1000, 1500, "this boot"), 2000),
        (a_process(103, session=100, start=990), Session(100, 1000, 1500, "this boot"), 2000),
        (a_process(103, session=100, start=1700), Session(100, 1000, 1500, "this boot"), 1500 + 32768),
        (a_process(103, session=100, start=1700), Session(100, 1000, 1500, "this boot"), 1500 + 32768 // 2),
        (a_process(103, session=100, start=1700), Session(100, 1000, 1500, "that boot"), 2000),
        (a_process(103, session=100, start=1700), Session(100, 1000, 0, "this boot"), 0),
    ],
    ids=[
        "other leader",
        "older than the session",
        "numbers went round",
        "went half round",
        "before the boot",
        "nobody counts",
    ],
)
def test_a_session_whose_number_may_have_been_given_away_again_is_nobodys(
    process: Process, recorded: Session, forks: int
) -> None:
    """A number alone proves nothing: of two programs, one would be killed for the other's deeds."""
    assert found(process, recorded=(recorded,), forks=forks) == []


def test_who_works_in_the_folder_is_found_and_who_only_looks_is_not() -> None:
    """A user may read a log of the dead run in a terminal."""
    assert found(a_process(100, in_folder=True), a_process(101, in_folder=True, terminal=9)) == [100]


# Real processes ------------------------------------------------------------------------------------------------------


@contextmanager
def started(*command: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Says something once it is what it wants to be; killed at the end, whatever became of it."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stdin.close()


def lives(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is None


def wait_here(folder: Path | str = "/", before: str = "", name: Path | str = "x") -> tuple[str, ...]:
    """A program that waits in that folder, and says that it is called `name`."""
    return ("bash", "-c", f"cd '{folder}'; {before} echo up; exec -a '{name}' sleep 600")


def test_each_sign_finds_its_process_and_decoys_live_on(tmp_path: Path) -> None:
    """The decoys: no sign at all; a name in the command line; a longer folder; a file that is read; another's mark."""
    run, other = tmp_path / "run", tmp_path / "run-2"
    run.mkdir()
    other.mkdir()
    (run / "log").touch()
    clean: dict[str, Any] = {"env": {}, "start_new_session": True}
    with (
        started(*wait_here(), **clean | {"env": {RUN: str(run)}}) as marked,
        started(*wait_here(run), **clean) as works,
        started(*wait_here(before=f"exec 5>>'{run}/log';"), **clean) as writes,
        started(*wait_here(), **clean) as plain,
        started(*wait_here(name=run), **clean) as names,
        started(*wait_here(other), **clean) as beside,
        started(*wait_here(before=f"exec 5<'{run}/log';"), **clean) as reads,
        started(*wait_here(), **clean | {"env": {RUN: str(other)}}) as others,
    ):
        swept = sweep(run)

        assert {one.pid for one in swept.ended} == {marked.pid, works.pid, writes.pid}
        assert swept.remaining == ()
        assert [marked.wait(), works.wait(), writes.wait()] == [-signal.SIGKILL] * 3
        assert all(map(lives, (plain, names, beside, reads, others)))


def test_a_run_is_known_by_the_path_that_it_was_given_and_by_the_real_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Marks say the former, and the kernel the latter; where one stands when asking does not matter."""
    run, link = tmp_path / "run", tmp_path / "link"
    run.mkdir()
    link.symlink_to(run)
    monkeypatch.chdir(tmp_path)
    with (
        started(*wait_here(), env={RUN: str(link)}, start_new_session=True) as marked,
        started(*wait_here(run), env={}, start_new_session=True) as works,
    ):
        assert {one.pid for one in sweep(Path("link")).ended} == {marked.pid, works.pid}


def test_who_reads_a_log_of_the_dead_run_in_a_terminal_may_go_on(tmp_path: Path) -> None:
    """The shell in which somebody has a look at what is left."""
    control, terminal = os.openpty()
    opened = f"exec 6<>{os.ttyname(terminal)};"  # of a session that has none it is the terminal from now on
    with started(*wait_here(tmp_path, opened), env={}, start_new_session=True) as looks:
        assert sweep(tmp_path) == Swept()
        assert lives(looks)
    os.close(control)
    os.close(terminal)


LOOKING = f"""
import sys
sys.path.append({str(ROOT)!r})
from pathlib import Path
from localcluster.node.shared.sweep import sweep
print(len(sweep(Path(sys.argv[1])).ended), flush=True)
"""


def test_who_sweeps_from_a_shell_of_a_dead_run_outlives_that_with_all_its_ancestors(tmp_path: Path) -> None:
    """All of them bear its mark, and what they have started is ended."""
    beside = "sleep 600 >&- 2>&- & "
    sweeping = shlex.join([sys.executable, "-ISc", LOOKING, str(tmp_path)])
    inner = shlex.join(["bash", "-c", f"{sweeping}; echo inner"])

    said = subprocess.run(
        ["bash", "-c", f"{beside}{inner}; echo outer"],
        env={RUN: str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (said.returncode, said.stdout.split()) == (0, ["1", "inner", "outer"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could end them")
def test_what_another_user_runs_is_nobodys_business(tmp_path: Path) -> None:
    """Whatever is in its environment."""
    with started(*wait_here(), env={RUN: str(tmp_path)}, user=65534, start_new_session=True) as theirs:
        assert sweep(tmp_path) == Swept()
        assert lives(theirs)


def test_what_has_not_ended_in_time_is_told_as_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not as ended, whatever was done to it."""
    monkeypatch.setattr("localcluster.node.shared.sweep.PATIENCE_SECONDS", 0)
    with started(*wait_here(), env={RUN: str(tmp_path)}, start_new_session=True) as process:
        swept = sweep(tmp_path)

        assert swept.ended == ()
        assert [one.pid for one in swept.remaining] == [process.pid]


def test_who_has_the_number_of_one_that_was_found_is_not_killed_for_it() -> None:
    """It ended by itself between the look and the blow, and its number was given away again, or not yet."""
    later = time.monotonic() + 10
    with started(*wait_here()) as ended:
        gone = a_process(ended.pid, start=started_at(ended.pid))
        descriptor = os.pidfd_open(ended.pid)
    with started(*wait_here()) as another:
        assert not _killed([a_process(another.pid, start=started_at(another.pid) - 1), gone], later)
        assert not _kill(descriptor, gone)
        assert lives(another)
    os.close(descriptor)


LEADER = f"""
import os, subprocess, sys
sys.path.append({str(ROOT)!r})
from localcluster.node.shared.records import record_session
record_session(sys.argv[1])
script = "cd /; sleep 600 0<&- 1>&- 2>&- & echo $$ $!; exec 0<&- 1>&- 2>&-; wait"
subprocess.Popen(["bash", "-c", script], env={{}})
"""


def test_a_session_is_found_by_its_record_when_its_leader_is_dead(tmp_path: Path) -> None:
    """No mark, no file, no folder, and the parent is gone: what is left is the session."""
    leader = subprocess.run(  # returns once nobody can write there any more
        [sys.executable, "-c", LEADER, str(tmp_path)], stdout=subprocess.PIPE, start_new_session=True, check=True
    )

    swept = sweep(tmp_path)

    assert {one.pid for one in swept.ended} == set(map(int, leader.stdout.split()))


SUPERVISOR = f"""
import sys
sys.path.append({str(ROOT)!r})
from localcluster.node.shared.supervisor import main
main(["run"])
"""


def test_supervisors_and_containers_that_were_killed_leave_nothing(tmp_path: Path) -> None:
    """All that S10-26 tells of, by a real supervisor: killed with -9, what is below it loses its parent."""
    os.mkfifo(tmp_path / "ready")
    ready = os.fdopen(os.open(tmp_path / "ready", os.O_RDWR))  # so that no writer is the last
    wait = f"bash -c 'echo $$ > {tmp_path}/ready; exec sleep 600'"
    script = f"(setsid {wait} &) ; (cd /; setsid {wait} &) ; (cd /; env -i {wait} 0<&- 1>&- 2>&- &) ; {wait}"
    asked = {
        "command": ["bash", "-c", script],
        "environment": {RUN: str(tmp_path), "PATH": os.environ["PATH"]},
        "directory": str(tmp_path / "home"),
        "log": str(tmp_path / "log"),
    }
    supervisor = subprocess.Popen(
        [sys.executable, "-ISc", SUPERVISOR],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={RUN: str(tmp_path)},
    )
    assert supervisor.stdin is not None
    assert supervisor.stdout is not None
    supervisor.stdin.write(json.dumps(asked).encode())
    supervisor.stdin.close()
    main = json.loads(supervisor.stdout.readline())["pid"]
    main_one = os.pidfd_open(main)
    with ready:
        started = {int(ready.readline()) for _ in range(4)}

    supervisor.kill()
    supervisor.wait()
    swept = sweep(tmp_path)
    supervisor.stdout.close()

    assert started - {main} <= {one.pid for one in swept.ended}
    assert swept.remaining == ()
    assert select.select([main_one], [], [], 5)[0]  # the kernel told it to end
    os.close(main_one)


def test_a_run_that_left_nothing_is_swept_at_once(tmp_path: Path) -> None:
    """The usual case, at each start of manta."""
    assert sweep(tmp_path).ended == ()


def test_the_short_way_to_a_runs_pods_goes_and_a_link_of_somebody_else_stays(tmp_path: Path) -> None:
    """A file of the dead run says where it is; what it says is believed only of a link that leads into the run."""
    run, link, others = tmp_path / "run", tmp_path / "link", tmp_path / "other"
    (run / "p").mkdir(parents=True)
    link.symlink_to(run / "p")
    others.symlink_to(tmp_path)

    for named in (link, others):
        (run / "short").write_text(str(named))
        sweep(run)

    assert not link.is_symlink()
    assert others.is_symlink()


def test_a_record_says_what_it_takes_to_know_the_session_again(tmp_path: Path) -> None:
    """By the process that leads it; once more changes nothing, and of another boot it is not."""
    before = forks()
    for _ in range(2):
        record_session(str(tmp_path))
    after = forks()

    [session] = sessions(tmp_path)

    assert session[:2] == (os.getpid(), started_at(os.getpid()))
    assert before <= session.forks <= after
    assert session.boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_the_machine_counts_what_it_makes() -> None:
    """By that count a number is known to have been given away again."""
    before = forks()
    subprocess.run(["true"], check=True)

    assert forks() > before


def test_a_record_that_was_not_written_to_its_end_is_none_and_hides_no_other(tmp_path: Path) -> None:
    """A run that was killed in that moment."""
    folder = tmp_path / "sessions"
    folder.mkdir()
    for name, content in {"1": "", "20": "100 20", "987": "100 200 this"}.items():
        (folder / name).write_text(content)

    assert sessions(tmp_path) == [Session(987, 100, 200, "this")]


def test_a_record_that_is_forgotten_while_they_are_read_hides_no_other(tmp_path: Path) -> None:
    """The supervisors of a run that was killed end while the next start looks already."""
    folder = tmp_path / "sessions"
    folder.mkdir()
    (folder / "986").symlink_to(folder / "forgotten")  # it is listed, and not there to be read
    (folder / "987").write_text("100 200 this")

    assert sessions(tmp_path) == [Session(987, 100, 200, "this")]
