"""Starts the programs of container.py, and on a shared machine those of supervisor.py, and talks to them.

Both sets of programs speak alike, so what runs in either way is a `Launched`. The namespaces of a pod are held as open
descriptors.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from localcluster.node.interfaces import Exit, Fault
from localcluster.node.rootfs import Mount

__all__ = ["Launch", "Launched", "enter", "enter_supervised", "launch", "launch_supervised", "place"]

Json: TypeAlias = dict[str, Any]

CONTAINER, SUPERVISOR = "localcluster.node.container", "localcluster.node.shared.supervisor"
OUTPUT_LIMIT = 16 * 1024  # bytes of a probe's or hook's output that anybody will read
KILLED = Exit(137, "Error")


@dataclass(frozen=True, slots=True)
class Launch:
    """What a container's program needs to know."""

    command: Sequence[str]
    environment: Mapping[str, str]
    directory: str
    log: str
    mounts: Sequence[Mount] = ()
    scratch: str = ""  # an empty folder


class Launched:
    """A container that runs or ran. `ended` tells how it ended, once nothing of it is left."""

    def __init__(self, process: asyncio.subprocess.Process, pid: int, what: Launch) -> None:
        self.what, self.pid = what, pid
        self.ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._process = process
        self._told = False
        try:
            self.pidfd: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self.pidfd = None  # it was that quick

    async def watch(self) -> None:
        """Until it has ended; somebody must do this for every container."""
        assert self._process.stdout is not None
        try:
            line = await self._process.stdout.readline()
            await self._process.wait()
            ended = _exit(json.loads(line)["status"]) if line else KILLED  # no line: the program itself was killed
        finally:
            if self.pidfd is not None:
                os.close(self.pidfd)
                self.pidfd = None
        self.ended.set_result(ended)

    def ask_to_end(self) -> None:
        """TERM to its main process, once."""
        if not self._told:
            self._told = True
            self._send(signal.SIGTERM)

    def kill(self) -> None:
        """KILL to all of it: the kernel ends a PID namespace with its first process, a supervisor what is below it."""
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        if self.pidfd is None or self.ended.done():
            return
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            return  # it ended by itself; `watch` is about to learn it


def _exit(status: int) -> Exit:
    if status < 0:
        return Exit(128 - status, "Error")
    return Exit(status, "Error" if status else "Completed")


async def launch(what: Launch, namespaces: Sequence[int]) -> Launched:
    """Start a container in the pod's namespaces; returns once its program runs. Raises Fault StartError."""
    process = await _started(CONTAINER, "run", pass_fds=namespaces)
    return await _launched(process, what, signal.SIGKILL, namespaces=list(namespaces))


async def launch_supervised(what: Launch, marker: Mapping[str, str]) -> Launched:
    """Start a container as a process of this machine, with nothing around it but its supervisor; else as `launch`.

    `marker` is the supervisor's environment, by which it can be known later.
    """
    process = await _started(SUPERVISOR, "run", env=marker, start_new_session=True)
    return await _launched(process, what, signal.SIGTERM)  # it ends what it has started


async def _launched(process: asyncio.subprocess.Process, what: Launch, given_up: int, **more: Any) -> Launched:
    """`given_up`: the signal by which the process takes the container with it, should nobody wait any more."""
    try:
        _send(process, asdict(what) | more, end=True)
        answer = await _answer(process)
    except OSError as error:
        raise Fault("StartError", str(error)) from error
    except BaseException:
        await _end(process, given_up)
        raise
    return Launched(process, answer["pid"], what)


@asynccontextmanager
async def place(hostname: str, attach: Callable[[int], Awaitable[Json]] | None) -> AsyncIterator[list[int]]:
    """Make a pod's namespaces; yields descriptors of them, which the caller closes. Raises OSError.

    `attach` gets the PID whose network namespace is to have eth0, and answers its address, netmask and gateway; None:
    the pod has the network of the cell.
    """
    process = await _started(CONTAINER, "sandbox")
    held: list[int] = []
    try:
        _send(process, {"hostname": hostname, "network": attach is not None})
        await _answer(process)
        if attach is not None:
            _send(process, await attach(process.pid))
            await _answer(process)
        names = ["uts", "ipc", *(["net"] if attach is not None else [])]
        for name in names:
            held.append(os.open(f"/proc/{process.pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC))  # noqa: PERF401
        yield held
    except BaseException:
        for descriptor in held:
            os.close(descriptor)
        raise
    finally:
        await _end(process)


async def enter(launched: Launched, command: Sequence[str], *, timeout_seconds: float) -> tuple[int, bytes]:
    """Run a command in the container; exit code and output. Raises TimeoutError, Fault when it does not run."""
    if launched.pidfd is None or launched.ended.done():
        raise Fault("NotRunning", "the container does not run")
    process = await _started(
        CONTAINER, "enter", pass_fds=[launched.pidfd], stderr=asyncio.subprocess.STDOUT, start_new_session=True
    )
    asked = _entering(launched, command) | {"pidfd": launched.pidfd}
    try:
        return await _output(process, asked, timeout_seconds)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the command and its children are in this session
            await process.wait()


async def enter_supervised(
    launched: Launched, command: Sequence[str], marker: Mapping[str, str], *, timeout_seconds: float
) -> tuple[int, bytes]:
    """As `enter`, for a container of `launch_supervised`. Nothing that the command started outlives it."""
    if launched.ended.done():
        raise Fault("NotRunning", "the container does not run")
    process = await _started(SUPERVISOR, "enter", env=marker, stderr=asyncio.subprocess.STDOUT, start_new_session=True)
    try:
        return await _output(process, _entering(launched, command), timeout_seconds)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()  # it ends the command and all that this started
            await process.wait()


def _entering(launched: Launched, command: Sequence[str]) -> Json:
    return {
        "command": list(command),
        "environment": dict(launched.what.environment),
        "directory": launched.what.directory,
    }


async def _output(process: asyncio.subprocess.Process, asked: Json, limit_seconds: float) -> tuple[int, bytes]:
    async with asyncio.timeout(limit_seconds):
        _send(process, asked, end=True)
        output = await _read(process)
        return await process.wait(), output


async def _started(
    module: str, name: str, *, env: Mapping[str, str] | None = None, **options: Any
) -> asyncio.subprocess.Process:
    root = str(Path(__file__).parents[2])
    code = f"import sys; sys.path.append({root!r}); from {module} import main; sys.exit(main(sys.argv[1:]))"
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-ISc",  # the standard library and us: what else is installed would only take time
        code,
        name,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=env or {},
        **options,
    )


def _send(process: asyncio.subprocess.Process, what: Json, *, end: bool = False) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(what).encode() + b"\n")
    if end:
        process.stdin.close()


async def _answer(process: asyncio.subprocess.Process) -> Json:
    """Its next line. Raises OSError with what it could not do."""
    assert process.stdout is not None
    line = await process.stdout.readline()
    answer: Json = json.loads(line) if line else {"error": "the program ended unexpectedly"}
    if "error" in answer:
        await process.wait()
        raise OSError(answer["error"])
    return answer


async def _end(process: asyncio.subprocess.Process, number: int = signal.SIGKILL) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):  # it ended this moment
            process.send_signal(number)
        await process.wait()


async def _read(process: asyncio.subprocess.Process) -> bytes:
    """All output, of which the first OUTPUT_LIMIT bytes are kept."""
    assert process.stdout is not None
    output = b""
    while chunk := await process.stdout.read(OUTPUT_LIMIT):
        output += chunk[: OUTPUT_LIMIT - len(output)]
    return output
