"""Structured logs (design.md §5): one JSON object a line, or lines for people. Configured once, by main."""

from __future__ import annotations

import logging
import sys
from typing import Literal, TextIO

import structlog

__all__ = ["configure"]


def configure(
    *,
    encoding: Literal["json", "console"] = "json",
    level: int = logging.INFO,
    output: TextIO | None = None,
) -> None:
    """Send what is at least of that level to `output` (stderr); `ts`, `level`, `logger`, `msg`, then the key-values.

    Messages of libraries that use the standard library's logging come out in the same form.
    """
    target = output if output is not None else sys.stderr
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.add_logger_name, *_rendering(encoding)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *names: _NamedLogger(target, *names),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(encoding)],
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.WARNING))


class _NamedLogger(structlog.PrintLogger):
    """Prints lines, and knows what it was asked for as."""

    def __init__(self, target: TextIO, name: str = "manta") -> None:
        super().__init__(target)
        self.name = name


def _rendering(encoding: Literal["json", "console"]) -> list[structlog.typing.Processor]:
    if encoding == "console":
        return [structlog.dev.ConsoleRenderer(colors=False, timestamp_key="ts")]
    return [
        structlog.processors.dict_tracebacks,
        structlog.processors.EventRenamer("msg"),
        structlog.processors.JSONRenderer(),
    ]
