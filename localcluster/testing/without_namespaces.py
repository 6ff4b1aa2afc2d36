"""A command that may make no namespace, whoever starts it: the machine on which a cell is refused, for tests.

    python -m localcluster.testing.without_namespaces COMMAND...

The command has no capability, gets none by any program that it runs (no-new-privs), and a filter of the kernel
(seccomp) refuses it every call that makes, enters or furnishes a namespace. Started as root, it is the ordinary user
USER, whose id nobody has. HOME and the like are for the caller to set.

clone3 "is not there", since a filter cannot look behind its pointer: the C library then takes clone, whose flags are
seen. The same filter holds for all that the command starts.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

__all__ = ["CLONE3", "NEW_NAMESPACES", "USER", "calls", "forbid_calls", "forbid_namespaces", "main"]

USER: Final = 61234  # nobody has it: all that is needed is that it is not root

NEW_NAMESPACES: Final = 0x7E020000  # every CLONE_NEW* of clone; the one of time is for unshare and clone3 alone
EPERM, ENOSYS = 1, 38

# The number of each call, and what the kernel calls the architecture. mount_setattr and all that came after it have
# one number everywhere.
MACHINES: Final = {
    "x86_64": (
        0xC000003E,
        {"clone": 56, "mount": 165, "umount2": 166, "pivot_root": 155, "unshare": 272, "setns": 308},
    ),
    "aarch64": (0xC00000B7, {"clone": 220, "mount": 40, "umount2": 39, "pivot_root": 41, "unshare": 97, "setns": 268}),
}
NEWER: Final = {"open_tree": 428, "move_mount": 429, "fsopen": 430, "fsmount": 432, "mount_setattr": 442}
CLONE3: Final = 435
OTHER_NUMBERS: Final = 0x40000000  # x86-64 has each call under a second number, for 32-bit pointers

PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_CAP_AMBIENT = 24, 38, 22, 47
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
SECCOMP_MODE_FILTER: Final = 2
CAPABILITY_VERSION: Final = 0x20080522
ALLOW, REFUSE = 0x7FFF0000, 0x00050000  # REFUSE with an errno in its low bits
LOAD, EQUAL, ANY_OF, RETURN = 0x20, 0x15, 0x45, 0x06  # of a word; jumps if equal, if any bit is set; the verdict
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # where they stand in what a filter reads

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def main(arguments: Sequence[str]) -> NoReturn:
    """Become the command."""
    forbid_namespaces()
    os.execvp(arguments[0], list(arguments))  # noqa: S606 - what we are for


def forbid_namespaces() -> None:
    """This process, and all that it starts, is such a one from now on. Raises OSError."""
    if os.geteuid() == 0:
        _drop_bounds()
        os.setgroups([])
        os.setgid(USER)
        os.setuid(USER)
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    _without_capabilities()
    forbid_calls()


def forbid_calls() -> None:
    """The filter alone. Raises OSError."""
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    code = _filter(*calls())
    program = _Program(len(code) // 8, code)
    _prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program))


def calls() -> tuple[int, dict[str, int]]:
    """This machine's architecture, and the numbers of the calls that are refused."""
    architecture, numbers = MACHINES[platform.machine()]
    return architecture, numbers | NEWER


def _filter(architecture: int, numbers: dict[str, int]) -> bytes:
    """The program: for each call, a verdict (bpf(4): code, jump if true, jump if false, operand)."""
    refused = {number: EPERM for name, number in numbers.items() if name != "clone"} | {CLONE3: ENOSYS}
    steps = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, architecture), (RETURN, 0, 0, REFUSE | ENOSYS)]
    steps += [(LOAD, 0, 0, NUMBER), (ANY_OF, 0, 1, OTHER_NUMBERS), (RETURN, 0, 0, REFUSE | ENOSYS)]
    for number, errno in refused.items():
        steps += [(EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSE | errno)]
    steps += [(EQUAL, 0, 3, numbers["clone"]), (LOAD, 0, 0, FIRST_ARGUMENT)]
    steps += [(ANY_OF, 0, 1, NEW_NAMESPACES), (RETURN, 0, 0, REFUSE | EPERM), (RETURN, 0, 0, ALLOW)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _prctl(what: int, value: int, pointer: int = 0) -> None:
    result = _libc.prctl(ctypes.c_int(what), ctypes.c_ulong(value), ctypes.c_ulong(pointer), 0, 0)
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {what}: {os.strerror(number)}")


def _drop_bounds() -> None:
    """No program's file can give a capability back."""
    with open("/proc/sys/kernel/cap_last_cap") as file:  # noqa: PTH123
        last = int(file.read())
    for capability in range(last + 1):
        _prctl(PR_CAPBSET_DROP, capability)


def _without_capabilities() -> None:
    header = struct.pack("=Ii", CAPABILITY_VERSION, 0)
    if _libc.capset(header, bytes(24)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"capset: {os.strerror(number)}")


if __name__ == "__main__":
    main(sys.argv[1:])
