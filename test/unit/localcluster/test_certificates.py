"""The API server's certificate: who trusts its authority, and nobody else's, reaches it by its names."""

from __future__ import annotations

import random
import ssl
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from localcluster.apiserver.http import HttpFace, serving
from localcluster.apiserver.server import ApiServer
from localcluster.certificates import certified
from localcluster.inside import tls_of


def now() -> datetime:
    """A handshake compares with the machine's own clock."""
    return datetime.now(UTC)  # noqa: TID251


def is_empty(folder: Path) -> bool:
    """No file is there."""
    return not list(folder.iterdir())


async def test_a_client_that_trusts_the_authority_reaches_the_server_and_no_other_does(tmp_path: Path) -> None:
    """Chain, name and address are checked as any client checks them; no key stays in a file."""
    own, foreign = certified(now()), certified(now())
    face = HttpFace(ApiServer(now=now, chance=random.Random(1)), now=now, token=None)

    async with serving(face, tls=tls_of(own, tmp_path)) as url, aiohttp.ClientSession() as session:
        trusting = ssl.create_default_context(cadata=own.authority)
        async with session.get(f"{url}/version", ssl=trusting) as answer:
            assert answer.status == 200
        async with session.get(f"{url.replace('127.0.0.1', 'localhost')}/version", ssl=trusting) as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(f"{url}/version", ssl=ssl.create_default_context(cadata=foreign.authority))

    assert url.startswith("https://")
    assert is_empty(tmp_path)
