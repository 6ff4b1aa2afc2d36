"""A Runtime that runs nothing: a script says how long each step takes, how containers end, what probes answer.

For stories, faults and benchmarks, in virtual time. A pod that just runs holds no timer; probe answers are steady, so
that nobody asks again until a story changes its mind.

    node = Scripted()
    node.script("train-*", container="ray-job-submitter", runs_seconds=30)      # ends by itself, exit code 0
    node.script("r-small-worker-*", ready=False)                                # never becomes ready
    node.refuse_image("rayproject/ray:nope")
    node.hold("r-small-worker-*")                                               # these stay Pending until release()
    node.exit_container("r-head", "ray-head", 137)

A pattern is matched against the pod's name (or namespace/name), as the shell does; of several scripts that match, a
later one overrides what it names.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from localcluster.node.interfaces import Container, Exit, Fault, ProbeAnswer, Sandbox, VolumeContents

__all__ = ["Script", "Scripted"]

Json: TypeAlias = dict[str, Any]

KILLED = Exit(137, "Error")


@dataclass(frozen=True, slots=True)
class Script:
    """How a container lives. Main containers and sidecars run until they are stopped, init containers for a moment."""

    sandbox_seconds: float = 1.0
    start_seconds: float = 1.0
    start_fault: tuple[str, str] | None = None  # reason and message instead of a start
    runs_seconds: float | None = None  # None: until it is stopped
    exit: Exit = Exit(0, "Completed")  # noqa: RUF009 — frozen
    stop_seconds: float = 0.0  # from TERM to the end; longer than the grace: KILL
    stop_exit: Exit = Exit(143, "Error")  # noqa: RUF009
    started: bool = True  # what the startup probe says
    ready: bool = True
    alive: bool = True
    probe_output: str = "scripted"
    hook_code: int = 0
    hook_seconds: float = 0.0
    log: bytes = b""
    life: Callable[[Container], Awaitable[Exit]] | None = None  # lives instead of `runs_seconds` and `exit`


INIT = Script(runs_seconds=0.5, start_seconds=0.0)


@dataclass(frozen=True, slots=True)
class _Rule:
    pod: str
    container: str
    changes: Mapping[str, Any]


@dataclass(slots=True)
class _Pod:
    """A pod that has its place."""

    namespace: str
    name: str
    inits: frozenset[str]
    ip: str
    running: dict[str, _Run] = field(default_factory=dict)


@dataclass(slots=True)
class _Run:
    container: Container
    script: Script
    ended: asyncio.Future[Exit]
    timer: asyncio.TimerHandle | None = None


class Scripted:
    """Implements `Runtime`; the public methods that are not of that protocol are what stories control it with."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []
        self._pods: dict[str, _Pod] = {}
        self._images: dict[str, tuple[float, str, str]] = {}  # pattern -> seconds to pull, refusal's reason, message
        self._pulled: set[str] = set()
        self._held: dict[str, asyncio.Event] = {}
        self._addresses = itertools.count(2)
        self._stirred: Callable[[str, str], None] = lambda uid, name: None

    # Controls ------------------------------------------------------------------------------------------------------

    def script(self, pod: str = "*", *, container: str = "*", **changes: Any) -> None:
        """From now on containers that match live like this. Running ones change what their probes say, at once."""
        replace(Script(), **changes)  # a name that Script does not have is an error here, not later
        self._rules.append(_Rule(pod, container, changes))
        for uid, one in self._pods.items():
            for name, run in one.running.items():
                if _fits(pod, one.namespace, one.name) and fnmatchcase(name, container):
                    run.script = self._script_of(one.namespace, one.name, name, init=name in one.inits)
                    self._stirred(uid, name)

    def not_ready(self, pod: str = "*", *, container: str = "*") -> None:
        """Readiness probes fail from now on."""
        self.script(pod, container=container, ready=False)

    def ready(self, pod: str = "*", *, container: str = "*") -> None:
        """Readiness probes pass from now on."""
        self.script(pod, container=container, ready=True)

    def fail_container(
        self, pod: str = "*", *, container: str = "*", code: int = 1, after_seconds: float = 0.0
    ) -> None:
        """Containers that start from now on end with that code."""
        self.script(
            pod, container=container, runs_seconds=after_seconds, exit=Exit(code, "Error" if code else "Completed")
        )

    def exit_container(self, pod: str, container: str, code: int, *, reason: str = "") -> None:
        """The running container ends now. Raises KeyError when there is none."""
        ended = Exit(code, reason or ("Error" if code else "Completed"))
        matching = [
            one.running[container]
            for one in self._pods.values()
            if _fits(pod, one.namespace, one.name) and container in one.running
        ]
        if not matching:
            raise KeyError(f"no container {container} runs in a pod {pod}")
        for run in matching:
            _end(run, ended)

    def hold(self, pod: str = "*") -> None:
        """Pods that match stay in ContainerCreating, phase Pending, until `release`."""
        self._held.setdefault(pod, asyncio.Event())

    def release(self, pod: str = "*") -> None:
        """Let go what `hold` of the same pattern held."""
        self._held.pop(pod).set()

    def refuse_image(self, image: str, message: str = "not found", *, reason: str = "ErrImagePull") -> None:
        """Pulling a matching image fails from now on."""
        self._images[image] = 0.0, reason, message
        self._pulled.discard(image)

    def serve_image(self, image: str, *, seconds: float = 0.0) -> None:
        """A matching image can be pulled, and that takes so long; unmentioned ones are here already."""
        self._images[image] = seconds, "", ""

    @property
    def sandboxes(self) -> int:
        """How many pods have a place here now."""
        return len(self._pods)

    def containers(self, pod: str = "*") -> list[Container]:
        """What runs now."""
        return [
            run.container
            for one in self._pods.values()
            if _fits(pod, one.namespace, one.name)
            for run in one.running.values()
            if not run.ended.done()
        ]

    # Runtime -------------------------------------------------------------------------------------------------------

    def on_stir(self, stirred: Callable[[str, str], None]) -> None:
        self._stirred = stirred

    def has_image(self, image: str) -> bool:
        return image in self._pulled or self._image(image) is None

    async def pull(self, image: str, policy: str) -> str:
        rule = self._image(image)
        if rule is not None:
            seconds, reason, message = rule
            if reason:
                raise Fault(reason, message)
            if policy == "Never" and image not in self._pulled:
                raise Fault("ErrImageNeverPull", f'Container image "{image}" is not present with pull policy of Never')
            if image not in self._pulled:
                await asyncio.sleep(seconds)
                self._pulled.add(image)
        return f"scripted://{image}"

    def _image(self, image: str) -> tuple[float, str, str] | None:
        return next((rule for pattern, rule in self._images.items() if fnmatchcase(image, pattern)), None)

    async def create_sandbox(self, pod: Json, volumes: Mapping[str, VolumeContents]) -> Sandbox:
        metadata = pod["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        while held := [gate for pattern, gate in self._held.items() if _fits(pattern, namespace, name)]:
            await held[0].wait()
        await asyncio.sleep(self._script_of(namespace, name, "*", init=False).sandbox_seconds)
        number = next(self._addresses)
        ip = f"10.{128 + (number >> 16)}.{(number >> 8) & 255}.{number & 255}"
        inits = frozenset(one["name"] for one in pod["spec"].get("initContainers") or () if "restartPolicy" not in one)
        self._pods[metadata["uid"]] = _Pod(namespace, name, inits, ip)
        return Sandbox(ip)

    async def start(self, container: Container) -> None:
        pod = self._pods[container.pod_uid]
        script = self._script_of(pod.namespace, pod.name, container.name, init=container.name in pod.inits)
        await asyncio.sleep(script.start_seconds)
        if script.start_fault is not None:
            raise Fault(*script.start_fault)
        loop = asyncio.get_running_loop()
        run = _Run(container, script, loop.create_future())
        pod.running[container.name] = run
        if script.life is None and script.runs_seconds is not None:
            run.timer = loop.call_later(script.runs_seconds, _end, run, script.exit)

    async def wait(self, pod_uid: str, name: str) -> Exit:
        run = self._pods[pod_uid].running[name]
        if run.script.life is None:
            return await run.ended
        async with asyncio.TaskGroup() as group:
            life = group.create_task(_live(run, run.script.life))
            ended = await run.ended
            life.cancel()
        return ended

    async def terminate(self, pod_uid: str, name: str, grace_seconds: float) -> None:
        pod = self._pods.get(pod_uid)
        run = pod.running.get(name) if pod is not None else None
        if run is None or run.ended.done():
            return
        script = run.script
        in_time = script.stop_seconds <= grace_seconds
        wait, ended = (script.stop_seconds, script.stop_exit) if in_time else (grace_seconds, KILLED)
        if wait > 0:
            if run.timer is not None:
                run.timer.cancel()
            loop = asyncio.get_running_loop()
            run.timer = loop.call_later(wait, _end, run, ended)
            await asyncio.shield(run.ended)
        else:
            _end(run, ended)

    async def exec(
        self, pod_uid: str, name: str, command: Sequence[str], *, timeout_seconds: float
    ) -> tuple[int, bytes]:
        script = self._pods[pod_uid].running[name].script
        await asyncio.sleep(min(script.hook_seconds, timeout_seconds))
        return script.hook_code, script.probe_output.encode()

    async def probe(self, pod_uid: str, name: str, probe: Json, *, kind: str) -> ProbeAnswer:
        pod = self._pods.get(pod_uid)
        run = pod.running.get(name) if pod is not None else None
        if run is None:
            return ProbeAnswer(False, "the container does not run")
        script = run.script
        good = {"Startup": script.started, "Readiness": script.ready, "Liveness": script.alive}.get(
            kind, script.hook_code == 0
        )
        return ProbeAnswer(good, script.probe_output, steady=True)

    async def logs(self, pod_uid: str, name: str, *, follow: bool, previous: bool) -> AsyncIterator[bytes]:
        run = self._pods[pod_uid].running[name]
        yield run.script.log
        if follow:
            await asyncio.shield(run.ended)

    async def remove_sandbox(self, pod_uid: str) -> None:
        pod = self._pods.pop(pod_uid, None)
        for run in pod.running.values() if pod is not None else ():
            _end(run, KILLED)

    def _script_of(self, namespace: str, name: str, container: str, *, init: bool) -> Script:
        """The script of one container; "*" asks for what concerns the whole pod."""
        script = INIT if init else Script()
        for rule in self._rules:
            of_container = rule.container == "*" if container == "*" else fnmatchcase(container, rule.container)
            if of_container and _fits(rule.pod, namespace, name):
                script = replace(script, **rule.changes)
        return script


def _fits(pattern: str, namespace: str, name: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(f"{namespace}/{name}", pattern)


def _end(run: _Run, ended: Exit) -> None:
    if run.timer is not None:
        run.timer.cancel()
        run.timer = None
    if not run.ended.done():
        run.ended.set_result(ended)


async def _live(run: _Run, life: Callable[[Container], Awaitable[Exit]]) -> None:
    _end(run, await life(run.container))
