"""One look at a RayService and all that belongs to it, as data: what `observe` gathers and the other rooms judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from api.meta import Condition, Json, condition
from api.v1 import wire
from api.v1.common import Malformed
from api.v1.raycluster import RayClusterCondition
from api.v1.rayservice import RayServiceCondition, RayServiceSpec
from api.v1.rules.rayservice import initializing_timeout
from api.v1.serve_config import ServeConfigError, canonical, digest_of, parse_serve_config, routes_of
from controller.ray.dashboard.protocol import EffectState, Known, Proxy, PutServe, ServeInfo, Target
from controller.ray.dashboard.runs import head_run
from controller.ray.desired.goal import ClusterGoal
from controller.ray.desired.ports import serve_port
from controller.ray.options import Options

__all__ = ["ClusterView", "Goal", "PodView", "Seen", "goal_of", "selected_by", "spec_of"]

RUNNING: Final = "RUNNING"
DELETION_DELAY: Final = timedelta(seconds=60)
PROXY_HEALTH: Final = "/-/healthz"  # in whatever form a probe asks for it
SENDING, SENT = "sending", "sent"  # what the annotation says of a configuration (design §2)


@dataclass(frozen=True, slots=True)
class Goal:
    """The Serve configuration that is wanted; `problem` says why there is none to send."""

    body: str = ""
    digest: str = ""
    routes: frozenset[str] = frozenset()
    problem: str = ""
    applications: bool = False  # it asks for some

    @property
    def put(self) -> PutServe:
        """The effect that brings it to a head."""
        return PutServe(self.digest, self.body)


@lru_cache(maxsize=1024)
def goal_of(text: str) -> Goal:
    """What spec.serveConfigV2 asks for. Nothing at all is told once, and not sent: Serve would refuse it (E-20)."""
    try:
        config = parse_serve_config(text)
    except ServeConfigError as error:
        return Goal(problem=str(error))
    if not config:
        return Goal(problem="serveConfigV2 is empty: Serve needs at least `applications`")
    body = canonical(config)
    return Goal(body, digest_of(body), routes_of(config), applications=bool(config.get("applications")))


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod of a cluster, as far as a RayService looks at it."""

    name: str
    uid: str
    ip: str
    port: int  # of its Serve proxy
    label: str  # ray.io/serve
    ready: bool = False  # it runs, and its Ready condition says so
    is_head: bool = True
    asks_proxy: bool = False  # its readiness depends on its Serve proxy, as that of the probes that we inject does
    run: str = ""  # of the Ray container; "" while it does not run

    @classmethod
    def of(cls, pod: Json) -> PodView:
        """The view of a pod as it stands on the wire."""
        metadata, ray, status = pod["metadata"], pod["spec"]["containers"][0], pod.get("status") or {}
        labels = metadata.get("labels") or {}
        ready = condition(status.get("conditions") or (), "Ready")
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            ip=status.get("podIP", ""),
            port=serve_port(ray),
            label=labels.get(wire.LABEL_SERVE, ""),
            ready=status.get("phase") == "Running" and ready is not None and ready["status"] == "True",
            is_head=labels.get(wire.LABEL_NODE_TYPE) == wire.HEAD,
            asks_proxy=PROXY_HEALTH in str(ray.get("readinessProbe") or ""),
            run=head_run(pod),
        )

    @property
    def door(self) -> Proxy | None:
        """Its proxy; None before it has an address. IPv6 addresses stand in brackets."""
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        return Proxy(self.uid, f"http://{host}:{self.port}") if self.ip else None


@dataclass(frozen=True, slots=True)
class ClusterView:
    """One of its clusters. `doors` are the proxies that the serve Service would send requests to.

    Those that are `ungated` belong to workers whose readiness does not depend on their proxy: they may have none.
    `tells` is whether the RayCluster's status says how its head is (the gate RayClusterStatusConditions).
    """

    object: Json
    head: PodView | None = None
    target: Target | None = None
    doors: tuple[Proxy, ...] = ()
    ungated: frozenset[Proxy] = frozenset()
    known: Known = field(default_factory=Known)
    tells: bool = True

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.object["metadata"]["uid"])

    @property
    def annotations(self) -> Mapping[str, str]:
        return self.object["metadata"].get("annotations") or {}

    @property
    def deleting(self) -> bool:
        return "deletionTimestamp" in self.object["metadata"]

    @property
    def head_ready(self) -> bool:
        """Its own status says so, or the pod does where it says nothing (spec rayservice §11.1)."""
        if not self.tells:
            return self.head is not None and self.head.ready
        conditions: Sequence[Condition] = (self.object.get("status") or {}).get("conditions") or ()
        found = condition(conditions, RayClusterCondition.HEAD_POD_READY)
        return found is not None and found["status"] == "True"

    @property
    def configuration(self) -> tuple[str, str]:
        """("sending" or "sent", digest) as it is remembered; ("", "") for a cluster that was given none by us."""
        state, _, digest = self.annotations.get(wire.ANNOTATION_SERVE_CONFIG, "").partition(":")
        return (state, digest) if state in (SENDING, SENT) else ("", "")

    @property
    def serve(self) -> ServeInfo | None:
        """What its head last said; None before it said anything."""
        return self.known.serve

    def effect(self, goal: Goal) -> tuple[EffectState, str]:
        """How far the configuration has come in this run of the head."""
        return self.known.effects.get(goal.put, (EffectState.WAITING, ""))

    def has(self, goal: Goal) -> bool:
        """It was given this configuration, and what its head says was asked after that (E-32)."""
        return self.configuration == (SENT, goal.digest) and self.known.mark == goal.digest

    def forgot(self, goal: Goal) -> bool:
        """It was given this configuration, and its head knows of no application: another run of it (E-29)."""
        return goal.applications and self.has(goal) and self.serve is not None and not self.serve.applications

    def serves(self, goal: Goal) -> bool:
        """Its head is ready, and all applications of this configuration run."""
        if not self.head_ready or not self.has(goal) or self.serve is None:
            return False
        if self.known.failing_since is not None:
            return False  # the question that was asked after the configuration failed: what is known is older (E-32)
        states = [one.status for one in self.serve.applications.values()]
        return bool(states) and all(state == RUNNING for state in states)

    def proven(self, goal: Goal) -> bool:
        """Every door that traffic would go through is open, and knows every route. No open door at all proves nothing.

        A worker that is ready without a proxy would hold up every change for ever, where the user's own probe lets it
        be so: it was behind the Service before, and will be.
        """
        found = {door: self.known.proxies.get(door) for door in self.doors}
        shut = {door for door, said in found.items() if said is None or not said.healthy}
        heard = all(said is not None for said in found.values())
        routed = all(goal.routes <= said.routes for said in found.values() if said is not None and said.healthy)
        return heard and routed and shut < found.keys() and shut <= self.ungated


