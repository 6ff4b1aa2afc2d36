"""How long a pod stays on a node that nobody hears of."""

from __future__ import annotations

from typing import Any

import pytest

from localcluster.controllers.nodes import UNREACHABLE, toleration_seconds

FOREVER: dict[str, Any] = {"operator": "Exists"}
FIVE_MINUTES = {"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}


@pytest.mark.parametrize(
    ("tolerations", "seconds"),
    [
        ([], 0),
        ([FIVE_MINUTES], 300),
        ([FOREVER], None),
        ([FIVE_MINUTES, FOREVER], 300),
        ([{**FIVE_MINUTES, "tolerationSeconds": 10}, FIVE_MINUTES], 10),
        ([{**FIVE_MINUTES, "effect": "NoSchedule"}], 0),
        ([{"key": "other", "operator": "Exists"}], 0),
        ([{**FIVE_MINUTES, "tolerationSeconds": -1}], 0),
    ],
)
def test_the_shortest_toleration_that_matches_counts(tolerations: list[Any], seconds: float | None) -> None:
    """None of them: at once. One without an end alone: for ever."""
    assert toleration_seconds({"spec": {"tolerations": tolerations}}) == seconds
