"""One status write, or none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from api.core import JOBS
from api.meta import Condition, Json, condition
from controller.runtime.client.rest import Identity, RestClient
from controller.runtime.clock import SystemClock
from controller.runtime.errors import Conflict
from controller.runtime.plan import MergePatch
from controller.runtime.publish import merged_conditions, publish, record, status_patch
from localcluster.testing.scripted_api import Exchange, ScriptedTransport

pytestmark = pytest.mark.looptime


def a_condition(type_: str, status: Any = "True", at: str = "2026-01-01T00:00:00Z", reason: str = "R") -> Condition:
    return {"type": type_, "status": status, "reason": reason, "message": "", "lastTransitionTime": at}


def a_job(status: Json) -> Json:
    metadata = {"name": "j", "namespace": "ns", "uid": "u", "resourceVersion": "7"}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "status": status}


def a_client(wire: ScriptedTransport) -> RestClient:
    return RestClient(wire, clock=SystemClock(), identity=Identity("op", "1"))


@pytest.mark.spec("runtime:CLI-10")
async def test_a_status_is_one_merge_patch_of_what_changed_with_uid_and_version() -> None:
    """A member that goes is an explicit null; what is equal is not sent."""
    wire = ScriptedTransport(lambda exchange: exchange.answer(a_job({})))

    await publish(a_client(wire), JOBS, a_job({"keep": 1, "old": 2, "gone": 3}), {"keep": 1, "old": 5})

    (sent,) = wire.log
    assert (sent.method, sent.path) == ("PATCH", "/apis/batch/v1/namespaces/ns/jobs/j/status")
    assert sent.headers["Content-Type"] == "application/merge-patch+json"
    assert sent.body == {
        "metadata": {"uid": "u", "resourceVersion": "7"},
        "status": {"old": 5, "gone": None},
    }


async def test_a_converged_system_writes_nothing() -> None:
    """Not even when only a time stamp differs."""
    wire = ScriptedTransport()
    seen = a_job({"n": 1, "conditions": [a_condition("Ready")]})
    wanted = {"n": 1, "conditions": [a_condition("Ready", at="2026-06-06T00:00:00Z")]}

    assert await publish(a_client(wire), JOBS, seen, wanted) is None
    assert wire.log == []


@pytest.mark.parametrize(("code", "reason"), [(409, "Conflict"), (422, "Invalid")])
async def test_an_object_that_changed_or_was_replaced_is_a_conflict(code: int, reason: str) -> None:
    """422 on metadata.uid means what 409 means (design W4)."""

    def refuse(exchange: Exchange) -> None:
        causes = [{"field": "metadata.uid"}] if code == 422 else []
        exchange.answer({"kind": "Status", "code": code, "reason": reason, "details": {"causes": causes}}, code)

    with pytest.raises(Conflict):
        await publish(a_client(ScriptedTransport(refuse)), JOBS, a_job({}), {"n": 1})


@pytest.mark.spec("runtime:FIN-2")
async def test_an_object_that_is_gone_changed_too() -> None:
    """No failure to complain of: the next pass sees that it is gone. So for a status and for a record."""
    wire = ScriptedTransport(lambda exchange: exchange.refuse(404, "NotFound"))

    with pytest.raises(Conflict):
        await publish(a_client(wire), JOBS, a_job({}), {"n": 1})
    with pytest.raises(Conflict):
        await record(a_client(wire), MergePatch(JOBS, "ns", "j", "u", {"metadata": {"finalizers": []}}))


def test_conditions_travel_as_the_whole_list_with_foreign_types_in_their_places() -> None:
    """A merge patch replaces lists whole: leaving one out would delete it."""
    old = [a_condition("Foreign"), a_condition("Ready", "False", at="2026-01-01T00:00:00Z")]
    new = [a_condition("Ready", "True", at="2026-06-06T00:00:00Z"), a_condition("New")]

    patch = status_patch({"conditions": old}, {"conditions": new})

    assert [one["type"] for one in patch["conditions"]] == ["Foreign", "Ready", "New"]
    assert patch["conditions"][1]["lastTransitionTime"] == "2026-06-06T00:00:00Z"


def test_the_transition_time_moves_only_with_the_status() -> None:
    """A new reason is no transition."""
    kept = merged_conditions(
        [a_condition("Ready", at="2026-01-01T00:00:00Z")],
        [a_condition("Ready", at="2026-06-06T00:00:00Z", reason="Other")],
    )

    ready = condition(kept, "Ready")
    assert ready is not None
    assert (ready["reason"], ready["lastTransitionTime"]) == ("Other", "2026-01-01T00:00:00Z")


def test_a_status_without_conditions_keeps_those_that_are_there_except_our_own() -> None:
    """A kind takes away only types that it owns."""
    old = {"conditions": [a_condition("Foreign"), a_condition("ReplicaFailure")]}

    assert status_patch(old, {}) == {}
    assert status_patch(old, {}, ["ReplicaFailure"]) == {"conditions": [a_condition("Foreign")]}
    assert status_patch({"conditions": [a_condition("Mine")]}, {}, ["Mine"]) == {"conditions": []}


async def test_a_record_carries_uid_and_version_beside_what_it_stores() -> None:
    """Stored before it is used (design W5); with lists, only if nobody changed them since."""
    wire = ScriptedTransport()
    patch = MergePatch(JOBS, "ns", "j", "u", {"metadata": {"finalizers": ["f"]}}, resource_version="7")
    async with asyncio.TaskGroup() as group:
        group.create_task(record(a_client(wire), patch))
        sent = await wire.next("PATCH", "/apis/batch/v1/namespaces/ns/jobs/j")
        sent.answer(a_job({}))

    assert sent.body == {"metadata": {"finalizers": ["f"], "uid": "u", "resourceVersion": "7"}}


@pytest.mark.spec("rayservice:E55")
def test_a_condition_that_begins_again_has_a_new_time_though_its_status_is_the_old() -> None:
    """Without that, what a resumed service may take would have begun when it was suspended."""
    early, late = "2026-01-01T00:00:00Z", "2026-06-06T00:00:00Z"
    old = {"conditions": [a_condition("Ready", at=early), a_condition("Other", at=early)]}
    new = {"conditions": [a_condition("Ready", at=late), a_condition("Other", at=late)]}

    patch = status_patch(old, new, anew={"Ready"})

    assert [one["lastTransitionTime"] for one in patch["conditions"]] == [late, early]
