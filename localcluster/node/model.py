"""The words of a pod's life: what the spec asks, the state it is in, what happens to it, what is to be done.

All values are frozen: lifecycle.py turns one Life into the next. Times are seconds of the node's wall clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, TypeAlias

from localcluster.node.interfaces import Exit

__all__ = [
    "Action",
    "Admitted",
    "Announce",
    "ConfigMissing",
    "ContainerKind",
    "ContainerLife",
    "ContainerSpec",
    "CreateSandbox",
    "Deleted",
    "Ended",
    "Event",
    "Exited",
    "Failed",
    "FinishDeletion",
    "HookDone",
    "Life",
    "PodSpec",
    "ProbeKind",
    "ProbeLife",
    "ProbeSpec",
    "Probed",
    "Pull",
    "PullBegan",
    "PullFailed",
    "Pulled",
    "RemoveSandbox",
    "RunHook",
    "RunProbe",
    "SandboxFailed",
    "SandboxReady",
    "SandboxState",
    "Stage",
    "Start",
    "StartFailed",
    "Started",
    "Stirred",
    "Stop",
    "Tick",
    "spec_of",
]

Json: TypeAlias = dict[str, Any]


class ContainerKind(Enum):
    """Which part a container plays."""

    INIT = "init"  # runs to completion before the next one starts
    SIDECAR = "sidecar"  # an init container with restartPolicy Always: runs beside the others, and outlives them
    MAIN = "main"


class ProbeKind(Enum):
    """The value is the word that events use."""

    STARTUP = "Startup"
    READINESS = "Readiness"
    LIVENESS = "Liveness"

    @property
    def field(self) -> str:
        """The member of the container that holds it: "readinessProbe"."""
        return f"{self.value.lower()}Probe"


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """When to ask, and how many answers count."""

    initial_delay: float
    period: float
    success_threshold: int
    failure_threshold: int
    grace_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """What the life of a container depends on."""

    name: str
    kind: ContainerKind
    image: str
    pull_policy: str
    probes: Mapping[ProbeKind, ProbeSpec]
    post_start: bool = False
    pre_stop: bool = False


@dataclass(frozen=True, slots=True)
class PodSpec:
    """What the life of a pod depends on. `containers`: init containers in their order, then the main ones."""

    uid: str
    namespace: str
    name: str
    containers: tuple[ContainerSpec, ...]
    restart_policy: str
    grace_seconds: float
    active_deadline_seconds: float | None = None


class Stage(Enum):
    """Where a container stands."""

    WAITING = "waiting"  # it is not its turn yet
    PULLING = "pulling"
    PULL_BACKOFF = "pull back-off"
    CONFIG_BACKOFF = "config back-off"  # what its environment needs is not there
    STARTING = "starting"
    RUNNING = "running"
    EXITED = "exited"
    CRASH_BACKOFF = "crash back-off"  # exited, and waits for its restart


_ALIVE = frozenset({Stage.STARTING, Stage.RUNNING})


@dataclass(frozen=True, slots=True)
class Ended:
    """One run of a container that is over."""

    exit: Exit
    started_at: float
    finished_at: float
    attempt: int


@dataclass(frozen=True, slots=True)
class ProbeLife:
    """How one probe of a running container stands. `due` None: nothing is asked until it is stirred."""

    due: float | None
    asked: bool = False  # a try is under way
    successes: int = 0
    failures: int = 0
    steady: bool = False


@dataclass(frozen=True, slots=True)
class ContainerLife:
    """The state of one container."""

    stage: Stage = Stage.WAITING
    starts: int = 0
    image_id: str = ""
    reason: str = ""  # why it waits; "" for the usual words
    message: str = ""
    wake_at: float | None = None  # the end of a back-off
    retry_at: float = 0  # when a failed pull is tried again, a failed container restarted
    pull_failures: int = 0
    backoff_seconds: float = 0  # of restarts: what the next one must wait, counted from the end of the last run
    backoff_at: float = 0  # when that was set
    running_since: float = 0
    started: bool = False  # the startup probe has passed, or there is none
    ready: bool = False
    hook: Literal["", "postStart", "preStop"] = ""  # which runs now
    stopping: bool = False
    killed: bool = False  # the newest run was ended by the node
    stop_deadline: float = 0
    probes: Mapping[ProbeKind, ProbeLife] = field(default_factory=dict)
    ended: Ended | None = None  # the newest run that is over
    previous: Ended | None = None  # the one before

    @property
    def attempt(self) -> int:
        """Number of the newest start, from 0: the API's restartCount."""
        return max(0, self.starts - 1)

    @property
    def alive(self) -> bool:
        """There may be a process."""
        return self.stage in _ALIVE


class SandboxState(Enum):
    """Where the pod's place stands."""

    NONE = "none"
    CREATING = "creating"
    READY = "ready"
    FAILED = "failed"  # and is tried again
    REMOVING = "removing"


@dataclass(frozen=True, slots=True)
class Life:
    """The state of a pod on its node."""

    spec: PodSpec
    containers: tuple[ContainerLife, ...]
    started_at: float | None = None  # when the node took it: status.startTime
    sandbox: SandboxState = SandboxState.NONE
    sandbox_failures: int = 0
    sandbox_wake_at: float | None = None
    ip: str = ""
    host_ip: str = ""
    deleted: bool = False
    stop_deadline: float | None = None  # all containers are to be gone by then
    failure: tuple[str, str] | None = None  # reason and message of a pod that was failed as a whole (Evicted, ...)
    finished: bool = False  # nothing runs and nothing will: the phase is final
    gone: bool = False  # the node has let go of it

    def named(self, name: str) -> tuple[ContainerSpec, ContainerLife]:
        """Spec and state of a container. Raises KeyError."""
        for spec, life in zip(self.spec.containers, self.containers, strict=True):
            if spec.name == name:
                return spec, life
        raise KeyError(name)


