"""What the null client of `scale` is to do: the operator's own bodies, for any cluster's name and UID.

Service and pods are as the operator decides them for a new RayCluster; the two statuses and the events are as it was
seen to write them for one that it made.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

from api.core import EVENTS, PODS
from api.meta import Json, Resource
from api.v1.raycluster import RayCluster
from api.v1.wire import RAY_CLUSTERS
from benchmarks.null_client import NAME, UID, Request, Script
from controller.ray.options import Options
from controller.ray.raycluster.controller import WATCHED
from controller.ray.raycluster.decide import decide
from controller.ray.raycluster.seen import Fresh, Seen
from controller.runtime.cache.informer import Watched
from controller.runtime.diff import merge_patch
from controller.runtime.plan import Create
from localcluster.testing.factories import a_raycluster
from localcluster.testing.wire import Wire

__all__ = ["script_of"]

PATTERN = "the0pattern"  # a cluster whose name stands in no other word
EVENT_SECONDS = 5.0  # longer than the operator holds an event back
SERVERS = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation")


@dataclass(frozen=True, slots=True)
class _Template:
    """Turns what was written for one cluster in one namespace into what may be for any in another."""

    uid: str
    seen_in: str
    place: str

    def request(
        self, method: str, resource: Resource, body: Json, name: str = "", below: str = "", content: str = "json"
    ) -> Request:
        text = json.dumps(body, separators=(",", ":")).replace(self.uid, UID).replace(PATTERN, NAME)
        text = text.replace(f'"{self.seen_in}"', f'"{self.place}"')
        path = resource.path(self.place, name or None, below or None).replace(PATTERN, NAME)
        return Request(method, path, text, f"application/{content}")


async def script_of(wire: Wire, workers: int, place: str) -> Script:
    """Have the operator that works in the wire's namespace make one cluster, and take what it wrote, for `place`.

    Its pods must come up. The cluster is deleted, and gone with its pods, when this returns.
    """
    async with wire.watch(RAY_CLUSTERS.path(wire.namespace)) as events:
        body = a_raycluster(PATTERN, workers=workers, namespace=wire.namespace)
        made = (await wire.post(RAY_CLUSTERS.path(wire.namespace), body)).ok(201)
        statuses: list[Json] = []
        while not statuses or statuses[-1].get("state") != "ready":
            _, seen = await events.next()
            statuses += [seen["status"]] if seen.get("status") else []
    await asyncio.sleep(EVENT_SECONDS)
    template = _Template(made["metadata"]["uid"], wire.namespace, place)
    script = Script(
        watched=[(one.resource.path(place), one.label_selector) for one in sorted(WATCHED, key=_clusters_then_pods)],
        first=[*_creates(made, template), [_status(template, {}, statuses[0])]],
        beside=[_event(template, one) for one in (await wire.get(EVENTS.path(wire.namespace))).ok()["items"]],
        ready=[_status(template, statuses[0], statuses[-1])],
        pods=1 + workers,
    )
    await _deleted(wire, made)
    return script


def _clusters_then_pods(watched: Watched) -> int:
    order: Sequence[Resource] = (RAY_CLUSTERS, PODS)
    return order.index(watched.resource) if watched.resource in order else len(order)


def _creates(made: Json, template: _Template) -> list[list[Request]]:
    """Step by step, as decided for a cluster that has nothing yet."""
    seen = Seen(object=made, cluster=RayCluster.from_json(made))
    plan = decide(seen, Options(), Fresh("", ""))
    steps = [[write for lane in step.lanes for write in lane if isinstance(write, Create)] for step in plan.steps]
    return [[template.request("POST", one.resource, one.body) for one in step] for step in steps]


def _status(template: _Template, old: Json, new: Json) -> Request:
    patch = {"metadata": {"uid": template.uid}, "status": merge_patch(old, new)}
    return template.request("PATCH", RAY_CLUSTERS, patch, PATTERN, "status", "merge-patch+json")


def _event(template: _Template, event: Json) -> Request:
    metadata = {key: value for key, value in event["metadata"].items() if key not in SERVERS}
    told = {key: value for key, value in event.items() if not key.startswith("deprecated")}
    return template.request("POST", EVENTS, told | {"metadata": metadata})


async def _deleted(wire: Wire, made: Json) -> None:
    labelled = f"ray.io/cluster={PATTERN}"
    pods = (await wire.get(PODS.path(wire.namespace), labelSelector=labelled)).ok()["items"]
    (await wire.delete(RAY_CLUSTERS.path(wire.namespace, made["metadata"]["name"]))).ok()
    for pod in pods:
        await wire.gone(PODS.path(wire.namespace, pod["metadata"]["name"]))
