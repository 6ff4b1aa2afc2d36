"""A Runtime whose pods are real processes, inside a cell (cell.py): what `manta` runs pods with.

    pod         network, UTS and IPC namespaces, held as descriptors; an address on the cell's bridge; a folder
    container   mount and PID namespaces of its own, the machine's files read-only with the pod's mounted over them

`process_runtime` is the whole node beside the kubelet: network, name server and service addresses come up with it, and
go with it. It must run in a cell, since it mounts and makes interfaces as if the machine were its own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from localcluster.api import Api
from localcluster.mirror import Mirrors
from localcluster.node import kernel, volumes
from localcluster.node.dns import names_of, serving_names
from localcluster.node.images import Image, Images
from localcluster.node.interfaces import Container, Exit, Fault, ProbeAnswer, Sandbox, VolumeContents
from localcluster.node.launching import Launch, Launched, enter, launch, place
from localcluster.node.network import GATEWAY, NETMASK, Link, Network, networking
from localcluster.node.probes import Prober
from localcluster.node.rootfs import Mount
from localcluster.node.services import proxying
from localcluster.node.volumes import PodFiles

__all__ = ["ProcessRuntime", "process_runtime"]

Json: TypeAlias = dict[str, Any]

CHUNK = 64 * 1024
END_SECONDS = 5.0  # for what was killed to be gone


@dataclass(slots=True)
class _Pod:
    """A pod that has its place."""

    json: Json
    address: str
    files: PodFiles
    namespaces: list[int]
    link: Link | None
    containers: dict[str, Launched] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)

    def log(self, name: str, attempt: int) -> Path:
        return self.files.folder / "logs" / f"{name}-{attempt}.log"


class ProcessRuntime:
    """Implements `Runtime`. Entered as a block by `process_runtime`."""

    def __init__(
        self, network: Network, images: Images, prober: Prober, directory: Path, group: asyncio.TaskGroup
    ) -> None:
        self._network, self._images, self._prober, self._directory = network, images, prober, directory
        self._group = group
        self._pods: dict[str, _Pod] = {}

    def on_stir(self, stirred: Callable[[str, str], None]) -> None:
        """Real processes are never steady: nobody is told."""

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
        link: Link | None = None

        async def attach(pid: int) -> Json:
            nonlocal link
            link = await self._network.attach(pid)
            return {"address": link.address, "netmask": NETMASK, "gateway": GATEWAY}

        on_host = bool(pod["spec"].get("hostNetwork"))
        try:
            async with place(volumes.hostname_of(pod), None if on_host else attach) as namespaces:
                address = link.address if link is not None else GATEWAY
                etc = volumes.etc_files(pod, address, GATEWAY)
                files = volumes.provide(pod, volumes_, self._directory / "pods" / uid, self._directory / "claims", etc)
        except OSError as error:
            await self._detach(link)
            raise Fault("FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}") from error
        except BaseException:
            await self._detach(link)
            raise
        (files.folder / "logs").mkdir()
        self._pods[uid] = _Pod(pod, address, files, namespaces, link)
        return Sandbox(address, GATEWAY, str(files.folder))

    async def remove_sandbox(self, pod_uid: str) -> None:
        pod = self._pods.pop(pod_uid, None)
        if pod is None:
            return
        for launched in pod.containers.values():
            launched.kill()
        for launched in pod.containers.values():
            await asyncio.shield(launched.ended)
        for descriptor in pod.namespaces:
            os.close(descriptor)
        await self._detach(pod.link)
        volumes.remove(pod.files)

    async def _detach(self, link: Link | None) -> None:
        if link is not None:
            await self._network.detach(link)

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
        launched = await launch(self._what(pod, container, image), pod.namespaces)
        pod.containers[container.name] = launched
        pod.attempts[container.name] = container.attempt
        self._group.create_task(launched.watch())
        if self._pods.get(container.pod_uid) is not pod:
            launched.kill()  # the pod was removed meanwhile

    def _what(self, pod: _Pod, container: Container, image: Image) -> Launch:
        command = [*(container.command or image.entrypoint), *container.args]
        if not container.command and not container.args:
            command = [*image.entrypoint, *image.arguments]
        if not command:
            raise Fault("StartError", f"no command specified, and image {container.image} has none of its own")
        own = pod.files.folder / "containers" / f"{container.name}-{container.attempt}"
        for name in ("home", "tmp", "root"):
            (own / name).mkdir(parents=True, exist_ok=True)
        (own / "tmp").chmod(0o1777)
        environment = dict(image.environment) | {"HOSTNAME": volumes.hostname_of(pod.json)} | dict(container.env)
        return Launch(
            command=command,
            environment=environment,
            directory=container.working_dir or image.home,
            mounts=self._mounts(pod, container, image, own),
            log=str(pod.log(container.name, container.attempt)),
            scratch=str(own / "root"),
        )

    def _mounts(self, pod: _Pod, container: Container, image: Image, own: Path) -> list[Mount]:
        folder = os.path.realpath(pod.files.folder)
        private = os.path.realpath(own)
        mounts = [
            Mount(f"{private}/tmp", "/tmp"),  # noqa: S108 - the container's
            Mount(f"{private}/home", image.home),
            Mount(f"{folder}/shm", "/dev/shm"),  # noqa: S108
        ]
        mounts += [Mount(f"{folder}/etc/{name}", f"/etc/{name}") for name in ("hosts", "resolv.conf", "hostname")]
        mounts += [Mount(os.path.realpath(source), target, True) for source, target in image.mounts]
        return mounts + volumes.mounts_of(container, pod.files.sources)

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
            return await enter(launched, command, timeout_seconds=timeout_seconds)
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
        return await self._prober.ask(probe, pod.address, _ports(pod.json, name), limit)

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


def _ports(pod: Json, container: str) -> dict[str, int]:
    """The container's named ports."""
    every: list[Json] = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
    given = next((one for one in every if one["name"] == container), {})
    return {port["name"]: port["containerPort"] for port in given.get("ports") or () if port.get("name")}


