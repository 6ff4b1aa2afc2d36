"""What end-to-end tests conclude from the answers that a client got must itself be right."""

from __future__ import annotations

import asyncio
import io
import json
from dataclasses import asdict

import pytest

from hack.e2e.asker import Answer, Asking
from hack.e2e.clients import Client

ANSWERS = [Answer("hello", True, 0.25), Answer("TimeoutError()", False, 10.0), Answer("good day", True, 0.5)]


def test_failures_and_the_longest_answer_are_told() -> None:
    asking = Asking()
    for answer in ANSWERS:
        asking.hear(answer)

    assert asking.told == "3 requests, 1 failed (1 x TimeoutError), the longest answer took 10.00 s"
    assert asking.failures == ["TimeoutError()"]


def test_a_client_in_a_pod_is_heard_by_its_log() -> None:
    client = Client()

    client.read(io.StringIO("".join(json.dumps(asdict(answer)) + "\n" for answer in ANSWERS)))

    assert client.answers == ANSWERS
    assert client.told == "3 requests, 1 failed (1 x TimeoutError), the longest answer took 10.00 s"


async def test_what_was_heard_before_is_not_waited_for() -> None:
    """Nor is what is no good answer: a test that waits for a change must not see what was."""
    asking = Asking()
    asking.hear(Answer("new", True, 0.1))

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(asking.until(lambda said: said.startswith("new")))
        await asyncio.sleep(0)
        asking.hear(Answer("new, but failed", False, 0.1))
        await asyncio.sleep(0)
        asking.hear(Answer("new again", True, 0.1))

    assert waiting.result() == "new again"


@pytest.mark.parametrize("answers", [[], [Answer("hello", True, 0.0)]])
def test_a_client_that_heard_nothing_bad_has_no_failures(answers: list[Answer]) -> None:
    assert Asking(answers).failures == []
