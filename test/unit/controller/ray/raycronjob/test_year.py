"""A year of RayCronJobs in four time zones: every tick once, whatever happens to the clock and to the operator.

What the ticks are stands in ticks_2026.txt, which was made beforehand by other means (make_ticks_2026.py): no zone
database, no parser, none of the code that is judged here.
"""

from __future__ import annotations

import os
import random
from bisect import bisect_right
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest

from controller.ray.options import Options
from localcluster.testing.raycronjob_history import RayCronJobHistory, raycronjob

BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC) - timedelta(seconds=1), datetime(2027, 1, 1, tzinfo=UTC)
ZONES = ("America/New_York", "Europe/Berlin", "Pacific/Auckland", "Australia/Lord_Howe")
SCHEDULES = (
    "30 2 * * *",
    "45 1 * * *",
    "15 2 * * *",
    "*/30 0-3 * * sun",
    "0 0 13 * 5",
    "0,30 * 4-5 4,10 ?",
)
# Moments of UTC about which a clock of one of the zones is changed.
CHANGES = tuple(
    datetime.fromisoformat(f"2026-{text}:00Z")
    for text in ("03-08T07", "03-29T01", "04-04T14", "04-04T15", "09-26T14", "10-03T15", "10-25T01", "11-01T06")
)


@cache
def table() -> Mapping[tuple[str, str], list[datetime]]:
    """(zone, schedule) -> its ticks."""
    found: dict[tuple[str, str], list[datetime]] = {}
    case = ("", "")
    for line in Path(__file__).with_name("ticks_2026.txt").read_text().splitlines()[1:]:
        if line.startswith(" "):
            found[case] += [datetime.fromisoformat(f"2026-{moment}Z") for moment in line.split()]
        else:
            zone, _, schedule = line.partition(" ")
            case = (zone, schedule)
            found[case] = []
    return found


def a_year(zone: str, schedule: str, most: int = 0) -> RayCronJobHistory:
    """A RayCronJob that was created as the year began."""
    cron = raycronjob(schedule, created=BEGIN, timeZone=zone)
    return RayCronJobHistory(cron, Options(cron_backfill_limit=most), BEGIN).run()


def made(life: RayCronJobHistory) -> list[datetime]:
    """The ticks of the RayJobs, of this year."""
    return [tick for tick in map(datetime.fromisoformat, life.ticks) if tick < END]


def test_the_table_is_about_what_is_asked_here() -> None:
    """And it shows the changes: a day without 02:30 in spring, one with two of them in autumn."""
    assert table().keys() == {(zone, schedule) for zone in ZONES for schedule in SCHEDULES}
    counts = {case: len(ticks) for case, ticks in table().items()}

    assert [counts[zone, "30 2 * * *"] for zone in ZONES] == [364, 365, 365, 365]
    assert [counts[zone, "45 1 * * *"] for zone in ZONES] == [366, 365, 365, 366]
    assert [counts[zone, "15 2 * * *"] for zone in ZONES] == [364, 365, 365, 364]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_quiet_year_has_exactly_the_ticks_of_the_table_with_a_look_at_each_and_no_other(
    zone: str, schedule: str
) -> None:
    """A pass for the beginning, one for each tick; what is due is not asked for every now and then."""
    life = a_year(zone, schedule).until(END)

    assert made(life) == table()[zone, schedule]
    assert life.passes_run == 1 + len(life.ticks)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_so_has_a_year_of_clock_jumps_and_outages(zone: str, schedule: str) -> None:
    """Clocks are set forward and back by up to two days, operators are away for as long, most of all around changes.

    MANTA_SEED chooses another year of troubles.
    """
    chance = random.Random(f"{zone} {schedule} {os.environ.get('MANTA_SEED', '0')}")
    life = a_year(zone, schedule)

    for moment in troubles(chance):
        if moment > life.now:
            life.until(moment)
        trouble(life, chance)
    life.until(END).is_down().passes(seconds=1)

    assert made(life) == table()[zone, schedule]


def troubles(chance: random.Random) -> list[datetime]:
    """When something goes wrong: within hours of each change, and twenty times at any moment."""
    near = [change + timedelta(minutes=chance.randint(-300, 300)) for change in CHANGES for _ in range(2)]
    ever = [BEGIN + timedelta(minutes=chance.randrange(363 * 24 * 60)) for _ in range(20)]
    return sorted(near + ever)


def trouble(life: RayCronJobHistory, chance: random.Random) -> None:
    """One thing that goes wrong. A clock that was set wrong is set right again, later or at once."""
    away = timedelta(seconds=chance.choice((1, 90, 3600, 4 * 3600, 48 * 3600)) * chance.random()).total_seconds()
    match chance.randrange(5):
        case 0:
            life.is_down(seconds=away)
        case 1:
            life.jumps(seconds=away)
        case 2:
            life.jumps(seconds=-away).passes(minutes=chance.randrange(300)).jumps(seconds=away)
        case 3:
            life.jumps(seconds=-away).run().run()
        case _:
            stale = life.see()
            life.is_down(seconds=away).run(stale)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("most", [1, 3])
def test_with_a_limit_an_outage_costs_the_older_ones_of_its_ticks_and_nothing_else(zone: str, most: int) -> None:
    schedule = "*/30 0-3 * * sun"
    ticks = table()[zone, schedule]
    life, lost = a_year(zone, schedule, most), set[datetime]()

    for change in CHANGES:
        life.until(change - timedelta(hours=2)).is_down(hours=5)
        due = ticks[bisect_right(ticks, life.now - timedelta(hours=5)) : bisect_right(ticks, life.now)]
        lost |= set(due[:-most])
    life.until(END)

    assert lost
    assert made(life) == [tick for tick in ticks if tick not in lost]
