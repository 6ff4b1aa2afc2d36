"""The few requests that the command makes of the local API server, through its Unix socket."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import aiohttp
from multidict import MultiMapping

__all__ = ["Api", "Refused", "connected", "path_of"]

Json: TypeAlias = dict[str, Any]


class Refused(Exception):
    """The API server said no; `message` is its own, `code` the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def path_of(api_version: str, kind: str, namespace: str, name: str = "") -> str:
    """The URL path of a kind's collection, or of one object; what nobody knows here is guessed, and namespaced."""
    from manta.served import served_kind  # takes a moment to load

    served = served_kind(api_version, kind)
    plural = plural_of(kind.lower()) if served is None else served.resource.plural
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    scope = f"/namespaces/{namespace}" if served is None or served.resource.namespaced else ""
    return f"{root}{scope}/{plural}" + (f"/{name}" if name else "")


def plural_of(word: str) -> str:
    """As kubectl guesses it when it does not ask either."""
    if word.endswith(("s", "x", "ch")):
        return f"{word}es"
    return f"{word[:-1]}ies" if word.endswith("y") and word[-2:-1] not in "aeiou" else f"{word}s"


class Api:
    """One API server behind a Unix socket."""

    def __init__(self, session: aiohttp.ClientSession, token: str) -> None:
        self.session = session
        self.warnings: list[str] = []  # what the server warned of, each once
        self.headers = {"Authorization": f"Bearer {token}", "User-Agent": "manta"}

    async def request(
        self, method: str, path: str, *, body: Json | None = None, query: Mapping[str, str] | None = None
    ) -> Json:
        """One request with a JSON answer. Raises Refused."""
        async with self.session.request(
            method, f"http://manta{path}", json=body, params=query, headers=self.headers
        ) as response:
            content = await response.read()
            self.warnings += [one for one in warnings_in(response.headers) if one not in self.warnings]
            if response.status >= 400:
                raise Refused(response.status, message_of(content))
            answer: Json = json.loads(content)
            return answer

    async def create(self, body: Json) -> Json:
        """Create an object; unknown fields are refused. Raises Refused."""
        metadata = body["metadata"]
        path = path_of(body["apiVersion"], body["kind"], metadata.get("namespace") or "default")
        return await self.request("POST", path, body=body, query={"fieldValidation": "Strict"})

    async def watch(self, path: str, **query: str) -> AsyncIterator[tuple[str, Json]]:
        """All objects of a collection as ADDED, then what happens to them, for ever. Raises Refused."""
        timeout = aiohttp.ClientTimeout(total=None)
        async with self.session.get(
            f"http://manta{path}", params={"watch": "true", **query}, headers=self.headers, timeout=timeout
        ) as response:
            if response.status >= 400:
                raise Refused(response.status, message_of(await response.read()))
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    yield event["type"], event["object"]

    async def log(
        self, namespace: str, pod: str, container: str, *, follow: bool, tail: int = 0, previous: bool = False
    ) -> AsyncIterator[bytes]:
        """A container's output as it comes, or that of its `previous` run. Raises Refused while there is none."""
        query = {"container": container, "follow": str(follow).lower(), "previous": str(previous).lower()}
        if tail:
            query["tailLines"] = str(tail)
        path = f"http://manta/api/v1/namespaces/{namespace}/pods/{pod}/log"
        timeout = aiohttp.ClientTimeout(total=None)
        async with self.session.get(path, params=query, headers=self.headers, timeout=timeout) as response:
            if response.status >= 400:
                raise Refused(response.status, message_of(await response.read()))
            async for chunk in response.content.iter_any():
                yield chunk


def warnings_in(headers: MultiMapping[str]) -> list[str]:
    """The texts of the Warning headers (RFC 7234 §5.5), as an API server writes them: 299 - "text"."""
    found = (re.fullmatch(r'299 \S+ "(.*)"', one, re.DOTALL) for one in headers.getall("Warning", []))
    return [re.sub(r"\\(.)", r"\1", match[1]) for match in found if match]


def message_of(content: bytes) -> str:
    """The message of a Status, or the text itself."""
    try:
        status = json.loads(content)
    except ValueError:
        return content.decode(errors="replace").strip()
    return str(status.get("message", status)) if isinstance(status, dict) else str(status)


@asynccontextmanager
async def connected(socket: str, token: str) -> AsyncIterator[Api]:
    """An Api for the length of the block."""
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=socket, limit=0)) as session:
        yield Api(session, token)
