"""Refusals with the line of the file, and exit codes."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from localcluster.node.forward import PortTaken
from manta.__main__ import interrupted_early
from manta.api import Refused, message_of, path_of
from manta.checking import Rejected, usable
from manta.documents import Unusable, parsed
from manta.ending import Stopped, heeding_signals
from manta.local import NotStarted
from manta.run import Refusal, Wishes, ending_well, reachable, refusal, run
from manta.show import Plain

SAMPLES = Path(__file__).parents[3] / "config" / "samples"

JOB = """\
apiVersion: ray.io/v1
kind: RayJob
metadata:
  name: train
spec:
  entrypint: python train.py
  backoffLimit: lots
  rayClusterSpec: []
"""


def test_an_unknown_field_is_shown_with_its_line_under_the_servers_words() -> None:
    """Strict field validation names the field by its path."""
    (document,) = parsed("job.yaml", JOB)

    shown = refusal(document, Refused(400, 'strict decoding error: unknown field "spec.entrypint"'))

    assert shown.splitlines() == [
        'RayJob default/train is refused: strict decoding error: unknown field "spec.entrypint"',
        "job.yaml:6:3",
        "      entrypint: python train.py",
        "      ^^^^^^^^^^^^^^^^^^^^^^^^^^",
    ]


def test_a_wrong_value_is_shown_with_its_line() -> None:
    """The schema's complaint begins with the path."""
    (document,) = parsed("job.yaml", JOB)

    shown = refusal(document, Refused(422, 'RayJob "train" is invalid: spec.backoffLimit: Invalid value: "string"'))

    assert "job.yaml:7" in shown


def test_a_kind_that_nobody_serves_is_named() -> None:
    """The server itself only says that it could not find the page."""
    (document,) = parsed("job.yaml", JOB.replace("ray.io/v1", "example.com/v1"))

    shown = refusal(document, Refused(404, "404 page not found"))

    assert shown == "RayJob default/train is refused: the local cluster does not serve example.com/v1 RayJob"


def test_a_namespace_that_is_not_there_is_named_with_its_line_and_the_way_out() -> None:
    """It answers 404 as for a kind that is not served; nearly every file of production has a namespace."""
    (document,) = parsed("job.yaml", JOB.replace("  name: train", "  name: train\n  namespace: ml"))

    shown = refusal(document, Refused(404, 'namespaces "ml" not found'))

    assert shown.splitlines()[:2] == [
        (
            "RayJob ml/train is refused: there is no namespace ml; put a Namespace of that name into the file, "
            "above what stands in it"
        ),
        "job.yaml:5:3",
    ]


def test_documents_with_findings_start_nothing_and_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    """The file cannot be used; everything that is wrong is told at once."""
    assert ending_well(failing(rejected(JOB))) == 2

    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("manta: nothing was started, 3 things are wrong\njob.yaml:6:3: spec.entrypint: ")


def test_findings_are_objects_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    """And the last line is the verdict, as after a run."""
    assert ending_well(failing(rejected(JOB)), "json") == 2

    told = capsys.readouterr()
    *found, end = [json.loads(line) for line in told.out.splitlines()]
    assert told.err == ""
    assert [(one["what"], one["line"], one["path"]) for one in found[:2]] == [
        ("finding", 6, "spec.entrypint"),
        ("finding", 7, "spec.backoffLimit"),
    ]
    assert end == {"what": "end", "code": 2, "text": "nothing was started"}


def rejected(text: str) -> Rejected:
    with pytest.raises(Rejected) as told:
        usable(parsed("job.yaml", text))
    return told.value


async def failing(error: Exception) -> int:
    raise error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unusable("a.yaml:1: no"), 2),
        (PortTaken(8001), 2),
        (NotStarted("this machine does not let an ordinary user make namespaces"), 1),
        (Refusal("RayJob default/a is refused"), 1),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_an_exit_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback: it is nobody's bug."""
    assert ending_well(failing(error)) == code

    assert capsys.readouterr().err == f"manta: {error}\n"


