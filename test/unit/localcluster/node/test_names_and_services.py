"""Names and Services inside a cell: what DNS answers, and where a ClusterIP leads."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import dns.message
import dns.rcode
import pytest

from localcluster.mirror import Mirrors
from localcluster.node.dns import Names, answer, serving_names
from localcluster.node.services import Way, proxying, ways_of

Json: TypeAlias = dict[str, Any]


class Still:
    """A mirror of objects that do not change by themselves."""

    def __init__(self, items: Sequence[Json]) -> None:
        self.objects = {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in items}
        self.told: list[Any] = []

    def get(self, namespace: str, name: str) -> Json | None:
        return self.objects.get((namespace, name))

    def subscribe(self, told: Any) -> None:
        self.told.append(told)
        for item in self.objects.values():
            told(None, item)

    def put(self, item: Json | None, old: Json | None = None) -> None:
        body = item or old
        assert body is not None
        key = (body["metadata"]["namespace"], body["metadata"]["name"])
        if item is None:
            self.objects.pop(key)
        else:
            self.objects[key] = item
        for told in self.told:
            told(old, item)


class World:
    """Services and slices, where the node looks for them."""

    def __init__(self, services: Sequence[Json], slices: Sequence[Json]) -> None:
        self.services, self.slices = Still(services), Still(slices)

    def of(self, resource: str) -> Still:
        return self.services if resource == "services" else self.slices

    @property
    def mirrors(self) -> Mirrors:
        return cast("Mirrors", self)


def a_service(name: str, address: str, *ports: int) -> Json:
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"clusterIP": address, "ports": [{"name": f"p{port}", "port": port} for port in ports]},
    }


def a_slice(service: str, *addresses: str, ready: bool = True, hostname: str = "", **ports: int) -> Json:
    endpoint: Json = {"addresses": list(addresses), "conditions": {"ready": ready}}
    if hostname:
        endpoint["hostname"] = hostname
    return {
        "metadata": {
            "name": f"{service}-{addresses[0]}",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": service},
        },
        "ports": [{"name": name, "port": port} for name, port in ports.items()],
        "endpoints": [endpoint],
    }


WORLD = World(
    [a_service("web", "10.96.0.7", 80), a_service("head", "None", 6379)],
    [
        a_slice("web", "10.244.0.2", p80=8080),
        a_slice("head", "10.244.0.3", p6379=6379, hostname="h"),
        a_slice("head", "10.244.0.4", ready=False, p6379=6379),
    ],
)


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        ("web.default.svc.cluster.local.", ["10.96.0.7"]),
        ("WEB.default.SVC.cluster.local.", ["10.96.0.7"]),
        ("head.default.svc.cluster.local.", ["10.244.0.3"]),
        ("h.head.default.svc.cluster.local.", ["10.244.0.3"]),
        ("x.head.default.svc.cluster.local.", None),
        ("10-244-0-9.default.pod.cluster.local.", ["10.244.0.9"]),
        ("default.svc.cluster.local.", []),
        ("nope.default.svc.cluster.local.", None),
        ("web.other.svc.cluster.local.", None),
        ("web.", None),
        ("example.org.", None),
    ],
)
def test_names_mean_what_they_mean_in_a_cluster(name: str, addresses: list[str] | None) -> None:
    """A Service's address, a headless one's ready endpoints, a pod by its dashes; nothing outside exists."""
    assert Names(WORLD.mirrors).addresses(name) == addresses


def ask(name: str, kind: str = "A") -> dns.message.Message:
    reply = answer(dns.message.make_query(name, kind).to_wire(), Names(WORLD.mirrors))
    assert reply is not None
    return dns.message.from_wire(reply)


def test_a_name_that_does_not_exist_is_denied_and_one_without_that_record_is_empty() -> None:
    """NXDOMAIN ends a search at once; an empty answer keeps a client from asking for IPv6 elsewhere."""
    assert ask("example.org.").rcode() == dns.rcode.NXDOMAIN
    no_ipv6 = ask("web.default.svc.cluster.local.", "AAAA")
    assert (no_ipv6.rcode(), no_ipv6.answer) == (dns.rcode.NOERROR, [])
    assert [str(one) for one in ask("web.default.svc.cluster.local.").answer[0]] == ["10.96.0.7"]


def test_what_is_no_query_gets_no_answer() -> None:
    """Neither garbage nor a reply: an answer to it would make a loop."""
    reply = ask("web.default.svc.cluster.local.").to_wire()
    assert answer(b"\x00garbage", Names(WORLD.mirrors)) is None
    assert answer(reply, Names(WORLD.mirrors)) is None


@pytest.mark.parametrize("tcp", [False, True])
async def test_names_are_answered_over_udp_and_tcp(tcp: bool) -> None:
    """Asked as a resolver asks, on a loopback port."""
    query = dns.message.make_query("web.default.svc.cluster.local.", "A").to_wire()
    async with serving_names(Names(WORLD.mirrors), "127.0.0.1", 0) as port:
        if tcp:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(len(query).to_bytes(2, "big") + query)
            reply = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
            writer.close()
        else:
            loop = asyncio.get_running_loop()
            received: asyncio.Future[bytes] = loop.create_future()

            class Asking(asyncio.DatagramProtocol):
                def datagram_received(self, data: bytes, addr: Any) -> None:
                    received.set_result(data)

            transport, _ = await loop.create_datagram_endpoint(Asking, remote_addr=("127.0.0.1", port))
            transport.sendto(query)
            reply = await received
            transport.close()
    assert [str(one) for one in dns.message.from_wire(reply).answer[0]] == ["10.96.0.7"]


def test_a_clusterip_leads_to_ready_endpoints_by_the_port_of_that_name() -> None:
    """targetPort was resolved by the endpoints controller; a headless Service needs no proxy."""
    slices = [
        a_slice("web", "10.244.0.2", p80=8080, p81=9090),
        a_slice("web", "10.244.0.5", ready=False, p80=8080),
        a_slice("web", "10.244.0.6", p81=9090),
    ]
    assert ways_of(a_service("web", "10.96.0.7", 80), slices) == [Way("10.96.0.7", 80, (("10.244.0.2", 8080),))]
    assert ways_of(a_service("head", "None", 80), slices) == []


async def test_connections_follow_the_endpoints_as_they_come_and_go() -> None:
    """Without an endpoint a connection is refused; with one it is carried there; a Service that goes closes its port."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello " + await reader.readline())
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as backend:
        target = backend.sockets[0].getsockname()[1]
        async with await asyncio.start_server(greet, "127.0.0.2", 0) as taken:
            port = taken.sockets[0].getsockname()[1]
        service = a_service("web", "127.0.0.2", port)
        world = World([service], [])
        async with proxying(world.mirrors, random.Random(1)) as proxy:
            await proxy.settled()
            assert await said_by("127.0.0.2", port) == b""

            world.slices.put(a_slice("web", "127.0.0.1", **{f"p{port}": target}))
            await proxy.settled()
            assert await said_by("127.0.0.2", port) == b"hello you\n"

            world.services.put(None, service)
            await proxy.settled()
            with pytest.raises(ConnectionRefusedError):
                await said_by("127.0.0.2", port)


async def said_by(host: str, port: int) -> bytes:
    """What the other end answers to one line; empty for a connection that is broken off."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"you\n")
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()
