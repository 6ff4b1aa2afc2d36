"""How far pods are kept from this machine: in a cell of namespaces, or as processes of the machine that all share.

The shared host is for machines that allow no namespaces; what it cannot do is on the page of LIMITS. Each run there has
a block of addresses to itself, claimed by a name that the kernel gives back however the run ends.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal, TypeAlias

from localcluster.addresses import BLOCKS, claimed

__all__ = ["LIMITS", "Isolation", "NoBlock", "a_block", "a_port", "falling_back", "way_out"]

Isolation: TypeAlias = Literal["auto", "cell", "shared-host"]

LIMITS: Final = "docs/shared-host.md"
CLAIM: Final = "\0manta-127.{}"  # in the abstract namespace of Unix sockets, which no file system holds


class NoBlock(Exception):
    """All blocks of addresses are taken; the message says so."""


def falling_back(reason: str) -> str:
    """What is told, once, when a run that may choose takes the shared host."""
    return (
        f"namespaces are refused here ({reason}): pods share this machine, its files, ports and memory, and only "
        f"Python programs find services by name; {LIMITS} has the limits"
    )


def way_out(refused: str) -> str:
    """To be told when only a cell would do, and there is none."""
    return f"{refused} Or take --isolation shared-host, which needs none of that: {LIMITS} has its limits."


@contextmanager
def a_block(chance: random.Random) -> Iterator[int]:
    """A block of addresses that no other run on this machine has while the block lasts. Raises NoBlock.

    Not always the first: what a killed run has left may still hold its ports for a moment.
    """
    with socket.socket(socket.AF_UNIX) as claim:
        block = claimed(claim, CLAIM, chance.sample(BLOCKS, len(BLOCKS)))
        if block is None:
            raise NoBlock(f"{len(BLOCKS)} runs of manta share this machine already, as many as there are addresses for")
        yield block


def a_port(address: str, preferred: int) -> int:
    """That port, or where a program has it that listens on all addresses, any one that is free."""
    for port in (preferred, 0):
        with socket.socket() as tried:
            try:
                tried.bind((address, port))
            except OSError:
                continue
            return int(tried.getsockname()[1])
    raise NoBlock(f"{address} has no free port")
