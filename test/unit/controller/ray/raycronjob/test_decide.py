"""What a RayCronJob makes, and when it is looked at again (spec rayjob §12.2 to §12.4)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from controller.ray.options import Options
from controller.ray.raycronjob.decide import decide
from controller.ray.raycronjob.status import report
from controller.runtime.errors import Conflict
from controller.runtime.plan import Outcome, Verdict, ref_of
from localcluster.testing.raycronjob_history import START, RayCronJobHistory, raycronjob

HALF_PAST_ONE = START + timedelta(hours=1, minutes=30)


def limited(most: int) -> Options:
    return Options(cron_backfill_limit=most)


def minutes(*numbers: int) -> list[str]:
    """Moments of the first hour after the start."""
    return [f"2026-01-01T12:{number:02}:00Z" for number in numbers]


# One tick


def test_a_rayjob_is_made_at_the_tick_and_the_tick_is_noted() -> None:
    life = RayCronJobHistory(raycronjob("30 13 * * *")).run()
    assert (life.jobs, life.requeue_after) == ({}, timedelta(hours=1, minutes=30))

    life.until(HALF_PAST_ONE)

    (job,) = life.jobs.values()
    assert job == {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {
            "name": "nightly-29454570",
            "namespace": "default",
            "labels": {"ray.io/cronjob-name": "nightly"},
            "annotations": {"ray.io/cronjob-scheduled-timestamp": "2026-01-01T13:30:00Z"},
            "ownerReferences": [
                {
                    "apiVersion": "ray.io/v1",
                    "kind": "RayCronJob",
                    "name": "nightly",
                    "uid": "uid-nightly",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": life.cron["spec"]["jobTemplate"],
    }
    assert (life.last, life.requeue_after) == ("2026-01-01T13:30:00Z", timedelta(days=1))
    assert life.events == []


@pytest.mark.spec("admission:AC-15")
def test_the_name_of_a_child_is_the_minute_of_its_tick() -> None:
    """Eight digits today; the limit of 36 leaves room for ten."""
    life = RayCronJobHistory(raycronjob("30 13 * * *", name="n" * 36)).run().until(HALF_PAST_ONE)

    (name,) = life.jobs
    assert name == f"{'n' * 36}-{int(HALF_PAST_ONE.timestamp()) // 60}"
    assert len(name) == 45


def test_a_rayjob_inherits_no_labels_and_annotations() -> None:
    """Those of the RayCronJob are about it, a queue's name for instance."""
    cron = raycronjob("30 13 * * *")
    cron["metadata"] |= {"labels": {"team": "a"}, "annotations": {"note": "b"}}

    (job,) = RayCronJobHistory(cron).run().until(HALF_PAST_ONE).jobs.values()

    assert job["metadata"]["labels"].keys() == {"ray.io/cronjob-name"}
    assert job["metadata"]["annotations"].keys() == {"ray.io/cronjob-scheduled-timestamp"}


@pytest.mark.spec("rayjob:E65")
def test_the_next_look_is_at_the_tick_whatever_the_time_of_creation_and_the_length_of_a_pass() -> None:
    """A pass that ends late waits the less for the next tick."""
    made = START + timedelta(minutes=7, seconds=23)
    life = RayCronJobHistory(raycronjob("*/10 * * * *", created=made), now=made).run()
    assert life.requeue_after == timedelta(minutes=2, seconds=37)

    life.passes(minutes=2, seconds=37).is_down(seconds=42)

    assert life.requeue_after == timedelta(minutes=9, seconds=18)


def test_a_pass_that_comes_too_early_makes_nothing() -> None:
    """A clock that was set back, or another event."""
    life = RayCronJobHistory(raycronjob("30 13 * * *")).run().passes(hours=1, minutes=29, seconds=59, milliseconds=999)

    life.run()

    assert (life.jobs, life.requeue_after) == ({}, timedelta(milliseconds=1))


@pytest.mark.spec("rayjob:E65")
def test_the_time_zone_is_the_schedules_own_else_the_operators() -> None:
    taipei = RayCronJobHistory(raycronjob("45 21 * * *", timeZone="Asia/Taipei")).run()
    tokyo = RayCronJobHistory(raycronjob("45 21 * * *"), Options(time_zone=ZoneInfo("Asia/Tokyo"))).run()
    local = RayCronJobHistory(
        raycronjob("45 21 * * *", timeZone="Local"), Options(time_zone=ZoneInfo("Asia/Tokyo"))
    ).run()

    assert taipei.until(START + timedelta(days=1)).ticks == ["2026-01-01T13:45:00Z"]
    assert tokyo.until(START + timedelta(days=1)).ticks == ["2026-01-01T12:45:00Z"]
    assert local.until(START + timedelta(days=1)).ticks == ["2026-01-01T12:45:00Z"]


# The same tick again


