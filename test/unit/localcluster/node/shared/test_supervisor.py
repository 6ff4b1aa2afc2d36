"""Around each container of a shared machine: nothing that it started outlives it, in whatever way it ends."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from localcluster.node.descent import below, stat_of
from localcluster.node.interfaces import Exit, Fault
from localcluster.node.launching import Launch, Launched, enter_supervised, launch_supervised
from localcluster.node.shared.records import RUN, sessions, started_at
from localcluster.testing.shared import living

ROOT = Path(__file__).parents[5]

# A daemon as well hidden as can be: it forked twice, has a session of its own, no environment, no file and no folder.
DAEMON = "(cd /; exec env -i setsid bash -c 'sleep 600 0<&- 1>&- 2>&- & echo $!' &)"


# A container that hears nothing, with such a daemon; it says the numbers of both.
STUBBORN = f"{{{{ {DAEMON}; echo $$; }}}} > {{said}}; trap '' HUP INT TERM; while :; do sleep 600; done"


def what(run: Path, script: str) -> Launch:
    environment = {RUN: str(run), "PATH": os.environ["PATH"], "GREETING": "hello"}
    return Launch(["bash", "-c", script], environment, str(run / "home"), str(run / "log"))


def marker(run: Path) -> Mapping[str, str]:
    return {RUN: str(run)}


@asynccontextmanager
async def a_container(run: Path, script: str) -> AsyncIterator[Launched]:
    """It runs, and is killed at the end of the block. What it writes to `said` first is waited for by `first_words`."""
    os.mkfifo(run / "said")
    launched = await launch_supervised(what(run, script), marker(run))
    async with living(launched):
        yield launched


async def first_words(run: Path) -> list[int]:
    """The numbers that the container wrote to `said`: it is up."""
    words = await asyncio.to_thread((run / "said").read_text)
    return [int(word) for word in words.split()]


def has_ended(descriptor: int) -> bool:
    """Of a pidfd, which is closed."""
    ready, _, _ = select.select([descriptor], [], [], 0)
    os.close(descriptor)
    return bool(ready)


async def test_output_goes_to_the_log_and_the_exit_code_is_told(tmp_path: Path) -> None:
    """Also output to /dev/stdout, which must not cut the log off."""
    launched = await launch_supervised(what(tmp_path, "echo one; echo two > /dev/stdout; echo 3 >&2; exit 3"), {})
    await launched.watch()

    assert await launched.ended == Exit(3, "Error")
    assert (tmp_path / "log").read_text() == "one\ntwo\n3\n"


async def test_a_container_has_its_own_environment_and_folder_and_not_its_supervisors(tmp_path: Path) -> None:
    """The folder is made if need be."""
    launched = await launch_supervised(what(tmp_path, "echo $GREETING $OTHER; pwd"), {"OTHER": "x", RUN: "y"})
    await launched.watch()

    assert (tmp_path / "log").read_text() == f"hello\n{tmp_path}/home\n"


async def test_much_output_of_a_container_that_ends_at_once_is_all_there(tmp_path: Path) -> None:
    """More than a pipe holds: it ended before anybody read it."""
    launched = await launch_supervised(what(tmp_path, "head -c 3000000 /dev/zero"), {})
    await launched.watch()

    assert (tmp_path / "log").stat().st_size == 3_000_000


HURRIED = """
import fcntl, os, signal
supervisor = os.getppid()
fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)
reading, writing = os.pipe()
if os.fork() == 0:
    os.close(writing)
    os.read(reading, 1)  # until the other one has ended
    os.kill(supervisor, signal.SIGCONT)
    os._exit(0)
