"""What RayCronJobs live through, for fault tests (localcluster/testing/lives.py tells them).

In each of them every tick has one RayJob, whatever goes wrong, and in the end the status says so. They begin at noon
of 1 January 2026.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, TypeAlias

from localcluster.testing.cluster import Cluster
from localcluster.testing.factories import a_raycronjob
from localcluster.testing.view import View

__all__ = ["CRON_LIVES"]

Json: TypeAlias = dict[str, Any]

TICK = "ray.io/cronjob-scheduled-timestamp"
IDLE: Json = {"suspend": True, "shutdown_after_job_finishes": True}  # RayJobs that are made, and do nothing


class Ticks:
    """Counts the RayJobs that are made for each tick, from now on; those that are gone again, too."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._made: Counter[str] = Counter()
        cluster.follow("rayjobs.ray.io", self._rayjob)

    def _rayjob(self, old: Json | None, new: Json | None) -> None:
        if old is None and new is not None:
            self._made[new["metadata"]["annotations"][TICK]] += 1

    async def check(self, *moments: str, noted: str = "") -> None:
        """One for each of these times of the day, and no other; the last of them is noted, and nothing is written."""
        ticks = [_time(moment) for moment in moments]
        assert dict(self._made) == dict.fromkeys(ticks, 1)
        found = await self._cluster.find("RayCronJob", "nightly")
        if found is not None:
            assert found["status"] == {"lastScheduleTime": _time(noted or moments[-1])}
        assert await self._cluster.writes_during(3600) == []
        assert self._made.total() == len(ticks)


def _time(moment: str) -> str:
    """ "12:10" or "12:10:30" of the day on which a life is told, as it stands on the wire."""
    return f"2026-01-01T{moment if moment.count(':') == 2 else f'{moment}:00'}Z"


async def _until_tick(cluster: Cluster, moment: str) -> View:
    wanted = _time(moment)
    return await cluster.until("RayCronJob", "nightly", where=lambda one: one.status.last_schedule_time == wanted)


async def _stopped(cluster: Cluster) -> None:
    """No more of them; what was made may take its time."""
    await cluster.patch("RayCronJob", "nightly", {"spec": {"suspend": True}})
    await cluster.after(300)


async def a_cron_job_runs_twice(cluster: Cluster) -> None:
    """Two ticks, two RayJobs that run to their end, each on a cluster of its own."""
    ticks = Ticks(cluster)
    spec = {"submission_mode": "HTTPMode"}
    await cluster.create(a_raycronjob("nightly", "*/10 12 * * *", template=spec))
    await _until_tick(cluster, "12:20")
    await _stopped(cluster)

    jobs = await cluster.all_of("RayJob")
    assert [one.status.job_deployment_status for one in jobs] == ["Complete", "Complete"]
    assert len({one.status.ray_cluster_name for one in jobs}) == 2
    posts = [one for one in cluster.dashboards.requests if (one.method, one.path) == ("POST", "/api/jobs/")]
    assert {one.body["submission_id"] for one in posts} == {one.status.job_id for one in jobs}
    assert len(posts) == 2
    await ticks.check("12:10", "12:20")


async def a_cron_job_makes_up_for_what_it_missed(cluster: Cluster) -> None:
    """Suspended over four ticks, then resumed: one RayJob for each, all at once."""
    ticks = Ticks(cluster)
    await cluster.create(a_raycronjob("nightly", "*/10 12 * * *", template=IDLE, suspend=True))
    await cluster.after(2500)
    await cluster.patch("RayCronJob", "nightly", {"spec": {"suspend": False}})
    await _until_tick(cluster, "12:40")
    await _stopped(cluster)
    await ticks.check("12:10", "12:20", "12:30", "12:40")


async def a_cron_job_is_edited(cluster: Cluster) -> None:
    """It gets another schedule, cannot be read for a while, and gets a good one again."""
    ticks = Ticks(cluster)
    await cluster.create(a_raycronjob("nightly", "*/10 12 * * *", template=IDLE))
    await _until_tick(cluster, "12:10")
    await cluster.patch("RayCronJob", "nightly", {"spec": {"schedule": "*/15 12 * * *"}})
    await _until_tick(cluster, "12:15")
    await cluster.patch("RayCronJob", "nightly", {"spec": {"schedule": "nonsense"}})
    await cluster.after(600)
    await cluster.patch("RayCronJob", "nightly", {"spec": {"schedule": "20,40 12 * * *"}})
    await _until_tick(cluster, "12:40")
    await _stopped(cluster)
    await ticks.check("12:10", "12:15", "12:20", "12:40")


async def a_cron_job_with_short_ticks(cluster: Cluster) -> None:
    """Ticks of one minute have one name: one RayJob for all of them, and each is noted."""
    ticks = Ticks(cluster)
    await cluster.create(a_raycronjob("nightly", "@every 25s", template=IDLE))
    await _until_tick(cluster, "12:01:40")
    await _stopped(cluster)
    await ticks.check("12:00:25", "12:01:15", noted="12:01:40")


async def a_cron_job_is_deleted_while_its_job_runs(cluster: Cluster) -> None:
    """Its RayJob is stopped and goes with it, and what belongs to that."""
    ticks = Ticks(cluster)
    cluster.dashboards.script(runs_seconds=None)
    spec = {"submission_mode": "HTTPMode"}
    await cluster.create(a_raycronjob("nightly", "*/10 12 * * *", template=spec))
    await _until_tick(cluster, "12:10")
    (job,) = await cluster.all_of("RayJob")
    await cluster.until("RayJob", job.name, phase="Running")
    await cluster.delete("RayCronJob", "nightly")
    await cluster.until("RayJob", job.name, gone=True)
    await cluster.after(300)
    for kind in ("RayCronJob", "RayJob", "RayCluster", "Pod"):
        assert await cluster.all_of(kind) == [], kind
    await ticks.check("12:10")


CRON_LIVES = (
    a_cron_job_runs_twice,
    a_cron_job_makes_up_for_what_it_missed,
    a_cron_job_is_edited,
    a_cron_job_with_short_ticks,
    a_cron_job_is_deleted_while_its_job_runs,
)
