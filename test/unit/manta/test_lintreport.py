"""What was found, as people, programs, code scanning and GitHub are told of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.v1.rules.entries import ENTRIES
from manta.documents import Broken, parsed
from manta.findings import Finding
from manta.gathering import Skipped
from manta.lintreport import Report, as_github, as_json, as_text
from manta.sarif import as_sarif

JOB = "apiVersion: ray.io/v1\nkind: RayJob\nmetadata: {name: train}\nspec:\n  entrypint: python train.py\n"
(DOCUMENT,) = parsed("a.yaml", JOB)
TYPO = Finding(DOCUMENT, "spec.entrypint", "there is no such field", "did you mean entrypoint?")
VERSION = Finding(DOCUMENT, "spec.rayVersion", "does not match", rule="RV02", weight="warn")
SPARED = Finding(DOCUMENT, "metadata", "not held to RV02", rule="P4", weight="note")
BROKEN = Broken("b.yaml", "this is no YAML: it ends", 2, 3, "a: [b")
SKIPPED = Skipped("c.yaml", "a template", "render it first")
REPORT = Report((TYPO, VERSION, SPARED), (BROKEN,), (SKIPPED,), files=2, objects=1)


def test_people_read_place_severity_rule_field_and_sentence_and_see_the_line() -> None:
    assert as_text(REPORT, colour=False).splitlines() == [
        "a.yaml:5:3: error: spec.entrypint: there is no such field",
        "      entrypint: python train.py",
        "      ^^^^^^^^^^^^^^^^^^^^^^^^^^",
        "    did you mean entrypoint?",
        "a.yaml:4:1: warning: [RV02] spec.rayVersion: does not match",
        "    spec:",
        "    ^^^^^",
        "a.yaml:3:1: note: [P4] metadata: not held to RV02",
        "    metadata: {name: train}",
        "    ^^^^^^^^^^^^^^^^^^^^^^^",
        "b.yaml:2:3: unusable: this is no YAML: it ends",
        "    a: [b",
        "      ^",
        "skipped c.yaml: a template (render it first)",
        "1 error, 1 warning, 1 note, 1 part unusable; 1 object in 2 files",
    ]


def test_colours_are_put_around_what_people_look_for() -> None:
    """And change nothing else."""
    text = as_text(REPORT, colour=True)

    assert "\033[1;31merror\033[0m" in text
    plain = text
    for code in ("1;31", "1;33", "1;36", "1", "2", "0"):
        plain = plain.replace(f"\033[{code}m", "")
    assert plain == as_text(REPORT, colour=False)


def test_nothing_that_stands_in_a_file_reaches_the_terminal_as_a_command() -> None:
    """A text in YAML may hold any character."""
    evil = Finding(DOCUMENT, "spec.a\n::error::b", "found \x1b[2J\x9b0m\r", "c\u2028d")

    text = as_text(Report((evil,)), colour=False)

    assert len(text.splitlines()) == 5
    assert text.isprintable() is False  # for its line ends alone
    assert text.replace("\n", "").isprintable()


def test_many_files_that_are_skipped_for_one_reason_are_one_line() -> None:
    """With the way out for the first of them."""
    many = [Skipped(f"{name}.yaml", "of kustomize", f"kubectl kustomize {name}") for name in "abc"]

    assert as_text(Report(skipped=(*many, SKIPPED)), colour=False).splitlines() == [
        "skipped a.yaml and 2 more: of kustomize (kubectl kustomize a)",
        "skipped c.yaml: a template (render it first)",
        "nothing to say; 0 objects in 0 files",
    ]


@pytest.mark.parametrize(
    ("report", "codes"),
    [
        (Report(), (0, 0)),
        (Report((SPARED,)), (0, 0)),
        (Report((SPARED, VERSION)), (0, 1)),
        (Report((VERSION, TYPO)), (1, 1)),
        (Report((TYPO,), (BROKEN,)), (2, 2)),
        (Report(skipped=(SKIPPED,)), (0, 0)),
    ],
)
def test_the_exit_code_tells_what_denies_from_what_could_not_be_read(report: Report, codes: tuple[int, int]) -> None:
    """By what fails: what is denied, or what is warned of."""
    assert (report.exit_code("deny"), report.exit_code("warn")) == codes


def test_programs_get_everything_in_one_object() -> None:
    content = json.loads(as_json(REPORT))

    assert (content["files"], content["objects"]) == (2, 1)
    assert content["counts"] == {"deny": 1, "warn": 1, "note": 1, "unusable": 1}
    assert [(one["rule"], one["severity"], one["line"]) for one in content["findings"]] == [
        ("", "deny", 5),
        ("RV02", "warn", 4),
        ("P4", "note", 3),
    ]
    assert content["unusable"] == [{"file": "b.yaml", "line": 2, "column": 3, "message": "this is no YAML: it ends"}]
    assert content["skipped"] == [{"file": "c.yaml", "reason": "a template", "hint": "render it first"}]


def test_github_gets_a_command_for_each_finding() -> None:
    """They become annotations of a pull request's lines; the rest is for the log."""
    typo = "spec.entrypint: there is no such field%0Adid you mean entrypoint?"

    assert as_github(REPORT).splitlines() == [
        f"::error file=a.yaml,line=5,col=3,title=RayJob default/train::{typo}",
        "::warning file=a.yaml,line=4,col=1,title=[RV02] RayJob default/train::spec.rayVersion: does not match",
        "::notice file=a.yaml,line=3,col=1,title=[P4] RayJob default/train::metadata: not held to RV02",
        "::error file=b.yaml,line=2,col=3,title=unusable::this is no YAML: it ends",
        "skipped c.yaml: a template (render it first)",
        "1 error, 1 warning, 1 note, 1 part unusable; 1 object in 2 files",
    ]


