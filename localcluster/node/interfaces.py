"""Between the kubelet and what runs a pod: a table (scripted.py) or real processes (processes.py).

The kubelet decides, by the pure state machine of lifecycle.py, which container starts, is probed, is stopped; a
Runtime does just that and reports what happened. It never looks at the API and never restarts anything by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

__all__ = ["NOT_PROVIDED", "Container", "Exit", "Fault", "ProbeAnswer", "Runtime", "Sandbox", "VolumeContents"]

Json: TypeAlias = dict[str, Any]

NOT_PROVIDED: Final = "NotProvided"  # reason of the event about what a pod or a service asked for and does not get here


class Fault(Exception):
    """A step failed; reason and message are what the pod's status and event will say ("ErrImagePull", "...")."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason, self.message = reason, message


@dataclass(frozen=True, slots=True)
class VolumeContents:
    """Files of a volume that come from the API (configMap, secret, projected, downwardAPI): path -> bytes."""

    files: Mapping[str, bytes]
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A pod's place: its address, and where its files are, for people who look."""

    ip: str
    host_ip: str = ""  # "": the node's own address
    directory: str = ""
    warnings: tuple[str, ...] = ()  # what the pod asked for and does not get here, a sentence each


@dataclass(frozen=True, slots=True)
class Container:
    """One start of one container, everything resolved: env in order, command and args with $(VAR) expanded."""

    pod_uid: str
    name: str
    attempt: int  # 0 for the first start; restartCount
    image: str
    command: tuple[str, ...]  # empty: the image's own entrypoint
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    working_dir: str = ""
    mounts: tuple[Json, ...] = ()  # volumeMounts as in the spec
    resources: Json = field(default_factory=dict)
    security_context: Json = field(default_factory=dict)
    stdin: bool = False


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended. reason: Completed, Error, OOMKilled, StartError, ContainerCannotRun."""

    exit_code: int
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """What one probe said.

    `steady`: it would say so every time, until the runtime calls what it was given in `on_stir`; the kubelet then
    stops asking once the answer has counted. Real processes are never steady.
    """

    good: bool
    output: str = ""
    steady: bool = False


class Runtime(Protocol):
    """What runs a pod's containers. All methods raise Fault for what the user must read, nothing else."""

    def on_stir(self, stirred: Callable[[str, str], None]) -> None:
        """Take the function that tells (pod UID, container) whose steady probe answers may have changed."""
        ...

    def has_image(self, image: str) -> bool:
        """The image is here already: pulling it takes no time and is not announced."""
        ...

    async def pull(self, image: str, policy: str) -> str:
        """Make the image ready; answers its id. Raises Fault ErrImagePull, InvalidImageName, ErrImageNeverPull."""
        ...

    async def create_sandbox(self, pod: Json, volumes: Mapping[str, VolumeContents]) -> Sandbox:
        """Network, names and volumes of the pod. Raises Fault FailedCreatePodSandBox, FailedMount."""
        ...

    async def start(self, container: Container) -> None:
        """Start it; returns once it runs. Raises Fault StartError with the reason."""
        ...

    async def wait(self, pod_uid: str, name: str) -> Exit:
        """Until the container that runs now has ended."""
        ...

    async def terminate(self, pod_uid: str, name: str, grace_seconds: float) -> None:
        """TERM to its main process, KILL to all of it when the grace is over; returns when it is gone.

        A second call while the first one waits can only shorten the grace.
        """
        ...

    async def exec(
        self, pod_uid: str, name: str, command: Sequence[str], *, timeout_seconds: float
    ) -> tuple[int, bytes]:
        """Run a command in the container; its exit code and output. Used by exec probes and hooks."""
        ...

    async def probe(self, pod_uid: str, name: str, probe: Json, *, kind: str) -> ProbeAnswer:
        """One try of an httpGet, tcpSocket, grpc or exec probe, within its timeoutSeconds.

        `kind` says which one it is, in an event's words: Startup, Readiness, Liveness.
        """
        ...

    def logs(self, pod_uid: str, name: str, *, follow: bool, previous: bool) -> AsyncIterator[bytes]:
        """The container's output so far, and with `follow` what comes, until it ends. No tail, no filter."""
        ...

    async def remove_sandbox(self, pod_uid: str) -> None:
        """Everything of the pod goes: what still runs is killed, files and network are taken away."""
        ...
