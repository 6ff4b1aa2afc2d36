"""OpenAPI v3, as little of it as kubectl needs (spec kube-api OAPI-5), and the schemas of custom resources whole.

`create -f` and `apply` look whether a kind's PATCH knows the parameter `fieldValidation`; `explain` reads the schema.
Built-in kinds have no schema here: explain shows their name and no fields.
"""

from __future__ import annotations

from hashlib import sha512

import orjson

from localcluster.api import Json
from localcluster.apiserver.registry import Registry
from localcluster.resources import KUBERNETES, ResourceInfo

__all__ = ["OpenApi", "empty_v2"]

WRITE_PARAMETERS = [
    {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
    for name in ("dryRun", "fieldManager", "fieldValidation")
]
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
META_PROPERTIES: Json = {
    "name": ("string", "Name, unique within a namespace. Cannot be changed."),
    "generateName": ("string", "A prefix from which the server makes a unique name, when name is not given."),
    "namespace": ("string", "The namespace that the object lives in. Cannot be changed."),
    "labels": ("object", "Keys and values to organise and select objects by."),
    "annotations": ("object", "Keys and values that tools store with an object; not for selecting."),
    "finalizers": ("array", "Who must agree before a deleted object goes; each takes its own entry away."),
    "ownerReferences": ("array", "The objects that this one depends on: when all are gone, it is collected."),
    "uid": ("string", "Identity of this object, given by the server; never used again."),
    "resourceVersion": ("string", "The version of the object, opaque; for optimistic locking and watches."),
    "generation": ("integer", "Counts changes of the desired state; set by the server."),
    "creationTimestamp": ("string", "When the object was created; set by the server."),
    "deletionTimestamp": ("string", "When the object will be gone, once its deletion was asked for."),
}


def empty_v2(*, binary: bool) -> bytes:
    """OpenAPI v2 without any definition: kubectl reads it before it takes a `kind: List`, and checks what is there.

    In protobuf form, which is all that kubectl asks for: fields 1 swagger, 2 info (1 title, 2 version), 8 paths, 9
    definitions, each with its length before it.
    """
    if not binary:
        info = {"title": "Kubernetes", "version": KUBERNETES}
        return orjson.dumps({"swagger": "2.0", "info": info, "paths": {}, "definitions": {}})
    info_bytes = _field(1, b"Kubernetes") + _field(2, KUBERNETES.encode())
    return _field(1, b"2.0") + _field(2, info_bytes) + _field(8, b"") + _field(9, b"")


def _field(number: int, content: bytes) -> bytes:
    return bytes((number << 3 | 2, len(content))) + content


class OpenApi:
    """The documents per group version, made anew when the registry changes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._revision = -1
        self._made: dict[str, tuple[bytes, str]] = {}

    def index(self) -> bytes:
        """`/openapi/v3`: where each group version's document is, by its digest (OAPI-1)."""
        paths = {
            name: {"serverRelativeURL": f"/openapi/v3/{name}?hash={tag}"}
            for name, (_, tag) in self._documents().items()
        }
        return orjson.dumps({"paths": paths})

    def document(self, name: str) -> tuple[bytes, str] | None:
        """The document of "api/v1" or "apis/batch/v1" and its digest, or None."""
        return self._documents().get(name)

    def _documents(self) -> dict[str, tuple[bytes, str]]:
        if self._revision != self._registry.revision:
            self._revision = self._registry.revision
            grouped: dict[str, list[ResourceInfo]] = {}
            for one in self._registry.resources():
                grouped.setdefault(f"apis/{one.api_version}" if one.group else f"api/{one.version}", []).append(one)
            self._made = {}
            for name, resources in grouped.items():
                raw = orjson.dumps(self._document(name, resources))
                self._made[name] = raw, sha512(raw).hexdigest().upper()
        return self._made

    def _document(self, name: str, resources: list[ResourceInfo]) -> Json:
        paths: Json = {}
        schemas: Json = {OBJECT_META: _object_meta()}
        for one in resources:
            schema_name = ".".join(
                [*reversed(one.group.split(".")), one.version, one.kind] if one.group else [one.version, one.kind]
            )
            schemas[schema_name] = self._schema(one)
            paths |= _paths(f"/{name}", one, schema_name)
        return {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": KUBERNETES},
            "paths": paths,
            "components": {"schemas": schemas},
        }

    def _schema(self, resource: ResourceInfo) -> Json:
        custom = self._registry.custom(resource)
        schema: Json = {"type": "object"} if custom is None else dict(custom.schema)
        properties = {
            "apiVersion": {"type": "string", "description": "The group and version of this object's form."},
            "kind": {"type": "string", "description": "What kind of object this is, in CamelCase."},
            **schema.get("properties", {}),
        }
        properties["metadata"] = {
            "description": "Standard object's metadata.",
            "allOf": [{"$ref": f"#/components/schemas/{OBJECT_META}"}],
        }
        return {**schema, "properties": properties, "x-kubernetes-group-version-kind": [_kind(resource)]}


def _object_meta() -> Json:
    extra: dict[str, Json] = {
        "object": {"additionalProperties": {"type": "string"}},
        "array": {"items": {"type": "string"}},
    }
    properties = {
        name: {"type": kind, "description": description, **extra.get(kind, {})}
        for name, (kind, description) in META_PROPERTIES.items()
    }
    return {"type": "object", "description": "Metadata that all stored objects have.", "properties": properties}


def _kind(resource: ResourceInfo) -> Json:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _paths(root: str, resource: ResourceInfo, schema_name: str) -> Json:
    collection = (
        f"{root}/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else f"{root}/{resource.plural}"
    )
    schema = {"$ref": f"#/components/schemas/{schema_name}"}

    def operation(action: str, *, writes: bool) -> Json:
        made: Json = {
            "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}},
            "x-kubernetes-group-version-kind": _kind(resource),
            "x-kubernetes-action": action,
        }
        return {"parameters": WRITE_PARAMETERS, **made} if writes else made

    return {
        collection: {"get": operation("list", writes=False), "post": operation("post", writes=True)},
        f"{collection}/{{name}}": {
            "get": operation("get", writes=False),
            "put": operation("put", writes=True),
            "patch": operation("patch", writes=True),
            "delete": operation("delete", writes=False),
        },
    }
