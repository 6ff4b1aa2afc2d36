"""What a run tells: one line for one thing that changed, and at its end a verdict."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Line", "Verdict"]


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that changed. `what`: phase, application, url, answer, pod, trouble or event; `about` names whose."""

    what: str
    about: str
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The run is over: exit code, and a sentence; `tail` is what was said last, as far as its status holds it."""

    code: int
    text: str
    tail: tuple[str, ...] = ()
    cell_ended: bool = False  # by the fault of neither the user nor the job
