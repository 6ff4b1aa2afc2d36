"""Whatever ends `manta run`, at whatever moment: no process, namespace, mount or interface of it stays."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from localcluster.testing.celled import Traces, descendants, mentioned

pytestmark = [pytest.mark.local, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "config" / "samples" / "rayjob.yaml"
HIDDEN = ("wget", "nft", "iptables", "ip", "unshare", "nsenter", "mount")


@dataclass(frozen=True, slots=True)
class Run:
    """`manta run`, as a process of its own."""

    process: asyncio.subprocess.Process

    async def line(self, number: int) -> None:
        """Until it has printed so many lines."""
        assert self.process.stdout is not None
        for _ in range(number):
            assert await self.process.stdout.readline(), "it ended early"

    def find(self, *words: str) -> int:
        """The PID of its process whose command line has all these words; its own for none."""
        for pid in descendants(self.process.pid) if words else [self.process.pid]:
            if all(word in command_line(pid) for word in words):
                return pid
        raise AssertionError(f"no process of it is {words}")


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def without(hidden: Sequence[str], folder: Path) -> Path:
    """A folder for PATH with all that is on PATH now, but some."""
    folder.mkdir()
    for one in os.environ["PATH"].split(":"):
        for program in Path(one).glob("*"):
            if program.name not in hidden and not (folder / program.name).is_symlink():
                (folder / program.name).symlink_to(program)
    return folder


@asynccontextmanager
async def manta_run(directory: Path, **environment: str) -> AsyncIterator[Run]:
    """The sample job; afterwards nothing that has to do with `directory` lives on."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "manta", "run", "--output", "plain", str(SAMPLE)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(directory), "PYTHONPATH": str(ROOT), **environment},
        start_new_session=True,
    )
    try:
        yield Run(process)
    finally:
        traces = Traces(process.pid) if process.returncode is None else None
        if process.returncode is None:
            process.kill()
        await process.communicate()
        if traces is not None:
            await traces.gone()
    assert mentioned(str(directory)) == []


@pytest.mark.parametrize("line", range(1, 11))
async def test_ctrl_c_ends_everything(line: int, tmp_path: Path) -> None:
    """At ten moments, from the first sign of life to running nodes."""
    async with manta_run(tmp_path) as run:
        await run.line(line)
        traces = Traces(run.process.pid)

        run.process.send_signal(signal.SIGINT)
        await run.process.communicate()

        assert run.process.returncode == 130
        await traces.gone()
        assert mentioned(str(tmp_path)) == []


KILLED = [
    pytest.param(1, (), id="manta, 1"),
    pytest.param(2, ("localcluster.node.cell",), id="launcher, 2"),
    pytest.param(3, ("localcluster.inside",), id="local cluster, 3"),
    pytest.param(4, (), id="manta, 4"),
    pytest.param(5, ("localcluster.inside",), id="local cluster, 5"),
    pytest.param(6, ("localcluster.node.cell",), id="launcher, 6"),
    pytest.param(7, (), id="manta, 7"),
    pytest.param(9, ("localcluster.inside",), id="local cluster, 9"),
    pytest.param(10, (), id="manta, 10"),
]


@pytest.mark.parametrize(("line", "victim"), KILLED)
async def test_the_death_of_one_is_the_end_of_all(line: int, victim: tuple[str, ...], tmp_path: Path) -> None:
    """SIGKILL gives nobody a chance to clean up: the kernel does it."""
    async with manta_run(tmp_path) as run:
        await run.line(line)
        traces = Traces(run.process.pid)

        os.kill(run.find(*victim), signal.SIGKILL)
        await run.process.communicate()

        assert run.process.returncode != 0
        await traces.gone()
        assert mentioned(str(tmp_path)) == []


async def test_the_death_of_init_is_the_end_of_all(tmp_path: Path) -> None:
    """PID 1 of the cell is the launcher's only child."""
    async with manta_run(tmp_path) as run:
        await run.line(6)
        traces = Traces(run.process.pid)
        _, init, *_ = descendants(run.find("localcluster.node.cell"))

        os.kill(init, signal.SIGKILL)
        await run.process.communicate()

        assert run.process.returncode != 0
        await traces.gone()


async def test_a_killed_operator_is_started_again_and_the_job_still_succeeds(tmp_path: Path) -> None:
    """It is not essential: nothing is lost with it."""
    async with manta_run(tmp_path) as run:
        await run.line(6)

        os.kill(run.find("-m controller"), signal.SIGKILL)
        await run.process.communicate()

        assert run.process.returncode == 0


async def test_a_machine_without_network_tools_runs_a_job_too(tmp_path: Path) -> None:
    """Probes bring their own wget; all else is system calls."""
    programs = without(HIDDEN, tmp_path / "bin")
    async with manta_run(tmp_path, PATH=str(programs)) as run:
        output, _ = await run.process.communicate()

        assert run.process.returncode == 0, output.decode()
        assert "sum of squares below a million: 333332833333500000" in output.decode()
