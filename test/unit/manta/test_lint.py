"""`manta lint`: what it is told, what it answers, and that no file whatever brings it down."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.v1.gates import DEFAULT_GATES
from api.v1.rules.entries import ELSEWHERE, ENTRIES
from api.v1.rules.families import RULES_BY_KIND
from api.v1.rules.settings import Profile
from controller.configfile import BadSettings
from manta.findings import Target
from manta.lint import Wanted, colourful, explain, lint, report_on, target_of

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "config" / "samples"
OLD = (SAMPLES / "rayjob.yaml").read_text().replace('rayVersion: "2.52.0"', 'rayVersion: "2.46.0"')  # RV02


@pytest.fixture
def old(tmp_path: Path) -> str:
    """A file with one thing wrong: RV02."""
    (tmp_path / "job.yaml").write_text(OLD)
    return str(tmp_path / "job.yaml")


def rules_found(names: list[str], wanted: Wanted) -> list[tuple[str, str]]:
    return [(one.rule, one.weight) for one in report_on(names, target_of(wanted)).findings]


CRON = str(SAMPLES / "raycronjob.yaml")


@pytest.mark.spec("admission:CR05")
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(), []),
        (Wanted(gates="RayCronJob=true"), []),
        (Wanted(gates="RayCronJob=false"), [("CR05", "warn")]),
        (Wanted(rules=("cr05=Warn",)), [("CR05", "warn")]),
    ],
)
def test_that_cron_jobs_may_be_ignored_is_told_only_of_an_operator_of_which_that_is_known(
    wanted: Wanted, found: list[tuple[str, str]]
) -> None:
    """Each file would be warned of for ever otherwise."""
    assert rules_found([CRON], wanted) == found


def test_our_samples_are_clean(capsys: pytest.CaptureFixture[str]) -> None:
    """All of them at once, with the gate that one of them needs."""
    assert lint([str(SAMPLES)], Wanted(gates="RayCronJob=true")) == 0

    assert capsys.readouterr().out == "nothing to say; 6 objects in 5 files\n"


def test_a_finding_that_denies_is_exit_code_1(old: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And the line is shown."""
    assert lint([old], Wanted()) == 1

    told = capsys.readouterr().out
    assert ": error: [RV02] spec.rayClusterSpec.rayVersion: " in told
    assert '\n        rayVersion: "2.46.0"\n        ^^^^^^^^' in told


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(), [("RV02", "deny")]),
        (Wanted(profile="compat"), [("RV02", "warn")]),
        (Wanted(rules=("RV02=warn",)), [("RV02", "warn")]),
        (Wanted(profile="strict", rules=("RV02=off",)), []),
        (Wanted(rules=("rv02=Off",)), []),
    ],
)
def test_profile_and_rules_are_those_of_the_operator(old: str, wanted: Wanted, found: list[tuple[str, str]]) -> None:
    """What the command line says of one rule counts for more than the profile."""
    assert rules_found([old], wanted) == found


@pytest.mark.spec("admission:P3")
def test_the_operators_config_file_counts_and_the_command_line_counts_more(old: str, tmp_path: Path) -> None:
    """So that CI judges as the cluster will."""
    config = tmp_path / "config.yaml"
    config.write_text("admission: {profile: compat, rules: {RV02: off}}\nheadSidecarContainers: [{name: log}, 3]\n")

    target = target_of(Wanted(config=str(config)))

    assert rules_found([old], Wanted(config=str(config))) == []
    assert rules_found([old], Wanted(config=str(config), rules=("RV02=deny",))) == [("RV02", "deny")]
    assert target.operator.admission.profile is Profile.COMPAT
    assert target.operator.surroundings.head_sidecars == ("log",)


