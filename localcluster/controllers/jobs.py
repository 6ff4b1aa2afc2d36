"""The Job controller: pods are made until enough have succeeded or too many have failed (spec rayjob §8.2).

`judge` is pure: a Job, its pods and the time -> what to write. What is done here as the real controller does it: pods
carry a tracking finalizer that is taken off once they are counted in the status; a condition that will end the Job
(SuccessCriteriaMet, FailureTarget) stands first, and Complete or Failed only when no pod runs any more; failed pods
are replaced after 10 s, doubling to 10 min. Indexed Jobs and success or failure policies are not run.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from localcluster.api import Api, Json, Refusal
from localcluster.mirror import Key, Mirrors, key_of
from localcluster.recorder import Recorder
from localcluster.worklist import Worklist

__all__ = ["Backoff", "JobController", "Judgement", "judge"]

TRACKING = "batch.kubernetes.io/job-tracking"
JOBS = "jobs.batch"
POD_NEWS = 1.0  # seconds for which the real one gathers what it hears of a Job's pods
FIRST_DELAY, MOST_DELAY = 10.0, 600.0  # seconds before a failed pod is replaced
_FINAL = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Backoff:
    """Failures since the last success, and when the last one was."""

    failures: int = 0
    last: float = 0.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a Job needs now."""

    status: Json  # the whole status
    create: int = 0
    delete: tuple[Json, ...] = ()
    counted: tuple[Json, ...] = ()  # pods whose finalizer goes once the status is written
    backoff: Backoff = Backoff()
    look_again: float | None = None
    says: tuple[tuple[Literal["Normal", "Warning"], str, str], ...] = ()
    expired: bool = False  # its time to live after the end is over


@dataclass(slots=True)
class _Case:
    """One Job being judged."""

    job: Json
    now: float
    active: list[Json]
    going: list[Json]
    ended: list[Json]  # ended or given up, and still tracked
    status: Json
    conditions: list[Json]
    backoff: Backoff
    backoff_before: Backoff
    says: list[tuple[Literal["Normal", "Warning"], str, str]] = field(default_factory=list)

    @property
    def spec(self) -> Json:
        spec: Json = self.job["spec"]
        return spec

    def condition(self, type_: str) -> Json | None:
        return next((one for one in self.conditions if one["type"] == type_ and one["status"] == "True"), None)

    def set(self, type_: str, reason: str, message: str, *, good: bool = True) -> None:
        moment = _time(self.now)
        fresh = {
            "type": type_,
            "status": "True" if good else "False",
            "lastProbeTime": moment,
            "lastTransitionTime": moment,
            "reason": reason,
            "message": message,
        }
        self.conditions = [*(one for one in self.conditions if one["type"] != type_), fresh]


def judge(
    job: Json, pods: Iterable[Json], now: float, backoff: Backoff = Backoff(), counted: Container[str] = ()
) -> Judgement:
    """What to do about a Job. `pods` are all that it controls; those whose uid is in `counted` stand in its status."""
    case = _case(job, pods, now, backoff)
    if case.condition("Complete") or case.condition("Failed"):
        return _after_the_end(case)
    suspended = bool(case.spec.get("suspend"))
    if not suspended and not case.status.get("startTime"):
        case.status["startTime"] = _time(now)
    fresh = [pod for pod in case.ended if pod["metadata"]["uid"] not in counted]
    _count(case, fresh)
    if case.condition("SuccessCriteriaMet") is None and case.condition("FailureTarget") is None:
        _decide_end(case)
        if case.condition("SuccessCriteriaMet") or case.condition("FailureTarget"):
            return _announced(case, fresh)
    ending = case.condition("SuccessCriteriaMet") or case.condition("FailureTarget")
    if ending is not None:
        return _end(case, ending)
    if suspended != bool(case.condition("Suspended")):
        _turn(case, suspended=suspended)
    return _go_on(case, suspended=suspended)


def _case(job: Json, pods: Iterable[Json], now: float, backoff: Backoff) -> _Case:
    active: list[Json] = []
    going: list[Json] = []
    ended: list[Json] = []
    for pod in pods:
        final = (pod.get("status") or {}).get("phase") in _FINAL
        deleted = bool(pod["metadata"].get("deletionTimestamp"))
        if TRACKING in (pod["metadata"].get("finalizers") or ()) and (final or deleted):
            ended.append(pod)
        if not final:
            (going if deleted else active).append(pod)
    status = {key: value for key, value in (job.get("status") or {}).items() if key != "conditions"}
    conditions = list((job.get("status") or {}).get("conditions") or [])
    return _Case(job, now, active, going, ended, status, conditions, backoff, backoff)


