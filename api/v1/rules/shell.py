"""What of a command line a shell would act on itself: as far as one must read it to tell where a command ends.

Quotes, escapes and substitutions are walked over; nothing is expanded. Here-documents count as plain lines: the shell
that meets one reads them as its own.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["control_operator"]

# Ends a command and begins another. Not among them: redirections such as 2>&1, &>file, >|file.
_OPERATOR: Final = re.compile(r"&&|\|\||\|&?|;+|(?<![<>&])&(?![>&])|\n+")
_CLOBBER: Final = re.compile(r">\|")
_OPENING: Final = re.compile(r"\$\(|\$\{|[<>]\(|`|\"")
_CLOSING: Final = {"$(": ")", "<(": ")", ">(": ")", "(": ")", "${": "}", "`": "`", '"': '"'}
_SKIPPED: Final = re.compile(r"\\.|\$'(?:\\.|[^'\\])*'|'[^']*'", re.DOTALL)  # says nothing to the shell
_ESCAPED: Final = re.compile(r"\\.", re.DOTALL)  # all that is skipped between double quotes
_PLAIN: Final = re.compile(r"[\w \t.,:=/%+-]+")  # neither opens nor closes nor ends anything, wherever it stands
_HOLE: Final = "_"


def control_operator(line: str) -> str:
    """The first operator at which the command of the line ends ("&&", ";", a line break), or "" if none does.

    A line whose quotes do not close has none: a shell refuses it as a whole.
    """
    bare = _unquoted(line.strip())
    found = _OPERATOR.search(_CLOBBER.sub(">", bare)) if bare is not None else None
    return found[0] if found else ""


def _unquoted(line: str) -> str | None:
    """The line with a hole for each part that is quoted or substituted; None where one does not end."""
    kept: list[str] = []
    inside: list[str] = []  # what closes the parts that are open, the innermost last
    at = 0
    while at < len(line):
        if plain := _PLAIN.match(line, at):
            kept.append("" if inside else plain[0])
            at = plain.end()
            continue
        skipped = (_ESCAPED if inside[-1:] == ['"'] else _SKIPPED).match(line, at)
        if skipped:
            kept.append(_HOLE)
            at = skipped.end()
            continue
        if line[at] == "'" and inside[-1:] != ['"']:
            return None
        at += _step(line, at, inside, kept)
    return None if inside else "".join(kept)


def _step(line: str, at: int, inside: list[str], kept: list[str]) -> int:
    """Go over what stands there, and open or close a part; how many characters that were."""
    if inside and line[at] == inside[-1]:
        inside.pop()
        return 1
    opening = _OPENING.match(line, at)
    if opening and not (inside[-1:] == ['"'] and opening[0] in ("<(", ">(")):
        inside.append(_CLOSING[opening[0]])
        kept.append(_HOLE)
        return len(opening[0])
    if inside[-1:] == [")"] and line[at] == "(":
        inside.append(")")
    elif not inside:
        kept.append(line[at])
    return 1
