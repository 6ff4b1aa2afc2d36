"""Typed requests to the API server (spec runtime §16): what controllers call `Client`.

Before a write is sent, `may_write()` is asked twice: when it begins to wait for a connection, and when it has one. It
stands in the ledger before its first byte leaves, and is never sent again unless the server said that it did not
process it. A write without an answer is `LostAnswer` (design W8); a read without one is tried once more.
"""

from __future__ import annotations

import asyncio
import builtins
import copy
import platform
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import msgspec
import structlog

from api.meta import Json, Ref, Resource, controller_of
from controller.runtime.client.concurrency import Concurrency
from controller.runtime.client.credentials import ANONYMOUS, Credentials
from controller.runtime.client.status import error_from, retry_after, warnings_in
from controller.runtime.client.transport import Answer, Broken, Pool, Transport
from controller.runtime.client.watch import LineSplitter, event_of
from controller.runtime.errors import ApiError, LostAnswer, NotFound, NotLeading, ServerError, Unreachable
from controller.runtime.interfaces import Clock, MayWrite, Page, WatchEvent
from controller.runtime.ledger import Entry, Ledger
from controller.runtime.metrics import Metrics

__all__ = ["EVENTS_AT_ONCE", "WRITES_AT_ONCE", "Identity", "RawPage", "RestClient"]

