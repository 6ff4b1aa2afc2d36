"""Where a pod's port really is, and who listens."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from localcluster.addresses import BLOCKS, shared_machine
from localcluster.node.shared.hook.ports import CHOICE, NOBODY, Ports, listens


def test_a_port_that_did_not_move_is_where_it_is_said_to_be(tmp_path: Path) -> None:
    """All but a head's GCS."""
    assert Ports(str(tmp_path), "127.70.0.5").real("127.70.0.6", 8000) == 8000


def test_the_choice_of_a_port_is_seen_by_all_pods(tmp_path: Path) -> None:
    """Whoever chooses first has chosen for all."""
    head, worker = Ports(str(tmp_path), "127.70.0.5"), Ports(str(tmp_path), "127.70.0.6")
    chosen = head.own_gcs(6379)
    assert chosen in CHOICE
    assert head.own_gcs(6379) == worker.gcs("127.70.0.5", 6379) == worker.real("127.70.0.5", 6379) == chosen
    assert [file.name for file in tmp_path.iterdir()] == ["127.70.0.5-6379"]


def test_a_port_that_was_taken_meanwhile_is_given_up(tmp_path: Path) -> None:
    """GCS would find it taken on all addresses, whoever has it on one."""
    ports = Ports(str(tmp_path), "127.70.0.5")
    with socket.create_server(("127.0.0.1", ports.own_gcs(6379))) as taken:
        assert ports.renewed_gcs(6379) != taken.getsockname()[1]


def test_a_head_that_starts_again_has_its_port_though_connections_to_the_old_one_linger(tmp_path: Path) -> None:
    """The kernel keeps them for a minute after the old GCS was killed; its workers know that number and no other."""
    ports = Ports(str(tmp_path), "127.70.0.5")
    port = ports.own_gcs(6379)
    with socket.create_server(("127.70.0.5", port)) as old, socket.create_connection(("127.70.0.5", port)) as worker:
        accepted, _ = old.accept()
        accepted.close()  # first, as a killed process does
        assert worker.recv(1) == b""
    assert ports.renewed_gcs(6379) == port


@pytest.mark.parametrize("holder", ["127.99.0.1", "0.0.0.0"])
def test_a_port_that_somebody_has_on_any_address_is_not_chosen(holder: str, tmp_path: Path) -> None:
    """GCS could not listen on all of them."""
    (tmp_path / "again").mkdir()
    first = Ports(str(tmp_path), "127.70.0.5").own_gcs(6379)
    with socket.create_server((holder, first)):
        chosen = Ports(str(tmp_path / "again"), "127.70.0.5").own_gcs(6379)

    assert chosen != first


def test_ports_are_chosen_where_nothing_else_takes_them() -> None:
    """Neither the kernel for outgoing connections, by its default, nor Ray for its clients (23000-23999)."""
    assert CHOICE[0] > 23999
    assert CHOICE[-1] < 32768


def test_heads_of_two_runs_choose_different_ports(tmp_path: Path) -> None:
    """Their pods have the same places in their blocks."""
    chosen = {Ports(str(tmp_path), f"127.{block}.0.2").own_gcs(6379) for block in BLOCKS}

    assert len(chosen) == len(BLOCKS)


def test_of_two_that_choose_at_once_the_first_has_chosen_for_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The autoscaler and the head beside it. Nothing half-written stays."""
    ports, link = Ports(str(tmp_path), "127.70.0.5"), os.link

    def link_after_another(source: str, target: str) -> None:
        (tmp_path / "127.70.0.5-6379").write_text("24999")
        link(source, target)

    monkeypatch.setattr(os, "link", link_after_another)

    assert ports.own_gcs(6379) == 24999
    assert ports.real("127.70.0.5", 6379) == 24999
    assert [file.name for file in tmp_path.iterdir()] == ["127.70.0.5-6379"]


def test_what_others_have_moved_or_left_half_written_is_no_gcs_of_this_one(tmp_path: Path) -> None:
    """An address that begins alike, and a file of one that was killed while it chose."""
    ports = Ports(str(tmp_path), "127.70.0.9")
    (tmp_path / "127.70.0.55-6379").write_text("24001")
    (tmp_path / "127.70.0.5-6379.4711").write_text("24002")

    assert [ports.gcs("127.70.0.5", port) for port in (6379, 24001, 24002)] == [NOBODY] * 3


def test_a_connection_that_outlives_its_listener_is_none() -> None:
    """It has the same address and port."""
    with socket.create_server(("127.70.3.4", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        server.close()
        with accepted:
            assert not listens(*client.getpeername())


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_a_listener_with_an_ipv6_socket_listens_all_the_same() -> None:
    """At an IPv4 address in it, as Ray's C++ and gRPC have them."""
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as six:
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        six.bind(("::ffff:127.70.3.4", 0))
        six.listen()
        port = six.getsockname()[1]

        assert (listens("127.70.3.4", port), listens("127.70.3.5", port)) == (True, False)


def test_heads_that_start_together_choose_different_ports(tmp_path: Path) -> None:
    """Between the choice and its use all are free."""
    chosen = {Ports(str(tmp_path), f"127.70.0.{number}").own_gcs(6379) for number in range(5, 25)}
    assert len(chosen) == 20


def test_a_gcs_is_asked_for_where_it_is_or_nowhere(tmp_path: Path) -> None:
    """But that of a service, or of somebody who is no pod, is where it is said to be."""
    ports = Ports(str(tmp_path), "127.70.0.5")
    chosen = ports.own_gcs(6379)
    assert [ports.gcs("127.70.0.5", port) for port in (6379, chosen, 6380)] == [chosen, chosen, NOBODY]
    assert ports.gcs("127.70.0.6", 6379) == NOBODY
    assert [ports.gcs(address, 6379) for address in ("127.70.128.1", "127.71.0.5", "10.0.0.1")] == [6379] * 3


@pytest.mark.parametrize("block", [BLOCKS[0], BLOCKS[-1]])
def test_pods_are_told_from_services_as_the_plan_of_addresses_has_it(block: int, tmp_path: Path) -> None:
    """The hook may import nothing that is not in every interpreter, and says the border once more."""
    plan = shared_machine(block)
    ports = Ports(str(tmp_path), str(plan.pods[2]))
    ends = [str(network[number]) for network in (plan.pods, plan.services) for number in (0, -1)]
    assert [ports.is_pod(address) for address in ends] == [True, True, False, False]
    assert not ports.is_pod("127.0.0.1")


def test_who_listens_on_all_addresses_does_not_listen_on_this_one() -> None:
    """Nor does one that is only bound, or listens at another port."""
    address = "127.70.3.4"
    with socket.create_server((address, 0)) as own, socket.create_server(("0.0.0.0", 0)) as everybodys:
        port, other = own.getsockname()[1], everybodys.getsockname()[1]
        assert [listens(address, port), listens("127.70.3.5", port), listens(address, other)] == [True, False, False]
    assert not listens(address, port)
    with socket.socket() as bound:
        bound.bind((address, 0))
        assert not listens(address, bound.getsockname()[1])
