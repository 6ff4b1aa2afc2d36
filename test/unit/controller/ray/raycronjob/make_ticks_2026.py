#!/usr/bin/env python3
"""Writes ticks_2026.txt: when schedules fire in 2026 in four time zones, made without any zone database or cron parser.

The offsets below were typed by hand from the published rules, with the arithmetic beside them; a schedule is a Python
condition about what a clock on the wall shows. Every minute of the year is asked. So the table shares nothing with the
code that it judges but the meaning of the words. Run it from any directory; it takes half a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MONTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # 2026 is no leap year
THURSDAY = 4  # 1 January 2026, where Sunday is 0
HOUR = 60


def at(month: int, day: int, hour: int, minute: int = 0) -> int:
    """Minutes of UTC since the year began."""
    return (sum(MONTHS[: month - 1]) + day - 1) * 24 * HOUR + hour * HOUR + minute


# Zone -> (from that minute of UTC on, so many minutes east), in order; the first holds from before the year on.
OFFSETS = {
    # Second Sunday of March (8th), 02:00 at -5 h, is 07:00 UTC; first Sunday of November (1st), 02:00 at -4 h, 06:00.
    "America/New_York": ((-(10**6), -300), (at(3, 8, 7), -240), (at(11, 1, 6), -300)),
    # Last Sunday of March (29th) and of October (25th), both at 01:00 UTC.
    "Europe/Berlin": ((-(10**6), 60), (at(3, 29, 1), 120), (at(10, 25, 1), 60)),
    # First Sunday of April (5th), 03:00 at +13 h, is 14:00 UTC of the 4th; last Sunday of September (27th), 02:00 at
    # +12 h, is 14:00 UTC of the 26th.
    "Pacific/Auckland": ((-(10**6), 780), (at(4, 4, 14), 720), (at(9, 26, 14), 780)),
    # First Sunday of April (5th), 02:00 at +11 h, is 15:00 UTC of the 4th; first Sunday of October (4th), 02:00 at
    # +10.5 h, is 15:30 UTC of the 3rd. Half an hour each time.
    "Australia/Lord_Howe": ((-(10**6), 660), (at(4, 4, 15), 630), (at(10, 3, 15, 30), 660)),
}


@dataclass(frozen=True)
class Clock:
    """What it shows."""

    month: int
    day: int
    weekday: int  # 0 is Sunday
    hour: int
    minute: int


SCHEDULES: dict[str, Callable[[Clock], bool]] = {
    # Within the hour that spring leaves out in New York, Berlin and Auckland; twice in autumn in Berlin and Auckland.
    "30 2 * * *": lambda clock: (clock.hour, clock.minute) == (2, 30),
    # Twice in autumn in New York; just beyond Lord Howe's half hour, twice there.
    "45 1 * * *": lambda clock: (clock.hour, clock.minute) == (1, 45),
    # Left out by Lord Howe's spring alone.
    "15 2 * * *": lambda clock: (clock.hour, clock.minute) == (2, 15),
    # All half hours of the nights in which clocks are changed, and of all other Sundays.
    "*/30 0-3 * * sun": lambda clock: clock.weekday == 0 and clock.hour <= 3 and clock.minute in (0, 30),
    # Two restricted day fields: one is enough.
    "0 0 13 * 5": lambda clock: (clock.hour, clock.minute) == (0, 0) and (clock.day == 13 or clock.weekday == 5),
    # Every half hour of the weeks with changes, and one restricted day field beside a star.
    "0,30 * 4-5 4,10 ?": lambda clock: clock.minute in (0, 30) and clock.day in (4, 5) and clock.month in (4, 10),
}


def shown(minute: int, offset: int) -> Clock:
    """What a clock so far east of Greenwich shows at that minute of UTC."""
    local = minute + offset
    days, rest = divmod(local, 24 * HOUR)
    weekday = (THURSDAY + days) % 7
    if days < 0:
        return Clock(12, 32 + days, weekday, *divmod(rest, HOUR))
    for month, length in enumerate(MONTHS, 1):
        if days < length:
            return Clock(month, days + 1, weekday, *divmod(rest, HOUR))
        days -= length
    return Clock(1, days + 1, weekday, *divmod(rest, HOUR))


def moment(minute: int) -> str:
    """MM-DDTHH:MM of UTC."""
    clock = shown(minute, 0)
    return f"{clock.month:02}-{clock.day:02}T{clock.hour:02}:{clock.minute:02}"


def main() -> None:
    """Ask every minute."""
    lines = ["# Written by make_ticks_2026.py, which says how. Moments of UTC in 2026, ten to a line."]
    for zone, changes in OFFSETS.items():
        found: dict[str, list[str]] = {schedule: [] for schedule in SCHEDULES}
        for minute in range(at(12, 31, 24)):
            offset = next(east for since, east in reversed(changes) if minute >= since)
            clock = shown(minute, offset)
            for schedule, fires in SCHEDULES.items():
                if fires(clock):
                    found[schedule].append(moment(minute))
        for schedule, ticks in found.items():
            lines.append(f"{zone} {schedule}")
            lines += [f"  {' '.join(ticks[start : start + 10])}" for start in range(0, len(ticks), 10)]
    Path(__file__).with_name("ticks_2026.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
