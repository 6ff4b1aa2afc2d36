"""A RayService's life without a cluster: passes over a world of plain objects, for pure tests of its judgement.

Each pass observes the world, decides, carries the writes out on the world (or refuses those named in `refuse`), and
reports, as the controller does. Heads answer only in `talk`; time moves only when told.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

from api.core import PODS, SERVICES
from api.meta import Json, Ref, controller_of
from api.v1 import wire
from api.v1.rayservice import RayServiceSpec
from controller.ray.dashboard.protocol import (
    ApplicationInfo,
    EffectState,
    Known,
    Proxy,
    ProxyInfo,
    PutServe,
    ServeInfo,
    Target,
    Wants,
)
from controller.ray.dashboard.session import Session, Topic
from controller.ray.desired.goal import ClusterGoal
from controller.ray.options import Options
from controller.ray.rayservice.decide import Course, Decision, decide
from controller.ray.rayservice.seen import ClusterView, PodView, Seen, goal_of, spec_of
from controller.ray.rayservice.status import OWN_CONDITIONS, Report, report
from controller.ray.rayservice.upgrade import Unwanted
from controller.ray.rayservice.validation import complaint
from controller.runtime.diff import merged
from controller.runtime.errors import Forbidden
from controller.runtime.plan import Announcement, Create, Delete, MergePatch, Outcome, Verdict, Write, ref_of
from controller.runtime.publish import status_patch

__all__ = ["START", "FakeHead", "RayServiceHistory", "config", "incremental", "rayservice"]

START: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
AT_ONCE: Final = timedelta(0)
KEY: Final = Ref("RayService", "default", "web")
HEAD_TEMPLATE: Final[Json] = {"spec": {"containers": [{"name": "ray-head", "image": "rayproject/ray:2.52.0"}]}}


def config(*names: str, **more: Any) -> str:
    """A Serve configuration with applications of these names, each at a route of its name."""
    applications = [{"name": name, "route_prefix": f"/{name}", "import_path": "m:app"} for name in names]
    return json.dumps({"applications": applications, **more})


def rayservice(name: str = "web", *, annotations: Json | None = None, **spec: Any) -> Json:
    """A RayService as the API server stores it; `spec` by wire names."""
    defaults: Json = {
        "serveConfigV2": config("shop"),
        "rayClusterConfig": {"rayVersion": "2.52.0", "headGroupSpec": {"template": HEAD_TEMPLATE}},
    }
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "generation": 1,
            **({"annotations": annotations} if annotations else {}),
        },
        "spec": defaults | spec,
    }


def incremental(**more: Any) -> Json:
    """What of a spec makes its upgrades incremental, as rules demand it of who has the gate (V6 to V12)."""
    options = {"stepSizePercent": 25, "intervalSeconds": 10, "gatewayClassName": "istio"}
    return {
        "upgradeStrategy": {"type": "NewClusterWithIncrementalUpgrade", "clusterUpgradeOptions": options},
        "rayClusterConfig": {
            "rayVersion": "2.52.0",
            "enableInTreeAutoscaling": True,
            "headGroupSpec": {"template": HEAD_TEMPLATE},
        },
    } | more


@dataclass
class FakeHead:
    """One head, and the doors of its cluster."""

    pod: PodView
    applications: dict[str, str] = field(default_factory=dict)  # name -> status
    messages: dict[str, str] = field(default_factory=dict)
    deploys: str = "DEPLOYING"  # the state in which applications begin
    refusal: str = ""  # Serve says no
    down: str = ""  # nobody answers
    healthy: bool = True  # its own proxy
    workers: int = 0  # ready pods that take requests
    shut: bool = False  # the workers' proxies do not answer
    ungated: bool = False  # the workers are ready without regard to their proxies
    routes: frozenset[str] | None = None  # None: those of the configuration it has
    received: list[Json] = field(default_factory=list)

    @property
    def doors(self) -> tuple[Proxy, ...]:
        """Those through which the serve Service sends requests."""
        own = (self.pod.door,) if self.pod.label == "true" and self.pod.door is not None else ()
        return (*own, *(Proxy(f"{self.pod.uid}-w{n}", f"http://10.9.{n}.1:8000") for n in range(self.workers)))

    def put(self, body: str) -> tuple[EffectState, str]:
        """PUT /api/serve/applications/"""
        if self.down:
            return EffectState.FAILED, self.down
        if self.refusal:
            return EffectState.REFUSED, self.refusal
        self.received.append(json.loads(body))
        names = [one["name"] for one in self.received[-1].get("applications", ())]
        self.applications = dict.fromkeys(names, self.deploys)
        return EffectState.DONE, ""

    def info(self) -> ServeInfo:
        """GET of the same."""
        return ServeInfo(
            {name: ApplicationInfo(state, self.messages.get(name, "")) for name, state in self.applications.items()}
        )

    def door_says(self, door: Proxy) -> ProxyInfo:
        """A proxy's answer."""
        if not (self.healthy if door == self.pod.door else not self.shut):
            return ProxyInfo(False, problem="connection refused")
        applications = self.received[-1].get("applications", ()) if self.received else ()
        known = frozenset(str(one["route_prefix"]) for one in applications)
        return ProxyInfo(True, known if self.routes is None else self.routes)


