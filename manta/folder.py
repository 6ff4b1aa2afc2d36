"""Where a run keeps its sockets and files: a private folder, which goes with the run or with a later start."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from localcluster.node.shellwords import UNQUOTED

__all__ = ["clear_away", "held", "new_folder"]

PREFIX: Final = "manta-"
LONGEST_NAME: Final = "images.sock"  # of the sockets that stand in the folder
LONGEST_PATH: Final = 107  # bytes of a Unix socket's path: the kernel has no room for more
RANDOM: Final = "x" * 8  # what mkdtemp adds to the prefix
SHORT: Final = Path("/tmp")  # noqa: S108 - a private folder is made in it


def new_folder() -> Path:
    """A new one, for this user alone. Raises OSError.

    In the temporary directory; where that has so long a path that no socket's would fit, or one that a shell would not
    take as it is (Ray's own lines quote nothing), in /tmp.
    """
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=place(Path(tempfile.gettempdir()))))


def place(temporary: Path) -> Path:
    """That one, or a shorter one."""
    socket = temporary / f"{PREFIX}{RANDOM}" / LONGEST_NAME
    fits = len(os.fsencode(socket)) <= LONGEST_PATH and UNQUOTED.search(str(temporary)) is None
    return temporary if fits else SHORT


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """The folder is ours inside the block, and gone after it, with a link that leads into it from elsewhere.

    The lock goes with this process, however that ends.
    """
    unseen = directory / ".lock"
    lock = os.open(unseen, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        unseen.rename(
            directory / "lock"
        )  # a run that begins now would take one that is not locked yet for a dead run's
        yield
    finally:
        from localcluster.node.shared.sweep import forget_link

        forget_link(directory)  # who made it does that, too, if it had the time
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def clear_away() -> int:
    """Remove the folders of runs that were killed, and end what lives of them; answers how many processes that were.

    What runs holds the lock of its folder. A process that still works for a run without one has outlived it.
    """
    ended = 0
    for folder in place(Path(tempfile.gettempdir())).glob(f"{PREFIX}*"):
        try:
            lock = os.open(folder / "lock", os.O_RDONLY | os.O_NOFOLLOW)  # who may write there is swept away
        except OSError:
            continue  # somebody else's, or not even locked yet
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            from localcluster.node.shared.sweep import sweep  # seldom needed

            ended += len(sweep(folder).ended)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
    return ended
