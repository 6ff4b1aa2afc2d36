"""Serve a local cluster: `python -m localcluster --port 8001 --kubeconfig FILE`; Ctrl-C ends it.

API server and controllers, without a node: pods stay Pending. `manta up` runs the whole.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import secrets
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from localcluster.kubeconfig import write_kubeconfig
from localcluster.running import running

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until Ctrl-C; 2 when the port is taken."""
    parser = argparse.ArgumentParser(prog="python -m localcluster", description="Serve a small Kubernetes API.")
    parser.add_argument("--port", type=int, default=8001, help="the loopback port to listen on; 0 takes any")
    parser.add_argument("--kubeconfig", type=Path, default=Path("manta.kubeconfig"), help="the file to write")
    said = parser.parse_args(arguments)
    try:
        asyncio.run(_serve(said.port, said.kubeconfig))
    except OSError as error:
        print(_why(error, said.port), file=sys.stderr)  # noqa: T201 - a command line
        return 2
    return 0


def _why(error: OSError, port: int) -> str:
    if "address already in use" in str(error):
        return f"port {port} is taken by another program; choose another one with --port, or 0 for any"
    return f"cannot serve on port {port}: {error}"


async def _serve(port: int, kubeconfig: Path) -> None:
    token = secrets.token_urlsafe(24)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for wanted in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(wanted, stop.set)
    chance = random.Random(os.urandom(16))
    async with running(now=_wall_clock, chance=chance, token=token, port=port) as cluster:
        with _told(kubeconfig, cluster.url, token):
            await stop.wait()


@contextmanager
def _told(kubeconfig: Path, url: str, token: str) -> Iterator[None]:
    """The kubeconfig is there as long as what it leads to."""
    write_kubeconfig(kubeconfig, url, token)
    print(f"serving on {url}\nexport KUBECONFIG={kubeconfig.resolve()}", flush=True)  # noqa: T201 - a command line
    try:
        yield
    finally:
        kubeconfig.unlink(missing_ok=True)


def _wall_clock() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the one place of this program that knows the time


if __name__ == "__main__":
    sys.exit(main())
