"""Where a pod's port really is, and who listens (spec ray-side §10.4; S10-13).

GCS listens on every address of the machine, so no two heads can have its number. A head's is therefore another one,
which a file "ADDRESS-6379" tells; all other ports keep their numbers, on the pod's address alone. Those files are of
this module: tables.py, which moves ports of services, has their names and their content from here.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "CHOICE",
    "LOOPBACK",
    "LOOPBACKS",
    "NOBODY",
    "WILDCARDS",
    "Ports",
    "file_of",
    "listening",
    "listens",
    "moved",
]

LOOPBACK = "127.0.0.1"
LOOPBACKS = (LOOPBACK, "localhost", "::1")
WILDCARDS = ("", "0.0.0.0", "::")
NOBODY = 1  # a port where nobody listens: an ordinary user cannot
# Below the range that the kernel takes ports for outgoing connections from, so that nothing takes a port between its
# choice and its use; above those that programs are known by, and Ray's for its clients (23000-23999).
CHOICE = range(24000, 32000)
LISTENING = "0A"


def file_of(folder: str, address: str, port: int) -> str:
    """Which file tells where a port has moved to; it is there as a whole or not at all."""
    return f"{folder}/{address}-{port}"


def moved(folder: str, address: str, port: int) -> int | None:
    """Where it has moved to, if it has."""
    try:
        with open(file_of(folder, address, port), encoding="ascii") as file:  # noqa: PTH123
            return int(file.read())
    except FileNotFoundError:
        return None


class Ports:
    """The moved ports of a cluster, as a pod sees them."""

    def __init__(self, folder: str, own: str) -> None:
        self._folder, self._own = folder, own
        self._block = ".".join(own.split(".")[:2]) + "."

    def is_pod(self, address: str) -> bool:
        """An address for pods of our cluster, no service's (localcluster/addresses.py)."""
        return address.startswith(self._block) and int(address.split(".")[2]) < 128

    def real(self, address: str, port: int) -> int:
        """Where that port of a pod is; the same number for all that did not move."""
        return self.moved(address, port) or port

    def moved(self, address: str, port: int) -> int | None:
        """Where it has moved to, if it has."""
        return moved(self._folder, address, port) if address.startswith(self._block) else None

    def gcs(self, address: str, port: int) -> int:
        """Where the GCS is that is said to be there.

        A head's GCS has always moved. If this one has not, then its head does not run yet, and whoever does listen at
        that number of all addresses is a GCS of somebody else, which a worker must never join (S10-13).
        """
        if not self.is_pod(address):
            return port
        if (found := self.moved(address, port)) is not None:
            return found
        return port if port in self._all_of(address) else NOBODY

    def own_gcs(self, port: int) -> int:
        """The number of this pod's GCS that is known as `port`; chosen now by whoever asks first.

        The second asker may be before the head: the autoscaler beside it must be told at its start. A head that starts
        again gets the same number if it is free, so that its workers find it.
        """
        if (found := self.moved(self._own, port)) is not None:
            return found
        chosen = _free_port(self._own)
        told = file_of(self._folder, self._own, port)
        unfinished = f"{told}.{os.getpid()}"
        with open(unfinished, "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(str(chosen))
        try:
            os.link(unfinished, told)  # only one of two that choose at once
        except FileExistsError:
            return self.real(self._own, port)
        finally:
            os.unlink(unfinished)  # noqa: PTH108
        return chosen

    def renewed_gcs(self, port: int) -> int:
        """As own_gcs, for the head itself: a number that somebody else has taken meanwhile is given up."""
        found = self.own_gcs(port)
        if not _is_free(found):
            os.unlink(file_of(self._folder, self._own, port))  # noqa: PTH108
            found = self.own_gcs(port)
        return found

    def _all_of(self, address: str) -> list[int]:
        names = [name for name in os.listdir(self._folder) if name.startswith(f"{address}-")]  # noqa: PTH208
        return [self.real(address, int(name.rpartition("-")[2])) for name in names if name.count(".") == 3]


def listens(address: str, port: int) -> bool:
    """Somebody listens at that very address, not only at all of them."""
    packed = bytes(int(part) for part in address.split("."))
    wanted = [f"{_as_in_proc(one)}:{port:04X}" for one in (packed, bytes(10) + b"\xff\xff" + packed)]
    return any(where in wanted for where in listening())


def _as_in_proc(packed: bytes) -> str:
    """Words of the machine's byte order."""
    words = [packed[place : place + 4] for place in range(0, len(packed), 4)]
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)


def listening() -> Iterator[str]:
    """Address and port of every TCP listener of the machine, as the kernel writes them: "0100007F:1F90"."""
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/net/{name}", encoding="ascii") as file:  # noqa: PTH123
                lines = file.read().splitlines()[1:]
        except FileNotFoundError:
            continue  # a machine without IPv6
        for line in lines:
            words = line.split(None, 4)
            if words[3] == LISTENING:
                yield words[1]


def _free_port(address: str) -> int:
    """Free on every address. Raises OSError. No two pods try the same one first, since both may find it free."""
    block, high, low = (int(part) for part in address.split(".")[1:])
    first = block * 131 + high * 256 + low
    for step in range(len(CHOICE)):
        port = CHOICE[(first + step) % len(CHOICE)]
        if _is_free(port):
            return port
    raise OSError(f"no port from {CHOICE[0]} to {CHOICE[-1]} is free for a GCS")


def _is_free(port: int) -> bool:
    """Connections to who was there before do not count: gRPC does not mind them (SO_REUSEADDR)."""
    import _socket  # the plain one: this is no server of the pod

    with_all = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    with_all.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    try:
        with_all.bind(("0.0.0.0", port))
    except OSError:
        return False
    finally:
        with_all.close()
    return True
