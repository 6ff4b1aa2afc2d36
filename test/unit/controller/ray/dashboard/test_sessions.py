"""Dashboard sessions: they ask, they act once, they wake whom it concerns, and nobody waits for them (design §2)."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.meta import Ref
from controller.ray.dashboard.http import NoAnswer
from controller.ray.dashboard.protocol import (
    EffectState,
    Known,
    StopJob,
    Submission,
    SubmitJob,
    Target,
    Wants,
)
from controller.ray.dashboard.sessions import POLL_SECONDS, DashboardSessions
from controller.runtime.permit import ask_permit

pytestmark = pytest.mark.looptime

KEY = Ref("RayJob", "default", "train")
OTHER = Ref("RayJob", "default", "eval")
TARGET = Target("cluster-1", "head-1", "default", "http://head:8265")
JOB = Submission("python train.py", "train-1", metadata={"team": "a"})
SUBMIT = SubmitJob(JOB)


class Head:
    """A Ray head as the other end of the wire: its jobs, and how it misbehaves."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.silent = False
        self.lose_answers = 0  # so many submissions take effect without an answer
        self.takes_seconds = 0.0
        self.token = ""
        self.free = asyncio.Event()  # cleared: there is no connection for what is more than a question
        self.free.set()

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, timeout: timedelta
    ) -> tuple[int, bytes]:
        path = url.removeprefix("http://head:8265")
        if method != "GET":
            await self.free.wait()
        ask_permit()
        self.asked.append(f"{method} {path}")
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                await asyncio.sleep(self.takes_seconds)
        except TimeoutError:
            raise NoAnswer("too late") from None
        if self.silent:
            raise NoAnswer("connection refused")
        if self.token and headers.get("x-ray-authorization") != f"Bearer {self.token}":
            return 401, b"Unauthorized: Missing authentication token"
        return self.answer(method, path, body)

    def answer(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        job_id = path.removeprefix("/api/jobs/").removesuffix("/stop").removesuffix("/logs")
        if method == "POST" and not job_id:
            return self.submitted(json.loads(body or b"{}"))
        if job_id not in self.jobs:
            return 404, f"Job {job_id} does not exist".encode()
        if path.endswith("/stop"):
            self.jobs[job_id]["status"] = "STOPPED"
            return 200, b'{"stopped": true}'
        if path.endswith("/logs"):
            self.jobs[job_id] |= {"status": "FAILED"} if self.jobs[job_id].pop("orphan", False) else {}
            return 200, b'{"logs": ""}'
        return 200, json.dumps(self.jobs[job_id]).encode()

    def submitted(self, body: dict[str, Any]) -> tuple[int, bytes]:
        job_id = body["submission_id"]
        if job_id in self.jobs:
            return 500, b"Traceback ...\nPlease use a different submission_id."
        job = {"status": "RUNNING", "entrypoint": body["entrypoint"], "metadata": body.get("metadata", {})}
        self.jobs[job_id] = job | {"message": "", "start_time": 1, "end_time": None}
        if self.lose_answers:
            self.lose_answers -= 1
            raise NoAnswer("connection reset")
        return 200, b"{}"

    def submissions(self) -> int:
        return self.asked.count("POST /api/jobs/")


class LoopClock:
    """Wall clock that follows the loop's."""

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=asyncio.get_running_loop().time())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class Desk:
    """Sessions, the head behind them, and the keys that were woken."""

    def __init__(self, head: Head, *, may_write: bool = True) -> None:
        self.head, self.allowed = head, may_write
        self.woken: list[Ref] = []
        self.tokens: list[str] = []
        self.sessions = DashboardSessions(
            head,
            clock=LoopClock(),
            chance=random.Random(7),
            read_token=self.read_token,
            wake=self.woken.append,
            may_write=lambda: self.allowed,
        )

    async def read_token(self, namespace: str, secret: str) -> str:
        self.tokens.append(f"{namespace}/{secret}")
        return self.head.token

    def want(
        self, *effects: Any, key: Ref = KEY, jobs: tuple[str, ...] = ("train-1",), target: Target = TARGET
    ) -> None:
        self.sessions.want(key, Wants(target, jobs, effects))

    def known(self, key: Ref = KEY) -> Known:
        return self.sessions.known(key)


