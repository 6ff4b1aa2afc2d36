"""Addresses of 127/8 that no other process of tests has: those that run side by side do not meet."""

from __future__ import annotations

import atexit
import socket
from functools import cache
from typing import Final

from localcluster.addresses import BLOCKS, claimed

__all__ = ["own_block"]

CLAIM: Final = "\0manta-tests-127.{}"  # in the abstract namespace of Unix sockets; it goes with the process


@cache
def own_block() -> int:
    """This process's block, until it ends. Raises LookupError when there are as many of them as there are blocks."""
    claim = socket.socket(socket.AF_UNIX)
    atexit.register(claim.close)
    block = claimed(claim, CLAIM, reversed(BLOCKS))
    if block is None:
        raise LookupError("every block of addresses is another process's")
    return block
