"""Which addresses a local cluster lives on: inside a cell, or as one of several on a machine that all share.

    in a cell             pods 10.244.0.0/16, services 10.96.0.0/16, on a loopback and a bridge of its own
    on a shared machine   block N of 127.0.0.0/8: pods 127.N.0.0/17, services 127.N.128.0/17

Everything of the cluster that is no pod and no service (API server, operator, node) is at `host`. The whole of 127/8
can be bound without privileges (spec ray-side §10.4), and 127.0.0.0/16, where machines have things of their own, is
never taken.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Final

__all__ = ["BLOCKS", "IN_A_CELL", "AddressPlan", "claimed", "shared_machine"]

BLOCKS: Final = range(64, 128)  # of 127/8
UNPRIVILEGED: Final = 1024  # an ordinary user can listen from this port on


@dataclass(frozen=True, slots=True)
class AddressPlan:
    """The networks of pods and services, the address of the rest, and the port of the service `kubernetes`."""

    pods: IPv4Network
    services: IPv4Network
    host: str
    kubernetes_port: int

    @property
    def node(self) -> str:
        """The node's own address, and the gateway of its pods where they have one."""
        return str(self.pods[1])

    @property
    def kubernetes(self) -> str:
        """The address of the service `kubernetes`."""
        return str(self.services[1])


IN_A_CELL: Final = AddressPlan(IPv4Network("10.244.0.0/16"), IPv4Network("10.96.0.0/16"), "127.0.0.1", 443)


def shared_machine(block: int) -> AddressPlan:
    """The addresses of a cluster beside others on one machine. Raises ValueError for a block that there is not."""
    if block not in BLOCKS:
        raise ValueError(f"there is no block {block}: they go from {BLOCKS[0]} to {BLOCKS[-1]}")
    pods, services = IPv4Network(f"127.{block}.0.0/17"), IPv4Network(f"127.{block}.128.0/17")
    return AddressPlan(pods, services, str(pods[1]), 6443)


def claimed(claim: socket.socket, name: str, blocks: Iterable[int]) -> int | None:
    """The first of the blocks that nobody else has claimed, now ours until `claim` is closed; None when all are taken.

    `claim` is an unbound Unix socket. `name` has {} for the block's number; in the abstract namespace the kernel gives
    it back however its process ends.
    """
    for block in blocks:
        try:
            claim.bind(name.format(block))
        except OSError:
            continue
        return block
    return None
