"""How lines look: plain, as JSON, on a terminal."""

from __future__ import annotations

import io
import json

from rich.console import Console

from manta.progress import Line, PodLine, Progress, Verdict
from manta.show import Json, Plain, Rich


def test_plain_lines_mark_trouble_and_carry_no_colours() -> None:
    """They go into files and CI logs."""
    out = io.StringIO()
    show = Plain(out)

    show.tell(Line("pod", "w", "Ready"))
    show.tell(Line("trouble", "w", "cannot be scheduled"))
    show.log("\x1b[37mJob\x1b[39m submitted")
    show.stage("")

    ready, trouble, log = out.getvalue().splitlines()
    assert ready.endswith("s  w: Ready")
    assert trouble.endswith("s  ! w: cannot be scheduled")
    assert log.strip() == "| Job submitted"


def test_what_is_no_news_is_kept_for_programs_alone() -> None:
    """A person has seen it, or need not."""
    plain, programs = io.StringIO(), io.StringIO()

    Plain(plain).log("ray job status hello", news=False)
    Json(programs).log("ray job status hello", news=False)

    assert plain.getvalue() == ""
    assert json.loads(programs.getvalue())["text"] == "ray job status hello"


def test_every_json_line_is_an_object_and_the_last_one_holds_the_exit_code() -> None:
    """For scripts: no line needs the one before it."""
    out = io.StringIO()
    show = Json(out)

    show.stage("starting")
    show.say("hello")
    show.tell(Line("phase", "RayJob a", "Running"))
    show.log("\x1b[1mline\x1b[22m")
    show.end(Verdict(1, "the job failed: no"))

    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["what"] for line in lines] == ["stage", "note", "phase", "log", "end"]
    assert lines[3]["text"] == "line"
    assert lines[-1]["code"] == 1
    assert all(line.pop("seconds") >= 0 for line in lines)


def test_the_table_on_a_terminal_shows_the_phase_and_every_pod() -> None:
    """Heads first, since they sort before workers."""
    progress = Progress("RayJob", "train", phase="Running")
    progress.pods = {"w": PodLine("w", "worker", "Pending"), "h": PodLine("h", "head", "Ready", ready=True)}
    console = Console(width=80, file=io.StringIO())
    with console.capture() as captured:
        console.print(Rich(progress).table())

    title, head, worker = captured.get().splitlines()
    assert "RayJob train  Running" in title
    assert head.split() == ["●", "h", "head", "Ready"]
    assert worker.split() == ["●", "w", "worker", "Pending"]


def test_the_table_says_what_is_being_made_until_the_object_says_something_itself() -> None:
    """The making of an image takes minutes, and the object's phase does not tell of it."""
    progress = Progress("RayJob", "train", phase="Initializing")
    show = Rich(progress)
    show.console = Console(width=80, file=io.StringIO())

    show.stage("Downloading ray (70.1MiB)")
    making = str(progress.stage)
    show.tell(Line("pod", "h", "Running"))

    assert making == "Downloading ray (70.1MiB)"
    assert progress.stage == ""
