"""Becomes another program that dies with its parent: `python tied.py PARENT_PID PROGRAM ARGUMENTS...`.

A test run that is killed runs no clean-up; the kernel does it then (PR_SET_PDEATHSIG survives the exec).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):  # the parent died before we asked
        sys.exit(1)
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - that is its purpose