def _count(case: _Case, fresh: list[Json]) -> None:
    """Pods that ended since the last time; a deleted one that did not succeed has failed."""
    for pod in sorted(fresh, key=lambda one: _ended_at(one, case.now)):
        good = (pod.get("status") or {}).get("phase") == "Succeeded"
        word = "succeeded" if good else "failed"
        case.status[word] = case.status.get(word, 0) + 1
        case.backoff = Backoff() if good else Backoff(case.backoff.failures + 1, _ended_at(pod, case.now))


def _ended_at(pod: Json, now: float) -> float:
    times = [
        _seconds(one["state"]["terminated"]["finishedAt"])
        for one in (pod.get("status") or {}).get("containerStatuses") or ()
        if "terminated" in (one.get("state") or {})
    ]
    return max(times, default=now)


def _decide_end(case: _Case) -> None:
    spec = case.spec
    completions = spec.get("completions")
    succeeded, failed = case.status.get("succeeded", 0), case.status.get("failed", 0)
    limit = spec.get("activeDeadlineSeconds")
    began = case.status.get("startTime")
    backoff_limit = 6 if spec.get("backoffLimit") is None else spec["backoffLimit"]
    if failed > backoff_limit or _restarts(case.active, spec) > backoff_limit:
        case.set("FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    elif limit is not None and began and not spec.get("suspend") and case.now >= _seconds(began) + limit:
        case.set("FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline")
    elif _completed(completions, succeeded, running=bool(case.active)):
        case.set("SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods")


def _announced(case: _Case, fresh: Sequence[Json]) -> Judgement:
    """The coming end stands there, and its pods as uncounted, before anything is done about either."""
    told = case.job.get("status") or {}
    for word in ("succeeded", "failed"):
        case.status[word] = told.get(word, 0)
    uncounted: dict[str, list[str]] = {}
    for pod in fresh:
        good = (pod.get("status") or {}).get("phase") == "Succeeded"
        uncounted.setdefault("succeeded" if good else "failed", []).append(pod["metadata"]["uid"])
    case.ended.clear()  # they keep their finalizer until they are counted
    before = case.backoff_before
    verdict = _judgement(case, look_again=0.0)
    return replace(verdict, backoff=before, status={**verdict.status, "uncountedTerminatedPods": uncounted})


def _completed(completions: int | None, succeeded: int, *, running: bool) -> bool:
    if completions is None:  # a work queue: done when one worker found it empty and the others have ended
        return succeeded > 0 and not running
    return succeeded >= completions


def _restarts(pods: Sequence[Json], spec: Json) -> int:
    """With restartPolicy OnFailure containers fail in place; their restarts count."""
    if spec["template"]["spec"].get("restartPolicy") != "OnFailure":
        return 0
    statuses = [
        one
        for pod in pods
        for member in ("initContainerStatuses", "containerStatuses")
        for one in (pod.get("status") or {}).get(member) or ()
    ]
    return sum(one.get("restartCount", 0) for one in statuses)


def _end(case: _Case, ending: Json) -> Judgement:
    """All that still runs goes; when nothing does, the Job is over."""
    if not case.active and not case.going:
        good = ending["type"] == "SuccessCriteriaMet"
        case.set("Complete" if good else "Failed", ending["reason"], ending["message"])
        if good:
            case.status["completionTime"] = _time(case.now)
            case.says.append(("Normal", "Completed", "Job completed"))
        else:
            case.says.append(("Warning", ending["reason"], ending["message"]))
    return _judgement(case, delete=tuple(case.active))


def _after_the_end(case: _Case) -> Judgement:
    ttl = case.spec.get("ttlSecondsAfterFinished")
    end = case.condition("Complete") or case.condition("Failed")
    if ttl is None or end is None:
        return _judgement(case)
    left = _seconds(end["lastTransitionTime"]) + ttl - case.now
    return _judgement(case, look_again=max(0.0, left), expired=left <= 0)


def _turn(case: _Case, *, suspended: bool) -> None:
    if suspended:
        case.set("Suspended", "JobSuspended", "Job suspended")
        case.says.append(("Normal", "Suspended", "Job suspended"))
        case.status.pop("startTime", None)
        return
    if any(one["type"] == "Suspended" for one in case.conditions):
        case.set("Suspended", "JobResumed", "Job resumed", good=False)
        case.says.append(("Normal", "Resumed", "Job resumed"))
        case.status["startTime"] = _time(case.now)


def _go_on(case: _Case, *, suspended: bool) -> Judgement:
    parallelism = 1 if case.spec.get("parallelism") is None else case.spec["parallelism"]
    completions = case.spec.get("completions")
    succeeded = case.status.get("succeeded", 0)
    wanted = 0 if suspended else parallelism
    if completions is not None:
        wanted = min(wanted, completions - succeeded)
    elif succeeded:
        wanted = len(case.active)  # a work queue whose first worker is done starts no more
    waits_for_end = case.spec.get("podReplacementPolicy") == "Failed"
    missing = wanted - len(case.active) - (len(case.going) if waits_for_end else 0)
    surplus = tuple(case.active[wanted:]) if len(case.active) > wanted else ()
    times = []
    limit = case.spec.get("activeDeadlineSeconds")
    if limit is not None and case.status.get("startTime"):
        times.append(_seconds(case.status["startTime"]) + limit - case.now)
    delay = _delay(case)
    if missing > 0 and delay > 0:
        times.append(delay)
        missing = 0
    return _judgement(case, create=max(0, missing), delete=surplus, look_again=min(times, default=None))


def _delay(case: _Case) -> float:
    """Until the next pod may start: 10 s after the first failure without a success since, doubling."""
    failures = case.backoff.failures
    if not failures:
        return 0.0
    wait = min(FIRST_DELAY * 2.0 ** (failures - 1), MOST_DELAY)
    return max(0.0, case.backoff.last + wait - case.now)


def _judgement(case: _Case, **more: Any) -> Judgement:
    status = {
        **case.status,
        "active": len(case.active) + more.get("create", 0) - len(more.get("delete", ())),
        "ready": sum(1 for pod in case.active if _is_ready(pod)),
        "terminating": len(case.going) + len(more.get("delete", ())),
        "uncountedTerminatedPods": {},
    }
    if case.conditions:
        status["conditions"] = case.conditions
    for empty in ("active", "succeeded", "failed"):
        if not status.get(empty):
            status.pop(empty, None)
    return Judgement(status=status, counted=tuple(case.ended), backoff=case.backoff, says=tuple(case.says), **more)


def _is_ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


class JobController:
    """Runs the Jobs of all namespaces."""

    def __init__(self, api: Api, mirrors: Mirrors, *, now: Callable[[], datetime]) -> None:
        self._api, self._mirrors, self._now = api, mirrors, now
        self._recorder = Recorder(api, "job-controller", now=now)
        self._work: Worklist[Key] = Worklist(self._look)
        self._orphans: Worklist[Key] = Worklist(self._let_go)
        self._pods: dict[str, dict[str, Json]] = defaultdict(dict)  # job uid -> its pods by uid, our newest creates too
        self._newest: dict[Key, Json] = {}  # jobs as our last write left them
        self._backoffs: dict[str, Backoff] = {}
        self._counted: dict[str, set[str]] = defaultdict(set)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recorder.run())
            await self._mirrors.synced(JOBS, "pods")
            self._mirrors.of("pods").subscribe(self._pod_changed)
            self._mirrors.of(JOBS).subscribe(self._job_changed)
            group.create_task(self._work.run())
            group.create_task(self._orphans.run())

    def _job_changed(self, old: Json | None, new: Json | None) -> None:
        if new is not None:
            self._work.add(key_of(new))
        elif old is not None:
            uid = old["metadata"]["uid"]
            self._newest.pop(key_of(old), None)
            self._backoffs.pop(uid, None)
            self._counted.pop(uid, None)
            for pod in self._pods.pop(uid, {}).values():
                self._orphans.add(key_of(pod))

    def _pod_changed(self, old: Json | None, new: Json | None) -> None:
        pod = new or old
        owner = _controller(pod) if pod is not None else None
        if pod is None or owner is None:
            return
        job = self._mirrors.of(JOBS).get(pod["metadata"]["namespace"], owner["name"])
        if job is None or job["metadata"]["uid"] != owner["uid"]:
            if new is not None:
                self._orphans.add(key_of(new))
            return
        if new is None:
            self._pods[owner["uid"]].pop(pod["metadata"]["uid"], None)
        else:
            self._pods[owner["uid"]][pod["metadata"]["uid"]] = new
        self._work.add_after(key_of(job), POD_NEWS)

    async def _let_go(self, key: Key) -> float | None:
        """The Job of the pod is gone: nobody counts it any more."""
        pod = self._mirrors.of("pods").objects.get(key)
        if pod is not None:
            await self._untrack(pod)
        return None

    async def _look(self, key: Key) -> float | None:
        job = self._newer(key)
        if (
            job is None
            or job["spec"].get("managedBy", "kubernetes.io/job-controller") != "kubernetes.io/job-controller"
        ):
            return None
        uid = job["metadata"]["uid"]
        counted = self._counted[uid]
        backoff = self._backoffs.get(uid, Backoff())
        pods = list(self._pods.get(uid, {}).values())
        verdict = judge(job, pods, self._now().timestamp(), backoff, counted)
        if verdict.expired:
            await self._expire(job)
            return None
        await self._publish(key, job, verdict.status)
        self._backoffs[uid] = verdict.backoff
        counted.update(pod["metadata"]["uid"] for pod in verdict.counted)
        for type_, reason, message in verdict.says:
            self._say(job, type_, reason, message)
        for pod in verdict.counted:
            await self._untrack(pod)
        for pod in verdict.delete:
            await self._delete(job, pod)
        if not job["metadata"].get("deletionTimestamp"):
            for _ in range(verdict.create):
                await self._create(job)
        return verdict.look_again

    def _newer(self, key: Key) -> Json | None:
        """The Job, at least as new as our own last write."""
        seen, ours = self._mirrors.of(JOBS).objects.get(key), self._newest.get(key)
        if seen is None or ours is None or seen["metadata"]["uid"] != ours["metadata"]["uid"]:
            return seen
        return max(seen, ours, key=lambda one: int(one["metadata"]["resourceVersion"]))

    async def _publish(self, key: Key, job: Json, status: Json) -> None:
        old = job.get("status") or {}
        change: Json = {name: value for name, value in status.items() if old.get(name) != value}
        change |= {name: None for name in old if name not in status}
        uncounted = old.get("uncountedTerminatedPods") or {}
        if "uncountedTerminatedPods" in change:  # a merge patch takes away only what it names
            change["uncountedTerminatedPods"] = dict.fromkeys(uncounted) | change["uncountedTerminatedPods"]
        if not change:
            return
        metadata = job["metadata"]
        body = {
            "metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
            "status": change,
        }
        self._newest[key] = await self._api.patch(JOBS, key[0], key[1], body, subresource="status")

    async def _create(self, job: Json) -> None:
        try:
            pod = await self._api.create("pods", job["metadata"]["namespace"], _pod(job))
        except Refusal as refusal:
            self._say(job, "Warning", "FailedCreate", f"Error creating: {refusal.message}")
            raise
        self._pods[job["metadata"]["uid"]].setdefault(pod["metadata"]["uid"], pod)
        self._say(job, "Normal", "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")

    async def _delete(self, job: Json, pod: Json) -> None:
        metadata = pod["metadata"]
        try:
            await self._api.delete("pods", metadata["namespace"], metadata["name"], uid=metadata["uid"])
        except Refusal as refusal:
            if refusal.code not in (404, 409):
                raise
            return
        self._say(job, "Normal", "SuccessfulDelete", f"Deleted pod: {metadata['name']}")

    async def _untrack(self, pod: Json) -> None:
        metadata = pod["metadata"]
        if TRACKING not in (metadata.get("finalizers") or ()):
            return
        left = [one for one in metadata["finalizers"] if one != TRACKING]
        body = {
            "metadata": {
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
                "finalizers": left or None,
            }
        }
        try:
            await self._api.patch("pods", metadata["namespace"], metadata["name"], body)
        except Refusal as refusal:
            if refusal.code == 409:  # its change is on the way here, and brings us back
                return
            if refusal.code not in (404, 422):
                raise

    async def _expire(self, job: Json) -> None:
        metadata = job["metadata"]
        try:
            await self._api.delete(
                JOBS, metadata["namespace"], metadata["name"], uid=metadata["uid"], propagation="Foreground"
            )
        except Refusal as refusal:
            if refusal.code not in (404, 409):
                raise

    def _say(self, job: Json, type_: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        about = {"kind": "Job", "apiVersion": "batch/v1", "metadata": job["metadata"]}
        self._recorder.say(about, type_, reason, message)


def _controller(pod: Json) -> Json | None:
    """The owner reference of the Job that controls the pod."""
    for owner in pod["metadata"].get("ownerReferences") or ():
        if owner.get("controller") and owner["kind"] == "Job" and owner["apiVersion"].startswith("batch/"):
            return dict(owner)
    return None


def _pod(job: Json) -> Json:
    metadata, template = job["metadata"], job["spec"]["template"]
    given = template.get("metadata") or {}
    labels = {
        **(given.get("labels") or {}),
        "batch.kubernetes.io/controller-uid": metadata["uid"],
        "batch.kubernetes.io/job-name": metadata["name"],
        "controller-uid": metadata["uid"],
        "job-name": metadata["name"],
    }
    owner = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{metadata['name'][:57]}-",
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": given.get("annotations") or {},
            "finalizers": [*(given.get("finalizers") or ()), TRACKING],
            "ownerReferences": [owner],
        },
        "spec": template["spec"],
    }
