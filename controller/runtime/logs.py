"""Structured logs (design.md §5): one JSON object a line, or lines for people. Configured once, by main.

What is logged goes to one stream, and if asked to a file as well, each with an encoding of its own (spec deployment
§1.6, DC-5, DC-7).
"""

from __future__ import annotations

import io
import logging
import os
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Literal, TextIO, TypeAlias

import structlog

__all__ = ["Encoding", "configure"]

Encoding: TypeAlias = Literal["json", "console"]

FILE_BYTES = 500 * 1024 * 1024  # DC-7: then a new one is begun
OLD_FILES = 10


def configure(
    *,
    encoding: Encoding = "json",
    level: int = logging.INFO,
    output: TextIO | None = None,
    file: Path | None = None,
    file_encoding: Encoding = "json",
) -> None:
    """Send what is at least of that level to `output` (stderr); `ts`, `level`, `logger`, `msg`, then the key-values.

    `file` gets a copy of what is at least info. Its folder is made, only we may read it, and it is begun anew after
    500 MB, ten old ones being kept. Messages of libraries that use the standard library's logging come out in the same
    form. Raises OSError when the file cannot be written.
    """
    target = output if output is not None else sys.stderr
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
    ]
    named = [*shared, structlog.stdlib.add_logger_name]
    copy = _PrivateFile(file) if file is not None else None
    copied: list[structlog.typing.Processor] = [_Copy(copy, file_encoding)] if copy is not None else []
    structlog.configure(
        processors=[*named, *copied, *_rendering(encoding)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *names: _NamedLogger(target, *names),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_formatted(logging.StreamHandler(target), encoding, named)]
    if copy is not None:
        root.handlers.append(_formatted(copy, file_encoding, named))
    root.setLevel(max(level, logging.WARNING))


class _NamedLogger(structlog.PrintLogger):
    """Prints lines, and knows what it was asked for as."""

    def __init__(self, target: TextIO, name: str = "manta") -> None:
        super().__init__(target)
        self.name = name


class _PrivateFile(RotatingFileHandler):
    """A log file that grows only so far, in a folder that is made, for our own eyes."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(path, maxBytes=FILE_BYTES, backupCount=OLD_FILES, encoding="utf-8")

    def _open(self) -> io.TextIOWrapper:
        stream: IO[str] = open(self.baseFilename, self.mode, encoding=self.encoding, opener=_privately)  # noqa: SIM115
        assert isinstance(stream, io.TextIOWrapper)
        return stream


def _privately(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class _Copy:
    """A step of structlog's that writes the line to the file too, in the file's encoding; what it passes on is whole.

    The handler has a lock: both threads of the process log.
    """

    def __init__(self, file: RotatingFileHandler, encoding: Encoding) -> None:
        self._file = file
        self._steps = _rendering(encoding)

    def __call__(
        self, logger: structlog.typing.WrappedLogger, method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        level = logging.getLevelNamesMapping().get(str(event.get("level", "")).upper(), logging.INFO)
        if level >= logging.INFO:
            line = logging.LogRecord(
                str(event.get("logger")), level, "", 0, self._rendered(logger, method, event), (), None
            )
            self._file.handle(line)
        return event

    def _rendered(
        self, logger: structlog.typing.WrappedLogger, method: str, event: structlog.typing.EventDict
    ) -> object:
        rendered: object = dict(event)
        for step in self._steps:
            rendered = step(logger, method, rendered)  # type: ignore[arg-type]  # the last one's text is not a dict
        return rendered


def _formatted(
    handler: logging.Handler, encoding: Encoding, shared: list[structlog.typing.Processor]
) -> logging.Handler:
    """The handler, so that what libraries log looks like what we log; what is rendered already passes as it is."""
    handler.setFormatter(_LibraryFormatter(encoding, shared))
    return handler


class _LibraryFormatter(structlog.stdlib.ProcessorFormatter):
    def __init__(self, encoding: Encoding, shared: list[structlog.typing.Processor]) -> None:
        keep = structlog.stdlib.ProcessorFormatter.remove_processors_meta
        super().__init__(foreign_pre_chain=shared, processors=[keep, *_rendering(encoding)])

    def format(self, record: logging.LogRecord) -> str:
        if record.pathname == "":  # made by _Copy
            return record.getMessage()
        return super().format(record)


def _rendering(encoding: Encoding) -> list[structlog.typing.Processor]:
    if encoding == "console":
        return [structlog.dev.ConsoleRenderer(colors=False, timestamp_key="ts")]
    return [
        structlog.processors.dict_tracebacks,
        structlog.processors.EventRenamer("msg"),
        structlog.processors.JSONRenderer(),
    ]
