"""A Runtime whose pods are real processes: what `manta` runs pods with.

How far they are kept apart is for their ground (ground.py) to know. `process_runtime` is the whole node beside the
kubelet: network, names and service addresses come up with it, and go with it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from localcluster.mirror import Mirror, Mirrors
from localcluster.node import kernel, volumes
from localcluster.node.celled import in_namespaces
from localcluster.node.ground import Ground, Place, Start
from localcluster.node.images import Image, Images
from localcluster.node.interfaces import NOT_PROVIDED, Container, Exit, Fault, ProbeAnswer, Sandbox, VolumeContents
from localcluster.node.launching import Launched
from localcluster.node.probes import Prober
from localcluster.node.services import Told, proxying
from localcluster.recorder import Recorder

__all__ = ["OpenGround", "ProcessRuntime", "process_runtime"]

Json: TypeAlias = dict[str, Any]
OpenGround: TypeAlias = Callable[[Path, Mirror, Mirror], AbstractAsyncContextManager[Ground]]  # services, slices

CHUNK = 64 * 1024


@dataclass(slots=True)
class _Pod:
    """A pod that has its place."""

    place: Place
    containers: dict[str, Launched] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)

    def log(self, name: str, attempt: int) -> Path:
        return self.place.files.folder / "logs" / f"{name}-{attempt}.log"


class ProcessRuntime:
    """Implements `Runtime`. Entered as a block by `process_runtime`."""

    def __init__(
        self, ground: Ground, images: Images, prober: Prober, directory: Path, group: asyncio.TaskGroup
    ) -> None:
        self._ground, self._images, self._prober, self._directory = ground, images, prober, directory
        self._group = group
        self._pods: dict[str, _Pod] = {}

    def on_stir(self, stirred: Callable[[str, str], None]) -> None:
        """Real processes are never steady: nobody is told."""

    def reach(self, address: str, port: int) -> tuple[str, int]:
        """Where a connection to that port of a pod really has to go."""
        return self._ground.reach(address, port)

    def has_image(self, image: str) -> bool:
        return self._images.find(image) is not None

    async def pull(self, image: str, policy: str) -> str:
        found = self._images.find(image)
        if found is None:
            if policy == "Never":
                message = f'Container image "{image}" is not present with pull policy of Never'
                raise Fault("ErrImageNeverPull", message)
            found = await self._images.make(image)
        return found.id

    # Pods ----------------------------------------------------------------------------------------------------------

    async def create_sandbox(self, pod: Json, volumes_: Mapping[str, VolumeContents]) -> Sandbox:
        uid = pod["metadata"]["uid"]
        place = await self._ground.settle(pod, volumes_, self._directory / "pods" / uid)
        (place.files.folder / "logs").mkdir()
        self._pods[uid] = _Pod(place)
        return Sandbox(place.address, self._ground.addresses.node, str(place.files.folder), place.warnings)

    async def remove_sandbox(self, pod_uid: str) -> None:
        pod = self._pods.pop(pod_uid, None)
        if pod is None:
            return
        for launched in pod.containers.values():
            launched.kill()
        for launched in pod.containers.values():
            await asyncio.shield(launched.ended)
        await self._ground.leave(pod.place)

    async def remove_all(self) -> None:
        """Every pod ends now."""
        for pod in self._pods.values():
            for launched in pod.containers.values():
                launched.kill()
        for uid in list(self._pods):
            await self.remove_sandbox(uid)

    # Containers ----------------------------------------------------------------------------------------------------

    async def start(self, container: Container) -> None:
        pod = self._pods.get(container.pod_uid)
        if pod is None:
            raise Fault("StartError", "the pod has no place any more")
        image = self._images.find(container.image)
        if image is None:
            raise Fault("StartError", f"image {container.image} is not here any more")
        launched = await self._ground.launch(pod.place, self._start_of(pod, container, image))
        pod.containers[container.name] = launched
        pod.attempts[container.name] = container.attempt
        self._group.create_task(launched.watch())
        if self._pods.get(container.pod_uid) is not pod:
            launched.kill()  # the pod was removed meanwhile

    def _start_of(self, pod: _Pod, container: Container, image: Image) -> Start:
        command = [*(container.command or image.entrypoint), *container.args]
        if not container.command and not container.args:
            command = [*image.entrypoint, *image.arguments]
        if not command:
            raise Fault("StartError", f"no command specified, and image {container.image} has none of its own")
        own = pod.place.files.folder / "containers" / f"{container.name}-{container.attempt}"
        for name in ("home", "tmp", "root"):
            (own / name).mkdir(parents=True, exist_ok=True)
        (own / "tmp").chmod(0o1777)
        hostname = {"HOSTNAME": volumes.hostname_of(pod.place.pod)}
        environment = dict(image.environment) | hostname | dict(container.env)
        log = pod.log(container.name, container.attempt)
        return Start(container, image, command, environment, own, log)

    async def wait(self, pod_uid: str, name: str) -> Exit:
        return await asyncio.shield(self._pods[pod_uid].containers[name].ended)

    async def terminate(self, pod_uid: str, name: str, grace_seconds: float) -> None:
        launched = self._launched(pod_uid, name)
        if launched is None or launched.ended.done():
            return
        launched.ask_to_end()
        try:
            async with asyncio.timeout(grace_seconds):
                await asyncio.shield(launched.ended)
        except TimeoutError:
            launched.kill()
            await asyncio.shield(launched.ended)

    def _launched(self, pod_uid: str, name: str) -> Launched | None:
        pod = self._pods.get(pod_uid)
        return pod.containers.get(name) if pod is not None else None

    # Looking in ----------------------------------------------------------------------------------------------------

    async def exec(
        self, pod_uid: str, name: str, command: Sequence[str], *, timeout_seconds: float
    ) -> tuple[int, bytes]:
        launched = self._launched(pod_uid, name)
        if launched is None:
            raise Fault("NotRunning", f"container {name} does not run")
        try:
            return await self._ground.enter(launched, command, timeout_seconds=timeout_seconds)
        except TimeoutError:
            raise Fault("Timeout", f'command "{" ".join(command)}" timed out after {timeout_seconds:g}s') from None

    async def probe(self, pod_uid: str, name: str, probe: Json, *, kind: str) -> ProbeAnswer:
        limit = float(probe.get("timeoutSeconds") or 1)
        pod = self._pods.get(pod_uid)
        if pod is None:
            return ProbeAnswer(False, "the pod has no place any more")
        if "exec" in probe:
            try:
                command = probe["exec"].get("command") or ()
                code, output = await self.exec(pod_uid, name, command, timeout_seconds=limit)
            except Fault as fault:
                return ProbeAnswer(False, fault.message)
            return ProbeAnswer(code == 0, output.decode(errors="replace"))
        return await self._prober.ask(probe, pod.place.address, _ports(pod.place.pod, name), limit)

    async def logs(self, pod_uid: str, name: str, *, follow: bool, previous: bool) -> AsyncIterator[bytes]:
        pod = self._pods.get(pod_uid)
        if pod is None or name not in pod.attempts:
            raise Fault("NotFound", f'container "{name}" has not started')
        attempt = pod.attempts[name] - (1 if previous else 0)
        path = pod.log(name, attempt)
        if not path.exists():
            raise Fault("NotFound", f'previous terminated container "{name}" not found')
        following = pod.containers[name].ended if follow and not previous else None
        async for chunk in tail(path, following):
            yield chunk


async def tail(path: Path, ended: asyncio.Future[Any] | None) -> AsyncIterator[bytes]:
    """What is in the file and, until the future is done, what is written to it."""
    loop = asyncio.get_running_loop()
    written = asyncio.Event()

    def notice() -> None:
        os.read(notifier, CHUNK)
        written.set()

    def end(_: object) -> None:
        written.set()

    notifier = kernel.notify_of_changes(str(path))
    loop.add_reader(notifier, notice)
    if ended is not None:
        ended.add_done_callback(end)
    try:
        with path.open("rb", buffering=0) as file:
            while True:
                over = ended is None or ended.done()  # before reading: what came until then is read below
                written.clear()
                while chunk := file.read(CHUNK):
                    yield chunk
                if over:
                    return
                await written.wait()
    finally:
        loop.remove_reader(notifier)
        os.close(notifier)
        if ended is not None:
            ended.remove_done_callback(end)


def _by_events(recorder: Recorder | None) -> Told:
    def told(service: Json, sentence: str) -> None:
        if recorder is not None:
            recorder.say(service, "Warning", NOT_PROVIDED, sentence)

    return told


def _ports(pod: Json, container: str) -> dict[str, int]:
    """The container's named ports."""
    every: list[Json] = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
    given = next((one for one in every if one["name"] == container), {})
    return {port["name"]: port["containerPort"] for port in given.get("ports") or () if port.get("name")}


