"""Tokens live for an hour in a cluster and are replaced in their file: the operator never notices."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from localcluster.testing.rights import token_of

if TYPE_CHECKING:
    from test.process.conftest import Plane

# A quick run by default; by hand: ten rotations, one each minute, as the acceptance of the real node asks.
ROTATIONS = int(os.environ.get("MANTA_ROTATIONS", "4"))
SECONDS = float(os.environ.get("MANTA_ROTATION_SECONDS", "15"))
# What the user changes all the while: a write decided from an older version is refused, and decided again.
CONTESTED = {(409, "rayclusters"), (409, "rayclusters/status")}


async def rotate(plane: Plane, turn: int, file: Path) -> None:
    """A new token in the file, then the old one is dead: it was bound to a Secret that is deleted."""
    name = f"life-{turn}"
    secret = (await plane.wire.post(plane.wire.path("secrets"), {"metadata": {"name": name}})).ok(201)
    bound = {"kind": "Secret", "apiVersion": "v1", "name": name, "uid": secret["metadata"]["uid"]}
    token = await token_of(plane.wire, "rotated", bound_to=bound)
    fresh = file.with_suffix(".new")
    fresh.write_text(token)
    fresh.rename(file)
    if turn:
        (await plane.wire.delete(plane.wire.path("secrets", f"life-{turn - 1}"))).ok()


@pytest.mark.spec("runtime:TRN-9")
async def test_fault_f11_tokens_that_die_under_load_fail_no_reconcile(plane: Plane, tmp_path: Path) -> None:
    """Refused once, the file is read again, and the request repeated."""
    file = tmp_path / "token"
    config = await plane.account("rotated")
    config["users"][0]["user"] = {"tokenFile": str(file)}
    await rotate(plane, 0, file)
    operator = await plane.replica("rotated", config=config)
    await operator.said("controllers work")
    await plane.cluster("r", 1)

    async def user() -> None:
        workers = 1
        while True:
            workers = 3 - workers
            await plane.scale("r", workers)
            await asyncio.sleep(0.5)

    async with asyncio.TaskGroup() as group:
        load = group.create_task(user())
        for turn in range(1, ROTATIONS + 1):
            await asyncio.sleep(SECONDS)
            await rotate(plane, turn, file)
        await asyncio.sleep(SECONDS)
        load.cancel()
    await plane.scale("r", 4)
    await plane.until_pods("r", 5)

    assert operator.process.returncode is None
    assert operator.complaints() == []
    refused = {(one.code, one.resource) for one in plane.writes("rotated") if one.code >= 400}
    assert refused <= CONTESTED
