"""A whole local cluster, for as long as a block lasts: API server, HTTP face and controllers."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from localcluster.addresses import IN_A_CELL, AddressPlan
from localcluster.api import Api
from localcluster.apiserver.admission_calls import calling
from localcluster.apiserver.http import HttpFace, serving
from localcluster.apiserver.local import LocalApi
from localcluster.apiserver.server import ApiServer
from localcluster.controllers.manager import controlling, mirroring
from localcluster.faults import Faults, FaultyFace, FaultyServer
from localcluster.mirror import Mirrors
from localcluster.raytokens import TokensByDefault

__all__ = ["Running", "running"]


@dataclass(frozen=True, slots=True)
class Running:
    """A cluster that runs: where it listens, its core, its HTTP face (where a node registers logs and proxy), and what
    a node needs to join."""

    url: str
    server: ApiServer
    face: HttpFace
    api: Api
    mirrors: Mirrors


@asynccontextmanager
async def running(
    *,
    now: Callable[[], datetime],
    chance: random.Random,
    token: str | None,
    addresses: AddressPlan = IN_A_CELL,
    port: int = 0,
    socket: Path | None = None,
    faults: Faults | None = None,
    authority: str = "",
    tokens: bool = False,
) -> AsyncIterator[Running]:
    """Run a cluster on a port (0: any) or a Unix socket. Raises OSError for a port that is taken.

    `authority` is what clients of a server with TLS trust: pods find it beside their token. `faults` go wrong between
    the server and whoever comes over HTTP. `tokens`: Ray asks for one by default (raytokens.py).
    """
    server: ApiServer
    face: HttpFace
    if faults is None:
        server = ApiServer(now=now, chance=chance, addresses=addresses)
        face = HttpFace(server, now=now, token=token)
    else:
        server = FaultyServer(now=now, chance=chance, addresses=addresses)
        server.faults = faults
        face = FaultyFace(server, now=now, token=token)
    api = LocalApi(server)
    async with (
        calling() as call,
        serving(
            face, host=addresses.host, port=port, socket=socket
        ) as url,  # first: a taken port is no failure of a group
        mirroring(api) as mirrors,
        controlling(api, mirrors, now=now, certificate=authority),
    ):
        server.call_webhooks(call)
        if tokens and server.admission is not None:
            server.admission = TokensByDefault(server.admission)
        yield Running(url, server, face, api, mirrors)
