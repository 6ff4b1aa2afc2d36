"""`python -m localcluster` as a user meets it."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import stat
import sys
from pathlib import Path

import aiohttp

from localcluster.__main__ import main


async def test_it_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """The kubeconfig leads to it, is nobody else's to read, and goes when it ends."""
    kubeconfig = tmp_path / "deep" / "kubeconfig"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "localcluster", "--port=0", f"--kubeconfig={kubeconfig}", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    first = await process.stdout.readline()
    await process.stdout.readline()
    server = json.loads(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    mode = stat.S_IMODE(kubeconfig.stat().st_mode)

    async with aiohttp.ClientSession() as session, session.get(f"{server}/api/v1/namespaces/default") as answer:
        namespace = await answer.json()
    process.send_signal(signal.SIGINT)
    code = await process.wait()

    assert first.decode().startswith("serving on http://127.0.0.1:")
    assert namespace["metadata"]["name"] == "default"
    assert (code, mode) == (0, 0o600)
    assert not kubeconfig.exists()


def test_a_port_that_is_taken_is_said_in_a_sentence(tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    """With the way out."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        code = main([f"--port={port}", f"--kubeconfig={tmp_path / 'kubeconfig'}"])

    assert code == 2
    assert capsys.readouterr().err == (
        f"port {port} is taken by another program; choose another one with --port, or 0 for any\n"
    )
    assert not (tmp_path / "kubeconfig").exists()
