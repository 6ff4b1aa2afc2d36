"""What `manta run` tells of a RayCronJob before its first tick."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from manta.cron import job_document, prospect, rough
from manta.documents import Document, parsed

MADE = datetime(2026, 10, 24, 22, 0, 30, tzinfo=UTC)  # the night in which Europe's clocks go back
CRON = """\
apiVersion: ray.io/v1
kind: RayCronJob
metadata: {name: nightly}
spec:
  schedule: "30 2 * * *"
  jobTemplate:
    rayClusterSpec:
      headGroupSpec: {template: {}}
"""


def a_cron(text: str = CRON) -> Document:
    (document,) = parsed("cron.yaml", text)
    return document


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        ({"seconds": 0.2}, "1 s"),
        ({"seconds": 59}, "59 s"),
        ({"seconds": 61}, "1 min"),
        ({"minutes": 125}, "2 h 5 min"),
        ({"hours": 24}, "1 d"),
        ({"days": 40, "hours": 3, "minutes": 7}, "40 d 3 h"),
    ],
)
def test_how_long_it_takes_is_told_in_two_units_at_most(interval: dict[str, float], text: str) -> None:
    assert rough(timedelta(**interval)) == text


def test_the_next_tick_is_shown_as_clocks_of_its_zone_show_it() -> None:
    """That of the file, else the operator's."""
    local = prospect(a_cron(), MADE, ZoneInfo("America/New_York"))
    own = prospect(a_cron(CRON + "  timeZone: Europe/Berlin\n"), MADE, UTC)

    assert "next tick Sun 2026-10-25 02:30:00 -0400, in 8 h 29 min; " in local.text
    assert "next tick Sun 2026-10-25 02:30:00 +0200, in 2 h 29 min; " in own.text
    assert local.comes
    assert own.comes


def test_the_way_out_is_told_only_where_it_takes_long() -> None:
    soon = prospect(a_cron(CRON.replace("30 2 * * *", "* * * * *")), MADE, UTC)

    assert soon.text.endswith("in 30 s; its RayJob is followed")


def test_fields_of_the_rayjob_are_found_in_the_template() -> None:
    """What is refused of it is shown in the file."""
    job = job_document(a_cron(), {"kind": "RayJob", "metadata": {"name": "nightly-1"}, "spec": {"rayClusterSpec": {}}})

    assert str(job) == "RayJob default/nightly-1"
    assert job.where(("spec", "rayClusterSpec", "headGroupSpec")) == "cron.yaml:8:7"
    assert job.where(("spec", "entrypoint")) == "cron.yaml:6:3", "what is not there would stand in the template"
