"""The stand-in for Ray's dashboards answers as real ones were seen to."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controller.ray.dashboard.http import NoAnswer
from localcluster.node.interfaces import Container
from localcluster.testing.dashboard import Dashboards

pytestmark = pytest.mark.looptime
START = datetime(2026, 1, 1, tzinfo=UTC)
JOBS = "http://r-head-svc.default.svc.cluster.local:8265/api/jobs/"


class Head:
    """One head, and the time."""

    def __init__(self) -> None:
        self.run: str | None = "u/0"
        self.dashboards = Dashboards(now=self.now, find_head=lambda host: self.run)
        self._began = asyncio.get_running_loop().time()

    def now(self) -> datetime:
        return START + timedelta(seconds=asyncio.get_running_loop().time() - self._began)

    async def ask(self, method: str, path: str = "", body: Any = None) -> tuple[int, Any]:
        """Code, and the body: parsed if it is JSON."""
        raw = None if body is None else json.dumps(body).encode()
        code, answer = await self.dashboards.request(
            method, JOBS + path, headers={}, body=raw, timeout=timedelta(seconds=5)
        )
        return code, json.loads(answer) if answer[:1] in (b"{", b"[") else answer.decode()

    async def submit(self, job_id: str = "j", **more: Any) -> tuple[int, Any]:
        return await self.ask("POST", body={"entrypoint": "python x.py", "submission_id": job_id, **more})

    async def status(self, job_id: str = "j") -> str:
        _, info = await self.ask("GET", job_id)
        return str(info["status"])


async def test_a_job_goes_from_pending_over_running_to_its_end() -> None:
    """Times are Unix milliseconds; all keys are there at any time."""
    head = Head()
    assert await head.submit() == (200, {"job_id": "j", "submission_id": "j"})
    assert await head.status() == "PENDING"

    await asyncio.sleep(2)
    assert await head.status() == "RUNNING"
    await asyncio.sleep(9)
    _, info = await head.ask("GET", "j")

    assert info["status"] == "SUCCEEDED"
    assert info["message"] == "Job finished successfully."
    assert info["start_time"] == START.timestamp() * 1000
    assert info["end_time"] == pytest.approx((START.timestamp() + 11) * 1000, abs=5)
    assert {"driver_info", "error_type", "runtime_env", "metadata", "job_id"} <= set(info)


async def test_a_job_that_fails_says_with_which_code() -> None:
    """As scripted."""
    head = Head()
    head.dashboards.script("bad", outcome="FAILED", code=3)
    await head.submit("bad")

    await asyncio.sleep(20)

    _, info = await head.ask("GET", "bad")
    assert (info["status"], info["error_type"], info["driver_exit_code"]) == (
        "FAILED",
        "JOB_ENTRYPOINT_COMMAND_ERROR",
        3,
    )
    assert info["message"].startswith("Job entrypoint command failed with exit code 3")


async def test_what_is_wrong_about_a_submission_is_told_as_ray_tells_it() -> None:
    """400 with a traceback, 500 for what is no JSON object and for an id in use."""
    head = Head()
    assert (await head.ask("POST", body={"submission_id": "x"}))[0] == 400
    assert (await head.submit("x", nonsense=1))[0] == 400
    assert (await head.submit("x", metadata={"k": 1}))[0] == 400
    assert (await head.ask("POST", body=[]))[0] == 500
    await head.submit()

    code, text = await head.submit()

    assert code == 500
    assert "Please use a different submission_id." in text


@pytest.mark.parametrize(("method", "path"), [("GET", "no"), ("GET", "no/logs"), ("POST", "no/stop"), ("DELETE", "no")])
async def test_an_unknown_job_is_404(method: str, path: str) -> None:
    """With Ray's words."""
    assert await Head().ask(method, path) == (404, "Job no does not exist")


