"""The kubeconfig where the user wants it: it comes with the cluster, and goes with it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from manta.documents import Unusable

__all__ = ["kept_for"]

CONTEXT = "manta"  # of the kubeconfigs that the local cluster writes


@contextmanager
def kept_for(path: Path | None) -> Iterator[None]:
    """The file may be written while the block is open, and is gone after it, with the folders that were made for it.

    Raises Unusable before anything else is done: for a file that is somebody's, and where none can be written.
    """
    if path is None:
        yield
        return
    path = path.absolute()
    if path.exists() and not is_ours(path):
        raise Unusable(f"{path} is there already, and would be gone at the end; name a new file with --kubeconfig")
    made = [one for one in path.parents if not one.exists()]
    try:
        make_place(path)
        yield
    finally:
        if path.parent.is_dir():
            path.unlink(missing_ok=True)
        for folder in made:
            if not folder.is_dir() or any(folder.iterdir()):
                break  # somebody else found it useful
            folder.rmdir()


def make_place(path: Path) -> None:
    """Its folder is there, and can be written into. Raises Unusable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unusable(f"cannot write {path}: {error.strerror}") from error
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise Unusable(f"cannot write {path}: you may not write into {path.parent}")


def is_ours(path: Path) -> bool:
    """Whether a run that was killed left it."""
    try:
        return bool(json.loads(path.read_text())["current-context"] == CONTEXT)
    except (OSError, ValueError, KeyError, TypeError):
        return False
