"""Liveness and readiness of the Ray container (spec raycluster §10.10)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from api.meta import Json
from controller.ray.desired import ports
from controller.ray.desired.facts import Facts, Group, agent_port, dashboard_port

__all__ = ["missing_probes"]

HTTP_PROBES_SINCE: Final = (2, 53, 0)  # the agent answers for the whole node from this version of Ray on
LIVENESS: Final[Mapping[str, int]] = {
    "initialDelaySeconds": 30,
    "periodSeconds": 5,
    "successThreshold": 1,
    "failureThreshold": 120,
}
READINESS: Final[Mapping[str, int]] = {
    "initialDelaySeconds": 10,
    "periodSeconds": 5,
    "successThreshold": 1,
    "failureThreshold": 10,
}
HEAD_TIMEOUT_SECONDS: Final = 5
WORKER_TIMEOUT_SECONDS: Final = 2
RAYLET_ANSWER_SECONDS: Final = 2
OTHER_ANSWER_SECONDS: Final = 10  # GCS and Serve proxy have more to do before they answer


def missing_probes(facts: Facts, group: Group, params: Mapping[str, str]) -> Json:
    """The probes to add to the Ray container: those that the user did not define."""
    timeout = {"timeoutSeconds": HEAD_TIMEOUT_SECONDS if group.is_head else WORKER_TIMEOUT_SECONDS}
    check = _check(facts, group, params)
    readiness: Json = {**READINESS, **timeout, **check}
    if facts.of_ray_service and not group.is_head:
        readiness = {**READINESS, **timeout, **_serving(group, params), "failureThreshold": 1}
    generated = {"livenessProbe": {**LIVENESS, **timeout, **check}, "readinessProbe": readiness}
    return {name: probe for name, probe in generated.items() if not group.container.get(name)}


def _check(facts: Facts, group: Group, params: Mapping[str, str]) -> Json:
    if facts.ray_version is not None and facts.ray_version >= HTTP_PROBES_SINCE:
        return {"httpGet": {"path": "/api/healthz", "port": agent_port(params)}}
    checks = [_raylet(params)]
    if group.is_head:
        checks.append(_asking(OTHER_ANSWER_SECONDS, dashboard_port(params), "api/gcs_healthz"))
    return _all_of(checks)


def _serving(group: Group, params: Mapping[str, str]) -> Json:
    """A RayService's worker is ready while its proxy answers: it gets requests only then."""
    proxy = _asking(OTHER_ANSWER_SECONDS, ports.serve_port(group.container), "-/healthz")
    return _all_of([_raylet(params), proxy])


def _raylet(params: Mapping[str, str]) -> str:
    return _asking(RAYLET_ANSWER_SECONDS, agent_port(params), "api/local_raylet_healthz")


def _asking(seconds: int, port: int, path: str) -> str:
    return f"wget --tries 1 -T {seconds} -q -O- http://localhost:{port}/{path} | grep success"


def _all_of(checks: list[str]) -> Json:
    return {"exec": {"command": ["bash", "-c", " && ".join(checks)]}}
