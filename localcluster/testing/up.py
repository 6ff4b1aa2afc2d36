"""`manta up` as a process that several tests of a module share: what it prints, its API, and its inner processes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from localcluster.testing.celled import descendants
from localcluster.testing.manta_process import ROOT, command_line
from localcluster.testing.real import CAPACITY, Live, an_api, watched

__all__ = ["OPERATOR", "Up", "manta_up"]

START_SECONDS = 60.0
PATIENCE_SECONDS = 200.0
END_SECONDS = 60.0
OPERATOR = r"-m controller\b"  # in its command line


class Up:
    """A running `manta up`; what waits for it here may be called from any thread."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process, self._folder = process, folder  # its TMPDIR
        self.said: list[str] = []
        self._news = threading.Condition()

    def listen(self) -> None:
        """Reads what it prints, to its end."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.said.append(line)
                self._news.notify_all()

    def line(self, pattern: str, *, after: int = 0, seconds: float = PATIENCE_SECONDS) -> re.Match[str]:
        """Where the pattern is found in a line after so many, once there is one. Raises AssertionError."""

        def found() -> re.Match[str] | None:
            return next(filter(None, (re.search(pattern, line) for line in self.said[after:])), None)

        with self._news:
            match = self._news.wait_for(found, seconds)
        assert match is not None, f"it never said {pattern!r}:\n{''.join(self.said)}"
        return match

    async def url(self, service: str, *, after: int = 0) -> str:
        """Where it says that the RayService answers, in a line after so many."""
        pattern = rf"RayService {service}: serves on (http://127\.0\.0\.1:\d+)$"
        return (await asyncio.to_thread(self.line, pattern, after=after))[1]

    @property
    def directory(self) -> Path:
        """Where its sockets and logs are."""
        (own,) = self._folder.glob("manta-*")
        return own

    @property
    def dialer(self) -> str:
        """The Unix socket through which addresses inside are reached."""
        return str(self.directory / "dial.sock")

    @asynccontextmanager
    async def live(self) -> AsyncIterator[Live]:
        """Its API for the length of the block, and all that it told."""
        async with an_api(str(self.directory / "api.sock"), (self.directory / "token").read_text()) as api:
            live = Live(api, self.directory)
            async with watched(live):
                yield live

    def kill(self, pattern: str, *, known_as: int | None = None) -> None:
        """SIGKILL to the one process of it in whose command line the pattern is found, and which itself says that this
        is its PID. Raises AssertionError that tells what there is."""
        lines = {pid: command_line(pid) for pid in descendants(self.process.pid)}
        found = [pid for pid, line in lines.items() if re.search(pattern, line)]
        wanted = [pid for pid in found if known_as in (None, own_number(pid))]
        seen = [f"{pid} (itself {own_number(pid)}): {line[:100]}" for pid, line in lines.items()]
        assert len(wanted) == 1, "\n".join(
            [f"not one, but {wanted} of {found} match {pattern!r} and {known_as}:", *seen]
        )
        os.kill(wanted[0], signal.SIGKILL)


def own_number(pid: int) -> int | None:
    """A process's PID as it knows it, in its own PID namespace; None for one that is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return next(int(line.split()[-1]) for line in status.splitlines() if line.startswith("NSpid:"))


@contextmanager
def manta_up(folder: Path, *options: str) -> Iterator[Up]:
    """It is ready, and runs while the block is open; its temporary files are in `folder`."""
    capacity = [f"--node-resources={name}={amount}" for name, amount in CAPACITY.items()]
    with subprocess.Popen(
        [sys.executable, "-m", "manta", "up", "--port=0", "--output=plain", *capacity, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    ) as process:
        up = Up(process, folder)
        reader = threading.Thread(target=up.listen)
        reader.start()
        try:
            up.line("ready; Ctrl-C ends it", seconds=START_SECONDS)
            yield up
        finally:
            process.send_signal(signal.SIGINT)
            try:
                code = process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            finally:
                reader.join()
                sys.stdout.write("".join(up.said))
    assert code == 0, code
