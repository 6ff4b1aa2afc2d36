"""How lines look: plain, as JSON, on a terminal."""

from __future__ import annotations

import io
import json
import re

from rich.console import Console

from manta.lines import Line, Verdict
from manta.progress import PodLine, Progress
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


def on_a_terminal(width: int, height: int, progress: Progress | None = None) -> Rich:
    """One whose output can be read."""
    show = Rich(progress or Progress("RayJob", "train"))
    show.console = Console(width=width, height=height, file=io.StringIO(), highlight=False)
    return show


def test_a_table_of_many_pods_leaves_room_for_what_happens() -> None:
    """Half of the terminal at most."""
    progress = Progress("RayCluster", "big")
    progress.pods = {f"w{number:02}": PodLine(f"w{number:02}", "worker") for number in range(40)}
    show = on_a_terminal(80, 20, progress)

    with show.console.capture() as captured:
        show.console.print(show.table())

    title, *pods, more = captured.get().splitlines()
    assert "RayCluster big" in title
    assert len(pods) == 10
    assert more.strip() == "and 30 more"


def test_long_lines_go_on_below_their_beginning() -> None:
    """The bar that marks the job's own output stands in front of every piece of it."""
    show = on_a_terminal(40, 20)

    with show.console.capture() as captured:
        show.log("x" * 50)
        show.log("")
        show.tell(Line("pod", "a" * 10, "b " * 20))

    log, rest, empty, told, *more = captured.get().splitlines()
    assert (log, rest) == ("         │ " + "x" * 29, "         │ " + "x" * 21)
    assert empty.strip() == "│"
    assert re.match(r"   \d\.\ds  aaaaaaaaaa: b b", told)  # the clock is real
    assert more
    assert all(line.startswith(" " * 9 + "b") for line in more)


def test_a_command_to_copy_is_left_in_one_piece() -> None:
    """A line break of ours would be copied with it, or cut a path."""
    show = on_a_terminal(40, 20)

    with show.console.capture() as captured:
        show.say(f"kubectl --kubeconfig [here]/{'x' * 60} get pods")

    assert captured.get().splitlines() == [f"kubectl --kubeconfig [here]/{'x' * 60} get pods"]


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
