"""The program around a container, and around a command in one, where no PID namespace ends with its first process.

    run     starts a container and says how it ended, once nothing of it is left
    enter   runs a probe's or a hook's command; nothing that it started outlives it

It adopts every orphan below it (S10-25): a daemon that forked twice, began a session of its own and threw its
environment away is still its descendant. When the main process ends, or whoever started the supervisor is gone, all
descendants are killed until none is left. The kernel tells of an end of the starting thread by SIGHUP, and of an end of
the whole process by the pipe that nobody reads any more. When the supervisor itself is killed, the main process gets
SIGTERM, and for the rest there is sweep.py.

Both are processes of their own, in a session of their own, started by launching.py, which says how one talks to them;
they import little, since an exec probe starts one every few seconds.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from typing import Any, Final, NoReturn, TypeAlias

from localcluster.node import kernel
from localcluster.node.becoming import (
    NOT_STARTED,
    execute,
    exit_code_of,
    go_to,
    hindered,
    hindrance,
    open_log,
    redirect,
)
from localcluster.node.descent import end_all_below
from localcluster.node.shared.records import RUN, forget_session, record_session

__all__ = ["main"]

Json: TypeAlias = dict[str, Any]

_CHUNK: Final = 64 * 1024
_ENDING: Final = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
_ANSWERS: Final = 1  # whoever started us reads this


def main(arguments: list[str]) -> int:
    """One of the two programs."""
    kernel.adopt_orphans()
    kernel.die_with_parent(signal.SIGHUP)
    return {"run": _run, "enter": _enter}[arguments[0]]()


def _say(**what: Any) -> None:
    try:
        os.write(_ANSWERS, json.dumps(what).encode() + b"\n")
    except BrokenPipeError:
        return  # nobody reads any more: `_until_ended` is told so, too


# run ---------------------------------------------------------------------------------------------------------------


def _run() -> int:
    asked: Json = json.load(sys.stdin)
    run = asked["environment"][RUN]
    reading, writing = os.pipe()
    output, its_output = os.pipe()  # not the log itself: `> /dev/stdout` would cut that off
    try:
        log = open_log(asked["log"])
        record_session(run)
    except OSError as error:
        _say(error=str(error))
        return 1
    wake = _woken_by_signals()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _become(asked, writing, its_output)
    os.close(writing)
    os.close(its_output)
    problem = hindrance(reading)
    if problem:
        _say(error=problem)
    else:
        _say(pid=child)
    os.set_blocking(output, False)
    status = _until_ended(child, wake, output, log)
    end_all_below()
    while _moved(output, log):
        continue
    for leader in (child, os.getpid()):
        forget_session(run, leader)
    if status is None or problem:
        return 1
    _say(status=os.waitstatus_to_exitcode(status))
    return 0


def _become(asked: Json, report: int, output: int) -> NoReturn:
    """This process is the container's main one."""
    try:
        _follow_the_supervisor()
        record_session(asked["environment"][RUN])
        redirect(output, output)
        go_to(asked["directory"])
        execute(asked["command"], asked["environment"])
    except OSError as error:
        hindered(report, error)


def _follow_the_supervisor() -> None:
    """After the fork: own session, signals as usual, and a TERM should the supervisor be killed."""
    signal.set_wakeup_fd(-1)
    for number in (*_ENDING, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    kernel.die_with_parent(signal.SIGTERM)
    os.setsid()


# enter -------------------------------------------------------------------------------------------------------------


def _enter() -> int:
    asked: Json = json.load(sys.stdin)
    wake = _woken_by_signals()
    child = os.fork()
    if child == 0:
        try:
            _follow_the_supervisor()
            redirect(1, 2)
            os.chdir(asked["directory"])
            execute(asked["command"], asked["environment"])
        except OSError as error:
            os.write(2, f"{error.strerror}\n".encode())
        os._exit(127)
    status = _until_ended(child, wake)
    end_all_below()
    return NOT_STARTED if status is None else exit_code_of(status)


# both --------------------------------------------------------------------------------------------------------------


def _woken_by_signals() -> int:
    """A pipe that gets the number of each signal of interest, so that one can wait for those and for output at once."""
    wake, written = os.pipe()
    for end in (wake, written):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(written, warn_on_full_buffer=False)
    for number in (*_ENDING, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    return wake


def _until_ended(child: int, wake: int, output: int | None = None, log: int | None = None) -> int | None:
    """What waitpid says of the child; None when we are to end before it."""
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    poll.register(_ANSWERS, 0)  # tells only that nobody reads any more
    if output is not None:
        poll.register(output, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if output is not None and log is not None and output in ready and not _moved(output, log):
            poll.unregister(output)
        if _ANSWERS in ready or (wake in ready and set(os.read(wake, _CHUNK)) & set(_ENDING)):
            return None
        if (status := _reaped(child)) is not None:
            return status


def _reaped(child: int) -> int | None:
    """Takes every ended child, adopted ones too; what waitpid says of that one if it is among them."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == child:
            return status
        if pid == 0:
            return None


def _moved(output: int, log: int) -> bool:
    """What is there goes into the log; False when there is nothing. What the log cannot take is lost."""
    try:
        chunk = os.read(output, _CHUNK)
    except BlockingIOError:
        return False
    more = bool(chunk)
    try:
        while chunk:
            chunk = chunk[os.write(log, chunk) :]
    except OSError:
        return more
    return more


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