async def test_a_stopped_job_is_stopped_a_little_later_and_a_finished_one_not_at_all() -> None:
    """The answer is not the end."""
    head = Head()
    head.dashboards.script("*", runs_seconds=None)
    await head.submit()
    await asyncio.sleep(5)

    assert await head.ask("POST", "j/stop") == (200, {"stopped": True})
    assert await head.status() == "RUNNING"
    await asyncio.sleep(3)
    assert await head.status() == "STOPPED"
    assert await head.ask("POST", "j/stop") == (200, {"stopped": False})


async def test_a_running_job_cannot_be_deleted_and_a_finished_ones_id_is_free_again() -> None:
    """500 with the state."""
    head = Head()
    await head.submit()
    code, text = await head.ask("DELETE", "j")
    assert code == 500
    assert "non-terminal state" in text

    await asyncio.sleep(20)

    assert await head.ask("DELETE", "j") == (200, {"deleted": True})
    assert (await head.submit())[0] == 200


async def test_logs_are_empty_until_the_job_runs() -> None:
    """Then they are the whole file."""
    head = Head()
    head.dashboards.script("*", log="hello\n")
    await head.submit()
    assert await head.ask("GET", "j/logs") == (200, {"logs": ""})

    await asyncio.sleep(2)

    assert await head.ask("GET", "j/logs") == (200, {"logs": "hello\n"})


async def test_a_restarted_head_knows_no_jobs() -> None:
    """They lived with its process."""
    head = Head()
    await head.submit()

    head.run = "u/1"

    assert (await head.ask("GET", "j"))[0] == 404


async def test_nobody_answers_where_no_head_runs_or_the_story_says_so() -> None:
    """Refused at once, or never answered."""
    head = Head()
    head.run = None
    with pytest.raises(NoAnswer, match="cannot connect"):
        await head.status()

    head.run = "u/0"
    head.dashboards.hang("r-*")
    before = head.now()
    with pytest.raises(NoAnswer, match="no answer within 5 s"):
        await head.status()
    assert head.now() - before >= timedelta(seconds=5)
    head.dashboards.reachable("r-*")
    assert (await head.submit())[0] == 200


async def test_a_token_is_asked_for() -> None:
    """401 without one, 403 with a wrong one."""
    head = Head()
    head.dashboards.tokens["r-*"] = "t"

    async def code(**headers: str) -> int:
        answer = await head.dashboards.request("GET", JOBS, headers=headers, body=None, timeout=timedelta(seconds=1))
        return answer[0]

    assert await code() == 401
    assert await code(**{"x-ray-authorization": "Bearer no"}) == 403
    assert await code(**{"X-Ray-Authorization": "Bearer t"}) == 200


def a_submitter() -> Container:
    """As the operator makes it."""
    script = "if ! ray job status ; then ray job submit --no-wait --submission-id j -- python x.py ; fi ; ray job logs"
    env = (("RAY_JOB_SUBMISSION_ID", "j"), ("RAY_DASHBOARD_ADDRESS", "r-head-svc.default.svc.cluster.local:8265"))
    return Container("p", "ray-job-submitter", 0, "img", (), (script,), env)


async def test_a_submitter_waits_for_the_head_submits_follows_and_ends_well() -> None:
    """Whatever became of the job; one that is known already is only followed."""
    head = Head()
    head.run = None
    head.dashboards.script("j", outcome="FAILED", code=1)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(head.dashboards.submitter(a_submitter()))
        await asyncio.sleep(60)
        head.run = "u/0"

    assert running.result().exit_code == 0
    info = head.dashboards.job("j")
    assert info is not None
    assert (info["status"], info["entrypoint"]) == ("FAILED", "python x.py")
    assert (await head.dashboards.submitter(a_submitter())).exit_code == 0


async def test_a_submitter_fails_when_the_head_dies_under_it() -> None:
    """Its stream of logs breaks."""
    head = Head()
    head.dashboards.script("j", runs_seconds=None)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(head.dashboards.submitter(a_submitter()))
        await asyncio.sleep(60)
        head.run = "u/1"

    assert running.result().exit_code == 1
