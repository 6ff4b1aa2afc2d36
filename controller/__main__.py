"""`python -m controller`, `manta-operator`, and `/manager` in the image."""

from __future__ import annotations

import os
import sys

from controller.flags import UsageError, usage

__all__ = ["main"]


def main() -> None:
    """Parse, then run until a signal. --version answers before anything heavy is imported."""
    from controller.settings import FLAGS, VERSION, load

    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-version"]):
        sys.stdout.write(f"manta-operator {VERSION}\n")
        return
    if {"--help", "-help", "-h"} & set(arguments):
        sys.stdout.write(usage("manta-operator", FLAGS) + "\n")
        return
    try:
        settings = load(arguments, os.environ)
    except UsageError as error:
        sys.stderr.write(f"manta-operator: {error}\nmanta-operator --help lists all flags\n")
        sys.exit(2)
    from controller.main import serve

    sys.exit(serve(settings))


if __name__ == "__main__":
    main()
