"""From a process of ours to a container's program, or to a command in a container: the last steps, on every ground.

They run between fork and exec. The standard library alone: whoever starts a container or a probe imports this.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

__all__ = ["NOT_STARTED", "execute", "exit_code_of", "go_to", "hindered", "hindrance", "open_log", "redirect"]

NOT_STARTED: Final = 128
_FILES: Final = 1048576  # open files at most, where the machine allows as many: what container runtimes give


def open_log(path: str) -> int:
    """A descriptor that appends to a container's log, and is closed by an exec. Raises OSError."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


def hindrance(reading: int) -> str:
    """Waits until the program at the other end of the pipe runs, which closes it; what `hindered` told of it, or ""."""
    with os.fdopen(reading, "rb") as report:
        return report.read().decode(errors="replace")


def hindered(report: int, error: OSError) -> NoReturn:
    """This process does not become the program: it tells why, and ends."""
    os.write(report, str(error if error.filename else error.strerror).encode())
    os._exit(NOT_STARTED)


def redirect(output: int, errors: int) -> None:
    """Nothing to read, and those two to write to."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(errors, 2)


def go_to(directory: str) -> None:
    """The working directory, made if it is not there. Raises OSError."""
    Path(directory).mkdir(parents=True, exist_ok=True)
    os.chdir(directory)


def execute(command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Become the program. Only returns by raising OSError, in the words of a container runtime."""
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and that would be inherited
        signal.signal(ignored, signal.SIG_DFL)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _FILES if most == resource.RLIM_INFINITY else min(most, _FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    os.umask(0o022)
    try:
        os.execvpe(command[0], list(command), environment)  # noqa: S606
    except FileNotFoundError:
        where = "no such file or directory" if "/" in command[0] else "executable file not found in $PATH"
        raise OSError(2, f'exec: "{command[0]}": {where}') from None
    except OSError as error:
        raise OSError(error.errno, f'exec: "{command[0]}": {str(error.strerror).lower()}') from None


def exit_code_of(status: int) -> int:
    """Of what waitpid said, as a shell tells it: a signal counts from 128."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
