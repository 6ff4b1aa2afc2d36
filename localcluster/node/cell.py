"""The cell: a network, mount and PID namespace in which local cluster, operator and pods live (design.md §3).

    manta (outside)                     starts and outlives
      launcher (outside)                new namespaces, waits for
        init, PID 1 of the cell         reaps, starts and watches the programs
          local cluster, operator, pods

Everything inside ends when `manta` ends, in whatever way: the kernel kills a PID namespace with its first process,
and that one dies when its parent does (PR_SET_PDEATHSIG) and when the lifeline closes, a pipe whose other end only
`manta` holds. Bridge, mounts and addresses go with their namespaces; nothing has to be undone.

As an ordinary user there is a user namespace around it in which that user is root.

Where no namespace is to be had, the same programs run on the machine itself, `shared`: the launcher is what PID 1 is
in a cell. It adopts every orphan below it and kills all that is left when it ends; the kernel kills the programs when
it is killed itself, and their own supervisors end the containers.

`python -m localcluster.node.cell LIFELINE REPORT < description` is the launcher; nobody calls it by hand.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Cell", "CellRefused", "Program", "a_cell", "refusal"]

GRACE_SECONDS = 5.0  # between asking the programs to end and killing them


class CellRefused(Exception):
    """The machine does not let us make the namespaces; the message says why, and the way out. `reason`: in short."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Program:
    """A program inside the cell. Its output goes to `log`. `essential`: the cell ends with it; else it is restarted."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    log: str = ""
    essential: bool = True


@dataclass(slots=True)
class Cell:
    """A running cell, seen from outside."""

    process: asyncio.subprocess.Process
    pids: dict[str, int]  # program -> PID as seen from outside; "init" too

    async def ended(self) -> str:
        """Waits for the end of the cell, and says in a sentence what ended it."""
        assert self.process.stderr is not None
        said = (await self.process.stderr.read()).decode(errors="replace").strip()
        code = await self.process.wait()
        return said or f"the cell ended with exit code {code}"


@asynccontextmanager
async def a_cell(programs: Sequence[Program], *, hostname: str = "manta", shared: bool = False) -> AsyncIterator[Cell]:
    """The programs run in a cell of their own while the block is open; `shared`: without one. Raises CellRefused.

    Left, they get SIGTERM and GRACE_SECONDS, then nothing of the cell is left. Must be entered in the main thread:
    the parent-death signal follows the thread that forks.
    """
    alive_read, alive_write = os.pipe()
    report_read, report_write = os.pipe()
    described = [asdict(program) for program in programs]
    description = json.dumps({"hostname": hostname, "shared": shared, "programs": described})
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "localcluster.node.cell",
        str(alive_read),
        str(report_write),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=(alive_read, report_write),
        start_new_session=True,  # Ctrl-C is for manta alone, which then ends the cell in order
    )
    os.close(alive_read)
    os.close(report_write)
    try:
        assert process.stdin is not None
        process.stdin.write(description.encode())
        process.stdin.close()
        cell = Cell(process, await _reported(report_read, process))
        yield cell
    finally:
        os.close(alive_write)  # the lifeline: init sees the end and stops everything
        os.close(report_read)
        await _gone(process)


async def _reported(descriptor: int, process: asyncio.subprocess.Process) -> dict[str, int]:
    """What init reports once all programs are started: their PIDs. Raises CellRefused."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(os.dup(descriptor), "rb"))
    try:
        line = await reader.readline()
    finally:
        transport.close()
    if line:
        told = json.loads(line)
        if "refused" in told:
            raise CellRefused(_in_a_sentence(told["refused"]), told["refused"])
        pids: dict[str, int] = told["pids"]
        return pids
    assert process.stderr is not None
    said = (await process.stderr.read()).decode(errors="replace").strip() or "the cell ended before it began"
    raise CellRefused(said, said)


def _tell(report: int, **what: object) -> None:
    """The one line that `_reported` reads."""
    os.write(report, json.dumps(what).encode() + b"\n")
    os.close(report)


async def _gone(process: asyncio.subprocess.Process) -> None:
    """Wait for the launcher, which waits for init; kill it when that takes too long."""
    try:
        async with asyncio.timeout(GRACE_SECONDS * 2):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def refusal() -> str | None:
    """Tries whether this machine allows a cell; why not, and the way out, or None. Leaves nothing behind."""
    child = os.fork()
    if child == 0:
        code = 0
        try:
            _separate()
        except OSError as error:
            code = error.errno or 1
        os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return None if code == 0 else _in_a_sentence(os.strerror(code))


# The launcher and init: they run in the process that a_cell starts


