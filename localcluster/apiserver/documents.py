"""What is served beside resources: discovery, OpenAPI, version and health (spec kube-api §2, §3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from localcluster.api import Json, Refusal
from localcluster.apiserver.discovery import AGGREGATED_TYPE, Discovery, wants_aggregated
from localcluster.apiserver.negotiation import BUILT_IN_TYPES
from localcluster.apiserver.openapi import OpenApi, empty_v2
from localcluster.apiserver.registry import Registry
from localcluster.apiserver.routes import NoSuchPath
from localcluster.resources import KUBERNETES

__all__ = ["VERSION", "Document", "Documents"]

# What we claim to be: kubectl warns when it is more than a minor version away, and wants a semantic version (TOP-4).
VERSION: Json = {
    "major": "1",
    "minor": "36",
    "gitVersion": KUBERNETES,
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "linux/amd64",
}
HEALTH = ("healthz", "livez", "readyz")
V2_BINARY = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
TEXT = "text/plain; charset=utf-8"
PRIVATE = "no-cache, private"


@dataclass(frozen=True, slots=True)
class Document:
    """A document with its headers."""

    body: bytes
    content_type: str = "application/json"
    cache_control: str = PRIVATE
    etag: str = ""
    code: int = 200


class Documents:
    """Finds the document of a path."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._discovery = Discovery(registry)
        self._openapi = OpenApi(registry)

    def get(self, method: str, path: str, headers: Mapping[str, str], host: str) -> Document:
        """The document. Raises NoSuchPath, or Refusal: 404 in the server's own groups, 405, 406."""
        parts = [part for part in path.split("/") if part]
        root = parts[0] if parts else ""
        if root == "openapi":
            return self._openapi_document(parts[1:], headers.get("Accept", ""))
        known = root in ("", "api", "apis", "version", *HEALTH)
        if known and method != "GET":
            raise Refusal(
                405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {}
            )
        if root in HEALTH:
            return Document(b"ok", TEXT)
        if path in ("/api", "/apis", "/api/", "/apis/"):
            return self._root(root, headers.get("Accept", ""), host)
        found = self._plain(parts)
        if found is not None:
            return Document(orjson.dumps(found) + b"\n")
        if root == "api":
            raise Refusal(404, "NotFound", "the server could not find the requested resource", {})
        raise NoSuchPath(path)

    def _root(self, root: str, accept: str, host: str) -> Document:
        aggregated = wants_aggregated(accept)
        if aggregated is None:
            raise Refusal(406, "NotAcceptable", f"only the following media types are accepted: {BUILT_IN_TYPES}")
        if aggregated:
            body, tag = self._discovery.aggregated(root)
            return Document(body + b"\n", AGGREGATED_TYPE, "public", tag)
        found = self._discovery.legacy_root(host) if root == "api" else self._discovery.legacy_groups()
        return Document(orjson.dumps(found) + b"\n")

    def _plain(self, parts: list[str]) -> Json | None:
        if not parts:
            return {"paths": self._discovery.paths()}
        if parts == ["version"]:
            return VERSION
        if parts[0] == "api" and len(parts) == 2:
            return self._discovery.legacy_resources("", parts[1])
        if parts[0] == "apis" and len(parts) == 2:
            return self._discovery.legacy_group(parts[1])
        if parts[0] == "apis" and len(parts) == 3:
            return self._discovery.legacy_resources(parts[1], parts[2])
        return None

    def _openapi_document(self, parts: list[str], accept: str) -> Document:
        if parts == ["v2"]:
            binary = "protobuf" in accept
            return Document(empty_v2(binary=binary), V2_BINARY if binary else "application/json")
        if parts == ["v3"]:
            return Document(self._openapi.index(), TEXT)
        if parts[:1] != ["v3"]:
            raise NoSuchPath("/".join(parts))
        found = self._openapi.document("/".join(parts[1:]))
        if found is None:
            return Document(b"", TEXT, code=404)
        return Document(found[0], etag=f'"{found[1]}"')
