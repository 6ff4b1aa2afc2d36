"""What a schedule means: its grammar, and the moments at which it fires (spec rayjob §12.5)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from api.v1.cron import BadSchedule, Calendar, Every, Schedule, UnknownZone, parse_schedule, zone_of

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)  # a Thursday


def calendar(text: str) -> Calendar:
    found = parse_schedule(text)
    assert isinstance(found, Calendar)
    return found


def ticks(schedule: Schedule, since: datetime = NEW_YEAR) -> Iterator[datetime]:
    tick = schedule.after(since)
    while tick is not None:
        yield tick
        tick = schedule.after(tick)


def shown(text: str, zone: str, since: datetime, count: int) -> list[str]:
    """The next ticks as clocks of the zone show them, with their offset."""
    found = islice(ticks(parse_schedule(text, zone_of(zone)), since), count)
    return [one.astimezone(ZoneInfo(zone)).strftime("%d.%m. %H:%M %z") for one in found]


def dates(text: str, count: int = 4) -> list[str]:
    return [one.strftime("%m-%d") for one in islice(ticks(parse_schedule(text)), count)]


# The grammar


@pytest.mark.spec("admission:N3")
@pytest.mark.parametrize(
    ("field", "minutes"),
    [
        ("*", range(60)),
        ("?", range(60)),
        ("7", [7]),
        ("07", [7]),
        ("+7", [7]),
        ("5-8", range(5, 9)),
        ("5-5", [5]),
        ("*/20", [0, 20, 40]),
        ("?/20", [0, 20, 40]),
        ("5/20", [5, 25, 45]),
        ("59/1", [59]),
        ("10-50/20", [10, 30, 50]),
        ("*/90", [0]),
        ("3/999999", [3]),
        ("9,1,5-6,50/5", [1, 5, 6, 9, 50, 55]),
        ("1,,2", [1, 2]),
        (",1,", [1]),
        (",", []),
        ("*-5", range(60)),
        ("?-x-1", range(60)),
    ],
)
def test_a_field_is_a_list_of_stars_numbers_and_ranges_with_steps(field: str, minutes: list[int] | range) -> None:
    """Odd forms that the reference takes are taken: empty members, steps beyond the end, what follows `*-`."""
    assert list(calendar(f"{field} 0 1 1 *").minutes) == list(minutes)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "expected exactly 5 fields, found 0"),
        ("* * * *", "expected exactly 5 fields, found 4"),
        ("0 * * * * *", "expected exactly 5 fields, found 6"),
        ("60 * * * *", r"end of range \(60\) above maximum \(59\) of minute"),
        ("* 24 * * *", r"above maximum \(23\) of hour"),
        ("* * 0 * *", r"beginning of range \(0\) below minimum \(1\) of day of month"),
        ("* * 32 * *", r"above maximum \(31\) of day of month"),
        ("* * * 0 *", r"below minimum \(1\) of month"),
        ("* * * 13 *", r"above maximum \(12\) of month"),
        ("* * * * 7", r"above maximum \(6\) of day of week"),
        ("* * * * fri-mon", r"beginning of range \(5\) beyond end of range \(1\)"),
        ("30-10 * * * *", r"beginning of range \(30\) beyond end of range \(10\)"),
        ("*/0 * * * *", "step of range should be a positive number"),
        ("1/2/3 * * * *", "too many slashes"),
        ("1-2-3 * * * *", "too many hyphens"),
        ("*/ * * * *", "failed to parse '' as a number of minute"),
        ("/5 * * * *", "failed to parse ''"),
        ("-5 * * * *", "failed to parse ''"),
        ("*/-5 * * * *", "failed to parse '-5'"),
        ("1_0 * * * *", "failed to parse '1_0'"),
        ("٣ * * * *", "failed to parse"),
        ("1.5 * * * *", "failed to parse"),
        ("*/9999999999999999999 * * * *", "failed to parse"),
        ("jan * * * *", "failed to parse 'jan' as a number of minute"),
        ("* * * january *", "failed to parse 'january'"),
        ("* * L * *", "failed to parse 'L'"),
        ("* * 15W * *", "failed to parse '15W'"),
        ("* * * * 5#3", "failed to parse '5#3'"),
        ("@reboot", "unrecognized descriptor: @reboot"),
        ("@Daily", "unrecognized descriptor"),
        ("@daily ", "unrecognized descriptor"),
        (" @daily", "expected exactly 5 fields, found 1"),
        ("@every", "unrecognized descriptor"),
        ("@every 1d", "failed to parse duration"),
        ("@every  1h", "failed to parse duration"),
        ("@every ", "failed to parse duration"),
        pytest.param("1," * 10_000 + "1 * * * *", "20009 characters, more than 20000", id="too long"),
        ("TZ=UTC 0 0 * * *", "expected exactly 5 fields, found 6"),
    ],
)
def test_what_the_reference_does_not_read_is_refused_with_the_reason(text: str, complaint: str) -> None:
    with pytest.raises(BadSchedule, match=complaint):
        parse_schedule(text)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        ("0 0 * JAN-mar Sun,tUe", "0 0 * 1-3 0,2"),
        ("0 0 * dec sat", "0 0 * 12 6"),
        ("\t0  0 *\n* * ", "0 0 * * *"),
    ],
)
def test_words_stand_for_numbers_and_blanks_for_one(text: str, same: str) -> None:
    assert parse_schedule(text) == parse_schedule(same)


# Which days


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("0 0 13 * 5", ["01-02", "01-09", "01-13", "01-16"]),  # the 13th, and Fridays
        ("0 0 13 * *", ["01-13", "02-13", "03-13", "04-13"]),
        ("0 0 * * 5", ["01-02", "01-09", "01-16", "01-23"]),
        ("0 0 13 * *,5", ["01-13", "02-13", "03-13", "04-13"]),  # a plain star among others is one
        ("0 0 13 * */1", ["01-13", "02-13", "03-13", "04-13"]),  # a star of step 1 is plain
        ("0 0 13 * */2", ["01-03", "01-04", "01-06", "01-08"]),  # one of step 2 restricts: Sun, Tue, Thu, Sat, the 13th
        ("0 0 */10 * *", ["01-11", "01-21", "01-31", "02-01"]),
        ("0 0 */10 * 0", ["01-04", "01-11", "01-18", "01-21"]),
        ("0 0 ? 3 ?", ["03-01", "03-02", "03-03", "03-04"]),
        ("0 0 31 * *", ["01-31", "03-31", "05-31", "07-31"]),
    ],
)
def test_of_two_restricted_day_fields_one_is_enough_else_both_count(text: str, days: list[str]) -> None:
    assert dates(text) == days


@pytest.mark.parametrize("text", ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", ", * * * *", "* * * , *", "0 0 , * *"])
def test_a_day_that_never_comes_is_never(text: str) -> None:
    assert parse_schedule(text).after(NEW_YEAR) is None


@pytest.mark.parametrize(
    ("since", "found"),
    [
        (datetime(2026, 3, 1, tzinfo=UTC), datetime(2028, 2, 29, tzinfo=UTC)),
        (datetime(2099, 1, 1, tzinfo=UTC), datetime(2104, 2, 29, tzinfo=UTC)),  # 2100 is no leap year
        (datetime(2098, 12, 31, 23, 59, tzinfo=UTC), None),
        (datetime(2098, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2104, 2, 29, tzinfo=UTC)),
    ],
)
def test_the_search_ends_with_the_fifth_year(since: datetime, found: datetime | None) -> None:
    assert parse_schedule("0 0 29 2 *").after(since) == found


def test_the_next_tick_is_strictly_after() -> None:
    hourly = parse_schedule("@hourly")
    noon = NEW_YEAR + timedelta(hours=12)

    assert hourly.after(noon) == noon + timedelta(hours=1)
    assert hourly.after(noon - timedelta(microseconds=1)) == noon


@pytest.mark.parametrize("moment", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Auckland"])
@pytest.mark.parametrize("text", ["0 0 1 1 *", "@every 1h"])
def test_no_moment_leads_out_of_the_calendar(moment: datetime, zone: str, text: str) -> None:
    """A status holds what somebody wrote there."""
    schedule = parse_schedule(text, zone_of(zone))

    schedule.after(moment)
    schedule.latest(moment, moment, 3)


# Again and again


@pytest.mark.spec("rayjob:E62")
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("@every 1h30m", 5400),
        ("@every 90s", 90),
        ("@every 36h", 129600),
        ("@every 1.9s", 1),
        ("@every 500ms", 1),
        ("@every 0", 1),
        ("@every -1h", 1),
    ],
)
def test_every_counts_from_the_tick_before_in_whole_seconds(text: str, seconds: int) -> None:
    schedule = parse_schedule(text, zone_of("Europe/Berlin"))

    assert schedule == Every(timedelta(seconds=seconds))
    assert schedule.after(NEW_YEAR.replace(microsecond=999_999)) == NEW_YEAR + timedelta(seconds=seconds)


# Clocks that are changed


@pytest.mark.parametrize(
    ("text", "zone", "since", "expected"),
    [
        # Europe/Berlin 2026: 29 March 02:00 -> 03:00, 25 October 03:00 -> 02:00
        (
            "30 2 * * *",
            "Europe/Berlin",
            datetime(2026, 3, 28, tzinfo=UTC),
            ["28.03. 02:30 +0100", "30.03. 02:30 +0200"],
        ),
        ("0 3 * * *", "Europe/Berlin", datetime(2026, 3, 28, 12, tzinfo=UTC), ["29.03. 03:00 +0200"]),
        (
            "30 2 * * *",
            "Europe/Berlin",
            datetime(2026, 10, 24, 12, tzinfo=UTC),
            ["25.10. 02:30 +0200", "25.10. 02:30 +0100", "26.10. 02:30 +0100"],
        ),
        # Australia/Lord_Howe 2026: 5 April 02:00 -> 01:30, 4 October 02:00 -> 02:30
        (
            "*/15 1-2 * * *",
            "Australia/Lord_Howe",
            datetime(2026, 4, 4, 14, 35, tzinfo=UTC),
            ["05.04. 01:45 +1100", "05.04. 01:30 +1030", "05.04. 01:45 +1030", "05.04. 02:00 +1030"],
        ),
        (
            "*/15 1-2 * * *",
            "Australia/Lord_Howe",
            datetime(2026, 10, 3, 15, 10, tzinfo=UTC),
            ["04.10. 01:45 +1030", "04.10. 02:30 +1100", "04.10. 02:45 +1100"],
        ),
        # America/Havana 2026: 8 March 00:00 -> 01:00, 1 November 01:00 -> 00:00
        ("0 5 8 3 *", "America/Havana", NEW_YEAR, ["08.03. 05:00 -0400"]),
        ("0 0 * * *", "America/Havana", datetime(2026, 3, 7, 6, tzinfo=UTC), ["09.03. 00:00 -0400"]),
        ("0 0 1 11 *", "America/Havana", NEW_YEAR, ["01.11. 00:00 -0400", "01.11. 00:00 -0500"]),
        # America/St_Johns 2010: 7 November 00:01 -> 6 November 23:01: the day before, once more
        (
            "*/30 0,23 6,7 11 *",
            "America/St_Johns",
            datetime(2010, 11, 7, 1, 45, tzinfo=UTC),
            ["06.11. 23:30 -0230", "07.11. 00:00 -0230", "06.11. 23:30 -0330", "07.11. 00:00 -0330"],
        ),
        # Pacific/Apia 2011: there was no 30 December
        (
            "0 12 * * *",
            "Pacific/Apia",
            datetime(2011, 12, 29, 9, tzinfo=UTC),
            ["29.12. 12:00 -1000", "31.12. 12:00 +1400"],
        ),
    ],
)
def test_a_time_left_out_does_not_fire_and_one_shown_twice_fires_twice(
    text: str, zone: str, since: datetime, expected: list[str]
) -> None:
    """Also where the change is half an hour, or leads over midnight: there the reference loses whole days."""
    assert shown(text, zone, since, len(expected)) == expected


@pytest.mark.spec("rayjob:E65")
def test_the_time_zone_is_that_of_the_schedule() -> None:
    taipei = parse_schedule("45 21 * * *", zone_of("Asia/Taipei"))

    assert taipei.after(NEW_YEAR) == datetime(2026, 1, 1, 13, 45, tzinfo=UTC)


ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kathmandu")
CHANGES = {  # about the changes of 2026
    "UTC": NEW_YEAR,
    "Europe/Berlin": datetime(2026, 10, 25, 1, tzinfo=UTC),
    "America/New_York": datetime(2026, 3, 8, 7, tzinfo=UTC),
    "Australia/Lord_Howe": datetime(2026, 4, 4, 15, tzinfo=UTC),
    "America/Havana": datetime(2026, 11, 1, 5, tzinfo=UTC),
    "Asia/Kathmandu": NEW_YEAR,
}


@settings(max_examples=25, deadline=None)
@given(
    zone=some.sampled_from(ZONES),
    minute=some.sampled_from(["*/20", "0", "15,45", "30"]),
    hour=some.sampled_from(["*", "0", "1-3", "*/2", "23"]),
    day=some.sampled_from(["*", "1", "8,25", "4-5", "*/2"]),
    weekday=some.sampled_from(["*", "0", "1-5", "sat"]),
)
def test_it_fires_whenever_a_clock_shows_a_time_that_matches_and_never_else(
    zone: str, minute: str, hour: str, day: str, weekday: str
) -> None:
    """Held against the sentence itself, minute by minute, over the days around a change."""
    place, text = zone_of(zone), f"{minute} {hour} {day} * {weekday}"
    schedule = parse_schedule(text, place)
    assert isinstance(schedule, Calendar)
    begin, end = CHANGES[zone] - timedelta(days=2), CHANGES[zone] + timedelta(days=2)

    found = list(takewhile(lambda one: one <= end, ticks(schedule, begin)))

    every_minute = (begin + timedelta(minutes=number) for number in range(1, 4 * 24 * 60 + 1))
    assert found == [one for one in every_minute if matches(schedule, one.astimezone(place))]
    for most in (1, 3, 100):
        assert list(schedule.latest(begin, end, most)) == found[-most:]


def matches(schedule: Calendar, clock: datetime) -> bool:
    """Does a clock that shows this match the five fields?"""
    in_month, in_week = clock.day in schedule.days, clock.isoweekday() % 7 in schedule.weekdays
    today = in_month or in_week if schedule.either else in_month and in_week
    return today and clock.month in schedule.months and clock.hour * 60 + clock.minute in schedule.minutes


# Of many that are due, the latest


@pytest.mark.parametrize("text", ["*/7 * * * *", "@every 420s"])
@pytest.mark.parametrize("most", [1, 5, 10_000])
def test_the_latest_ticks_are_the_last_of_all(text: str, most: int) -> None:
    schedule, until = parse_schedule(text), NEW_YEAR + timedelta(days=2, minutes=1)

    everything = [one for one in islice(ticks(schedule), 1000) if one <= until]

    assert list(schedule.latest(NEW_YEAR, until, most)) == everything[-most:]


class Asked(tzinfo):
    """UTC, and how often it was asked."""

    times = 0

    def utcoffset(self, _: datetime | None) -> timedelta:
        self.times += 1
        return timedelta(0)

    def tzname(self, _: datetime | None) -> str:
        return "UTC"

    def dst(self, _: datetime | None) -> timedelta:
        return timedelta(0)


def test_a_year_of_minutes_is_not_counted_through_to_find_the_last() -> None:
    """The whole operator would wait for it."""
    zone, until = Asked(), NEW_YEAR + timedelta(days=365)

    latest = parse_schedule("* * * * *", zone).latest(NEW_YEAR, until, 2)

    assert list(latest) == [until - timedelta(minutes=1), until]
    assert zone.times < 100


# Zones


@pytest.mark.spec("admission:N5")
@pytest.mark.parametrize(
    "name",
    [
        "",
        "Mars/Olympus",
        "europe",
        "Europe",
        "Europe/",
        "../UTC",
        "/etc/localtime",
        "Europe/../UTC",
        "a\0b",
        "a" * 300,
        "\udc80",
    ],
)
def test_what_the_database_does_not_have_is_no_zone(name: str) -> None:
    with pytest.raises(UnknownZone):
        zone_of(name)


def test_the_operators_own_zone_is_taken_without_one_and_for_local() -> None:
    tokyo = ZoneInfo("Asia/Tokyo")

    assert (zone_of(None, tokyo), zone_of("Local", tokyo), zone_of("UTC", tokyo)) == (tokyo, tokyo, UTC)
    assert zone_of("Europe/Berlin", tokyo) == ZoneInfo("Europe/Berlin")
