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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many writes of each life were struck, in how many ways."""
    told: dict[str, list[tuple[int, int]]] = {}
    for report in terminalreporter.stats.get("passed", []):
        for key, value in report.user_properties:
            if key == "matrix":
                name, writes, struck = value
                told.setdefault(name, []).append((writes, struck))
    if not told:
        return
    terminalreporter.section("writes x what went wrong with them")
    for name, rows in sorted(told.items()):
        struck = sum(one for _, one in rows)
        terminalreporter.write_line(f"{name}: {rows[0][0]} writes, {len(rows)} mishaps, {struck} times told")
    terminalreporter.write_line(f"{sum(struck for rows in told.values() for _, struck in rows)} in all")
