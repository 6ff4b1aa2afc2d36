"""Makes images without a container daemon: `python -m hack.image NAME... [--output FOLDER]`; without a name, all.

Each becomes one OCI archive. `ctr -n k8s.io images import`, `docker load` and `kind load image-archive` take it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hack.image.debian import CACHE, CannotLayOut
from hack.image.making import IMAGES, CannotMake, make
from hack.kube.build import CannotBuild

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """The command line; 1 when an image cannot be made."""
    parser = argparse.ArgumentParser(prog="python -m hack.image", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(IMAGES)}")
    parser.add_argument("--output", type=Path, default=CACHE / "archives", help="the folder for the archives")
    given = parser.parse_args(arguments)
    unknown = set(given.names) - set(IMAGES)
    if unknown:
        parser.error(f"there is no image {', '.join(sorted(unknown))}; there are {', '.join(IMAGES)}")
    try:
        for name in given.names or IMAGES:
            made = make(name, given.output)
            size = made.path.stat().st_size / 1e6
            print(f"{name}: {made.path} {size:.0f} MB in {made.seconds:.1f} s, as {', '.join(made.names)}", flush=True)
    except (CannotMake, CannotLayOut, CannotBuild) as refused:
        print(refused, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
