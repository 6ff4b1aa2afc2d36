"""The table of what a reflector does about a failure."""

from __future__ import annotations

import pytest

from api.meta import Ref
from controller.runtime import errors
from controller.runtime.cache.reactions import Step, StreamTooShort, lacks_watch_list, react
from controller.runtime.cache.store import Rewound
from controller.runtime.client.status import refusal
from controller.runtime.client.transport import Broken
from controller.runtime.client.watch import UnreadableEvent
from localcluster.testing.scripted_api import status

PODS = Ref("Pod", "", "")


def refused(code: int, reason: str = "", message: str = "no", causes: list[dict[str, str]] | None = None) -> Exception:
    return refusal("watch", PODS, status(code, reason, message, causes))


TOO_LARGE = refused(504, "Timeout", "Too large resource version: 9, current: 5")
TOO_LARGE_BY_CAUSE = refused(504, "Timeout", causes=[{"reason": "ResourceVersionTooLarge"}])


@pytest.mark.spec("runtime:REF-10")
@pytest.mark.parametrize(
    ("error", "step", "then", "waits"),
    [
        (refused(410, "Expired"), Step.WATCH, Step.LOAD, False),
        (TOO_LARGE, Step.WATCH, Step.LOAD, False),
        (TOO_LARGE_BY_CAUSE, Step.WATCH, Step.LOAD, False),
        (errors.Unreachable("refused"), Step.WATCH, Step.WATCH, True),
        (refused(429), Step.WATCH, Step.WATCH, True),
        (refused(429), Step.LOAD, Step.LOAD, True),
        (refused(500), Step.WATCH, Step.LOAD, True),
        (refused(401), Step.WATCH, Step.WATCH, True),
        (refused(403), Step.LOAD, Step.LOAD, True),
        (refused(404), Step.WATCH, Step.WATCH, True),
        (Broken("reset"), Step.WATCH, Step.WATCH, True),
        (UnreadableEvent("half a line"), Step.WATCH, Step.WATCH, True),
        (TimeoutError(), Step.WATCH, Step.WATCH, True),
        (StreamTooShort("at once"), Step.WATCH, Step.WATCH, True),
        (refused(418), Step.WATCH, Step.LOAD, True),
    ],
)
def test_each_failure_leads_where_the_table_says(error: Exception, step: Step, then: Step, waits: bool) -> None:
    """A list loads a server that is coming up, so it is not the answer to everything."""
    reaction = react(error, step, version_used=True)

    assert (reaction.next, reaction.wait) == (then, waits)


@pytest.mark.parametrize("error", [refused(410, "Expired"), TOO_LARGE, Rewound("older")])
def test_a_load_gives_its_version_up_at_once_but_only_once(error: Exception) -> None:
    """Without a version that is at fault, trying again at once would be a tight loop."""
    with_version = react(error, Step.LOAD, version_used=True)
    without = react(error, Step.LOAD, version_used=False)

    assert (with_version.next, with_version.wait, with_version.forget_version) == (Step.LOAD, False, True)
    assert (without.next, without.wait) == (Step.LOAD, True)


def test_a_watch_that_expired_reloads_from_where_it_was() -> None:
    """The version still says how new the list must be."""
    assert not react(refused(410), Step.WATCH, version_used=True).forget_version


@pytest.mark.parametrize(
    ("code", "lacks"), [(400, True), (403, True), (422, True), (429, False), (500, False), (410, False)]
)
def test_only_an_answer_that_will_not_change_says_that_there_is_no_watch_list(code: int, lacks: bool) -> None:
    """A server in trouble is asked for a WatchList again."""
    assert lacks_watch_list(refused(code)) is lacks
    assert not lacks_watch_list(Broken("reset"))
