"""Lives of RayCronJobs: a RayJob at each tick, and none else; in virtual time, which begins at noon, 1 January 2026."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from controller.ray.options import Gates, Options
from controller.rights import RIGHTS
from controller.settings import Settings
from localcluster.faults import When
from localcluster.testing.cluster import OPERATOR, Cluster, a_cluster
from localcluster.testing.factories import a_raycronjob, a_rayjob

pytestmark = pytest.mark.looptime

IDLE: dict[str, Any] = {"suspend": True, "shutdown_after_job_finishes": True}  # RayJobs that are made, and do nothing
NAME = "nightly-29454490"  # of the RayJob of 12:10


def gated(**options: Any) -> Settings:
    """An operator with the gate open."""
    return Settings(options=Options(gates=Gates(ray_cron_job=True), **options))


def idle(schedule: str, **spec: Any) -> dict[str, Any]:
    """A RayCronJob whose RayJobs cost nothing."""
    return a_raycronjob("nightly", schedule, template=IDLE, **spec)


async def ticks(cluster: Cluster) -> list[str]:
    """Of the RayJobs that are there, without date and seconds where those are no news."""
    jobs = await cluster.all_of("RayJob", labels="ray.io/cronjob-name=nightly")
    moments = sorted(one.metadata.annotations["ray.io/cronjob-scheduled-timestamp"] for one in jobs)
    return [one.removeprefix("2026-01-01T").removesuffix(":00Z") for one in moments]


async def last(cluster: Cluster) -> str | None:
    found = await cluster.get("RayCronJob", "nightly")
    return (found.get("status") or {}).get("lastScheduleTime")


async def told(cluster: Cluster) -> list[str]:
    return [str(one["reason"]) for one in await cluster.events("nightly")]


def passes(cluster: Cluster) -> float:
    """How often the controller has looked at anything."""
    return sum(
        sample.value
        for metric in cluster.kit.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "controller_runtime_reconcile_total" and sample.labels["controller"] == "raycronjob"
    )


# Ticks


async def test_a_tick_makes_a_rayjob_just_then_and_it_runs() -> None:
    async with a_cluster(settings=gated()) as cluster:
        await cluster.create(a_raycronjob("nightly", "30 13 * * *", workers=1))
        await cluster.after(5399)
        before = await cluster.all_of("RayJob")
        await cluster.after(2)
        (job,) = await cluster.all_of("RayJob")
        ended = await cluster.until("RayJob", job.name, phase="Complete")
        cron = await cluster.get("RayCronJob", "nightly")
        events = await told(cluster)

    assert before == []
    assert (job.name, job.metadata.creation_timestamp) == ("nightly-29454570", "2026-01-01T13:30:00Z")
    assert job.metadata.owner_references[0].uid == cron.uid
    assert ended.status.job_status == "SUCCEEDED"
    assert cron["status"] == {"lastScheduleTime": "2026-01-01T13:30:00Z"}
    assert events == [], "as in the reference, what goes well is not told"


async def test_between_ticks_nothing_is_looked_at_and_nothing_is_written() -> None:
    """Not even after the status that it wrote itself."""
    async with a_cluster(settings=gated()) as cluster:
        await cluster.create(idle("10 12 * * *"))
        await cluster.after(660)
        before = passes(cluster)
        writes = await cluster.writes_during(7200)

        assert (writes, passes(cluster)) == ([], before)
        assert before == 2, "one for the beginning, one for the tick"


async def test_a_tick_costs_a_rayjob_and_a_status() -> None:
    async with a_cluster(settings=gated()) as cluster:
        await cluster.create(idle("*/10 * * * *"))
        await cluster.after(1801)
        ours = [one for one in cluster.writes if one.verb == "create" or one.resource == "raycronjobs.ray.io"]

    assert [(one.verb, one.resource, one.subresource) for one in ours] == [
        ("create", "rayjobs.ray.io", ""),
        ("patch", "raycronjobs.ray.io", "status"),
    ] * 3


@pytest.mark.parametrize(
    ("start", "made"),
    [
        (datetime(2026, 3, 29, tzinfo=UTC), ["03-29 03:30 +0200"]),
        (datetime(2026, 10, 25, tzinfo=UTC), ["10-25 02:30 +0200", "10-25 02:30 +0100", "10-25 03:30 +0100"]),
    ],
)
async def test_a_time_of_day_that_is_left_out_makes_none_and_one_that_comes_twice_makes_two(
    start: datetime, made: list[str]
) -> None:
    """The nights in which Berlin changes its clocks."""
    berlin = ZoneInfo("Europe/Berlin")
    async with a_cluster(settings=gated(), start=start) as cluster:
        await cluster.create(idle("30 2,3 * * *", timeZone=berlin.key))
        await cluster.after(3 * 3600)
        moments = [datetime.fromisoformat(f"{one}:00Z") for one in await ticks(cluster)]

    assert [one.astimezone(berlin).strftime("%m-%d %H:%M %z") for one in moments] == made


@pytest.mark.spec("rayjob:E65")
async def test_a_schedule_without_a_zone_is_in_that_of_the_operator() -> None:
    async with a_cluster(settings=gated(time_zone=ZoneInfo("Asia/Taipei"))) as cluster:
        await cluster.create(idle("45 21 * * *"))
        await cluster.after(2 * 3600)

        assert await ticks(cluster) == ["13:45"]


async def test_a_rayjob_that_still_runs_keeps_no_other_from_being_made() -> None:
    """There is no concurrency policy."""
    async with a_cluster(settings=gated()) as cluster:
        cluster.dashboards.script(runs_seconds=None)
        await cluster.create(a_raycronjob("nightly", "*/10 * * * *", template={"submission_mode": "HTTPMode"}))
        await cluster.after(1300)
        phases = [one.status.job_deployment_status for one in await cluster.all_of("RayJob")]

    assert phases == ["Running", "Running"]


# What must not double


@pytest.mark.spec("rayjob:E60")
async def test_two_operators_at_once_make_one_rayjob_a_tick() -> None:
    """The second one's create finds the first one's RayJob."""
    async with a_cluster(settings=gated()) as cluster:
        created: list[str] = []
        cluster.follow("rayjobs.ray.io", lambda old, new: created.append(str(new)) if old is None else None)
        await cluster.start_operator()
        await cluster.create(idle("*/10 * * * *"))
        await cluster.after(3001)
        attempts = [one for one in cluster.writes if (one.verb, one.resource) == ("create", "rayjobs.ray.io")]

        assert await ticks(cluster) == ["12:10", "12:20", "12:30", "12:40", "12:50"]
        assert (len(created), len(attempts)) == (5, 10)
        assert await told(cluster) == []


@pytest.mark.spec("rayjob:E60")
async def test_an_operator_that_dies_between_a_rayjob_and_its_status_makes_none_twice() -> None:
    """The next one does not know that the tick was attended to, and finds the RayJob."""
    async with a_cluster(settings=gated(), restart_after=1.0) as cluster:
        await cluster.create(idle("*/10 * * * *"))
        cluster.faults.crash(When(verb="create", resource="rayjobs.ray.io", agent=OPERATOR), "after")
        await cluster.after(1000)

        assert cluster.crashes == 1
        assert await ticks(cluster) == ["12:10"]
        assert await last(cluster) == "2026-01-01T12:10:00Z"


async def test_somebody_elses_rayjob_of_the_name_is_left_alone_and_holds_up_no_other_tick() -> None:
    async with a_cluster(settings=gated()) as cluster:
        await cluster.create(a_rayjob(NAME, workers=0, **IDLE))
        before = await cluster.get("RayJob", NAME)
        await cluster.create(idle("*/10 * * * *"))
        await cluster.after(1300)

        after = await cluster.get("RayJob", NAME)
        assert (after.uid, after.metadata.labels, after["spec"]) == (before.uid, None, before["spec"])
        assert await ticks(cluster) == ["12:20"]
        (event,) = await cluster.events("nightly")
        assert (event["type"], event["reason"]) == ("Warning", "FailedToCreateRayJob")
        assert "does not belong to this RayCronJob" in event["message"]


# What was missed


@pytest.mark.spec("rayjob:E61")
async def test_an_outage_is_made_up_for_all_at_once() -> None:
    async with a_cluster(settings=gated()) as cluster:
        await cluster.create(idle("*/10 * * * *"))
        await cluster.after(700)
        cluster.kill_operator()
        await cluster.after(3600)
        await cluster.start_operator()
        await cluster.after(5)

        assert await ticks(cluster) == ["12:10", "12:20", "12:30", "12:40", "12:50", "13:00", "13:10"]
        assert await last(cluster) == "2026-01-01T13:10:00Z"


@pytest.mark.spec("rayjob:E61")
async def test_with_a_limit_only_the_latest_are_and_the_others_are_told() -> None:
    async with a_cluster(settings=gated(cron_backfill_limit=1)) as cluster:
        await cluster.create(idle("*/10 * * * *"))
        await cluster.after(700)
        cluster.kill_operator()
        await cluster.after(3600)
        await cluster.start_operator()
        await cluster.after(5)

        assert await ticks(cluster) == ["12:10", "13:10"]
        assert await told(cluster) == ["SkippedMissedTicks"]


async def test_a_clock_that_is_set_makes_nothing_twice_and_loses_nothing() -> None:
    """Back: what was made is not made again. Forward: the next pass makes up for it."""
    async with a_cluster(settings=gated()) as cluster:
        await cluster.create(idle("*/10 * * * *"))
        await cluster.after(1201)  # 12:20
        cluster.clock.jump(timedelta(minutes=-15))
        await cluster.after(1200)  # 12:25
        before = await ticks(cluster)
        cluster.clock.jump(timedelta(minutes=30))
        await cluster.after(600)  # 13:05

        assert before == ["12:10", "12:20"]
        assert await ticks(cluster) == ["12:10", "12:20", "12:30", "12:40", "12:50", "13:00"]


@pytest.mark.spec("rayjob:E64")
async def test_a_suspended_one_makes_none_says_so_and_makes_up_for_it_when_resumed() -> None:
    async with a_cluster(settings=gated()) as cluster:
        await cluster.create(idle("*/10 * * * *", suspend=True))
        await cluster.after(1500)
        suspended, events = await ticks(cluster), await told(cluster)
        await cluster.patch("RayCronJob", "nightly", {"spec": {"suspend": False}})
        await cluster.after(5)

        assert (suspended, events) == ([], ["SuspendedRayCronJob"])
        assert await ticks(cluster) == ["12:10", "12:20"]


async def test_an_edit_of_the_schedule_counts_at_once() -> None:
    async with a_cluster(settings=gated()) as cluster:
        await cluster.create(idle("0 0 * * *"))
        await cluster.after(3600)
        await cluster.patch("RayCronJob", "nightly", {"spec": {"schedule": "20 13 * * *"}})
        await cluster.after(1300)

        assert await ticks(cluster) == ["13:20"]


# What is not made


@pytest.mark.spec("rayjob:E63")
async def test_a_date_that_never_comes_makes_none() -> None:
    async with a_cluster(settings=gated()) as cluster:
        await cluster.create(idle("0 0 30 2 *"))
        await cluster.after(3600)

        assert (await cluster.all_of("RayJob"), cluster.writes, await last(cluster)) == ([], [], None)


async def test_one_that_cannot_be_read_is_told_of_and_works_once_it_is_mended() -> None:
    async with a_cluster(settings=gated()) as cluster:
        await cluster.create(idle("0 30 12 * * *"))
        await cluster.after(1200)
        (event,) = await cluster.events("nightly")
        wrong = cluster.writes
        await cluster.patch("RayCronJob", "nightly", {"spec": {"schedule": "30 12 * * *"}})
        await cluster.after(700)

        assert (event["type"], event["reason"], wrong) == ("Warning", "InvalidRayCronJobSpec", [])
        assert event["message"].startswith("default/nightly: spec.schedule: invalid cron schedule: expected exactly 5")
        assert event["reportingComponent"] == "raycronjob-controller"
        assert await ticks(cluster) == ["12:30"]


async def test_a_refused_rayjob_is_made_when_it_is_allowed_again() -> None:
    """Why it is not there is an event; its tick is not noted before it is."""
    async with a_cluster(settings=gated()) as cluster:
        refused = When(verb="create", resource="rayjobs.ray.io", agent=OPERATOR)
        cluster.faults.refuse(refused, 403, "Forbidden", "exceeded quota: jobs", times=5)
        await cluster.create(idle("10 12 * * *"))
        await cluster.after(600.05)
        waiting, events = await last(cluster), await cluster.events("nightly")
        await cluster.after(60)

        assert waiting is None
        assert {(one["reason"], one["type"]) for one in events} == {("FailedToCreateRayJob", "Warning")}
        assert "exceeded quota: jobs" in events[0]["message"]
        assert await ticks(cluster) == ["12:10"]
        assert await last(cluster) == "2026-01-01T12:10:00Z"


# Its end


async def test_its_rayjobs_go_with_it() -> None:
    async with a_cluster(settings=gated()) as cluster:
        cluster.dashboards.script(runs_seconds=None)
        await cluster.create(a_raycronjob("nightly", "*/10 * * * *", template={"submission_mode": "HTTPMode"}))
        await cluster.after(700)
        before = len(await cluster.pods(str((await cluster.get("RayJob", NAME)).status.ray_cluster_name)))
        await cluster.delete("RayCronJob", "nightly")
        await cluster.after(600)

        assert before == 1
        for kind in ("RayCronJob", "RayJob", "RayCluster", "Pod"):
            assert await cluster.all_of(kind) == [], kind


@pytest.mark.spec("rayjob:E66")
async def test_one_that_waits_for_the_end_of_its_rayjobs_makes_no_more_of_them() -> None:
    async with a_cluster(settings=gated()) as cluster:
        await cluster.create(idle("*/10 * * * *"))
        await cluster.after(700)
        hold = {"metadata": {"finalizers": ["example.com/holds", "ray.io/rayjob-finalizer"]}}
        await cluster.patch("RayJob", NAME, hold)
        await cluster.delete("RayCronJob", "nightly", propagation="Foreground")
        await cluster.after(3000)

        assert (await cluster.get("RayCronJob", "nightly"))["metadata"]["deletionTimestamp"]
        assert await ticks(cluster) == ["12:10"]


# The gate, and the rights


async def test_behind_its_gate_nothing_is_watched_and_nothing_happens() -> None:
    """The kind need not even be installed."""
    async with a_cluster() as cluster:
        await cluster.create(idle("*/10 * * * *"))
        await cluster.after(1500)

        assert await cluster.all_of("RayJob") == []
        assert not [one for one in cluster.requests if one.resource == "raycronjobs.ray.io"]


async def test_its_requests_are_within_the_rights_that_the_operator_asks_for() -> None:
    async with a_cluster(settings=gated()) as cluster:
        await cluster.create(a_raycronjob("nightly", "*/10 * * * *"))
        await cluster.after(700)
        await cluster.delete("RayCronJob", "nightly")
        await cluster.after(60)
        asked = {(one.verb, one.resource, one.subresource) for one in cluster.requests}

    allowed = {
        (verb, f"{plural}.{right.group}" if right.group else plural, below)
        for right in RIGHTS
        for plural, _, below in [right.resource.partition("/")]
        for verb in right.verbs
    }
    assert ("create", "rayjobs.ray.io", "") in asked
    assert ("patch", "raycronjobs.ray.io", "status") in asked
    assert not {one for one in asked if one not in allowed and "leases" not in one[1]}