def test_it_is_a_sentence_too_when_it_was_raised_beside_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of a door or an alarm, say: what their block raises comes out in a group."""
    error = Refusal("RayJob default/a is refused")

    assert ending_well(failing(ExceptionGroup("tasks", [ExceptionGroup("more of them", [error])]))) == 1

    assert capsys.readouterr().err == f"manta: {error}\n"


def test_a_bug_beside_it_is_not_hidden_by_a_sentence() -> None:
    """It travels, with its traceback."""
    with pytest.raises(ExceptionGroup):
        ending_well(failing(ExceptionGroup("tasks", [Refusal("no"), ZeroDivisionError()])))


def test_a_file_that_cannot_be_read_starts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, as for any wrong command line."""
    assert run("/nowhere/job.yaml", Wishes()) == 2

    assert "cannot read /nowhere/job.yaml" in capsys.readouterr().err


def test_a_file_with_nothing_of_ray_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There would be nothing to follow; what else one may do with it is told."""
    file = tmp_path / "code.yaml"
    file.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: code}\n")

    assert run(str(file), Wishes()) == 2

    told = capsys.readouterr().err
    assert told.startswith(f"manta: {file} has no RayJob, RayService, RayCluster or RayCronJob")
    assert "ConfigMap default/code" in told
    assert "`manta up --apply FILE`" in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot read"),
        ("a: [", "this is no YAML"),
        ("a: 1\n", "has no apiVersion"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: code}\n", "has no RayJob"),
    ],
)
def test_a_file_that_cannot_be_used_ends_with_a_line_for_scripts_too(
    text: str | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They read standard output, line by line, until the one that has the exit code."""
    file = tmp_path / "job.yaml"
    if text is not None:
        file.write_text(text)

    assert run(str(file), Wishes(output="json")) == 2

    told = capsys.readouterr()
    end = json.loads(told.out)
    assert (end["what"], end["code"], told.err) == ("end", 2, "")
    assert words in end["text"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_ends_with_a_line_for_scripts(
    number: signal.Signals, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its exit code, and the reason."""
    assert ending_well(interrupted(number), "json") == code

    told = capsys.readouterr()
    text = "interrupted; everything that was started is gone"
    assert (json.loads(told.out), told.err) == ({"what": "end", "code": code, "text": text}, "")


def test_what_is_meant_to_be_interrupted_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    """`manta up` has no other end."""
    assert ending_well(interrupted(signal.SIGINT), "json", stopping="everything is gone", stopped_code=0) == 0

    assert json.loads(capsys.readouterr().out) == {"what": "end", "code": 0, "text": "everything is gone"}


async def interrupted(number: signal.Signals) -> int:
    """It gets that signal in the midst of its work."""
    os.kill(os.getpid(), number)
    await asyncio.Event().wait()
    return 0


@pytest.mark.parametrize("arguments", [["run", "--output", "json", "a.yaml"], ["run", "a.yaml", "--output=json"]])
def test_a_run_that_is_interrupted_while_it_loads_ends_with_that_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a second in which nothing knows yet how to end."""
    with pytest.raises(SystemExit) as ended:
        interrupted_early(arguments, signal.SIGTERM)

    assert ended.value.code == 143
    assert json.loads(capsys.readouterr().out) == {
        "what": "end",
        "code": 143,
        "text": "interrupted; nothing was started",
    }


def test_a_run_for_people_that_is_interrupted_while_it_loads_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """They pressed Ctrl-C themselves."""
    with pytest.raises(SystemExit) as ended:
        interrupted_early(["run", "a.yaml", "--output", "plain"], signal.SIGINT)

    assert (ended.value.code, capsys.readouterr().out) == (130, "")


async def test_a_port_in_use_is_told_before_a_start_is() -> None:
    """Nothing was started."""
    out = io.StringIO()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wishes = Wishes(port=taken.getsockname()[1])
        with pytest.raises(PortTaken):
            async with reachable(wishes, Plain(out)):
                raise AssertionError("it started")

    assert out.getvalue() == ""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=lambda it: str(it)
)
def test_a_signal_lets_blocks_clean_up_and_becomes_the_exit_code(number: signal.Signals, code: int) -> None:
    """asyncio by itself does so for SIGINT only."""
    cleaned = []

    async def main() -> int:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)
        return 0

    with pytest.raises(Stopped) as stopped:
        heeding_signals(main())

    assert stopped.value.exit_code == code
    assert cleaned == [True]


