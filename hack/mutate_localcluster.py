#!/usr/bin/env python3
"""Seeds mistakes in the local cluster, one at a time, and demands that the conformance tests catch each.

A test suite that both servers pass proves little if a broken server passes too. Each mistake is made in a copy of the
tree; the tests named beside it must fail there, and pass in a copy without mistakes.

    python hack/mutate_localcluster.py            all of them
    python hack/mutate_localcluster.py bookmark   those whose name contains the word
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
COPIED = ("api", "config", "docs", "hack", "localcluster", "test")
AT_ONCE = 2
SECONDS = 240  # a mistake may make a test wait for what never comes


@dataclass(frozen=True, slots=True)
class Mistake:
    """A text to replace in a file of localcluster/, and the conformance tests that must notice."""

    name: str
    file: str
    right: str
    wrong: str
    tests: str


MISTAKES = (
    Mistake(
        "a watch event is dropped",
        "apiserver/watching.py",
        "        self._number += len(changes)\n",
        "        self._number += len(changes)\n        changes = [one for one in changes if one.version % 5]\n",
        "test_watch.py",
    ),
    Mistake(
        "a watch begins one change late",
        "apiserver/watching.py",
        "change.version > self._start.after and",
        "change.version > self._start.after + 1 and",
        "test_watch.py",
    ),
    Mistake(
        "what leaves a selection is told as it is now",
        "apiserver/watching.py",
        'return self._event("DELETED", self._core.reversioned(resource, change.previous, change.version))',
        'return self._event("DELETED", change.entry)',
        "test_watch.py",
    ),
    Mistake(
        "what enters a selection is told as modified",
        "apiserver/watching.py",
        'return self._as("ADDED", change) if after else None',
        'return self._as("MODIFIED", change) if after else None',
        "test_watch.py",
    ),
    Mistake(
        "a bookmark holds an old version",
        "apiserver/watching.py",
        "        self._last = self._core.store.version\n        self._pending.append(self._bookmark({}))",
        "        self._last = self._start.after\n        self._pending.append(self._bookmark({}))",
        "test_watch.py",
    ),
    Mistake(
        "bookmarks for those who did not ask",
        "apiserver/watching.py",
        "if not self._start.bookmarks or self._start.after",
        "if self._start.after",
        "test_watch.py",
    ),
    Mistake(
        "the end of the initial events is not marked",
        "apiserver/watching.py",
        "        if self._start.mark_end:\n",
        "        if self._start.mark_end and self._pending:\n",
        "test_watch.py",
    ),
    Mistake(
        "a forgotten version is watched as if nothing were lost",
        "apiserver/store.py",
        "        if version < self._floor:\n            raise Expired(version, self._floor)\n",
        "",
        "test_watch.py test_reads.py",
    ),
    Mistake(
        "a deletion keeps the version of the last change",
        "apiserver/watching.py",
        'line = change.lines["plain"] = _line(change.type, entry.raw)',
        'line = change.lines["plain"] = _line(change.type, (change.previous or entry).raw)',
        "test_watch.py",
    ),
    Mistake(
        "a limit is ignored",
        "apiserver/reading.py",
        "    limit = max(options.limit, 0)\n",
        "    limit = 0\n",
        "test_reads.py",
    ),
    Mistake(
        "a limit counts at version zero",
        "apiserver/reading.py",
        '        if options.resource_version == "0":\n            limit = 0  # LIST-5\n',
        "",
        "test_reads.py",
    ),
    Mistake(
        "a second page shows the present",
        "apiserver/reading.py",
        "    await _reached(core, version, retry=False)\n    try:\n"
        "        return core.store.snapshot(chosen.resource.store, version)",
        "    await _reached(core, version, retry=False)\n    try:\n"
        "        return core.store.snapshot(chosen.resource.store)",
        "test_reads.py",
    ),
    Mistake(
        "what remains is counted under selectors",
        "apiserver/reading.py",
        "    counted = chosen.labels is None and chosen.fields is None\n",
        "    counted = True\n",
        "test_reads.py",
    ),
    Mistake(
        "finalizers hold nothing",
        "apiserver/removing.py",
        'if metadata.get("finalizers") or not kind.may_vanish(obj):',
        "if not kind.may_vanish(obj):",
        "test_deletion.py",
    ),
    Mistake(
        "a uid precondition is not looked at",
        "apiserver/removing.py",
        "if options.precondition_uid and options.precondition_uid != entry.uid:",
        "if False:",
        "test_deletion.py",
    ),
    Mistake(
        "grace can be made longer",
        "apiserver/removing.py",
        'elif grace < metadata.get("deletionGracePeriodSeconds", 0):',
        'elif grace != metadata.get("deletionGracePeriodSeconds", 0):',
        "test_deletion.py",
    ),
    Mistake(
        "finalizers can be added on the way out",
        "apiserver/metadata.py",
        'added = [one for one in new.get("finalizers") or () if one not in (old.get("finalizers") or ())]',
        "added: list[str] = []",
        "test_deletion.py",
    ),
    Mistake(
        "a write that changes nothing makes a version",
        "apiserver/writing.py",
        "        if new == old:\n            return self._shown(request, entry)\n",
        "",
        "test_writes.py",
    ),
    Mistake(
        "a stale patch passes",
        "apiserver/writing.py",
        'if metadata.get("resourceVersion", str(entry.version)) != str(entry.version):',
        "if False:",
        "test_patches.py",
    ),
    Mistake(
        "a dry run is stored",
        "apiserver/writing.py",
        "        if is_dry(request.options):\n            return core.encoded(resource, new)\n",
        "",
        "test_patches.py",
    ),
    Mistake(
        "the main path writes status",
        "apiserver/writing.py",
        "        elif resource.has_status:\n",
        "        elif False:\n",
        "test_status_and_scale.py",
    ),
    Mistake(
        "a name is used twice",
        "apiserver/writing.py",
        "        if core.get(resource, request.namespace, name) is not None:\n",
        "        if False:\n",
        "test_errors.py",
    ),
    Mistake(
        "orphans go with their owner",
        "apiserver/removing.py",
        '"Orphan": [ORPHAN]',
        '"Orphan": []',
        "test_deletion.py",
    ),
    Mistake(
        "tables repeat their columns in every event",
        "apiserver/shapes.py",
        "            self._first = False\n",
        "",
        "test_negotiation.py",
    ),
    Mistake(
        "a warning's quotes are not escaped",
        "apiserver/http.py",
        """.replace('"', '\\\\"')""",
        "",
        "test_errors.py",
    ),
)


def main(arguments: Sequence[str]) -> int:
    """1 when a mistake goes unnoticed, is out of date, or the tests fail without one."""
    chosen = [one for one in MISTAKES if not arguments or any(word in one.name for word in arguments)]
    tests = sorted({test for one in chosen for test in one.tests.split()})
    with tempfile.TemporaryDirectory(prefix="manta-mutants-") as folder:
        passed, tail = _tests_pass(_copied(Path(folder) / "none"), tests)
        if not passed:
            print(f"the tests fail without any mistake:\n{tail}", file=sys.stderr)
            return 1
        with ThreadPoolExecutor(AT_ONCE) as runners:
            verdicts = list(runners.map(lambda pair: _verdict(Path(folder) / str(pair[0]), pair[1]), enumerate(chosen)))
    for one, verdict in zip(chosen, verdicts, strict=True):
        print(f"{verdict:10} {one.name}")
    caught = verdicts.count("caught")
    print(f"{caught} of {len(chosen)} mistakes caught")
    return 0 if caught == len(chosen) else 1


def _verdict(folder: Path, mistake: Mistake) -> str:
    copy = _copied(folder)
    path = copy / "localcluster" / mistake.file
    text = path.read_text()
    if text.count(mistake.right) != 1:
        return "OUT OF DATE"
    path.write_text(text.replace(mistake.right, mistake.wrong))
    passed, _ = _tests_pass(copy, mistake.tests.split())
    shutil.rmtree(folder)
    return "UNNOTICED" if passed else "caught"


def _copied(folder: Path) -> Path:
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.jsonl"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def _tests_pass(folder: Path, tests: Sequence[str]) -> tuple[bool, str]:
    """Whether they all pass on the local server, and the end of what they said. A hang is a failure."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not judge", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [*command, *(f"test/conformance/{test}" for test in tests)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False, "no end"
    assert "no tests ran" not in done.stdout, done.stdout + done.stderr
    return done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
