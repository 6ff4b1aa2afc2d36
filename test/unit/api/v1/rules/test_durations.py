"""Go's durations as Go reads them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from api.v1.rules.durations import go_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("1.s", 1),
        ("-5m", -300),
        ("+5m", 300),
        ("0", 0),
        ("-0", 0),
        ("1500us", 0.0015),
        ("2µs", 0.000002),
        ("1h1ms", 3600.001),
    ],
)
def test_what_is_a_duration(text: str, seconds: float) -> None:
    assert go_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "300", "5", "s", "1d", "1h 30m", "h1", "1,5h", "--5m", "1e3s", "9999999999h", "٣s"]
)
def test_what_is_none(text: str) -> None:
    assert go_duration(text) is None
