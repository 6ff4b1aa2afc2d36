"""What is said to a Ray dashboard and what comes back, as data (spec rayjob §11, ray-side §4.3).

A controller never talks to Ray. It states, whole, what it wants (`Wants`), and reads what is known (`Known`), with
its age; a session in between does the talking (design.md §2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Protocol

from api.meta import Ref

__all__ = [
    "ApplicationInfo",
    "DeleteJob",
    "DeploymentInfo",
    "Effect",
    "EffectState",
    "JobInfo",
    "JobStatus",
    "Known",
    "Proxy",
    "ProxyInfo",
    "PutServe",
    "ServeInfo",
    "Sessions",
    "StopJob",
    "Submission",
    "SubmitJob",
    "Target",
    "Wants",
]

JobStatus = str  # "", PENDING, RUNNING, STOPPED, SUCCEEDED, FAILED, or what Ray says some day (spec rayjob §2.1)


@dataclass(frozen=True, slots=True)
class Target:
    """Whose dashboard. A session is keyed by (cluster_uid, head_run): it dies with that head."""

    cluster_uid: str
    head_run: str  # one run of one head pod's Ray container: what it knew is gone when it restarts, too
    namespace: str
    url: str  # "http://host:8265"
    token_secret: str = ""  # name of the Secret with key auth_token; "" without token auth


@dataclass(frozen=True)
class Submission:
    """What POST /api/jobs/ is given (spec rayjob §11.1). Two are the same when all members are."""

    entrypoint: str
    submission_id: str
    runtime_env: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    entrypoint_num_cpus: float = 0
    entrypoint_num_gpus: float = 0
    entrypoint_resources: Mapping[str, float] = field(default_factory=dict)

    def __hash__(self) -> int:
        """By its id: the mappings inside have no hash of their own."""
        return hash(self.submission_id)

    def body(self) -> dict[str, Any]:
        """The JSON body: empty members are left out, `entrypoint` never."""
        members = {
            "submission_id": self.submission_id,
            "runtime_env": dict(self.runtime_env),
            "metadata": dict(self.metadata),
            "entrypoint_num_cpus": self.entrypoint_num_cpus,
            "entrypoint_num_gpus": self.entrypoint_num_gpus,
            "entrypoint_resources": dict(self.entrypoint_resources),
        }
        return {"entrypoint": self.entrypoint} | {name: value for name, value in members.items() if value}


@dataclass(frozen=True, slots=True)
class SubmitJob:
    """Submit, unless a job of that id with our entrypoint and metadata is there already."""

    submission: Submission


@dataclass(frozen=True, slots=True)
class StopJob:
    """Stop the job; a job that is terminal or unknown is stopped."""

    submission_id: str


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete the job's record; unknown is deleted."""

    submission_id: str


@dataclass(frozen=True, slots=True)
class PutServe:
    """Give Serve this configuration, whole: what it does not name goes. The same again is no change (S4-26)."""

    digest: str  # of the body: how it is known across restarts
    body: str = field(repr=False)  # JSON


Effect = SubmitJob | StopJob | DeleteJob | PutServe


@dataclass(frozen=True, slots=True)
class Proxy:
    """A Serve proxy: the door through which one pod takes requests."""

    pod_uid: str
    url: str  # "http://10.1.2.3:8000"


@dataclass(frozen=True, slots=True)
class Wants:
    """All that one object wants of one dashboard now: the jobs it asks about, and the effects to have.

    `serve` asks about all of Serve's applications, `proxies` whether those doors are open.

    A `mark` that changed asks anew, at once; it comes back in `Known.mark` with the first question answered, or
    failed, that was asked since. So whoever must judge by a fresh answer compares marks and no clocks.

    `touch`: the head may be another than the one under which the jobs began. Ray goes on saying RUNNING of a job
    whose driver died with a head until something touches its job agent (ray-side S4-22); the first answer of a
    session that says so is followed by such a touch.
    """

    target: Target
    jobs: tuple[str, ...] = ()
    effects: tuple[Effect, ...] = ()
    mark: str = ""
    touch: bool = False
    serve: bool = False
    proxies: tuple[Proxy, ...] = ()


@dataclass(frozen=True, slots=True)
class JobInfo:
    """GET /api/jobs/{id} (spec rayjob §11.3). Times are Unix milliseconds, 0 when unknown."""

    status: JobStatus
    message: str = ""
    start_time: int = 0
    end_time: int = 0
    entrypoint: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeploymentInfo:
    """A deployment of an application; words as Serve says them."""

    status: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class ApplicationInfo:
    """An application. `route_prefix` None: it is not routed."""

    status: str
    message: str = ""
    route_prefix: str | None = None
    deployments: Mapping[str, DeploymentInfo] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServeInfo:
    """GET /api/serve/applications/ (spec rayservice §11.2): the applications by name; none when Serve does not run."""

    applications: Mapping[str, ApplicationInfo] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProxyInfo:
    """What a proxy answers: whether it is healthy, and the route prefixes that it knows, if it was asked and said."""

    healthy: bool
    routes: frozenset[str] = frozenset()
    problem: str = ""


class EffectState(Enum):
    """How far an effect has come."""

    WAITING = "waiting"
    DONE = "done"
    REFUSED = "refused"  # Ray said no for good: the id is taken by a foreign job, the body is not understood
    FAILED = "failed"  # it could not be done yet; it is tried again


@dataclass(frozen=True, slots=True)
class Known:
    """What a session knows for one object, at the time it is read. Times are the wall clock of the session.

    `job` is the newest answer; None with `missing` when Ray answered that it knows no such job; None without it when
    there was no answer yet. `failing_since` is the first of the polls that fail without a break, `error` the last
    one's words. `asked_at` is the time of the newest poll that was answered; `mark` is that of the wants for which
    the newest poll was made.
    """

    job: JobInfo | None = None
    missing: bool = False
    asked_at: datetime | None = None
    failing_since: datetime | None = None
    error: str = ""
    mark: str = ""
    effects: Mapping[Effect, tuple[EffectState, str]] = field(default_factory=dict)
    serve: ServeInfo | None = None
    proxies: Mapping[Proxy, ProxyInfo] = field(default_factory=dict)


class Sessions(Protocol):
    """The watched dashboards. Both methods are synchronous and never fail; news wakes the key through its queue."""

    def want(self, key: Ref, *wants: Wants | None) -> None:
        """Replace all that `key` wants by these, one a dashboard; None is nothing. What was not yet sent is dropped."""
        ...

    def known(self, key: Ref, target: Target | None = None) -> Known:
        """What is known for `key`'s wants of that run of a head; empty before anything is wanted of it and answered.

        Without a target: of the only one that `key` asks, whether or not that head still runs.
        """
        ...
