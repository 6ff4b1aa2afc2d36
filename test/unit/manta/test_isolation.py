"""Each run on a shared host has addresses that no other run has."""

from __future__ import annotations

import random
import socket

import pytest

from localcluster.addresses import BLOCKS
from manta.isolation import CLAIM, LIMITS, NoBlock, a_block, a_port, falling_back, way_out


def test_two_runs_have_two_blocks_and_a_block_is_free_again_after_its_run() -> None:
    """Whatever chance says: the name is claimed, not only chosen."""
    with a_block(random.Random(1)) as one, a_block(random.Random(1)) as other:
        assert one != other
        assert {one, other} <= set(BLOCKS)
    with a_block(random.Random(1)) as again:
        assert again == one


def test_a_run_seldom_begins_where_the_last_one_was() -> None:
    """What a killed run has left may still hold ports there for a moment."""
    chosen = set()
    for seed in range(10):
        with a_block(random.Random(seed)) as block:
            chosen.add(block)

    assert len(chosen) > 5


def test_when_all_blocks_are_taken_it_is_said() -> None:
    """More runs than there are addresses for."""
    claims = [socket.socket(socket.AF_UNIX) for _ in BLOCKS]
    try:
        for claim, block in zip(claims, BLOCKS, strict=True):
            try:
                claim.bind(CLAIM.format(block))
            except OSError:
                continue  # a run on this machine has it
        with (
            pytest.raises(NoBlock, match=f"^{len(BLOCKS)} runs of manta share this machine already"),
            a_block(random.Random(1)),
        ):
            pass
    finally:
        for claim in claims:
            claim.close()


def test_a_port_that_a_program_has_on_all_addresses_gives_way_to_another() -> None:
    """A wildcard takes its port on every address of the loopback, ours too."""
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]

        other = a_port("127.71.0.1", port)

    assert other not in (0, port)
    assert a_port("127.71.0.1", other) == other


def test_who_gets_no_cell_is_told_why_and_what_follows() -> None:
    """One line, which names the reason and the page; and the way out where only a cell would do."""
    assert "(Operation not permitted)" in falling_back("Operation not permitted")
    assert LIMITS in falling_back("x")
    assert "\n" not in falling_back("x")
    assert "--isolation shared-host" in way_out("Refused.")