@pytest.mark.spec("rayjob:E60")
def test_a_tick_that_is_attended_to_twice_has_one_rayjob() -> None:
    """A stale view, a second leader, or a crash before the status was written."""
    life = RayCronJobHistory(raycronjob("*/10 * * * *")).run().passes(minutes=9)
    before = life.see()
    life.passes(minutes=1)
    after = life.last

    life.run(before).run(before)

    assert life.ticks == minutes(10)
    assert (life.last, life.events) == (after, [])


def test_a_status_that_was_lost_is_written_by_the_pass_that_finds_the_rayjob() -> None:
    life = RayCronJobHistory(raycronjob("*/10 * * * *")).run().passes(minutes=10)
    del life.cron["status"]

    life.run()

    assert (life.ticks, life.last) == (minutes(10), minutes(10)[0])


@pytest.mark.spec("rayjob:E62")
def test_ticks_within_a_minute_share_a_rayjob() -> None:
    """They have one name; each is noted all the same."""
    life = RayCronJobHistory(raycronjob("@every 20s")).run().passes(minutes=2, seconds=10)

    assert life.ticks == ["2026-01-01T12:00:20Z", "2026-01-01T12:01:00Z", "2026-01-01T12:02:00Z"]
    assert (life.last, life.status_writes) == ("2026-01-01T12:02:00Z", 6)


# Ticks that were missed


@pytest.mark.spec("rayjob:E61")
def test_missed_ticks_are_all_made_up_for_at_once_as_in_the_reference() -> None:
    life = RayCronJobHistory(raycronjob("*/10 * * * *")).run().passes(minutes=10)

    life.is_down(minutes=45).passes(seconds=1)

    assert life.ticks == minutes(10, 20, 30, 40, 50)
    assert (life.last, life.events) == (minutes(50)[0], [])
    assert life.requeue_after == timedelta(minutes=4, seconds=59)


@pytest.mark.spec("rayjob:E61")
@pytest.mark.parametrize(("most", "made"), [(1, [50]), (2, [40, 50]), (4, [20, 30, 40, 50]), (9, [20, 30, 40, 50])])
def test_a_limit_keeps_the_latest_of_them_and_tells_of_the_others(most: int, made: list[int]) -> None:
    """One is what Kubernetes' own CronJob does."""
    life = RayCronJobHistory(raycronjob("*/10 * * * *"), limited(most)).run().passes(minutes=10)

    life.is_down(minutes=45).passes(seconds=1)

    assert life.ticks == minutes(10, *made)
    assert life.last == minutes(50)[0]
    assert life.reasons == ["SkippedMissedTicks"] * (made[0] > 20)


def test_what_was_passed_over_is_told_with_its_bounds_and_the_way_out() -> None:
    life = RayCronJobHistory(raycronjob("*/10 * * * *"), limited(1)).run().is_down(minutes=45)

    (event,) = life.events
    assert (event.type, event.action) == ("Warning", "Skip")
    assert event.note == (
        "Missed ticks from 2026-01-01T12:10:00Z up to 2026-01-01T12:40:00Z get no RayJob: "
        "this operator makes up for 1 at most (-cron-backfill-limit)"
    )


def test_a_limit_says_nothing_about_ticks_that_come_in_time() -> None:
    life = RayCronJobHistory(raycronjob("*/10 * * * *"), limited(1)).run().passes(minutes=35)

    assert (life.ticks, life.events) == (minutes(10, 20, 30), [])


def test_a_limit_counts_what_is_due_together_also_of_every() -> None:
    life = RayCronJobHistory(raycronjob("@every 10m"), limited(2)).run().is_down(minutes=45).passes(seconds=1)

    assert life.ticks == minutes(30, 40)


@pytest.mark.spec("rayjob:E61")
def test_a_schedule_made_more_frequent_is_made_up_for_from_the_last_tick_on() -> None:
    life = RayCronJobHistory(raycronjob("0 * * * *")).run().passes(minutes=55)

    life.edit(schedule="*/20 * * * *").passes(seconds=1)

    assert life.ticks == minutes(20, 40)


# Never


@pytest.mark.spec("rayjob:E63")
@pytest.mark.parametrize("schedule", ["0 0 30 2 *", ", * * * *"])
def test_a_date_that_never_comes_is_never_due(schedule: str) -> None:
    """The reference takes "never" for a time in the past, and makes a RayJob at once."""
    life = RayCronJobHistory(raycronjob(schedule)).run()

    assert (life.jobs, life.requeue_after, life.last) == ({}, None, "")


@pytest.mark.spec("rayjob:E64")
def test_a_suspended_one_makes_nothing_and_says_so() -> None:
    life = RayCronJobHistory(raycronjob("*/10 * * * *")).run().passes(minutes=10)

    life.edit(suspend=True).passes(minutes=35).run()

    assert (life.ticks, life.requeue_after, life.last) == (minutes(10), None, minutes(10)[0])
    assert life.reasons == ["SuspendedRayCronJob"] * 2
    assert {(event.type, event.action, event.note) for event in life.events} == {
        ("Normal", "Suspend", "RayCronJob suspended, no new RayJobs will be created")
    }

    life.edit(suspend=False).passes(seconds=1)

    assert life.ticks == minutes(10, 20, 30, 40), "what was missed meanwhile is made up for"


