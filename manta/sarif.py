"""What `manta lint` found as SARIF 2.1.0, which code scanning of GitHub and others reads. Pure.

Rules are described by their entries, those of `docs/rules.md`. What the schema finds and what cannot be read have
rules of their own here, so that every result has one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from api.v1.rules.entries import ENTRIES
from api.v1.rules.entry import Entry
from api.v1.rules.families import RULES_BY_KIND
from api.v1.rules.judging import SKIPPED
from api.v1.rules.model import Severity
from manta.documents import Broken
from manta.findings import Finding, Weight
from manta.lintreport import Report

__all__ = ["as_sarif"]

Json: TypeAlias = dict[str, Any]

SCHEMA: Final = "schema"
UNUSABLE: Final = "unusable"
OF_OURS: Final[Mapping[str, Entry]] = {
    SCHEMA: Entry(
        "A field that is not there, a value of a wrong type, a required field that is missing.",
        "The API server refuses the object, or drops the field without a word.",
        "Write what the message says is expected.",
    ),
    UNUSABLE: Entry(
        "A file, or a part of one, that cannot be read as a Kubernetes object.",
        "Nothing of it can be judged, nor applied.",
        "Mend the YAML; give each object `apiVersion`, `kind` and `metadata`.",
    ),
    SKIPPED: Entry(
        "The object asks not to be held to a rule.",
        "It is noted, so that it is not forgotten.",
        "Take the annotation away when its reason is gone.",
    ),
}
LEVELS: Final[Mapping[Weight, str]] = {"deny": "error", "warn": "warning", "note": "note"}
DEFAULTS: Final = {Severity.DENY: "error", Severity.WARN: "warning", Severity.OFF: "none"}
SPECIFICATION: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def as_sarif(report: Report, version: str) -> str:
    """One run of one tool."""
    ids = sorted({*(rule_of(one) for one in report.findings), *([UNUSABLE] if report.broken else [])})
    numbers = {id_: number for number, id_ in enumerate(ids)}
    results = [
        *(result(one, numbers) for one in report.findings),
        *(unusable(one, numbers) for one in report.broken),
    ]
    driver: Json = {"name": "manta lint", "version": version, "rules": [rule(id_) for id_ in ids]}
    run: Json = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": not report.broken, **notices(report)}],
        "results": results,
    }
    return json.dumps({"$schema": SPECIFICATION, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def rule_of(finding: Finding) -> str:
    """Its id."""
    return finding.rule or SCHEMA


def rule(id_: str) -> Json:
    """What it is, why, and how to mend what it finds."""
    entry = ENTRIES.get(id_) or OF_OURS.get(id_)
    described: Json = {"id": id_, "defaultConfiguration": {"level": default_level(id_)}}
    if entry is None:
        return described
    words = f"{entry.what} Why: {entry.why} Mend: {entry.mend}"
    marked = f"{entry.what}\n\n**Why:** {entry.why}\n\n**Mend:** {entry.mend}\n"
    return described | {
        "shortDescription": {"text": entry.what.replace("`", "")},
        "fullDescription": {"text": entry.why.replace("`", "")},
        "help": {"text": words.replace("`", ""), "markdown": marked},
    }


def default_level(id_: str) -> str:
    """As the profile `standard` has it."""
    for rules in RULES_BY_KIND.values():
        for one in rules:
            if one.id == id_:
                return DEFAULTS[one.severity]
    return "note" if id_ == SKIPPED else "error"


def result(finding: Finding, numbers: Mapping[str, int]) -> Json:
    """One finding."""
    place = finding.place
    region: Json = {"startLine": place.line, "startColumn": place.column}
    if place.column < place.end < sys.maxsize:
        region["endColumn"] = place.end
    id_ = rule_of(finding)
    named = {"fullyQualifiedName": f"{finding.document}: {finding.path}", "kind": "member"}
    place_: Json = location(finding.document.file, region) | {"logicalLocations": [named]}
    said = f"{finding.path}: {finding.message}" if finding.path else finding.message
    text = f"{said}; {finding.hint}" if finding.hint else said
    return {
        "ruleId": id_,
        "ruleIndex": numbers[id_],
        "level": LEVELS[finding.weight],
        "message": {"text": text},
        "locations": [place_],
    }


def unusable(broken: Broken, numbers: Mapping[str, int]) -> Json:
    """A part that is no object."""
    region: Json = {"startLine": max(1, broken.line)}
    region |= {"startColumn": broken.column} if broken.column else {}
    return {
        "ruleId": UNUSABLE,
        "ruleIndex": numbers[UNUSABLE],
        "level": "error",
        "message": {"text": broken.message},
        "locations": [location(broken.file, region)],
    }


def location(file: str, region: Json) -> Json:
    """Where it is: paths are told as they were given, relative ones against where the tool ran."""
    uri = quote(file.encode("utf-8", "surrogateescape"), safe="/")
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}


def notices(report: Report) -> Mapping[str, Sequence[Json]]:
    """What was not judged, and why."""
    told = list(skips(report))
    return {"toolExecutionNotifications": told} if told else {}


def skips(report: Report) -> Iterator[Json]:
    for one in report.skipped:
        hint = f": {one.hint}" if one.hint else ""
        yield {"level": "note", "message": {"text": f"skipped {one.file}: {one.reason}{hint}"}}
