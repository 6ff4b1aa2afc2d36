"""Endpoints and EndpointSlices: which addresses stand behind a Service, and which of them are ready.

`behind`, `subsets` and `slices` are pure; the controller writes what they say whenever a Service or a pod changes.
Slices get names derived from the Service, so that a stale view cannot make a second set of them.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from localcluster.api import Api, Json, Refusal
from localcluster.mirror import Key, Mirrors, key_of
from localcluster.worklist import Worklist

__all__ = ["Behind", "EndpointsController", "behind", "slices", "subsets"]

MOST_PER_SLICE = 100
SLICES = "endpointslices.discovery.k8s.io"
SERVICE_NAME, MANAGED_BY = "kubernetes.io/service-name", "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
HEADLESS = "service.kubernetes.io/headless"

Ports: TypeAlias = tuple[tuple[str, int, str], ...]  # name, number, protocol


@dataclass(frozen=True, slots=True)
class Behind:
    """One pod behind a Service."""

    ip: str
    pod: Json
    ports: Ports
    serving: bool  # its Ready condition
    terminating: bool
    hostname: str = ""


def behind(service: Json, pods: Iterable[Json]) -> list[Behind]:
    """The pods that a Service selects and that have an address, by name. None for a Service without a selector."""
    spec, namespace = service["spec"], service["metadata"]["namespace"]
    selector = spec.get("selector")
    if not selector:
        return []
    found = []
    for pod in pods:
        status = pod.get("status") or {}
        if (
            pod["metadata"]["namespace"] != namespace
            or not _selects(selector, pod)
            or not status.get("podIP")
            or status.get("phase") in ("Succeeded", "Failed")
        ):
            continue
        own = pod["spec"].get("hostname", "")
        in_its_domain = pod["spec"].get("subdomain") == service["metadata"]["name"]
        found.append(
            Behind(
                ip=status["podIP"],
                pod=pod,
                ports=_ports(spec.get("ports") or (), pod),
                serving=any(
                    one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or ()
                ),
                terminating=bool(pod["metadata"].get("deletionTimestamp")),
                hostname=own if in_its_domain else "",
            )
        )
    return sorted(found, key=lambda one: str(one.pod["metadata"]["name"]))


def _selects(selector: Mapping[str, str], pod: Json) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in selector.items())


def _ports(ports: Iterable[Json], pod: Json) -> Ports:
    """The Service's ports as this pod has them; a named one that the pod does not have is left out."""
    found = []
    for port in ports:
        target: int | str = port.get("targetPort") or port["port"]
        number = target if isinstance(target, int) else _named_port(pod, target, port.get("protocol", "TCP"))
        if number:
            found.append((port.get("name", ""), number, port.get("protocol", "TCP")))
    return tuple(found)


def _named_port(pod: Json, name: str, protocol: str) -> int:
    if name.isdigit():
        return int(name)
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            if port.get("name") == name and port.get("protocol", "TCP") == protocol:
                return int(port["containerPort"])
    return 0


