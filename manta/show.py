"""How lines look: on a terminal with rich, plainly otherwise, or as JSON for scripts."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol, TextIO

from manta.joblog import uncoloured
from manta.lines import Line, Verdict
from manta.progress import Progress

__all__ = ["Json", "Plain", "Rich", "Show", "chosen"]

STYLES: Final = {  # of a Line, by what it is
    "trouble": "red",
    "event": "red",
    "phase": "bold",
    "pod": "dim",
    "url": "bold cyan",
    "answer": "cyan",
}


class Show(Protocol):
    """Takes lines of a run as they come."""

    def tell(self, line: Line) -> None:
        """One thing that changed."""
        ...

    def log(self, text: str, *, news: bool = True) -> None:
        """A line of the job's own output; what is no news is kept for programs and not shown to people."""
        ...

    def say(self, text: str, **members: str) -> None:
        """A sentence of ours; `members` are for programs."""
        ...

    def stage(self, text: str) -> None:
        """What is being done just now; "" once the object itself says how it is."""
        ...

    def end(self, verdict: Verdict) -> None:
        """The run is over."""
        ...


class Plain:
    """Lines with the seconds since the start in front; the job's own output as it is."""

    def __init__(self, out: TextIO) -> None:
        self.out, self.began = out, time.monotonic()
        self.staged: set[str] = set()

    def write(self, text: str) -> None:
        """One line."""
        self.out.write(text + "\n")
        self.out.flush()

    def tell(self, line: Line) -> None:
        """See Show."""
        mark = {"trouble": "! ", "event": "! "}.get(line.what, "")
        self.write(f"{time.monotonic() - self.began:6.1f}s  {mark}{line.about}: {line.text}")

    def log(self, text: str, *, news: bool = True) -> None:
        """See Show."""
        if news:
            self.write(f"         | {uncoloured(text)}")

    def say(self, text: str, **members: str) -> None:
        """See Show."""
        self.write(text)

    def stage(self, text: str) -> None:
        """See Show."""
        if text and text not in self.staged:  # what is tried again says the same again
            self.staged.add(text)
            self.write(f"{time.monotonic() - self.began:6.1f}s  {text}")

    def end(self, verdict: Verdict) -> None:
        """See Show."""
        self.write(f"{time.monotonic() - self.began:6.1f}s  {verdict.text}")


class Json:
    """One JSON object a line."""

    def __init__(self, out: TextIO) -> None:
        self.out, self.began = out, time.monotonic()

    def write(self, **members: Any) -> None:
        """One line."""
        members["seconds"] = round(time.monotonic() - self.began, 3)
        self.out.write(json.dumps(members) + "\n")
        self.out.flush()

    def tell(self, line: Line) -> None:
        """See Show."""
        self.write(what=line.what, about=line.about, text=line.text)

    def log(self, text: str, *, news: bool = True) -> None:
        """See Show."""
        self.write(what="log", text=uncoloured(text), news=news)

    def say(self, text: str, **members: str) -> None:
        """See Show."""
        self.write(what="note", text=text, **members)

    def stage(self, text: str) -> None:
        """See Show."""
        if text:
            self.write(what="stage", text=text)

    def end(self, verdict: Verdict) -> None:
        """See Show."""
        self.write(what="end", code=verdict.code, text=verdict.text)


class Rich:
    """The story scrolls by, and below it stands a live table of the pods."""

    def __init__(self, progress: Progress) -> None:
        from rich.console import Console
        from rich.live import Live

        self.progress, self.began = progress, time.monotonic()
        self.console = Console(highlight=False)
        self.spinner: Any = None
        self.live = Live(console=self.console, refresh_per_second=8, get_renderable=self.table, transient=True)

    @contextmanager
    def open(self) -> Iterator[Rich]:
        """The table is live inside this block."""
        with self.live:
            yield self

    def table(self) -> Any:
        """What the whole is doing, and the pods: as many as half of the terminal holds."""
        from rich.console import Group
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        progress = self.progress
        title = progress.stage or f"{progress.kind} {progress.name}  {progress.phase}"
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_column(no_wrap=True, style="dim")
        table.add_column(no_wrap=True)
        pods = sorted(progress.pods.values(), key=lambda one: (one.role, one.name))
        room = max(self.console.height // 2, 3)
        for pod in pods[:room]:
            colour = "green" if pod.ready else "yellow"
            table.add_row(Text.assemble(("   ● ", colour), pod.name), pod.role, Text(pod.state, colour))
        more = [Text(f"   and {len(pods) - room} more", "dim")] if len(pods) > room else []
        self.spinner = self.spinner or Spinner("dots")  # the same one each time, or it would not turn
        self.spinner.update(text=Text(f" {self.seconds}  {title}", no_wrap=True, overflow="ellipsis"))
        return Group(self.spinner, table, *more)

    @property
    def seconds(self) -> str:
        """Since the start, as all lines show them."""
        return f"{time.monotonic() - self.began:6.1f}s"

    def hang(self, first: Any, others: Any, body: Any) -> None:
        """A line that may be longer than the terminal is wide: what goes on below stands below its beginning."""
        width = max(self.console.width - first.cell_len, 20)
        for index, piece in enumerate(body.wrap(self.console, width, overflow="fold") or [body]):
            self.console.print(others if index else first, piece, sep="", soft_wrap=True)

    def tell(self, line: Line) -> None:
        """See Show."""
        from rich.text import Text

        self.progress.stage = ""
        style = STYLES.get(line.what, "")
        body = Text(f"{line.about}: {line.text}", style)
        self.hang(Text(f"{self.seconds}  ", style), Text(" " * 9), body)

    def log(self, text: str, *, news: bool = True) -> None:
        """See Show."""
        from rich.text import Text

        if not news:
            return
        bar = Text("         │ ", "cyan")
        self.hang(bar, bar, Text.from_ansi(text))

    def say(self, text: str, **members: str) -> None:
        """See Show. Long lines are left to the terminal, so that a command in them can be copied."""
        self.console.print(text, markup=False, soft_wrap=True)

    def stage(self, text: str) -> None:
        """See Show."""
        self.progress.stage = text

    def end(self, verdict: Verdict) -> None:
        """See Show."""
        from rich.text import Text

        style = "bold green" if verdict.code == 0 else "bold red"
        self.hang(Text(f"{self.seconds}  ", style), Text(" " * 9), Text(verdict.text, style))


@contextmanager
def chosen(output: str, progress: Progress) -> Iterator[Show]:
    """The way of showing that was asked for; `auto` is rich on a terminal, plain otherwise."""
    if output == "json":
        yield Json(sys.stdout)
    elif output == "plain" or not sys.stdout.isatty():
        yield Plain(sys.stdout)
    else:
        with Rich(progress).open() as show:
            yield show
