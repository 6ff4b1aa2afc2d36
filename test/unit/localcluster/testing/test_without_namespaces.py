"""What the tests of the shared host stand on: nothing that they start can make a namespace, whatever it tries."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

from localcluster.testing.without_namespaces import (
    CLONE3,
    NEW_NAMESPACES,
    calls,
    forbid_calls,
    forbid_namespaces,
)

CLONE_THREAD = 0x00010000  # alone it is an error: the kernel says EINVAL, before it looks at anything else
FLAGS = [bit for bit in (1 << n for n in range(32)) if bit & NEW_NAMESPACES]
Told = dict[str, int]


def in_a_child(told: Callable[[], Told]) -> Told:
    """What it tells there: nothing of what it does to itself is done to this process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, json.dumps(told()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer: Told = json.loads(pipe.read())
    os.waitpid(child, 0)
    return answer


def tried() -> Told:
    """The errno of each call, 0 where it is taken. No argument is one with which anything would really be made."""
    _, numbers = calls()
    arguments = {"unshare": (0,), "setns": (-1, 0)}
    found = {name: call(number, *arguments.get(name, ())) for name, number in numbers.items() if name != "clone"}
    found |= {f"clone {flag:#x}": call(numbers["clone"], flag | CLONE_THREAD) for flag in FLAGS}
    return found | {"clone3": call(CLONE3)}


def call(number: int, *arguments: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    six = [ctypes.c_long(one) for one in (*arguments, *[0] * 6)[:6]]
    return ctypes.get_errno() if libc.syscall(ctypes.c_long(number), *six) == -1 else 0


def filtered() -> Told:
    forbid_calls()
    return tried()


def test_every_call_that_has_to_do_with_namespaces_is_refused() -> None:
    """By the filter: without it the kernel finds other faults with these calls, or none."""
    free, forbidden = in_a_child(tried), in_a_child(filtered)

    assert forbidden.pop("clone3") == errno.ENOSYS
    assert set(forbidden.values()) == {errno.EPERM}
    assert len(forbidden) == 17
    assert free["unshare"] == 0
    assert free["setns"] == errno.EBADF
    assert {free[f"clone {flag:#x}"] for flag in FLAGS} == {errno.EINVAL}
    assert free["clone3"] == errno.EINVAL


def test_what_makes_no_namespace_works_as_ever() -> None:
    """Processes and threads, which are made by the same calls."""

    def told() -> Told:
        forbid_calls()
        done: list[int] = []
        thread = threading.Thread(target=done.append, args=(1,))
        thread.start()
        thread.join()
        return {"thread": len(done), "process": os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)[1]}

    assert in_a_child(told) == {"thread": 1, "process": 0}


def test_there_is_no_capability_and_none_to_be_had() -> None:
    """Root is somebody else afterwards."""

    def told() -> Told:
        forbid_namespaces()
        status = dict(line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines())
        sets = {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
        return sets | {"user": os.getuid(), "privileges": int(status["NoNewPrivs"])}

    found = in_a_child(told)

    assert found.pop("user") != 0
    assert found.pop("privileges") == 1
    assert set(found.values()) == {0}
