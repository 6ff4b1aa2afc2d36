"""Where servers of a pod really are and where its connections lead, case by case."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from localcluster.node.shared.hook.sockets import Sites, whereto
from localcluster.testing.hooked import HookedPod, Neighbours

OWN = "127.70.0.5"


class Socket:
    """As far as it matters whether it is open."""

    def __init__(self) -> None:
        self.open = True

    def fileno(self) -> int:
        return 7 if self.open else -1


@pytest.mark.parametrize(
    ("asked", "at"),
    [
        (["0.0.0.0"], [8000]),
        ([OWN], [8000]),
        ([OWN, "127.0.0.1"], [8000, 0]),
        (["127.0.0.1", OWN], [8000, 0]),
        (["127.0.0.1", "::1"], [8000, 0]),
        (["127.0.0.1", "127.0.0.1"], [8000, 8000]),
        (["0.0.0.0", OWN], [8000, 8000]),
        ([OWN, "::"], [8000, 8000]),
        (["0.0.0.0", ":: alone"], [8000, 0]),
        ([":: alone", "127.0.0.1"], [8000, 0]),
        ([":: alone", "::1"], [8000, 8000]),
        ([":: alone", ":: alone"], [8000, 8000]),
    ],
)
@pytest.mark.spec("ray-side:S10-24")
def test_a_second_site_has_the_port_of_chance_where_a_machine_would_allow_both(asked: list[str], at: list[int]) -> None:
    """Where it would not, it asks for the same one, and the kernel refuses."""
    sites, sockets = Sites(OWN), [Socket() for _ in asked]

    found = [
        sites.place(sock, host.split()[0], 8000, alone="alone" in host)
        for sock, host in zip(sockets, asked, strict=True)
    ]

    assert found == [(OWN, port) for port in at]


def test_what_is_closed_gone_or_was_refused_or_is_at_another_port_counts_no_more() -> None:
    """Each would give the next server a port that nobody knows."""
    sites = Sites(OWN)
    closed, refused, elsewhere = Socket(), Socket(), Socket()
    sites.place(closed, "127.0.0.1", 8000, alone=False)
    sites.place(Socket(), "127.0.0.1", 8000, alone=False)  # nobody holds it
    sites.place(refused, "127.0.0.1", 8000, alone=False)
    sites.place(elsewhere, "127.0.0.1", 8001, alone=False)
    closed.open = False
    sites.forget(refused)

    assert sites.place(Socket(), OWN, 8000, alone=False) == (OWN, 8000)


def test_localhost_leads_to_the_pod_where_that_listens_or_has_moved_and_to_the_machine_otherwise(
    tmp_path: Path,
) -> None:
    """A port that moved may have nobody yet, and is no other program's for that."""
    cluster = Neighbours(tmp_path)
    pod = cluster.pod("one", 5).pod
    cluster.moved(pod.address, 6379, 24001)
    with socket.create_server((pod.address, 0)) as server:
        port = server.getsockname()[1]
        for host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", ""):
            assert whereto(pod, host, port) == (pod.address, port)

    assert whereto(pod, "localhost", port) == ("localhost", port)
    assert whereto(pod, "localhost", 6379) == (pod.address, 24001)


def test_a_name_leads_to_its_pod_and_to_where_its_port_is(tmp_path: Path) -> None:
    """And what is nobody's of ours stays as it is."""
    cluster = Neighbours(tmp_path)
    pod, head = cluster.pod("one", 5).pod, f"{cluster.block}.0.7"
    cluster.names({"head.ns.svc.cluster.local": [head]})
    cluster.moved(head, 6379, 24001)

    assert [whereto(pod, host, 6379) for host in ("head", head)] == [(head, 24001)] * 2
    assert whereto(pod, "head", 8265) == (head, 8265)
    assert whereto(pod, "10.0.0.1", 6379) == ("10.0.0.1", 6379)


# Interpreters --------------------------------------------------------------------------------------------------------


