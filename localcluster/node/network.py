"""The network of a cell: a bridge, a pair of interfaces for each pod, and addresses that exist nowhere else.

Inside a cell only: the kernel takes all of it away with the cell's network namespace. There is no way out, since the
namespace has no interface of the machine; pods have a default route nevertheless, because Ray finds its own address by
the route to a public one (spec ray-side S10-1).

The service range is local to the cell as a whole, so a proxy can listen on any service's address without adding it.
"""

from __future__ import annotations

import errno
import ipaddress
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from localcluster.addresses import IN_A_CELL

__all__ = ["NETMASK", "Addresses", "Link", "Network", "networking"]

BRIDGE: Final = "manta0"
PODS: Final = IN_A_CELL.pods
NETMASK: Final = str(PODS.netmask)
LOCAL_TABLE: Final = 255


class Addresses:
    """Which pod addresses are free; the network's first is the node's. One given back is used again last, so that
    nobody meets an old acquaintance."""

    def __init__(self, pods: ipaddress.IPv4Network = PODS) -> None:
        self._pods = pods
        self._fresh: Iterator[int] = iter(range(2, pods.num_addresses - 1))
        self._returned: deque[str] = deque()

    def take(self) -> str:
        """One that nobody has. Raises LookupError when there is none."""
        number = next(self._fresh, None)
        if number is not None:
            return str(self._pods[number])
        if not self._returned:
            raise LookupError("all pod addresses are taken")
        return self._returned.popleft()

    def give_back(self, address: str) -> None:
        """It is free again."""
        self._returned.append(address)


@dataclass(frozen=True, slots=True)
class Link:
    """A pod's connection to the bridge."""

    address: str
    name: str


class Network:
    """The bridge, and the pods on it."""

    def __init__(self, netlink: Any, bridge: int) -> None:
        self._netlink, self._bridge = netlink, bridge
        self._addresses = Addresses()

    async def attach(self, pid: int) -> Link:
        """Give the network namespace of that process an interface eth0, which it then sets up. Raises OSError."""
        address = self._addresses.take()
        link = Link(address, f"pod{int(ipaddress.IPv4Address(address)) - int(PODS[0])}")
        try:
            await self._netlink.link("add", ifname=link.name, kind="veth", peer={"ifname": "eth0", "net_ns_pid": pid})
            index = await _index(self._netlink, link.name)
            await self._netlink.link("set", index=index, master=self._bridge, state="up")
        except BaseException as error:
            self._addresses.give_back(address)
            raise _plain(error) from error
        return link

    async def detach(self, link: Link) -> None:
        """The interface goes, and the address is free. Namespaces that ended took it away already."""
        for index in await self._netlink.link_lookup(ifname=link.name):
            try:
                await self._netlink.link("del", index=index)
            except Exception as error:
                if not isinstance(plain := _plain(error), OSError):
                    raise
                if plain.errno != errno.ENODEV:
                    raise plain from error
        self._addresses.give_back(link.address)


@asynccontextmanager
async def networking() -> AsyncIterator[Network]:
    """Make bridge, loopback and service range in this network namespace. Raises OSError."""
    from pyroute2 import AsyncIPRoute  # half a second

    async with AsyncIPRoute() as netlink:
        await netlink.link("add", ifname=BRIDGE, kind="bridge")
        bridge, loopback = await _index(netlink, BRIDGE), await _index(netlink, "lo")
        await netlink.link("set", index=loopback, state="up")
        await netlink.addr("add", index=bridge, address=IN_A_CELL.node, prefixlen=PODS.prefixlen)
        await netlink.link("set", index=bridge, state="up")
        await netlink.route(
            "add", dst=str(IN_A_CELL.services), oif=loopback, type="local", table=LOCAL_TABLE, scope="host"
        )
        yield Network(netlink, bridge)


async def _index(netlink: Any, name: str) -> int:
    found: list[int] = list(await netlink.link_lookup(ifname=name))
    if not found:
        raise OSError(19, f"there is no interface {name}")
    return found[0]


def _plain(error: BaseException) -> BaseException:
    """pyroute2's errors are no OSErrors, but carry an errno as `code`."""
    code = getattr(error, "code", None)
    return OSError(code, f"netlink: {error}") if isinstance(code, int) else error
