"""How lines look: on a terminal with rich, plainly otherwise, or as JSON for scripts."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from manta.joblog import uncoloured
from manta.progress import Line, Progress, Verdict

__all__ = ["Json", "Plain", "Rich", "Show", "chosen"]


class Show(Protocol):
    """Takes lines of a run as they come."""

    def tell(self, line: Line) -> None:
        """One thing that changed."""
        ...

    def log(self, text: str, *, news: bool = True) -> None:
        """A line of the job's own output; what is no news is kept for programs and not shown to people."""
        ...

    def say(self, text: str) -> None:
        """A sentence of ours."""
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

    def say(self, text: str) -> None:
        """See Show."""
        self.write(text)

    def stage(self, text: str) -> None:
        """See Show."""
        if text:
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

    def say(self, text: str) -> None:
        """See Show."""
        self.write(what="note", text=text)

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
        self.live = Live(console=self.console, refresh_per_second=8, get_renderable=self.table, transient=True)

    @contextmanager
    def open(self) -> Iterator[Rich]:
        """The table is live inside this block."""
        with self.live:
            yield self

    def table(self) -> Any:
        """The pods, and what the whole is doing."""
        from rich.spinner import Spinner
        from rich.table import Table

        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        progress = self.progress
        title = progress.stage or f"{progress.kind} {progress.name}  {progress.phase}"
        table.add_row(Spinner("dots", text=f" {time.monotonic() - self.began:5.1f}s  {title}"))
        for pod in sorted(self.progress.pods.values(), key=lambda one: (one.role, one.name)):
            colour = "green" if pod.ready else "yellow"
            table.add_row(f"   [{colour}]●[/] {pod.name}  [dim]{pod.role}[/]  [{colour}]{pod.state}[/]")
        return table

    def tell(self, line: Line) -> None:
        """See Show."""
        from rich.markup import escape

        self.progress.stage = ""
        style = {"trouble": "red", "event": "red", "phase": "bold", "pod": "dim"}.get(line.what, "")
        text = f"{time.monotonic() - self.began:6.1f}s  {line.about}: {line.text}"
        self.console.print(f"[{style}]{escape(text)}[/]" if style else escape(text))

    def log(self, text: str, *, news: bool = True) -> None:
        """See Show."""
        from rich.text import Text

        if not news:
            return
        self.console.print(Text.assemble(("         │ ", "cyan"), Text.from_ansi(text)))

    def say(self, text: str) -> None:
        """See Show."""
        self.console.print(_escaped(text))

    def stage(self, text: str) -> None:
        """See Show."""
        self.progress.stage = text

    def end(self, verdict: Verdict) -> None:
        """See Show."""
        colour = "green" if verdict.code == 0 else "red"
        text = f"{time.monotonic() - self.began:6.1f}s  {verdict.text}"
        self.console.print(f"[bold {colour}]{_escaped(text)}[/]")


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


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
