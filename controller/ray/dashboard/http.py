"""One request to a Ray dashboard, and what its answer means (spec rayjob §11, ray-side §4.3).

Knows paths, status codes and texts; knows nothing of intervals, of who asks, or of the Kubernetes API. The transport
is handed in, and is none of those that talk to the API server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol
from urllib.parse import quote

import aiohttp

from controller.ray.dashboard.protocol import JobInfo, Submission

__all__ = [
    "MOST_BYTES",
    "AiohttpRayTransport",
    "Dashboard",
    "DashboardError",
    "IdTaken",
    "NoAnswer",
    "NoSuchJob",
    "NotAuthenticated",
    "RayTransport",
    "Refused",
]

POLL_TIMEOUT: Final = timedelta(seconds=5)  # the reference gives up after 2 s; a busy head takes longer (ray-side S4-8)
SUBMIT_TIMEOUT: Final = timedelta(seconds=15)  # the head waits 10 s for its agent before it says no (ray-side §4.3)
MOST_BYTES: Final = 16 << 20  # of an answer: Serve's state of a large cluster is a few MiB; a head may be hostile
LONGEST_MESSAGE: Final = 32_768  # characters; it goes into a status, and Ray's own end at 20,000 (ray-side S4-15)
TAKEN: Final = "Please use a different submission_id"


class DashboardError(Exception):
    """The dashboard answered, and not as hoped; the message says what."""


class NoSuchJob(DashboardError):
    """404: no job of that id."""


class IdTaken(DashboardError):
    """A job of that id is there already; whose it is, a look must tell."""


class NotAuthenticated(DashboardError):
    """401 or 403: the token is missing or wrong (ray-side S4-38)."""


class Refused(DashboardError):
    """400: what was sent is wrong, and the same again will be, too."""


class NoAnswer(Exception):
    """Nothing came back in time, or the connection broke; whether a request took effect is unknown."""


class RayTransport(Protocol):
    """Carries one request. Raises NoAnswer; every status code is an answer."""

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, timeout: timedelta
    ) -> tuple[int, bytes]: ...


class AiohttpRayTransport:
    """Over the network, with a connection pool of its own."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, timeout: timedelta
    ) -> tuple[int, bytes]:
        """See RayTransport. Redirects are answers, too: a token must not travel to wherever a head points."""
        limit = aiohttp.ClientTimeout(total=timeout.total_seconds())
        try:
            async with self.session.request(
                method, url, headers=headers, data=body, timeout=limit, allow_redirects=False
            ) as response:
                return response.status, await content(response)
        except TimeoutError as error:
            raise NoAnswer(f"{method} {url}: no answer within {timeout.total_seconds():g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a host that is no host name
            raise NoAnswer(f"{method} {url}: {error}") from error


async def content(response: aiohttp.ClientResponse) -> bytes:
    """The body. Raises NoAnswer where it does not end."""
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > MOST_BYTES:
            response.close()
            raise NoAnswer(f"{response.method} {response.url}: an answer of more than {MOST_BYTES} bytes")
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The Jobs REST of one head. Every method raises NoAnswer or DashboardError."""

    transport: RayTransport
    url: str  # "http://host:8265"
    token: str = ""

    async def job(self, job_id: str) -> JobInfo:
        """What the head says of the job. Raises NoSuchJob."""
        status, body = await self.ask("GET", job_path(job_id))
        if status == 404:
            raise NoSuchJob(f"the dashboard knows no job {job_id}")
        return job_info(expect(status, body, "job info"))

    async def submit(self, submission: Submission) -> None:
        """Submit. Raises IdTaken where a job of that id exists."""
        body = json.dumps(submission.body()).encode()
        status, answer = await self.ask("POST", "/api/jobs/", body=body, timeout=SUBMIT_TIMEOUT)
        if status == 500 and TAKEN.encode() in answer:
            raise IdTaken(f"submission id {submission.submission_id} is taken")
        expect(status, answer, "submission")

    async def touch(self, job_id: str) -> None:
        """Make the head look at the job: asking for its log does (ray-side S4-22). What it holds is of no interest."""
        await self.ask("GET", job_path(job_id) + "/logs")

    async def stop(self, job_id: str) -> None:
        """Ask the job to stop; it may take seconds, and a PENDING one may stay (ray-side S4-17). Raises NoSuchJob."""
        status, body = await self.ask("POST", job_path(job_id) + "/stop")
        if status == 404:
            raise NoSuchJob(f"the dashboard knows no job {job_id}")
        expect(status, body, "stop")

    async def delete(self, job_id: str) -> None:
        """Delete a finished job's record. Raises NoSuchJob."""
        status, body = await self.ask("DELETE", job_path(job_id))
        if status == 404:
            raise NoSuchJob(f"the dashboard knows no job {job_id}")
        expect(status, body, "delete")

    async def ask(
        self, method: str, path: str, *, body: bytes | None = None, timeout: timedelta = POLL_TIMEOUT
    ) -> tuple[int, bytes]:
        """One request, with the token. Raises NotAuthenticated where it is not taken."""
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["x-ray-authorization"] = f"Bearer {self.token}"
        status, answer = await self.transport.request(
            method, self.url + path, headers=headers, body=body, timeout=timeout
        )
        if status in (401, 403):
            raise NotAuthenticated(f"the dashboard answered {status}: {text(answer)}")
        return status, answer


def job_path(job_id: str) -> str:
    """An id is one segment, whatever a user wrote into spec.jobId."""
    return f"/api/jobs/{quote(job_id, safe='')}"


def expect(status: int, body: bytes, what: str) -> Any:
    """The JSON of a 2xx answer. A body of another status is never taken for an answer (spec rayjob E37)."""
    if not 200 <= status < 300:
        raise DashboardError(f"{what}: the dashboard answered {status}: {text(body)}")
    try:
        return json.loads(body)
    except ValueError as error:
        raise DashboardError(f"{what}: the dashboard's answer is no JSON: {text(body)}") from error


def job_info(content: Any) -> JobInfo:
    """The members that we read, with their types checked (spec rayjob §11.3). Raises DashboardError."""
    if not isinstance(content, dict):
        raise DashboardError(f"job info: expected an object, got {content!r}")
    status = member(content, "status", str, "")
    if not status:  # Ray always says it (ray-side S4-11); what does not comes from somebody else, a proxy say
        raise DashboardError("job info: the answer has no status")
    return JobInfo(
        status=status,
        message=member(content, "message", str, "")[:LONGEST_MESSAGE],
        start_time=milliseconds(content, "start_time"),
        end_time=milliseconds(content, "end_time"),
        entrypoint=member(content, "entrypoint", str, ""),
        metadata=member(content, "metadata", dict, {}),
    )


def member(content: Mapping[str, Any], name: str, kind: type[Any], default: Any) -> Any:
    """A member of that type; null and absent count as the default."""
    value = content.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise DashboardError(f"job info: {name} is {value!r}")
    return value


def milliseconds(content: Mapping[str, Any], name: str) -> int:
    """A time: a whole number, not negative."""
    value = content.get(name)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise DashboardError(f"job info: {name} is {value!r}, not Unix milliseconds")
    return value


def text(body: bytes) -> str:
    """The start of an error body, on one line: it is often a traceback, whose last line says most."""
    lines = [line.strip() for line in body.decode(errors="replace").splitlines() if line.strip()]
    return (lines[-1] if lines else "(empty)")[:500]
