"""What `manta lint` found, in the forms in which people, programs and GitHub read it. Pure. SARIF: `sarif.py`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from manta.documents import Broken
from manta.findings import Finding, Weight
from manta.gathering import Skipped

__all__ = ["FailOn", "Report", "as_github", "as_json", "as_text"]

FailOn: TypeAlias = Literal["deny", "warn"]
Painter: TypeAlias = Callable[[str, str], str]  # a text, and the colour that it may get

# What people are used to from compilers; editors find their way by these words
LEVELS: Final[Mapping[Weight, str]] = {"deny": "error", "warn": "warning", "note": "note"}
UNUSABLE: Final = "unusable"
COLOURS: Final[Mapping[str, str]] = {"error": "1;31", "warning": "1;33", "note": "1;36", UNUSABLE: "1;31"}
BOLD: Final = "1"
DIM: Final = "2"
# On GitHub everything is an error, a warning or a notice
ANNOTATIONS: Final[Mapping[Weight, str]] = {"deny": "error", "warn": "warning", "note": "notice"}


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found, in the order of the files."""

    findings: Sequence[Finding] = ()
    broken: Sequence[Broken] = ()
    skipped: Sequence[Skipped] = ()
    files: int = 0
    objects: int = 0

    def exit_code(self, fail_on: FailOn) -> int:
        """2: something could not be judged at all. 1: something fails. 0: neither."""
        failing = {"deny"} if fail_on == "deny" else {"deny", "warn"}
        if self.broken:
            return 2
        return 1 if any(one.weight in failing for one in self.findings) else 0

    @property
    def summary(self) -> str:
        """One line: how much was judged, and what came of it."""
        weights = Counter(one.weight for one in self.findings)
        told = [counted(weights[weight], word) for weight, word in LEVELS.items() if weights[weight]]
        told += [f"{counted(len(self.broken), 'part')} unusable"] if self.broken else []
        judged = f"{counted(self.objects, 'object')} in {counted(self.files, 'file')}"
        return f"{', '.join(told) if told else 'nothing to say'}; {judged}"


def as_text(report: Report, *, colour: bool) -> str:
    """For people: each finding with its line, the field marked, and the way out."""
    paint = painted if colour else unpainted
    told = [*(finding_text(one, paint) for one in report.findings), *(broken_text(one, paint) for one in report.broken)]
    return "\n".join([*told, *(paint(line, DIM) for line in skipped_lines(report.skipped)), report.summary]) + "\n"


def finding_text(finding: Finding, paint: Painter) -> str:
    """Place, severity, rule, field and sentence in one line, as compilers have it."""
    level = LEVELS[finding.weight]
    rule = f"[{finding.rule}] " if finding.rule else ""
    subject = paint(one_line(finding.path or str(finding.document)), BOLD)
    place = finding.place
    where = one_line(finding.document.where(place))
    first = f"{where}: {paint(level, COLOURS[level])}: {rule}{subject}: {one_line(finding.message)}"
    source, mark = finding.document.excerpt(place).split("\n")
    way = [f"    {one_line(finding.hint)}"] if finding.hint else []
    return "\n".join([first, one_line(source), paint(mark, COLOURS[level]), *way])


def broken_text(broken: Broken, paint: Painter) -> str:
    """The same of what is no object."""
    first = f"{one_line(place_of(broken))}: {paint(UNUSABLE, COLOURS[UNUSABLE])}: {one_line(broken.message)}"
    if not broken.excerpt:
        return first
    source, mark = broken.excerpt.split("\n")
    return f"{first}\n{one_line(source)}\n{paint(mark, COLOURS[UNUSABLE])}"


def place_of(broken: Broken) -> str:
    """file:line:column, as far as it is known."""
    return ":".join([broken.file, *(str(number) for number in (broken.line, broken.column) if number)])


def skipped_lines(skipped: Iterable[Skipped]) -> Iterator[str]:
    """One line for all that have the same reason; the hint is that of the first."""
    by_reason: dict[str, list[Skipped]] = {}
    for one in skipped:
        by_reason.setdefault(one.reason, []).append(one)
    for reason, (first, *others) in by_reason.items():
        more = f" and {len(others)} more" if others else ""
        yield one_line(f"skipped {first.file}{more}: {reason}{f' ({first.hint})' if first.hint else ''}")


def as_json(report: Report) -> str:
    """For programs: one object."""
    weights = Counter(one.weight for one in report.findings)
    counts: dict[str, int] = {weight: weights[weight] for weight in LEVELS}
    content = {
        "files": report.files,
        "objects": report.objects,
        "counts": counts | {UNUSABLE: len(report.broken)},
        "findings": [one.members for one in report.findings],
        UNUSABLE: [
            {"file": one.file, "line": one.line, "column": one.column, "message": one.message} for one in report.broken
        ],
        "skipped": [{"file": one.file, "reason": one.reason, "hint": one.hint} for one in report.skipped],
    }
    return json.dumps(content, indent=2) + "\n"


def as_github(report: Report) -> str:
    """Workflow commands, which GitHub shows at the lines of a pull request; and a summary for the log."""
    lines = [
        *(finding_command(one) for one in report.findings),
        *(broken_command(one) for one in report.broken),
        *(logged(line) for line in skipped_lines(report.skipped)),
        logged(report.summary),
    ]
    return "\n".join(lines) + "\n"


def finding_command(finding: Finding) -> str:
    """One annotation."""
    place = finding.place
    members = finding.members
    rule = f"[{finding.rule}] " if finding.rule else ""
    hint = f"\n{finding.hint}" if finding.hint else ""
    at = {"file": members["file"], "line": place.line, "col": place.column, "title": f"{rule}{members['object']}"}
    return command(ANNOTATIONS[finding.weight], at, f"{finding.path}: {finding.message}{hint}")


def broken_command(broken: Broken) -> str:
    """The same of what is no object."""
    at: dict[str, Any] = {"file": broken.file}
    at |= {"line": broken.line} if broken.line else {}
    at |= {"col": broken.column} if broken.column else {}
    return command("error", at | {"title": UNUSABLE}, broken.message)


def command(name: str, properties: Mapping[str, Any], text: str) -> str:
    """`::error file=a.yaml,line=1::text`, escaped, so that no file can write commands of its own."""
    given = ",".join(f"{key}={escaped(str(value), ':,')}" for key, value in properties.items())
    return f"::{name} {given}::{escaped(text)}"


def escaped(text: str, more: str = "") -> str:
    """Percent signs first, then what would end a command or a property."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    for character in more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def logged(line: str) -> str:
    """A line of the log that is no command, whatever stands in it."""
    return f" {line}" if line.startswith(("::", "##[")) else line


def counted(number: int, word: str) -> str:
    """1 error, 2 errors."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def one_line(text: str) -> str:
    """Without what would move the cursor, colour the terminal or break the line."""
    return "".join(one if one.isprintable() or one == "\t" else repr(one)[1:-1] for one in text)


def painted(text: str, colour: str) -> str:
    """As terminals understand it."""
    return f"\033[{colour}m{text}\033[0m"


def unpainted(text: str, _: str) -> str:
    """As it is."""
    return text
