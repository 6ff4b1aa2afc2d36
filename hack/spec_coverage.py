#!/usr/bin/env python3
"""Which items of docs/spec a test claims, and which are missing.

Without arguments: the claims of the last `make test` (its tests wrote them down as they passed), per spec, and the
missing items. `--check` looks at the markers alone and demands that all are known and that none was lost: it compares
with docs/spec/claimed.txt and fails if an item there is claimed no more. `--write` brings that file up to date.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
ITEMS = ROOT / "docs" / "spec" / "items"
CLAIMED = ROOT / "docs" / "spec" / "claimed.txt"
PASSED = ROOT / ".pytest_cache" / "claims.jsonl"


def items() -> dict[str, str]:
    """id -> text of all items, in the order of the specs."""
    known: dict[str, str] = {}
    for path in sorted(ITEMS.glob("*.txt")):
        for line in path.read_text().splitlines():
            name, _, text = line.split("\t", 2)
            known[f"{path.stem}:{name}"] = text
    return known


def marked() -> set[str]:
    """All ids that a collected test claims; pytest finds them, since some are made from tables."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "marked"
        command = [sys.executable, "-m", "pytest", "test", "--collect-only", "-qq", "-p", "no:cacheprovider"]
        told = {**os.environ, "MANTA_MARKED": str(target)}
        run = subprocess.run(command, cwd=ROOT, env=told, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            sys.exit(f"the tests cannot be collected:\n{run.stdout[-3000:]}{run.stderr[-3000:]}")
        return set(target.read_text().split())


def passed() -> set[str]:
    """All ids claimed by a test that passed in the last run that wrote them down."""
    if not PASSED.exists():
        return set()
    return {claim for line in PASSED.read_text().splitlines() for claim in json.loads(line)["claims"]}


def main(arguments: list[str]) -> int:
    known, marks = items(), marked()
    unknown = sorted(marks - set(known))
    if unknown:
        print(f"markers name items that docs/spec does not have: {', '.join(unknown)}", file=sys.stderr)
        return 1
    if "--write" in arguments:
        CLAIMED.write_text("".join(f"{name}\n" for name in known if name in marks))
        return 0
    if "--check" in arguments:
        before = set(CLAIMED.read_text().split()) if CLAIMED.exists() else set()
        if before != marks:
            lost, new = sorted(before - marks), sorted(marks - before)
            print("docs/spec/claimed.txt is out of date; run hack/spec_coverage.py --write", file=sys.stderr)
            print(f"  claimed no more: {', '.join(lost) or 'none'}\n  new: {', '.join(new) or 'none'}", file=sys.stderr)
            return 1
        return 0
    claims = passed() or marks
    for spec in sorted({name.split(":")[0] for name in known}):
        mine = [name for name in known if name.startswith(f"{spec}:")]
        print(f"{spec}: {sum(name in claims for name in mine)}/{len(mine)}")
    if "-v" in arguments:
        for name in known:
            if name not in claims:
                print(f"  missing {name}: {known[name]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
