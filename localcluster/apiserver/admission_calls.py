"""The call of a webhook over HTTPS: where it goes, with whose certificates, and how it fails (spec kube-api ADM-1).

A service is reached as a real API server does it by default, at its ClusterIP: inside `manta up`'s cell those addresses
work for everybody, pods and API server alike. Where no node gives them (the API server alone), only `url` reaches
anything. Webhooks must show a certificate for `NAME.NAMESPACE.svc`, or for the URL's host.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import aiohttp
from yarl import URL

from localcluster.api import Json
from localcluster.apiserver.admission_review import CallFailed, refused_by

__all__ = ["Call", "Destination", "Http", "calling", "destination"]

Find: TypeAlias = Callable[[str, str, str], Json | None]

HEADERS: Final = {
    "Content-Type": "application/json",
    "Accept": "application/json, */*",
    "User-Agent": "kube-apiserver-admission",
}
MOST_CONTEXTS: Final = 64  # of TLS, one for each bundle of authorities
HTTPS: Final = 443
_DIAL_WORDS: Final = {
    errno.ECONNREFUSED: "connect: connection refused",
    errno.EHOSTUNREACH: "connect: no route to host",
    errno.ENETUNREACH: "connect: network is unreachable",
}
_UNKNOWN_AUTHORITY: Final = frozenset({18, 19, 20, 21})  # OpenSSL's codes of verification
_OUT_OF_TIME: Final = frozenset({9, 10})
_OTHER_NAME: Final = frozenset({62, 64})


@dataclass(frozen=True, slots=True)
class Destination:
    """The whole URL as messages have it, the host to connect to, and what the webhook's certificate must name."""

    url: str
    connect: str
    port: int
    name: str
    bundle: str = ""  # authorities in base64; "": the system's own


class Call(Protocol):
    """A POST to a webhook."""

    async def __call__(self, where: Destination, body: bytes, seconds: int) -> bytes:
        """The body of a 200. Raises CallFailed."""
        ...


def destination(client: Json, seconds: int, find: Find) -> Destination:
    """Where a stored clientConfig points. Raises CallFailed for a service that cannot be reached."""
    bundle, limit = client.get("caBundle") or "", f"?timeout={seconds}s"
    if url := client.get("url"):
        parsed = URL(url)
        host = parsed.host or ""
        return Destination(url + limit, host, parsed.port or HTTPS, host, bundle)
    service = client["service"]
    namespace, name, port = service["namespace"], service["name"], service["port"]
    host = f"{name}.{namespace}.svc"
    url = f"https://{host}:{port}/{(service.get('path') or '').lstrip('/')}{limit}"
    try:
        return Destination(url, _address(find("services", namespace, name), name, port), port, host, bundle)
    except LookupError as error:
        raise _no_post(url, str(error.args[0])) from error


def _address(found: Json | None, name: str, port: int) -> str:
    """Where a service listens. Raises LookupError."""
    if found is None:
        raise LookupError(f'service "{name}" not found')
    spec = found["spec"]
    if spec.get("type") == "ExternalName":
        return str(spec["externalName"])
    if spec.get("clusterIP") in {None, "None"}:
        raise LookupError('cannot route to service with ClusterIP "None"')
    if all(one["port"] != port for one in spec.get("ports") or ()):
        raise LookupError(f'no service port {port} found for service "{name}"')
    return str(spec["clusterIP"])


def _no_post(url: str, why: str) -> CallFailed:
    return CallFailed(f"failed to call webhook: Post {json.dumps(url)}: {why}")


class Http:
    """Calls over one session. Connections are kept for the next call."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def __call__(self, where: Destination, body: bytes, seconds: int) -> bytes:
        """The body of a 200. Raises CallFailed."""
        url = URL(where.url).with_host(where.connect).with_port(where.port)
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.post(
                    url,
                    data=body,
                    headers={**HEADERS, "Host": URL(where.url).authority},
                    ssl=self._context(where.bundle),
                    server_hostname=where.name,
                    allow_redirects=False,
                ) as answer,
            ):
                raw = await answer.read()
                kind = answer.headers.get("Content-Type", "")
                if not 200 <= answer.status < 300:
                    raise refused_by(answer.status, kind, raw)
                if not raw:
                    what = f"0-length response with status code: {answer.status} and content type: {kind}"
                    raise CallFailed(f"failed to call webhook: {what}")
                return raw
        except TimeoutError as error:
            raise _no_post(where.url, "context deadline exceeded") from error
        except aiohttp.ClientError as error:
            raise _no_post(where.url, _words(error, url)) from error

    def _context(self, bundle: str) -> ssl.SSLContext:
        found = self._contexts.get(bundle)
        if found is None:
            if len(self._contexts) >= MOST_CONTEXTS:
                self._contexts.pop(next(iter(self._contexts)))
            found = self._contexts[bundle] = _context(bundle)
        return found


def _context(bundle: str) -> ssl.SSLContext:
    if not bundle:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
    except (ssl.SSLError, binascii.Error, ValueError) as error:
        why = "unable to load root certificates: unable to parse bytes as PEM block"
        raise CallFailed(f"could not get REST client: {why}") from error


def _words(error: aiohttp.ClientError, url: URL) -> str:
    """Go's sentence for a connection that failed."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"tls: failed to verify certificate: x509: {_certificate_words(error.certificate_error, url)}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"dial tcp: lookup {url.host}: no such host"
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, ssl.SSLError):
            return f"tls: {error.os_error.reason}"
        words = _DIAL_WORDS.get(error.os_error.errno or 0) or f"connect: {error.os_error.strerror}"
        return f"dial tcp {url.host}:{url.port}: {words}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    return str(error)


def _certificate_words(error: Any, url: URL) -> str:
    code = getattr(error, "verify_code", 0)
    if code in _UNKNOWN_AUTHORITY:
        return "certificate signed by unknown authority"
    if code in _OUT_OF_TIME:
        return f"certificate has expired or is not yet valid: {error.verify_message}"
    if code in _OTHER_NAME:
        return f"certificate is not valid for {url.host}"
    return str(getattr(error, "verify_message", "") or error)


@asynccontextmanager
async def calling() -> AsyncIterator[Http]:
    """Webhooks can be called inside the block."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), auto_decompress=True, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        yield Http(session)
