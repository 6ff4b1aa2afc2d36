"""The API server's HTTP face: a request -> what is asked of the core -> bytes (spec kube-api §1).

It decides nothing about objects. One handler without router or middleware, since a controller's write should cost the
wire little; what the core encoded goes out as it is.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, closing
from datetime import datetime
from pathlib import Path
from ssl import SSLContext
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from localcluster.api import Json, Refusal
from localcluster.apiserver.decoding import decode_delete_options, decode_object, decode_patch
from localcluster.apiserver.documents import Document, Documents
from localcluster.apiserver.logs import LogSource, check_container, log_bytes, log_options
from localcluster.apiserver.negotiation import Form, answer_form, body_syntax, patch_kind
from localcluster.apiserver.query import Query, parse_query, with_delete_options
from localcluster.apiserver.requests import Answer, ListAnswer, Request
from localcluster.apiserver.routes import NoSuchPath, Target, route
from localcluster.apiserver.server import ApiServer
from localcluster.apiserver.shapes import Shaper, WatchShaper, encode
from localcluster.apiserver.tables import Tables
from localcluster.apiserver.watching import Watch

__all__ = ["Dial", "HttpFace", "serving"]

MOST_BODY_BYTES = 3 * 1024 * 1024  # as the real one (ERR-13)
GZIP_FROM_BYTES = 128 * 1024  # as the real one (PRO-4)
GZIP_LEVEL = 1  # it compresses on the loop that everything else runs on
ADMIN: Json = {"username": "system:admin", "groups": ["system:masters", "system:authenticated"]}
ANONYMOUS: Json = {"username": "system:anonymous", "groups": ["system:unauthenticated"]}
OPEN_TO_ALL = ("/version", "/healthz", "/livez", "/readyz")
READABLE_AGENTS = ("curl/", "Wget/", "Mozilla/")
JSON_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
MOST_WARNED, LONG_WARNING = 4096, 256  # characters of all warnings of an answer, and of each if that is too much
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
END_SECONDS = 1.0  # for what still runs when the server stops; watches are ended first

Dial = Callable[[web.BaseRequest, Target], Awaitable[web.StreamResponse]]
"""Carries a request on to a pod or service: `.../pods/x/proxy/path` (SUB-4)."""

VERBS_ON_ONE = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
VERBS_ON_MANY = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}
VERBS_ON_ALL = {"GET": "list"}  # across namespaces
VERBS_BELOW = VERBS_ON_ONE | {"POST": "create"}

STREAMS = ("exec", "attach", "portforward")
STREAMS_MISSING = "this local cluster does not serve {} yet; kubectl exec, cp, attach and port-forward do not work here"
NOT_ALLOWED = "the server does not allow this method on the requested resource"
NOT_FOUND = "the server could not find the requested resource"


class HttpFace:
    """Answers requests. `logs` and `dial` may be set later, by the node."""

    def __init__(self, server: ApiServer, *, now: Callable[[], datetime], token: str | None = None) -> None:
        self.logs: LogSource | None = None
        self.dial: Dial | None = None
        self._server = server
        self._credentials = _credentials(token)
        self._prefix = f"/{token}/" if token else ""  # whoever knows this path knows the token
        self._documents = Documents(server.registry)
        self._shaper = Shaper(Tables(server.registry), now)
        self._watches: set[Watch] = set()

    def close(self) -> None:
        """End all watches; their clients see a clean end."""
        for watch in tuple(self._watches):
            watch.close()

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to one request; what is refused is an answer too."""
        path = request.rel_url.raw_path
        user = ADMIN
        try:
            if self._prefix and path.startswith(self._prefix):
                path = path[len(self._prefix) - 1 :]
            else:
                user = self._authenticate(request, path)
            target = route(path, self._server.registry)
            if target is None:
                return _document(self._documents.get(request.method, path, request.headers, request.host), request)
            return await self._resource(request, target, parse_query(request.rel_url.raw_query_string), user)
        except NoSuchPath:
            return web.Response(
                status=404, body=b"404 page not found\n", headers={"Content-Type": "text/plain; charset=utf-8"}
            )
        except Refusal as refusal:
            return _refused(refusal, request)

    def _authenticate(self, request: web.BaseRequest, path: str) -> Json:
        """Who asks. A service account may do everything, as there is no authorization here. Raises Refusal."""
        if not self._credentials:
            return ADMIN
        given = request.headers.get("Authorization")
        if given in self._credentials:
            return ADMIN
        scheme, _, token = (given or "").partition(" ")
        if scheme == "Bearer" and (user := self._server.user_of(token.strip())) is not None:
            return user
        if given is not None:
            raise Refusal(401, "Unauthorized", "Unauthorized")
        if path not in OPEN_TO_ALL:
            verb = request.method.lower()
            message = f'forbidden: User "system:anonymous" cannot {verb} path "{path}"'
            raise Refusal(403, "Forbidden", message, {})
        return ANONYMOUS

    async def _resource(self, request: web.BaseRequest, target: Target, query: Query, user: Json) -> web.StreamResponse:
        _check_served(request.method, target)
        asked = Request(target.resource, target.namespace, target.name, target.subresource, query.options, user)
        if target.subresource == "proxy":
            return await self._proxied(request, target)
        if target.subresource == "log":
            return await self._log(request, asked)
        if target.subresource in STREAMS:
            raise Refusal(501, "NotImplemented", STREAMS_MISSING.format(target.subresource), {})
        watch = request.method == "GET" and not target.name and (query.watch or target.watch)
        form = answer_form(request.headers.get("Accept", ""), watch=watch, custom=target.resource.custom)
        if watch:
            return await self._watched(request, asked, form, query)
        if request.method == "GET":
            self._shaper.refuse_mixed_up(form, target.resource, many=not target.name)
        answer = await self._verb(request, asked)
        pretty = _wants_pretty(request, query)
        if isinstance(answer, ListAnswer):
            body = self._shaper.page(answer, form, query.include_object, pretty=pretty)
            return _response(200, body, form, request, answer.warnings)
        body = self._shaper.answer(answer, target.resource, form, query.include_object, pretty=pretty)
        return _response(answer.code, body, form, request, answer.warnings)

    async def _verb(self, request: web.BaseRequest, asked: Request) -> Answer | ListAnswer:
        method = request.method
        if method == "GET":
            return await (self._server.get(asked) if asked.name else self._server.list(asked))
        if method == "DELETE":
            return await self._delete(request, asked)
        content_type = request.headers.get("Content-Type", "")
        if method == "PATCH":
            kind = patch_kind(content_type, custom=asked.resource.custom)
            return await self._server.patch(asked, decode_patch(await _body(request), kind))
        syntax = body_syntax(content_type, custom=asked.resource.custom)
        body = decode_object(await _body(request), syntax, asked.resource.kind)
        return await (self._server.create(asked, body) if method == "POST" else self._server.update(asked, body))

    async def _delete(self, request: web.BaseRequest, asked: Request) -> Answer | ListAnswer:
        raw = await _body(request)
        said: Json = decode_delete_options(raw, body_syntax(request.headers.get("Content-Type", ""))) if raw else {}
        options = with_delete_options(asked.options, said)
        asked = Request(asked.resource, asked.namespace, asked.name, asked.subresource, options, asked.user)
        return await (self._server.delete(asked) if asked.name else self._server.delete_collection(asked))

    async def _watched(self, request: web.BaseRequest, asked: Request, form: Form, query: Query) -> web.StreamResponse:
        shaper = WatchShaper(self._shaper, asked.resource, form, query.include_object)
        with closing(await self._server.watch(asked)) as watch:
            self._watches.add(watch)
            try:
                response = web.StreamResponse(headers=JSON_HEADERS)
                response.enable_chunked_encoding()
                await response.prepare(request)
                if form.shape != "PartialObjectMetadataList":  # meant for lists: such a watch ends at once (NEG-5)
                    while events := await watch.batch():
                        await response.write(shaper.lines(events))
                await response.write_eof()
            finally:
                self._watches.discard(watch)
        return response

    async def _log(self, request: web.BaseRequest, asked: Request) -> web.StreamResponse:
        options = log_options(request.rel_url.raw_query_string, asked.name)
        pod = (await self._server.get(Request(asked.resource, asked.namespace, asked.name))).object
        container = check_container(pod, options)
        if self.logs is None or not pod.get("spec", {}).get("nodeName"):
            return web.Response(status=204)
        async with aclosing(log_bytes(self.logs, pod, container, options)) as chunks:
            first = await anext(chunks, b"")  # what the source refuses is refused before the headers
            response = web.StreamResponse(headers={"Content-Type": "text/plain", "Cache-Control": "no-cache, private"})
            await response.prepare(request)
            if first:
                await response.write(first)
            async for chunk in chunks:
                await response.write(chunk)
            await response.write_eof()
        return response

    async def _proxied(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        if self.dial is None:
            message = f'no endpoints available for {target.resource.singular} "{target.name}"'
            raise Refusal(503, "ServiceUnavailable", message)
        return await self.dial(request, target)


def _credentials(token: str | None) -> tuple[str, ...]:
    """What may stand in the Authorization header: the token, or the token as the password of user admin."""
    if token is None:
        return ()
    return f"Bearer {token}", f"Basic {b64encode(f'admin:{token}'.encode()).decode()}"


def _check_served(method: str, target: Target) -> None:
    """Whether that verb is served there. Raises Refusal 404 or 405, or NoSuchPath (ERR-3, ERR-4)."""
    resource = target.resource
    if target.subresource:
        served = resource.subresource(target.subresource)
        if served is None or (target.below and target.subresource != "proxy"):
            raise _no_subresource(target)
        if VERBS_BELOW.get(method) not in served.verbs:
            raise Refusal(405, "MethodNotAllowed", NOT_ALLOWED, {})
        return
    everywhere = resource.namespaced and not target.namespace
    if everywhere and method == "POST" and resource.custom:
        raise NoSuchPath(resource.plural)
    verb = (VERBS_ON_ONE if target.name else VERBS_ON_ALL if everywhere else VERBS_ON_MANY).get(method)
    if verb not in resource.verbs:
        raise Refusal(405, "MethodNotAllowed", NOT_ALLOWED, {})


def _no_subresource(target: Target) -> Refusal:
    if not target.resource.custom:
        return Refusal(404, "NotFound", NOT_FOUND, {})
    details = {"name": target.name, "group": target.resource.group, "kind": target.resource.plural}
    return Refusal(404, "NotFound", f'{target.resource.name} "{target.name}" not found', details)


async def _body(request: web.BaseRequest) -> bytes:
    """The whole body. Raises Refusal 413 as soon as it is known to be too long (ERR-13)."""
    too_large = Refusal(413, "RequestEntityTooLarge", f"Request entity too large: limit is {MOST_BODY_BYTES}")
    if (request.content_length or 0) > MOST_BODY_BYTES:
        raise too_large
    chunks, length = [], 0
    while chunk := await request.content.readany():
        chunks.append(chunk)
        length += len(chunk)
        if length > MOST_BODY_BYTES:
            raise too_large
    return b"".join(chunks)


def _wants_pretty(request: web.BaseRequest, query: Query) -> bool:
    if query.pretty is not None:
        return query.pretty
    return request.headers.get("User-Agent", "").startswith(READABLE_AGENTS)


def _refused(refusal: Refusal, request: web.BaseRequest) -> web.Response:
    pretty = request.headers.get("User-Agent", "").startswith(READABLE_AGENTS)
    body = encode(refusal.status, Form(), pretty=pretty)
    response = _response(refusal.code, body, Form(), request, tuple(refusal.warnings))
    wait = refusal.details.get("retryAfterSeconds")
    if wait:
        response.headers["Retry-After"] = str(wait)
    return response


def _response(
    code: int, body: bytes, form: Form, request: web.BaseRequest, warnings: tuple[str, ...] = ()
) -> web.Response:
    headers: Mapping[str, str] = JSON_HEADERS
    if warnings or form.syntax == "yaml" or len(body) >= GZIP_FROM_BYTES:
        headers = CIMultiDict(JSON_HEADERS)
        for warning in _sendable(warnings):
            quoted = warning.replace("\\", "\\\\").replace('"', '\\"')
            headers.add("Warning", f'299 - "{quoted}"')
        if form.syntax == "yaml":
            headers["Content-Type"] = "application/yaml"
        if len(body) >= GZIP_FROM_BYTES and "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"], headers["Vary"] = "gzip", "Accept-Encoding"
            body = _gzipped(body)
    return web.Response(status=code, body=body, headers=headers)


