"""A whole local cluster, for as long as a block lasts: API server, HTTP face and controllers."""

from __future__ import annotations

import json
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from localcluster.api import Api
from localcluster.apiserver.http import HttpFace, serving
from localcluster.apiserver.local import LocalApi
from localcluster.apiserver.server import ApiServer
from localcluster.controllers.manager import controlling, mirroring
from localcluster.mirror import Mirrors

__all__ = ["Running", "running", "write_kubeconfig"]


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
    host: str = "127.0.0.1",
    port: int = 0,
    socket: Path | None = None,
) -> AsyncIterator[Running]:
    """Run a cluster on a port (0: any) or a Unix socket. Raises OSError for a port that is taken."""
    server = ApiServer(now=now, chance=chance)
    face = HttpFace(server, now=now, token=token)
    api = LocalApi(server)
    async with (
        serving(face, host=host, port=port, socket=socket) as url,  # first: a taken port is no failure of a group
        mirroring(api) as mirrors,
        controlling(api, mirrors, now=now),
    ):
        yield Running(url, server, face, api, mirrors)


def write_kubeconfig(path: Path, url: str, token: str) -> None:
    """A kubeconfig with one cluster, which only its owner may read (JSON is YAML).

    The token stands in the URL, as a password: kubectl sends a user's token over TLS only.
    """
    scheme, _, rest = url.partition("://")
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "manta", "cluster": {"server": f"{scheme}://admin:{token}@{rest}"}}],
        "users": [{"name": "admin", "user": {}}],
        "contexts": [{"name": "manta", "context": {"cluster": "manta", "user": "admin"}}],
        "current-context": "manta",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(config, file, indent=2)
    unfinished.replace(path)
