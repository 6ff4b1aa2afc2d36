"""The programs that become a pod's place, a container, and a command in a container.

    sandbox   makes the pod's network, UTS and IPC namespaces and sets them up; ends, and they live on in descriptors
    run       starts a container in them, with mount and PID namespaces of its own, and says how it ended
    enter     runs a command inside a running container

Each is a process of its own, started by launching.py, because namespaces belong to processes. They import little: an
exec probe starts one every few seconds. Their description comes as one JSON document on standard input (`sandbox`: one
a line), their answers go, a line each, to standard output. The container's main process is PID 1 of its namespace, as
with every container runtime: its end is the end of all the others, and a TERM that it does not expect is ignored.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import sys
from typing import Any, Final, NoReturn, TypeAlias

from localcluster.node import kernel
from localcluster.node.becoming import execute, exit_code_of, go_to, hindered, hindrance, open_log, redirect
from localcluster.node.rootfs import Mount, enter_root

__all__ = ["main"]

Json: TypeAlias = dict[str, Any]

_SIOCADDRT: Final = 0x890B
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_SIOCSIFADDR: Final = 0x8916
_SIOCSIFNETMASK: Final = 0x891C
_IFF_UP: Final = 0x1
_RTF_UP_GATEWAY: Final = 0x3
_CHUNK: Final = 64 * 1024


def main(arguments: list[str]) -> int:
    """One of the three programs."""
    kernel.die_with_parent()
    return {"sandbox": _sandbox, "run": _run, "enter": _enter}[arguments[0]]()


def _say(**what: Any) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


# sandbox -----------------------------------------------------------------------------------------------------------


def _sandbox() -> int:
    asked: Json = json.loads(sys.stdin.readline())
    network = kernel.CLONE_NEWNET if asked["network"] else 0
    try:
        kernel.unshare(kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC | network)
        kernel.set_hostname(asked["hostname"])
        _say(ok=True)  # the namespaces can be seen now: the other side puts eth0 into them
        if asked["network"]:
            _set_up(**json.loads(sys.stdin.readline()))
        _say(ok=True)
        sys.stdin.readline()  # the other side holds them now
    except OSError as error:
        _say(error=str(error))
        return 1
    return 0


def _set_up(address: str, netmask: str, gateway: str) -> None:
    """Loopback and eth0 are up, and all that is not near goes to the gateway."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        _bring_up(control, "lo")
        fcntl.ioctl(control, _SIOCSIFADDR, _interface("eth0") + _ip(address))
        fcntl.ioctl(control, _SIOCSIFNETMASK, _interface("eth0") + _ip(netmask))
        _bring_up(control, "eth0")
        anywhere = _ip("0.0.0.0")
        route = struct.pack(
            "@L16s16s16sHhLQhPLLH", 0, anywhere, _ip(gateway), anywhere, _RTF_UP_GATEWAY, 0, 0, 0, 0, 0, 0, 0, 0
        )
        fcntl.ioctl(control, _SIOCADDRT, route)


def _bring_up(control: socket.socket, name: str) -> None:
    answer = fcntl.ioctl(control, _SIOCGIFFLAGS, _interface(name) + bytes(24))
    flags = struct.unpack_from("h", answer, 16)[0]
    fcntl.ioctl(control, _SIOCSIFFLAGS, _interface(name) + struct.pack("h22x", flags | _IFF_UP))


def _interface(name: str) -> bytes:
    return struct.pack("16s", name.encode())


def _ip(address: str) -> bytes:
    """A sockaddr_in."""
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))


# run ---------------------------------------------------------------------------------------------------------------


def _run() -> int:
    asked: Json = json.load(sys.stdin)
    reading, writing = os.pipe()
    output, its_output = os.pipe()  # not the log itself: `> /dev/stdout` would cut that off
    try:
        log = open_log(asked["log"])
        for descriptor in asked["namespaces"]:
            kernel.setns(descriptor)
            os.close(descriptor)
        kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWPID)
    except OSError as error:
        _say(error=str(error))
        return 1
    child = os.fork()
    if child == 0:
        os.close(reading)
        _become(asked, writing, its_output)
    os.close(writing)
    os.close(its_output)
    problem = hindrance(reading)
    if problem:
        os.waitpid(child, 0)
        _say(error=problem)
        return 1
    _say(pid=child)
    _copy(output, log)
    _, status = os.waitpid(child, 0)  # PID 1 is reaped only after all others of its namespace
    _say(status=os.waitstatus_to_exitcode(status))
    return 0


def _copy(source: int, log: int) -> None:
    """Until nobody of the container is left that could write. What the log cannot take is lost."""
    while chunk := os.read(source, _CHUNK):
        try:
            while chunk:
                chunk = chunk[os.write(log, chunk) :]
        except OSError:
            continue


def _become(asked: Json, report: int, output: int) -> NoReturn:
    """This process is PID 1 of the container."""
    try:
        kernel.die_with_parent()
        enter_root(asked["scratch"], [Mount(**one) for one in asked["mounts"]])
        os.setsid()
        redirect(output, output)
        go_to(asked["directory"])
        execute(asked["command"], asked["environment"])
    except OSError as error:
        hindered(report, error)


# enter -------------------------------------------------------------------------------------------------------------


def _enter() -> int:
    asked: Json = json.load(sys.stdin)
    every = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC
    try:
        kernel.setns(asked["pidfd"], every)
        os.close(asked["pidfd"])
    except OSError as error:
        sys.stderr.write(f"cannot enter the container: {error}\n")
        return 126
    child = os.fork()
    if child == 0:
        try:
            kernel.die_with_parent()
            redirect(1, 2)
            os.chdir(asked["directory"])
            execute(asked["command"], asked["environment"])
        except OSError as error:
            os.write(2, f"{error.strerror}\n".encode())
        os._exit(127)
    _, status = os.waitpid(child, 0)
    return exit_code_of(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