def test_no_file_writes_commands_of_its_own_on_github() -> None:
    """Neither by its name nor by what stands in it."""
    (document,) = parsed("a,b:c%.yaml", JOB)
    evil = Finding(document, "spec", "100%\r\n::add-mask::x")
    named = Skipped("::stop-commands::x", "a template")

    assert as_github(Report((evil,), skipped=(named, Skipped("##[error]y", "b")))).splitlines() == [
        "::error file=a%2Cb%3Ac%25.yaml,line=4,col=1,title=RayJob default/train::spec: 100%25%0D%0A::add-mask::x",
        "skipped ::stop-commands::x: a template",
        "skipped ##[error]y: b",
        "1 error; 0 objects in 0 files",
    ]


def sarif(report: Report) -> Any:
    """The one run."""
    log = json.loads(as_sarif(report, "1.2.3"))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    return run


def test_code_scanning_gets_each_result_with_its_rule_and_its_place() -> None:
    run = sarif(REPORT)

    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["P4", "RV02", "schema", "unusable"]
    assert [(rules[one["ruleIndex"]]["id"], one["level"]) for one in run["results"]] == [
        ("schema", "error"),
        ("RV02", "warning"),
        ("P4", "note"),
        ("unusable", "error"),
    ]
    assert all(rules[one["ruleIndex"]]["id"] == one["ruleId"] for one in run["results"])
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place == {
        "artifactLocation": {"uri": "a.yaml"},
        "region": {"startLine": 5, "startColumn": 3, "endColumn": 29},
    }
    (notice,) = run["invocations"][0]["toolExecutionNotifications"]
    assert notice["message"]["text"] == "skipped c.yaml: a template: render it first"
    assert run["invocations"][0]["executionSuccessful"] is False


def test_code_scanning_is_told_what_a_rule_is_why_and_how_to_mend_it() -> None:
    """As docs/rules.md tells it, with the severity that the rule has where nobody changed it."""
    (rule,) = sarif(Report((VERSION,)))["tool"]["driver"]["rules"]

    assert rule["defaultConfiguration"] == {"level": "error"}
    assert rule["help"]["markdown"].startswith(f"{ENTRIES['RV02'].what}\n\n**Why:** ")
    assert "`" not in rule["help"]["text"]


def test_a_file_name_becomes_a_reference_that_no_reader_mistakes() -> None:
    """A colon would begin a scheme, and a space end the name."""
    broken = Broken("sp ace:é.yaml", "no")

    (result,) = sarif(Report(broken=(broken,)))["results"]

    assert result["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "sp%20ace%3A%C3%A9.yaml"},
                "region": {"startLine": 1},
            }
        }
    ]
