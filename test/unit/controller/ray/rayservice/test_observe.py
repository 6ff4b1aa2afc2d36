"""What one look takes in of heads, doors and endpoints (spec rayservice §10, §15.2)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from api.core import ENDPOINT_SLICES, PODS, SERVICES
from api.meta import Json, Ref, Resource
from api.v1 import wire
from controller.ray.dashboard.protocol import Known, Proxy, Target, Wants
from controller.ray.looking import Views
from controller.ray.options import Options
from controller.ray.rayservice.observe import observe
from controller.ray.rayservice.seen import ClusterView, PodView, Seen
from controller.runtime.cache.record import StoredRecord, Words, record_of
from localcluster.testing.rayservice_history import HEAD_TEMPLATE, rayservice

pytestmark = pytest.mark.looptime

KEY = Ref("RayService", "default", "web")
OWNERS = [{"kind": "RayService", "name": "web", "uid": "uid-web", "controller": True, "apiVersion": "ray.io/v1"}]
ORIGIN = {wire.LABEL_ORIGIN_NAME: "web", wire.LABEL_ORIGIN_KIND: "RayService"}


class Shelf:
    """A Reader over objects that lie there."""

    def __init__(self, *objects: tuple[Resource, Json]) -> None:
        self.records = [
            (resource, record_of(resource, json.dumps(body).encode(), Words())) for resource, body in objects
        ]

    def of(self, resource: Resource) -> Sequence[StoredRecord]:
        return [record for kind, record in self.records if kind == resource]

    async def get(self, resource: Resource, namespace: str, name: str) -> StoredRecord | None:
        found = (one for one in self.of(resource) if (one.ref.namespace, one.ref.name) == (namespace, name))
        return next(found, None)

    async def owned(self, resource: Resource, owner_uid: str) -> Sequence[StoredRecord]:
        return [one for one in self.of(resource) if any(owner["uid"] == owner_uid for owner in one.owners)]

    async def labelled(
        self, resource: Resource, namespace: str, label: str, value: str, *, owner_uid: str = ""
    ) -> Sequence[StoredRecord]:
        return [one for one in self.of(resource) if one.labels.get(label) == value]


class Silent:
    """Sessions that know nothing."""

    def want(self, key: Ref, *wants: Wants | None) -> None:
        raise AssertionError("a look wants nothing")

    def known(self, key: Ref, target: Target | None = None) -> Known:
        return Known()


class Told(Silent):
    """Sessions that know which run of which head they were asked about."""

    def known(self, key: Ref, target: Target | None = None) -> Known:
        return Known(mark=f"{key.name}, {target.cluster_uid}, {target.head_run}" if target else "whoever")


def an_object(kind: str, name: str, labels: Json, **more: Any) -> Json:
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": "1", "labels": labels}
    return {"kind": kind, "metadata": metadata | more.pop("metadata", {}), **more}


def a_cluster(name: str = "web-a", **metadata: Any) -> tuple[Resource, Json]:
    spec = {"headGroupSpec": {"template": HEAD_TEMPLATE}}
    body = an_object("RayCluster", name, ORIGIN, spec=spec, metadata={"ownerReferences": OWNERS} | metadata)
    return wire.RAY_CLUSTERS, body


def a_pod(name: str, node_type: str = "head", *, ready: bool = True, serve: str = "true", **more: Any) -> Any:
    labels = {wire.LABEL_CLUSTER: "web-a", wire.LABEL_NODE_TYPE: node_type, wire.LABEL_SERVE: serve}
    status = {
        "phase": "Running",
        "podIP": f"10.0.0.{len(name)}",
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
    }
    ports = more.pop("ports", [])
    return PODS, an_object(
        "Pod", name, labels, spec={"containers": [{"name": "ray", "ports": ports}]}, status=status, **more
    )


def a_head_service(*ports: Json) -> tuple[Resource, Json]:
    return SERVICES, an_object("Service", "web-a-head-svc", {}, spec={"ports": list(ports)})


def endpoints(service: str, *uids: str | None, ready: bool | None = True, name: str = "s") -> tuple[Resource, Json]:
    conditions = {} if ready is None else {"ready": ready}
    found = [{"conditions": conditions, **({"targetRef": {"uid": uid}} if uid is not None else {})} for uid in uids]
    return ENDPOINT_SLICES, an_object("EndpointSlice", name, {"kubernetes.io/service-name": service}, endpoints=found)


async def look(*objects: tuple[Resource, Json], options: Options | None = None, **spec: Any) -> Seen:
    shelf = Shelf((wire.RAY_SERVICES, rayservice(**spec)), *objects)
    seen = await observe(shelf, Silent(), KEY, options or Options(), "fresh", Views(PodView.of))
    assert seen is not None
    return seen


async def the_cluster(*objects: tuple[Resource, Json]) -> ClusterView:
    (found,) = (await look(a_cluster(), *objects)).clusters
    return found


async def test_a_service_that_is_gone_is_nothing() -> None:
    assert await observe(Shelf(), Silent(), KEY, Options(), "fresh", Views(PodView.of)) is None


@pytest.mark.spec("rayservice:E46")
async def test_each_ready_pod_behind_the_serve_service_counts_once() -> None:
    """Two address families are two slices; who is not known to be ready, or is no pod, does not count."""
    seen = await look(
        endpoints("web-serve-svc", "a", "b", name="v4"),
        endpoints("web-serve-svc", "a", "b", name="v6"),
        endpoints("web-serve-svc", "c", ready=False, name="not"),
        endpoints("web-serve-svc", "d", ready=None, name="unknown"),
        endpoints("web-serve-svc", None, "", name="nobody"),
        endpoints("other-serve-svc", "e", name="other"),
    )

    assert seen.endpoints == 2


@pytest.mark.spec("rayservice:E42")
async def test_endpoints_are_those_of_the_service_that_the_user_named() -> None:
    custom = {"metadata": {"name": "mine"}}
    service = SERVICES, an_object("Service", "mine", {}, spec={"selector": {wire.LABEL_CLUSTER: "web-a"}})

    seen = await look(
        endpoints("mine", "a"), endpoints("web-serve-svc", "b", "c", name="t"), service, serveService=custom
    )

    assert (seen.endpoints, seen.selected) == (1, "web-a")


@pytest.mark.spec("rayservice:E10")
async def test_of_two_heads_neither_counts_and_one_that_goes_is_not_there() -> None:
    going = {"deletionTimestamp": "2026-01-01T12:00:00Z"}

    assert (await the_cluster(a_pod("head"), a_pod("other"))).head is None
    kept = (await the_cluster(a_pod("head", metadata=going), a_pod("other"))).head
    assert kept is not None
    assert kept.name == "other"


async def test_a_head_tells_its_address_its_port_and_whether_it_is_ready() -> None:
    head = (await the_cluster(a_pod("head", ready=False, ports=[{"name": "serve", "containerPort": 9000}]))).head

    assert head is not None
    assert (head.door, head.ready, head.label) == (Proxy("uid-head", "http://10.0.0.4:9000"), False, "true")


@pytest.mark.spec("rayservice:E81")
@pytest.mark.parametrize(("phase", "ready"), [("Running", True), ("Pending", False), ("Failed", False)])
async def test_a_head_is_ready_only_while_it_runs_whatever_its_condition_says(phase: str, ready: bool) -> None:
    kind, head = a_pod("head")
    head["status"]["phase"] = phase

    found = (await the_cluster((kind, head))).head

    assert found is not None
    assert found.ready is ready


async def test_doors_are_the_ready_pods_that_the_serve_service_selects() -> None:
    cluster = await the_cluster(
        a_pod("head", serve="false"), a_pod("worker1", "worker"), a_pod("worker-2", "worker", ready=False)
    )

    assert [door.pod_uid for door in cluster.doors] == ["uid-worker1"]


@pytest.mark.spec("rayservice:E38")
async def test_a_proxy_is_where_the_pod_s_port_named_serve_is_else_at_8000() -> None:
    """Whatever the Serve configuration says: its http_options are not read."""
    named = [{"name": "serve", "containerPort": 9000}]

    cluster = await the_cluster(a_pod("head", ports=named), a_pod("worker1", "worker"))

    assert {door.url for door in cluster.doors} == {"http://10.0.0.4:9000", "http://10.0.0.7:8000"}


@pytest.mark.parametrize(
    ("probe", "ungated"),
    [
        (None, True),
        ({"tcpSocket": {"port": 8265}}, True),
        ({"httpGet": {"port": 8000, "path": "/-/healthz"}}, False),
        ({"exec": {"command": ["bash", "-c", "wget -q -O- http://localhost:8000/-/healthz | grep success"]}}, False),
    ],
)
async def test_a_worker_whose_readiness_does_not_ask_its_proxy_may_have_none(probe: Json | None, ungated: bool) -> None:
    kind, worker = a_pod("worker", "worker")
    if probe is not None:
        worker["spec"]["containers"][0]["readinessProbe"] = probe

    cluster = await the_cluster(a_pod("head"), (kind, worker))

    assert [door.pod_uid for door in cluster.ungated] == (["uid-worker"] if ungated else [])
    assert len(cluster.doors) == 2


@pytest.mark.spec("rayservice:E11")
async def test_without_a_port_named_dashboard_nobody_is_asked() -> None:
    """No failure of the whole pass, as it is in the reference."""
    ports: list[Json] = [{"name": "client", "port": 10001}]
    assert (await the_cluster(a_pod("head"), a_head_service(*ports))).target is None

    target = (await the_cluster(a_pod("head"), a_head_service(*ports, {"name": "dashboard", "port": 8266}))).target
    assert isinstance(target, Target)
    assert target.url == "http://web-a-head-svc.default.svc.cluster.local:8266"


async def test_what_is_known_is_what_was_asked_of_the_head_that_runs_now() -> None:
    """Its container may have begun anew since the last answer; and of whom nobody can ask nothing is known."""
    kind, head = a_pod("head")
    head["status"]["containerStatuses"] = [{"name": "ray", "restartCount": 3}]
    service = a_head_service({"name": "dashboard", "port": 8265})
    objects = ((wire.RAY_SERVICES, rayservice()), a_cluster())

    async def mark(*more: tuple[Resource, Json]) -> str:
        seen = await observe(Shelf(*objects, *more), Told(), KEY, Options(), "fresh", Views(PodView.of))
        assert seen is not None
        (found,) = seen.clusters
        return found.known.mark

    assert await mark((kind, head), service) == "web, uid-web-a, uid-head/3"
    assert await mark((kind, head)) == ""
    assert await mark(service) == ""


@pytest.mark.spec("rayservice:E57")
async def test_what_bears_its_labels_is_its_unless_it_is_another_s() -> None:
    """By UID: a cluster of a service of the same name that is gone is left to garbage collection. One that a user
    labelled so counts, as with the reference: what was restored without its owner is found again.
    """
    before = [OWNERS[0] | {"uid": "another"}]

    seen = await look(a_cluster(), a_cluster("web-b", ownerReferences=before), a_cluster("web-c", ownerReferences=[]))

    assert [one.name for one in seen.clusters] == ["web-a", "web-c"]
