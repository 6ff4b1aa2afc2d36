"""Where the dashboard of a cluster is: the Service before its head, the port, and whose token opens it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api.meta import Json
from controller.ray.dashboard.protocol import Target
from controller.ray.desired import names

__all__ = ["address_of", "dashboard_at", "head_service_of"]

PORT: Final = "dashboard"


def head_service_of(cluster: Json) -> str:
    """The cluster's head Service: as its status says, else by the naming rule with the user's own name in it."""
    told = ((cluster.get("status") or {}).get("head") or {}).get("serviceName")
    if told:
        return str(told)
    head = cluster["spec"].get("headGroupSpec") or {}
    user = ((head.get("headService") or {}).get("metadata") or {}).get("name") or ""
    return names.head_service(cluster["metadata"]["name"], user)


def address_of(service: Mapping[str, Any], domain: str) -> str:
    """host:port of the dashboard behind a head Service; "" where no port of it is called so."""
    metadata, ports = service["metadata"], service["spec"].get("ports") or ()
    port = next((one["port"] for one in ports if one.get("name") == PORT), None)
    return f"{names.fqdn(metadata['name'], metadata['namespace'], domain)}:{port}" if port is not None else ""


def dashboard_at(cluster: Json, run: str, address: str) -> Target:
    """The dashboard of one run of the cluster's head, at that host:port."""
    metadata, auth = cluster["metadata"], cluster["spec"].get("authOptions") or {}
    secret = names.token_secret(auth.get("secretName"), metadata["name"]) if auth.get("mode") == "token" else ""
    return Target(metadata["uid"], run, metadata["namespace"], f"http://{address}", secret)
