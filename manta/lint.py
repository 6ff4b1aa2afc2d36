"""`manta lint FILE...`: what the operator's webhook, and the schema, would say of files, without a cluster."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Final, Literal, TypeAlias

from api.v1.rules.entries import ELSEWHERE, ENTRIES
from api.v1.rules.families import RULES_BY_KIND
from api.v1.rules.model import Context, Rule, Severity
from api.v1.rules.settings import Profile
from api.v1.rules.surroundings import Surroundings
from controller.admissionfile import admission_settings
from controller.configfile import BadSettings, read_config
from controller.gates import parse_gates
from manta.findings import Target, findings
from manta.gathering import gathered
from manta.lintreport import FailOn, Report, as_github, as_json, as_text
from manta.sarif import as_sarif

__all__ = ["Form", "Wanted", "explain", "lint", "report_on", "target_of"]

Form: TypeAlias = Literal["text", "json", "sarif", "github"]

UNUSABLE: Final = 2  # exit code: as of `manta run`
CRON_GATE: Final = "RayCronJob"
CUT_OFF: Final = 1  # exit code: nobody reads on


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asked for."""

    output: Form = "text"
    profile: str = ""  # "": as the config file has it, or `standard`
    rules: Sequence[str] = ()  # "RV02=off"
    gates: str = ""  # "RayCronJob=true"
    config: str = ""  # the operator's config file
    fail_on: FailOn = "deny"
    colour: bool | None = None  # None: where somebody sees it


def lint(names: Sequence[str], wanted: Wanted) -> int:
    """Judge the files, print the report; the exit code."""
    try:
        target = target_of(wanted)
    except BadSettings as error:
        sys.stderr.write(f"manta: {error}\n")
        return UNUSABLE
    report = report_on(names, target)
    return printed(written(report, wanted), report.exit_code(wanted.fail_on))


def report_on(names: Iterable[str], target: Target) -> Report:
    """Everything that files, folders and standard input hold, judged."""
    found = gathered(names)
    return Report(
        findings(found.documents, target), found.broken, found.skipped, found.files, objects=len(found.documents)
    )


def target_of(wanted: Wanted) -> Target:
    """The operator for which files are judged. Raises BadSettings."""
    file = read_config(wanted.config) if wanted.config else {}
    admission = admission_settings(file.get("admission"))
    if wanted.profile:
        admission = replace(admission, profile=Profile(wanted.profile))
    unsaid = {} if CRON_GATE in wanted.gates else {"CR05": "off"}  # nobody said whether that operator has the gate
    admission = replace(admission, rules={**unsaid, **admission.rules, **severities(wanted.rules)})
    operator = Context(
        parse_gates(wanted.gates),
        admission=admission,
        surroundings=Surroundings(
            head_sidecars=names_in(file.get("headSidecarContainers")),
            worker_sidecars=names_in(file.get("workerSidecarContainers")),
        ),
    )
    return Target(operator, serves_more=True)


def severities(pairs: Iterable[str]) -> Mapping[str, str]:
    """RV02=off -> {"RV02": "off"}. Raises BadSettings."""
    given = {}
    levels = [one.value for one in Severity]
    for pair in pairs:
        id_, _, severity = pair.partition("=")
        rule, id_, severity = rule_named(id_), id_.strip().upper(), severity.strip().lower()
        if severity not in levels:
            raise BadSettings(f"--rule {pair}: expected {id_}= and one of {', '.join(levels)}")
        if rule.fixed and rule.severity is Severity.DENY and severity != Severity.DENY.value:
            raise BadSettings(f"--rule {pair}: {id_} always refuses, as the reference operator does")
        given[id_] = severity
    return given


def rule_named(id_: str) -> Rule:
    """In any case of its letters. Raises BadSettings with what might be meant."""
    known = {rule.id: rule for rules in RULES_BY_KIND.values() for rule in rules}
    meant = id_.strip().upper()
    if meant not in known:
        near = get_close_matches(meant, sorted(known), n=1)
        hint = f"; did you mean {near[0]}?" if near else "; docs/rules.md has them all"
        raise BadSettings(f"there is no rule {id_!r}{hint}")
    return known[meant]


def names_in(containers: Any) -> tuple[str, ...]:
    """Of the config file's sidecars, as far as it can be read."""
    listed = containers if isinstance(containers, list) else []
    return tuple(str(one["name"]) for one in listed if isinstance(one, dict) and "name" in one)


def written(report: Report, wanted: Wanted) -> str:
    """The report in the form that was asked for."""
    match wanted.output:
        case "json":
            return as_json(report)
        case "sarif":
            from importlib.metadata import version

            return as_sarif(report, version("manta-operator"))
        case "github":
            return as_github(report)
        case _:
            return as_text(report, colour=colourful(wanted.colour, os.environ, sys.stdout.isatty()))


def colourful(asked: bool | None, environment: Mapping[str, str], terminal: bool) -> bool:
    """As asked; else on a terminal that knows colours, unless NO_COLOR is set to anything."""
    if asked is not None:
        return asked
    return terminal and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def printed(text: str, code: int) -> int:
    """The exit code, after the text is out. What the terminal's encoding lacks is written as an escape."""
    data = text.encode(getattr(sys.stdout, "encoding", None) or "utf-8", "backslashreplace")
    try:
        out = getattr(sys.stdout, "buffer", None)
        if out is None:
            sys.stdout.write(data.decode())
        else:
            out.write(data)
        sys.stdout.flush()
    except BrokenPipeError:  # `manta lint . | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
        return CUT_OFF
    return code


def explain(id_: str) -> int:
    """What a rule is, why, and how to mend what it finds; the exit code."""
    id_ = id_.strip().upper()
    if id_ in ELSEWHERE:
        return printed(f"{id_}: {ELSEWHERE[id_]}\n", 0)
    try:
        rule_named(id_)
    except BadSettings as error:
        sys.stderr.write(f"manta: {error}\n")
        return UNUSABLE
    entry = ENTRIES[id_]
    return printed(f"{id_}: {entry.what}\nWhy: {entry.why}\nMend: {entry.mend}\n", 0)