@asynccontextmanager
async def process_runtime(
    mirrors: Mirrors,
    directory: Path,
    images: Path | Images,
    on: OpenGround = in_namespaces,
    *,
    recorder: Recorder | None = None,
) -> AsyncIterator[ProcessRuntime]:
    """The node's half that is not the kubelet, while the block lasts; at its end every pod is gone.

    `directory` is for pods' files, `images` the folder where images are kept. If `directory/images.sock` exists when an
    image is wanted, whoever serves it (images.serving_images, outside of the cell, where there is a network) makes it.
    `on` opens the ground; the usual one raises OSError when not in a cell. `recorder` writes events about services,
    and runs as long.
    """
    kept = images if isinstance(images, Images) else Images(images, ask=directory / "images.sock")
    kept.furnish()
    services, slices = mirrors.of("services"), mirrors.of("endpointslices.discovery.k8s.io")
    async with (
        on(directory, services, slices) as ground,
        proxying(services, slices, ground, told=_by_events(recorder)),
        Prober(ground.reach) as prober,
        asyncio.TaskGroup() as group,
    ):
        runtime = ProcessRuntime(ground, kept, prober, directory, group)
        events = [group.create_task(recorder.run())] if recorder is not None else []
        try:
            yield runtime
        finally:
            for task in events:
                task.cancel()
            await runtime.remove_all()