class RayServiceHistory:
    """The world of one RayService; change its fields between passes."""

    def __init__(self, service: Json | None = None, options: Options | None = None) -> None:
        self.service, self.options, self.now = service or rayservice(), options or Options(), START
        self.clusters: dict[str, Json] = {}
        self.heads: dict[str, FakeHead] = {}  # by cluster
        self.services: dict[str, Json] = {}
        self.endpoints: int | None = None  # None: the doors of the cluster that the serve Service selects
        self.held: set[str] = set()  # clusters that a finalizer holds
        self.refuse: set[str] = set()
        self.crash_after: frozenset[str] = frozenset()  # the pass that writes one of these ends there, once
        self.writes: list[Write] = []
        self.events: list[Announcement] = []
        self.status_writes = 0
        self.sessions: dict[str, Session] = {}  # by cluster UID
        self.unwanted = Unwanted()
        self.fresh = (f"{number:05}" for number in count(1))
        self.error: Exception | None = None
        self.requeue_after: timedelta | None = None

    # What is seen

    @property
    def status(self) -> Mapping[str, Any]:
        """The stored status."""
        return self.service.get("status") or {}

    def name(self, role: str) -> str:
        """The cluster's name under "active" or "pending"."""
        return str((self.status.get(f"{role}ServiceStatus") or {}).get("rayClusterName") or "")

    @property
    def names(self) -> tuple[str, str]:
        """(active, pending)"""
        return self.name("active"), self.name("pending")

    def condition(self, type_: str) -> tuple[str, str]:
        """(status, reason), ("", "") without it."""
        found = self.whole_condition(type_)
        return found.get("status", ""), found.get("reason", "")

    def whole_condition(self, type_: str) -> Mapping[str, Any]:
        """As stored, {} without it."""
        return next((one for one in self.status.get("conditions", ()) if one["type"] == type_), {})

    @property
    def reasons(self) -> list[str]:
        """Of all events so far."""
        return [event.reason for event in self.events]

    def notes(self, reason: str) -> list[str]:
        """Of all events of that reason."""
        return [event.note for event in self.events if event.reason == reason]

    def selected(self, service: str = "web-serve-svc") -> str:
        """The cluster that the Service selects."""
        return str(self.services[service]["spec"]["selector"]["ray.io/cluster"]) if service in self.services else ""

    def wants(self, cluster: str) -> Wants | None:
        """All that is wanted of that cluster's head."""
        session = self.sessions.get(f"uid-{cluster}")
        return session.wants.get(KEY) if session is not None else None

    def see(self) -> Seen:
        """The world as observed now."""
        service = copy.deepcopy(self.service)
        spec, malformed = spec_of(service)
        custom = ((service["spec"].get("serveService") or {}).get("metadata") or {}).get("name")
        return Seen(
            service=service,
            spec=spec if spec is not None else RayServiceSpec.model_construct(),
            malformed=malformed,
            options=self.options,
            goal=goal_of(spec.serve_config_v2 if spec is not None else ""),
            cluster_goal=ClusterGoal(service["spec"].get("rayClusterConfig") or {}),
            clusters=tuple(self._view(name) for name in sorted(self.clusters)),
            services=tuple(copy.deepcopy(one) for one in self.services.values() if self._ours(one)),
            head_service=copy.deepcopy(self.services.get("web-head-svc")),
            serve_service=copy.deepcopy(self.services.get(custom or "web-serve-svc")),
            endpoints=self._endpoints(),
            fresh=next(self.fresh),
        )

    def _ours(self, child: Json) -> bool:
        owner = controller_of(child["metadata"])
        return owner is not None and owner["uid"] == self.service["metadata"]["uid"]

    def _view(self, name: str) -> ClusterView:
        cluster = copy.deepcopy(self.clusters[name])
        head = self.heads.get(name)
        if head is None:
            return ClusterView(cluster)
        uid = cluster["metadata"]["uid"]
        target = Target(uid, head.pod.uid, "default", f"http://{name}-head-svc:8265")
        session = self.sessions.get(uid)
        if session is not None and session.target.head_run != target.head_run:
            session = None
        return ClusterView(
            cluster,
            head=head.pod,
            target=target,
            doors=head.doors,
            ungated=frozenset(door for door in head.doors if head.ungated and door != head.pod.door),
            known=session.known(KEY) if session is not None else Known(),
            tells=self.options.gates.ray_cluster_status_conditions,
        )

    def _endpoints(self) -> int:
        if self.endpoints is not None:
            return self.endpoints
        head = self.heads.get(self.selected())
        return len(head.doors) if head is not None else 0

    # Passes

    def run(self, passes: int = 1) -> RayServiceHistory:
        """So many passes of the controller."""
        for _ in range(passes):
            self.run_on(self.see())
        return self

    def settle(self, most: int = 30) -> RayServiceHistory:
        """Passes and answers until nothing is written or learned any more, and no pass asks for another at once."""
        for _ in range(most):
            before = (len(self.writes), self.status_writes)
            self.run()
            if not self.talk() and before == (len(self.writes), self.status_writes) and self.requeue_after != AT_ONCE:
                return self
        raise AssertionError(f"still at work after {most} passes")

    def run_on(self, look: Seen) -> None:
        """One pass on this look, which may be older than the world."""
        seen = replace(look, goes_at=self.unwanted.noticed(look, self.now))
        decision = decide(seen, self.now, complaint(seen))
        self.error, self.requeue_after = None, decision.plan.result.requeue_after
        if decision.plan.record is not None:
            self._carry_out(decision.plan.record)
            return
        outcomes = self._apply(decision)
        if any(one.verdict is Verdict.DONE and one.write.why in self.crash_after for one in outcomes):
            self.crash_after = frozenset()
            self.restart()
            return
        if decision.course is not Course.REFUSED:
            self._want(decision.plan.wants or ())
        self._conclude(seen, report(seen, decision, outcomes, self.now))

    def _want(self, wants: Sequence[Wants]) -> None:
        now = {one.target.cluster_uid: one for one in wants}
        for uid in self.sessions.keys() - now.keys():
            del self.sessions[uid]
        for uid, one in now.items():
            session = self.sessions.get(uid)
            if session is None or session.target.head_run != one.target.head_run:
                session = self.sessions[uid] = Session(one.target)
            session.want(KEY, one)

    def _conclude(self, seen: Seen, told: Report) -> None:
        self.events += told.events
        self.error, self.requeue_after = told.result.error, told.result.requeue_after
        if told.status is not None:
            old = seen.status
            patch = status_patch(old, told.status, OWN_CONDITIONS, told.anew)
            self.service["status"] = merged(old, patch)
            self.status_writes += bool(patch)

    def _apply(self, decision: Decision) -> list[Outcome]:
        outcomes: list[Outcome] = []
        stopped = False
        for step in decision.plan.steps:
            done: list[Outcome] = []
            for lane in step.lanes:
                ended = stopped
                for write in lane:
                    done.append(Outcome(write, Verdict.SKIPPED) if ended else self._carry_out(write))
                    ended = ended or done[-1].verdict is Verdict.REFUSED
            stopped = stopped or not all(one.good for one in done)
            outcomes += done
        return outcomes

    def _carry_out(self, write: Write) -> Outcome:
        """One write, done to the world."""
        if str(write.why) in self.refuse:
            error = Forbidden("write", ref_of(write), code=403, message="exceeded quota")
            return Outcome(write, Verdict.REFUSED, error=error)
        self.writes.append(write)
        things = self.clusters if write.resource == wire.RAY_CLUSTERS else self.services
        match write:
            case Create(body=body):
                return self._create(write, things, body)
            case Delete(name=name):
                return self._delete(write, things, name)
            case MergePatch():
                return self._patch(write, things)

    def _create(self, write: Create, things: dict[str, Json], body: Json) -> Outcome:
        name = body["metadata"]["name"]
        if name in things:
            return Outcome(write, Verdict.ALREADY if self._ours(things[name]) else Verdict.FOREIGN, things[name])
        things[name] = copy.deepcopy(body)
        things[name]["metadata"] |= {"uid": f"uid-{name}", "resourceVersion": "1"}
        if write.resource == SERVICES and "clusterIP" not in body["spec"]:
            things[name]["spec"]["clusterIP"] = "10.0.0.7"
        return Outcome(write, Verdict.DONE, things[name])

    def _delete(self, write: Delete, things: dict[str, Json], name: str) -> Outcome:
        if name in self.held:
            things[name]["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"
        elif things.pop(name, None) is None:
            return Outcome(write, Verdict.ALREADY)
        elif things is self.clusters:
            self.heads.pop(name, None)
        return Outcome(write, Verdict.DONE)

    def _patch(self, write: MergePatch, things: dict[str, Json]) -> Outcome:
        if write.resource == wire.RAY_SERVICES:
            self.service = merged(self.service, write.body)
        elif write.resource == PODS:
            head = next(one for one in self.heads.values() if one.pod.name == write.name)
            head.pod = replace(head.pod, label=write.body["metadata"]["labels"]["ray.io/serve"])
        else:
            things[write.name] = merged(things[write.name], write.body)
        return Outcome(write, Verdict.DONE)

    # What others do to the world

    def later(self, **interval: float) -> RayServiceHistory:
        """Time passes."""
        self.now += timedelta(**interval)
        return self

    def restart(self) -> RayServiceHistory:
        """Another process takes over: what was only in memory is gone."""
        self.sessions, self.unwanted = {}, Unwanted()
        return self

    def edit(self, *, annotations: Json | None = None, **spec: Any) -> RayServiceHistory:
        """The user changes the spec."""
        metadata = self.service["metadata"]
        changed = {"annotations": annotations} if annotations is not None else {}
        self.service = {
            **self.service,
            "metadata": {**metadata, "generation": metadata["generation"] + 1, **changed},
            "spec": self.service["spec"] | spec,
        }
        return self

    def edit_cluster(self, **members: Any) -> RayServiceHistory:
        """The user changes spec.rayClusterConfig."""
        return self.edit(rayClusterConfig=self.service["spec"]["rayClusterConfig"] | members)

    def head_starts(self, cluster: str, *, label: str = "false", ip: str = "10.1.0.1", run: int = 1) -> FakeHead:
        """A head runs, is ready, and its dashboard answers. Of no applications: it has just begun."""
        pod = PodView(f"{cluster}-head", f"uid-{cluster}-head-{run}", ip, 8000, label, ready=True)
        self.heads[cluster] = FakeHead(pod)
        self.head_is(cluster, "True")
        return self.heads[cluster]

    def head_is(self, cluster: str, ready: str) -> RayServiceHistory:
        """What the RayCluster says of its head."""
        self.clusters[cluster]["status"] = {"conditions": [{"type": "HeadPodReady", "status": ready}]}
        return self

    def talk(self) -> bool:
        """Every session asks once about everything, then tries to have what is wanted; was there any news?"""
        return bool([session for session in list(self.sessions.values()) if self._turn(session)])

    def _turn(self, session: Session) -> bool:
        head = next((one for one in self.heads.values() if one.pod.uid == session.target.head_run), None)
        if head is None:
            return False
        news: set[Ref] = set()
        for door in session.wanted_proxies:
            news |= session.learn_proxy(door, head.door_says(door))
        for subject in session.subjects:
            asked_by = session.asking(subject)
            if head.down:
                news |= session.failed(subject, head.down, self.now, asked_by)
            elif subject is Topic.SERVE:
                news |= session.learn(subject, Known(serve=head.info(), asked_at=self.now), asked_by)
        for key, effect in session.open_effects():
            assert isinstance(effect, PutServe)
            state = head.put(effect.body)
            news |= {key} if session.effects.get((key, effect)) != state else set()
            session.effects[key, effect] = state
        return bool(news)

    def application_is(self, cluster: str, state: str, name: str = "shop", message: str = "") -> RayServiceHistory:
        """An application gets on, or does not."""
        self.heads[cluster].applications[name] = state
        self.heads[cluster].messages[name] = message
        return self

    def begun(self) -> str:
        """From nothing to a first cluster that is there; its name."""
        self.run(3)
        assert self.name("pending") in self.clusters, self.status
        return self.name("pending")

    def serving(self, *, workers: int = 1) -> str:
        """From nothing to a service that takes requests; the name of its cluster."""
        name = self.begun()
        self.serves(name, workers=workers)
        assert self.names == (name, ""), self.status
        return name

    def serves(self, cluster: str, *, workers: int = 1) -> RayServiceHistory:
        """The cluster comes up, its applications run, and all that follows from that happens."""
        head = self.head_starts(cluster)
        head.deploys, head.workers = "RUNNING", workers
        return self.settle()

    def replaced(self, **members: Any) -> tuple[str, str]:
        """A change of the cluster's spec, up to a new cluster that is there: (old, new)."""
        self.edit_cluster(**(members or {"rayVersion": "2.53.0"}))
        self.run(2)
        active, pending = self.names
        assert pending in self.clusters, self.status
        return active, pending