# What happens ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Admitted:
    """The node has seen the pod."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The time that was asked for has come."""


@dataclass(frozen=True, slots=True)
class SandboxReady:
    """The pod has its place."""

    ip: str
    host_ip: str


@dataclass(frozen=True, slots=True)
class SandboxFailed:
    """It has none yet: FailedCreatePodSandBox, FailedMount."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class PullBegan:
    """The image is not here: it is being fetched."""

    container: str


@dataclass(frozen=True, slots=True)
class Pulled:
    """The image is ready; `seconds` is None when it was here before."""

    container: str
    image_id: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class PullFailed:
    """ErrImagePull, InvalidImageName, ErrImageNeverPull."""

    container: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ConfigMissing:
    """The container cannot be described: a secret, config map or field is absent."""

    container: str
    message: str


@dataclass(frozen=True, slots=True)
class Started:
    """It runs."""

    container: str


@dataclass(frozen=True, slots=True)
class StartFailed:
    """There was something to run, and it would not start."""

    container: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class HookDone:
    """A postStart or preStop hook ended."""

    container: str
    hook: Literal["postStart", "preStop"]
    good: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Exited:
    """A container ended, by itself or stopped."""

    container: str
    exit: Exit


@dataclass(frozen=True, slots=True)
class Probed:
    """One answer of a probe, to the try of that start of the container."""

    container: str
    kind: ProbeKind
    attempt: int
    good: bool
    output: str = ""
    steady: bool = False


@dataclass(frozen=True, slots=True)
class Stirred:
    """Answers of the container's probes may be different from now on."""

    container: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """The API wants it gone; again with less time when the deletion was hastened."""

    grace_seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The pod as a whole is over: Evicted, Preempting, DeadlineExceeded."""

    reason: str
    message: str
    grace_seconds: float | None = None  # None: the pod's own


Event = (
    Admitted
    | Tick
    | SandboxReady
    | SandboxFailed
    | PullBegan
    | Pulled
    | PullFailed
    | ConfigMissing
    | Started
    | StartFailed
    | HookDone
    | Exited
    | Probed
    | Stirred
    | Deleted
    | Failed
)


# What is to be done ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CreateSandbox:
    """Answered by SandboxReady or SandboxFailed."""


@dataclass(frozen=True, slots=True)
class Pull:
    """Answered by (PullBegan and) Pulled or PullFailed."""

    container: str


@dataclass(frozen=True, slots=True)
class Start:
    """Answered by Started, StartFailed or ConfigMissing, and once it runs by Exited some day."""

    container: str
    attempt: int


@dataclass(frozen=True, slots=True)
class RunProbe:
    """Answered by Probed."""

    container: str
    kind: ProbeKind
    attempt: int


@dataclass(frozen=True, slots=True)
class RunHook:
    """Answered by HookDone, at the latest when the time is over (None: no limit)."""

    container: str
    hook: Literal["postStart", "preStop"]
    limit_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """TERM, and KILL when the grace is over; its Exited follows. May come again with less grace."""

    container: str
    grace_seconds: float


@dataclass(frozen=True, slots=True)
class RemoveSandbox:
    """The node lets go of everything."""


@dataclass(frozen=True, slots=True)
class FinishDeletion:
    """Delete the object itself, with grace 0."""


@dataclass(frozen=True, slots=True)
class Announce:
    """An event for the user; about a container where one is named."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    container: str = ""


Action = CreateSandbox | Pull | Start | RunProbe | RunHook | Stop | RemoveSandbox | FinishDeletion | Announce


# Reading the spec --------------------------------------------------------------------------------------------------


def spec_of(pod: Json) -> PodSpec:
    """What of a pod's JSON its life depends on; defaults as the API server fills them in."""
    metadata, spec = pod["metadata"], pod["spec"]
    inits = [
        _container(one, ContainerKind.SIDECAR if one.get("restartPolicy") == "Always" else ContainerKind.INIT)
        for one in spec.get("initContainers") or ()
    ]
    mains = [_container(one, ContainerKind.MAIN) for one in spec["containers"]]
    return PodSpec(
        uid=metadata.get("uid", ""),
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        containers=(*inits, *mains),
        restart_policy=spec.get("restartPolicy", "Always"),
        grace_seconds=_given(spec, "terminationGracePeriodSeconds", 30),
        active_deadline_seconds=spec.get("activeDeadlineSeconds"),
    )


def _container(one: Json, kind: ContainerKind) -> ContainerSpec:
    lifecycle = one.get("lifecycle") or {}
    return ContainerSpec(
        name=one["name"],
        kind=kind,
        image=one.get("image", ""),
        pull_policy=one.get("imagePullPolicy", "IfNotPresent"),
        probes={
            probe: _probe(one[probe.field], probe)
            for probe in ProbeKind
            if one.get(probe.field) and kind is not ContainerKind.INIT
        },
        post_start=bool(lifecycle.get("postStart")),
        pre_stop=bool(lifecycle.get("preStop")),
    )


def _probe(probe: Json, kind: ProbeKind) -> ProbeSpec:
    return ProbeSpec(
        initial_delay=_given(probe, "initialDelaySeconds", 0),
        period=_given(probe, "periodSeconds", 10) or 10,
        success_threshold=int(_given(probe, "successThreshold", 1)) if kind is ProbeKind.READINESS else 1,
        failure_threshold=int(_given(probe, "failureThreshold", 3)) or 3,
        grace_seconds=probe.get("terminationGracePeriodSeconds"),
    )


def _given(where: Json, key: str, otherwise: float) -> float:
    value = where.get(key)
    return otherwise if value is None else value
