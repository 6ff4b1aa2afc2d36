"""What a person is told of a RayService: what it waits for, its applications, and how it ended. Pure.

All of it stands in its status: the operator says in the message of Ready, in a sentence, what it waits for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from manta.lines import Line, Verdict

__all__ = ["ServiceStory", "clusters_of"]

Json: TypeAlias = Mapping[str, Any]

READY: Final = "Ready"  # as in api.v1.rayservice, whose models take a second to load
ROLES: Final = ("active", "pending")
HEALTHY: Final = frozenset({"RUNNING", "HEALTHY"})
DEPLOY_FAILED: Final = "DEPLOY_FAILED"
FINAL: Final = frozenset({"ValidationFailed", "InitializingTimeout"})  # reasons of Ready after which nothing follows


@dataclass(slots=True)
class ServiceStory:
    """One RayService. `phase` is how it is; `serving` that it can be asked, at last."""

    name: str
    phase: str = ""
    serving: bool = False
    _states: dict[tuple[str, str], str] = field(default_factory=dict)  # (cluster, application) -> what was told
    _told: set[str] = field(default_factory=set)

    def changed(self, body: Json) -> Iterator[Line]:
        """Its status was written."""
        status: Json = body.get("status") or {}
        ready = condition(status, READY)
        phase = "ready" if ready.get("status") == "True" else ready.get("reason") or "starting"
        phase = f"{phase}: {ready['message']}" if ready.get("message") else phase
        if phase != self.phase:
            self.phase = phase
            yield Line("phase", f"RayService {self.name}", phase)
        for cluster, applications in applications_of(status):
            for application, said in applications.items():
                yield from self._application(cluster, application, said)
        self.serving = self.serving or (ready.get("status") == "True" and not clusters_of(status, "pending"))

    def _application(self, cluster: str, application: str, said: Json) -> Iterator[Line]:
        """Its state where that is news, and once what keeps its deployments from running."""
        state = said.get("status") or "unknown"
        if self._states.get((cluster, application)) != state:
            self._states[cluster, application] = state
            yield Line("application", f"application {application}", f"{state} on {cluster}")
        if state == DEPLOY_FAILED:
            return  # the verdict says it all
        for about, why in troubles(application, said):
            if why not in self._told:
                self._told.add(why)
                yield Line("trouble", about, why)

    @property
    def has_applications(self) -> bool:
        """Serve has answered, so a configuration reached it."""
        return bool(self._states)


def verdict_of(name: str, body: Json) -> Verdict | None:
    """Why nothing will come of it, as things are; None while something may."""
    status: Json = body.get("status") or {}
    ready = condition(status, READY)
    if ready.get("reason") in FINAL:
        return Verdict(1, f"the service failed: {ready['reason']}: {ready.get('message', '')}")
    for cluster, applications in applications_of(status):
        for application, said in applications.items():
            if said.get("status") == DEPLOY_FAILED:
                return not_deployed(cluster, application, said)
    return None


def not_deployed(cluster: str, application: str, said: Json) -> Verdict:
    """The cause is the last line of what Serve says, which may be a traceback; all of it goes below."""
    told = [why for _, why in troubles(application, said)]
    lines = [line for text in told for line in text.rstrip().splitlines() if line.strip()]
    cause = f": {lines[-1].strip()}" if lines else ""
    tail = tuple(lines) if len(lines) > 1 else ()
    return Verdict(1, f"application {application} could not be deployed on {cluster}{cause}", tail)


def troubles(application: str, said: Json) -> Iterator[tuple[str, str]]:
    """What Serve says of an application and of those of its deployments that do not run."""
    if said.get("message") and said.get("status") not in HEALTHY:
        yield f"application {application}", said["message"]
    for name, deployment in (said.get("serveDeploymentStatuses") or {}).items():
        if deployment.get("message") and deployment.get("status") not in HEALTHY:
            yield f"deployment {name} of {application}", deployment["message"]


def applications_of(status: Json) -> Iterator[tuple[str, Json]]:
    """For each cluster that is named its applications."""
    for role in ROLES:
        part: Json = status.get(f"{role}ServiceStatus") or {}
        if cluster := part.get("rayClusterName"):
            yield cluster, part.get("applicationStatuses") or {}


def clusters_of(status: Json, *roles: str) -> list[str]:
    """The names of its clusters, the one that serves first."""
    names = [(status.get(f"{role}ServiceStatus") or {}).get("rayClusterName") for role in roles or ROLES]
    return [name for name in names if name]


def condition(status: Json, type_: str) -> Json:
    """One of its conditions; {} without it."""
    return next((one for one in status.get("conditions") or () if one["type"] == type_), {})
