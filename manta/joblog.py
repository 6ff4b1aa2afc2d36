"""A job's own output, told once. Pure: lines in, and which of them are news.

In K8sJobMode the output comes through the submitter, Ray's own command line, which adds hints how to ask for a log that
is just being shown, and repeats the end of that log when the job fails. Its lines are known by the form in which Ray's
command line writes each of them: time, level, `cli.py:<line>`, two dashes.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from typing import Final

__all__ = ["JobLog", "cause_and_tail", "uncoloured"]

OF_THE_SUBMITTER: Final = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\s+(?P<level>[A-Z]+)\s+cli\.py:\d+ -- (?P<text>.*)"
)
COLOURS: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
SAID_BY_THE_STATUS: Final = re.compile(r"-+$|Job '.*' (?:succeeded|failed|was stopped)$")
REPEATS: Final = "Status message: "
ANNOUNCED: Final = re.compile(r",? *last available logs \(.*\): *$")  # how Ray joins the cause and the end of the log
TRACEBACK: Final = "Traceback (most recent call last):"
REMEMBERED: Final = 1000  # lines; Ray repeats 20,000 characters
TAIL: Final = 20  # lines of what was not shown are enough to see why


class JobLog:
    """What was shown of a job's output."""

    def __init__(self) -> None:
        self._shown: deque[str] = deque(maxlen=REMEMBERED)
        self._repeating = False

    def is_news(self, line: str) -> bool:
        """Whether a person wants to see this line, the next of the log; it counts as shown then."""
        line = uncoloured(line)
        if (own := OF_THE_SUBMITTER.match(line)) is not None:
            self._repeating = own["text"].startswith(REPEATS)
            return own["level"] not in ("INFO", "SUCC") and SAID_BY_THE_STATUS.match(own["text"]) is None
        if self._repeating:
            return False
        self._shown.append(line.strip())
        return True

    def not_shown(self, tail: Sequence[str]) -> tuple[str, ...]:
        """The last lines of a tail, if its end was not shown before: a log that broke off lacks just that."""
        lines = [uncoloured(line).rstrip() for line in tail if line.strip()]
        if all(line.strip() in self._shown for line in lines[-3:]):
            return ()
        return tuple(lines[-TAIL:])


def uncoloured(text: str) -> str:
    """Without the escapes that colour it on a terminal."""
    return COLOURS.sub("", text)


def cause_and_tail(message: str) -> tuple[str, tuple[str, ...]]:
    """A status message as one sentence, and the lines of the log that Ray or the operator put below it."""
    first, *rest = lines = message.strip().splitlines() or [""]
    if first.startswith(TRACEBACK):
        return lines[-1].strip(), tuple(lines)
    return ANNOUNCED.sub("", first).strip(), tuple(rest)
