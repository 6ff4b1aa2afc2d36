"""`a_cluster()`: a whole cluster in one loop, for stories in virtual time.

API server over HTTP on a Unix socket, controllers, a scripted node, the operator and Ray's dashboards: all in the loop
of the test, so that time jumps when everybody waits. Open it in the story's own body, never in a fixture: only there
is the clock virtual.

    async with a_cluster() as cluster:
        cluster.node.hold("train-*")
        await cluster.create(a_rayjob("train", active_deadline_seconds=300))
        job = await cluster.until("RayJob", "train", phase="Failed")
        assert job.status.reason == "DeadlineExceeded"
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeAlias

from api.crds.installed import custom_resource_definitions
from controller.runtime.cache.caches import CacheNotSynced
from controller.runtime.client.transport import connected
from controller.runtime.clock import LoopClock
from controller.runtime.manager import Kit
from controller.settings import Settings
from localcluster.api import Refusal, WatchExpired
from localcluster.apiserver.http import serving
from localcluster.apiserver.local import LocalApi
from localcluster.apiserver.server import ApiServer
from localcluster.apiserver.store import Change, Store
from localcluster.controllers.garbage import DEFINITIONS
from localcluster.controllers.manager import controlling, mirroring
from localcluster.controllers.nodes import NodeController
from localcluster.faults import Asked, Faults, FaultyFace, FaultyServer
from localcluster.mirror import Key, Mirrors, key_of
from localcluster.node.kubelet import Kubelet, NodeSettings
from localcluster.node.scripted import Scripted
from localcluster.testing.alone import alone
from localcluster.testing.dashboard import Dashboards
from localcluster.testing.factories import camel
from localcluster.testing.mortal import Incarnation, MortalRay, MortalTransport
from localcluster.testing.view import View

__all__ = ["OPERATOR", "START", "Cluster", "a_cluster"]

Json: TypeAlias = dict[str, Any]

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
OPERATOR = "kuberay-operator*"  # its User-Agent
PATIENCE = 3600.0  # virtual seconds that `until` waits
ROOMY = {
    "cpu": "1000000",
    "memory": "4Pi",
    "ephemeral-storage": "4Pi",
    "pods": "1000000",
    "nvidia.com/gpu": "1000",
}
_PHASES = {"RayJob": "jobDeploymentStatus", "RayCluster": "state"}


class Cluster:
    """What a story sees. Made by `a_cluster`."""

    def __init__(
        self,
        *,
        clock: LoopClock,
        socket: Path,
        server: FaultyServer,
        mirrors: Mirrors,
        faults: Faults,
        node: Scripted,
        kubelet: Kubelet,
        nodes: NodeController,
        group: asyncio.TaskGroup,
        settings: Settings,
        seed: int,
        restart_after: float | None,
    ) -> None:
        self.clock, self.socket, self.server, self.faults = clock, socket, server, faults
        self.node, self.kubelet = node, kubelet
        self.api = LocalApi(server, field_manager="story")
        self.dashboards = Dashboards(now=clock.now, find_head=self._find_head, find_node=self._find_node)
        self.crashes = 0
        self.died_at = timedelta(days=-1)  # when the operator crashed last, in terms of `elapsed`
        self._nodes = nodes
        self._mirrors, self._group, self._settings = mirrors, group, settings
        self._seed, self._restart_after = seed, restart_after
        self._began = clock.monotonic()
        self._heads: dict[Key, Json] = {}
        self._nodes_by_address: dict[str, tuple[str, str]] = {}  # a Ray pod's IP -> its namespace and cluster
        self._operator: Incarnation | None = None
        self._restarting: asyncio.Task[None] | None = None
        self._incarnations: list[Incarnation] = []
        self._kinds: dict[str, str] = {}
        mirrors.of("services")
        mirrors.of("pods").subscribe(self._pod_changed)
        faults.crashed = self._crashed
        node.script("*", container="ray-job-submitter", life=self.dashboards.submitter)

    # Objects -------------------------------------------------------------------------------------------------------

    async def create(self, body: Mapping[str, Any]) -> View:
        """Create the object. Raises Refusal."""
        resource, namespace = await self._resource(body["kind"]), body["metadata"].get("namespace", "")
        return View(await self.api.create(resource, namespace, dict(body)))

    async def get(self, kind: str, name: str, namespace: str = "default") -> View:
        """The object as it is. Raises Refusal 404."""
        resource = await self._resource(kind)
        return View(await self.api.get(resource, await self._scope(kind, namespace), name))

    async def find(self, kind: str, name: str, namespace: str = "default") -> View | None:
        """The object, or None."""
        try:
            return await self.get(kind, name, namespace)
        except Refusal as refusal:
            if refusal.code == 404:
                return None
            raise

    async def all_of(self, kind: str, namespace: str = "default", *, labels: str = "") -> list[View]:
        """All objects of a kind, by name. `labels` is a selector."""
        resource = await self._resource(kind)
        found = await self.api.list(resource, await self._scope(kind, namespace), labels=labels)
        return sorted((View(item) for item in found.items), key=lambda one: one.name)

    async def pods(self, cluster: str, namespace: str = "default", *, node_type: str = "") -> list[View]:
        """The pods of a RayCluster."""
        more = f",ray.io/node-type={node_type}" if node_type else ""
        return await self.all_of("Pod", namespace, labels=f"ray.io/cluster={cluster}{more}")

    async def patch(
        self, kind: str, name: str, body: Json, namespace: str = "default", *, subresource: str = ""
    ) -> View:
        """A JSON merge patch. Raises Refusal."""
        resource = await self._resource(kind)
        scope = await self._scope(kind, namespace)
        return View(await self.api.patch(resource, scope, name, body, subresource=subresource))

    async def edit(self, kind: str, name: str, change: Callable[[Json], None], namespace: str = "default") -> View:
        """Read, change in place, write. Raises Refusal, also when somebody else was quicker."""
        found = dict(await self.get(kind, name, namespace))
        change(found)
        resource = await self._resource(kind)
        return View(await self.api.update(resource, await self._scope(kind, namespace), found))

    async def delete(self, kind: str, name: str, namespace: str = "default", **options: Any) -> None:
        """Delete; options as of `Api.delete`. Raises Refusal."""
        await self.api.delete(await self._resource(kind), await self._scope(kind, namespace), name, **options)

    async def events(self, name: str, namespace: str = "default") -> list[View]:
        """What was told about the object of that name, oldest first, in words of core/v1."""
        found = [View(item) for item in (await self.api.list("events", namespace)).items]
        about = [one for one in found if one["involvedObject"]["name"] == name]
        return sorted(about, key=lambda one: (str(one.last_timestamp or one.event_time), one.name))

    async def until(
        self,
        kind: str,
        name: str,
        namespace: str = "default",
        *,
        within: float = PATIENCE,
        gone: bool = False,
        where: Callable[[View], bool] | None = None,
        **what: Any,
    ) -> View:
        """Wait until the object is as described, and return it.

        `phase` is what the kind calls so (a RayJob's jobDeploymentStatus, a RayCluster's state); `ready` its readiness;
        `condition` the type of a condition that is True, or a pair (type, status); anything else a member of status.
        Waits on a watch, in virtual time. Raises AssertionError, which says how the object is, when that did not come.
        """
        seen: View | None = None
        try:
            async with asyncio.timeout(within):
                async for seen in self._states(kind, namespace, name):
                    if seen is None:
                        if gone:
                            return View()
                    elif not gone and _is(seen, what) and (where is None or where(seen)):
                        return seen
        except TimeoutError:
            wanted = "gone" if gone else what or "as wanted"
            shown = "absent" if seen is None else seen.get("status") or seen
            raise AssertionError(f"{kind} {name} was not {wanted} within {within:g} s; it is {shown}") from None
        raise AssertionError("a watch ended")

    async def _states(self, kind: str, namespace: str, name: str) -> AsyncIterator[View | None]:
        resource, scope = await self._resource(kind), await self._scope(kind, namespace)
        selector = f"metadata.name={name}"
        while True:
            listing = await self.api.list(resource, scope, fields=selector)
            yield View(listing.items[0]) if listing.items else None
            try:
                changes = self.api.watch(resource, scope, resource_version=listing.resource_version, fields=selector)
                async for type_, item in changes:
                    yield None if type_ == "DELETED" else View(item)
            except WatchExpired:
                continue

    async def _resource(self, kind: str) -> str:
        if kind not in self._kinds:
            for served in reversed(await self.api.served()):
                self._kinds[served.kind] = served.name
        return self._kinds[kind]

    async def _scope(self, kind: str, namespace: str) -> str:
        resource = await self._resource(kind)
        namespaced = next(one.namespaced for one in await self.api.served() if one.name == resource)
        return namespace if namespaced else ""

    def serves(self, cluster: str, namespace: str = "default") -> bool:
        """Does Ray Serve on that RayCluster run all of its applications now?"""
        head = self._run_of_head(namespace, {"ray.io/cluster": cluster})
        return head is not None and self.dashboards.serve.runs(head, self.clock.now().timestamp())

    def follow(self, resource: str, told: Callable[[Json | None, Json | None], None]) -> None:
        """Call `told(old, new)` for each object of a resource as it is and as it changes; None is absent."""
        self._mirrors.of(resource).subscribe(told)

    # Time ----------------------------------------------------------------------------------------------------------

    @property
    def elapsed(self) -> timedelta:
        """Virtual time since the cluster was opened."""
        return timedelta(seconds=self.clock.monotonic() - self._began)

    async def after(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds)

    # The node ------------------------------------------------------------------------------------------------------

    def lose_node(self) -> None:
        """The node is cut off: after 50 s it is Unknown and its pods are unready, 5 min later they are deleted."""
        self.kubelet.lose()
        self._nodes.lost(self.kubelet.settings.name)

    def find_node(self) -> None:
        """The node is back, with all that ran on it."""
        self.kubelet.find()
        self._nodes.found(self.kubelet.settings.name)

    async def submit(self, dashboard: str, job_id: str, entrypoint: str = "python mine.py") -> None:
        """A user submits a job himself, to the dashboard at that host and port."""
        body = json.dumps({"entrypoint": entrypoint, "submission_id": job_id}).encode()
        url, limit = f"http://{dashboard}/api/jobs/", timedelta(seconds=10)
        code, answer = await self.dashboards.request("POST", url, headers={}, body=body, timeout=limit)
        assert code == 200, answer

    # The operator --------------------------------------------------------------------------------------------------

    @property
    def writes(self) -> list[Asked]:
        """All mutating requests of the operator, events and leases left out."""
        beside = ("events", "events.events.k8s.io", "leases.coordination.k8s.io")
        return [one for one in self.requests if one.write and one.resource not in beside]

    @property
    def requests(self) -> list[Asked]:
        """All requests of the operator."""
        return [one for one in self.faults.asked if fnmatchcase(one.agent, OPERATOR)]

    async def writes_during(self, seconds: float) -> list[Asked]:
        """Let virtual time pass; what the operator wrote meanwhile."""
        before = len(self.writes)
        await asyncio.sleep(seconds)
        return self.writes[before:]

    @property
    def kit(self) -> Kit:
        """The insides of the running operator."""
        if self._operator is None or self._operator.kit is None:
            raise RuntimeError("no operator runs")
        return self._operator.kit

    @property
    def operating(self) -> bool:
        """Does an operator run, or start?"""
        return self._operator is not None

    async def start_operator(self) -> None:
        """Start one; returns once its controllers work, or it was killed. One that runs goes on: there are two then."""
        operator = self._operator = Incarnation(len(self._incarnations) + 1)
        self._incarnations.append(operator)
        operator.task = self._group.create_task(self._operate(operator), name=f"operator {operator.number}")
        await operator.up.wait()

    def kill_operator(self) -> None:
        """The one started last dies at once, in the middle of whatever it did: nothing more of it reaches anybody."""
        operator, self._operator = self._operator, None
        if operator is not None:
            operator.kill()

    def close(self) -> None:
        """No operator runs any more, and none will."""
        self._restart_after = None
        if self._restarting is not None:
            self._restarting.cancel()
        for operator in self._incarnations:
            operator.kill()

    def _crashed(self) -> None:
        if self._operator is None:
            return  # a request that the dead one had sent before
        self.crashes += 1
        self.died_at = self.elapsed
        self.kill_operator()
        if self._restart_after is not None:
            self._restarting = self._group.create_task(self._restart(self._restart_after))

    async def _restart(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.start_operator()

    async def _operate(self, operator: Incarnation) -> None:
        from controller.main import operating  # stories without an operator do not pay for it

        chance = random.Random(f"{self._seed}/{operator.number}")
        try:
            async with (
                connected("http://localhost", unix_socket=str(self.socket)) as transport,
                operating(
                    self._settings,
                    MortalTransport(transport, operator),
                    ray=MortalRay(self.dashboards, operator),
                    clock=self.clock,
                    rng=chance,
                    secret=lambda: f"{chance.getrandbits(256):064x}",
                    instance=f"operator-{operator.number}",
                ) as kit,
            ):
                operator.kit = kit
                operator.up.set()
                await asyncio.Event().wait()
        except Exception as error:
            if operator.dead:  # how a killed process takes it is nobody's business
                return
            if not isinstance(error, CacheNotSynced) or self._restart_after is None:
                raise
            self._crashed()  # it gave up, and is started again

    # Heads ---------------------------------------------------------------------------------------------------------

    def _pod_changed(self, old: Json | None, new: Json | None) -> None:
        pod = new or old or {}
        labels = pod["metadata"].get("labels") or {}
        address = (pod.get("status") or {}).get("podIP")
        if address and new is None:
            self._nodes_by_address.pop(address, None)
        elif address and "ray.io/cluster" in labels:
            self._nodes_by_address[address] = (pod["metadata"]["namespace"], labels["ray.io/cluster"])
        if labels.get("ray.io/node-type") != "head":
            return
        if new is None:
            self._heads.pop(key_of(pod), None)
        else:
            self._heads[key_of(pod)] = pod

    def _find_head(self, host: str) -> str | None:
        """Which run of which head container the host name leads to."""
        name, _, rest = host.partition(".")
        namespace = rest.partition(".")[0] or "default"
        service = self._mirrors.of("services").get(namespace, name)
        selector = (service or {}).get("spec", {}).get("selector") or {}
        if not selector:
            return None
        return self._run_of_head(namespace, selector)

    def _find_node(self, address: str) -> str | None:
        """Which run of which head the node at that address belongs to."""
        found = self._nodes_by_address.get(address)
        return self._run_of_head(found[0], {"ray.io/cluster": found[1]}) if found is not None else None

    def _run_of_head(self, namespace: str, selector: Json) -> str | None:
        for (where, _), pod in self._heads.items():
            labels = pod["metadata"].get("labels") or {}
            if where == namespace and all(labels.get(key) == value for key, value in selector.items()):
                first = pod["spec"]["containers"][0]["name"]
                for one in (pod.get("status") or {}).get("containerStatuses") or ():
                    if one["name"] == first and "running" in one["state"]:
                        return f"{pod['metadata']['uid']}/{one['restartCount']}"
        return None


def _is(seen: View, what: Mapping[str, Any]) -> bool:
    status = seen.get("status") or {}
    for name, value in what.items():
        if name == "phase":
            found = status.get(_PHASES.get(seen["kind"], "phase"), "")
        elif name == "ready":
            is_cluster = seen["kind"] == "RayCluster"
            found = status.get("state") == "ready" if is_cluster else seen.condition("Ready").get("status") == "True"
        elif name == "condition":
            type_, wanted = value if isinstance(value, tuple) else (value, "True")
            found, value = seen.condition(type_).get("status"), wanted
        else:
            found = status.get(camel(name))
        if found != value:
            return False
    return True


@asynccontextmanager
async def a_cluster(
    *,
    operator: bool = True,
    settings: Settings | None = None,
    node: NodeSettings | None = None,
    seed: int = 0,
    restart_after: float | None = None,
    tell_events: bool = True,
    start: datetime = START,
) -> AsyncIterator[Cluster]:
    """A cluster, with an operator unless told otherwise, for as long as the block lasts. `start` is what clocks show.

    `restart_after` seconds after a crash (see `faults.crash`) the operator is started again; None: not at all.
    Raises what any part raised, and NotAlone when something started a thread or process.
    """
    clock = LoopClock(start)
    clock.now()  # from here on
    directory = Path(tempfile.mkdtemp(prefix="manta-"))
    place = node or NodeSettings(capacity=dict(ROOMY), ip="10.0.0.1", issue_tokens=False, tell_events=tell_events)
    told: Exception | None = None
    try:
        with alone(), _plainly():
            faults = Faults(now=clock.now)
            server = FaultyServer(now=clock.now, chance=random.Random(seed), store=await _furnished())
            server.faults = faults
            api = LocalApi(server)
            scripted = Scripted()
            face = FaultyFace(server, now=clock.now)
            async with (
                serving(face, socket=directory / "api"),
                mirroring(api) as mirrors,
                Kubelet(api, mirrors, scripted, place, now=clock.now).running() as kubelet,
                controlling(api, mirrors, now=clock.now, tell_events=tell_events) as nodes,
                asyncio.TaskGroup() as group,
            ):
                face.logs = kubelet.logs
                cluster = Cluster(
                    clock=clock,
                    socket=directory / "api",
                    server=server,
                    mirrors=mirrors,
                    faults=faults,
                    node=scripted,
                    kubelet=kubelet,
                    nodes=nodes,
                    group=group,
                    settings=settings or Settings(),
                    seed=seed,
                    restart_after=restart_after,
                )
                await _provided(cluster, operator=operator)
                try:
                    yield cluster
                except Exception as error:  # noqa: BLE001 — raised below, not wrapped by the groups in between
                    told = error
                finally:
                    cluster.close()
            if told is not None:
                raise told
    finally:
        shutil.rmtree(directory, ignore_errors=True)


_PAST: list[tuple[str, Change]] = []  # what happened in every cluster before its story began


async def _furnished() -> Store:
    """A store with our definitions in it, accepted.

    They are 1.3 MB, and there are hundreds of stories in a process: only the first one creates them.
    """
    if not _PAST:
        past: list[tuple[str, Change]] = []
        journal = Store(journal=lambda name, change: past.append((name, change)))
        chance = random.Random("before the story")  # none of a story's seeds: it would give the same uids once more
        first = LocalApi(ApiServer(now=lambda: START, chance=chance, store=journal))
        for definition in custom_resource_definitions():
            await first.create(DEFINITIONS, "", definition)
        _PAST.extend(past)
    store = Store()
    for name, change in _PAST:
        store.put(name, change.entry)
    return store


@contextmanager
def _plainly() -> Iterator[None]:
    """A part that failed alone is told without the groups around it."""
    try:
        yield
    except BaseExceptionGroup as group:
        inner: BaseException = group
        while isinstance(inner, BaseExceptionGroup) and len(inner.exceptions) == 1:
            inner = inner.exceptions[0]
        if inner is group:
            raise
        raise inner from None


async def _provided(cluster: Cluster, *, operator: bool) -> None:
    """The default namespace is furnished, and the operator works."""
    await cluster.until("ServiceAccount", "default")
    if operator:
        await cluster.start_operator()