HEADER_SECONDS = 30.0  # CLI-17
TOTAL_SECONDS = 60.0  # CLI-17: the server's own limit for ordinary requests
MOST_ASKED_RETRIES = 10  # CLI-15
WRITES_AT_ONCE = 64  # CLI-19: no herd of ten thousand reconciles
EVENTS_AT_ONCE = 8  # CLI-20: of a client that only tells what happened
TOO_MANY = 429
PAGE_SIZE = 500
MOST_WARNINGS = 200  # texts that are logged; a server could make up more
_log = structlog.get_logger("client")
_JSON = "application/json"
_PATCH_TYPES = {"merge": "application/merge-patch+json", "json": "application/json-patch+json"}
_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_ONLY_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we say we are: in User-Agent (TRN-13), and as the field manager of what we write."""

    program: str
    version: str
    controller: str = ""

    @property
    def user_agent(self) -> str:
        machine = f"{platform.system().lower()}/{platform.machine()}"
        return f"{self.program}/{self.version} ({machine}){' ' + self.controller if self.controller else ''}"


@dataclass(frozen=True, slots=True)
class RawPage:
    """A page of a list whose items are still bytes."""

    items: list[msgspec.Raw]
    resource_version: str
    continue_: str


class _ListMetadata(msgspec.Struct):
    resource_version: str = msgspec.field(name="resourceVersion", default="")
    continue_: str = msgspec.field(name="continue", default="")


class _List(msgspec.Struct):
    kind: str = ""
    metadata: _ListMetadata = msgspec.field(default_factory=_ListMetadata)
    items: list[msgspec.Raw] | None = None


_decode_list = msgspec.json.Decoder(_List).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True)
class _Call:
    """One request, complete."""

    verb: str
    ref: Ref
    method: str
    path: str
    query: Mapping[str, str]
    body: bytes | None = None
    content_type: str = ""
    accept: str = _JSON

    @property
    def writes(self) -> bool:
        return self.method != "GET"


@dataclass(slots=True)
class _Sending:
    """How far one try came."""

    begun: bool = False  # it got a connection, and leave: bytes may be out
    authorization: str = ""  # as who


class RestClient:
    """Live requests; implements `interfaces.Client`, and the raw list and watch that the caches need."""

    def __init__(
        self,
        transport: Transport,
        *,
        clock: Clock,
        identity: Identity,
        ledger: Ledger | None = None,
        may_write: MayWrite = lambda: True,
        credentials: Credentials = ANONYMOUS,
        metrics: Metrics | None = None,
        host: str = "",
        pool: Pool = Pool.REQUEST,
        writes: int = WRITES_AT_ONCE,
    ) -> None:
        """`writes`: how many may be on their way at once, at the most; others wait here, and take no connection."""
        self._transport = transport
        self._clock = clock
        self._identity = identity
        self._user_agent = identity.user_agent
        self.ledger = ledger if ledger is not None else Ledger()
        self._may_write = may_write
        self._credentials = credentials
        self._metrics = metrics if metrics is not None else Metrics()
        self._host = host
        self._pool = pool
        self._writes = Concurrency(writes)
        self._warned: set[tuple[str, str]] = set()

    def named(self, controller: str) -> RestClient:
        """The same client, speaking for one controller: audit logs and flow schemas can tell them apart."""
        other = copy.copy(self)
        other._identity = Identity(self._identity.program, self._identity.version, controller)
        other._user_agent = other._identity.user_agent
        return other

    # Reads

    async def get(self, resource: Resource, namespace: str, name: str) -> Json:
        """The object, live. Settles what a lost answer left uncertain about it."""
        ref = Ref(resource.kind, namespace, name)
        call = _Call("get", ref, "GET", resource.path(namespace, name), {})
        found = await self._ask_object(call)
        for entry in self.ledger.open(resource, ref=ref):
            if entry.uncertain and not entry.in_flight:
                self.ledger.looked(entry, _version(found), (found.get("metadata") or {}).get("labels") or {})
        return found

    async def list(
        self, resource: Resource, namespace: str | None = None, *, label_selector: str = "", limit: int = PAGE_SIZE
    ) -> AsyncIterator[Page]:
        """All objects in pages, consistent; a page that expired raises Gone: what came before is not a list."""
        query = {"limit": str(limit)} | ({"labelSelector": label_selector} if label_selector else {})
        while True:
            raw = await self.list_page(resource, namespace, query)
            items = [msgspec.json.decode(item) for item in raw.items]
            yield Page(items, raw.resource_version, raw.continue_)
            if not raw.continue_:
                return
            query = {**query, "continue": raw.continue_}

    async def list_page(
        self, resource: Resource, namespace: str | None, query: Mapping[str, str], *, metadata_only: bool = False
    ) -> RawPage:
        """One request for a list, items left as bytes. Raises ApiError also for a Table (REF-6)."""
        ref = Ref(resource.kind, namespace or "", "")
        accept = _METADATA_ONLY_LIST if metadata_only else _JSON
        body = await self._ask(_Call("list", ref, "GET", resource.path(namespace), query, accept=accept))
        try:
            listed = _decode_list(body)
        except msgspec.MsgspecError as error:
            raise Unreachable(f"the list of {ref.kind} is unreadable: {error}") from error
        if listed.kind == "Table":
            raise ApiError("list", ref, code=406, message="the server answered a Table", reason="NotAcceptable")
        return RawPage(listed.items or [], listed.metadata.resource_version, listed.metadata.continue_)

    @asynccontextmanager
    async def watch(
        self, resource: Resource, namespace: str | None, query: Mapping[str, str], *, metadata_only: bool = False
    ) -> AsyncIterator[AsyncIterator[builtins.list[WatchEvent]]]:
        """An open watch: for each chunk that arrives, the events that are complete with it, perhaps none.

        Raises the typed error when it cannot be opened; the stream raises Broken or UnreadableEvent. No limit in
        time but for the headers: liveness is the reader's business (REF-12).
        """
        ref = Ref(resource.kind, namespace or "", "")
        accept = _METADATA_ONLY if metadata_only else _JSON
        call = _Call("watch", ref, "GET", resource.path(namespace), {"watch": "true", **query}, accept=accept)
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(HEADER_SECONDS):
                    answer = await self._open_watch(stack, call)
            except TimeoutError as error:
                raise Unreachable(f"cannot watch {ref.kind}: no headers within {HEADER_SECONDS:.0f} s") from error
            yield _events(answer)

    async def _open_watch(self, stack: AsyncExitStack, call: _Call) -> Answer:
        for attempt in (1, 2):
            sending = _Sending()
            answer = await stack.enter_async_context(self._send(call, Pool.WATCH, sending))
            self._count(call, str(answer.status))
            if answer.status == 401 and attempt == 1 and await self._credentials.refresh(sending.authorization):
                continue
            break
        if answer.status >= 400:
            raise error_from(call.verb, call.ref, answer.status, answer.headers, await answer.read())
        return answer

    # Writes

    async def create(self, resource: Resource, body: Json) -> Json:
        """POST. The answer stands in the ledger before this returns. Raises ApiError, LostAnswer, NotLeading."""
        metadata = body["metadata"]
        namespace = metadata.get("namespace", "")
        ref = Ref(resource.kind, namespace, metadata.get("name") or metadata.get("generateName", ""))
        owner = controller_of(metadata)
        entry = self._begin(resource, ref, owner["uid"] if owner else "")
        call = self._write_call("create", ref, "POST", resource.path(namespace or None), body, _JSON)
        return await self._write_recorded(call, entry)

    async def update(self, resource: Resource, body: Json) -> Json:
        """PUT of the whole object, with the version it was read at (CLI-6). Raises Conflict when there is a newer."""
        metadata = body["metadata"]
        if not metadata.get("resourceVersion"):
            raise ValueError(f"an update of {resource.kind} {metadata.get('name')} needs the version it was read at")
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        ref = Ref(resource.kind, namespace, name)
        owner = controller_of(metadata)
        entry = self._begin(resource, ref, owner["uid"] if owner else "")
        call = self._write_call("update", ref, "PUT", resource.path(namespace or None, name), body, _JSON)
        return await self._write_recorded(call, entry)

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Any,
        *,
        subresource: str | None = None,
        kind: Literal["merge", "json"] = "merge",
        owner_uid: str = "",
    ) -> Json:
        """PATCH. `owner_uid` lets the owner's reads wait for it while it is under way."""
        ref = Ref(resource.kind, namespace, name)
        entry = self._begin(resource, ref, owner_uid)
        path = resource.path(namespace or None, name, subresource)
        call = self._write_call("patch", ref, "PATCH", path, body, _PATCH_TYPES[kind])
        return await self._write_recorded(call, entry)

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str,
        propagation: str | None = None,
        owner_uid: str = "",
    ) -> Json:
        """DELETE with the UID as precondition (design W4). Answers the object, or a Status when it is gone."""
        ref = Ref(resource.kind, namespace, name)
        options: Json = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}}
        if propagation:
            options["propagationPolicy"] = propagation
        call = _Call(
            *("delete", ref, "DELETE", resource.path(namespace or None, name), {}),
            body=msgspec.json.encode(options),
            content_type=_JSON,
        )
        entry = self.ledger.begin(resource, ref, self._clock.monotonic(), owner_uid=owner_uid, uid=uid)
        try:
            answer = await self._ask_object(call)
        except NotFound:
            self.ledger.deleted(entry, uid)
            raise
        except (LostAnswer, ServerError, asyncio.CancelledError):
            self.ledger.lost(entry, uid)
            raise
        except BaseException:
            self.ledger.failed(entry, uid)
            raise
        version = "" if answer.get("kind") == "Status" else _version(answer)
        self.ledger.deleted(entry, uid, version)
        return answer

    def _begin(self, resource: Resource, ref: Ref, owner_uid: str) -> Entry | None:
        return self.ledger.begin(resource, ref, self._clock.monotonic(), owner_uid=owner_uid)

    def _write_call(self, verb: str, ref: Ref, method: str, path: str, body: Any, content_type: str) -> _Call:
        query = {"fieldManager": self._identity.program}
        return _Call(verb, ref, method, path, query, msgspec.json.encode(body), content_type)

    async def _write_recorded(self, call: _Call, entry: Entry | None) -> Json:
        """Send it, and complete its entry however it ends."""
        try:
            answer = await self._ask_object(call)
        except (LostAnswer, ServerError, asyncio.CancelledError):
            # Also a 5xx may come after the write went through, and a cancelled request has left already.
            self.ledger.lost(entry)
            raise
        except BaseException:
            self.ledger.failed(entry)
            raise
        metadata = answer.get("metadata") or {}
        owner = controller_of(metadata)
        self.ledger.wrote(entry, _version(answer), metadata.get("labels") or {}, owner["uid"] if owner else "")
        return answer

    # One request

    async def _ask_object(self, call: _Call) -> Json:
        """The answer as an object. One that is none tells nothing: a write that got it may have happened."""
        body = await self._ask(call)
        try:
            return _decode_object(body)
        except msgspec.MsgspecError as error:
            if call.writes:
                raise LostAnswer(call.verb, call.ref, f"the answer is unreadable: {error}") from error
            raise Unreachable(f"cannot {call.verb} {call.ref}: the answer is unreadable: {error}") from error

    async def _ask(self, call: _Call) -> bytes:
        """Send, again where that is allowed, and answer the body; everything else is a typed error."""
        refreshed = False
        broken = 0
        asked = 0
        while True:
            sending = _Sending()
            try:
                status, headers, body = await (self._in_turn if call.writes else self._once)(call, sending)
            except Broken as error:
                broken += 1
                if call.writes:
                    raise LostAnswer(call.verb, call.ref, str(error)) from error
                if broken > 1:
                    raise Unreachable(f"cannot {call.verb} {call.ref}: {error}") from error
                self._count_retry(call, "<error>")
                continue
            if status < 400:
                return body
            if status == 401 and not refreshed and await self._credentials.refresh(sending.authorization):
                refreshed = True
                continue
            wait = retry_after(headers) if status == TOO_MANY or status >= 500 else None
            if wait is None or asked >= MOST_ASKED_RETRIES:
                raise error_from(call.verb, call.ref, status, headers, body)
            asked += 1
            self._count_retry(call, str(status))
            await asyncio.sleep(wait)

    async def _in_turn(self, call: _Call, sending: _Sending) -> tuple[int, Mapping[str, str], bytes]:
        """One try of a write, when its turn comes (CLI-19). One that is told to wait does so without a turn."""
        async with self._writes.turn() as turn:
            answer = await self._once(call, sending)
            if answer[0] == TOO_MANY:
                turn.refused()
            else:
                turn.went_well()
            return answer

    async def _once(self, call: _Call, sending: _Sending) -> tuple[int, Mapping[str, str], bytes]:
        """One try within its time. A write that left and got no answer in time is Broken: it may have happened."""
        started = self._clock.monotonic()
        code = "<error>"
        try:
            async with asyncio.timeout(TOTAL_SECONDS), self._send(call, self._pool, sending) as answer:
                body = await answer.read()
                code = str(answer.status)
                for warning in warnings_in(answer.headers):
                    self._heed(warning, call)
                return answer.status, answer.headers, body
        except TimeoutError as error:
            if not sending.begun:
                problem = f"cannot {call.verb} {call.ref}: no connection within {TOTAL_SECONDS:.0f} s"
                raise Unreachable(problem) from error
            raise Broken(f"no answer within {TOTAL_SECONDS:.0f} s") from error
        finally:
            self._count(call, code)
            self._metrics.request_seconds.labels(call.verb, self._host).observe(self._clock.monotonic() - started)

    def _send(self, call: _Call, pool: Pool, sending: _Sending) -> AbstractAsyncContextManager[Answer]:
        """The lease is asked now and, since a write may wait long for its connection, again when it has one (LE-7)."""
        self._check_lease(call)
        sending.authorization = self._credentials.authorization()
        return self._transport.request(
            *(call.method, call.path),
            query=call.query,
            headers=self._headers(call, sending.authorization),
            body=call.body,
            pool=pool,
            permit=partial(self._permit, call, sending),
        )

    def _permit(self, call: _Call, sending: _Sending) -> None:
        """The request has its connection. Raises NotLeading, and Broken where some of it may be out already."""
        try:
            self._check_lease(call)
        except NotLeading as refused:
            if sending.begun:  # aiohttp sends once more, since a connection that it had kept was closed
                raise Broken("the connection was closed, and another replica may lead") from refused
            raise
        sending.begun = True

    def _check_lease(self, call: _Call) -> None:
        """Raises NotLeading."""
        if call.writes and not self._may_write():
            raise NotLeading(f"cannot {call.verb} {call.ref}: another replica may lead")

    def _headers(self, call: _Call, authorization: str) -> dict[str, str]:
        headers = {"Accept": call.accept, "Accept-Encoding": "identity", "User-Agent": self._user_agent}
        if call.content_type:
            headers["Content-Type"] = call.content_type
        if authorization:
            headers["Authorization"] = authorization
        return headers

    def _heed(self, warning: str, call: _Call) -> None:
        """Log what the server warns of, once for each text and kind (CLI-5)."""
        told = (call.ref.kind, warning)
        if told not in self._warned and len(self._warned) < MOST_WARNINGS:
            self._warned.add(told)
            _log.warning("the API server warns", kind=call.ref.kind, verb=call.verb, text=warning)

    def _count(self, call: _Call, code: str) -> None:
        self._metrics.requests.labels(code, call.method, self._host).inc()

    def _count_retry(self, call: _Call, code: str) -> None:
        self._metrics.request_retries.labels(code, call.verb, self._host).inc()


async def _events(answer: Answer) -> AsyncIterator[list[WatchEvent]]:
    splitter = LineSplitter()
    async for chunk in answer.chunks():
        yield [event_of(line) for line in splitter.feed(chunk)]


def _version(answer: Json) -> str:
    return str((answer.get("metadata") or {}).get("resourceVersion") or "")
