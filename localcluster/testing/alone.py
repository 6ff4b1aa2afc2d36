"""Virtual time holds for one loop with everything in it: a thread or process beside it would not be waited for."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

__all__ = ["NotAlone", "alone"]


class NotAlone(Exception):
    """Something started a thread or a process while only the loop may run."""


@contextmanager
def alone() -> Iterator[None]:
    """Refuse to start threads and processes while the block lasts.

    Raises NotAlone where it was tried, and again at the end of the block, in case that was swallowed.
    """
    tried: list[str] = []

    def refusing(what: str) -> Callable[..., NoReturn]:
        def refuse(*arguments: Any, **options: Any) -> NoReturn:
            tried.append(what)
            raise NotAlone(f"{what} in virtual time: the clock would run ahead of it")

        return refuse

    places: tuple[tuple[Any, str, str], ...] = (
        (threading.Thread, "start", "a thread was started"),
        (subprocess.Popen, "__init__", "a process was started"),
        (os, "fork", "the process was forked"),
        (os, "posix_spawn", "a process was started"),
    )
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
    for owner, name, what in places:
        setattr(owner, name, refusing(what))
    try:
        yield
    finally:
        for owner, name, original in before:
            setattr(owner, name, original)
    if tried:
        raise NotAlone("; ".join(dict.fromkeys(tried)))
