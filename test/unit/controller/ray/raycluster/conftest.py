"""Clusters and pods as they are seen, and a small pure world in which plans come true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.core import PODS
from api.meta import Json, Ref
from api.v1 import wire
from api.v1.raycluster import RayCluster
from controller.ray.options import Options
from controller.ray.raycluster.decide import REPORTED, decide, kept_ticket
from controller.ray.raycluster.seen import Fresh, Memory, PodView, Rights, Seen
from controller.ray.raycluster.status import Report, report
from controller.runtime.errors import Forbidden
from controller.runtime.plan import Create, Delete, MergePatch, Outcome, Plan, Verdict, ref_of

START = datetime(2026, 1, 1, tzinfo=UTC)
UID = "8f2a"
QUOTA = 'pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0'


def template(**more: Any) -> Json:
    return {"spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.52.0"}], **more}}


def body(
    *groups: Json,
    name: str = "r",
    annotations: Json | None = None,
    labels: Json | None = None,
    status: Json | None = None,
    metadata: Json | None = None,
    head: Json | None = None,
    **spec: Any,
) -> Json:
    """A RayCluster on the wire, with the API server's defaults."""
    found: Json = {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": UID,
            "resourceVersion": "7",
            "generation": 1,
            "annotations": annotations or {},
            "labels": labels or {},
            **(metadata or {}),
        },
        "spec": {
            "headGroupSpec": {"template": template(), **(head or {})},
            "workerGroupSpecs": [
                {"minReplicas": 0, "maxReplicas": 100, "numOfHosts": 1, "template": template(), **group}
                for group in groups
            ],
            **spec,
        },
    }
    if status is not None:
        found["status"] = status
    return found


def group(replicas: int = 1, name: str = "g", **more: Any) -> Json:
    return {"groupName": name, "replicas": replicas, **more}


SERVICE: Json = {
    "metadata": {"name": "r-head-svc", "namespace": "ns"},
    "spec": {"clusterIP": "None", "ports": [{"name": "dashboard", "port": 8265, "targetPort": 8265}]},
}


def seen(
    cluster: Json,
    *pods: PodView,
    services: Sequence[Json] = (SERVICE,),
    **more: Any,
) -> Seen:
    return Seen(object=cluster, cluster=RayCluster.from_json(cluster), pods=pods, head_services=tuple(services), **more)


def pod_json(
    name: str,
    *,
    group: str = "g",
    index: int | None = None,
    ticket: str | None = None,
    phase: str = "Running",
    ready: bool | None = True,
    deleting: bool = False,
    policy: str = "Always",
    terminated: Json | None = None,
    labels: Json | None = None,
) -> Json:
    """A pod on the wire: made by us with a ticket, by KubeRay without one."""
    head = group == wire.HEAD_GROUP
    place = "ray.io/head/0" if head else f"{group}/{index}"
    mine = {} if ticket is None else {wire.ANNOTATION_SLOT: place, wire.ANNOTATION_SLOT_TICKET: ticket}
    indexed = {} if index is None or head else {wire.LABEL_REPLICA_INDEX: str(index)}
    state: Json = {"terminated": terminated} if terminated is not None else {"running": {}}
    conditions = [] if ready is None else [{"type": "Ready", "status": "True" if ready else "False"}]
    return {
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": f"uid-{name}",
            "labels": {
                wire.LABEL_CLUSTER: "r",
                wire.LABEL_NODE_TYPE: wire.HEAD if head else wire.WORKER,
                wire.LABEL_GROUP: group,
                **indexed,
                **(labels or {}),
            },
            "annotations": mine,
            **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleting else {}),
        },
        "spec": {"restartPolicy": policy, "containers": [{"name": "ray"}, {"name": "side"}]},
        "status": {
            "phase": phase,
            "podIP": "10.0.0.1",
            "conditions": conditions,
            "containerStatuses": [{"name": "side", "state": {"running": {}}}, {"name": "ray", "state": state}],
        },
    }


def pod(name: str, **more: Any) -> PodView:
    return PodView.of(pod_json(name, **more))


def head_pod(name: str = "r-head-zzzzz", **more: Any) -> PodView:
    return pod(name, group=wire.HEAD_GROUP, **more)


FRESH = Fresh(ticket="fresh", token="token")


def plan_of(look: Seen, options: Options | None = None) -> Plan:
    return decide(look, options or Options(), FRESH)


