"""A stand-in for the Ray dashboards of all heads: the Jobs REST (spec ray-side §4.3) and Serve, literally.

It answers where a head runs: a host name is a head Service, behind which a pod's Ray container must be up. Its jobs
live with that container: a restarted head knows none of them. How a job goes is computed from the time when it is
looked at, so nothing ticks.

    dashboards.script("*", runs_seconds=60, outcome="FAILED", code=1)
    dashboards.unreachable("r-head-svc*")

`Dashboards.serve` is Ray Serve on all of them. `Dashboards.request` is the operator's RayTransport;
`Dashboards.submitter` is what a scripted submitter pod does.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from controller.ray.dashboard.http import NoAnswer
from localcluster.node.interfaces import Container, Exit
from localcluster.testing.serve import APPLICATIONS, Serve

__all__ = ["Dashboards", "JobScript", "RayRequest"]

Json: TypeAlias = dict[str, Any]
Head: TypeAlias = str  # one run of one head's Ray container
Answer: TypeAlias = tuple[int, bytes]

TERMINAL = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
STOP_SECONDS = 2.0  # S4-17: the state changes 1-3 s later
AGENT_SECONDS = 10.0  # how long a head looks for an agent before it says that there is none
SUBMITTER_LOOKS = 2.0  # the submit script's own wait between two tries
LOG_TAIL_SECONDS = 5.0  # `ray job logs --follow` takes that long even for a finished job (ray-side §5)
NOBODY = "500 Internal Server Error\n\nServer got itself in trouble"
FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "entrypoint": str,
    "submission_id": str,
    "job_id": str,
    "runtime_env": dict,
    "metadata": dict,
    "entrypoint_num_cpus": (int, float),
    "entrypoint_num_gpus": (int, float),
    "entrypoint_memory": int,
    "entrypoint_resources": dict,
    "entrypoint_label_selector": dict,
}


@dataclass(frozen=True, slots=True)
class JobScript:
    """How a job goes. `runs_seconds` None: until it is stopped."""

    pending_seconds: float = 1.0
    runs_seconds: float | None = 10.0
    outcome: Literal["SUCCEEDED", "FAILED"] = "SUCCEEDED"
    code: int = 0  # the driver's exit code, of a failed one
    message: str = ""  # "": as Ray words it
    log: str = ""


@dataclass(slots=True)
class _Job:
    body: Json
    script: JobScript
    submitted: float
    stopped: float | None = None

    def status(self, now: float) -> str:
        since = now - self.submitted
        running, end = self.script.pending_seconds, self.end
        if end is not None and now >= end:
            return "STOPPED" if self.stopped is not None and end == self.stopped + STOP_SECONDS else self.script.outcome
        return "RUNNING" if since >= running else "PENDING"

    @property
    def end(self) -> float | None:
        """When it ends, as things stand; a job that is stopped before it runs stays PENDING until it does (S4-17)."""
        script = self.script
        begins = self.submitted + script.pending_seconds
        own = None if script.runs_seconds is None else begins + script.runs_seconds
        if self.stopped is None:
            return own
        stop = max(self.stopped + STOP_SECONDS, begins)
        return stop if own is None else min(own, stop)


@dataclass(frozen=True, slots=True)
class RayRequest:
    """One request that a dashboard got."""

    when: float
    method: str
    host: str
    path: str
    body: Any = None
    token: str = ""


@dataclass(slots=True)
class _Rule:
    pattern: str
    changes: Mapping[str, Any] = field(default_factory=dict)


class Dashboards:
    """All heads' dashboards. `find_head` tells which run of which head a host name leads to, or None."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        find_head: Callable[[str], Head | None],
        find_node: Callable[[str], Head | None] = lambda address: None,
    ) -> None:
        self.serve = Serve()
        self.requests: list[RayRequest] = []
        self.tokens: dict[str, str] = {}  # host pattern -> the token that its requests must carry
        self._now, self._find_head, self._find_node = now, find_head, find_node
        self._jobs: dict[Head, dict[str, _Job]] = {}
        self._scripts: list[_Rule] = []
        self._away: list[str] = []
        self._hanging: list[str] = []
        self._no_agent: list[str] = []
        self._answers: list[tuple[str, str, int, str]] = []
        self._serial = 0
        self._changed = asyncio.Event()

    # Controls ------------------------------------------------------------------------------------------------------

    def script(self, job: str = "*", **changes: Any) -> None:
        """Jobs whose submission id or entrypoint matches and that are submitted from now on go like this."""
        replace(JobScript(), **changes)
        self._scripts.append(_Rule(job, changes))

    def end_job(self, job_id: str, outcome: Literal["SUCCEEDED", "FAILED"] = "SUCCEEDED", *, code: int = 1) -> None:
        """The running job ends now. Raises KeyError."""
        job = self._running(job_id)
        seconds = max(0.0, self._seconds() - job.submitted - job.script.pending_seconds)
        changes: Json = {"runs_seconds": seconds, "outcome": outcome, "code": code if outcome == "FAILED" else 0}
        job.script = replace(job.script, **changes)
        self._changed.set()
        self._changed = asyncio.Event()

    def forget_job(self, job_id: str) -> None:
        """The head does not know the job any more."""
        for jobs in self._jobs.values():
            jobs.pop(job_id, None)

    def unreachable(self, host: str = "*") -> None:
        """Connections to matching hosts are refused, until `reachable` with the same pattern."""
        self._away.append(host)

    def reachable(self, host: str = "*") -> None:
        """Undo `unreachable`, `hang` and `no_agent` of that pattern."""
        for patterns in (self._away, self._hanging, self._no_agent):
            if host in patterns:
                patterns.remove(host)

    def hang(self, host: str = "*") -> None:
        """Matching hosts take requests and never answer."""
        self._hanging.append(host)

    def no_agent(self, host: str = "*") -> None:
        """Submissions are refused after 10 s, as by a head whose agent is not up."""
        self._no_agent.append(host)

    def answer_with(self, path: str, code: int, body: str, *, host: str = "*") -> None:
        """Requests to a matching path get this answer, once."""
        self._answers.append((host, path, code, body))

    def job(self, job_id: str) -> Json | None:
        """What a dashboard says of the job now; None if none knows it."""
        for jobs in self._jobs.values():
            if job_id in jobs:
                return self._info(job_id, jobs[job_id])
        return None

    def _running(self, job_id: str) -> _Job:
        return next(jobs[job_id] for jobs in self._jobs.values() if job_id in jobs)

    # As a transport ------------------------------------------------------------------------------------------------

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, timeout: timedelta
    ) -> Answer:
        """One request; raises NoAnswer when nobody is there, or in time."""
        parts = urlsplit(url)
        host, path = parts.hostname or "", parts.path
        token = {key.lower(): value for key, value in headers.items()}.get("x-ray-authorization", "")
        limit = timeout.total_seconds()
        if any(fnmatchcase(host, pattern) for pattern in self._hanging):
            await asyncio.sleep(limit)
            raise NoAnswer(f"{method} {url}: no answer within {limit:g} s")
        if path.startswith("/-/"):
            return await self._proxy(method, url, host, path)
        head = self._find_head(host)
        if head is None or any(fnmatchcase(host, pattern) for pattern in self._away):
            raise NoAnswer(f"{method} {url}: cannot connect to host {host}:{parts.port}")
        self.requests.append(RayRequest(self._seconds(), method, host, path, _decoded(body), token))
        if path == "/api/jobs/" and method == "POST" and any(fnmatchcase(host, one) for one in self._no_agent):
            await asyncio.sleep(min(AGENT_SECONDS, limit))
            if limit <= AGENT_SECONDS:
                raise NoAnswer(f"{method} {url}: no answer within {limit:g} s")
            return 500, b"No available agent to submit job, please try again later."
        await asyncio.sleep(0)  # an answer never comes in the same turn of the loop
        return self._answer(head, host, token, method, path, body)

    async def _proxy(self, method: str, url: str, address: str, path: str) -> Answer:
        """A node's Serve proxy; it is asked by address."""
        await asyncio.sleep(0)
        head = self._find_node(address)
        said = self.serve.proxy(head, address, path, self._seconds()) if head is not None else None
        if said is None:
            raise NoAnswer(f"{method} {url}: cannot connect to host {address}")
        return said

    def _answer(self, head: Head, host: str, token: str, method: str, path: str, body: bytes | None) -> Answer:
        for scripted in self._answers:
            pattern, of, code, text = scripted
            if fnmatchcase(host, pattern) and fnmatchcase(path, of):
                self._answers.remove(scripted)
                return code, text.encode()
        wanted = [needed for pattern, needed in self.tokens.items() if fnmatchcase(host, pattern)]
        if wanted and token != f"Bearer {wanted[0]}":
            return (403, b"Forbidden: Invalid token") if token else (401, b"Unauthorized: Missing authentication token")
        if path == APPLICATIONS:
            return self.serve.answer(head, method, _decoded(body), self._seconds())
        jobs = self._jobs.setdefault(head, {})
        if path == "/api/jobs/":
            return self._submit(jobs, body) if method == "POST" else self._listed(jobs)
        found = re.fullmatch(r"/api/jobs/([^/]+)(/stop|/logs)?", path)
        if found is None:
            return 404, b"404: Not Found"
        return self._about(jobs, found[1], f"{method} {found[2] or ''}".strip())

    def _about(self, jobs: dict[str, _Job], job_id: str, what: str) -> Answer:
        job = jobs.get(job_id)
        if job is None:
            return 404, f"Job {job_id} does not exist".encode()
        status = job.status(self._seconds())
        if what == "GET":
            return _ok(self._info(job_id, job))
        if what == "POST /stop":
            if status in TERMINAL:
                return _ok({"stopped": False})
            job.stopped = self._seconds() if job.stopped is None else job.stopped
            self._changed.set()
            self._changed = asyncio.Event()
            return _ok({"stopped": True})
        if what == "GET /logs":
            return _ok({"logs": "" if status == "PENDING" else job.script.log})
        if what == "DELETE":
            if status not in TERMINAL:
                return 500, _traceback(
                    f"Attempted to delete job '{job_id}', but it is in a non-terminal state {status}."
                )
            del jobs[job_id]
            return _ok({"deleted": True})
        return 405, b"405: Method Not Allowed"

    def _listed(self, jobs: Mapping[str, _Job]) -> Answer:
        return 200, json.dumps([self._info(job_id, job) for job_id, job in jobs.items()]).encode()

    def _submit(self, jobs: dict[str, _Job], raw: bytes | None) -> Answer:
        body = _decoded(raw)
        if not isinstance(body, dict):
            return 500, NOBODY.encode()
        body = {key: value for key, value in body.items() if value is not None}
        if wrong := _wrong(body):
            return 400, _traceback(wrong)
        self._serial += 1
        job_id = body.get("submission_id") or body.get("job_id") or f"raysubmit_{self._serial:016d}"
        if job_id in jobs:
            return 500, _traceback(
                f"ValueError: Job with submission_id {job_id} already exists. Please use a different submission_id."
            )
        script = JobScript()
        for rule in self._scripts:
            if fnmatchcase(job_id, rule.pattern) or fnmatchcase(body["entrypoint"], rule.pattern):
                script = replace(script, **rule.changes)
        jobs[job_id] = _Job(body, script, self._seconds())
        return _ok({"job_id": job_id, "submission_id": job_id})

    def _info(self, job_id: str, job: _Job) -> Json:
        now = self._seconds()
        status, end = job.status(now), job.end
        return {
            "type": "SUBMISSION",
            "job_id": None,
            "submission_id": job_id,
            "driver_info": None,
            "status": status,
            "entrypoint": job.body["entrypoint"],
            "message": _message(status, job.script),
            "error_type": "JOB_ENTRYPOINT_COMMAND_ERROR" if status == "FAILED" else None,
            "start_time": round(job.submitted * 1000),
            "end_time": round(end * 1000) if status in TERMINAL and end is not None else None,
            "metadata": job.body.get("metadata") or {},
            "runtime_env": job.body.get("runtime_env") or {},
            "driver_agent_http_address": None if status == "PENDING" else "http://127.0.0.1:52365",
            "driver_node_id": None if status == "PENDING" else "0" * 56,
            "driver_exit_code": job.script.code if status in TERMINAL else None,
        }

    def _seconds(self) -> float:
        return self._now().timestamp()

    # As a submitter pod --------------------------------------------------------------------------------------------

    async def submitter(self, container: Container) -> Exit:
        """What the submit script does (spec rayjob §8.8): wait for the head, submit unless it knows the job, follow."""
        env = dict(container.env)
        job_id = env["RAY_JOB_SUBMISSION_ID"]
        host = urlsplit("//" + env["RAY_DASHBOARD_ADDRESS"].removeprefix("http://")).hostname or ""
        while not self._reaches(host):  # noqa: ASYNC110 — the script looks again and again, too
            await asyncio.sleep(SUBMITTER_LOOKS)
        jobs = self._jobs.setdefault(self._find_head(host) or "", {})
        if job_id not in jobs:
            body = {"entrypoint": _entrypoint(container), "submission_id": job_id}
            self._submit(jobs, json.dumps(body).encode())
        job = jobs[job_id]
        while job.status(self._seconds()) not in TERMINAL:
            if not self._reaches(host) or self._jobs.get(self._find_head(host) or "", {}).get(job_id) is not job:
                return Exit(1, "Error")
            await self._until_news(job)
        await asyncio.sleep(LOG_TAIL_SECONDS)
        return Exit(0, "Completed")  # following logs ends well however the job did

    def _reaches(self, host: str) -> bool:
        blocked = any(fnmatchcase(host, pattern) for pattern in (*self._away, *self._hanging))
        return not blocked and self._find_head(host) is not None

    async def _until_news(self, job: _Job) -> None:
        """To the end of the job as it stands, or a change of it; a head that goes away is noticed now and then."""
        end = job.end
        wait = 30.0 if end is None else min(30.0, max(0.0, end - self._seconds()))
        try:
            async with asyncio.timeout(wait):
                await self._changed.wait()
        except TimeoutError:
            return


