"""`services/x/proxy/...` and `pods/x/proxy/...`: a request goes on to what stands behind them (spec kube-api SUB-4).

Where that is, the node knows; it hands in a function that resolves a name and a port to an address.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from localcluster.api import Refusal
from localcluster.apiserver.routes import Target

__all__ = ["Place", "Relay", "Resolve", "place_of"]

# Headers that are about one connection, and the credentials that are for us alone.
KEPT_BACK = frozenset(
    ("authorization", "connection", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
)


class Place(NamedTuple):
    """What is meant by "https:name:port": scheme and port may be left out; a port may be a name."""

    scheme: str
    name: str
    port: str


Resolve = Callable[[str, str, Place], Awaitable[tuple[str, int]]]
"""("services", namespace, place) -> host and port. Raises Refusal for none."""


def place_of(text: str) -> Place:
    """Take a proxied name apart. Raises Refusal 400."""
    parts = text.split(":")
    if len(parts) == 1:
        return Place("http", parts[0], "")
    if len(parts) == 2:
        return Place("http", *parts)
    if len(parts) == 3:
        return Place(parts[0] or "http", *parts[1:])
    raise Refusal(400, "BadRequest", f'invalid service request "{text}"')


class Relay:
    """Carries requests on. Bodies are streamed both ways; redirects are the client's business."""

    def __init__(self, resolve: Resolve, session: aiohttp.ClientSession) -> None:
        self._resolve, self._session = resolve, session

    async def __call__(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        """The answer of what stands behind. Raises Refusal 503 when it cannot be reached."""
        place = place_of(target.name)
        host, port = await self._resolve(target.resource.plural, target.namespace, place)
        url = f"{place.scheme}://{host}:{port}/{target.rest}"
        if request.rel_url.raw_query_string:
            url += f"?{request.rel_url.raw_query_string}"
        try:
            async with self._session.request(
                request.method,
                URL(url, encoded=True),
                headers=_passed_on(request.headers),
                data=request.content if request.body_exists else None,
                allow_redirects=False,
            ) as answer:
                return await _streamed(request, answer)
        except aiohttp.ClientConnectorError as error:
            message = f"error trying to reach service: {error.os_error.strerror or error}"
            raise Refusal(503, "ServiceUnavailable", message) from error


async def _streamed(request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    headers = _passed_on(answer.headers)
    headers.pop("Content-Encoding", None)  # the client has unpacked it
    headers.pop("Content-Length", None)
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    await response.prepare(request)
    async for chunk in answer.content.iter_any():
        await response.write(chunk)
    await response.write_eof()
    return response


def _passed_on(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((key, value) for key, value in headers.items() if key.lower() not in KEPT_BACK)
