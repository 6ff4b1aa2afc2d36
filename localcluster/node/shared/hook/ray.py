"""What is changed in Ray, gRPC, psutil and uvloop once they are imported in a pod (spec ray-side §10.4's table).

Each change takes a function by its name and leaves alone what a release does not have.
"""

from __future__ import annotations

import os
import sys

from localcluster.node.shared.hook.ports import LOOPBACK, LOOPBACKS, WILDCARDS, listens
from localcluster.node.shared.hook.programs import command_of
from localcluster.node.shared.hook.targets import gcs_target, target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType
    from typing import Any

    from localcluster.node.shared.hook.pod import Pod

__all__ = ["patch_channels", "patch_psutil", "patch_servers", "patch_services", "patch_utils", "patch_uvloop"]


def patch_services(pod: Pod, services: ModuleType) -> None:
    """Addresses that users say, and the address of this node."""
    for name in ("canonicalize_bootstrap_address", "canonicalize_bootstrap_address_or_die"):
        _wrap(services, name, lambda original: _canonical(pod, original))
    # Ray asks which way leads to the internet, and finds the machine's address.
    _wrap(services, "node_ip_address_from_perspective", lambda original: lambda address=None: pod.address)
    _wrap(services, "get_cached_node_ip_address", lambda original: _own_node_first(pod, original))
    _wrap(services, "get_node_to_connect_for_driver", lambda original: _own_node(pod, original))


def _canonical(pod: Pod, original: Callable[..., Any]) -> Callable[..., Any]:
    """ray.init("FQDN:6379"), and what is found in the environment: C++ cannot see private names (S10-12)."""

    def canonical(addr: Any = None, *rest: Any, **named: Any) -> Any:
        found = original(gcs_target(pod, addr) if isinstance(addr, str) else addr, *rest, **named)
        return gcs_target(pod, found) if isinstance(found, str) else found

    return canonical


def _own_node_first(pod: Pod, original: Callable[..., Any]) -> Callable[..., Any]:
    """A driver takes the head's session folder from GCS, and finds the head's address in it (S10-20)."""

    def address_of(session: str, *rest: Any, **named: Any) -> Any:
        return pod.address if _has_a_raylet(pod) else original(session, *rest, **named)

    return address_of


def _own_node(pod: Pod, original: Callable[..., Any]) -> Callable[..., Any]:
    """A driver in a pod with a raylet attaches to that one, not to the head's (S10-20)."""

    def node_of(gcs_address: str, node_ip_address: str, *rest: Any, **named: Any) -> Any:
        return original(gcs_address, pod.address if _has_a_raylet(pod) else node_ip_address, *rest, **named)

    return node_of


def patch_utils(pod: Pod, utils: ModuleType) -> None:
    """Where a node keeps its files. A release that does not let workers say it (2.53 warns that it ignores their
    --temp-dir) gives them the head's folder, from GCS: two nodes in one session folder take each other's sockets and
    agents (S10-2)."""

    def with_own(original: Callable[..., Any]) -> Callable[..., Any]:
        def get(gcs_client: Any, key: Any, *rest: Any, **named: Any) -> Any:
            if key in ("temp_dir", b"temp_dir") and (_starts_a_node() or _has_a_raylet(pod)):
                return f"{pod.temporary}/ray".encode()
            return original(gcs_client, key, *rest, **named)

        return get

    _wrap(utils, "internal_kv_get_with_retry", with_own)


def _starts_a_node() -> bool:
    return command_of(sys.argv[1:]) == "start" and os.path.basename(sys.argv[0]) == "ray"  # noqa: PTH119


def _has_a_raylet(pod: Pod) -> bool:
    sockets = f"{pod.temporary}/ray/session_latest/sockets"
    try:
        return any(name.startswith("raylet") for name in os.listdir(sockets))  # noqa: PTH208
    except FileNotFoundError:
        return False


def patch_psutil(pod: Pod, psutil: ModuleType) -> None:
    """A look at all processes sees those of this container: `ray stop` ends what it sees (S5-12), and `auto` connects
    to the GCS that it sees."""
    _wrap(psutil, "process_iter", lambda original: lambda *given, **named: _own_ones(original(*given, **named)))


def _own_ones(processes: Iterator[Any]) -> Iterator[Any]:
    from localcluster.node.shared.hook import POD

    marker = f"{POD}={os.environ[POD]}".encode()
    return (one for one in processes if _carries(one.pid, marker) or _carries(_session_of(one.pid), marker))


def _session_of(pid: int) -> int:
    """Ray's agents write their title over their environment (S10-26); the container's first process leads their
    session."""
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return pid


