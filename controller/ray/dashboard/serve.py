"""Ray Serve's answers, as data: the applications of a head, and one proxy's word for itself (ray-side §4.4).

Keys that are unset are left out of the answers, so nothing is taken for granted but the types of what is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from controller.ray.dashboard.http import (
    LONGEST_MESSAGE,
    Dashboard,
    DashboardError,
    NoAnswer,
    RayTransport,
    Refused,
    expect,
    text,
)
from controller.ray.dashboard.protocol import ApplicationInfo, DeploymentInfo, Proxy, ProxyInfo, ServeInfo

__all__ = ["applications", "ask_proxy", "configure"]

APPLICATIONS: Final = "/api/serve/applications/"  # with its slash: 404 without (ray-side S4-1)
INVALID: Final = (b"validation error", b"ValidationError")  # as pydantic 2 says it, and 1
LINK: Final = "For further information visit "
LONGEST_COMPLAINT: Final = 1000  # characters; it goes into a condition and an event
PUT_TIMEOUT: Final = timedelta(seconds=60)  # the first one starts Serve: 12 s were seen (ray-side S4-24)
PROXY_TIMEOUT: Final = timedelta(seconds=2)  # spec rayservice §10
UNNAMED: Final = "default"  # an application with an empty name (spec rayservice §3)


async def applications(dashboard: Dashboard) -> ServeInfo:
    """What a head says of Serve's applications; never starts Serve. Raises NoAnswer, DashboardError."""
    status, body = await dashboard.ask("GET", f"{APPLICATIONS}?api_type=declarative")
    said = _mapping(expect(status, body, "Serve"), "the answer").get("applications") or {}
    return ServeInfo({name or UNNAMED: _application(name, one) for name, one in _mapping(said, "applications").items()})


async def configure(dashboard: Dashboard, body: str) -> None:
    """Give Serve its configuration, whole. Accepted is not deployed. Raises Refused where it cannot be right.

    That is not every 400: Serve answers so, too, where its controller failed, for the moment perhaps (ray-side S4-25).
    """
    status, answer = await dashboard.ask("PUT", APPLICATIONS, body=body.encode(), timeout=PUT_TIMEOUT)
    if status == 400 and any(words in answer for words in INVALID):
        raise Refused(f"Serve refused the configuration: {_complaint(answer)}")
    if not 200 <= status < 300:  # the body of a success is empty (ray-side S4-24)
        raise DashboardError(f"Serve: the dashboard answered {status}: {text(answer)}")


def _complaint(answer: bytes) -> str:
    """What pydantic says, on one line, without its links."""
    lines = [line.strip() for line in answer.decode(errors="replace").splitlines()]
    return "; ".join(line for line in lines if line and not line.startswith(LINK))[:LONGEST_COMPLAINT]


def _application(name: str, body: Any) -> ApplicationInfo:
    said = _mapping(body, f"application {name}")
    deployments = _mapping(said.get("deployments") or {}, f"deployments of {name}")
    prefix = said.get("route_prefix")
    return ApplicationInfo(
        status=_words(said, "status"),
        message=_words(said, "message")[:LONGEST_MESSAGE],
        route_prefix=prefix if isinstance(prefix, str) else None,
        deployments={str(one): _deployment(str(one), its) for one, its in deployments.items()},
    )


def _deployment(name: str, body: Any) -> DeploymentInfo:
    said = _mapping(body, f"deployment {name}")
    return DeploymentInfo(_words(said, "status"), _words(said, "message")[:LONGEST_MESSAGE])


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DashboardError(f"Serve: {what} should be an object, not {value!r}")
    return value


def _words(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    if value is not None and not isinstance(value, str):
        raise DashboardError(f"Serve: {name} should be a string, not {value!r}")
    return value or ""


async def ask_proxy(transport: RayTransport, proxy: Proxy) -> ProxyInfo:
    """Is it healthy, and which routes does it know? Never raises: what does not answer is not healthy.

    Healthy is exactly 200 (spec rayservice §10). Routes are asked of a healthy proxy alone.
    """
    try:
        status, body = await _get(transport, proxy, "/-/healthz")
        if status != 200:
            return ProxyInfo(False, problem=f"{status}: {text(body)}")
        status, body = await _get(transport, proxy, "/-/routes")
    except NoAnswer as error:
        return ProxyInfo(False, problem=str(error))
    if status != 200:
        return ProxyInfo(True, problem=f"{status}: {text(body)}")
    try:
        routes = json.loads(body)
    except ValueError:
        return ProxyInfo(True, problem=f"routes are no JSON: {text(body)}")
    return ProxyInfo(True, frozenset(map(str, routes)) if isinstance(routes, dict) else frozenset())


async def _get(transport: RayTransport, proxy: Proxy, path: str) -> tuple[int, bytes]:
    """No token: the door is open to whoever may reach it."""
    return await transport.request("GET", proxy.url + path, headers={}, body=None, timeout=PROXY_TIMEOUT)