def _separate() -> None:
    """Leave the machine's namespaces. Raises OSError."""
    from localcluster.node import kernel

    flags = kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWPID | kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        kernel.unshare(flags)
        return
    kernel.unshare(flags | kernel.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def _in_a_sentence(reason: str) -> str:
    who = "root" if os.geteuid() == 0 else "an ordinary user"
    return (
        f"this machine does not let {who} make namespaces ({reason}), and pods need some of their own. "
        "In a container, run it with --privileged or with a seccomp profile that allows unshare and mount; on a "
        "machine, set the sysctls user.max_user_namespaces above 0 and kernel.unprivileged_userns_clone or "
        "kernel.apparmor_restrict_unprivileged_userns so that unprivileged user namespaces are allowed; or run as root."
    )


def launch(lifeline: int, report: int, description: Mapping[str, Any]) -> int:
    """Make the namespaces, fork init into them, and end as it ends."""
    from localcluster.node import kernel

    if description["shared"]:
        return _on_the_machine(lifeline, report, description)
    kernel.die_with_parent()
    try:
        _separate()
    except OSError as error:
        _tell(report, refused=str(error.strerror))
        return 1
    kernel.die_with_parent()  # a new user namespace made the kernel forget it
    if _closed(lifeline):  # manta died before the kernel knew that we follow it
        return 1
    alive_read, alive_write = os.pipe()  # init sees by it whether we died before the kernel knew that it follows us
    init = os.fork()
    if init == 0:
        os.close(alive_write)
        kernel.die_with_parent()
        os._exit(1 if _closed(alive_read) else _init(lifeline, report, description))
    os.close(lifeline)
    os.close(report)
    _, status = os.waitpid(init, 0)
    return os.waitstatus_to_exitcode(status)


def _on_the_machine(lifeline: int, report: int, description: Mapping[str, Any]) -> int:
    """This process is the init of programs without a cell."""
    from localcluster.node import kernel
    from localcluster.node.descent import end_all_below

    kernel.adopt_orphans()
    kernel.die_with_parent(signal.SIGTERM)  # in order, unlike PID 1: the kernel would not end the others with us
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    init = Init(lifeline, [Program(**one) for one in description["programs"]], pid=os.getpid())
    try:
        return init.run(report)
    finally:
        end_all_below()


def _closed(pipe: int) -> bool:
    """Has everybody gone who could write into it?"""
    import select

    poll = select.poll()
    poll.register(pipe, 0)
    return bool(poll.poll(0))


def _init(lifeline: int, report: int, description: Mapping[str, Any]) -> int:
    """PID 1 of the cell."""
    from localcluster.node import kernel

    try:
        kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
        kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
        kernel.set_hostname(description["hostname"])
        kernel.loopback_up()
    except OSError as error:
        _tell(report, refused=str(error.strerror))
        return 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return Init(lifeline, [Program(**one) for one in description["programs"]]).run(report)


class Init:
    """Starts the programs, reaps what nobody else does, and ends all when the lifeline or an essential one ends.

    `pid`: its own, as those outside know it. Programs die with it.
    """

    def __init__(self, lifeline: int, programs: Sequence[Program], *, pid: int = 1) -> None:
        self.lifeline, self.pid = lifeline, pid
        self.programs = list(programs)
        self.running: dict[int, Program] = {}
        self.ending = False

    def run(self, report: int) -> int:
        """Until everything has ended; the exit code."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self.end())
        for program in self.programs:
            self.start(program)
        _tell(report, pids={"init": self.pid} | {program.name: pid for pid, program in self.running.items()})
        return self.watch(wake_read)

    def start(self, program: Program) -> None:
        """Fork and exec one program, its output into its log."""
        from localcluster.node import kernel

        pid = os.fork()
        if pid == 0:
            try:
                kernel.die_with_parent()
                if os.getppid() != self.pid:  # it died before the kernel knew that we follow it
                    os._exit(1)
                os.setsid()
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                output = os.open(program.log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                os.dup2(output, 1)
                os.dup2(output, 2)
                os.close(self.lifeline)
                os.execvpe(program.arguments[0], program.arguments, {**os.environ, **program.environment})  # noqa: S606
            except OSError as error:
                os.write(2, f"cannot start {program.name}: {error}\n".encode())
            os._exit(127)
        self.running[pid] = program

    def watch(self, wake: int) -> int:
        """Wait for ends: of children, of the lifeline, of the grace."""
        import select
        import time

        deadline: float | None = None
        code = 0
        watched = [wake, self.lifeline]
        while self.running:
            timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select(watched, [], [], timeout)
            if wake in ready:
                os.read(wake, 4096)
            if self.lifeline in ready and not os.read(self.lifeline, 1):
                watched.remove(self.lifeline)
                self.end()
            code = self.reap() or code
            if self.ending and deadline is None:
                deadline = time.monotonic() + GRACE_SECONDS
            if deadline is not None and time.monotonic() >= deadline:
                return code  # what is left is killed with us
        return code

    def reap(self) -> int:
        """Take every ended child; the exit code that an unexpected end of a program gives the cell."""
        code = 0
        while self.running:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            program = self.running.pop(pid, None)
            if program is None or self.ending:
                continue
            ended = os.waitstatus_to_exitcode(status)
            if not program.essential:
                self.start(program)
                continue
            how = f"was killed by signal {-ended}" if ended < 0 else f"ended with exit code {ended}"
            where = f"; its log is {program.log}" if program.log else ""
            sys.stderr.write(f"{program.name} {how}{where}\n")
            sys.stderr.flush()
            code = 1
            self.end()
        return code

    def end(self) -> None:
        """Ask every program to end; what does not is killed with us."""
        if self.ending:
            return
        self.ending = True
        for pid in self.running:
            os.kill(pid, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(launch(int(sys.argv[1]), int(sys.argv[2]), json.load(sys.stdin)))