@dataclass
class World:
    """A RayCluster, its pods, and an API server that does as it is told or refuses. Pure: no time passes by itself."""

    cluster: Json
    pods: dict[str, Json] = field(default_factory=dict)
    services: list[Json] = field(default_factory=list)
    options: Options = field(default_factory=Options)
    refuse: Callable[[Any], bool] = lambda write: False
    now: datetime = START
    writes: list[Any] = field(default_factory=list)
    status_writes: int = 0
    records: int = 0
    events: list[Any] = field(default_factory=list)
    graceful: bool = True  # deleted pods stay until `vanish`
    born: list[str] = field(default_factory=list)
    tickets: int = 0
    memory: Memory = field(default_factory=Memory)
    rights: Rights = field(default_factory=Rights)

    def look(self) -> Seen:
        by_name = {service["metadata"]["name"]: service for service in self.services}
        return seen(
            self.cluster,
            *map(PodView.of, self.pods.values()),
            services=[service for name, service in by_name.items() if name.endswith("-head-svc")],
            headless_service=by_name.get("r-headless"),
            rights=self.rights,
        )

    def step(self, look: Seen | None = None) -> Report | Plan:
        """One pass of the controller, on a view that may be an older one."""
        view = self.memory.recall(look or self.look())
        self.memory = Memory.after(view)
        self.tickets += 1
        plan = decide(view, self.options, Fresh(f"t{self.tickets}", "token"))
        if plan.notes.get(REPORTED):
            self.memory = self.memory.accepting(view)
        if plan.record is not None:
            self.keep(plan.record)
            return plan
        outcomes = self.apply(plan)
        said = report(view, plan, outcomes, self.now, self.options)
        self.events += said.events
        if said.status is not None:
            pinned = kept_ticket(view, outcomes)
            if pinned is not None:
                self.keep(pinned)
            self.cluster = self.cluster | {"status": said.status}
            self.status_writes += 1
        return said

    def keep(self, patch: MergePatch) -> None:
        annotations = patch.body["metadata"]["annotations"]
        self.cluster["metadata"]["annotations"] = self.cluster["metadata"]["annotations"] | annotations
        self.records += 1

    def settle(self, most: int = 10) -> int:
        """Passes until one writes nothing; how many that took."""
        for count in range(most):
            before = (len(self.writes), self.status_writes, self.records)
            self.step()
            if (len(self.writes), self.status_writes, self.records) == before:
                return count
        raise AssertionError(f"still writing after {most} passes")

    def apply(self, plan: Plan) -> list[Outcome]:
        outcomes: list[Outcome] = []
        stopped = False
        for step in plan.steps:
            done = [outcome for lane in step.lanes for outcome in self.lane(lane, stopped=stopped)]
            stopped = stopped or not all(one.good for one in done)
            outcomes += done
        return outcomes

    def lane(self, lane: Sequence[Any], *, stopped: bool) -> list[Outcome]:
        done: list[Outcome] = []
        for write in lane:
            if stopped or any(one.verdict is Verdict.REFUSED for one in done):
                done.append(Outcome(write, Verdict.SKIPPED))
                continue
            self.writes.append(write)
            done.append(self.one(write))
        return done

    def one(self, write: Any) -> Outcome:
        ref: Ref = ref_of(write)
        if self.refuse(write):
            return Outcome(write, Verdict.REFUSED, error=Forbidden("create", ref, code=403, message=QUOTA))
        if isinstance(write, Create) and write.resource == PODS:
            if ref.name in self.pods:
                return Outcome(write, Verdict.ALREADY, self.pods[ref.name])
            made = write.body | {"status": {"phase": "Pending"}}
            made["metadata"] = made["metadata"] | {"uid": f"uid-{ref.name}"}
            self.pods[ref.name] = made
            self.born.append(ref.name)
            return Outcome(write, Verdict.DONE, made)
        if isinstance(write, Create):
            if write.resource.plural == "services":
                self.services.append(write.body)
            if write.resource.plural == "rolebindings":  # the last of the three
                self.rights = Rights(service_account=True, role=True, role_binding=True)
            return Outcome(write, Verdict.DONE, write.body)
        if isinstance(write, Delete):
            found = self.pods.get(write.name)
            if found is None:
                return Outcome(write, Verdict.ALREADY)
            if not self.graceful:
                del self.pods[write.name]
                return Outcome(write, Verdict.DONE)
            found["metadata"] = found["metadata"] | {"deletionTimestamp": "2026-01-01T00:00:00Z"}
            return Outcome(write, Verdict.DONE, found)
        return Outcome(write, Verdict.DONE)

    # What kubelets and users do

    def run(self, *names: str) -> None:
        """These pods, or all that do not terminate, run and are ready."""
        for name, one in self.pods.items():
            if (not names or name in names) and "deletionTimestamp" not in one["metadata"]:
                one["status"] = {
                    "phase": "Running",
                    "podIP": "10.0.0.9",
                    "conditions": [{"type": "Ready", "status": "True"}],
                }

    def vanish(self, *names: str) -> None:
        """These pods, or all that terminate, are gone."""
        gone = names or [name for name, one in self.pods.items() if "deletionTimestamp" in one["metadata"]]
        for name in gone:
            del self.pods[name]

    def change(self, **spec: Any) -> None:
        self.cluster = self.cluster | {"spec": self.cluster["spec"] | spec}
        self.cluster["metadata"] = self.cluster["metadata"] | {"generation": self.cluster["metadata"]["generation"] + 1}

    def scale(self, replicas: int, **more: Any) -> None:
        self.change(workerGroupSpecs=[self.cluster["spec"]["workerGroupSpecs"][0] | {"replicas": replicas, **more}])

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def condition(self, type_: str) -> str:
        found = [one for one in self.cluster.get("status", {}).get("conditions", ()) if one["type"] == type_]
        return found[0]["status"] if found else ""

    @property
    def workers(self) -> list[str]:
        return sorted(name for name in self.pods if "-worker-" in name)


@dataclass(frozen=True)
class Kit:
    """The factories, under one name."""

    body = staticmethod(body)
    group = staticmethod(group)
    template = staticmethod(template)
    seen = staticmethod(seen)
    pod = staticmethod(pod)
    pod_json = staticmethod(pod_json)
    head = staticmethod(head_pod)
    plan = staticmethod(plan_of)
    world = World
    replace = staticmethod(replace)
    service = SERVICE
    start = START
    quota = QUOTA


@pytest.fixture
def a() -> type[Kit]:
    return Kit
