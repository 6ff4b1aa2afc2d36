"""The machine's time zone, and clocks that are set."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controller.runtime.clock import LoopClock, local_zone

SUMMER, WINTER = datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)


def offsets(environment: dict[str, str], localtime: Path) -> tuple[timedelta | None, timedelta | None]:
    """Of the zone, in winter and in summer."""
    zone = local_zone(environment, localtime)
    return WINTER.astimezone(zone).utcoffset(), SUMMER.astimezone(zone).utcoffset()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A zone database of one city, as a system keeps it."""
    from importlib.resources import files

    (tmp_path / "zoneinfo" / "Europe").mkdir(parents=True)
    city = tmp_path / "zoneinfo" / "Europe" / "Berlin"
    city.write_bytes(files("tzdata").joinpath("zoneinfo", "Europe", "Berlin").read_bytes())
    return city


HOUR, NONE = timedelta(hours=1), timedelta(0)
BERLIN, TOKYO, GREENWICH = (HOUR, 2 * HOUR), (9 * HOUR, 9 * HOUR), (NONE, NONE)


@pytest.mark.parametrize(
    ("tz", "expected"),
    [
        ("Asia/Tokyo", TOKYO),
        (":Asia/Tokyo", TOKYO),
        ("UTC", GREENWICH),
        ("", GREENWICH),
        (":", GREENWICH),
        ("Mars/Olympus", GREENWICH),
        ("/nowhere", GREENWICH),
        ("../x", GREENWICH),
    ],
)
def test_tz_wins_over_the_machine_and_what_is_unknown_is_utc(
    tz: str, expected: tuple[timedelta, timedelta], database: Path
) -> None:
    assert offsets({"TZ": tz}, database) == expected


def test_without_it_the_machines_file_counts_by_the_name_that_it_links_to(database: Path, tmp_path: Path) -> None:
    link, copy, broken = tmp_path / "localtime", tmp_path / "copy", tmp_path / "broken"
    link.symlink_to(database)
    copy.write_bytes(database.read_bytes())
    broken.write_text("no zone")

    assert [offsets({}, file) for file in (link, copy, broken, tmp_path / "none")] == [BERLIN, BERLIN, *[GREENWICH] * 2]
    assert str(local_zone({}, link)) == "Europe/Berlin"
    assert offsets({"TZ": str(copy)}, broken) == BERLIN


def test_zones_are_there_on_a_machine_without_any() -> None:
    """As in a slim image: the database comes with the package tzdata."""
    try:
        zoneinfo.reset_tzpath(to=())
        zone = zoneinfo.ZoneInfo.no_cache("Australia/Lord_Howe")
    finally:
        zoneinfo.reset_tzpath()

    assert WINTER.astimezone(zone).utcoffset() == 11 * HOUR
    assert SUMMER.astimezone(zone).utcoffset() == timedelta(hours=10, minutes=30)


async def test_setting_a_clock_leaves_intervals_as_they_are() -> None:
    clock = LoopClock(WINTER)
    began, before = clock.monotonic(), clock.now()

    clock.jump(timedelta(hours=-3))

    moved = clock.now() - before
    assert timedelta(hours=-3) <= moved < timedelta(hours=-2, minutes=-59)
    assert 0 <= clock.monotonic() - began < 60
