"""The stand-in for wget, against a real server on the loopback."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from localcluster.node import wget


@asynccontextmanager
async def a_server(status: str, body: str) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.0 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def ran(*arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-IS", str(Path(wget.__file__)), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_a_probes_call_prints_the_body() -> None:
    """The very words of a generated probe."""
    async with a_server("200 OK", "success") as port:
        assert await ran("--tries", "1", "-T", "2", "-q", "-O-", f"http://localhost:{port}/x") == (0, "success")


async def test_a_refusal_by_the_server_is_exit_code_8_and_nobody_there_is_4() -> None:
    """Scripts tell them apart."""
    async with a_server("503 Busy", "no") as port:
        assert await ran("-q", "-O-", f"127.0.0.1:{port}") == (8, "")
    assert await ran("-q", "-O-", f"127.0.0.1:{port}") == (4, "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--tries=1 --timeout=2 -q -O - u", {"tries": "1", "timeout": "2", "q": "yes", "output": "-"}),
        ("-t1 -T2 -qO- u", {"tries": "1", "timeout": "2", "q": "yes", "output": "-"}),
        ("u -O file", {"output": "file"}),
    ],
)
def test_options_are_understood_in_all_their_spellings(words: str, said: dict[str, str]) -> None:
    """Joined, separate, and several in one word."""
    assert wget.parse(words.split()) == (said, ["u"])


@pytest.mark.parametrize("words", ["--mirror u", "-q", "a b", "-T"])
def test_what_it_does_not_know_is_refused(words: str) -> None:
    """Better than half of what was meant."""
    with pytest.raises(ValueError, match=r"unknown option|exactly one"):
        wget.parse(words.split())