@asynccontextmanager
async def a_desk(head: Head | None = None, **options: Any) -> AsyncIterator[Desk]:
    """Open for the length of the block."""
    desk = Desk(head or Head(), **options)
    async with desk.sessions.running():
        yield desk


async def rounds(number: int = 1) -> None:
    """Let so many polls pass."""
    await asyncio.sleep(POLL_SECONDS * 1.2 * number)


async def test_a_wanted_job_is_asked_about_at_once_and_the_key_is_woken() -> None:
    """No reconcile waits for it: want returns, the answer comes by the queue."""
    head = Head()
    head.jobs["train-1"] = {"status": "RUNNING", "message": "on its way"}
    async with a_desk(head) as desk:
        desk.want()
        assert desk.known() == Known()

        await asyncio.sleep(0.1)

        known = desk.known()
        assert known.job is not None
        assert (known.job.status, known.job.message) == ("RUNNING", "on its way")
        assert desk.woken == [KEY]


async def test_an_answer_that_says_nothing_new_wakes_nobody() -> None:
    """A steady job costs its polls and no reconcile."""
    head = Head()
    head.jobs["train-1"] = {"status": "RUNNING"}
    async with a_desk(head) as desk:
        desk.want()
        await rounds(20)

        assert desk.woken == [KEY]
        assert head.asked.count("GET /api/jobs/train-1") >= 20


async def test_a_job_that_is_over_is_not_asked_about_again() -> None:
    """Terminal states never change (ray-side S4-15)."""
    head = Head()
    head.jobs["train-1"] = {"status": "SUCCEEDED"}
    async with a_desk(head) as desk:
        desk.want()
        await rounds(50)

        assert head.asked == ["GET /api/jobs/train-1"]


async def test_a_job_is_submitted_once_after_ray_said_that_it_is_not_there() -> None:
    """First the question, then the submission, then the news."""
    async with a_desk() as desk:
        desk.want(SUBMIT)
        await rounds(5)

        assert desk.head.asked[:3] == ["GET /api/jobs/train-1", "POST /api/jobs/", "GET /api/jobs/train-1"]
        assert desk.head.submissions() == 1
        assert desk.known().effects[SUBMIT][0] is EffectState.DONE


async def test_a_submission_whose_answer_was_lost_is_not_sent_twice() -> None:
    """It took effect: the next question finds the job."""
    head = Head()
    head.lose_answers = 1
    async with a_desk(head) as desk:
        desk.want(SUBMIT)
        await rounds(5)

        assert head.submissions() == 1
        assert desk.known().effects[SUBMIT][0] is EffectState.DONE
        assert desk.known().failing_since is None


async def test_an_operator_that_starts_anew_does_not_submit_again() -> None:
    """The job is there with our entrypoint and metadata: that is success."""
    head = Head()
    async with a_desk(head) as desk:
        desk.want(SUBMIT)
        await rounds(2)
    async with a_desk(head) as desk:
        desk.want(SUBMIT)
        await rounds(2)

        assert head.submissions() == 1
        assert desk.known().effects[SUBMIT][0] is EffectState.DONE


@pytest.mark.parametrize(
    ("foreign", "word"),
    [
        ({"entrypoint": "python other.py", "metadata": {"team": "a"}}, "entrypoint"),
        ({"entrypoint": "python train.py", "metadata": {}}, "metadata"),
    ],
)
async def test_a_foreign_job_under_our_id_is_refused_and_named(foreign: dict[str, Any], word: str) -> None:
    """No success by accident (design §2)."""
    head = Head()
    head.jobs["train-1"] = {"status": "RUNNING", **foreign}
    async with a_desk(head) as desk:
        desk.want(SUBMIT)
        await rounds(2)

        state, message = desk.known().effects[SUBMIT]
        assert state is EffectState.REFUSED
        assert word in message
        assert head.submissions() == 0


