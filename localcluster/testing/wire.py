"""A thin client for conformance tests: what goes over the wire and what comes back, with as little between as possible.

The same tests run against the local API server and a real one, so this knows neither: a base URL, a token, perhaps TLS.
"""

from __future__ import annotations

import asyncio
import io
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import aiohttp

__all__ = ["Endpoint", "Events", "Json", "Output", "Reply", "Wire"]

Json: TypeAlias = dict[str, Any]

PATCH_TYPES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
EVENT_SECONDS = 45.0  # a bound for what must come; the real namespace controller backs off when kinds change


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An API server: where, with which credentials, and how to make it forget its history."""

    name: Literal["local", "judge"]
    url: str
    token: str
    tls: ssl.SSLContext | None
    kubeconfig: Path
    kubectl: Callable[[], Path]
    forget_history: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, read to its end."""

    code: int
    headers: Mapping[str, str]
    body: bytes
    warnings: tuple[str, ...] = ()

    @property
    def json(self) -> Json:
        """The body, which must be a JSON object."""
        value = json.loads(self.body)
        assert isinstance(value, dict), value
        return value

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def message(self) -> str:
        """The message of a Status."""
        return str(self.json["message"])

    @property
    def causes(self) -> list[tuple[str, str, str]]:
        """(reason, field, message) of a Status, as they come."""
        found = self.json["details"].get("causes", [])
        return [(one.get("reason", ""), one.get("field", ""), one.get("message", "")) for one in found]

    def ok(self, code: int = 200) -> Json:
        """The body of an answer that must have this code."""
        assert self.code == code, f"{self.code} instead of {code}: {self.text[:1000]}"
        return self.json


@dataclass(frozen=True, slots=True)
class Output:
    """What a program wrote, and how it ended."""

    code: int
    out: str
    err: str

    def ok(self) -> str:
        """The output of a program that must have succeeded."""
        assert self.code == 0, f"exit code {self.code}: {self.err}\n{self.out}"
        return self.out


@dataclass(slots=True)
class Events:
    """A watch's events, one at a time."""

    code: int
    headers: Mapping[str, str]
    content: aiohttp.StreamReader
    body: bytes = b""  # of an answer that is no stream
    seconds: float = EVENT_SECONDS  # to wait for one event

    async def next(self) -> tuple[str, Json]:
        """The next event's type and object. Raises EOFError at the end, TimeoutError when nothing comes."""
        line = await self.line()
        if not line:
            raise EOFError("the watch has ended")
        event = json.loads(line)
        return event["type"], event["object"]

    async def line(self) -> bytes:
        """The next line as it is; empty at the end."""
        async with asyncio.timeout(self.seconds):
            return await self.content.readline()

    async def take(self, count: int) -> list[tuple[str, Json]]:
        """The next events."""
        return [await self.next() for _ in range(count)]

    async def rest(self) -> list[tuple[str, Json]]:
        """All events until the server ends the stream."""
        found = []
        while line := await self.line():
            event = json.loads(line)
            found.append((event["type"], event["object"]))
        return found