def _sendable(warnings: tuple[str, ...]) -> list[str]:
    """Warnings as headers: none with control characters, and cut where all of them are too long (PRO-5)."""
    fit = [one for one in dict.fromkeys(warnings) if not _CONTROL.search(one)]
    if sum(map(len, fit)) <= MOST_WARNED:
        return fit
    return [one[:LONG_WARNING] for one in fit][: MOST_WARNED // LONG_WARNING]


def _gzipped(body: bytes) -> bytes:
    packer = zlib.compressobj(GZIP_LEVEL, wbits=zlib.MAX_WBITS | 16)
    return packer.compress(body) + packer.flush()


def _document(document: Document, request: web.BaseRequest) -> web.Response:
    headers = {"Content-Type": document.content_type, "Cache-Control": document.cache_control}
    if document.etag:
        headers |= {"Etag": document.etag, "Vary": "Accept"}
        if request.headers.get("If-None-Match") == document.etag:
            return web.Response(status=304, headers=headers)
    return web.Response(status=document.code, body=document.body, headers=headers)


@asynccontextmanager
async def serving(
    face: HttpFace, *, host: str = "127.0.0.1", port: int = 0, socket: Path | None = None, tls: SSLContext | None = None
) -> AsyncIterator[str]:
    """Serve for as long as the block lasts, on a port (0: any) or a Unix socket; gives the base URL.

    Raises OSError for a port that is taken. At the end watches end cleanly and what still runs is cancelled.
    """
    runner = web.ServerRunner(
        web.Server(face.respond, handler_cancellation=True, access_log=None), shutdown_timeout=END_SECONDS
    )
    await runner.setup()
    try:
        site: Any = web.UnixSite(runner, socket) if socket else web.TCPSite(runner, host, port, ssl_context=tls)
        await site.start()
        if socket:
            yield "http://localhost"
        else:
            bound = runner.addresses[0]
            yield f"{'https' if tls else 'http'}://{bound[0]}:{bound[1]}"
    finally:
        face.close()
        await asyncio.sleep(0)
        await runner.cleanup()
