"""Stories run in virtual time: the loop's clock jumps when everything waits."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all that are collected here."""
    for item in items:
        if (
            "/stories/" in item.nodeid
            or "/faults/" in item.nodeid
            or item.nodeid.startswith(("test/stories", "test/faults"))
        ):
            item.add_marker(pytest.mark.looptime)
