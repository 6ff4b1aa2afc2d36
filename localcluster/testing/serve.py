"""A stand-in for Ray Serve on all heads: applications that deploy in time, and proxies that know them (ray-side §4.4).

How an application does is computed from the time when it is looked at, so nothing ticks.

    serve.script("text_ml", deploy_seconds=30)
    serve.script("broken", outcome="DEPLOY_FAILED", message="ModuleNotFoundError: x")
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

__all__ = ["Serve"]

Json: TypeAlias = dict[str, Any]
Answer: TypeAlias = tuple[int, bytes]

APPLICATIONS = "/api/serve/applications/"
DEPLOY_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class _Script:
    deploy_seconds: float = DEPLOY_SECONDS
    outcome: str = "RUNNING"
    message: str = ""


@dataclass(slots=True)
class _Application:
    config: Json
    script: _Script
    since: float

    def status(self, now: float) -> tuple[str, str]:
        if now < self.since + self.script.deploy_seconds:
            return "DEPLOYING", ""
        return self.script.outcome, self.script.message


@dataclass(slots=True)
class _Head:
    config: Json | None = None  # None: Serve does not run
    applications: dict[str, _Application] = field(default_factory=dict)


class Serve:
    """Serve on every head, by the run of its Ray container: a head that starts anew knows nothing."""

    def __init__(self) -> None:
        self.configured: list[tuple[str, Json]] = []  # (head, configuration), as they came
        self.shut: list[str] = []  # patterns of addresses whose proxies answer 503
        self._heads: dict[str, _Head] = {}
        self._scripts: list[tuple[str, Mapping[str, Any]]] = []

    def script(self, application: str = "*", **changes: Any) -> None:
        """Applications of that name, those that are deployed already too, go like this."""
        replace(_Script(), **changes)
        self._scripts.append((application, changes))
        for head in self._heads.values():
            for name, one in head.applications.items():
                one.script = self._script_of(name)

    def answer(self, head: str, method: str, body: Any, now: float) -> Answer:
        """The REST of a head."""
        if method == "GET":
            return 200, json.dumps(self._told(head, now)).encode()
        if method != "PUT":
            return 405, b"405: Method Not Allowed"
        wrong = _wrong(body)
        if wrong:
            return 400, f"1 validation error for ServeDeploySchema\n{wrong}".encode()
        self._configure(self._heads.setdefault(head, _Head()), body, now)
        self.configured.append((head, body))
        return 200, b""

    def runs(self, head: str, now: float) -> bool:
        """All of its applications are RUNNING, and there is one."""
        applications = (self._heads.get(head) or _Head()).applications.values()
        return bool(applications) and all(one.status(now)[0] == "RUNNING" for one in applications)

    def proxy(self, head: str, address: str, path: str, now: float) -> Answer | None:
        """What the proxy at that address says; None where none listens."""
        state = self._heads.get(head)
        if state is None or state.config is None:
            return None
        if any(fnmatchcase(address, pattern) for pattern in self.shut):
            return 503, b"This node is being drained."
        if path == "/-/healthz":
            return 200, b"success"
        running = [one for one in state.applications.values() if one.status(now)[0] in ("RUNNING", "UNHEALTHY")]
        routes = {one.config.get("route_prefix", "/"): one.config.get("name", "default") for one in running}
        return (200, json.dumps(routes).encode()) if path == "/-/routes" else (404, b"Path not found")

    def _configure(self, head: _Head, config: Json, now: float) -> None:
        """The whole replaces the whole; an application that is the same stays as it is (S4-26)."""
        head.config = config
        wanted = {one.get("name", "default"): one for one in config["applications"]}
        for name in head.applications.keys() - wanted.keys():
            del head.applications[name]
        for name, one in wanted.items():
            before = head.applications.get(name)
            if before is None or before.config != one:
                head.applications[name] = _Application(one, self._script_of(name), now)

    def _script_of(self, name: str) -> _Script:
        script = _Script()
        for pattern, changes in self._scripts:
            if fnmatchcase(name, pattern):
                script = replace(script, **changes)
        return script

    def _told(self, head: str, now: float) -> Json:
        state = self._heads.get(head) or _Head()
        applications = {}
        for name, one in state.applications.items():
            status, message = one.status(now)
            deployment = {"status": "HEALTHY" if status == "RUNNING" else "UPDATING", "message": ""}
            applications[name] = {
                "name": name,
                "route_prefix": one.config.get("route_prefix", "/"),
                "status": status,
                "message": message,
                "deployments": {"Main": deployment},
            }
        return {"controller_info": {}, "proxies": {}, "applications": applications, "target_capacity": None}


def _wrong(body: Any) -> str:
    if not isinstance(body, dict) or not isinstance(body.get("applications"), list):
        return "applications\n  field required"
    if any(not isinstance(one, dict) or "import_path" not in one for one in body["applications"]):
        return "applications -> 0 -> import_path\n  field required"
    return ""
