"""What admission would refuse, of objects that are worked on all the same (spec admission §4.1 P1).

Webhooks are optional, and many an object is older than they. What the reference runs is run here, too: it is no reason
to stop. Its user is told once, by an event and, where the kind has conditions, by one that stays until it is mended.
What the reference itself refuses is not told here: that is what each kind's `validation` is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from api.meta import Condition, Json, Ref, condition, controller_of, format_time
from api.v1 import wire
from api.v1.rules.model import Context
from controller.runtime.plan import Announcement

__all__ = ["DOUBTFUL", "REASON", "Concerns", "concern_of", "doubtful"]

DOUBTFUL: Final = "SpecDoubtful"  # the condition; there only while it is True
REASON: Final = "AdmissionWouldRefuse"  # of the condition and of the event
MOST_TOLD: Final = 5  # findings: an event holds a thousand characters

State = tuple[Any, ...]


def concern_of(kind: str, object_: Mapping[str, Any], context: Context) -> str:
    """What the webhooks would refuse and the reference would not, in a sentence; "" for nothing.

    What one of our own kinds made is not its user's writing: of its parent they were told.
    """
    from api.v1.rules.families import RULES_BY_KIND  # two megabytes, and an operator may have nothing to judge yet
    from api.v1.rules.judging import judge

    owner = controller_of(object_["metadata"])
    if owner is not None and owner["apiVersion"].startswith(f"{wire.GROUP}/"):
        return ""
    ours = [rule for rule in RULES_BY_KIND[kind] if not rule.fixed]
    found = [str(one) for one in judge(kind, {"kind": kind, **object_}, None, context, rules=ours).denials]
    more = [f"and {len(found) - MOST_TOLD} more"] if len(found) > MOST_TOLD else []
    return "; ".join([*found[:MOST_TOLD], *more])


def doubtful(concern: str, now: datetime) -> list[Condition]:
    """The condition that says so; none where there is nothing to say."""
    if not concern:
        return []
    said: Condition = {
        "type": DOUBTFUL,
        "status": "True",
        "reason": REASON,
        "message": concern,
        "lastTransitionTime": format_time(now),
    }
    return [said]


class Concerns:
    """The concerns about the objects of a kind: each is judged once for each state of it, and told once.

    All rules together take half a millisecond, and most passes see a spec that was judged before.
    """

    def __init__(self, kind: str, context: Context) -> None:
        self._kind, self._context = kind, context
        self._judged: dict[Ref, tuple[State, str]] = {}
        self._told: dict[Ref, str] = {}

    def about(self, key: Ref, object_: Json) -> str:
        """What is to be said of it; "" for nothing."""
        state = _state_of(object_)
        judged = self._judged.get(key)
        if judged is None or judged[0] != state:
            judged = self._judged[key] = (state, concern_of(self._kind, object_, self._context))
        return judged[1]

    def news(self, key: Ref, object_: Json) -> tuple[Announcement, ...]:
        """What its user was not told yet, as an event. An operator that starts anew knows it by the condition."""
        concern, told = self.about(key, object_), self._told.get(key, _told_before(object_))
        self._told[key] = concern
        if concern in ("", told):
            return ()
        metadata = object_["metadata"]
        where = f"{metadata.get('namespace', '')}/{metadata['name']}"
        note = f"{self._kind} {where} is run, though admission would refuse it: {concern}"
        return (Announcement("Warning", REASON, "Validate", note),)

    def forget(self, key: Ref) -> None:
        """The object is gone."""
        self._judged.pop(key, None)
        self._told.pop(key, None)


def _state_of(object_: Json) -> State:
    """What rules read of an object; its spec is known by its generation."""
    metadata = object_["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    marks = tuple(hash(frozenset(one.items())) for one in (labels, annotations))
    return (metadata.get("uid"), metadata.get("generation"), *marks)


def _told_before(object_: Json) -> str:
    found = condition((object_.get("status") or {}).get("conditions") or (), DOUBTFUL)
    return found["message"] if found is not None else ""
