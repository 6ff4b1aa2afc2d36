"""What holds of an object of which a part cannot be read. Pure.

A value of a wrong type, or under a name that nobody knows, may mean one thing or another. Rules take the types of the
schema for granted, so they are asked about copies in which something readable stands there: nothing, or each of the
things that may be meant. What they find in all copies is wrong whatever was meant; what they find in some is a guess.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from manta.documents import Steps, below

__all__ = ["Doubt", "begins", "certain", "put", "value_at", "without", "worthy_of"]

Json: TypeAlias = dict[str, Any]

MOST: Final = 20  # doubts: an object with more of them says too little, and its copies would take long to judge
GONE: Final = object()


class Judged(Protocol):
    """What a rule found."""

    @property
    def rule(self) -> str:
        """Its id."""
        ...

    @property
    def path(self) -> str:
        """Where."""
        ...

    @property
    def message(self) -> str:
        """What."""
        ...


Found = TypeVar("Found", bound=Judged)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A place where nobody knows what is meant; `meant` are values that may stand there, besides nothing."""

    at: Steps
    meant: tuple[Any, ...] = ()


def certain(judge: Callable[[Json], Iterable[Found]], body: Json, doubts: Sequence[Doubt]) -> list[Found]:
    """What is found whatever was meant, as it was found first; nothing when there are too many doubts."""
    if len(doubts) > MOST:
        return []
    first, *others = (list(judge(one)) for one in copies(body, doubts))
    everywhere = [{(found.rule, found.path, found.message) for found in other} for other in others]
    return [one for one in first if all((one.rule, one.path, one.message) in other for other in everywhere)]


def copies(body: Json, doubts: Sequence[Doubt]) -> Iterator[Json]:
    """One with nothing at those places, one with the likeliest at all of them, and one for each value that is meant."""
    plain = body
    for doubt in doubts:
        item = isinstance(doubt.at[-1], int)  # without it, those behind it would get other numbers
        plain = put(plain, doubt.at, next(iter(doubt.meant), {}) if item else GONE)
    yield plain
    likeliest = plain
    for doubt in doubts:
        for value in doubt.meant:
            yield put(plain, doubt.at, value)
        if doubt.meant:
            likeliest = put(likeliest, doubt.at, doubt.meant[0])
    if len(doubts) > 1:
        yield likeliest


def put(body: Json, at: Steps, value: Any) -> Json:
    """A copy with that value at that place; without the place when the value is GONE. Where nothing leads, as it is."""
    changed: Any = copy.deepcopy(body)
    *around, last = at
    place = value_at(changed, tuple(around))
    if isinstance(place, dict):
        if value is GONE:
            place.pop(str(last), None)
        else:
            place[str(last)] = value
    elif isinstance(place, list) and isinstance(last, int) and last < len(place):
        if value is GONE:
            del place[last]
        else:
            place[last] = value
    result: Json = changed
    return result


def without(body: Json, at: Steps) -> Json:
    """A copy without what stands there."""
    return put(body, at, GONE)


def value_at(value: Any, steps: Steps) -> Any:
    """What stands there; None if nothing does."""
    for step in steps:
        value = below(value, step)
    return value


def begins(steps: Steps, others: Iterable[Steps]) -> bool:
    """Whether a path is one of the others, or goes on from one: step by step, for `spec.ab` is not within `spec.a`."""
    return any(steps[: len(other)] == other for other in others)


def worthy_of(wanted: str, value: Any) -> tuple[Any, ...]:
    """Values of the type that is wanted: what was written, read as one if that goes, and others that differ much."""
    match wanted:
        case "boolean":
            return (True, False)
        case "string":
            written = () if isinstance(value, dict | list) or value is None else (str(value),)
            return (*written, "")
        case "integer" | "int32" | "int64" | "number" | "integer,string":
            return (*number_in(value), 0, 1)
        case "object":
            return ({},)
        case "array":
            return ([],)
        case _:
            return ()


def number_in(value: Any) -> tuple[int, ...]:
    """The whole number that a text or a fraction holds, if it does."""
    try:
        return (int(value),) if isinstance(value, str | float) else ()
    except (ValueError, OverflowError):
        return ()
