"""Clusters on one machine do not meet, and within one a pod's address is no service's."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from itertools import combinations
from pathlib import Path

import pytest

from localcluster.addresses import BLOCKS, IN_A_CELL, AddressPlan, shared_machine
from localcluster.node.network import Addresses

EVERY = [shared_machine(block) for block in BLOCKS]


@pytest.mark.parametrize("plan", [IN_A_CELL, EVERY[0], EVERY[-1]], ids=["cell", "first block", "last block"])
def test_pods_services_and_the_node_have_addresses_of_their_own(plan: AddressPlan) -> None:
    """Two of them at one address would answer for each other."""
    first_pod = Addresses(plan.pods).take()

    assert not plan.pods.overlaps(plan.services)
    assert IPv4Address(plan.node) in plan.pods
    assert first_pod not in (plan.node, plan.host)
    assert IPv4Address(plan.kubernetes) in plan.services


def test_no_two_blocks_share_an_address() -> None:
    """Two runs on one machine."""
    pairs = combinations([[plan.pods, plan.services] for plan in EVERY], 2)

    assert not [1 for ours, theirs in pairs if any(one.overlaps(other) for one in ours for other in theirs)]


def test_the_addresses_that_a_machine_uses_itself_are_in_no_block() -> None:
    """Name servers and the like listen below 127.1; a run's own programs are at its own block, too."""
    machines = IPv4Network("127.0.0.0/16")

    assert not [plan for plan in EVERY if plan.pods.overlaps(machines) or plan.services.overlaps(machines)]
    assert all(IPv4Address(plan.host) in plan.pods for plan in EVERY)


def test_the_api_servers_service_has_its_usual_port_only_where_that_can_be_had() -> None:
    """443 is for root alone outside of a cell."""
    assert IN_A_CELL.kubernetes_port == 443
    assert min(plan.kubernetes_port for plan in EVERY) >= 1024


def test_the_page_for_users_names_the_blocks_that_there_are() -> None:
    """By it a user knows whose an address is."""
    page = Path(__file__).parents[3] / "docs" / "shared-host.md"

    assert f"`127.N.0.0/16` for some N from {BLOCKS[0]} to {BLOCKS[-1]}" in page.read_text()


def test_a_block_that_is_not_for_runs_is_refused() -> None:
    """Its addresses would be somebody else's."""
    for block in (0, BLOCKS[0] - 1, BLOCKS[-1] + 1):
        with pytest.raises(ValueError, match=f"there is no block {block}"):
            shared_machine(block)