@dataclass(slots=True)
class Wire:
    """Requests to one API server, in a namespace of the test's own."""

    endpoint: Endpoint
    session: aiohttp.ClientSession
    namespace: str
    served: set[str] = field(default_factory=set)  # CustomResourceDefinitions that the session's tests share

    def path(self, resource: str, name: str = "", *, namespace: str | None = None, version: str = "v1") -> str:
        """The path of "configmaps" or "jobs.batch", namespaced, or of one object (`name` may go on: "x/status")."""
        plural, _, group = resource.partition(".")
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        below = f"{root}/namespaces/{self.namespace if namespace is None else namespace}/{plural}"
        return f"{below}/{name}" if name else below

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str | int] | None = None,
    ) -> Reply:
        """One request; a body that is bytes goes out as it is. Empty headers are left out."""
        sent = {"Accept": accept, **(headers or {})}
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", content_type)
        async with self.session.request(
            method,
            self.endpoint.url + path,
            data=None if data is None else io.BytesIO(data),  # bytes of some size make the library warn
            headers={key: value for key, value in sent.items() if value},
            params={key: str(value) for key, value in (query or {}).items()},
            skip_auto_headers=("Accept", "Content-Type"),
        ) as answer:
            warnings = tuple(answer.headers.getall("Warning", ()))
            return Reply(answer.status, answer.headers, await answer.read(), warnings)

    async def get(self, path: str, *, accept: str = "application/json", **query: str | int) -> Reply:
        """GET. Query parameters are named as on the wire."""
        return await self.request("GET", path, accept=accept, query=query)

    async def post(self, path: str, body: object, **query: str | int) -> Reply:
        """POST of a JSON body."""
        return await self.request("POST", path, body, query=query)

    async def put(self, path: str, body: object, **query: str | int) -> Reply:
        """PUT of a JSON body."""
        return await self.request("PUT", path, body, query=query)

    async def patch(
        self,
        path: str,
        body: object,
        kind: Literal["json", "merge", "strategic", "apply"] = "merge",
        **query: str | int,
    ) -> Reply:
        """PATCH of one of the four kinds."""
        return await self.request("PATCH", path, body, content_type=PATCH_TYPES[kind], query=query)

    async def delete(self, path: str, body: object = None, **query: str | int) -> Reply:
        """DELETE, with DeleteOptions if given."""
        return await self.request("DELETE", path, body, query=query)

    @asynccontextmanager
    async def watch(self, path: str, *, accept: str = "application/json", **query: str | int) -> AsyncIterator[Events]:
        """A watch; entered once the server's headers are there."""
        async with self.session.get(
            self.endpoint.url + path,
            headers={"Accept": accept},
            params={"watch": "true", **{key: str(value) for key, value in query.items()}},
        ) as answer:
            events = Events(answer.status, answer.headers, answer.content)
            if answer.status != 200:
                events.body = await answer.read()
            yield events

    async def gone(self, path: str, *, seconds: float = EVENT_SECONDS) -> None:
        """Wait until an object is no longer there, by a watch. Raises TimeoutError."""
        collection, _, name = path.rpartition("/")
        found = await self.get(path)
        if found.code == 404:
            return
        async with (
            asyncio.timeout(seconds),
            self.watch(
                collection,
                fieldSelector=f"metadata.name={name}",
                resourceVersion=found.ok()["metadata"]["resourceVersion"],
            ) as events,
        ):
            events.seconds = seconds
            while (await events.next())[0] != "DELETED":
                pass

    async def until(self, path: str, holds: Callable[[Json], bool], *, seconds: float = EVENT_SECONDS) -> Json:
        """The object as soon as it is there and as wanted, by a watch. Raises TimeoutError."""
        collection, _, name = path.rpartition("/")
        async with (
            asyncio.timeout(seconds),
            self.watch(collection, fieldSelector=f"metadata.name={name}") as events,
        ):
            events.seconds = seconds
            while True:
                kind, item = await events.next()
                if kind in ("ADDED", "MODIFIED") and holds(item):
                    return item

    async def make_namespace(self, name: str, *, seconds: float = EVENT_SECONDS) -> None:
        """Until pods can be made in it: they need its account `default`, which a controller makes."""
        (await self.post("/api/v1/namespaces", {"metadata": {"name": name}})).ok(201)
        await self.until(self.path("serviceaccounts", "default", namespace=name), lambda _: True, seconds=seconds)

    async def serve(self, definition: Json) -> None:
        """Have a CustomResourceDefinition served, once per server; returns when its path answers."""
        name = definition["metadata"]["name"]
        if name in self.served:
            return
        definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        made = await self.post(definitions, definition)
        assert made.code in (201, 409), made.text
        spec = definition["spec"]
        await self.until(f"{definitions}/{name}", _established)
        for version in spec["versions"]:
            if version["served"]:
                await self.answers(f"/apis/{spec['group']}/{version['name']}/{spec['names']['plural']}")
        self.served.add(name)

    async def answers(self, path: str, code: int = 200) -> None:
        """Until the path of a kind answers so.

        A real server says Established some 100 ms before its path answers, and that a CRD is gone before its path is.
        There is no event for either.
        """
        async with asyncio.timeout(EVENT_SECONDS):
            while (await self.get(path)).code != code:  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.05)

    async def kubectl(self, *arguments: str, stdin: str = "") -> Output:
        """Run kubectl in this namespace."""
        process = await asyncio.create_subprocess_exec(
            str(self.endpoint.kubectl()),
            f"--kubeconfig={self.endpoint.kubeconfig}",
            f"--cache-dir={self.endpoint.kubeconfig.parent / 'cache'}",
            f"--namespace={self.namespace}",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Output(process.returncode, out.decode(), err.decode())


def _established(definition: Json) -> bool:
    conditions = definition.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)
