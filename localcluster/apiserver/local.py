"""`LocalApi`: the narrow `Api` of controllers and node, straight on the server's core, without HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from typing import Any, Literal

from localcluster.api import Json, Listing, Refusal, Served, WatchExpired
from localcluster.apiserver.requests import Body, Options, Patch, Request
from localcluster.apiserver.server import ApiServer
from localcluster.resources import ResourceInfo

__all__ = ["LocalApi"]


class LocalApi:
    """Implements `localcluster.api.Api`. Namespace "" stands for a cluster-scoped object, None for all namespaces."""

    def __init__(self, server: ApiServer, *, field_manager: str = "localcluster") -> None:
        self._server = server
        self._manager = field_manager

    def _resource(self, name: str) -> ResourceInfo:
        resource = self._server.registry.named(name)
        if resource is None:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        return resource

    async def served(self) -> Sequence[Served]:
        """All resources, custom ones included, as of now; a resource of several versions once."""
        named = {one.name: self._resource(one.name) for one in self._server.registry.resources()}
        return [Served(one.name, one.api_version, one.kind, one.namespaced, one.verbs) for one in named.values()]

    async def list(self, resource: str, namespace: str | None = None, *, labels: str = "", fields: str = "") -> Listing:
        """All objects of a namespace, or of all, and the version to watch from. Items carry kind and apiVersion."""
        info = self._resource(resource)
        answer = await self._server.list(Request(info, namespace or "", options=Options(labels=labels, fields=fields)))
        head = {"kind": info.kind, "apiVersion": info.api_version}
        return Listing([head | item for item in answer.objects], answer.resource_version)

    async def watch(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        resource_version: str,
        labels: str = "",
        fields: str = "",
    ) -> AsyncIterator[tuple[str, Json]]:
        """(type, object) after that version, until closed. Raises WatchExpired, or Refusal."""
        options = Options(labels=labels, fields=fields, resource_version=resource_version)
        with closing(
            await self._server.watch(Request(self._resource(resource), namespace or "", options=options))
        ) as watch:
            while events := await watch.batch():
                for event in events:
                    if event.type == "ERROR":
                        raise WatchExpired(event.object["message"])
                    yield event.type, event.object

    async def get(self, resource: str, namespace: str, name: str) -> Json:
        """One object."""
        return (await self._server.get(Request(self._resource(resource), namespace, name))).object

    async def create(self, resource: str, namespace: str, body: Json, *, subresource: str = "") -> Json:
        """A new object, as stored; or, with a subresource, what that answers."""
        name = body["metadata"]["name"] if subresource else ""
        request = Request(self._resource(resource), namespace, name, subresource, self._writing())
        return (await self._server.create(request, Body(body))).object

    async def update(self, resource: str, namespace: str, body: Json, *, subresource: str = "") -> Json:
        """The object with another content, as stored."""
        request = Request(self._resource(resource), namespace, body["metadata"]["name"], subresource, self._writing())
        return (await self._server.update(request, Body(body))).object

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
        """The object after a JSON merge patch or a JSON patch."""
        request = Request(self._resource(resource), namespace, name, subresource, self._writing())
        return (await self._server.patch(request, Patch(kind, body))).object

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
        """Ask for the object to go; with `uid`, only if it is that one (else 409)."""
        options = Options(precondition_uid=uid, grace_seconds=grace_seconds, propagation=propagation)
        await self._server.delete(Request(self._resource(resource), namespace, name, options=options))

    def _writing(self) -> Options:
        return Options(field_manager=self._manager)