def test_gates_are_those_of_an_operator_without_flags_unless_they_are_named() -> None:
    """The linter does not know the cluster."""
    assert target_of(Wanted()).operator.gates == DEFAULT_GATES
    assert target_of(Wanted(gates="RayCronJob=true,AllBeta=false")).operator.gates == {
        **dict.fromkeys(DEFAULT_GATES, False),
        "RayCronJob": True,
    }


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Wanted(rules=("RV2=off",)), "there is no rule 'RV2'; did you mean RV"),
        (Wanted(rules=("quux=off",)), "there is no rule 'quux'; docs/rules.md has them all"),
        (Wanted(rules=("RV02",)), "--rule RV02: expected RV02= and one of deny, warn, off"),
        (Wanted(rules=("J3=off",)), "--rule J3=off: J3 always refuses, as the reference operator does"),
        (Wanted(gates="RayCronJobs=true"), "unrecognized feature gate: RayCronJobs"),
        (Wanted(config="gone.yaml"), "cannot read -config gone.yaml"),
    ],
)
def test_a_wrong_option_is_a_sentence_and_exit_code_2(
    old: str, wanted: Wanted, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before any file is judged."""
    with pytest.raises(BadSettings) as refused:
        target_of(wanted)
    assert str(refused.value).startswith(words)

    assert lint([old], wanted) == 2
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", f"manta: {refused.value}\n")


def test_standard_input_is_linted_for_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    """What helm or kustomize made."""
    monkeypatch.setattr("sys.stdin", io.StringIO(OLD))

    (found,) = report_on(["-"], Target()).findings

    assert found.document.where("kind") == "standard input:3:1"


def test_warnings_fail_only_where_that_is_asked_for() -> None:
    """`--fail-on warn`."""
    gates = "RayCronJob=false"

    assert (lint([CRON], Wanted(gates=gates)), lint([CRON], Wanted(gates=gates, fail_on="warn"))) == (0, 1)


@pytest.mark.parametrize(
    ("asked", "environment", "terminal", "colour"),
    [
        (None, {"TERM": "xterm"}, True, True),
        (None, {"TERM": "xterm"}, False, False),
        (None, {"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        (None, {"TERM": "xterm", "NO_COLOR": ""}, True, True),
        (None, {"TERM": "dumb"}, True, False),
        (True, {"NO_COLOR": "1"}, False, True),
        (False, {"TERM": "xterm"}, True, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    asked: bool | None, environment: dict[str, str], terminal: bool, colour: bool
) -> None:
    """The convention of NO_COLOR, and a word on the command line before it."""
    assert colourful(asked, environment, terminal) is colour


def test_every_rule_can_be_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """As docs/rules.md does; and what is none is a sentence."""
    ids = [*{rule.id: None for rules in RULES_BY_KIND.values() for rule in rules}, *ELSEWHERE]

    assert {explain(id_.lower()) for id_ in ids} == {0}
    assert capsys.readouterr().out.count("\n") >= len(ids)
    assert explain("RV02") == 0
    assert capsys.readouterr().out.splitlines()[0] == f"RV02: {ENTRIES['RV02'].what}"
    assert explain("RV2") == 2
    capsys.readouterr()
    assert explain("p4") == 0  # as findings about the annotation have it
    assert "ray.io/admission-skip" in capsys.readouterr().out


def command(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200", "TERM": "dumb"}
    return subprocess.run(
        [sys.executable, "-m", "manta", "lint", *arguments],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


@pytest.mark.parametrize(
    ("output", "first"),
    [("text", "standard input:"), ("json", "{"), ("sarif", "{"), ("github", "::error file=standard input,")],
)
def test_the_command_prints_in_each_form(output: str, first: str) -> None:
    """With the exit code of what it found."""
    done = command("-", "--output", output, "--rule", "RV02=deny", given=OLD)

    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith(first)


def test_a_form_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    """Without words of the library."""
    told = " ".join(command("--output", "xml", "x.yaml").stderr.replace("│", " ").split())

    assert "'xml' is not one of 'text', 'json', 'sarif', 'github'." in told
    assert "Value error" not in told


def test_the_command_needs_a_file_and_takes_no_other_form() -> None:
    """Sentences, and exit code 2."""
    nothing, form = command(), command("a.yaml", "--output", "xml")

    assert (nothing.returncode, form.returncode) == (2, 2)
    assert "name files, folders, or - for standard input" in nothing.stderr
    assert "Traceback" not in nothing.stderr + form.stderr


def test_whoever_stops_reading_gets_no_traceback(tmp_path: Path) -> None:
    """`manta lint . | head -1`; a pipe holds some 64 KiB."""
    for number in range(300):
        (tmp_path / f"{number}.yaml").write_text(OLD)
    program = f"{sys.executable} -m manta lint {tmp_path} | head -n 1"

    done = subprocess.run(["sh", "-c", program], capture_output=True, text=True, check=False)

    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_linting_starts_nothing_and_loads_no_server() -> None:
    """It is a matter of a second in a pre-commit hook."""
    program = "import sys, manta.lint; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    heavy = {"aiohttp", "asyncio", "cryptography", "uvloop", "structlog", "prometheus_client", "rich", "manta.run"}
    assert sorted(heavy & set(done.stdout.split())) == []


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=8), inside, max_size=3),
    max_leaves=8,
)
KINDS = st.sampled_from(["RayCluster", "RayJob", "RayService", "RayCronJob", "ConfigMap", "List", "Pod"])
OBJECTS = st.fixed_dictionaries(
    {"apiVersion": st.sampled_from(["ray.io/v1", "ray.io/v1alpha1", "v1"]), "kind": KINDS, "metadata": JUNK},
    optional={"spec": JUNK, "items": JUNK, "status": JUNK, "data": JUNK},
)
# Nothing, words that YAML and we look for, and single bytes: most draws are broken in a place of their own
PARTS = st.one_of(
    st.binary(max_size=6),
    st.sampled_from(
        [line.encode() + b"\n" for line in OLD.splitlines()] + [b"---\n", b"&a ", b"*a ", b"<<: ", b"!!int ", b"{{ "]
    ),
)
FILES = st.one_of(
    st.binary(max_size=200),
    st.lists(PARTS, max_size=40).map(b"".join),
    OBJECTS.map(lambda body: json.dumps(body).encode()),
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=FILES, form=st.sampled_from(["text", "json", "sarif", "github"]), asked=st.booleans())
def test_any_bytes_are_judged_or_refused_with_a_sentence(
    data: bytes, form: str, asked: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a file that was named, and in a folder; told in every form."""
    file = tmp_path / "any" / "a.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(data)

    code = lint([str(file if asked else file.parent)], Wanted(output=form))  # type: ignore[arg-type]

    told = capsys.readouterr()
    assert code in (0, 1, 2)
    assert told.out
    assert told.err == ""
    if form in ("json", "sarif"):
        assert json.loads(told.out)


CUTS = range(0, len(OLD), 7)


@pytest.mark.parametrize("cut", CUTS)
def test_a_file_that_breaks_off_anywhere_is_judged_or_refused(cut: int, tmp_path: Path) -> None:
    """A disk that was full."""
    file = tmp_path / "a.yaml"
    file.write_text(OLD[:cut])

    report = report_on([str(file)], Target())

    assert report.findings or report.broken
