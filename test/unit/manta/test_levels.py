"""Which level of isolation a run gets, and what its user is told of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from localcluster.addresses import BLOCKS, shared_machine
from localcluster.node.cell import refusal
from manta.isolation import LIMITS
from manta.local import HEALTH_PORT, WEBHOOK_PORT, Level, on_the_machine

TRIED = """
import asyncio, json, sys
from pathlib import Path
from localcluster.node.cell import Program
from localcluster.testing.without_namespaces import forbid_calls
from manta.local import NotStarted, started

wish, forbidden, up = sys.argv[1:]
if forbidden == "forbidden":
    forbid_calls()
levels, said = [], []

def programs_at(level):
    levels.append(level)
    return [Program("waits", ("sh", "-c", f"echo > {up}; exec sleep 600"))]

async def tried():
    async with started(programs_at, wish, said.append) as (cell, level):
        assert level == levels[-1]
        await asyncio.to_thread(Path(up).read_text)
        return {"level": level.isolation, "block": level.block, "programs": sorted(cell.pids)}

try:
    told = asyncio.run(tried())
except NotStarted as error:
    told = {"level": None, "why": str(error)}
print(json.dumps(told | {"said": said, "tries": len(levels)}), flush=True)
"""


@pytest.fixture
def up(tmp_path: Path) -> Path:
    """A pipe into which the program writes that it runs."""
    os.mkfifo(tmp_path / "up")
    return tmp_path / "up"


def tried(wish: str, namespaces: str, up: Path) -> Any:
    """A program that does nothing is started at that level. Skips where a cell is wanted that nobody can have."""
    if namespaces == "allowed" and wish != "shared-host" and (reason := refusal()):
        pytest.skip(reason)
    ended = subprocess.run(
        [sys.executable, "-c", TRIED, wish, namespaces, str(up)], capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(ended.stdout)


@pytest.mark.parametrize("wish", ["auto", "cell"])
def test_where_a_cell_can_be_had_it_is_taken_and_nothing_is_said(wish: str, up: Path) -> None:
    """It is like a real node."""
    told = tried(wish, "allowed", up)

    assert (told["level"], told["block"], told["said"]) == ("cell", None, [])
    assert "waits" in told["programs"]


def test_where_none_can_be_had_the_machine_is_shared_and_that_is_said_once(up: Path) -> None:
    """With the reason, and the page of what that means."""
    told = tried("auto", "forbidden", up)

    [sentence] = told["said"]
    assert told["level"] == "shared-host"
    assert told["block"] in BLOCKS
    assert "waits" in told["programs"]
    assert sentence.startswith("namespaces are refused here (unshare: Operation not permitted)")
    assert LIMITS in sentence


def test_who_wants_a_cell_alone_is_told_why_there_is_none_and_nothing_starts(up: Path) -> None:
    """To share the machine is his decision then."""
    told = tried("cell", "forbidden", up)

    assert (told["level"], told["said"], told["tries"]) == (None, [], 1)
    assert "--isolation shared-host" in told["why"]


@pytest.mark.parametrize("namespaces", ["forbidden", "allowed"])
def test_who_wants_to_share_the_machine_shares_it_without_a_word(namespaces: str, up: Path) -> None:
    """Also where a cell could be had; it is not even tried."""
    told = tried("shared-host", namespaces, up)

    assert (told["level"], told["said"], told["tries"]) == ("shared-host", [], 1)
    assert told["block"] in BLOCKS


def test_a_level_says_what_it_is_and_where_its_programs_are() -> None:
    """Each port is the usual one, if that is to be had there."""
    level = on_the_machine(BLOCKS[3])

    assert (level.isolation, level.host) == ("shared-host", shared_machine(BLOCKS[3]).host)
    assert (level.health_port, level.webhook_port) == (HEALTH_PORT, WEBHOOK_PORT)
    assert (Level().isolation, Level().host) == ("cell", "127.0.0.1")
