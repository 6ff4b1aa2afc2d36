"""The kubelet: watches the pods of its node, lives their lives, and says in the API how they are.

All judgement is lifecycle.py's. This file turns actions into calls of the Runtime and calls into events; it resolves
what a container needs from the API, and writes a pod's status when it changed. Any number of idle pods share one
timer, and a pod's containers one waiting task each.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from localcluster.alarms import Alarms
from localcluster.api import Api, Json, Refusal
from localcluster.mirror import Mirrors
from localcluster.node import lifecycle, model
from localcluster.node.environment import Missing, NodeFacts, environment, expand, service_links, volume_contents
from localcluster.node.interfaces import NOT_PROVIDED, Container, Fault, Runtime, VolumeContents
from localcluster.node.podstatus import status_of
from localcluster.node.registration import NodeSettings, Registration
from localcluster.recorder import Recorder

__all__ = ["Kubelet", "NodeSettings"]

_log = logging.getLogger(__name__)

WRITE_RETRY = 1.0  # seconds until a refused status write is tried again
HOOK_LIMIT = 3600.0  # of a postStart hook, which has no limit of its own


class _Pod:
    """A pod that the node knows."""

    __slots__ = ("deletion_grace", "json", "life", "publishing", "stale", "tasks", "wake")

    def __init__(self, pod: Json, *, probe_delays: bool) -> None:
        self.json = pod
        spec = model.spec_of(pod)
        self.life = lifecycle.new(spec if probe_delays else _without_probe_delays(spec))
        self.wake: float | None = None
        self.deletion_grace: float | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self.stale = False  # the API does not show the newest state yet
        self.publishing: asyncio.Task[None] | None = None

    @property
    def where(self) -> tuple[str, str]:
        return self.life.spec.namespace, self.life.spec.name


class Kubelet:
    """One node. `running()` is its whole life; `lost` is a node that still runs but talks to nobody."""

    def __init__(
        self, api: Api, mirrors: Mirrors, runtime: Runtime, settings: NodeSettings, *, now: Callable[[], datetime]
    ) -> None:
        self.settings = settings
        self.runtime = runtime
        self._api, self._mirrors, self._now = api, mirrors, now
        self._pods: dict[str, _Pod] = {}
        self._alarms: Alarms[str] = Alarms(self._rung)
        self._recorder = Recorder(api, "kubelet", now=now, host=settings.name)
        self._group: asyncio.TaskGroup
        self._lost = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Kubelet]:
        """The node is registered and lives the lives of its pods inside this block; at its end all is let go."""
        registration = Registration(self._api, self.settings, now=self._now, is_lost=lambda: self._lost)
        async with asyncio.TaskGroup() as group:
            self._group = group
            helpers = [group.create_task(self._recorder.run())]
            await registration.register()
            if self.settings.heartbeat_seconds is not None:
                helpers.append(group.create_task(registration.beat(self.settings.heartbeat_seconds)))
            self.runtime.on_stir(self._stirred)
            if self.settings.resolve:
                self._mirrors.of("services")
            self._mirrors.of("pods").subscribe(self._changed)
            try:
                yield self
            finally:
                self._lost = True
                self._alarms.close()
                for pod in self._pods.values():
                    for task in pod.tasks:
                        task.cancel()
                    if pod.publishing is not None:
                        pod.publishing.cancel()
                for task in helpers:
                    task.cancel()
                for uid in list(self._pods):
                    await self.runtime.remove_sandbox(uid)

    # Controls ------------------------------------------------------------------------------------------------------

    def evict(self, namespace: str, name: str, message: str, *, reason: str = "Evicted") -> None:
        """Fail the pod as a whole, as node pressure does. Raises KeyError when the node has no such pod."""
        self._feed(self._named(namespace, name), model.Failed(reason, message, 0))

    def lose(self) -> None:
        """From now on the node hears and reports nothing; its containers run on, and are restarted."""
        self._lost = True

    def find(self) -> None:
        """The node is back: it catches up with what it missed."""
        self._lost = False
        alive = {item["metadata"]["uid"]: item for item in self._mirrors.of("pods").objects.values()}
        for uid, pod in list(self._pods.items()):
            if uid in alive:
                self._seen(alive[uid])
                self._feed(pod, model.Tick())
                self._publish_soon(pod)
                if pod.life.gone:
                    self._group.create_task(self._farewell(pod))
            else:
                self._vanished(uid)
        for item in alive.values():
            self._seen(item)

    def logs(self, pod: Json, container: str, *, follow: bool, previous: bool) -> AsyncIterator[bytes]:
        """A container's output, as the API server's face asks for it. Raises Refusal when the node has none."""
        uid = pod["metadata"]["uid"]
        if uid not in self._pods:
            name = pod["metadata"]["name"]
            raise Refusal(404, "NotFound", f'the node has no output of pod "{name}"')
        return self.runtime.logs(uid, container, follow=follow, previous=previous)

    @property
    def lost(self) -> bool:
        """Is the node cut off?"""
        return self._lost

    def _named(self, namespace: str, name: str) -> _Pod:
        for pod in self._pods.values():
            if pod.where == (namespace, name):
                return pod
        raise KeyError(f"the node has no pod {namespace}/{name}")

    # What comes in -------------------------------------------------------------------------------------------------

    def _changed(self, old: Json | None, new: Json | None) -> None:
        if self._lost:
            return
        if new is not None:
            self._seen(new)
        elif old is not None:
            self._vanished(old["metadata"]["uid"])

    def _seen(self, item: Json) -> None:
        if item["spec"].get("nodeName") != self.settings.name:
            return
        uid = item["metadata"]["uid"]
        pod = self._pods.get(uid)
        if pod is None:
            if (item.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
                return
            pod = self._pods[uid] = _Pod(item, probe_delays=self.settings.probe_delays)
            self._feed(pod, model.Admitted())
        if int(item["metadata"]["resourceVersion"]) < int(pod.json["metadata"]["resourceVersion"]):
            return  # the answer to our own write came before the watch told what was before it
        pod.json = item
        self._renew_deadline(pod, item)
        grace = item["metadata"].get("deletionGracePeriodSeconds")
        if item["metadata"].get("deletionTimestamp") and (pod.deletion_grace is None or grace < pod.deletion_grace):
            pod.deletion_grace = grace
            self._feed(pod, model.Deleted(grace))

    def _renew_deadline(self, pod: _Pod, item: Json) -> None:
        """The one part of a spec that changes while the pod runs and matters to its life."""
        limit = item["spec"].get("activeDeadlineSeconds")
        if limit != pod.life.spec.active_deadline_seconds:
            pod.life = replace(pod.life, spec=replace(pod.life.spec, active_deadline_seconds=limit))
            self._feed(pod, model.Tick())

    def _vanished(self, uid: str) -> None:
        """The object is gone: nothing of the pod may stay, and nobody needs to be told."""
        pod = self._pods.pop(uid, None)
        if pod is None:
            return
        self._alarms.clear(uid)
        for task in pod.tasks:
            task.cancel()
        if not pod.life.gone:
            pod.life = replace(pod.life, gone=True)
            self._group.create_task(self.runtime.remove_sandbox(uid))

    def _stirred(self, uid: str, container: str) -> None:
        pod = self._pods.get(uid)
        if pod is not None:
            self._feed(pod, model.Stirred(container))

    def _rung(self, uid: str) -> None:
        pod = self._pods.get(uid)
        if pod is not None and pod.wake is not None:
            self._feed(pod, model.Tick(), at=pod.wake)

    def _feed(self, pod: _Pod, event: model.Event, *, at: float = 0.0) -> None:
        """Take one step. `at` keeps a timer that rang a hair early from ringing again at once."""
        now = max(at, self._now().timestamp())
        before = pod.life
        step = lifecycle.step(pod.life, event, now)
        pod.life, pod.wake = step.life, step.wake
        if step.wake is None:
            self._alarms.clear(pod.life.spec.uid)
        else:
            self._alarms.set(pod.life.spec.uid, step.wake - now)
        for action in step.actions:
            self._act(pod, action)
        if step.life is not before and step.life != before:
            self._publish_soon(pod)

    # What goes out -------------------------------------------------------------------------------------------------

    def _act(self, pod: _Pod, action: model.Action) -> None:
        match action:
            case model.Announce():
                self._announce(pod, action)
            case model.CreateSandbox():
                self._spawn(pod, self._create_sandbox(pod))
            case model.Pull():
                self._spawn(pod, self._pull(pod, action))
            case model.Start():
                self._spawn(pod, self._run(pod, action))
            case model.RunProbe():
                self._spawn(pod, self._probe(pod, action))
            case model.RunHook():
                self._spawn(pod, self._hook(pod, action))
            case model.Stop():
                uid = pod.life.spec.uid
                self._spawn(pod, self.runtime.terminate(uid, action.container, action.grace_seconds))
            case model.RemoveSandbox():
                for task in pod.tasks:
                    task.cancel()
            case model.FinishDeletion():
                self._group.create_task(self._farewell(pod))

    def _spawn(self, pod: _Pod, work: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(work)
        pod.tasks.add(task)
        task.add_done_callback(pod.tasks.discard)

    def _announce(self, pod: _Pod, said: model.Announce) -> None:
        if not self.settings.tell_events:
            return
        path = ""
        if said.container:
            spec, _ = pod.life.named(said.container)
            where = "containers" if spec.kind is model.ContainerKind.MAIN else "initContainers"
            path = f"spec.{where}{{{said.container}}}"
        about = {"kind": "Pod", "apiVersion": "v1", "metadata": pod.json["metadata"]}
        self._recorder.say(about, said.type, said.reason, said.message, field=path)

    async def _create_sandbox(self, pod: _Pod) -> None:
        try:
            contents = await self._contents(pod)
        except Missing as missing:
            self._feed(pod, model.SandboxFailed("FailedMount", str(missing)))
            return
        try:
            sandbox = await self.runtime.create_sandbox(pod.json, contents)
        except Fault as fault:
            self._feed(pod, model.SandboxFailed(fault.reason, fault.message))
        else:
            for sentence in sandbox.warnings:
                self._announce(pod, model.Announce("Warning", NOT_PROVIDED, sentence))
            self._feed(pod, model.SandboxReady(sandbox.ip, sandbox.host_ip or self.settings.ip))

    async def _contents(self, pod: _Pod) -> dict[str, VolumeContents]:
        if not self.settings.resolve:
            return {}
        return await volume_contents(pod.json, self._fetch, self._token, self._facts(pod))

    async def _pull(self, pod: _Pod, action: model.Pull) -> None:
        spec, _ = pod.life.named(action.container)
        fetches = spec.pull_policy == "Always" or not self.runtime.has_image(spec.image)
        if fetches and spec.pull_policy != "Never":
            self._feed(pod, model.PullBegan(spec.name))
        began = asyncio.get_running_loop().time()
        try:
            image_id = await self.runtime.pull(spec.image, spec.pull_policy)
        except Fault as fault:
            self._feed(pod, model.PullFailed(spec.name, fault.reason, fault.message))
            return
        took = asyncio.get_running_loop().time() - began
        self._feed(pod, model.Pulled(spec.name, image_id, took if fetches else None))

    async def _run(self, pod: _Pod, action: model.Start) -> None:
        """From the start of a container to its end."""
        try:
            container = await self._container(pod, action)
        except Missing as missing:
            self._feed(pod, model.ConfigMissing(action.container, str(missing)))
            return
        try:
            await self.runtime.start(container)
        except Fault as fault:
            self._feed(pod, model.StartFailed(action.container, fault.reason, fault.message))
            return
        self._feed(pod, model.Started(action.container))
        ended = await self.runtime.wait(pod.life.spec.uid, action.container)
        self._feed(pod, model.Exited(action.container, ended))

    async def _container(self, pod: _Pod, action: model.Start) -> Container:
        """Everything resolved. Raises Missing."""
        given = self._given(pod, action.container)
        spec = pod.json["spec"]
        env = await environment(pod.json, given, self._fetch, self._links(pod), self._facts(pod))
        values = dict(env)
        return Container(
            pod_uid=pod.life.spec.uid,
            name=action.container,
            attempt=action.attempt,
            image=given.get("image", ""),
            command=tuple(expand(str(word), values) for word in given.get("command") or ()),
            args=tuple(expand(str(word), values) for word in given.get("args") or ()),
            env=env,
            working_dir=given.get("workingDir", ""),
            mounts=tuple(given.get("volumeMounts") or ()),
            resources=given.get("resources") or {},
            security_context={**(spec.get("securityContext") or {}), **(given.get("securityContext") or {})},
            stdin=bool(given.get("stdin")),
        )

    def _links(self, pod: _Pod) -> list[tuple[str, str]]:
        """What the environment says of services."""
        if not self.settings.resolve:
            return []
        own = pod.json["spec"].get("enableServiceLinks") is not False
        services = self._mirrors.of("services").objects.values()
        return service_links(services, pod.life.spec.namespace, own=own)

    def _given(self, pod: _Pod, name: str) -> Json:
        spec = pod.json["spec"]
        every: list[Json] = [*(spec.get("initContainers") or ()), *spec["containers"]]
        return next(one for one in every if one["name"] == name)

    async def _probe(self, pod: _Pod, action: model.RunProbe) -> None:
        probe = self._given(pod, action.container)[action.kind.field]
        answer = await self.runtime.probe(pod.life.spec.uid, action.container, probe, kind=action.kind.value)
        event = model.Probed(
            action.container, action.kind, action.attempt, answer.good, answer.output, steady=answer.steady
        )
        self._feed(pod, event)

    async def _hook(self, pod: _Pod, action: model.RunHook) -> None:
        hook = self._given(pod, action.container)["lifecycle"][action.hook]
        limit = HOOK_LIMIT if action.limit_seconds is None else action.limit_seconds
        good, message = await self._call_hook(pod, action.container, hook, limit)
        self._feed(pod, model.HookDone(action.container, action.hook, good, message))

    async def _call_hook(self, pod: _Pod, container: str, hook: Json, limit: float) -> tuple[bool, str]:
        uid = pod.life.spec.uid
        if "sleep" in hook:
            await asyncio.sleep(min(float(hook["sleep"].get("seconds", 0)), limit))
            return True, ""
        try:
            async with asyncio.timeout(limit):
                if "exec" in hook:
                    command = hook["exec"].get("command") or ()
                    code, output = await self.runtime.exec(uid, container, command, timeout_seconds=limit)
                    return code == 0, output.decode(errors="replace")
                answer = await self.runtime.probe(uid, container, {**hook, "timeoutSeconds": limit}, kind="Hook")
                return answer.good, answer.output
        except TimeoutError:
            return False, f"not done after {limit:g} s"
        except Fault as fault:
            return False, fault.message

    async def _farewell(self, pod: _Pod) -> None:
        """The last status, then nothing of it on the node, then nothing of it in the API."""
        if pod.publishing is not None:
            await asyncio.wait([pod.publishing])
        await self._publish(pod)
        spec = pod.life.spec
        await self.runtime.remove_sandbox(spec.uid)
        while not self._lost:
            try:
                await self._api.delete("pods", spec.namespace, spec.name, uid=spec.uid, grace_seconds=0)
            except Refusal as refusal:
                if refusal.code in (404, 409):
                    return
            except OSError as lost:
                _log.debug("cannot finish the deletion of %s/%s yet: %s", spec.namespace, spec.name, lost)
            else:
                return
            await asyncio.sleep(WRITE_RETRY)

    # Status --------------------------------------------------------------------------------------------------------

    def _publish_soon(self, pod: _Pod) -> None:
        pod.stale = True
        if pod.publishing is None and not self._lost:
            pod.publishing = self._group.create_task(self._keep_publishing(pod))

    async def _keep_publishing(self, pod: _Pod) -> None:
        try:
            while pod.stale and not self._lost:
                if not await self._publish(pod):
                    await asyncio.sleep(WRITE_RETRY)
        finally:
            pod.publishing = None

    async def _publish(self, pod: _Pod) -> bool:
        """One status patch if the API shows something else; False if it is to be tried again."""
        pod.stale = False
        spec = pod.life.spec
        status = status_of(pod.life, pod.json, self._now().timestamp())
        shown = pod.json.get("status") or {}
        change = {key: value for key, value in status.items() if shown.get(key) != value}
        if not change:
            return True
        body = {"metadata": {"uid": spec.uid}, "status": change}
        try:
            answer = await self._api.patch("pods", spec.namespace, spec.name, body, subresource="status")
        except Refusal as refusal:
            pod.stale = refusal.code not in (404, 409, 422)  # gone, or another pod has its name
            return not pod.stale
        except OSError:
            pod.stale = True
            return False
        if int(answer["metadata"]["resourceVersion"]) > int(pod.json["metadata"]["resourceVersion"]):
            pod.json = answer
        return True

    # The API, as containers see it ---------------------------------------------------------------------------------

    async def _fetch(self, resource: str, namespace: str, name: str) -> Json | None:
        try:
            return await self._api.get(resource, namespace, name)
        except Refusal as refusal:
            if refusal.code == 404:
                return None
            raise Missing(refusal.message) from refusal

    async def _token(self, pod: Json, source: Json) -> str:
        if not self.settings.issue_tokens:
            return ""
        namespace = pod["metadata"]["namespace"]
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"name": pod["spec"].get("serviceAccountName", "default"), "namespace": namespace},
            "spec": {
                "audiences": [source["audience"]] if source.get("audience") else [],
                "expirationSeconds": source.get("expirationSeconds", 3600),
                "boundObjectRef": {
                    "kind": "Pod",
                    "apiVersion": "v1",
                    "name": pod["metadata"]["name"],
                    "uid": pod["metadata"]["uid"],
                },
            },
        }
        try:
            answer = await self._api.create("serviceaccounts", namespace, body, subresource="token")
        except Refusal as refusal:
            raise Missing(f"failed to fetch token: {refusal.message}") from refusal
        return str(answer["status"]["token"])

    def _facts(self, pod: _Pod) -> NodeFacts:
        return NodeFacts(self.settings.ip, pod.life.ip, self.settings.capacity)


def _without_probe_delays(spec: model.PodSpec) -> model.PodSpec:
    containers = (
        replace(one, probes={kind: replace(probe, initial_delay=0) for kind, probe in one.probes.items()})
        for one in spec.containers
    )
    return replace(spec, containers=tuple(containers))