os.kill(supervisor, signal.SIGSTOP)
os.write(1, bytes(500_000))
os._exit(0)
"""


async def test_what_a_container_wrote_last_is_kept_however_late_its_supervisor_looks(tmp_path: Path) -> None:
    """It looks first when the container has ended, at more than it reads at once."""
    launched = await launch_supervised(replace(what(tmp_path, ""), command=[sys.executable, "-c", HURRIED]), {})
    await launched.watch()

    assert (tmp_path / "log").stat().st_size == 500_000


async def test_a_program_that_there_is_not_is_told_in_a_container_runtimes_words(tmp_path: Path) -> None:
    """And nothing of the attempt stays."""
    unknown = Launch(["no-such-program"], {RUN: str(tmp_path), "PATH": "/usr/bin:/bin"}, "/", str(tmp_path / "log"))

    with pytest.raises(Fault) as told:
        await launch_supervised(unknown, {})

    assert told.value.reason == "StartError"
    assert told.value.message == 'exec: "no-such-program": executable file not found in $PATH'


@pytest.mark.spec("ray-side:S10-25")
async def test_the_end_of_the_main_process_is_the_end_of_every_daemon(tmp_path: Path) -> None:
    """No miss: whoever lost its parent became the supervisor's child."""
    script = f"{{ {DAEMON}; setsid sleep 600 >&- & echo $!; }} > {tmp_path}/said; exec sleep 600"
    async with a_container(tmp_path, script) as container:
        daemons = [os.pidfd_open(pid) for pid in await first_words(tmp_path)]

        container.ask_to_end()

        assert await container.ended == Exit(128 + signal.SIGTERM, "Error")
        assert [has_ended(one) for one in daemons] == [True, True]
    assert list((tmp_path / "sessions").iterdir()) == []


async def test_kill_reaches_what_ignores_term_and_all_its_daemons(tmp_path: Path) -> None:
    """The end of a pod that does not hear."""
    script = f"trap '' TERM; {{ {DAEMON}; }} > {tmp_path}/said; while :; do sleep 600; done"
    async with a_container(tmp_path, script) as container:
        [daemon] = [os.pidfd_open(pid) for pid in await first_words(tmp_path)]
        container.ask_to_end()

        container.kill()

        assert await container.ended == Exit(137, "Error")
        assert has_ended(daemon)


async def test_orphans_are_reaped_while_the_container_runs(tmp_path: Path) -> None:
    """Nobody else would: a zombie is what `ps` of a job shows, and what a limit of processes counts."""
    script = f"(sleep 0 & echo $! > {tmp_path}/said) ; exec sleep 600"
    async with a_container(tmp_path, script):
        [orphan] = await first_words(tmp_path)

        async with asyncio.timeout(10):
            while Path(f"/proc/{orphan}").exists():  # noqa: ASYNC110, ASYNC240 - nothing tells of another's child
                await asyncio.sleep(0.01)


async def test_a_start_that_is_given_up_leaves_nothing_of_what_has_begun(tmp_path: Path) -> None:
    """The node ends in the moment in which a container has started and nobody was told of it yet."""
    for name in ("said", "log"):
        os.mkfifo(tmp_path / name)
    asked = what(tmp_path, STUBBORN.format(said=tmp_path / "said"))
    async with asyncio.TaskGroup() as group:
        starting = group.create_task(launch_supervised(asked, {}))
        while not is_asked():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)

        of_container = opened_and_said(tmp_path)  # the loop stands still: it is not told
        starting.cancel()

    assert starting.cancelled()
    assert len(of_container) == 2
    assert [has_ended(one) for one in of_container] == [True, True]


def is_asked() -> bool:
    """There is a supervisor, and it has made the pipes that it makes once it knows what to start."""
    for one in below(os.getpid()):
        place = Path(f"/proc/{one}")
        if b"shared.supervisor" in (place / "cmdline").read_bytes() and len(list((place / "fd").iterdir())) > 6:
            return True
    return False


def opened_and_said(run: Path) -> list[int]:
    """The log, for which a supervisor waits, has a reader; descriptors of what the container then says."""
    with (run / "log").open():
        return [os.pidfd_open(int(pid)) for pid in (run / "said").read_text().split()]


