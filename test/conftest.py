"""What all tests share: spec markers are checked, and claims are written down for `make spec-coverage`."""

from __future__ import annotations

import asyncio
import gc
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parent.parent
ITEMS = ROOT / "docs" / "spec" / "items"
MOST = 3  # items that one test may claim

# Both go by the wall clock, and a busy machine is slow: that is no property of what is tested.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """No loop until a test has one: else asyncio makes one for the plugin that asks, and nobody closes it.

    Garbage is looked for less often: a cluster's definitions are some 100,000 small objects that come and go with each
    story, and looking through them took two thirds of the time of all stories.
    """
    asyncio.set_event_loop(None)
    gc.set_threshold(50_000, 20, 50)


def known_items() -> set[str]:
    """All item ids, as "rayjob:E17"."""
    return {
        f"{path.stem}:{line.split(chr(9), 1)[0]}"
        for path in ITEMS.glob("*.txt")
        for line in path.read_text().splitlines()
    }


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """An unknown id, or more than three claims, is an error: a claim must mean something.

    With MANTA_MARKED=FILE all ids that are claimed are written there, one a line.
    """
    known = known_items()
    marked: set[str] = set()
    for item in items:
        claimed = [claim for marker in item.iter_markers("spec") for claim in marker.args]
        unknown = [claim for claim in claimed if claim not in known]
        if unknown:
            raise pytest.UsageError(f"{item.nodeid} claims items that docs/spec does not have: {', '.join(unknown)}")
        if len(claimed) > MOST:
            raise pytest.UsageError(f"{item.nodeid} claims {len(claimed)} items; at most {MOST}, or it proves none")
        marked.update(claimed)
    if target := os.environ.get("MANTA_MARKED"):
        Path(target).write_text("".join(f"{claim}\n" for claim in sorted(marked)))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """With MANTA_CLAIMS=FILE, each passing test appends its claims: a skipped or failed one counts as missing."""
    outcome = yield
    report = outcome.get_result()
    target = os.environ.get("MANTA_CLAIMS")
    if target and report.when == "call" and report.passed:
        claimed = [claim for marker in item.iter_markers("spec") for claim in marker.args]
        if claimed:
            with Path(target).open("a") as file:
                file.write(json.dumps({"test": item.nodeid, "claims": claimed}) + "\n")
