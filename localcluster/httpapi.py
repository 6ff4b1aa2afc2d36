"""The narrow `Api` over HTTP: controllers and node against any API server, a real one too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import aiohttp
import orjson

from localcluster.api import Json, Listing, Refusal, Served, WatchExpired

__all__ = ["HttpApi"]

PATCH_TYPES = {"merge": "application/merge-patch+json", "json": "application/json-patch+json"}
PAGE = 500
NOT_TO_BE_HAD = (404, 503)  # its last CRD went after the groups were listed; what serves it is away


class HttpApi:
    """Implements `localcluster.api.Api`. The session brings credentials and TLS; its total time-out must be off.

    Refusals are the server's own; a connection that cannot be made or breaks is a ConnectionError.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url.rstrip("/")
        self._known: dict[str, Served] = {}

    async def served(self) -> Sequence[Served]:
        """All resources, each at its group's preferred version; of a group that is not to be had just now, none."""
        found = [*await self._served_by("/api/v1", "v1")]
        for group in (await self._json("GET", "/apis"))["groups"]:
            version = group["preferredVersion"]["groupVersion"]
            found += await self._served_by(f"/apis/{version}", version)
        self._known = {one.name: one for one in found}
        return found

    async def _served_by(self, path: str, version: str) -> list[Served]:
        group = version.rpartition("/")[0]
        try:
            resources = (await self._json("GET", path))["resources"]
        except Refusal as refusal:
            if refusal.code not in NOT_TO_BE_HAD:
                raise
            return []
        return [
            Served(
                f"{one['name']}.{group}" if group else one["name"],
                version,
                one["kind"],
                one["namespaced"],
                tuple(one["verbs"]),
            )
            for one in resources
            if "/" not in one["name"]
        ]

    async def list(self, resource: str, namespace: str | None = None, *, labels: str = "", fields: str = "") -> Listing:
        """See Api; read in pages."""
        served = await self._named(resource)
        path = _path(served, namespace or "")
        query = {"limit": str(PAGE), **_selecting(labels, fields)}
        head = {"kind": served.kind, "apiVersion": served.api_version}
        items: list[Json] = []
        while True:
            page = await self._json("GET", path, query=query)
            items += [head | item for item in page["items"] or ()]
            query["continue"] = page["metadata"].get("continue", "")
            if not query["continue"]:
                return Listing(items, page["metadata"]["resourceVersion"])

    async def watch(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        resource_version: str,
        labels: str = "",
        fields: str = "",
    ) -> AsyncIterator[tuple[str, Json]]:
        """See Api."""
        path = _path(await self._named(resource), namespace or "")
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            **_selecting(labels, fields),
        }
        async with self._asked("GET", path, query=query) as answer:
            async for line in _lines(answer):
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    raise _refusal(event["object"])
                yield event["type"], event["object"]

    async def get(self, resource: str, namespace: str, name: str) -> Json:
        """See Api."""
        return await self._json("GET", _path(await self._named(resource), namespace, name))

    async def create(self, resource: str, namespace: str, body: Json, *, subresource: str = "") -> Json:
        """See Api."""
        name = body["metadata"]["name"] if subresource else ""
        return await self._json("POST", _path(await self._named(resource), namespace, name, subresource), body=body)

    async def update(self, resource: str, namespace: str, body: Json, *, subresource: str = "") -> Json:
        """See Api."""
        path = _path(await self._named(resource), namespace, body["metadata"]["name"], subresource)
        return await self._json("PUT", path, body=body)

    async def patch(
        self,
        resource: str,
        namespace: str,
        name: str,
        body: Any,
        *,
        subresource: str = "",
        kind: Literal["merge", "json"] = "merge",
    ) -> Json:
        """See Api."""
        path = _path(await self._named(resource), namespace, name, subresource)
        return await self._json("PATCH", path, body=body, content_type=PATCH_TYPES[kind])

    async def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        grace_seconds: int | None = None,
        propagation: str = "",
    ) -> None:
        """See Api."""
        options: Json = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if propagation:
            options["propagationPolicy"] = propagation
        await self._json("DELETE", _path(await self._named(resource), namespace, name), body=options)

    async def _named(self, resource: str) -> Served:
        if resource not in self._known:
            await self.served()
        if resource not in self._known:
            raise Refusal(404, "NotFound", "the server could not find the requested resource", {})
        return self._known[resource]

    async def _json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Json:
        async with self._asked(method, path, query=query, body=body, content_type=content_type) as answer:
            try:
                found: Json = orjson.loads(await answer.read())
            except aiohttp.ClientError as error:
                raise ConnectionError(f"{method} {path}: {error}") from error
            return found

    @asynccontextmanager
    async def _asked(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, if it is a good one. Raises Refusal, WatchExpired, ConnectionError."""
        data = None if body is None else orjson.dumps(body)
        headers = {"Accept": "application/json"} | ({} if data is None else {"Content-Type": content_type})
        try:
            answer = await self._session.request(method, self._url + path, params=query, data=data, headers=headers)
        except aiohttp.ClientError as error:
            raise ConnectionError(f"{method} {path}: {error}") from error
        async with answer:
            if answer.status >= 400:
                raise _refusal(_status(answer.status, await answer.text()))
            yield answer


def _path(served: Served, namespace: str, name: str = "", subresource: str = "") -> str:
    plural, _, group = served.name.partition(".")
    parts = [f"/apis/{served.api_version}" if group else f"/api/{served.api_version}"]
    if namespace and served.namespaced:
        parts += ["namespaces", namespace]
    parts += [plural, name, subresource]
    return "/".join(part for part in parts if part)


def _selecting(labels: str, fields: str) -> dict[str, str]:
    return ({"labelSelector": labels} if labels else {}) | ({"fieldSelector": fields} if fields else {})


def _status(code: int, text: str) -> Json:
    """The Status of an answer; not every refusal has one (spec kube-api ERR-3)."""
    try:
        status = orjson.loads(text)
    except ValueError:
        status = {}
    if not isinstance(status, dict) or status.get("kind") != "Status":
        return {"code": code, "reason": "", "message": text.strip()}
    return {"code": code, **status}


def _refusal(status: Json) -> Exception:
    if status.get("code") == 410:
        return WatchExpired(status.get("message", ""))
    message = status.get("message", "")
    return Refusal(status.get("code", 500), status.get("reason", ""), message, status.get("details"))


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Whole lines, however long."""
    rest = b""
    try:
        async for chunk in answer.content.iter_any():
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                if line:
                    yield line
    except aiohttp.ClientError as error:
        raise ConnectionError(str(error)) from error
