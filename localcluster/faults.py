"""Faults on the way to the API server: refuse, delay, drop, replay, lag, crash at the n-th write.

`FaultyServer` stands in the place of the ApiServer and `FaultyFace` in that of the HttpFace; requests that do not come
over HTTP (controllers, node) are never touched. A fault waits for requests that its `When` describes and strikes
`times` times; the first fault that fits a request strikes alone.

    faults.refuse(When(verb="create", resource="pods", nth=3), 403, "Forbidden", "exceeded quota: q")
    faults.drop_answer(When(verb="patch", resource="rayjobs.ray.io", subresource="status"))
    faults.crash(When(writes=True, agent="kuberay-operator*", nth=7), at="after")
    with faults.lagging(5.0, resource="pods"): ...      # that watch tells everything five seconds late
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias, TypeVar, cast

from aiohttp import web

from localcluster.api import Json, Refusal
from localcluster.apiserver.http import HttpFace
from localcluster.apiserver.requests import Answer, Body, ListAnswer, Patch, Request, WatchEvent
from localcluster.apiserver.server import ApiServer
from localcluster.apiserver.watching import Watch

__all__ = ["Asked", "Crash", "Faults", "FaultyFace", "FaultyServer", "When"]

Verb: TypeAlias = Literal["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
Crash: TypeAlias = Literal["before", "after", "answered"]
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})

A = TypeVar("A", bound=Answer | ListAnswer)


@dataclass(slots=True)
class Asked:
    """A request as it came: for tests to read, and for `When` to judge. `code` is 0 when it got no answer."""

    agent: str
    verb: Verb
    resource: str  # "pods", "rayjobs.ray.io"
    namespace: str
    name: str
    subresource: str
    when: datetime
    body: Any = None
    code: int = 0

    @property
    def write(self) -> bool:
        """Would it change something?"""
        return self.verb in WRITES


@dataclass(slots=True)
class When:
    """Which requests. Texts are patterns as the shell has them; nth counts, from 1, those that fit all else."""

    verb: str = "*"
    resource: str = "*"
    name: str = "*"
    subresource: str = "*"
    agent: str = "*"
    writes: bool = False
    nth: int | None = None
    also: Callable[[Asked], bool] | None = None
    _seen: int = field(default=0, init=False)

    def fits(self, asked: Asked) -> bool:
        """Counts, so it is to be asked once for each request."""
        named = ("verb", "resource", "name", "subresource", "agent")
        if not all(fnmatchcase(getattr(asked, one), getattr(self, one)) for one in named):
            return False
        if (self.writes and not asked.write) or (self.also is not None and not self.also(asked)):
            return False
        self._seen += 1
        return self.nth is None or self._seen == self.nth


@dataclass(slots=True)
class _Call:
    """The HTTP request that is being answered."""

    agent: str
    http: web.BaseRequest
    answered: list[Callable[[], None]] = field(default_factory=list)  # to be called once the answer is out

    def abort(self) -> None:
        """The connection breaks."""
        if self.http.transport is not None:
            self.http.transport.abort()


_CALL: ContextVar[_Call | None] = ContextVar("call", default=None)

_Strike: TypeAlias = Callable[[_Call, Asked, Callable[[], Awaitable[Any]]], Awaitable[Any]]


@dataclass(slots=True)
class _Fault:
    when: When
    left: int | None
    strike: _Strike


class Faults:
    """What is to go wrong, and what was asked. `crashed` is called when a crash strikes: it must end the client.

    `noted` is told of every request as it comes, before anything becomes of it.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        crashed: Callable[[], None] = lambda: None,
        noted: Callable[[Asked], None] = lambda asked: None,
    ) -> None:
        self.asked: list[Asked] = []  # all requests over HTTP, in the order in which they came
        self.crashed = crashed
        self._noted = noted
        self._now = now
        self._faults: list[_Fault] = []
        self._lags: list[tuple[float, str, str]] = []
        self._gates: list[tuple[asyncio.Event, str, str]] = []
        self.watches: set[_Late] = set()  # those that are open

    # What can go wrong ---------------------------------------------------------------------------------------------

    def refuse(
        self,
        when: When,
        code: int = 500,
        reason: str = "InternalError",
        message: str = "refused by the story",
        *,
        times: int | None = 1,
        retry_after_seconds: int | None = None,
    ) -> None:
        """The request is answered with that error and changes nothing. `times` None: for ever."""

        async def strike(call: _Call, asked: Asked, go: Callable[[], Awaitable[Any]]) -> Any:
            details = {} if retry_after_seconds is None else {"retryAfterSeconds": retry_after_seconds}
            raise Refusal(code, reason, message, details)

        self._add(when, times, strike)

    def delay(self, when: When, seconds: float, *, times: int | None = 1) -> None:
        """The request takes effect so much later."""

        async def strike(call: _Call, asked: Asked, go: Callable[[], Awaitable[Any]]) -> Any:
            await asyncio.sleep(seconds)
            return await go()

        self._add(when, times, strike)

    def drop_request(self, when: When, *, times: int | None = 1) -> None:
        """The connection breaks before the request takes effect."""
        self._add(when, times, _drop_request)

    def drop_answer(self, when: When, *, times: int | None = 1) -> None:
        """The request takes effect, and the connection breaks before its answer."""
        self._add(when, times, _drop_answer)

    def replay(self, when: When, *, times: int | None = 1) -> None:
        """Something on the way sends the request twice; the client gets the second answer."""

        async def strike(call: _Call, asked: Asked, go: Callable[[], Awaitable[Any]]) -> Any:
            await go()
            return await go()

        self._add(when, times, strike)

    def crash(self, when: When, at: Crash) -> None:
        """The client dies at this request: before it took effect, after it but unanswered, or when it is answered."""

        async def strike(call: _Call, asked: Asked, go: Callable[[], Awaitable[Any]]) -> Any:
            if at == "answered":
                call.answered.append(self.crashed)
                return await go()
            if at == "after":
                await go()
            self.crashed()
            return _lost(call)

        self._add(when, 1, strike)

    @contextmanager
    def lagging(self, seconds: float, *, resource: str = "*", agent: str = "*") -> Iterator[None]:
        """Watches tell everything so much later while the block lasts."""
        lag = (seconds, resource, agent)
        self._lags.append(lag)
        try:
            yield
        finally:
            self._lags.remove(lag)

    @contextmanager
    def holding_watches(self, *, resource: str = "*", agent: str = "*") -> Iterator[None]:
        """Watches tell nothing while the block lasts, and everything at its end."""
        gate = (asyncio.Event(), resource, agent)
        self._gates.append(gate)
        try:
            yield
        finally:
            self._gates.remove(gate)
            gate[0].set()

    def cut_watches(self, *, resource: str = "*", agent: str = "*") -> int:
        """The connections of watches break, now; how many. To make their clients list again, compact the server too."""
        cut = [one for one in self.watches if fnmatchcase(one.resource, resource) and fnmatchcase(one.agent, agent)]
        for one in cut:
            one.call.abort()
        return len(cut)

    def clear(self) -> None:
        """Nothing more goes wrong."""
        self._faults.clear()

    def _add(self, when: When, times: int | None, strike: _Strike) -> None:
        self._faults.append(_Fault(when, times, strike))

    # Where it does -------------------------------------------------------------------------------------------------

    async def pass_on(self, verb: Verb, request: Request, body: Any, go: Callable[[], Awaitable[A]]) -> A:
        """Carry a request out, with what goes wrong about it."""
        call = _CALL.get()
        if call is None:
            return await go()
        asked = self._note(call, verb, request, body)
        fault = self._fitting(asked)
        try:
            answer = cast("A", await (fault.strike(call, asked, go) if fault is not None else go()))
        except Refusal as refusal:
            asked.code = 0 if call.http.transport is None or call.http.transport.is_closing() else refusal.code
            raise
        asked.code = answer.code if isinstance(answer, Answer) else 200
        return answer

    async def before_events(self, resource: str, agent: str) -> None:
        """Wait as long as a watch is behind."""
        seconds = [lag for lag, what, who in self._lags if fnmatchcase(resource, what) and fnmatchcase(agent, who)]
        if seconds:
            await asyncio.sleep(max(seconds))
        for gate, what, who in list(self._gates):
            if fnmatchcase(resource, what) and fnmatchcase(agent, who):
                await gate.wait()

    def _note(self, call: _Call, verb: Verb, request: Request, body: Any) -> Asked:
        name = request.name
        if not name and isinstance(body, dict):
            name = (body.get("metadata") or {}).get("name", "")
        asked = Asked(
            agent=call.agent,
            verb=verb,
            resource=request.resource.name,
            namespace=request.namespace,
            name=name,
            subresource=request.subresource,
            when=self._now(),
            body=body,
        )
        self.asked.append(asked)
        self._noted(asked)
        return asked

    def _fitting(self, asked: Asked) -> _Fault | None:
        struck: _Fault | None = None
        for fault in self._faults:
            if fault.left == 0 or not fault.when.fits(asked) or struck is not None:
                continue
            struck = fault
            if fault.left is not None:
                fault.left -= 1
        return struck


