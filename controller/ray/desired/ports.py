"""The ports of the Ray container and of the Services before it (spec raycluster §2.3, §7.5)."""

from __future__ import annotations

from typing import Final

from api.meta import Json
from api.v1.wire import PORT_CLIENT, PORT_DASHBOARD, PORT_GCS, PORT_METRICS, PORT_SERVE

__all__ = ["METRICS", "declared", "metrics_container_port", "of_head", "serve_port", "serving"]

METRICS: Final = "metrics"
SERVE: Final = "serve"
DEFAULTS: Final = (
    ("client", PORT_CLIENT),
    ("gcs-server", PORT_GCS),
    ("dashboard", PORT_DASHBOARD),
    (METRICS, PORT_METRICS),
    (SERVE, PORT_SERVE),
)


def of_head(container: Json) -> dict[str, int]:
    """Port name -> number that the head Service offers: those declared, else the defaults; always `metrics`.

    Two declared ports of one name collapse to the last, as they do in the reference.
    """
    return {METRICS: PORT_METRICS} | declared(container)


def declared(container: Json) -> dict[str, int]:
    """Port name -> number of the ports that a head's container declares, else the defaults."""
    found = {port.get("name") or f"{port['containerPort']}-port": port["containerPort"] for port in _ports(container)}
    return found or dict(DEFAULTS)


def serving(ports: dict[str, int]) -> dict[str, int]:
    """Those of them that serve requests: `serve`, and whatever starts with `serve-`."""
    return {name: number for name, number in ports.items() if name == SERVE or name.startswith(f"{SERVE}-")}


def serve_port(container: Json) -> int:
    """Where the Serve proxy of a node listens."""
    return next((port["containerPort"] for port in _ports(container) if port.get("name") == SERVE), PORT_SERVE)


def metrics_container_port(container: Json) -> Json | None:
    """The port to add to the Ray container, or None if one is named `metrics` already."""
    if any(port.get("name") == METRICS for port in _ports(container)):
        return None
    return {"name": METRICS, "containerPort": PORT_METRICS}


def _ports(container: Json) -> list[Json]:
    return container.get("ports") or []