def _reference(pod: Json) -> Json:
    metadata = pod["metadata"]
    return {"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}


def subsets(service: Json, found: Sequence[Behind]) -> list[Json]:
    """`subsets` of the Endpoints: one for each set of ports; pods that go are only told to those who want unready."""
    all_ready = bool(service["spec"].get("publishNotReadyAddresses"))
    by_ports: dict[Ports, dict[str, list[Json]]] = defaultdict(lambda: defaultdict(list))
    for one in found:
        if one.terminating and not all_ready:
            continue
        if not one.ports and service["spec"].get("ports"):
            continue
        address: Json = {"ip": one.ip, "targetRef": _reference(one.pod)}
        if one.pod["spec"].get("nodeName"):
            address["nodeName"] = one.pod["spec"]["nodeName"]
        if one.hostname:
            address["hostname"] = one.hostname
        where = "addresses" if all_ready or one.serving else "notReadyAddresses"
        by_ports[one.ports][where].append(address)
    told = []
    for ports, addresses in sorted(by_ports.items()):
        subset: Json = dict(addresses)
        if ports:
            subset["ports"] = [
                ({"name": name} if name else {}) | {"port": number, "protocol": protocol}
                for name, number, protocol in ports
            ]
        told.append(subset)
    return told


def slices(service: Json, found: Sequence[Behind]) -> list[Json]:
    """The EndpointSlices of a Service, whole, at most a hundred endpoints each; an empty one if there are none."""
    all_ready = bool(service["spec"].get("publishNotReadyAddresses"))
    by_ports: dict[Ports, list[Json]] = defaultdict(list)
    for one in found:
        by_ports[one.ports].append(_endpoint(one, all_ready=all_ready))
    if not by_ports:
        by_ports[()] = []
    made: list[Json] = []
    for ports, endpoints in sorted(by_ports.items()):
        for start in range(0, max(1, len(endpoints)), MOST_PER_SLICE):
            made.append(_slice(service, len(made), ports, endpoints[start : start + MOST_PER_SLICE]))
    return made


def _endpoint(one: Behind, *, all_ready: bool) -> Json:
    endpoint: Json = {
        "addresses": [one.ip],
        "conditions": {
            "ready": all_ready or (one.serving and not one.terminating),
            "serving": one.serving,
            "terminating": one.terminating,
        },
        "targetRef": _reference(one.pod),
    }
    if one.pod["spec"].get("nodeName"):
        endpoint["nodeName"] = one.pod["spec"]["nodeName"]
    if one.hostname:
        endpoint["hostname"] = one.hostname
    return endpoint


def _slice(service: Json, number: int, ports: Ports, endpoints: list[Json]) -> Json:
    metadata = service["metadata"]
    owner = {
        "apiVersion": "v1",
        "kind": "Service",
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": _slice_name(service, number),
            "namespace": metadata["namespace"],
            "labels": {**_labels(service), SERVICE_NAME: metadata["name"], MANAGED_BY: MANAGER},
            "ownerReferences": [owner],
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": name, "port": port, "protocol": protocol} for name, port, protocol in ports],
    }


def _slice_name(service: Json, number: int) -> str:
    metadata = service["metadata"]
    digest = hashlib.sha256(f"{metadata['uid']}/{number}".encode()).hexdigest()[:5]
    return f"{metadata['name']}-{digest}"


def _labels(service: Json) -> dict[str, str]:
    headless = {HEADLESS: ""} if service["spec"].get("clusterIP") == "None" else {}
    return {**(service["metadata"].get("labels") or {}), **headless}


class EndpointsController:
    """Keeps Endpoints and EndpointSlices of all Services with a selector."""

    def __init__(self, api: Api, mirrors: Mirrors) -> None:
        self._api, self._mirrors = api, mirrors
        self._work: Worklist[Key] = Worklist(self._look)
        self._services: dict[str, dict[str, Json]] = defaultdict(dict)
        self._pods: dict[str, dict[str, Json]] = defaultdict(dict)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._mirrors.synced("pods", "services", "endpoints", SLICES)
        self._mirrors.of("services").subscribe(self._service_changed)
        self._mirrors.of("pods").subscribe(self._pod_changed)
        await self._work.run()

    def _service_changed(self, old: Json | None, new: Json | None) -> None:
        namespace, name = key_of(new or old or {})
        if new is None:
            self._services[namespace].pop(name, None)
        else:
            self._services[namespace][name] = new
        self._work.add((namespace, name))

    def _pod_changed(self, old: Json | None, new: Json | None) -> None:
        namespace, name = key_of(new or old or {})
        if new is None:
            self._pods[namespace].pop(name, None)
        else:
            self._pods[namespace][name] = new
        if old is not None and new is not None and _matters(old) == _matters(new):
            return
        for service in self._services[namespace].values():
            selector = service["spec"].get("selector")
            if selector and any(pod is not None and _selects(selector, pod) for pod in (old, new)):
                self._work.add((namespace, service["metadata"]["name"]))

    async def _look(self, key: Key) -> float | None:
        namespace, name = key
        service = self._services[namespace].get(name)
        if service is None:
            if self._mirrors.of("endpoints").objects.get(key) is not None:
                await self._remove("endpoints", namespace, name)
            return None
        if not service["spec"].get("selector") or service["metadata"].get("deletionTimestamp"):
            return None
        found = behind(service, self._pods[namespace].values())
        await self._tell_endpoints(service, subsets(service, found))
        await self._tell_slices(service, slices(service, found))
        return None

    async def _tell_endpoints(self, service: Json, wanted: list[Json]) -> None:
        namespace, name = key_of(service)
        labels = {**_labels(service), "endpoints.kubernetes.io/managed-by": "endpoint-controller"}
        body = {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "subsets": wanted,
        }
        old = self._mirrors.of("endpoints").objects.get((namespace, name))
        await self._write("endpoints", old, body, ("subsets",))

    async def _tell_slices(self, service: Json, wanted: list[Json]) -> None:
        namespace = service["metadata"]["namespace"]
        there = self._mirrors.of(SLICES)
        for body in wanted:
            await self._write(SLICES, there.get(namespace, body["metadata"]["name"]), body, ("endpoints", "ports"))
        number = len(wanted)
        while there.get(namespace, _slice_name(service, number)) is not None:
            await self._remove(SLICES, namespace, _slice_name(service, number))
            number += 1

    async def _write(self, resource: str, old: Json | None, body: Json, members: Sequence[str]) -> None:
        namespace, name = key_of(body)
        if old is None:
            try:
                await self._api.create(resource, namespace, body)
            except Refusal as refusal:
                if refusal.code == 409:  # the mirror is behind: it was made before
                    old = {"metadata": {}}
                elif refusal.code in (403, 404):  # the namespace is going
                    return
                else:
                    raise
            else:
                return
        change: Json = {member: body[member] for member in members if (old.get(member) or []) != body[member]}
        labels = body["metadata"]["labels"]
        if (old["metadata"].get("labels") or {}) != labels:
            gone = {key: None for key in old["metadata"].get("labels") or {} if key not in labels}
            change["metadata"] = {"labels": {**gone, **labels}}
        if change:
            await self._api.patch(resource, namespace, name, change)

    async def _remove(self, resource: str, namespace: str, name: str) -> None:
        try:
            await self._api.delete(resource, namespace, name)
        except Refusal as refusal:
            if refusal.code != 404:
                raise


def _matters(pod: Json) -> tuple[Any, ...]:
    """What of a pod its Services show."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    ready = [one["status"] for one in status.get("conditions") or () if one["type"] == "Ready"]
    phase = status.get("phase") in ("Succeeded", "Failed")
    return metadata.get("labels"), metadata.get("deletionTimestamp"), status.get("podIP"), ready, phase