def _name_server_of_the_cell(file: Path) -> None:
    """The other programs of the cell, the operator above all, find services by name as pods do."""
    machine = os.path.realpath("/etc/resolv.conf")
    if not Path(machine).exists():
        return  # then everybody asks the loopback's name server, where ours listens, too
    file.write_text(f"nameserver {GATEWAY}\nsearch svc.cluster.local cluster.local\noptions ndots:5\n")
    kernel.mount(os.path.realpath(file), machine, flags=kernel.MS_BIND)


@asynccontextmanager
async def process_runtime(
    api: Api, mirrors: Mirrors, directory: Path, images: Path | Images
) -> AsyncIterator[ProcessRuntime]:
    """The node's half that is not the kubelet, while the block lasts; at its end every pod is gone.

    `directory` is for pods' files, `images` the folder where images are kept. If `directory/images.sock` exists when an
    image is wanted, whoever serves it (images.serving_images, outside of the cell, where there is a network) makes it.
    Raises OSError when not in a cell.
    """
    kept = images if isinstance(images, Images) else Images(images, ask=directory / "images.sock")
    kept.furnish()
    _name_server_of_the_cell(directory / "resolv.conf")
    services, slices = mirrors.of("services"), mirrors.of("endpointslices.discovery.k8s.io")
    lookup = names_of(services.objects, slices.objects)
    async with (
        networking() as network,
        serving_names(lookup, GATEWAY),
        serving_names(lookup, "127.0.0.1"),
        proxying(services, slices),
        Prober() as prober,
        asyncio.TaskGroup() as group,
    ):
        runtime = ProcessRuntime(network, kept, prober, directory, group)
        try:
            yield runtime
        finally:
            await runtime.remove_all()