def test_a_second_ctrl_c_does_not_cut_the_cleaning_short() -> None:
    """People press it twice."""
    steps = []

    async def main() -> int:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            steps.append("cleaned")
        return 0

    with pytest.raises(Stopped):
        heeding_signals(main())

    assert steps == ["cleaned"]


def test_without_a_signal_the_exit_code_is_the_runs_own() -> None:
    """Whatever it is."""

    async def main() -> int:
        return 1

    work: Coroutine[Any, Any, int] = main()

    assert heeding_signals(work) == 1


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (("v1", "ConfigMap"), "/api/v1/namespaces/ml/configmaps"),
        (("v1", "Namespace"), "/api/v1/namespaces"),
        (("ray.io/v1", "RayJob"), "/apis/ray.io/v1/namespaces/ml/rayjobs"),
        (("networking.k8s.io/v1", "NetworkPolicy"), "/apis/networking.k8s.io/v1/namespaces/ml/networkpolicies"),
        (("networking.k8s.io/v1", "Ingress"), "/apis/networking.k8s.io/v1/namespaces/ml/ingresses"),
        (("v1", "Endpoints"), "/api/v1/namespaces/ml/endpoints"),
        (("example.com/v1", "Toy"), "/apis/example.com/v1/namespaces/ml/toys"),
        (("example.com/v1", "Policy"), "/apis/example.com/v1/namespaces/ml/policies"),
        (("scheduling.k8s.io/v1", "PriorityClass"), "/apis/scheduling.k8s.io/v1/priorityclasses"),
    ],
)
def test_a_kinds_path_is_known_without_asking(kind: tuple[str, str], path: str) -> None:
    """Plural and scope."""
    assert path_of(*kind, "ml") == path


def test_an_answer_that_is_no_status_is_shown_as_it_is() -> None:
    """A proxy between may answer with text."""
    assert message_of(b"404 page not found\n") == "404 page not found"
    assert message_of(b'{"kind": "Status", "message": "no"}') == "no"


def test_what_judges_files_is_not_loaded_where_there_are_none() -> None:
    """`manta up` alone is ready within three seconds, and these take half of one."""
    program = "import sys, manta.run, manta.checking; manta.checking.usable([]); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    assert "manta.run" in loaded
    assert {"pydantic", "manta.findings", "localcluster.apiserver.custom"} & set(loaded) == set()


def test_what_admission_would_refuse_starts_nothing_and_is_shown_at_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same judges as those of `manta lint`: here a version that is not that of the image."""
    file = tmp_path / "job.yaml"
    file.write_text((SAMPLES / "rayjob.yaml").read_text().replace('rayVersion: "2.52.0"', 'rayVersion: "2.46.0"'))

    assert run(str(file), Wishes()) == 2

    first, second, *shown = capsys.readouterr().err.splitlines()
    assert first == "manta: nothing was started, one thing is wrong"
    assert second.startswith(f"{file}:25:5: spec.rayClusterSpec.rayVersion: ")
    assert second.endswith("[RV02]")
    assert shown[0].strip() == 'rayVersion: "2.46.0"'
    assert shown[1].strip() == "^" * len('rayVersion: "2.46.0"')
