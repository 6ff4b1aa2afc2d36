"""Every verdict of a plan's writes, and the order in which they go out. The test is the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from api.core import JOBS, PODS
from api.meta import Json, Resource
from controller.runtime import errors
from controller.runtime.apply import WARM, apply
from controller.runtime.client.rest import Identity, RestClient
from controller.runtime.clock import SystemClock
from controller.runtime.plan import Create, Delete, MergePatch, Outcome, Plan, Step, Verdict, Write
from localcluster.testing.scripted_api import Exchange, ScriptedTransport, status

pytestmark = pytest.mark.looptime

OWNER = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "name": "c", "uid": "mine", "controller": True}
DELETING: Any = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


def a_pod(name: str = "a", *, owner: Json | None = OWNER, phase: str = "", **metadata: Any) -> Json:
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": "7", **metadata}
    if owner:
        metadata["ownerReferences"] = [owner]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"phase": phase} if phase else {}}


def creating(name: str = "a", resource: Resource = PODS, **options: Any) -> Create:
    metadata = {"name": name, "namespace": "ns", "ownerReferences": [OWNER], "annotations": {"slot": "1"}}
    return Create(resource, {"metadata": metadata}, identity=("slot",), **options)


DELETING_A = Delete(PODS, "ns", "a", "uid-a")
PATCHING_A = MergePatch(PODS, "ns", "a", "uid-a", {"metadata": {"labels": {"x": "1"}}})

Answer = Callable[[Exchange], None]


def answering(**by_method: list[Answer]) -> ScriptedTransport:
    """A server with a queue of answers for each method."""
    return ScriptedTransport(lambda exchange: by_method[exchange.method].pop(0)(exchange))


def ok(body: Json, code: int = 200) -> Answer:
    return lambda exchange: exchange.answer(body, code)


def no(code: int, reason: str) -> Answer:
    return lambda exchange: exchange.refuse(code, reason)


def lost(exchange: Exchange) -> None:
    exchange.cut()


async def applied(wire: ScriptedTransport, *writes: Write) -> tuple[Outcome, ...]:
    client = RestClient(wire, clock=SystemClock(), identity=Identity("op", "1"))
    return await apply(client, Plan(steps=(Step.of(*writes),)), "mine")


async def test_a_create_that_happens_now_is_done() -> None:
    """With the object as the server has it."""
    (outcome,) = await applied(answering(POST=[ok(a_pod(), 201)]), creating())

    assert outcome.verdict is Verdict.DONE
    assert outcome.object == a_pod()


@pytest.mark.parametrize(
    ("there", "verdict"),
    [
        (a_pod(annotations={"slot": "1"}), Verdict.ALREADY),
        (a_pod(annotations={"slot": "2"}), Verdict.STALE),
        (a_pod(), Verdict.STALE),
        (a_pod(annotations={"slot": "1"}, **DELETING), Verdict.STALE),
        (a_pod(annotations={"slot": "1"}, phase="Failed"), Verdict.STALE),
        (a_pod(annotations={"slot": "1"}, phase="Succeeded"), Verdict.STALE),
        (a_pod(owner={**OWNER, "uid": "before"}), Verdict.WAIT),
        (a_pod(owner={**OWNER, "uid": "x", "name": "other"}), Verdict.FOREIGN),
        (a_pod(owner={**OWNER, "uid": "x", "apiVersion": "example.com/v1"}), Verdict.FOREIGN),
        (a_pod(owner={**OWNER, "controller": False}), Verdict.FOREIGN),
        (a_pod(owner=None), Verdict.FOREIGN),
    ],
)
async def test_an_object_that_is_there_already_is_judged_by_its_owner_and_identity(
    there: Json, verdict: Verdict
) -> None:
    """Design W3, case by case."""
    (outcome,) = await applied(answering(POST=[no(409, "AlreadyExists")], GET=[ok(there)]), creating())

    assert outcome.verdict is verdict
    assert outcome.object == there


async def test_what_a_user_made_under_the_expected_name_is_used_where_that_is_allowed() -> None:
    """Auth Secret, PVC, ServiceAccount, Role, RoleBinding."""
    wire = answering(POST=[no(409, "AlreadyExists")], GET=[ok(a_pod(owner=None))])

    (outcome,) = await applied(wire, creating(adopt_foreign=True))

    assert outcome.verdict is Verdict.ALREADY


async def test_a_finished_job_of_ours_is_still_the_answer_to_its_creation() -> None:
    """Only a finished pod runs nothing any more."""
    there = a_pod(annotations={"slot": "1"}, phase="Failed")
    wire = answering(POST=[no(409, "AlreadyExists")], GET=[ok(there)])

    (outcome,) = await applied(wire, creating(resource=JOBS))

    assert outcome.verdict is Verdict.ALREADY


async def test_an_object_that_vanishes_between_two_requests_is_a_conflict() -> None:
    """The next pass decides with a fresh view."""
    (outcome,) = await applied(answering(POST=[no(409, "AlreadyExists")], GET=[no(404, "NotFound")]), creating())

    assert outcome.verdict is Verdict.CONFLICT


async def test_a_refusal_keeps_the_servers_own_words() -> None:
    """They will stand in a condition (design W7)."""
    (outcome,) = await applied(answering(POST=[no(403, "Forbidden")]), creating())

    assert outcome.verdict is Verdict.REFUSED
    assert isinstance(outcome.error, errors.Forbidden)
    assert outcome.error.message == "refused by the test"


@pytest.mark.parametrize(
    ("looked", "verdict", "posts"),
    [
        (ok(a_pod(annotations={"slot": "1"})), Verdict.ALREADY, 1),
        (no(404, "NotFound"), Verdict.DONE, 2),
        (ok(a_pod(owner=None)), Verdict.FOREIGN, 1),
    ],
)
async def test_a_create_without_an_answer_is_looked_for_before_it_is_repeated(
    looked: Answer, verdict: Verdict, posts: int
) -> None:
    """Design W8."""
    wire = answering(POST=[lost, ok(a_pod(), 201)], GET=[looked])

    (outcome,) = await applied(wire, creating())

    assert outcome.verdict is verdict
    assert [exchange.method for exchange in wire.log].count("POST") == posts


async def test_a_create_that_arrives_after_it_was_looked_for_is_found_by_the_second_one() -> None:
    """A request can be on its way longer than its sender waits: what is ours is no refusal then (design W3)."""
    late = [lost, no(409, "AlreadyExists")]
    wire = answering(POST=late, GET=[no(404, "NotFound"), ok(a_pod(annotations={"slot": "1"}))])

    (outcome,) = await applied(wire, creating())

    assert (outcome.verdict, late) == (Verdict.ALREADY, [])


async def test_a_write_that_is_lost_twice_is_left_to_the_next_pass() -> None:
    """Its error says that it is not known."""
    (outcome,) = await applied(answering(POST=[lost, lost], GET=[no(404, "NotFound")]), creating())

    assert outcome.verdict is Verdict.REFUSED
    assert isinstance(outcome.error, errors.LostAnswer)


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ({"DELETE": [ok({**status(200), "status": "Success"})]}, Verdict.DONE),
        ({"DELETE": [ok(a_pod(**DELETING))]}, Verdict.DONE),
        ({"DELETE": [no(404, "NotFound")]}, Verdict.ALREADY),
        ({"DELETE": [no(409, "Conflict")], "GET": [ok(a_pod(uid="another"))]}, Verdict.ALREADY),
        ({"DELETE": [no(409, "Conflict")], "GET": [no(404, "NotFound")]}, Verdict.ALREADY),
        ({"DELETE": [no(409, "Conflict")], "GET": [ok(a_pod())]}, Verdict.CONFLICT),
        ({"DELETE": [no(403, "Forbidden")]}, Verdict.REFUSED),
        ({"DELETE": [lost], "GET": [no(404, "NotFound")]}, Verdict.DONE),
        ({"DELETE": [lost], "GET": [ok(a_pod(**DELETING))]}, Verdict.DONE),
        ({"DELETE": [lost, ok(a_pod(**DELETING))], "GET": [ok(a_pod())]}, Verdict.DONE),
    ],
)
async def test_a_delete_hits_the_one_it_names_or_nothing(answers: dict[str, list[Answer]], verdict: Verdict) -> None:
    """Another object of that name means that ours is gone (design W4)."""
    wire = answering(**answers)

    (outcome,) = await applied(wire, DELETING_A)

    assert outcome.verdict is verdict
    assert wire.log[0].body["preconditions"] == {"uid": "uid-a"}
    assert not any(answers.values()), "no more and no fewer requests than that"


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ({"PATCH": [ok(a_pod())]}, Verdict.DONE),
        ({"PATCH": [no(409, "Conflict")]}, Verdict.CONFLICT),
        ({"PATCH": [no(404, "NotFound")]}, Verdict.CONFLICT),
        ({"PATCH": [no(422, "Invalid")]}, Verdict.REFUSED),
        ({"PATCH": [lost], "GET": [ok(a_pod(labels={"x": "1"}))]}, Verdict.DONE),
        ({"PATCH": [lost, ok(a_pod())], "GET": [ok(a_pod())]}, Verdict.DONE),
        ({"PATCH": [lost], "GET": [ok(a_pod(uid="another"))]}, Verdict.CONFLICT),
        ({"PATCH": [lost], "GET": [no(404, "NotFound")]}, Verdict.CONFLICT),
    ],
)
async def test_a_patch_names_the_uid_and_is_looked_for_when_lost(
    answers: dict[str, list[Answer]], verdict: Verdict
) -> None:
    """A patch that is there already needs no second one."""
    wire = answering(**answers)

    (outcome,) = await applied(wire, PATCHING_A)

    assert outcome.verdict is verdict
    assert wire.log[0].body["metadata"]["uid"] == "uid-a"
    assert not any(answers.values()), "no more and no fewer requests than that"


async def test_a_server_that_refuses_all_is_asked_once_a_lane() -> None:
    """A hundred pods over quota are one request, and the rest is skipped."""
    wire = ScriptedTransport(lambda exchange: exchange.refuse(403, "Forbidden"))

    outcomes = await applied(wire, *(creating(f"p{n}") for n in range(100)))

    assert len(wire.log) == 1
    assert [one.verdict for one in outcomes] == [Verdict.REFUSED] + [Verdict.SKIPPED] * 99


async def test_a_conflict_ends_its_lane() -> None:
    """What comes next was decided from a view that is no longer true."""
    outcomes = await applied(answering(PATCH=[no(409, "Conflict")]), PATCHING_A, creating())

    assert [one.verdict for one in outcomes] == [Verdict.CONFLICT, Verdict.SKIPPED]


async def batches(plan: Plan) -> list[int]:
    """How many requests are open at once, batch after batch, at a server that accepts all."""
    wire = ScriptedTransport()
    client = RestClient(wire, clock=SystemClock(), identity=Identity("op", "1"))
    sizes: list[int] = []
    async with asyncio.TaskGroup() as group:
        task = group.create_task(apply(client, plan, "mine"))
        while sum(sizes) < len(plan.writes):
            await asyncio.sleep(0.001)
            fresh = wire.log[sum(sizes) :]
            sizes.append(len(fresh))
            for exchange in fresh:
                exchange.answer(a_pod(), 201)
    assert all(one.good for one in task.result())
    return sizes


async def test_a_lane_that_goes_well_doubles_its_batches() -> None:
    """1, 2, 4, ...: each batch side by side, the next one when it is done."""
    assert await batches(Plan(steps=(Step.of(*(creating(f"p{n}") for n in range(10))),))) == [1, 2, 4, 3]


async def test_what_an_earlier_step_did_well_opens_the_next_with_a_larger_batch() -> None:
    """The head was accepted, so its first four workers go out together; a job says nothing about pods."""
    workers = Step.of(*(creating(f"w{n}") for n in range(7)))

    assert await batches(Plan(steps=(Step.of(creating("head")), workers))) == [1, 4, 3]
    assert await batches(Plan(steps=(Step.of(creating("job", JOBS)), workers))) == [1, 1, 2, 4]


async def test_where_the_quota_ends_at_the_head_four_workers_are_refused_and_the_rest_not_tried() -> None:
    """The price of the larger batch, and its bound."""

    def respond(exchange: Exchange) -> None:
        name = exchange.body["metadata"]["name"]
        exchange.answer(a_pod(name), 201) if name == "head" else exchange.refuse(403, "Forbidden")

    wire = ScriptedTransport(respond)
    client = RestClient(wire, clock=SystemClock(), identity=Identity("op", "1"))
    workers = Step.of(*(creating(f"w{n}") for n in range(100)))

    outcomes = await apply(client, Plan(steps=(Step.of(creating("head")), workers)), "mine")

    assert len(wire.log) == 1 + WARM
    assert [one.verdict for one in outcomes[1:]] == [Verdict.REFUSED] * WARM + [Verdict.SKIPPED] * 96


async def test_one_stale_slot_does_not_hold_back_the_others_of_its_lane() -> None:
    """It says something about itself, not about the server."""
    wire = answering(
        POST=[no(409, "AlreadyExists"), ok(a_pod(), 201), ok(a_pod(), 201)],
        GET=[ok(a_pod(annotations={"slot": "2"}))],
    )

    outcomes = await applied(wire, creating("a"), creating("b"), creating("c"))

    assert [one.verdict for one in outcomes] == [Verdict.STALE, Verdict.DONE, Verdict.DONE]


async def test_a_refused_lane_stops_later_steps_but_not_the_lanes_beside_it() -> None:
    """What is independent is tried; what builds upon it is not."""

    def respond(exchange: Exchange) -> None:
        name = exchange.body["metadata"]["name"]
        exchange.refuse(403, "Forbidden") if name == "bad" else exchange.answer(a_pod(name), 201)

    wire = ScriptedTransport(respond)
    client = RestClient(wire, clock=SystemClock(), identity=Identity("op", "1"))
    plan = Plan(steps=(Step(((creating("bad"), creating("rest")), (creating("good"),))), Step.of(DELETING_A)))

    outcomes = await apply(client, plan, "mine")

    assert [one.verdict for one in outcomes] == [Verdict.REFUSED, Verdict.SKIPPED, Verdict.DONE, Verdict.SKIPPED]
    assert [one.write for one in outcomes] == list(plan.writes)


async def test_without_the_lease_nothing_is_written() -> None:
    """And that is an outcome, not a crash in the middle."""
    wire = ScriptedTransport()
    client = RestClient(wire, clock=SystemClock(), identity=Identity("op", "1"), may_write=lambda: False)

    (outcome,) = await apply(client, Plan(steps=(Step.of(creating()),)), "mine")

    assert isinstance(outcome.error, errors.NotLeading)
    assert wire.log == []
