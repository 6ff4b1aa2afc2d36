"""The name server of a cell: services and pods by their Kubernetes names, and nothing else.

    NAME.NAMESPACE.svc.cluster.local          the service's address, or its ready endpoints' if it is headless
    HOST.NAME.NAMESPACE.svc.cluster.local     one endpoint of it, by its host name
    10-244-0-7.NAMESPACE.pod.cluster.local    an address, spelled out

Whatever else is asked for does not exist, and is told so at once: nothing is ever passed on, and no query waits.
Addresses are IPv4; asked for another kind of record, a name that exists has none.
"""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from localcluster.mirror import Key

__all__ = ["BadQuery", "Lookup", "Question", "answer", "listed", "names_of", "question", "serving_names"]

Json: TypeAlias = dict[str, Any]
Lookup: TypeAlias = Callable[[str], "list[str] | None"]

PORT: Final = 53
TTL_SECONDS: Final = 5
DATAGRAM_LIMIT: Final = 512  # bytes; what is longer is asked for again over TCP
TYPE_A, CLASS_IN = 1, 1
RESPONSE, AUTHORITATIVE, TRUNCATED, RECURSION_DESIRED, RECURSION_AVAILABLE = 0x8000, 0x400, 0x200, 0x100, 0x80
NO_SUCH_NAME: Final = 3
OPCODE_MASK: Final = 0x7800
_HEADER: Final = struct.Struct(">HHHHHH")
_SUFFIX: Final = ".cluster.local"
_OWNER: Final = "kubernetes.io/service-name"


class BadQuery(Exception):
    """No query that we understand."""


@dataclass(frozen=True, slots=True)
class Question:
    """One query: `raw` is the question section as it came."""

    id: int
    flags: int
    name: str
    type: int
    raw: bytes


# Pure: names -------------------------------------------------------------------------------------------------------


def names_of(services: Mapping[Key, Json], slices: Mapping[Key, Json]) -> Lookup:
    """A function from a name to its addresses, None if there is no such name; it reads the mappings when called."""

    def lookup(name: str) -> list[str] | None:
        plain = name.lower().rstrip(".")
        if not plain.endswith(_SUFFIX):
            return None
        match plain.removesuffix(_SUFFIX).split("."):
            case [service, namespace, "svc"]:
                return _service(services.get((namespace, service)), slices)
            case [host, service, namespace, "svc"]:
                return _endpoint(services.get((namespace, service)), slices, host)
            case [dashed, _, "pod"]:
                return _spelled_out(dashed)
        return None

    return lookup


def listed(services: Mapping[Key, Json], slices: Mapping[Key, Json]) -> dict[str, list[str]]:
    """Every name that those objects give, with what `names_of` says of it. Of addresses spelled out, the endpoints'."""
    behind: dict[Key, dict[Key, Json]] = {}
    for key, item in slices.items():
        owner = (item["metadata"].get("labels") or {}).get(_OWNER)
        behind.setdefault((key[0], owner or ""), {})[key] = item
    found: dict[str, list[str]] = {}
    for (namespace, name), service in services.items():
        own = behind.get((namespace, name), {})
        of_service = f"{name}.{namespace}.svc{_SUFFIX}"
        if addresses := _service(service, own):
            found[of_service] = addresses
        for one in _ready(service, own):
            dashed = one["addresses"][0].replace(".", "-")
            found[f"{dashed}.{namespace}.pod{_SUFFIX}"] = one["addresses"][:1]
            for host in (dashed, one.get("hostname")):
                if host:
                    found.setdefault(f"{host}.{of_service}", list(one["addresses"]))
    return found


def _service(service: Json | None, slices: Mapping[Key, Json]) -> list[str] | None:
    if service is None or service["spec"].get("type") == "ExternalName":
        return None
    address = service["spec"].get("clusterIP") or "None"
    if address != "None":
        return [address]
    found = [address for one in _ready(service, slices) for address in one["addresses"]]
    return list(dict.fromkeys(found)) or None  # without ready endpoints a headless service has no name either


def _endpoint(service: Json | None, slices: Mapping[Key, Json], host: str) -> list[str] | None:
    if service is None:
        return None
    for one in _ready(service, slices):
        if host in (one.get("hostname"), one["addresses"][0].replace(".", "-")):
            return list(one["addresses"])
    return None


def _ready(service: Json, slices: Mapping[Key, Json]) -> Iterable[Json]:
    metadata = service["metadata"]
    for (namespace, _), item in slices.items():
        labels = item["metadata"].get("labels") or {}
        if namespace == metadata["namespace"] and labels.get(_OWNER) == metadata["name"]:
            yield from (one for one in item.get("endpoints") or () if (one.get("conditions") or {}).get("ready", True))


def _spelled_out(dashed: str) -> list[str] | None:
    try:
        return [str(ipaddress.IPv4Address(dashed.replace("-", ".")))]
    except ValueError:
        return None


# Pure: messages ----------------------------------------------------------------------------------------------------


def question(message: bytes) -> Question:
    """Take a query apart. Raises BadQuery."""
    try:
        id_, flags, count, *_ = _HEADER.unpack_from(message)
        if flags & (RESPONSE | OPCODE_MASK) or count != 1:
            raise BadQuery("not one plain question")
        labels, at = [], _HEADER.size
        while size := message[at]:
            if size > 63:
                raise BadQuery("a compressed name in a question")
            labels.append(message[at + 1 : at + 1 + size].decode())
            at += 1 + size
        kind, _ = struct.unpack_from(">HH", message, at + 1)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise BadQuery(str(error)) from error
    return Question(id_, flags, ".".join(labels), kind, message[_HEADER.size : at + 5])


def answer(query: Question, addresses: list[str] | None, *, limit: int | None = None) -> bytes:
    """The answer; longer than `limit`, one that says it is cut."""
    flags = RESPONSE | AUTHORITATIVE | RECURSION_AVAILABLE | (query.flags & RECURSION_DESIRED)
    if addresses is None:
        return _HEADER.pack(query.id, flags | NO_SUCH_NAME, 1, 0, 0, 0) + query.raw
    shown = addresses if query.type == TYPE_A else []
    name = b"\xc0\x0c"  # where the question has it
    records = [
        name + struct.pack(">HHIH", TYPE_A, CLASS_IN, TTL_SECONDS, 4) + ipaddress.IPv4Address(one).packed
        for one in shown
    ]
    message = _HEADER.pack(query.id, flags, 1, len(records), 0, 0) + query.raw + b"".join(records)
    if limit is not None and len(message) > limit:
        return _HEADER.pack(query.id, flags | TRUNCATED, 1, 0, 0, 0) + query.raw
    return message


# I/O ---------------------------------------------------------------------------------------------------------------


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # the selector loop's is no subclass of it

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        try:
            query = question(data)
        except BadQuery:
            return  # who sends what is no query gets no answer
        self._transport.sendto(answer(query, self._lookup(query.name), limit=DATAGRAM_LIMIT), addr)


@asynccontextmanager
async def serving_names(lookup: Lookup, address: str, *, port: int = PORT) -> AsyncIterator[None]:
    """Answers at that address, by UDP and TCP, while the block lasts. Raises OSError."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (size,) = struct.unpack(">H", await reader.readexactly(2))
                query = question(await reader.readexactly(size))
                said = answer(query, lookup(query.name))
                writer.write(struct.pack(">H", len(said)) + said)
                await writer.drain()
        except (BadQuery, asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(lookup), local_addr=(address, port))
    try:
        server = await asyncio.start_server(serve, address, port)
        try:
            yield
        finally:
            server.close()
    finally:
        transport.close()