@pytest.mark.spec("rayjob:E66")
def test_one_that_is_being_deleted_makes_nothing_more() -> None:
    """It stands there until its RayJobs are gone; another one would hold it up."""
    life = RayCronJobHistory(raycronjob("*/10 * * * *")).run()
    life.cron["metadata"]["deletionTimestamp"] = "2026-01-01T12:05:00Z"

    life.run().passes(minutes=30)

    assert (life.jobs, life.requeue_after, life.events, life.last) == ({}, None, [], "")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"schedule": "* * * *"}, "spec.schedule: invalid cron schedule: expected exactly 5 fields, found 4: "),
        ({"timeZone": "Mars"}, "spec.timeZone: invalid time zone: unknown time zone Mars"),
        ({"jobTemplate": {"entrypoint": "x"}}, "spec.jobTemplate.rayClusterSpec: invalid RayJob template: "),
    ],
)
def test_an_invalid_one_makes_nothing_until_it_is_mended(spec: dict[str, Any], says: str) -> None:
    life = RayCronJobHistory(raycronjob("*/10 * * * *")).run()
    good = dict(life.cron["spec"])

    life.edit(**spec).passes(minutes=15)

    (event,) = life.events
    assert (event.type, event.reason, event.action) == ("Warning", "InvalidRayCronJobSpec", "Validate")
    assert event.note.startswith(f"default/nightly: {says}")
    assert (life.jobs, life.requeue_after, life.last, life.error) == ({}, None, "", None)

    life.cron["spec"] = good
    life.run().passes(seconds=1)

    assert life.ticks == minutes(10)


# What cannot be made


def test_a_rayjob_that_is_refused_is_tried_again_and_its_tick_is_not_noted() -> None:
    life = RayCronJobHistory(raycronjob("*/10 * * * *")).run()
    life.refuse = True

    life.passes(minutes=10, seconds=25)

    assert (life.jobs, life.last) == ({}, "")
    assert "exceeded quota" in str(life.error)
    assert life.reasons == ["FailedToCreateRayJob"] * 3
    assert life.events[0].note == (
        "Failed to create RayJob default/nightly-29454490: "
        "cannot create RayJob default/nightly-29454490: exceeded quota: q (HTTP 403)"
    )

    life.refuse = False
    life.passes(seconds=10)
    assert (life.ticks, life.last, life.error) == (minutes(10), minutes(10)[0], None)


def test_somebody_elses_rayjob_of_that_name_is_never_touched_and_holds_up_no_other_tick() -> None:
    life = RayCronJobHistory(raycronjob("*/10 * * * *"))
    life.foreign = {"nightly-29454490"}

    life.run().passes(minutes=20)

    assert life.ticks == minutes(20)
    (event,) = life.events
    assert (event.type, event.reason) == ("Warning", "FailedToCreateRayJob")
    assert "default/nightly-29454490: it exists and does not belong to this RayCronJob" in event.note


@pytest.mark.parametrize(
    ("verdict", "noted"), [(Verdict.STALE, True), (Verdict.WAIT, False), (Verdict.CONFLICT, False)]
)
def test_only_what_may_still_be_made_is_waited_for(verdict: Verdict, noted: bool) -> None:
    """The tick's own RayJob may be on its way out again; a predecessor's of the same name will be gone soon."""
    life = RayCronJobHistory(raycronjob("*/10 * * * *")).run().passes(minutes=9)
    decision = decide(life.see(), START + timedelta(minutes=10))
    (write,) = decision.plan.writes

    told = report(life.see(), decision, [Outcome(write, verdict)])

    assert (told.status is not None, told.error is None, told.events) == (noted, noted, ())


def test_the_servers_own_words_are_the_error_of_the_pass() -> None:
    life = RayCronJobHistory(raycronjob("*/10 * * * *")).run().passes(minutes=9)
    decision = decide(life.see(), START + timedelta(minutes=10))
    (write,) = decision.plan.writes
    error = Conflict("create", ref_of(write), code=409, message="being deleted", reason="Conflict")

    assert report(life.see(), decision, [Outcome(write, Verdict.CONFLICT, error=error)]).error is error


def test_a_time_that_a_user_wrote_into_the_status_is_where_it_goes_on() -> None:
    life = RayCronJobHistory(raycronjob("*/10 * * * *"))
    life.cron["status"] = {"lastScheduleTime": "2026-01-01T14:05:00+01:00"}

    life.run()

    assert life.jobs == {}
    assert life.now + (life.requeue_after or timedelta(0)) == datetime(2026, 1, 1, 13, 10, tzinfo=UTC)