async def test_what_is_no_longer_wanted_and_not_yet_sent_is_dropped() -> None:
    """The whole set is replaced: a stop asked for and taken back is never sent."""
    head = Head()
    head.jobs["train-1"] = {"status": "RUNNING"}
    head.silent = True
    async with a_desk(head) as desk:
        desk.want(StopJob("train-1"))
        await rounds(2)
        desk.want()
        head.silent = False
        await rounds(3)

        assert "POST /api/jobs/train-1/stop" not in head.asked[-4:]
        assert head.jobs["train-1"]["status"] == "RUNNING"


async def test_two_objects_on_one_cluster_keep_their_own_sets() -> None:
    """One leaves, the other's wants stay."""
    head = Head()
    head.jobs |= {"train-1": {"status": "RUNNING"}, "eval-1": {"status": "RUNNING"}}
    async with a_desk(head) as desk:
        desk.want()
        desk.want(key=OTHER, jobs=("eval-1",))
        await rounds()
        desk.sessions.want(KEY, None)
        desk.head.asked.clear()
        await rounds(3)

        assert set(head.asked) == {"GET /api/jobs/eval-1"}
        assert desk.known() == Known()
        assert desk.known(OTHER).job is not None


async def test_everything_dies_with_the_head() -> None:
    """A new head pod is another session: nothing known of the old one counts."""
    head = Head()
    async with a_desk(head) as desk:
        desk.want(SUBMIT)
        await rounds(2)
        head.jobs.clear()

        desk.want(SUBMIT, target=Target("cluster-1", "head-2", "default", "http://head:8265"))
        assert desk.known() == Known()
        await rounds(2)
        assert head.submissions() == 2
        assert list(desk.sessions.sessions) == [("cluster-1", "head-2")]


async def test_the_first_failure_of_a_streak_is_kept_and_wakes_once() -> None:
    """Its time is what the timeout counts from; an answer ends the streak and wakes, too."""
    head = Head()
    head.jobs["train-1"] = {"status": "RUNNING"}
    async with a_desk(head) as desk:
        desk.want()
        await rounds()
        head.silent = True
        await rounds(2)
        since = desk.known().failing_since
        await rounds(10)
        assert since is not None
        assert desk.known().failing_since == since
        assert desk.known().job is not None
        assert desk.woken == [KEY, KEY]

        head.silent = False
        await rounds(2)
        assert desk.known().failing_since is None
        assert desk.woken == [KEY, KEY, KEY]


@pytest.mark.spec("rayjob:E45")
async def test_a_head_that_hangs_delays_nobody_else() -> None:
    """Each session has its own task and its own time limit."""
    slow, quick = Head(), Head()
    slow.takes_seconds = 3600
    quick.jobs["eval-1"] = {"status": "RUNNING"}

    class Two:
        async def request(self, method: str, url: str, **rest: Any) -> tuple[int, bytes]:
            head = slow if "slow" in url else quick
            return await head.request(method, url.replace("slow", "head"), **rest)

    desk = Desk(quick)
    desk.sessions.transport = Two()
    async with desk.sessions.running():
        desk.want(target=Target("cluster-2", "head-2", "default", "http://slow:8265"))
        desk.want(key=OTHER, jobs=("eval-1",))
        await asyncio.sleep(0.1)
        assert desk.known(OTHER).job is not None

        await asyncio.sleep(6)
        assert desk.known().failing_since is not None


async def test_no_effect_without_the_right_to_write() -> None:
    """The lease is asked before each effect; questions are free."""
    async with a_desk(may_write=False) as desk:
        desk.want(SUBMIT)
        await rounds(3)
        assert desk.head.submissions() == 0
        assert desk.known().missing

        desk.allowed = True
        await rounds(2)
        assert desk.head.submissions() == 1


@pytest.mark.spec("runtime:LE-7")
async def test_an_effect_that_waited_for_a_connection_until_the_lease_was_lost_is_not_sent() -> None:
    """A configuration put by who leads no more would take back what the next leader has put."""
    async with a_desk() as desk:
        desk.head.free.clear()
        desk.want(SUBMIT)
        await rounds(3)
        desk.allowed = False
        desk.head.free.set()
        await rounds(3)
        assert desk.head.submissions() == 0
        assert desk.known().missing

        desk.allowed = True
        await rounds(2)
        assert desk.head.submissions() == 1


