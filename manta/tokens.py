"""The token that a Ray cluster asks for: where its pods have it from, and what it is."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, TypeAlias

from manta.api import Api, Refused

__all__ = ["token_in", "token_of_cluster", "token_source"]

Json: TypeAlias = Mapping[str, Any]


def token_source(pod: Json) -> tuple[str, str] | None:
    """The Secret and its key from which Ray's processes in the pod have their token, if they have one from there."""
    for container in pod["spec"]["containers"]:
        for variable in container.get("env") or ():
            source = (variable.get("valueFrom") or {}).get("secretKeyRef")
            if variable["name"] == "RAY_AUTH_TOKEN" and source:
                return source["name"], source["key"]
    return None


async def token_in(api: Api, namespace: str, secret: str, key: str) -> str:
    """What stands there; "" where there is no such Secret or key."""
    try:
        found = await api.request("GET", f"/api/v1/namespaces/{namespace}/secrets/{secret}")
    except Refused:
        return ""
    return base64.b64decode((found.get("data") or {}).get(key, "")).decode()


async def token_of_cluster(api: Api, namespace: str, cluster: str) -> str:
    """That of the cluster's head; "" where none is asked for, or there is no head."""
    query = {"labelSelector": f"ray.io/cluster={cluster},ray.io/node-type=head"}
    heads = await api.request("GET", f"/api/v1/namespaces/{namespace}/pods", query=query)
    sources = [source for pod in heads["items"] if (source := token_source(pod)) is not None]
    return await token_in(api, namespace, *sources[0]) if sources else ""
