"""`socket` in a pod: servers listen at the pod's address alone, names are the cluster's (spec ray-side §10.4).

bind        A TCP server on a wildcard or loopback address, with a port that is not 0, gets the pod's address instead:
            each pod has its own port 8000. Serve needs it most: it shares ports (SO_REUSEPORT), and without this the
            proxies of all clusters share one, and answer for one another (S10-21).
connect     `localhost:P` leads to the pod's address if somebody listens there; otherwise it stays, since Ray's C++
            keeps real listeners on the loopback. A port that has moved is asked for where it is.
lookup      by the table of names; what `connect` and `sendto` look up for UDP, too, whose ports are the machine's.
            Nothing else of Python looks names up by itself (S10-11).
"""

from __future__ import annotations

from localcluster.node.shared.hook.ports import LOOPBACKS, WILDCARDS, listens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from localcluster.node.shared.hook.names import Names
    from localcluster.node.shared.hook.pod import Pod

__all__ = ["Sites", "patch", "patch_names", "whereto"]

MAPPED = "::ffff:"  # an IPv4 address as an IPv6 socket says it


class Sites:
    """Which TCP addresses this process has bound, in the words it used (S10-24).

    asyncio binds all sites of a server before it listens on any, so the kernel's tables cannot tell that a second one
    is of the same server: Ray's agent binds its node's address, then 127.0.0.1. Both would be the same address now.
    """

    def __init__(self, own: str) -> None:
        self._own = own
        # A reference that keeps no socket open, host as given, port, for IPv6 alone.
        self._bound: list[tuple[Callable[[], Any], str, int, bool]] = []

    def place(self, sock: Any, host: str, port: int, *, alone: bool) -> tuple[str, int]:
        """Where a socket really binds that asked for `host`. `alone`: an IPv6 socket that takes no IPv4."""
        from weakref import ref  # with the first server, not with every interpreter

        self._bound = [one for one in self._bound if (bound := one[0]()) is not None and bound.fileno() >= 0]
        beside = [one for one in self._bound if one[2] == port]
        self._bound.append((ref(sock), host, port, alone))
        if host == self._own and not beside:
            return host, port
        if beside and not any(_collide((host, alone), (one[1], one[3])) for one in beside):
            return self._own, 0  # the machine would have allowed both; here the first one serves for both
        return self._own, port  # if they do collide, the kernel says so

    def forget(self, sock: Any) -> None:
        """The bind has failed."""
        self._bound = [one for one in self._bound if one[0]() is not sock]


def _collide(one: tuple[str, bool], other: tuple[str, bool]) -> bool:
    """Two sites that nobody could bind both, on a machine of one's own."""
    if (one[0] == "::" and one[1]) or (other[0] == "::" and other[1]):
        return (":" in one[0]) == (":" in other[0])
    return one[0] == other[0] or one[0] in WILDCARDS or other[0] in WILDCARDS


def whereto(pod: Pod, host: str, port: int) -> tuple[str, int]:
    """Where a TCP connection to a host and port of the pod's world really goes."""
    if host in LOOPBACKS or host in WILDCARDS:
        there = pod.ports.real(pod.address, port)
        return (pod.address, there) if listens(pod.address, there) or there != port else (host, port)
    address = pod.names.first(host) or host
    return address, pod.ports.real(address, port)


def patch(pod: Pod, module: ModuleType) -> None:
    """`socket`, from now on."""
    _patch_bind(pod, Sites(pod.address), module)
    _patch_connect(pod, module)
    patch_names(pod.names, module)
    module.gethostname = lambda: pod.hostname  # type: ignore[attr-defined]


def _patch_bind(pod: Pod, sites: Sites, module: Any) -> None:
    kernels = module.socket.bind
    families = (module.AF_INET, module.AF_INET6)

    def bind(self: Any, address: Any, /) -> None:
        if self.family not in families or self.type != module.SOCK_STREAM:
            kernels(self, address)
            return
        host, port = address[:2]
        host = (pod.names.first(host) if isinstance(host, str) else None) or host  # its own name, most of all
        if port == 0 or host not in (*LOOPBACKS, *WILDCARDS, pod.address):
            kernels(self, (host, *address[1:]))
            return
        six = self.family == module.AF_INET6
        alone = six and bool(self.getsockopt(module.IPPROTO_IPV6, module.IPV6_V6ONLY))
        there, number = sites.place(self, host, port, alone=alone)
        if six:
            self.setsockopt(module.IPPROTO_IPV6, module.IPV6_V6ONLY, 0)
            there = MAPPED + there
        try:
            kernels(self, (there, number))
        except OSError:
            sites.forget(self)
            raise

    module.socket.bind = bind


def _patch_connect(pod: Pod, module: Any) -> None:
    connect_, connect_ex_, sendto_ = module.socket.connect, module.socket.connect_ex, module.socket.sendto

    def real(self: Any, address: Any) -> Any:
        if self.family not in (module.AF_INET, module.AF_INET6):
            return address
        if not isinstance(address, tuple) or not isinstance(address[0], str):
            return address
        if self.type != module.SOCK_STREAM:
            found = pod.names.first(address[0])
            return (f"{MAPPED if self.family == module.AF_INET6 else ''}{found}", *address[1:]) if found else address
        host, port = whereto(pod, address[0].removeprefix(MAPPED), address[1])
        if (host, port) == (address[0].removeprefix(MAPPED), address[1]):
            return address
        if self.family == module.AF_INET6 and ":" not in host:
            return MAPPED + host, port, *address[2:]
        return host, port, *address[2:]

    def connect(self: Any, address: Any, /) -> None:
        connect_(self, real(self, address))

    def connect_ex(self: Any, address: Any, /) -> int:
        return int(connect_ex_(self, real(self, address)))

    def sendto(self: Any, data: Any, *given: Any) -> int:
        return int(sendto_(self, data, *given[:-1], *(real(self, address) for address in given[-1:])))

    module.socket.connect = connect
    module.socket.connect_ex = connect_ex
    module.socket.sendto = sendto


def patch_names(names: Names, module: Any) -> None:
    """Only the lookups: what the operator needs, who is no pod."""
    getaddrinfo_, gethostbyname_ = module.getaddrinfo, module.gethostbyname
    gethostbyname_ex_ = module.gethostbyname_ex

    def found(host: Any) -> list[str] | None:
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        addresses = names.addresses(name) if isinstance(name, str) else None
        if addresses == []:
            raise module.gaierror(module.EAI_NONAME, f"Name or service not known: {name} is not in this cluster")
        return addresses

    def getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:  # noqa: A002
        addresses = found(host)
        if addresses is None:
            return getaddrinfo_(host, port, family, type, proto, flags)
        return [one for address in addresses for one in getaddrinfo_(address, port, family, type, proto, flags)]

    def gethostbyname(hostname: str, /) -> str:
        addresses = found(hostname)
        return str(addresses[0] if addresses else gethostbyname_(hostname))

    def gethostbyname_ex(hostname: str, /) -> Any:
        addresses = found(hostname)
        return (hostname, [], addresses) if addresses else gethostbyname_ex_(hostname)

    module.getaddrinfo, module.gethostbyname, module.gethostbyname_ex = getaddrinfo, gethostbyname, gethostbyname_ex
