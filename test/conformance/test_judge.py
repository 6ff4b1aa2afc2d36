"""The real control plane itself: it must never outlive the tests."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import pytest

from hack.kube.build import CannotBuild, find
from hack.kube.judge import NEEDED

JUDGE = Path(__file__).parents[2] / "hack" / "kube" / "judge.py"


@pytest.mark.judge
async def test_it_dies_with_the_process_that_started_it() -> None:
    """Even when that is killed: the connection to its API server breaks by itself."""
    try:
        find(NEEDED)
    except CannotBuild as refused:
        pytest.skip(str(refused))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hack.kube.judge", cwd=JUDGE.parents[2], stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(90):
        line = (await process.stdout.readline()).decode()
    folder = Path(line.partition("=")[2].strip()).parent
    server = _server(folder / "kubeconfig")
    reader, writer = await asyncio.open_connection(server.hostname, server.port)

    process.send_signal(signal.SIGKILL)
    async with asyncio.timeout(5):  # less than an API server waits for a client that says nothing
        try:
            rest = await reader.read()
        except ConnectionResetError:  # it died before it had read all that came
            rest = b""
    await process.wait()
    writer.close()
    await writer.wait_closed()
    shutil.rmtree(folder)  # the one thing that a killed process leaves

    assert rest == b""


def _server(kubeconfig: Path) -> SplitResult:
    url: str = json.loads(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    return urlsplit(url)