@pytest.fixture
def pod(tmp_path: Path) -> HookedPod:
    """With a service of two pods, and one more pod whose port 6379 has moved to where the test listens."""
    cluster = Neighbours(tmp_path)
    both = [f"{cluster.block}.0.7", f"{cluster.block}.0.8"]
    cluster.names({"both.ns.svc.cluster.local": both, "head.ns.svc.cluster.local": both[:1]})
    return cluster.pod("one", 5)


def test_datagrams_are_not_ours(pod: HookedPod) -> None:
    """They have no listeners that could be told apart."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        place = free.getsockname()

    said = pod.python(f"""
import socket
one, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
one.bind({place})
other.connect({place})
print(one.getsockname(), other.getpeername())
""")

    assert said == f"{place} {place}"


def test_datagrams_find_names_of_ours_and_ports_as_they_are_said(pod: HookedPod, tmp_path: Path) -> None:
    """Only listeners for connections move."""
    head = pod.address.rpartition(".")[0] + ".7"
    (tmp_path / "ports" / f"{head}-6379").write_text("24001")

    said = pod.python("""
import socket
for host in ("head", "127.0.0.9"):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.connect((host, 6379))
    print(*one.getpeername())
""")

    assert said.splitlines() == [f"{head} 6379", "127.0.0.9 6379"]


def test_all_ways_to_look_a_name_up_know_ours(pod: HookedPod) -> None:
    """All of its addresses, by text or bytes; and those of the machine still work."""
    said = pod.python("""
import socket
for name in ("both", b"both"):
    print(*sorted({found[4][0] for found in socket.getaddrinfo(name, 80)}))
print(socket.gethostbyname("both"), socket.gethostbyname_ex("both"))
print(socket.gethostbyname("127.0.0.9"), socket.gethostbyname_ex("127.0.0.9")[2])
""")

    block = pod.address.rpartition(".")[0]
    both = f"{block}.7 {block}.8"
    named = f"{block}.7 ('both', [], ['{block}.7', '{block}.8'])"
    assert said.splitlines() == [both, both, named, "127.0.0.9 ['127.0.0.9']"]


def test_connections_find_ports_that_moved_whichever_way_they_are_made(pod: HookedPod, tmp_path: Path) -> None:
    """`connect`, and `connect_ex` of those who do not wait; asyncio has the address already."""
    head = pod.address.rpartition(".")[0] + ".7"
    with socket.create_server((head, 0)) as server:
        (tmp_path / "ports" / f"{head}-6379").write_text(str(server.getsockname()[1]))
        said = pod.python(f"""
import socket
for host in ("head", "{head}"):
    with socket.socket() as one, socket.socket() as other:
        one.connect((host, 6379))
        print(other.connect_ex((host, 6379)))
""")

    assert said.split() == ["0", "0"]


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_ipv6_sockets_lead_and_listen_where_others_do(pod: HookedPod) -> None:
    """Also one that was for IPv6 alone: the pod's address is of the other kind."""
    said = pod.python("""
import socket
for alone in (0, 1):
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, alone)
        server.bind(("::", 18000))
        server.listen()
        for host in ("::1", "::ffff:127.0.0.1", "one"):
            with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as client:
                client.connect((host, 18000, 0, 0))
                print(client.getpeername()[0])
""")

    assert said.split() == [f"::ffff:{pod.address}"] * 6


def test_a_server_that_cannot_have_its_port_may_try_again(pod: HookedPod) -> None:
    """The refused try is forgotten: the next one is no second site of it."""
    with socket.create_server((pod.address, 0)) as taken:
        port = taken.getsockname()[1]
        with pod.running(f"""
import socket
kept = [socket.socket(), socket.socket()]
try:
    kept[0].bind(("127.0.0.1", {port}))
except OSError as error:
    print(error.errno)
input()
kept[1].bind(("{pod.address}", {port}))
print(kept[1].getsockname())
""") as process:
            assert process.stdin is not None
            assert process.stdout is not None
            taken.close()
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline().strip() == str((pod.address, port))