async def test_the_token_is_read_once_and_again_when_it_is_refused() -> None:
    """Secrets are not watched: one read at the start, one after a 401 (design §2)."""
    head = Head()
    head.jobs["train-1"] = {"status": "RUNNING"}
    head.token = "first"
    async with a_desk(head) as desk:
        desk.want(target=Target("cluster-1", "head-1", "default", "http://head:8265", "secret"))
        await rounds(5)
        assert desk.tokens == ["default/secret"]

        head.token = "second"
        await rounds(3)
        assert desk.tokens == ["default/secret", "default/secret"]
        assert desk.known().failing_since is None


async def test_a_head_that_forgot_the_job_gets_it_again() -> None:
    """In HTTPMode a 404 means: submit (spec rayjob §5.6 item 11)."""
    async with a_desk() as desk:
        desk.want(SUBMIT)
        await rounds(2)
        desk.head.jobs.clear()
        await rounds(3)

        assert desk.head.submissions() == 2


@pytest.mark.spec("rayjob:E37")
@pytest.mark.parametrize("status", [401, 500, 503])
async def test_an_error_that_looks_like_an_answer_is_none(status: int) -> None:
    """A JSON object in a 5xx or 401 is no job info."""

    class Proxy(Head):
        def answer(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
            return status, b'{"kind": "Status", "status": "Failure", "message": "no endpoints"}'

    async with a_desk(Proxy()) as desk:
        desk.want()
        await rounds()

        assert desk.known().job is None
        assert desk.known().failing_since is not None


async def test_nothing_is_submitted_before_ray_said_that_it_is_not_there() -> None:
    """A head that cannot be asked may run the job already."""

    class Deaf(Head):
        def answer(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
            return super().answer(method, path, body) if method == "POST" else (503, b"try again later")

    async with a_desk(Deaf()) as desk:
        desk.want(SUBMIT)
        await rounds(3)

        assert desk.head.submissions() == 0


async def test_a_job_that_is_over_is_not_asked_about_again_while_others_are() -> None:
    """Its answer does not change any more."""
    async with a_desk() as desk:
        for job in ("over", "running"):
            desk.head.submitted({"submission_id": job, "entrypoint": "e"})
        desk.head.jobs["over"]["status"] = "SUCCEEDED"
        desk.want(jobs=("over", "running"))
        await rounds(5)

        assert desk.head.asked.count("GET /api/jobs/over") == 1
        assert desk.head.asked.count("GET /api/jobs/running") > 1


async def test_leaving_the_block_ends_every_session() -> None:
    """No task outlives its owner."""
    before = asyncio.all_tasks()
    async with a_desk() as desk:
        desk.want(SUBMIT)
        await rounds()
    assert asyncio.all_tasks() == before


# Marks, streaks, containment


async def test_a_new_mark_asks_at_once_and_comes_back_with_the_answer_though_it_is_the_same() -> None:
    """Whoever must judge by a fresh answer gets one, and is woken for it, once."""
    head = Head()
    head.jobs["train-1"] = {"status": "RUNNING"}
    async with a_desk(head) as desk:
        desk.want()
        await rounds(3)
        asked, woken = len(head.asked), len(desk.woken)

        desk.sessions.want(KEY, Wants(TARGET, ("train-1",), mark="the submitter has ended"))
        assert desk.known().mark == ""
        await asyncio.sleep(0.1)

        assert desk.known().mark == "the submitter has ended"
        assert (len(head.asked), len(desk.woken)) == (asked + 1, woken + 1)
        await rounds(3)
        assert len(desk.woken) == woken + 1


async def test_a_question_under_way_when_the_mark_changed_is_not_its_answer() -> None:
    """It was asked before."""
    head = Head()
    head.jobs["train-1"] = {"status": "RUNNING"}
    head.takes_seconds = 2
    async with a_desk(head) as desk:
        desk.want()
        await asyncio.sleep(1)
        desk.sessions.want(KEY, Wants(TARGET, ("train-1",), mark="new"))
        await asyncio.sleep(1.1)
        assert desk.known().job is not None
        assert desk.known().mark == ""

        await asyncio.sleep(2)
        assert desk.known().mark == "new"


async def test_a_mark_comes_back_with_a_failed_question_too() -> None:
    """Nobody waits for an answer that does not come."""
    head = Head()
    head.silent = True
    async with a_desk(head) as desk:
        desk.want()
        await rounds(2)
        woken = len(desk.woken)

        desk.sessions.want(KEY, Wants(TARGET, ("train-1",), mark="new"))
        await asyncio.sleep(0.1)

        assert desk.known().mark == "new"
        assert len(desk.woken) == woken + 1


@pytest.mark.spec("rayjob:E35")
async def test_submissions_that_fail_are_one_streak_and_one_piece_of_news() -> None:
    """Between two of them Ray answers that it knows no such job: that is no success."""

    class Unwilling(Head):
        def submitted(self, body: dict[str, Any]) -> tuple[int, bytes]:
            return 500, b"No available agent to submit job, please try again later."

    head = Unwilling()
    async with a_desk(head) as desk:
        desk.want(SUBMIT)
        await rounds(1)
        since, woken = desk.known().failing_since, len(desk.woken)
        assert since is not None
        await rounds(20)

        assert head.submissions() >= 15
        assert desk.known().failing_since == since
        assert "No available agent" in desk.known().error
        assert len(desk.woken) == woken


@pytest.mark.spec("rayjob:E38")
async def test_a_submission_that_takes_longer_than_a_poll_may_is_not_doubled() -> None:
    """The head looks ten seconds for its agent before it answers."""
    head = Head()
    head.takes_seconds = 4
    async with a_desk(head) as desk:
        desk.want(SUBMIT)
        await asyncio.sleep(60)

        assert head.submissions() == 1
        assert desk.known().effects[SUBMIT][0] is EffectState.DONE


async def test_an_id_that_is_taken_and_yet_unknown_is_not_hammered() -> None:
    """A head that contradicts itself gets its polls and no more."""

    class Confused(Head):
        def submitted(self, body: dict[str, Any]) -> tuple[int, bytes]:
            return 500, b"Please use a different submission_id."

    head = Confused()
    async with a_desk(head) as desk:
        desk.want(SUBMIT)
        await asyncio.sleep(60)

        assert 15 <= head.submissions() <= 25


async def test_a_bug_in_one_session_ends_no_other_and_is_told() -> None:
    """The operator outlives whatever a head makes it do."""

    class Absurd(Head):
        async def request(self, method: str, url: str, **rest: Any) -> tuple[int, bytes]:
            if "absurd" in url:
                raise ValueError("nobody thought of this")
            return await super().request(method, url, **rest)

    head = Absurd()
    head.jobs["train-1"] = {"status": "RUNNING"}
    async with a_desk(head) as desk:
        desk.want(key=OTHER, target=Target("cluster-2", "head-2", "default", "http://absurd:8265"))
        desk.want()
        await rounds(2)

        assert desk.known().job is not None
        assert desk.known(OTHER).failing_since is not None
        assert "nobody thought of this" in desk.known(OTHER).error


async def test_a_stop_reaches_a_job_whose_submission_was_just_sent() -> None:
    """Wanted instead of the submission, it comes after it."""
    head = Head()
    head.takes_seconds = 1
    async with a_desk(head) as desk:
        desk.want(SUBMIT)
        await asyncio.sleep(1.5)  # the submission is on its way
        desk.want(StopJob("train-1"), jobs=())
        await rounds(3)

        assert head.submissions() == 1
        assert head.jobs["train-1"]["status"] == "STOPPED"
        assert desk.known().effects == {StopJob("train-1"): (EffectState.DONE, "")}


async def test_a_stop_of_a_job_that_ray_does_not_know_is_had() -> None:
    """Stopped is what is not there; asked once."""
    async with a_desk() as desk:
        desk.want(StopJob("train-1"), jobs=())
        await rounds(5)

        assert desk.known().effects[StopJob("train-1")][0] is EffectState.DONE
        assert desk.head.asked == ["POST /api/jobs/train-1/stop"]


async def test_a_session_that_nobody_needs_any_more_leaves_nothing_behind() -> None:
    """No task, no memory: not of the head, not of who asked."""
    head = Head()
    async with a_desk(head) as desk:
        before = asyncio.all_tasks()
        for number in range(20):
            target = Target(f"cluster-{number}", "head", "default", "http://head:8265")
            desk.want(key=Ref("RayJob", "default", f"job-{number}"), target=target)
        await rounds()
        for number in range(20):
            desk.sessions.want(Ref("RayJob", "default", f"job-{number}"), None)
        await rounds()

        assert asyncio.all_tasks() == before
        assert (desk.sessions.sessions, desk.sessions.places) == ({}, {})


async def test_a_job_that_is_asked_about_no_more_is_forgotten() -> None:
    """On a shared cluster jobs come and go for months."""
    head = Head()
    async with a_desk(head) as desk:
        desk.want(jobs=("train-1",))
        await rounds()
        for number in range(20):
            desk.want(key=OTHER, jobs=(f"eval-{number}",))
            await rounds()

        (session,) = desk.sessions.sessions.values()
        assert set(session.answers) == {"train-1", "eval-19"}


@pytest.mark.spec("rayjob:E43")
async def test_a_token_that_cannot_be_read_is_silence_that_names_it() -> None:
    """And when the Secret is made, the next poll has it."""
    head = Head()
    head.jobs["train-1"] = {"status": "RUNNING"}
    head.token = "T"
    async with a_desk(head) as desk:
        read = desk.sessions.read_token

        async def missing(namespace: str, secret: str) -> str:
            raise KeyError("auth_token")

        desk.sessions.read_token = missing
        desk.want(target=Target("cluster-1", "head-1", "default", "http://head:8265", "secret"))
        await rounds(2)
        assert "cannot read Secret default/secret" in desk.known().error
        assert head.asked == []

        desk.sessions.read_token = read
        await rounds(2)
        assert desk.known().job is not None


async def test_a_target_that_moved_is_asked_where_it_is_now() -> None:
    """The same head under another address, or with another token's Secret."""
    head = Head()
    head.jobs["train-1"] = {"status": "RUNNING"}
    async with a_desk(head) as desk:
        desk.want(target=Target("cluster-1", "head-1", "default", "http://wrong:8265"))
        await rounds()
        desk.want()
        await rounds()

        assert desk.known().job is not None


@pytest.mark.spec("ray-side:S4-22")
async def test_a_job_that_died_with_its_head_is_found_out_by_a_touch() -> None:
    """Ray says RUNNING of it until somebody looks at its log: once in a session, and only after a silence."""
    head = Head()
    head.jobs["train-1"] = {"status": "RUNNING", "orphan": True}
    async with a_desk(head) as desk:
        desk.want()
        await rounds(3)
        assert "GET /api/jobs/train-1/logs" not in head.asked
        desk.sessions.want(KEY, None)
        await rounds()

        desk.sessions.want(KEY, Wants(TARGET, ("train-1",), touch=True))
        await rounds(3)

        known = desk.known()
        assert known.job is not None
        assert known.job.status == "FAILED"
        assert head.asked.count("GET /api/jobs/train-1/logs") == 1


@pytest.mark.parametrize("fate", ["silent", "not there"])
async def test_a_touch_that_fails_harms_nothing(fate: str) -> None:
    """It is not even a failed poll."""

    class Shy(Head):
        def answer(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
            if path.endswith("/logs"):
                if fate == "silent":
                    raise NoAnswer("too large")
                return 404, b"Job train-1 does not exist"
            return super().answer(method, path, body)

    head = Shy()
    head.jobs["train-1"] = {"status": "RUNNING"}
    async with a_desk(head) as desk:
        desk.sessions.want(KEY, Wants(TARGET, ("train-1",), touch=True))
        await rounds(3)

        assert (desk.known().failing_since, desk.known().missing) == (None, False)
        assert head.asked.count("GET /api/jobs/train-1/logs") == 1
