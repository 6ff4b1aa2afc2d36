"""`python -m controller`, `manta-operator`, and `/manager` in the image."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping

from controller.flags import UsageError, usage

__all__ = ["main"]


def main() -> None:
    """Parse, then run until a signal. --version answers before anything heavy is imported."""
    from controller.settings import FLAGS, VERSION, BadSettings, load

    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-version"]):
        sys.stdout.write(f"manta-operator {VERSION}\n")
        return
    if {"--help", "-help", "-h"} & set(arguments):
        sys.stderr.write(usage("manta-operator", FLAGS) + "\n")
        return
    try:
        settings = load(arguments, os.environ)
    except UsageError as error:
        sys.stderr.write(f"manta-operator: {error}\nmanta-operator --help lists all flags\n")
        sys.exit(2)
    except BadSettings as error:
        sys.stderr.write(f"manta-operator: {error}\n")
        sys.exit(1)
    end_when_asked()
    count_memory(os.environ)
    leave_rich_out()
    from controller.process import serve

    sys.exit(serve(settings))


def end_when_asked() -> None:
    """SIGTERM ends the process, until the running operator answers it: a container's first process has no default.

    Without this, a pod that is deleted within its first second stays until the kubelet kills it.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def count_memory(environment: Mapping[str, str]) -> None:
    """What PYTHONTRACEMALLOC asks for, for /debug/memory. The image's Python is isolated from its environment."""
    frames = environment.get("PYTHONTRACEMALLOC", "")
    if not frames.isdecimal() or not int(frames):
        return
    import tracemalloc

    if not tracemalloc.is_tracing():
        tracemalloc.start(int(frames))


def leave_rich_out() -> None:
    """Keep structlog from loading rich, and pygments with it, where `manta` brought them: 3 MiB that a log never needs.

    The operator's image has neither, so what is logged is the same everywhere. Once they are loaded, they stay.
    """
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # what the import system takes for "not there"


if __name__ == "__main__":
    main()