STARTER = f"""
import asyncio, json, os, sys
sys.path.append({str(ROOT)!r})
from localcluster.node.launching import Launch, launch_supervised
async def main():
    what = Launch(**json.loads(sys.argv[1]))
    await launch_supervised(what, {{}})
    sys.stdin.readline()
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""


@pytest.mark.spec("ray-side:S10-25")
async def test_a_starter_that_is_killed_takes_the_container_with_it(tmp_path: Path) -> None:
    """`kill -9` of the local cluster: the kernel tells the supervisor, and that ends all below it."""
    os.mkfifo(tmp_path / "said")
    script = f"{{ {DAEMON}; echo $$; }} > {tmp_path}/said; trap '' TERM; while :; do sleep 600; done"
    asked = json.dumps(asdict(what(tmp_path, script)))

    starter = await asyncio.create_subprocess_exec(sys.executable, "-c", STARTER, asked, stdin=asyncio.subprocess.PIPE)
    pids = [os.pidfd_open(pid) for pid in await first_words(tmp_path)]
    await starter.communicate(b"\n")

    assert starter.returncode == -signal.SIGKILL
    for one in pids:
        assert await asyncio.to_thread(select.select, [one], [], [], 10) != ([], [], [])
        os.close(one)


async def test_orphans_that_end_at_once_are_all_reaped(tmp_path: Path) -> None:
    """The kernel tells of them by one signal. The supervisor is stopped while they end."""
    orphan = "(sleep 0 & echo $! >> orphans)"
    ended = "until grep -q ') Z' /proc/$one/stat; do :; done"
    stopped = f"kill -STOP $PPID; {orphan}; {orphan}; for one in $(< orphans); do {ended}; done; kill -CONT $PPID"
    async with a_container(tmp_path, f"{stopped}; cp orphans {tmp_path}/said; exec sleep 600"):
        orphans = await first_words(tmp_path)

        assert len(orphans) == 2
        async with asyncio.timeout(10):
            while any(Path(f"/proc/{one}").exists() for one in orphans):  # noqa: ASYNC110, ASYNC240 - as above
                await asyncio.sleep(0.01)


PROGRAM = f"""
import sys
sys.path.append({str(ROOT)!r})
from localcluster.node.shared.supervisor import main
main(["run"])
"""


@contextmanager
def a_supervisor(run: Path, script: str, *, told: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    """Around a container that its starter knows nothing of yet."""
    asked = json.dumps(asdict(what(run, script))).encode()
    process = subprocess.Popen(
        [sys.executable, "-ISc", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=dict(marker(run)),
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    if not told:
        process.stdout.close()
    with process.stdin as stdin:
        stdin.write(asked)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def end_within_ten_seconds(descriptors: list[int]) -> bool:
    """Of pidfds, which are closed."""
    ended = [bool(select.select([one], [], [], 10)[0]) for one in descriptors]
    for one in descriptors:
        os.close(one)
    return all(ended)


@contextmanager
def up(run: Path) -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """A supervisor, and descriptors of a container that hears nothing and of its daemon."""
    os.mkfifo(run / "said")
    with a_supervisor(run, STUBBORN.format(said=run / "said")) as process:
        yield process, [os.pidfd_open(int(pid)) for pid in (run / "said").read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_supervisor_that_is_told_to_end_takes_the_container_with_it(number: signal.Signals, tmp_path: Path) -> None:
    """By whatever signal people and systems end programs."""
    with up(tmp_path) as (process, of_container):
        process.send_signal(number)

        assert end_within_ten_seconds(of_container)
        process.wait()
        assert list((tmp_path / "sessions").iterdir()) == []


def test_a_container_ends_when_nobody_reads_of_it_any_more(tmp_path: Path) -> None:
    """Whoever started it has closed the books, and need not have ended."""
    with up(tmp_path) as (process, of_container):
        assert process.stdout is not None

        process.stdout.close()

        assert end_within_ten_seconds(of_container)


def test_a_starter_that_has_gone_before_it_was_told_leaves_nothing(tmp_path: Path) -> None:
    """Killed in that very moment: what has begun is ended, and its records go."""
    with a_supervisor(tmp_path, "trap '' TERM; while :; do sleep 600; done", told=False) as process:
        process.wait()

        assert list((tmp_path / "sessions").iterdir()) == []


def test_a_container_ends_with_the_thread_that_started_it(tmp_path: Path) -> None:
    """Others of that process may hold the pipe open for ever."""
    with ExitStack() as stack:
        with ThreadPoolExecutor(1) as threads:
            _, of_container = threads.submit(stack.enter_context, up(tmp_path)).result()
            lives = not select.select(of_container, [], [], 0)[0]

        assert lives
        assert end_within_ten_seconds(of_container)


def test_a_container_is_told_to_end_when_its_supervisor_was_killed(tmp_path: Path) -> None:
    """It may put away what it has open; for the rest there is the sweep."""
    os.mkfifo(tmp_path / "said")
    leave = f"kill $!; echo bye > {tmp_path}/bye; exit"
    with a_supervisor(tmp_path, f"trap '{leave}' TERM; sleep 600 & echo $$ > {tmp_path}/said; wait") as process:
        main_one = os.pidfd_open(int((tmp_path / "said").read_text()))

        process.kill()

        assert end_within_ten_seconds([main_one])
        assert (tmp_path / "bye").read_text() == "bye\n"


async def test_both_sessions_of_a_container_are_on_record_while_it_runs(tmp_path: Path) -> None:
    """The supervisor's and its own, of which it is the leader: `ray stop` knows what is of it by that, too."""
    async with a_container(tmp_path, "exec sleep 600") as container:
        supervisor = int(stat_of(container.pid)[1])

        assert os.getsid(container.pid) == container.pid
        assert {one.leader for one in sessions(tmp_path)} == {supervisor, container.pid}
        assert {one.start for one in sessions(tmp_path)} == {started_at(supervisor), started_at(container.pid)}


