"""Whole lives x the operator's writes in them x what can go wrong with a write: nothing doubles, nothing is lost.

`make faults` strikes every write; here a few are drawn by a seed. The summary says how many of how many.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from localcluster.testing.lives import LIVES, MISHAPS, Life, told_with


@pytest.mark.spec("runtime:TST-5")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mishap", MISHAPS)
@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.__name__)
async def test_a_life_goes_its_way_whichever_write_goes_wrong(
    life: Life, mishap: str, record_property: Callable[[str, object], None]
) -> None:
    """Dead before a write, after it, or at its answer; lost there, back, or carried out twice; lost and then dead."""
    name = life.__name__

    struck, writes = await told_with(MISHAPS[mishap], life, seed=f"{name}, {mishap}")

    assert 0 < struck <= writes
    record_property("matrix", (name, writes, struck))
    record_property("seed", os.environ.get("MANTA_SEED", "0"))