@dataclass(frozen=True, slots=True)
class Seen:
    """The RayService as it is stored, and what belongs to it; None where there is nothing."""

    service: Json
    spec: RayServiceSpec
    options: Options
    goal: Goal = Goal()
    cluster_goal: ClusterGoal = field(default_factory=lambda: ClusterGoal({}))  # spec.rayClusterConfig
    malformed: str = ""  # why the spec cannot be read, if so; `spec` is empty then
    clusters: tuple[ClusterView, ...] = ()  # all that were made for it, by labels and owner
    services: tuple[Json, ...] = ()  # all Services that were
    head_service: Json | None = None
    serve_service: Json | None = None
    endpoints: int = 0  # pods behind the serve Service that are ready
    goes_at: Mapping[str, datetime] = field(default_factory=dict)  # UID of an unwanted cluster -> when; see Unwanted
    concern: str = ""  # what admission would refuse, and the reference runs
    fresh: str = ""  # five random characters, if a cluster's name is chosen

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The RayService's metadata."""
        metadata: Mapping[str, Any] = self.service["metadata"]
        return metadata

    @property
    def status(self) -> Mapping[str, Any]:
        """As stored, {} before the first write."""
        return self.service.get("status") or {}

    @property
    def manager(self) -> str | None:
        """spec.managedBy, also of a spec that cannot be read."""
        spec: Mapping[str, Any] = self.service.get("spec") or {}
        return spec.get("managedBy")

    @property
    def cluster_spec(self) -> Mapping[str, Any]:
        """spec.rayClusterConfig, the goal of its clusters."""
        return self.cluster_goal.spec

    def name_of(self, role: str) -> str:
        """The cluster's name that status holds: role "active" or "pending"."""
        return str((self.status.get(f"{role}ServiceStatus") or {}).get("rayClusterName") or "")

    def cluster(self, role: str) -> ClusterView | None:
        """The cluster itself, if it is there."""
        name = self.name_of(role)
        return next((one for one in self.clusters if one.name == name), None) if name else None

    @property
    def active(self) -> ClusterView | None:
        return self.cluster("active")

    @property
    def pending(self) -> ClusterView | None:
        return self.cluster("pending")

    @property
    def unnamed(self) -> tuple[ClusterView, ...]:
        """Clusters that are neither active nor pending."""
        named = {self.name_of("active"), self.name_of("pending")}
        return tuple(one for one in self.clusters if one.name not in named)

    def is_true(self, type_: RayServiceCondition) -> bool:
        """Does the stored condition hold?"""
        return self.condition_of(type_).get("status") == "True"

    def condition_of(self, type_: RayServiceCondition) -> Mapping[str, Any]:
        """The stored condition, {} without one."""
        return condition(self.status.get("conditions") or (), type_) or {}

    @property
    def selected(self) -> str:
        """The cluster that the serve Service selects; "" without one."""
        return selected_by(self.serve_service)

    @property
    def time_limit(self) -> timedelta | None:
        """How long it may take to become ready the first time."""
        return initializing_timeout(self.metadata.get("annotations") or {})

    @property
    def deletion_delay(self) -> timedelta:
        """How long a replaced cluster is kept."""
        seconds = self.spec.ray_cluster_deletion_delay_seconds
        return DELETION_DELAY if seconds is None else timedelta(seconds=seconds)


def selected_by(service: Json | None) -> str:
    """The cluster that a Service selects; "" without one."""
    selector = ((service or {}).get("spec") or {}).get("selector") or {}
    return str(selector.get(wire.LABEL_CLUSTER) or "")


def spec_of(service: Json) -> tuple[RayServiceSpec | None, str]:
    """The spec, and why it cannot be read: what was stored under another schema must not stop its deletion."""
    try:
        return RayServiceSpec.from_json(service.get("spec") or {}), ""
    except Malformed as error:
        return None, str(error)
