"""A RayJob's life without a cluster: passes over a world of plain objects, for pure tests of the RayJob's judgement.

Each pass observes the world, decides, carries the writes out on the world (or refuses those named in `refuse`), and
reports, as the controller does; time moves only when told.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from api.meta import Json, format_time
from controller.ray.dashboard.protocol import Effect, EffectState, JobInfo, Known, SubmitJob, Wants
from controller.ray.options import Options
from controller.ray.rayjob.decide import Decision, decide
from controller.ray.rayjob.seen import Seen, spec_of
from controller.ray.rayjob.status import Report, report
from controller.runtime.errors import Forbidden
from controller.runtime.plan import Announcement, Create, Delete, MergePatch, Outcome, Verdict, Write, ref_of

__all__ = ["START", "RayJobHistory", "k8s_job", "rayjob"]

START = datetime(2026, 1, 1, 12, tzinfo=UTC)

HEAD_TEMPLATE: Json = {"spec": {"containers": [{"name": "ray-head", "image": "rayproject/ray:2.52.0"}]}}


def rayjob(name: str = "train", **spec: Any) -> Json:
    """A RayJob as the API server stores it, with its defaults; `spec` by wire names."""
    defaults: Json = {
        "entrypoint": "python train.py",
        "submissionMode": "HTTPMode",
        "rayClusterSpec": {"rayVersion": "2.52.0", "headGroupSpec": {"template": HEAD_TEMPLATE}},
        "backoffLimit": 0,
        "ttlSecondsAfterFinished": 0,
    }
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": "1"},
        "spec": defaults | spec,
    }


def k8s_job(name: str = "train", **spec: Any) -> Json:
    """A RayJob with the default way of submission."""
    return rayjob(name, submissionMode="K8sJobMode", **spec)


class RayJobHistory:
    """The world of one RayJob; change its fields between passes."""

    def __init__(self, job: Json, options: Options | None = None) -> None:
        self.job, self.options, self.now = job, options or Options(), START
        self.cluster: Json | None = None
        self.submitter: Json | None = None
        self.service: Json | None = None
        self.head_service: Json | None = None
        self.head_run = ""
        self.known = Known()
        self.refuse: set[str] = set()
        self.events: list[Announcement] = []
        self.writes: list[Write] = []
        self.status_writes = 0
        self.wants: Wants | None = None
        self.gone = False
        self.error: Exception | None = None
        self.requeue_after: timedelta | None = None
        self.fresh = ("aaaaa", "bbbbb")

    @property
    def status(self) -> Mapping[str, Any]:
        """The stored status."""
        return self.job.get("status") or {}

    @property
    def phase(self) -> str:
        """status.jobDeploymentStatus."""
        return str(self.status.get("jobDeploymentStatus", ""))

    @property
    def reasons(self) -> list[str]:
        """Reasons of all events so far."""
        return [event.reason for event in self.events]

    def exists(self, what: str) -> bool:
        """Is there a cluster, submitter or service?"""
        return getattr(self, what) is not None

    def loses(self, what: str) -> RayJobHistory:
        """Somebody deletes the cluster, the submitter or the service."""
        setattr(self, what, None)
        return self

    def later(self, **interval: float) -> RayJobHistory:
        """Time passes."""
        self.now += timedelta(**interval)
        return self

    def see(self) -> Seen:
        """The world as observed now."""
        job = copy.deepcopy(self.job)
        spec, malformed = spec_of(job)
        return Seen(
            job=job,
            spec=spec,
            malformed=malformed,
            options=self.options,
            cluster=copy.deepcopy(self.cluster),
            head_run=self.head_run,
            head_service=self.head_service,
            service=self.service,
            submitter=copy.deepcopy(self.submitter),
            known=self.known,
            fresh=self.fresh,
        )

    def run(self, passes: int = 1, *, invalid: Announcement | None = None) -> RayJobHistory:
        """So many passes of the controller."""
        for _ in range(passes):
            seen = self.see()
            decision = decide(seen, self.now, invalid)
            self.wants = decision.plan.wants
            if decision.plan.record is not None:
                self.carry_out(decision.plan.record)
                continue
            outcomes = [self.carry_out(write) for write in decision.plan.writes]
            self.conclude(seen, decision, outcomes)
        return self

    def conclude(self, seen: Seen, decision: Decision, outcomes: list[Outcome]) -> None:
        """Status, events and the next look."""
        result: Report = report(seen, decision, outcomes, self.now)
        self.events += result.events
        self.error, self.requeue_after = result.result.error, result.result.requeue_after
        if result.status is not None:
            self.job["status"] = result.status
            self.status_writes += 1

    def carry_out(self, write: Write) -> Outcome:
        """One write, done to the world."""
        why = str(write.why)
        if why in self.refuse:
            error = Forbidden("create", ref_of(write), code=403, message="exceeded quota")
            return Outcome(write, Verdict.REFUSED, error=error)
        self.writes.append(write)
        match write:
            case Create(body=body):
                stored = copy.deepcopy(body)
                stored["metadata"] |= {"uid": f"uid-{why}-{len(self.writes)}", "resourceVersion": "1"}
                setattr(self, why, stored)
            case Delete():
                if why == "self":
                    self.gone = True
                else:
                    setattr(self, why, None)
            case MergePatch(body=body):
                target = self.job if why == "finalizer" else getattr(self, why)
                for part, members in body.items():
                    target[part] = {**target[part], **members}
        return Outcome(write, Verdict.DONE)

    # What others do to the world

    def cluster_becomes_ready(self) -> RayJobHistory:
        """The RayCluster controller has done its work."""
        assert self.cluster is not None
        name = self.cluster["metadata"]["name"]
        self.cluster["status"] = {"state": "ready", "head": {"serviceName": f"{name}-head-svc"}}
        ports = [{"name": "dashboard", "port": 8265}]
        metadata = {"name": f"{name}-head-svc", "namespace": "default"}
        self.head_service = {"metadata": metadata, "spec": {"ports": ports}}
        self.head_run = f"head-of-{name}"
        return self

    def ray_says(self, status: str, message: str = "", *, started: int = 0, ended: int = 0) -> RayJobHistory:
        """The dashboard answered a poll now."""
        info = JobInfo(status, message, start_time=started, end_time=ended)
        self.known = Known(job=info, asked_at=self.now, effects=self.known.effects, mark=self.see().mark)
        return self

    def ray_knows_no_job(self) -> RayJobHistory:
        """The dashboard answered 404."""
        self.known = Known(missing=True, asked_at=self.now, mark=self.see().mark)
        return self

    def ray_is_silent(self, error: str = "connection refused") -> RayJobHistory:
        """The dashboard does not answer since now."""
        self.known = Known(job=self.known.job, failing_since=self.known.failing_since or self.now, error=error)
        return self

    def submission(self, state: EffectState, message: str = "") -> RayJobHistory:
        """What became of the wanted submission."""
        assert self.wants is not None
        effects: dict[Effect, tuple[EffectState, str]] = {
            effect: (state, message) for effect in self.wants.effects if isinstance(effect, SubmitJob)
        }
        self.known = Known(missing=self.known.missing, asked_at=self.now, effects=effects)
        return self

    def submitter_ends(self, condition: str, reason: str = "", message: str = "") -> RayJobHistory:
        """The submitter's Job is Complete or Failed now."""
        assert self.submitter is not None
        ended = {"type": condition, "status": "True", "reason": reason, "message": message}
        self.submitter["status"] = {"conditions": [ended | {"lastTransitionTime": format_time(self.now)}]}
        return self

    def running(self) -> RayJobHistory:
        """From nothing to Running."""
        self.run(3)
        self.cluster_becomes_ready()
        self.run(2)
        assert self.phase == "Running", self.phase
        return self