async def _drop_request(call: _Call, asked: Asked, go: Callable[[], Awaitable[Any]]) -> Any:
    return _lost(call)


async def _drop_answer(call: _Call, asked: Asked, go: Callable[[], Awaitable[Any]]) -> Any:
    await go()
    return _lost(call)


def _lost(call: _Call) -> Any:
    """Break the connection; the refusal only ends the work on the request, nobody will read it."""
    call.abort()
    raise Refusal(500, "InternalError", "the connection was lost")


class FaultyServer(ApiServer):
    """An ApiServer that has `faults` between it and HTTP. `faults` must be set before the first request."""

    faults: Faults

    async def get(self, request: Request) -> Answer:
        return await self.faults.pass_on("get", request, None, lambda: super(FaultyServer, self).get(request))

    async def list(self, request: Request) -> ListAnswer:
        return await self.faults.pass_on("list", request, None, lambda: super(FaultyServer, self).list(request))

    async def create(self, request: Request, body: Body) -> Answer:
        go = super().create
        return await self.faults.pass_on("create", request, body.value, lambda: go(request, body))

    async def update(self, request: Request, body: Body) -> Answer:
        go = super().update
        return await self.faults.pass_on("update", request, body.value, lambda: go(request, body))

    async def patch(self, request: Request, patch: Patch) -> Answer:
        go = super().patch
        return await self.faults.pass_on("patch", request, patch.value, lambda: go(request, patch))

    async def delete(self, request: Request) -> Answer:
        go = super().delete
        return await self.faults.pass_on("delete", request, _deletion(request), lambda: go(request))

    async def delete_collection(self, request: Request) -> ListAnswer:
        go = super().delete_collection
        return await self.faults.pass_on("deletecollection", request, _deletion(request), lambda: go(request))

    async def watch(self, request: Request) -> Watch:
        call = _CALL.get()
        if call is None:
            return await super().watch(request)
        opened: list[Watch] = []
        go = super().watch

        async def carry_out() -> Answer:
            opened.append(await go(request))
            return Answer(200, b"{}")

        await self.faults.pass_on("watch", request, None, carry_out)
        return cast("Watch", _Late(opened[-1], self.faults, request.resource.name, call))


def _deletion(request: Request) -> Json:
    options = request.options
    told: Json = {"propagation": options.propagation, "uid": options.precondition_uid}
    return {key: value for key, value in told.items() if value}


class _Late:
    """A watch that may be behind; as much of a Watch as the HTTP face uses."""

    def __init__(self, watch: Watch, faults: Faults, resource: str, call: _Call) -> None:
        self.resource, self.agent, self.call = resource, call.agent, call
        self._watch, self._faults = watch, faults
        faults.watches.add(self)

    async def batch(self) -> list[WatchEvent]:
        events = await self._watch.batch()
        if events:
            await self._faults.before_events(self.resource, self.agent)
        return events

    def close(self) -> None:
        self._watch.close()
        self._faults.watches.discard(self)


class FaultyFace(HttpFace):
    """Tells the faults whose request is being answered."""

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        call = _Call(request.headers.get("User-Agent", ""), request)
        token = _CALL.set(call)
        try:
            response = await super().respond(request)
        finally:
            _CALL.reset(token)
        if call.answered:
            if not response.prepared:
                await response.prepare(request)
                await response.write_eof()
            for tell in call.answered:
                tell()
        return response
