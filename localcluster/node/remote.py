"""The way of a node to an API server that is not in its own process: a kubeconfig, and a count of what is written.

Read here in a few lines, since nothing of ours may be shared with the other end of the wire. Known are a server, its
certificate authority, and as credentials a token or a client certificate; not exec plugins and not OIDC.
"""

from __future__ import annotations

import base64
import ssl
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import aiohttp
import yaml
from yarl import URL

from localcluster.httpapi import HttpApi

__all__ = ["BadKubeconfig", "Writes", "connected", "written"]

Json: TypeAlias = dict[str, Any]
Writes: TypeAlias = Counter[str]  # "PATCH pods/status" -> how many were sent

READS = ("GET", "HEAD")
ROOTS = {"api": 2, "apis": 3}  # parts of the path before the resource: /api/v1, /apis/GROUP/VERSION


class BadKubeconfig(Exception):
    """The file does not lead to a server; the message says what is missing."""


@asynccontextmanager
async def connected(kubeconfig: Path) -> AsyncIterator[tuple[HttpApi, Writes]]:
    """The API that the file's current context names, and a running count of the writes sent to it.

    Raises BadKubeconfig; OSError when the file, or one that it names, cannot be read.
    """
    server, user = _read(kubeconfig)
    url = str(server["server"]).rstrip("/")
    writes: Writes = Counter()
    trace = aiohttp.TraceConfig()
    above = len(URL(url).parts[1:])

    async def count(session: aiohttp.ClientSession, context: SimpleNamespace, sent: Any) -> None:
        if sent.method not in READS:
            writes[written(sent.method, sent.url.parts[1 + above :])] += 1

    trace.on_request_start.append(count)
    headers = {"Authorization": f"Bearer {token}"} if (token := _token(user, kubeconfig.parent)) else {}
    tls: ssl.SSLContext | bool = _tls(server, user, kubeconfig.parent) if url.startswith("https:") else True
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls),
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=30),
        trace_configs=[trace],
    ) as session:
        yield HttpApi(session, url), writes


def written(method: str, parts: tuple[str, ...]) -> str:
    """What a request writes, by the parts of its path: ("api", "v1", "nodes", "n", "status") is "nodes/status"."""
    rest = parts[ROOTS.get(parts[0], 0) :]
    if rest[:1] == ("namespaces",) and len(rest) > 2:
        rest = rest[2:]
    return f"{method} {rest[0]}" + (f"/{rest[2]}" if len(rest) > 2 else "")


def _read(kubeconfig: Path) -> tuple[Json, Json]:
    """Cluster and user of the current context."""
    config = yaml.safe_load(kubeconfig.read_text())
    if not isinstance(config, dict):
        raise BadKubeconfig("it is no kubeconfig")
    name = config.get("current-context", "")
    context = _named(config, "contexts", "context", name)
    cluster = _named(config, "clusters", "cluster", context.get("cluster", ""))
    if not cluster.get("server"):
        raise BadKubeconfig(f'cluster "{context.get("cluster", "")}" names no server')
    return cluster, _named(config, "users", "user", context["user"]) if context.get("user") else {}


def _named(config: Json, listed: str, member: str, name: str) -> Json:
    for one in config.get(listed) or ():
        if one.get("name") == name:
            found: Json = one.get(member) or {}
            return found
    raise BadKubeconfig(f'there is no "{name}" among its {listed}')


def _token(user: Json, beside: Path) -> str:
    if file := user.get("tokenFile"):
        return Path(beside, file).read_text().strip()
    return str(user.get("token", ""))


def _tls(cluster: Json, user: Json, beside: Path) -> ssl.SSLContext:
    authority = _content(cluster, "certificate-authority", beside)
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate, key = (_content(user, member, beside) for member in ("client-certificate", "client-key"))
    if certificate and key:
        with tempfile.TemporaryDirectory() as folder:  # the library takes them from files alone
            files = Path(folder, "certificate"), Path(folder, "key")
            for file, content in zip(files, (certificate, key), strict=True):
                file.touch(mode=0o600)
                file.write_bytes(content)
            context.load_cert_chain(*files)
    return context


def _content(where: Json, member: str, beside: Path) -> bytes:
    """What a member or the file that it names holds; empty when it is not there."""
    if data := where.get(f"{member}-data"):
        return base64.b64decode(data)
    return Path(beside, where[member]).read_bytes() if where.get(member) else b""
