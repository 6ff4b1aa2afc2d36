"""What limits.py must know of the machine, looked up when a pod is placed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from localcluster.node.shared.hook.ports import listening
from localcluster.node.shared.limits import Machine

__all__ = ["look", "lowest_port", "taken_everywhere"]

_MAY_BIND: Final = 1 << 10  # CAP_NET_BIND_SERVICE


def look() -> Machine:
    """The machine now."""
    return Machine(os.geteuid(), lowest_port(), frozenset(taken_everywhere()))


def lowest_port() -> int:
    """From which on this process may listen; 0 if it may everywhere."""
    status = Path("/proc/self/status").read_text()
    rights = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")), 0)
    if rights & _MAY_BIND:
        return 0
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except OSError:
        return 1024  # a kernel that is older than that setting


def taken_everywhere() -> Iterator[int]:
    """Ports on which somebody listens at all addresses."""
    for where in listening():
        address, _, port = where.partition(":")
        if not address.strip("0"):
            yield int(port, 16)
