"""A RayCronJob's schedule: how it is read, and the moments at which it fires (spec rayjob §12.5).

The grammar is the reference's. What it means is said in one sentence, from which everything else follows: a schedule of
five fields fires at every whole minute at which a clock on the wall of its time zone shows a time that matches. An hour
that such a clock leaves out does not fire, one that it shows twice fires twice.

Pure, but for the zone database, which is as constant as the code: the system's, else that of the package `tzdata`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import chain
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from api.v1.rules.durations import go_duration

__all__ = ["BadSchedule", "Calendar", "Every", "Schedule", "UnknownZone", "parse_schedule", "zone_of"]

MINUTE: Final = timedelta(minutes=1)
DAY: Final = timedelta(days=1)
SHORTEST: Final = timedelta(seconds=1)  # of @every; what is shorter counts as this
YEARS: Final = 5  # after which the search for the next tick is given up
# Far enough from the ends of the calendar for a search, an offset, or the longest @every (292 years).
FIRST: Final = datetime(2, 1, 1, tzinfo=UTC)
LAST: Final = datetime(9000, 1, 1, tzinfo=UTC)


class BadSchedule(ValueError):
    """The text is no schedule; the message says which part of it is wrong."""


class UnknownZone(ValueError):
    """The zone database has no zone of that name."""


@dataclass(frozen=True, slots=True)
class Every:
    """Fires again and again after the same time, whatever a clock shows."""

    delay: timedelta

    def after(self, moment: datetime) -> datetime:
        """The first tick after that moment, which itself is the beginning."""
        return countable(moment).replace(microsecond=0) + self.delay

    def latest(self, since: datetime, until: datetime, most: int) -> Sequence[datetime]:
        """The last ticks after `since` and not after `until`, at most so many, in order."""
        begin = countable(since).replace(microsecond=0)
        last = (countable(until) - begin) // self.delay
        return [begin + n * self.delay for n in range(max(1, last - most + 1), last + 1)]


@dataclass(frozen=True, slots=True)
class Calendar:
    """Fires at minutes of days, as they are shown in a time zone.

    With `either`, both day fields are restricted, and a day that one of them has is enough.
    """

    minutes: tuple[int, ...]  # of a day, in order: 90 is 01:30
    days: frozenset[int]  # of a month
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    either: bool = False
    zone: tzinfo = UTC

    def after(self, moment: datetime) -> datetime | None:
        """The first tick after that moment; None if there is none in the next five years."""
        moment = countable(moment)
        day = moment.astimezone(self.zone).date() - DAY  # the clock may go back over midnight
        last_year = (moment + SHORTEST).astimezone(self.zone).year + YEARS
        while day.year <= last_year:
            here = self._first_on(day, moment)
            if here is not None:
                beyond = self._first_on(day + DAY, moment)  # before it, where a clock goes back over midnight
                return here if beyond is None else min(here, beyond)
            day += DAY
        return None

    def latest(self, since: datetime, until: datetime, most: int) -> Sequence[datetime]:
        """The last ticks after `since` and not after `until`, at most so many, in order."""
        since, until = countable(since), countable(until)
        day = until.astimezone(self.zone).date() + DAY
        first_day = since.astimezone(self.zone).date() - DAY
        found: list[datetime] = []
        left = 2  # days more to look at once there are enough: ticks of one may lie among those of the next
        while day >= first_day and left:
            found += [tick for tick in self._ticks_on(day) if since < tick <= until]
            left -= len(found) >= most
            day -= DAY
        return sorted(found)[-most:]

    def _has(self, day: date) -> bool:
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (in_month or in_week if self.either else in_month and in_week)

    def _first_on(self, day: date, moment: datetime) -> datetime | None:
        """The first tick of that day after the moment."""
        if not self._has(day):
            return None
        begin = beginning(day, self.zone)
        if begin is not None:
            index = bisect_right(self.minutes, (moment - begin) // MINUTE)
            return begin + self.minutes[index] * MINUTE if index < len(self.minutes) else None
        ticks = on_uneven(day, self.minutes, self.zone)
        index = bisect_right(ticks, moment)
        return ticks[index] if index < len(ticks) else None

    def _ticks_on(self, day: date) -> Sequence[datetime]:
        """All ticks of that day."""
        if not self._has(day):
            return ()
        begin = beginning(day, self.zone)
        if begin is None:
            return on_uneven(day, self.minutes, self.zone)
        return [begin + minute * MINUTE for minute in self.minutes]


Schedule: TypeAlias = Calendar | Every


# A day on the clocks of a zone


def countable(moment: datetime) -> datetime:
    """The moment, or the nearest one with some years on either side of it: what somebody wrote may be any."""
    return min(max(moment, FIRST), LAST)


def beginning(day: date, zone: tzinfo) -> datetime | None:
    """When that day begins; None for one during which the clocks are changed."""
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - what the clock on the wall shows
    offsets = {one.replace(tzinfo=zone, fold=fold).utcoffset() for one in (midnight, midnight + DAY) for fold in (0, 1)}
    if len(offsets) > 1:
        return None
    return midnight.replace(tzinfo=UTC) - (offsets.pop() or timedelta(0))


@lru_cache(maxsize=64)
def on_uneven(day: date, minutes: tuple[int, ...], zone: tzinfo) -> Sequence[datetime]:
    """The moments of a day with a change at which the clock shows one of these minutes: none, one or two for each."""
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001
    found = set()
    for shown in (midnight + minute * MINUTE for minute in minutes):
        for fold in (0, 1):
            tick = shown.replace(tzinfo=zone, fold=fold).astimezone(UTC)
            if tick.astimezone(zone).replace(tzinfo=None) == shown:  # else it is left out
                found.add(tick)
    return sorted(found)


def zone_of(name: str | None, local: tzinfo = UTC) -> tzinfo:
    """The zone of that name in the database, `local` without one. Raises UnknownZone."""
    if name is None or name == "Local":
        return local
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, LookupError, OSError):  # no path that leaves the database, no folder of it, no other file
        raise UnknownZone(f"unknown time zone {name}") from None


# The grammar


@dataclass(frozen=True, slots=True)
class Field:
    """One of the five fields: its bounds, and words that stand for numbers."""

    name: str
    low: int
    high: int
    words: Mapping[str, int]


def _words(text: str, first: int) -> Mapping[str, int]:
    return {word: number for number, word in enumerate(text.split(), first)}


FIELDS: Final = (
    Field("minute", 0, 59, {}),
    Field("hour", 0, 23, {}),
    Field("day of month", 1, 31, {}),
    Field("month", 1, 12, _words("jan feb mar apr may jun jul aug sep oct nov dec", 1)),
    Field("day of week", 0, 6, _words("sun mon tue wed thu fri sat", 0)),
)
DESCRIPTORS: Final[Mapping[str, str]] = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
LONGEST: Final = 20_000  # characters; ten times what names every minute, hour and day
EVERY: Final = "@every "
STARS: Final = ("*", "?")
NUMBER: Final = re.compile(r"\+?([0-9]+)")
MOST_DIGITS: Final = 18  # of a number; no field has three, but a step may be as long as it likes


@lru_cache(maxsize=256)
def parse_schedule(text: str, zone: tzinfo = UTC) -> Schedule:
    """The schedule that the text means on clocks of that zone. Raises BadSchedule."""
    if len(text) > LONGEST:
        raise BadSchedule(f"it has {len(text)} characters, more than {LONGEST}")
    if text.startswith(EVERY):
        return _every(text)
    if text.startswith("@"):
        if text not in DESCRIPTORS:
            raise BadSchedule(f"unrecognized descriptor: {text}")
        return replace(_calendar(DESCRIPTORS[text]), zone=zone)
    return replace(_calendar(text), zone=zone)


def _every(text: str) -> Every:
    delay = go_duration(text.removeprefix(EVERY))
    if delay is None:
        raise BadSchedule(f"failed to parse duration {text}: write it as in @every 1h30m")
    return Every(timedelta(seconds=max(delay, SHORTEST) // SHORTEST))


def _calendar(text: str) -> Calendar:
    parts = text.split()
    if len(parts) != len(FIELDS):
        raise BadSchedule(f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]")
    (minutes, _), (hours, _), (days, any_day), (months, _), (weekdays, any_weekday) = (
        _numbers(field, part) for field, part in zip(FIELDS, parts, strict=True)
    )
    return Calendar(
        minutes=tuple(hour * 60 + minute for hour in sorted(hours) for minute in sorted(minutes)),
        days=days,
        months=months,
        weekdays=weekdays,
        either=not any_day and not any_weekday,
    )


def _numbers(field: Field, text: str) -> tuple[frozenset[int], bool]:
    """What a field matches, and whether a plain star is among its members; empty members say nothing."""
    members = [_range(field, member) for member in text.split(",") if member]
    return frozenset(chain.from_iterable(numbers for numbers, _ in members)), any(star for _, star in members)


def _range(field: Field, text: str) -> tuple[range, bool]:
    """One member: `*`, `?`, N, A-B, each with or without /step; N/step goes up to the highest."""
    span, *steps = text.split("/")
    if len(steps) > 1:
        raise BadSchedule(f"too many slashes: {text}")
    step = _number(field, steps[0], text) if steps else 1
    low, *highs = span.split("-")
    star = low in STARS
    if star:
        first, last = field.low, field.high  # what follows a hyphen is not looked at
    elif len(highs) > 1:
        raise BadSchedule(f"too many hyphens: {text}")
    else:
        first = _value(field, low, text)
        last = _value(field, highs[0], text) if highs else field.high if steps else first
    _check(field, first, last, step, text)
    return range(first, last + 1, step), star and step == 1


def _check(field: Field, first: int, last: int, step: int, text: str) -> None:
    if first < field.low:
        raise BadSchedule(f"beginning of range ({first}) below minimum ({field.low}) of {field.name}: {text}")
    if last > field.high:
        raise BadSchedule(f"end of range ({last}) above maximum ({field.high}) of {field.name}: {text}")
    if first > last:
        raise BadSchedule(f"beginning of range ({first}) beyond end of range ({last}) of {field.name}: {text}")
    if step == 0:
        raise BadSchedule(f"step of range should be a positive number: {text}")


def _value(field: Field, text: str, whole: str) -> int:
    """A number, or a word for one in whatever case."""
    word = field.words.get(text.lower())
    return _number(field, text, whole) if word is None else word


def _number(field: Field, text: str, whole: str) -> int:
    found = NUMBER.fullmatch(text)
    if found is None or len(found[1].lstrip("0")) > MOST_DIGITS:
        raise BadSchedule(f"failed to parse {text!r} as a number of {field.name}: {whole}")
    return int(found[1])