def _decoded(body: bytes | None) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return None


def _ok(body: Json) -> Answer:
    return 200, json.dumps(body).encode()


def _wrong(body: Json) -> str:
    """What is wrong about a submission, as its traceback ends; "" if nothing is."""
    for key, value in body.items():
        if key not in FIELDS:
            return f"TypeError: JobSubmitRequest.__init__() got an unexpected keyword argument '{key}'"
        if not isinstance(value, FIELDS[key]) or isinstance(value, bool):
            return f"TypeError: {key} must be a {FIELDS[key]}, got {type(value)}"
    if "entrypoint" not in body:
        return "TypeError: JobSubmitRequest.__init__() missing 1 required positional argument: 'entrypoint'"
    for key, value in (body.get("metadata") or {}).items():
        if not isinstance(value, str):
            return f"TypeError: metadata values must be strings, got {type(value)} for {key}"
    return ""


def _traceback(end: str) -> bytes:
    return f'Traceback (most recent call last):\n  File "job_head.py", line 1, in wrapped\n{end}\n'.encode()


def _message(status: str, script: JobScript) -> str:
    if status in ("SUCCEEDED", "FAILED") and script.message:
        return script.message
    return {
        "PENDING": "Job has not started yet.",
        "RUNNING": "Job is currently running.",
        "SUCCEEDED": "Job finished successfully.",
        "STOPPED": "Job was intentionally stopped.",
        "FAILED": f"Job entrypoint command failed with exit code {script.code}, last available logs (truncated to"
        f" 20,000 chars):\n{script.log}",
    }[status]


def _entrypoint(container: Container) -> str:
    """What the submit script would hand to the shell after `--`."""
    script = " ".join(container.args)
    found = re.search(r" -- (.*?) ;", script, re.DOTALL)
    return found[1] if found else script