async def test_a_log_that_cannot_be_opened_is_told_before_anything_starts(tmp_path: Path) -> None:
    """In a sentence of the kernel's."""
    (tmp_path / "log").mkdir()

    with pytest.raises(Fault, match="Is a directory") as told:
        await launch_supervised(what(tmp_path, "exec sleep 600"), {})

    assert told.value.reason == "StartError"


async def test_a_full_disk_costs_a_container_its_output_and_not_its_life(tmp_path: Path) -> None:
    """It ends as it would have ended."""
    (tmp_path / "log").symlink_to("/dev/full")
    launched = await launch_supervised(what(tmp_path, "echo one; echo two; exit 3"), {})
    await launched.watch()

    assert await launched.ended == Exit(3, "Error")


async def test_who_says_nothing_more_costs_nothing(tmp_path: Path) -> None:
    """A program that closed its output runs on for long, and its supervisor only waits."""
    ticks = "read -ra now < /proc/$PPID/stat; echo $((now[13] + now[14]))"
    script = f"exec 3> {tmp_path}/ticks >&- 2>&-; {ticks} >&3; sleep 0.5; {ticks} >&3"
    launched = await launch_supervised(what(tmp_path, script), {})
    await launched.watch()

    before, after = map(int, (tmp_path / "ticks").read_text().split())
    assert after - before < 0.2 * os.sysconf("SC_CLK_TCK")


# Commands in it ------------------------------------------------------------------------------------------------------


async def test_a_command_runs_with_the_containers_environment_and_in_its_folder(tmp_path: Path) -> None:
    """An exec probe: its code and all of its output."""
    async with a_container(tmp_path, "exec sleep 600") as container:
        command = ["bash", "-c", "echo $GREETING; pwd; echo bad >&2; exit 5"]

        code, output = await enter_supervised(container, command, marker(tmp_path), timeout_seconds=30)

        assert (code, output.decode().split()) == (5, ["hello", str(tmp_path / "home"), "bad"])


async def test_a_command_that_takes_too_long_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    """Or each try of a probe would leave some more."""
    async with a_container(tmp_path, "exec sleep 600") as container:
        script = f"{{ {DAEMON}; echo $$; }} > {tmp_path}/said; trap '' TERM; while :; do sleep 600; done"
        async with asyncio.TaskGroup() as group:
            pids = group.create_task(first_words(tmp_path))
            with pytest.raises(TimeoutError):
                await enter_supervised(container, ["bash", "-c", script], marker(tmp_path), timeout_seconds=1)

        started = [pid for pid in pids.result() if Path(f"/proc/{pid}/cmdline").exists()]  # noqa: ASYNC240
        assert [pid for pid in started if Path(f"/proc/{pid}/cmdline").read_bytes()] == []  # noqa: ASYNC240
        assert len(pids.result()) == 2


async def test_a_command_that_there_is_not_fails_and_says_so(tmp_path: Path) -> None:
    """As a shell would: a probe of that kind must not pass."""
    async with a_container(tmp_path, "exec sleep 600") as container:
        code, output = await enter_supervised(container, ["no-such-program"], marker(tmp_path), timeout_seconds=30)

        assert code == 127
        assert output == b'exec: "no-such-program": executable file not found in $PATH\n'


async def test_what_a_command_leaves_in_the_background_ends_with_it(tmp_path: Path) -> None:
    """It would be nobody's: the container's supervisor knows nothing of it."""
    async with a_container(tmp_path, "exec sleep 600") as container:
        command = ["bash", "-c", "setsid sleep 600 >&- 2>&- & echo $!"]

        code, output = await enter_supervised(container, command, marker(tmp_path), timeout_seconds=30)

        assert code == 0
        assert not Path(f"/proc/{int(output)}/cwd").is_symlink()  # noqa: ASYNC240


async def test_nothing_is_run_in_a_container_that_has_ended(tmp_path: Path) -> None:
    """It is told in a sentence, as of a container in namespaces."""
    launched = await launch_supervised(what(tmp_path, "true"), {})
    await launched.watch()

    with pytest.raises(Fault, match="does not run"):
        await enter_supervised(launched, ["true"], {}, timeout_seconds=30)