def _carries(pid: int, marker: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
            return marker in file.read().split(b"\0")
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return False  # it has ended, or is somebody else's


def patch_channels(pod: Pod, grpc: ModuleType) -> None:
    """gRPC's C core does not see names of ours: ray.init("ray://FQDN:10001")."""
    for name in ("insecure_channel", "secure_channel"):
        _wrap(grpc, name, lambda original: lambda to, *given, **named: original(_place(pod, to), *given, **named))


def _place(pod: Pod, to: str) -> str:
    """On the loopback it is this pod's own, unless somebody of the machine is there already. Ray makes a channel to a
    client's server before it starts that."""
    host, _, port = to.rpartition(":")
    if host not in LOOPBACKS or not port.isdigit() or pod.ports.moved(pod.address, int(port)) is not None:
        return target(pod, to)
    own = listens(pod.address, int(port)) or not listens(LOOPBACK, int(port))
    return f"{pod.address}:{port}" if own else to


def patch_servers(pod: Pod, server: ModuleType) -> None:
    """gRPC's C core binds by itself, and shares ports (SO_REUSEPORT): Serve's gRPC proxies of two pods on [::]:9000
    would answer for one another, as those for HTTP would (S10-21); and so would the servers that Ray starts for its
    clients, all of them from 127.0.0.1:23000 on (S10-14)."""
    for kind in (getattr(server, "_Server", None), getattr(server, "Server", None)):
        for name in ("add_insecure_port", "add_secure_port"):
            if kind is not None and hasattr(kind, name):
                setattr(kind, name, _on_own_address(pod, getattr(kind, name)))


def _on_own_address(pod: Pod, original: Callable[..., int]) -> Callable[..., int]:
    from weakref import WeakKeyDictionary

    servers: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()  # and their places at the pod's address

    def add(self: Any, address: str, *given: Any, **named: Any) -> int:
        host, _, port = address.rpartition(":")
        own, places = f"{pod.address}:{port}", servers.setdefault(self, set())
        if not port.isdigit() or not int(port) or not _is_own(pod, host.strip("[]"), both=own in places):
            return original(self, address, *given, **named)
        if own in places:
            return int(port)
        found = original(self, own, *given, **named)
        places.add(own)
        return found

    return add


def _is_own(pod: Pod, host: str, *, both: bool) -> bool:
    """What is to be at the pod's address. Who is there and wants the loopback as well (`both`) has it: Ray's C++ asks
    its agent there, at a port of chance."""
    return host in WILDCARDS or host == pod.address or (host in LOOPBACKS and not both)


def patch_uvloop(pod: Pod, uvloop: ModuleType) -> None:
    """libuv looks names up and connects by itself (S10-11), and asynchronous actors and Serve's replicas run in its
    loop where there is one. It binds sockets of Python's."""
    loop = getattr(uvloop, "Loop", None)
    if loop is not None:
        loop.getaddrinfo = _with_names(pod, loop.getaddrinfo)
        loop.create_connection = _connecting(pod, loop.create_connection)
        loop.create_server = _serving(pod, loop.create_server)


def _with_names(pod: Pod, original: Callable[..., Any]) -> Callable[..., Any]:
    async def getaddrinfo(self: Any, host: Any, port: Any, **named: Any) -> Any:
        if isinstance(host, str) and pod.names.addresses(host) is not None:
            import socket

            return socket.getaddrinfo(host, port, **named)  # no name server is asked
        return await original(self, host, port, **named)

    return getaddrinfo


def _connecting(pod: Pod, original: Callable[..., Any]) -> Callable[..., Any]:
    async def create_connection(self: Any, factory: Any, host: Any = None, port: Any = None, **named: Any) -> Any:
        if not isinstance(host, str) or not isinstance(port, int):
            return await original(self, factory, host, port, **named)
        if named.get("ssl") and named.get("server_hostname") is None:
            named["server_hostname"] = host  # what its certificate tells
        return await original(self, factory, *_site(pod, host, port), **named)

    return create_connection


def _serving(pod: Pod, original: Callable[..., Any]) -> Callable[..., Any]:
    async def create_server(self: Any, factory: Any, host: Any = None, port: Any = None, **named: Any) -> Any:
        own = pod.names.first(host) if isinstance(host, str) else None  # its own name, most of all
        return await original(self, factory, own or host, port, **named)

    return create_server


def _site(pod: Pod, host: str, port: int) -> tuple[str, int]:
    """Raises OSError for a name that would be ours and does not exist."""
    import socket

    from localcluster.node.shared.hook.sockets import whereto

    return whereto(pod, socket.gethostbyname(host) if pod.names.addresses(host) is not None else host, port)


def _wrap(module: ModuleType, name: str, with_: Callable[[Any], Any]) -> None:
    original = getattr(module, name, None)
    if original is not None:
        instead = with_(original)
        instead.__dict__.update(getattr(original, "__dict__", {}))  # psutil hangs a function on one of its own
        setattr(module, name, instead)
