"""A plan's writes -> requests -> outcomes (design W3, W4, W8). Refusals are outcomes too; nothing is decided here.

Steps run one after the other, the lanes of a step side by side. In a lane writes go out in batches of 1, 2, 4, ...;
after a batch in which the server refused one, the rest of the lane is skipped. After a step in which a write did not
come out well, the rest of the plan is. Where an earlier step of the plan did the same to the same kind of object, as
the head's creation does for the workers', the first batch is `WARM` at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from api.core import PODS
from api.meta import Json, Resource, controller_of
from controller.runtime.diff import merged
from controller.runtime.errors import AlreadyExists, Conflict, LostAnswer, NotFound, RuntimeProblem
from controller.runtime.interfaces import Client
from controller.runtime.plan import Create, Delete, MergePatch, Outcome, Plan, Step, Verdict, Write
from controller.runtime.publish import patch_body

__all__ = ["WARM", "apply"]

WARM = 4  # a round trip less for clusters of up to four workers; where a quota ends at the head, three refusals more
_ENDS_A_LANE = frozenset({Verdict.REFUSED, Verdict.CONFLICT})
_FINISHED_PHASES = frozenset({"Succeeded", "Failed"})

T = TypeVar("T")
_Sort = tuple[type[Write], Resource]  # what is done to which kind of object


async def apply(client: Client, plan: Plan, owner_uid: str) -> tuple[Outcome, ...]:
    """Carry out `plan.steps` for the object with that UID; an outcome for each write, in the order of `plan.writes`.

    Never raises for what the server answers or does not answer. Cancelled, writes under way end as they end: the
    ledger knows them as uncertain.
    """
    outcomes: list[Outcome] = []
    stopped = False
    taken: set[_Sort] = set()
    for step in plan.steps:
        done = _skipped(step) if stopped else await _apply_step(client, step, owner_uid, taken)
        stopped = stopped or not all(one.good for one in done)
        taken |= {_sort_of(one.write) for one in done if one.verdict is Verdict.DONE}
        outcomes += done
    return tuple(outcomes)


def _sort_of(write: Write) -> _Sort:
    return type(write), write.resource


def _skipped(step: Step) -> list[Outcome]:
    return [Outcome(write, Verdict.SKIPPED) for lane in step.lanes for write in lane]


async def _apply_step(client: Client, step: Step, owner_uid: str, taken: Collection[_Sort]) -> list[Outcome]:
    lanes = await _together([_apply_lane(client, lane, owner_uid, taken) for lane in step.lanes])
    return [outcome for lane in lanes for outcome in lane]


async def _apply_lane(client: Client, lane: Sequence[Write], owner_uid: str, taken: Collection[_Sort]) -> list[Outcome]:
    """Slow start: twice as many each time, so a server that refuses all is asked once. `taken`: what it accepted."""
    done: list[Outcome] = []
    size = WARM if all(_sort_of(write) in taken for write in lane[:WARM]) else 1
    while len(done) < len(lane) and not any(one.verdict in _ENDS_A_LANE for one in done):
        batch = lane[len(done) : len(done) + size]
        done += await _together([_apply_one(client, write, owner_uid) for write in batch])
        size *= 2
    return done + [Outcome(write, Verdict.SKIPPED) for write in lane[len(done) :]]


async def _together(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """What they answer, side by side; one alone, as most are, needs no task of its own."""
    if len(works) == 1:
        return [await works[0]]
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(work) for work in works]
    return [task.result() for task in running]


async def _apply_one(client: Client, write: Write, owner_uid: str) -> Outcome:
    try:
        match write:
            case Create():
                return await _create(client, write, owner_uid)
            case Delete():
                return await _delete(client, write, owner_uid)
            case MergePatch():
                return await _patch(client, write)
    except Conflict as error:
        return Outcome(write, Verdict.CONFLICT, error=error)
    except RuntimeProblem as error:
        return Outcome(write, Verdict.REFUSED, error=error)


async def _create(client: Client, write: Create, owner_uid: str) -> Outcome:
    try:
        return await _create_once(client, write, owner_uid)
    except LostAnswer:
        there = await _look(client, write)
        if there is not None:
            return Outcome(write, _whose(write, there, owner_uid), there)
        return await _create_once(client, write, owner_uid)


async def _create_once(client: Client, write: Create, owner_uid: str) -> Outcome:
    try:
        return Outcome(write, Verdict.DONE, await client.create(write.resource, write.body))
    except AlreadyExists as error:
        there = await _look(client, write)
        if there is not None:
            return Outcome(write, _whose(write, there, owner_uid), there, error)
        # It vanished between the two requests: the next pass creates it with a fresh view.
        return Outcome(write, Verdict.CONFLICT, error=error)


def _whose(write: Create, there: Json, owner_uid: str) -> Verdict:
    """Whose is the object that stands under the name we wanted (design W3)?"""
    metadata = there["metadata"]
    owner = controller_of(metadata)
    if owner is None or owner["uid"] != owner_uid:
        if write.adopt_foreign:
            return Verdict.ALREADY
        return Verdict.WAIT if _of_a_predecessor(write, owner) else Verdict.FOREIGN
    if metadata.get("deletionTimestamp") or _finished(write, there):
        return Verdict.STALE
    wanted = write.body["metadata"].get("annotations") or {}
    found = metadata.get("annotations") or {}
    alike = all(wanted.get(key) == found.get(key) for key in write.identity)
    return Verdict.ALREADY if alike else Verdict.STALE


def _of_a_predecessor(write: Create, owner: Mapping[str, Any] | None) -> bool:
    """Controlled by an owner of our kind and name but of another UID: garbage collection takes it."""
    ours = controller_of(write.body["metadata"])
    return (
        owner is not None
        and ours is not None
        and (owner["kind"], owner["name"]) == (ours["kind"], ours["name"])
        and owner["apiVersion"].partition("/")[0] == ours["apiVersion"].partition("/")[0]
    )


def _finished(write: Create, there: Json) -> bool:
    """A finished pod runs nothing any more; a finished Job of ours is still the answer to its creation."""
    return write.resource == PODS and (there.get("status") or {}).get("phase") in _FINISHED_PHASES


async def _delete(client: Client, write: Delete, owner_uid: str) -> Outcome:
    try:
        return await _delete_once(client, write, owner_uid)
    except LostAnswer:
        there = await _look(client, write)
        if there is None or there["metadata"]["uid"] != write.uid:
            return Outcome(write, Verdict.DONE)
        if there["metadata"].get("deletionTimestamp"):
            return Outcome(write, Verdict.DONE, there)
        return await _delete_once(client, write, owner_uid)


async def _delete_once(client: Client, write: Delete, owner_uid: str) -> Outcome:
    try:
        answer = await client.delete(
            write.resource,
            write.namespace,
            write.name,
            uid=write.uid,
            propagation=write.propagation,
            owner_uid=owner_uid,
        )
    except NotFound:
        return Outcome(write, Verdict.ALREADY)
    except Conflict as error:
        there = await _look(client, write)
        if there is None or there["metadata"]["uid"] != write.uid:
            return Outcome(write, Verdict.ALREADY)
        return Outcome(write, Verdict.CONFLICT, there, error)
    return Outcome(write, Verdict.DONE, None if answer.get("kind") == "Status" else answer)


async def _patch(client: Client, write: MergePatch) -> Outcome:
    try:
        return await _patch_once(client, write)
    except LostAnswer:
        there = await _look(client, write)
        if there is None or there["metadata"]["uid"] != write.uid:
            return Outcome(write, Verdict.CONFLICT, there)
        if merged(there, write.body) == there:
            return Outcome(write, Verdict.DONE, there)
        return await _patch_once(client, write)


async def _patch_once(client: Client, write: MergePatch) -> Outcome:
    try:
        answer = await client.patch(
            write.resource, write.namespace, write.name, patch_body(write), subresource=write.subresource
        )
    except NotFound as error:
        return Outcome(write, Verdict.CONFLICT, error=error)
    return Outcome(write, Verdict.DONE, answer)


async def _look(client: Client, write: Write) -> Json | None:
    """The object that the write is about, live."""
    if isinstance(write, Create):
        metadata = write.body["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata["name"]
    else:
        namespace, name = write.namespace, write.name
    try:
        return await client.get(write.resource, namespace, name)
    except NotFound:
        return None
