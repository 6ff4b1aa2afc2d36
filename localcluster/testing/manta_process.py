"""`manta` as a process of its own, for tests of how it starts and how it ends: what it says, and of what it is made."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from localcluster.node import kernel
from localcluster.node.descent import stat_of
from localcluster.testing.celled import Traces, descendants

__all__ = ["NETWORK_TOOLS", "ROOT", "SAMPLES", "Manta", "left", "manta", "next_start_works", "scripted", "without"]

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "config" / "samples"

# What a machine may lack: namespaces, addresses and probes must not need them.
NETWORK_TOOLS = ("wget", "nft", "iptables", "ip", "unshare", "nsenter", "mount")

# The processes of `manta run`, by what stands in their command lines. The first process of a cell is a child of the
# launcher, or without a cell that itself, and a supervisor the parent of the first process of its container.
LAUNCHER = r"localcluster\.node\.cell"
WORDS = {
    "launcher": LAUNCHER,
    "local cluster": r"localcluster\.inside",
    "operator": r"-m controller\b",
    "head": r"\bray start --head",
    "worker": r"\bray start --address",
}


@dataclass(frozen=True, slots=True)
class Manta:
    """`manta`, as a process of its own."""

    process: asyncio.subprocess.Process
    folder: Path  # its TMPDIR
    said: list[str] = field(default_factory=list)  # the lines that were read

    async def ended(self) -> tuple[int, str, str]:
        """Exit code, output, errors."""
        output, errors = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, "".join(self.said) + output.decode(), (errors or b"").decode()

    async def line_with(self, words: str) -> str:
        """The next line in which that expression is found."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.said.append(line.decode())
            if re.search(words, self.said[-1]):
                return self.said[-1]
        raise AssertionError(f"it ended without saying {words!r}:\n{''.join(self.said)}")

    async def reached(self, moment: str) -> None:
        """Until that file of its folder is there."""
        (own,) = await appeared(self.folder, lambda: list(self.folder.glob("manta-*")))
        await appeared(own, lambda: list(own.glob(moment)))

    def part(self, name: str) -> int:
        """The PID of one of its processes: `manta`, `init`, one of WORDS, or the `supervisor of` a container."""
        if name == "manta":
            return self.process.pid
        if name == "init":
            launcher, first, *_ = descendants(self.part("launcher"))
            return first if re.search(LAUNCHER, command_line(first)) else launcher
        if name.startswith("supervisor of "):
            return parent(self.part(name.removeprefix("supervisor of ")))
        for pid in descendants(self.process.pid):
            if re.search(WORDS[name], command_line(pid)):
                return pid
        raise AssertionError(f"no process of it is the {name}")

    def traces(self) -> Traces:
        """All its processes that there are now."""
        return Traces(self.process.pid)


def command_line(pid: int) -> str:
    """Its words; "" for one that is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def parent(pid: int) -> int:
    """Of a process that lives."""
    return int(stat_of(pid)[1])


async def appeared(folder: Path, look: Callable[[], list[Path]]) -> list[Path]:
    """Looks whenever something changes in the folder, until there is something to see."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()
    notifier = kernel.notify_of_changes(str(folder))

    def notice() -> None:
        os.read(notifier, 4096)
        changed.set()

    loop.add_reader(notifier, notice)
    try:
        while not (found := look()):
            changed.clear()
            await changed.wait()
        return found
    finally:
        loop.remove_reader(notifier)
        os.close(notifier)


@asynccontextmanager
async def manta(
    folder: Path,
    *arguments: str | Path,
    program: tuple[str, ...] = ("-m", "manta"),
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Manta]:
    """It runs in the block, with `folder` as TMPDIR; it is killed at the end, should it still live."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *program, *map(str, arguments)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT), **(environment or {})},
        start_new_session=True,
    )
    try:
        yield Manta(process, folder)
    finally:
        traces = None
        if process.returncode is None:
            traces = Traces(process.pid)
            process.kill()
        output, errors = await process.communicate()
        if traces is not None:
            sys.stderr.write(f"manta was killed; until then it said:\n{output.decode()}{errors.decode()}")
            await traces.gone()


def scripted(*words: str | Path) -> tuple[str | Path, ...]:
    """Arguments for a run that needs no Ray."""
    return (*words, "--node", "scripted", "--output", "plain")


async def next_start_works(folder: Path) -> None:
    """With the same temporary directory, in which nothing is left afterwards."""
    async with manta(folder, *scripted("up", "--port", "0")) as again:
        await again.line_with("ready; Ctrl-C ends it")
        again.process.send_signal(signal.SIGINT)
        code, output, errors = await again.ended()

    assert code == 0, output + errors
    assert left(folder) == []


def left(folder: Path) -> list[Path]:
    """What still stands there."""
    return list(folder.iterdir())


def without(hidden: Sequence[str], folder: Path) -> Path:
    """A new folder for PATH with all that is on PATH now, but some.

    PATH may be such a folder already. Then its links are copied, not followed: containers see the folders that are on
    PATH, and no others below /tmp.
    """
    folder.mkdir()
    for one in os.environ["PATH"].split(":"):
        for program in Path(one).glob("*"):
            if program.name not in hidden and not (folder / program.name).is_symlink():
                target = program.readlink() if program.is_symlink() else program
                kept = target.is_absolute() and target.name == program.name
                (folder / program.name).symlink_to(target if kept else program)
    return folder
