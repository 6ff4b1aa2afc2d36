"""Files that other processes read, or write as well, while we write them: at once or not at all."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["written"]


def written(path: Path, text: str, mode: int = 0o644) -> None:
    """The file has that text from now on; one that has it already is left as it is. Raises OSError."""
    if path.exists() and path.read_text() == text:
        return
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text)
    unfinished.chmod(mode)
    unfinished.replace(path)
