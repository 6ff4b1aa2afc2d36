"""The API server below HTTP: every verb as a method, one version counter, nothing that knows a socket.

Each method answers a value or raises `Refusal`, which holds the Status object to send. What happens between reading
an object and committing the change is free of awaits unless admission calls out, so a commit is atomic; after a
call-out the object is compared again, and the write tried once more or refused as a conflict.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime

import orjson

from localcluster.addresses import IN_A_CELL, AddressPlan
from localcluster.api import Json
from localcluster.apiserver.admission import Webhooks
from localcluster.apiserver.admission_calls import Call
from localcluster.apiserver.admitting import Admitting
from localcluster.apiserver.bootstrap import bootstrap
from localcluster.apiserver.core import Core
from localcluster.apiserver.definitions import Definitions
from localcluster.apiserver.posting import bind, evict
from localcluster.apiserver.reading import list_page, open_watch, read_entry
from localcluster.apiserver.refusals import not_allowed, not_found
from localcluster.apiserver.registry import Registry
from localcluster.apiserver.removing import Remover
from localcluster.apiserver.requests import Admission, Answer, Body, ListAnswer, Patch, Request
from localcluster.apiserver.store import Store
from localcluster.apiserver.subresources import scale_of
from localcluster.apiserver.tokens import Tokens
from localcluster.apiserver.watching import Watch
from localcluster.apiserver.writing import Writer, scale_paths
from localcluster.resources import ResourceInfo

__all__ = ["ApiServer"]


class ApiServer:
    """Objects, and the verbs on them. `now` and `chance` are the only sources of time and names.

    A new server holds what a real one makes for itself: the system namespaces and the Service `kubernetes`.
    `admission` may be set at any time. `store` is handed in by who wants another window of history, or a journal.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        chance: random.Random,
        admission: Admission | None = None,
        store: Store | None = None,
        addresses: AddressPlan = IN_A_CELL,
    ) -> None:
        self.admission = admission
        self._core = Core(now=now, chance=chance, store=store or Store(), addresses=addresses)
        self._definitions = Definitions(self._core)
        self._tokens = Tokens(self._core)
        admitting = Admitting(lambda: self.admission)
        self._writer = Writer(self._core, self._definitions, admitting)
        self._remover = Remover(self._core, self._definitions, admitting)
        self._definitions.restore()
        bootstrap(self._core)

    def call_webhooks(self, call: Call) -> None:
        """From now on ask the webhooks of the stored configurations about each write."""
        self.admission = Webhooks(self._core, call)

    @property
    def registry(self) -> Registry:
        """What is served now."""
        return self._core.registry

    @property
    def version(self) -> int:
        """The version of the latest commit."""
        return self._core.store.version

    def user_of(self, token: str) -> Json | None:
        """Whom a service account's token stands for; None for what is none of ours, or has ended."""
        return self._tokens.user(token)

    def compact(self, version: int | None = None) -> None:
        """Forget history up to that version (now, if not given): what still needs it is answered 410."""
        self._core.store.compact(version)

    def stored(self, resource: ResourceInfo, namespace: str, name: str) -> Json | None:
        """A look at one object without asking as a client: None if it is not there. For the server's own parts."""
        entry = self._core.get(resource, namespace, name)
        return None if entry is None else self._core.decoded(resource, entry)

    async def get(self, request: Request) -> Answer:
        """One object, or what its subresource shows: /status the whole object, /scale a Scale. Raises Refusal."""
        self._check_subresource(request)
        core, resource = self._core, request.resource
        entry = await read_entry(core, request)
        if request.subresource == "scale":
            scale = scale_of(core.decoded(resource, entry), scale_paths(core, resource))
            return Answer(200, orjson.dumps(scale), self._always(resource))
        return Answer(200, core.shown(resource, entry), self._always(resource))

    async def list(self, request: Request) -> ListAnswer:
        """A page of objects, a consistent one (LIST-3). An absent namespace lists empty. Raises Refusal."""
        return _warned_list(await list_page(self._core, request), self._always(request.resource))

    async def watch(self, request: Request) -> Watch:
        """A stream of changes. Everything that can be refused is refused here, before the first event (WATCH-14)."""
        return open_watch(self._core, request)

    async def create(self, request: Request, body: Body) -> Answer:
        """A new object; or, with name and subresource, a binding, an eviction or a token. Raises Refusal."""
        self._check_subresource(request)
        if request.subresource == "binding":
            return bind(self._core, request, body)
        if request.subresource == "token":
            return self._tokens.issue(request, body)
        if request.subresource == "eviction":
            return await evict(self._core, self._remover, request, body)
        if request.subresource:
            raise not_allowed()
        return self._warned(request, await self._writer.create(request, body))

    async def update(self, request: Request, body: Body) -> Answer:
        """Another content for an object, or for the part its subresource owns. Raises Refusal."""
        self._check_subresource(request)
        return self._warned(request, await self._writer.update(request, body))

    async def patch(self, request: Request, patch: Patch) -> Answer:
        """A change relative to what is stored. Raises Refusal."""
        self._check_subresource(request)
        return self._warned(request, await self._writer.patch(request, patch))

    async def delete(self, request: Request) -> Answer:
        """The object goes, or is marked as going: a Status in the first case, the object in the second (DEL-1)."""
        return self._warned(request, await self._remover.delete(request))

    async def delete_collection(self, request: Request) -> ListAnswer:
        """Every selected object goes; answers them as they were (DEL-10). Raises Refusal."""
        return _warned_list(await self._remover.delete_collection(request), self._always(request.resource))

    def _check_subresource(self, request: Request) -> None:
        if request.subresource and request.resource.subresource(request.subresource) is None:
            raise not_found(request.resource, request.name)

    def _always(self, resource: ResourceInfo) -> tuple[str, ...]:
        """What each answer of a deprecated version warns of (CRD-7)."""
        return (resource.deprecation_warning,) if resource.deprecation_warning else ()

    def _warned(self, request: Request, answer: Answer) -> Answer:
        always = self._always(request.resource)
        return Answer(answer.code, answer.raw, (*always, *answer.warnings)) if always else answer


def _warned_list(page: ListAnswer, warnings: tuple[str, ...]) -> ListAnswer:
    if not warnings:
        return page
    return ListAnswer(
        page.resource, page.resource_version, page.items, page.continue_, page.remaining, (*warnings, *page.warnings)
    )
