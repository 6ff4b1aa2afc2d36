"""Serve through a session: asked about, configured once, its doors watched; whoever has news is woken."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from api.meta import Ref
from controller.ray.dashboard.http import Dashboard, DashboardError, NoAnswer, Refused
from controller.ray.dashboard.protocol import (
    ApplicationInfo,
    DeploymentInfo,
    EffectState,
    Known,
    Proxy,
    ProxyInfo,
    PutServe,
    ServeInfo,
    Target,
    Wants,
)
from controller.ray.dashboard.serve import applications, ask_proxy, configure
from controller.ray.dashboard.sessions import POLL_SECONDS, DashboardSessions
from controller.runtime.clock import SystemClock

pytestmark = pytest.mark.looptime

KEY = Ref("RayService", "default", "web")
OLD = Target("old", "head-1", "default", "http://old:8265")
NEW = Target("new", "head-2", "default", "http://new:8265")
DOOR = Proxy("pod-1", "http://10.0.0.1:8000")
PUT = PutServe("d1", '{"applications": [{"name": "app"}]}')


class Heads:
    """Every head and proxy by its URL: what it says, and what it was told."""

    def __init__(self) -> None:
        self.says: dict[str, tuple[int, bytes]] = {}
        self.asked: list[str] = []
        self.configured: list[tuple[str, str]] = []
        self.put_takes_seconds = 0.0
        self.silent: set[str] = set()

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, timeout: timedelta
    ) -> tuple[int, bytes]:
        base, _, path = url.partition("://")[2].partition("/")
        self.asked.append(f"{method} {base}/{path}")
        if base in self.silent:
            await asyncio.sleep(timeout.total_seconds())
            raise NoAnswer("no answer")
        if method == "PUT":
            if self.put_takes_seconds > timeout.total_seconds():
                raise NoAnswer("too late")
            await asyncio.sleep(self.put_takes_seconds)
            code, said = self.says.get(f"PUT {base}", (200, b""))
            if code == 200:
                self.configured.append((base, (body or b"").decode()))
                self.run(base, "DEPLOYING")
            return code, said
        return self.says.get(f"{base}/{path}", (404, b"404: Not Found"))

    def run(self, base: str, status: str, name: str = "app") -> None:
        """Serve there says that of its one application."""
        app = {"status": status, "message": "", "route_prefix": "/", "deployments": {}}
        self.answer(base, {"applications": {name: app}})

    def answer(self, base: str, content: Any) -> None:
        self.says[f"{base}/api/serve/applications/?api_type=declarative"] = (200, json.dumps(content).encode())


class Desk:
    """Sessions, and what they told."""

    def __init__(self, heads: Heads) -> None:
        self.heads = heads
        self.woken: list[Ref] = []
        self.may_write = True
        self.sessions = DashboardSessions(
            heads,
            clock=SystemClock(),
            chance=random.Random(1),
            read_token=self._token,
            wake=self.woken.append,
            may_write=lambda: self.may_write,
        )

    async def _token(self, namespace: str, secret: str) -> str:
        raise LookupError(secret)


@asynccontextmanager
async def a_desk(heads: Heads) -> AsyncIterator[Desk]:
    desk = Desk(heads)
    async with desk.sessions.running():
        yield desk


async def rounds(number: int) -> None:
    await asyncio.sleep(POLL_SECONDS * 1.2 * number)


async def test_applications_are_told_and_only_their_changes_are_news() -> None:
    """An hour of a steady service wakes nobody."""
    heads = Heads()
    heads.run("old:8265", "RUNNING")
    async with a_desk(heads) as desk:
        desk.sessions.want(KEY, Wants(OLD, serve=True))
        await rounds(1000)
        steady = list(desk.woken)
        heads.run("old:8265", "UNHEALTHY")
        await rounds(2)

        known = desk.sessions.known(KEY)

    assert steady == [KEY]
    assert desk.woken == [KEY, KEY]
    assert known.serve is not None
    assert known.serve.applications["app"].status == "UNHEALTHY"


@pytest.mark.spec("rayservice:E36")
async def test_a_configuration_is_sent_once_and_may_take_its_time() -> None:
    """The first one starts Serve: 12 s were seen. Then it is asked at once how it goes."""
    heads = Heads()
    heads.answer("old:8265", {"applications": {}})
    heads.put_takes_seconds = 12
    async with a_desk(heads) as desk:
        desk.sessions.want(KEY, Wants(OLD, serve=True, effects=(PUT,)))
        await asyncio.sleep(12.5)
        known = desk.sessions.known(KEY)
        await rounds(10)

    assert heads.configured == [("old:8265", PUT.body)]
    assert known.effects[PUT] == (EffectState.DONE, "")
    assert known.serve is not None
    assert known.serve.applications["app"].status == "DEPLOYING"


@pytest.mark.spec("rayservice:E20")
async def test_a_configuration_that_cannot_be_right_is_not_sent_again() -> None:
    """Serve answers 400 to what it does not understand; another one is another effect."""
    heads = Heads()
    heads.answer("old:8265", {"applications": {}})
    heads.says["PUT old:8265"] = (400, b"1 validation error for ServeDeploySchema")
    better = PutServe("d2", "{}")
    async with a_desk(heads) as desk:
        desk.sessions.want(KEY, Wants(OLD, serve=True, effects=(PUT,)))
        await rounds(10)
        refused = desk.sessions.known(KEY).effects[PUT]
        puts = heads.asked.count("PUT old:8265/api/serve/applications/")
        heads.says["PUT old:8265"] = (200, b"")
        desk.sessions.want(KEY, Wants(OLD, serve=True, effects=(better,)))
        await rounds(1)

    assert puts == 1
    assert refused[0] is EffectState.REFUSED
    assert "validation error" in refused[1]
    assert heads.configured == [("old:8265", "{}")]


@pytest.mark.parametrize("failure", [(503, b"no controller"), (400, b"ray::ServeController: KVStoreError")])
async def test_a_head_that_fails_gets_the_configuration_later(failure: tuple[int, bytes]) -> None:
    heads = Heads()
    heads.answer("old:8265", {"applications": {}})
    heads.says["PUT old:8265"] = failure
    async with a_desk(heads) as desk:
        desk.sessions.want(KEY, Wants(OLD, serve=True, effects=(PUT,)))
        await rounds(3)
        failed = desk.sessions.known(KEY).effects[PUT]
        heads.says["PUT old:8265"] = (200, b"")
        await rounds(2)

    assert failed[0] is EffectState.FAILED
    assert heads.configured == [("old:8265", PUT.body)]


async def test_who_may_not_write_configures_nothing() -> None:
    """An effect is a write: the lease is asked."""
    heads = Heads()
    heads.answer("old:8265", {"applications": {}})
    async with a_desk(heads) as desk:
        desk.may_write = False
        desk.sessions.want(KEY, Wants(OLD, serve=True, effects=(PUT,)))
        await rounds(5)

    assert heads.configured == []


async def test_one_object_watches_two_clusters_and_leaves_one() -> None:
    """During an upgrade: each has its own answers, and what is wanted of one only stays there."""
    heads = Heads()
    heads.run("old:8265", "RUNNING")
    heads.answer("new:8265", {"applications": {}})
    async with a_desk(heads) as desk:
        desk.sessions.want(KEY, Wants(OLD, serve=True), Wants(NEW, serve=True, effects=(PUT,)))
        await rounds(2)
        old, new = desk.sessions.known(KEY, OLD).serve, desk.sessions.known(KEY, NEW).serve
        desk.sessions.want(KEY, Wants(NEW, serve=True))
        await rounds(1)
        asked = len([one for one in heads.asked if "old" in one])
        await rounds(5)

    assert heads.configured == [("new:8265", PUT.body)]
    assert old is not None
    assert new is not None
    assert [one.applications["app"].status for one in (old, new)] == ["RUNNING", "DEPLOYING"]
    assert len([one for one in heads.asked if "old" in one]) == asked
    assert desk.sessions.places == {}


async def test_of_a_head_that_runs_anew_nothing_is_known_of_the_run_before() -> None:
    """Before anything is wanted of it, too: the pass that sees it first must not judge by what another one said."""
    heads = Heads()
    heads.run("old:8265", "RUNNING")
    again = replace(OLD, head_run="head-1/1")
    async with a_desk(heads) as desk:
        desk.sessions.want(KEY, Wants(OLD, serve=True, effects=(PUT,), mark="d1"))
        await rounds(2)
        before, first = desk.sessions.known(KEY, OLD), desk.sessions.known(KEY, again)
        desk.sessions.want(KEY, Wants(again, serve=True))
        await rounds(1)
        after, late = desk.sessions.known(KEY, again), desk.sessions.known(KEY, OLD)

    assert before.serve is not None
    assert (before.mark, before.effects[PUT][0]) == ("d1", EffectState.DONE)
    assert first == late == Known()
    assert (after.serve, after.mark, after.effects) == (before.serve, "", {})


async def test_a_door_is_watched_and_one_that_hangs_delays_no_other() -> None:
    heads = Heads()
    heads.run("old:8265", "RUNNING")
    doors = tuple(Proxy(f"pod-{n}", f"http://10.0.0.{n}:8000") for n in range(20))
    for n in range(20):
        heads.says[f"10.0.0.{n}:8000/-/healthz"] = (200, b"success")
        heads.says[f"10.0.0.{n}:8000/-/routes"] = (200, b'{"/a": "app"}')
    heads.silent = {"10.0.0.0:8000"}
    async with a_desk(heads) as desk:
        desk.sessions.want(KEY, Wants(OLD, serve=True, proxies=doors))
        await rounds(1)
        known = desk.sessions.known(KEY).proxies
        before = len(desk.woken)
        heads.says["10.0.0.7:8000/-/healthz"] = (503, b"This node is being drained.")
        await rounds(2)
        drained = desk.sessions.known(KEY).proxies[doors[7]]

    assert known[doors[0]].healthy is False
    assert all(known[door] == ProxyInfo(True, frozenset({"/a"})) for door in doors[1:])
    assert (drained.healthy, drained.problem) == (False, "503: This node is being drained.")
    assert len(desk.woken) == before + 1


# One request


@pytest.mark.spec("rayservice:E34")
async def test_what_serve_says_is_read_without_taking_keys_for_granted() -> None:
    """Unset keys are left out; an application without a name is called default; unknown words are kept."""
    heads = Heads()
    heads.answer(
        "old:8265",
        {
            "controller_info": {},
            "applications": {
                "": {
                    "status": "BRAND_NEW",
                    "deployments": {"d": {"status": "UPSCALING", "message": "one more"}, "e": {}},
                },
                "bare": {},
            },
        },
    )

    said = await applications(Dashboard(heads, "http://old:8265"))

    deployments = {"d": DeploymentInfo("UPSCALING", "one more"), "e": DeploymentInfo("")}
    assert said == ServeInfo(
        {"default": ApplicationInfo("BRAND_NEW", deployments=deployments), "bare": ApplicationInfo("")}
    )
    assert heads.asked == ["GET old:8265/api/serve/applications/?api_type=declarative"]


async def test_a_head_without_serve_has_no_applications() -> None:
    heads = Heads()
    heads.answer("old:8265", {"controller_info": {}, "proxies": {}, "applications": {}, "target_capacity": None})

    assert await applications(Dashboard(heads, "http://old:8265")) == ServeInfo()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((500, b"Traceback\nKeyError: x"), "500: KeyError: x"),
        ((400, b"bad"), "400: bad"),
        ((200, b"<html>"), "no JSON"),
        ((200, b"[]"), "should be an object"),
        ((200, b'{"applications": []}'), ""),
        ((200, b'{"applications": [1]}'), "should be an object"),
        ((200, b'{"applications": {"a": {"status": 3}}}'), "should be a string"),
    ],
)
async def test_an_answer_that_is_none_is_told(answer: tuple[int, bytes], words: str) -> None:
    heads = Heads()
    heads.says["old:8265/api/serve/applications/?api_type=declarative"] = answer
    if not words:
        assert await applications(Dashboard(heads, "http://old:8265")) == ServeInfo()
        return
    with pytest.raises(DashboardError, match=words):
        await applications(Dashboard(heads, "http://old:8265"))


LOST_STORE = (
    b"ray::ServeController.deploy_apps() (pid=7, ip=10.0.0.1)\nray.serve._private.storage.kv_store.KVStoreError"
)


@pytest.mark.parametrize(
    ("answer", "for_good"),
    [
        ((400, b"1 validation error for ServeDeploySchema\napplications\n  Field required"), True),
        ((400, b"ValidationError(model='ServeDeploySchema', errors=[{'loc': ('applications',)}])"), True),
        ((400, LOST_STORE), False),
        ((500, b"no"), False),
    ],
)
async def test_what_can_never_be_right_is_told_from_a_failure(answer: tuple[int, bytes], for_good: bool) -> None:
    """Serve answers 400 also where its controller failed: while the GCS was away, say (ray-side S4-25)."""
    heads = Heads()
    heads.says["PUT old:8265"] = answer

    with pytest.raises(DashboardError) as caught:
        await configure(Dashboard(heads, "http://old:8265"), "{}")

    assert isinstance(caught.value, Refused) == for_good


async def test_a_refusal_says_what_is_wrong_and_where() -> None:
    """The last line of pydantic's text is a link."""
    heads = Heads()
    link = "    For further information visit https://errors.pydantic.dev/2.11/v/missing"
    lines = (
        *("2 validation errors for ServeDeploySchema", "applications.0.import_path", "  Field required [type=missing]"),
        *(link, "applications.0.host", "  Extra inputs are not permitted", link, ""),
    )
    heads.says["PUT old:8265"] = (400, "\n".join(lines).encode())

    with pytest.raises(Refused) as caught:
        await configure(Dashboard(heads, "http://old:8265"), "{}")

    assert str(caught.value) == (
        "Serve refused the configuration: 2 validation errors for ServeDeploySchema; applications.0.import_path; "
        "Field required [type=missing]; applications.0.host; Extra inputs are not permitted"
    )


@pytest.mark.parametrize(
    ("health", "routes", "expected"),
    [
        ((200, b"success"), (200, b'{"/": "app", "/b": "other"}'), ProxyInfo(True, frozenset({"/", "/b"}))),
        ((200, b"success"), (503, b"Route table"), ProxyInfo(True, problem="503: Route table")),
        ((200, b"success"), (200, b"html"), ProxyInfo(True, problem="routes are no JSON: html")),
        ((200, b"success"), (200, b"[1]"), ProxyInfo(True)),
        ((503, b"draining"), (200, b"{}"), ProxyInfo(False, problem="503: draining")),
        ((204, b""), (200, b"{}"), ProxyInfo(False, problem="204: (empty)")),
    ],
)
async def test_healthy_is_exactly_200(
    health: tuple[int, bytes], routes: tuple[int, bytes], expected: ProxyInfo
) -> None:
    heads = Heads()
    heads.says |= {"10.0.0.1:8000/-/healthz": health, "10.0.0.1:8000/-/routes": routes}

    assert await ask_proxy(heads, DOOR) == expected
