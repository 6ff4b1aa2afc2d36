"""Where a pod's port really is, and who listens."""

from __future__ import annotations

import socket
from pathlib import Path

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
