"""Probes that ask from outside of a container: httpGet, tcpSocket, grpc. Judged and worded as a kubelet does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import aiohttp

from localcluster.node.grpchealth import NotHealthy, ask_health
from localcluster.node.interfaces import ProbeAnswer

__all__ = ["Prober", "port_of"]

Json: TypeAlias = dict[str, Any]
Reach: TypeAlias = Callable[[str, int], tuple[str, int]]

AGENT: Final = "kube-probe/1.36"
BODY_LIMIT: Final = 10 * 1024


def port_of(given: int | str, named: Mapping[str, int]) -> int:
    """A probe's port, by number or by the name of one of the container's. Raises LookupError."""
    if isinstance(given, int) or given.isdigit():
        return int(given)
    if given not in named:
        raise LookupError(f"couldn't find port: no port named {given!r}")
    return named[given]


class Prober:
    """Asks pods. Entered as a block; connections are not kept. `reach`: where a pod's port really is."""

    def __init__(self, reach: Reach = lambda address, port: (address, port)) -> None:
        self._reach = reach

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(force_close=True, limit=0, ssl=False)
        self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def ask(self, probe: Json, address: str, named: Mapping[str, int], limit_seconds: float) -> ProbeAnswer:
        """One try. What cannot be asked is a failure with the reason."""
        try:
            if "httpGet" in probe:
                return await self._get(probe["httpGet"], address, named, limit_seconds)
            if "tcpSocket" in probe:
                return await self._connect(probe["tcpSocket"], address, named, limit_seconds)
            if "grpc" in probe:
                return await _grpc(probe["grpc"], self._reach(address, int(probe["grpc"]["port"])), limit_seconds)
        except LookupError as error:
            return ProbeAnswer(False, str(error.args[0]))
        return ProbeAnswer(False, "missing probe handler")

    async def _get(self, given: Json, address: str, named: Mapping[str, int], limit: float) -> ProbeAnswer:
        host, port = self._reach(given.get("host") or address, port_of(given["port"], named))
        path = given.get("path") or "/"
        url = f"{given.get('scheme', 'HTTP').lower()}://{host}:{port}{path if path.startswith('/') else f'/{path}'}"
        headers = {"User-Agent": AGENT, "Accept": "*/*"}
        headers |= {one["name"]: one["value"] for one in given.get("httpHeaders") or ()}
        try:
            timeout = aiohttp.ClientTimeout(total=limit)
            async with self._session.get(url, headers=headers, timeout=timeout) as answer:
                body = (await answer.content.read(BODY_LIMIT)).decode(errors="replace")
                status = answer.status
        except TimeoutError:
            return ProbeAnswer(False, f'Get "{url}": context deadline exceeded')
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return ProbeAnswer(False, f'Get "{url}": {_cause(error)}')
        if 200 <= status < 400:
            return ProbeAnswer(True, body)
        return ProbeAnswer(False, f"HTTP probe failed with statuscode: {status}")

    async def _connect(self, given: Json, address: str, named: Mapping[str, int], limit: float) -> ProbeAnswer:
        host, port = self._reach(given.get("host") or address, port_of(given["port"], named))
        try:
            async with asyncio.timeout(limit):
                _, writer = await asyncio.open_connection(host, port)
        except TimeoutError:
            return ProbeAnswer(False, f"dial tcp {host}:{port}: i/o timeout")
        except OSError as error:
            return ProbeAnswer(False, f"dial tcp {host}:{port}: {_cause(error)}")
        writer.transport.abort()
        return ProbeAnswer(True)


async def _grpc(given: Json, where: tuple[str, int], limit: float) -> ProbeAnswer:
    address, port = where
    try:
        async with asyncio.timeout(limit):
            await ask_health(address, port, given.get("service") or "")
    except TimeoutError:
        return ProbeAnswer(False, f"timeout: health rpc did not complete within {limit:g}s")
    except NotHealthy as error:
        return ProbeAnswer(False, str(error))
    except OSError as error:
        return ProbeAnswer(False, f"error: failed to connect service at {address}:{port}: {_cause(error)}")
    return ProbeAnswer(True, "service ok")


def _cause(error: Exception) -> str:
    """In Go's words where tools and people look for them."""
    number = getattr(error, "errno", None) or getattr(getattr(error, "os_error", None), "errno", None)
    if isinstance(error, ConnectionRefusedError) or number == 111:
        return "connect: connection refused"
    return str(error) or type(error).__name__
