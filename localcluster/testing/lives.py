"""Whole lives that fault tests tell again and again, with something else going wrong each time.

A life creates what it needs, waits for what must become of it, and says what must not have been doubled or lost.
`told_with` tells it once undisturbed, to count the operator's writes, and then once for each write that is chosen: all
of them where MANTA_FAULTS is "all", else a few, drawn by MANTA_SEED (0 if not set).
"""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

from controller.ray.options import Gates, Options
from controller.settings import Settings
from localcluster.faults import Crash, When
from localcluster.testing.cluster import OPERATOR, Cluster, a_cluster
from localcluster.testing.cron_lives import CRON_LIVES
from localcluster.testing.factories import a_container, a_raycluster, a_rayjob
from localcluster.testing.promises import Witness
from localcluster.testing.service_lives import SERVICE_LIVES

__all__ = ["LIVES", "MISHAPS", "Life", "Mishap", "a_cluster_comes_up", "a_job_runs", "told_with"]

Life: TypeAlias = Callable[[Cluster], Awaitable[None]]
Mishap: TypeAlias = Callable[[Cluster, int], None]  # strikes at the operator's nth write

SAMPLE: Final = 1  # writes of a life that are struck where not all are
RESTART_SECONDS: Final = 1.0
OPEN: Final = Settings(options=Options(gates=Gates(ray_cron_job=True)))  # every kind is looked after
_WRITES: Final[dict[Life, int]] = {}  # of a life that nothing disturbs; the same each time


# What goes wrong


def _at(nth: int) -> When:
    """The operator's nth write; events are best effort, nothing depends on them."""
    return When(writes=True, agent=OPERATOR, nth=nth, also=lambda asked: not asked.resource.startswith("events"))


def _dies(at: Crash) -> Mishap:
    return lambda cluster, nth: cluster.faults.crash(_at(nth), at)


def _answer_lost_then_dies(cluster: Cluster, nth: int) -> None:
    """What it knew of the write whose answer it missed is gone with it."""
    cluster.faults.drop_answer(_at(nth))
    cluster.faults.crash(_at(nth + 1), "after")


MISHAPS: Final[Mapping[str, Mishap]] = {
    "dies before it": _dies("before"),
    "dies after it": _dies("after"),
    "dies when it is answered": _dies("answered"),
    "request lost": lambda cluster, nth: cluster.faults.drop_request(_at(nth)),
    "answer lost": lambda cluster, nth: cluster.faults.drop_answer(_at(nth)),
    "sent twice": lambda cluster, nth: cluster.faults.replay(_at(nth)),
    "answer lost, then dies": _answer_lost_then_dies,
}


async def told_with(mishap: Mishap, life: Life, *, seed: str) -> tuple[int, int]:
    """Tell the life with the mishap at the operator's chosen writes; how many were struck, and how many there are."""
    if life not in _WRITES:
        _WRITES[life] = await _told(life, None, 0)
    writes = _WRITES[life]
    numbers = list(range(1, writes + 1))
    if os.environ.get("MANTA_FAULTS") != "all":
        chance = random.Random(f"{os.environ.get('MANTA_SEED', '0')}/{seed}")
        numbers = sorted(chance.sample(numbers, SAMPLE))
    for number in numbers:
        try:
            assert await _told(life, mishap, number) >= number, "the mishap never struck"
        except BaseException as error:
            error.add_note(f"{seed}: at write {number} of {writes}")
            raise
    return len(numbers), writes


async def _told(life: Life, mishap: Mishap | None, number: int) -> int:
    async with a_cluster(settings=OPEN, restart_after=RESTART_SECONDS, tell_events=False) as cluster:
        witness = Witness(cluster)
        if mishap is not None:
            mishap(cluster, number)
        await life(cluster)
        witness.check()
        return len(cluster.writes)


# What RayClusters live through


async def a_cluster_comes_up(cluster: Cluster) -> None:
    """One head, two workers, and then rest."""
    await cluster.create(a_raycluster("r", workers=2))

    await cluster.until("RayCluster", "r", phase="ready", ready_worker_replicas=2)

    assert len(await cluster.pods("r", node_type="head")) == 1
    assert len(await cluster.pods("r", node_type="worker")) == 2
    assert len([one for one in cluster.writes if one.verb == "create" and one.code == 201]) <= 4
    await cluster.after(120)  # something may have gone wrong with the last word
    assert await cluster.writes_during(3600) == []


async def a_head_is_lost(cluster: Cluster) -> None:
    """Another head, the same worker, and rest."""
    await cluster.create(a_raycluster("r", workers=1))
    await cluster.until("RayCluster", "r", phase="ready")
    (old,), (worker,) = await cluster.pods("r", node_type="head"), await cluster.pods("r", node_type="worker")

    await cluster.delete("Pod", old.name)
    await cluster.until("Pod", old.name, gone=True)
    await cluster.after(180)

    (head,) = await cluster.pods("r", node_type="head")
    found = await cluster.get("RayCluster", "r")
    assert (head.uid != old.uid, found.status.head.pod_name, found.status.state) == (True, head.name, "ready")
    assert [one.uid for one in await cluster.pods("r", node_type="worker")] == [worker.uid]
    assert await cluster.writes_during(3600) == []


async def a_worker_is_lost(cluster: Cluster) -> None:
    """Another worker under another name, the same head, and rest."""
    await cluster.create(a_raycluster("r", workers=2))
    await cluster.until("RayCluster", "r", phase="ready", ready_worker_replicas=2)
    (head,), workers = await cluster.pods("r", node_type="head"), await cluster.pods("r", node_type="worker")

    await cluster.delete("Pod", workers[0].name)
    await cluster.until("Pod", workers[0].name, gone=True)
    await cluster.after(180)

    after = {pod.name for pod in await cluster.pods("r", node_type="worker")}
    assert (len(after), workers[1].name in after, workers[0].name in after) == (2, True, False)
    assert [one.uid for one in await cluster.pods("r", node_type="head")] == [head.uid]
    assert await cluster.writes_during(3600) == []


async def a_cluster_is_recreated(cluster: Cluster) -> None:
    """A change of its pods replaces all of them, once."""
    await cluster.create(a_raycluster("r", workers=1, upgrade_strategy={"type": "Recreate"}))
    await cluster.until("RayCluster", "r", phase="ready")
    old = {pod.uid for pod in await cluster.pods("r")}

    def change(found: Any) -> None:
        for part in (found["spec"]["headGroupSpec"], *found["spec"]["workerGroupSpecs"]):
            part["template"]["spec"]["containers"] = [a_container("ray", command=["sleep", "1"])]

    await cluster.edit("RayCluster", "r", change)
    await cluster.after(180)

    new = await cluster.pods("r")
    assert (len(new), {pod.uid for pod in new} & old) == (2, set())
    assert {pod.spec.containers[0].name for pod in new} == {"ray"}
    assert (await cluster.get("RayCluster", "r")).status.state == "ready"
    assert await cluster.writes_during(3600) == []


async def a_cluster_is_suspended(cluster: Cluster) -> None:
    """It grows, is suspended, resumed and deleted, and leaves nothing."""
    await cluster.create(a_raycluster("r", workers=1))
    await cluster.until("RayCluster", "r", phase="ready")
    groups = (await cluster.get("RayCluster", "r"))["spec"]["workerGroupSpecs"]
    await cluster.patch("RayCluster", "r", {"spec": {"workerGroupSpecs": [{**groups[0], "replicas": 2}]}})
    await cluster.until("RayCluster", "r", ready_worker_replicas=2)
    await cluster.patch("RayCluster", "r", {"spec": {"suspend": True}})
    await cluster.until("RayCluster", "r", condition="RayClusterSuspended")
    assert await cluster.pods("r") == []
    await cluster.patch("RayCluster", "r", {"spec": {"suspend": False}})
    await cluster.until("RayCluster", "r", phase="ready", ready_worker_replicas=2)
    assert len(await cluster.pods("r")) == 3

    await cluster.delete("RayCluster", "r")
    await cluster.until("RayCluster", "r", gone=True)
    await cluster.after(120)
    assert (await cluster.pods("r"), [one.name for one in await cluster.all_of("Service")]) == ([], ["kubernetes"])


# What RayJobs live through


def _submitted(cluster: Cluster) -> list[str]:
    """The ids under which the operator submitted jobs over HTTP, in order."""
    posts = [one for one in cluster.dashboards.requests if (one.method, one.path) == ("POST", "/api/jobs/")]
    return [one.body["submission_id"] for one in posts]


async def a_job_runs(cluster: Cluster) -> None:
    """One cluster, one submitter, one submission, one result."""
    await cluster.create(a_rayjob("train", workers=1))

    job = await cluster.until("RayJob", "train", phase="Complete")

    assert job.status.job_status == "SUCCEEDED"
    assert [one.name for one in await cluster.all_of("RayCluster")] == [job.status.ray_cluster_name]
    assert [one.name for one in await cluster.all_of("Job")] == ["train"]
    assert cluster.dashboards.job(job.status.job_id) is not None


async def a_job_over_http(cluster: Cluster) -> None:
    """One submission, one result."""
    await cluster.create(a_rayjob("train", submission_mode="HTTPMode"))

    job = await cluster.until("RayJob", "train", phase="Complete")

    assert _submitted(cluster) == [job.status.job_id]
    assert (job.status.succeeded, job.status.failed) == (1, 0)
    assert [one.name for one in await cluster.all_of("RayCluster")] == [job.status.ray_cluster_name]


async def a_job_on_a_chosen_cluster(cluster: Cluster) -> None:
    """The cluster is somebody else's: it is used once, stays as it is, and outlives the job."""
    await cluster.create(a_raycluster("r", workers=0))
    await cluster.until("RayCluster", "r", phase="ready")
    (head,) = await cluster.pods("r")
    await cluster.create(a_rayjob("train", submission_mode="HTTPMode", cluster_selector={"ray.io/cluster": "r"}))

    job = await cluster.until("RayJob", "train", phase="Complete")
    assert (_submitted(cluster), job.status.ray_cluster_name) == ([job.status.job_id], "r")
    await cluster.delete("RayJob", "train")
    await cluster.until("RayJob", "train", gone=True)
    await cluster.after(120)

    assert [one.name for one in await cluster.all_of("RayCluster")] == ["r"]
    assert [one.uid for one in await cluster.pods("r")] == [head.uid]


async def an_interactive_job(cluster: Cluster) -> None:
    """It waits for its user, who says what he submitted; the operator submits nothing."""
    await cluster.create(a_rayjob("train", workers=0, submission_mode="InteractiveMode"))
    await cluster.until("RayJob", "train", phase="Waiting")
    assert _submitted(cluster) == []
    await cluster.patch("RayJob", "train", {"spec": {"jobId": "mine"}})
    job = await cluster.get("RayJob", "train")
    await cluster.submit(job.status["dashboardURL"], "mine")

    job = await cluster.until("RayJob", "train", phase="Complete")

    assert (_submitted(cluster), job.status.job_id) == (["mine"], "mine")
    assert [one.name for one in await cluster.all_of("RayCluster")] == [job.status.ray_cluster_name]
    assert await cluster.all_of("Job") == []


async def a_job_meets_its_deadline(cluster: Cluster) -> None:
    """It goes on for ever, fails in time, is counted once, and its cluster goes."""
    cluster.dashboards.script(runs_seconds=None)
    spec: dict[str, Any] = {"active_deadline_seconds": 90, "shutdown_after_job_finishes": True}
    await cluster.create(a_rayjob("train", workers=0, submission_mode="HTTPMode", **spec))

    job = await cluster.until("RayJob", "train", phase="Failed", within=120)

    assert (job.status.reason, job.status.failed) == ("DeadlineExceeded", 1)
    await cluster.until("RayCluster", job.status.ray_cluster_name, gone=True)
    await cluster.after(120)
    assert len(_submitted(cluster)) == 1
    assert await cluster.writes_during(3600) == []


async def a_job_with_a_history(cluster: Cluster) -> None:
    """It fails, is tried again, suspended, resumed, succeeds, is cleaned up, and is deleted."""
    cluster.dashboards.script(outcome="FAILED", code=1)
    spec: dict[str, Any] = {"submission_mode": "HTTPMode", "backoff_limit": 1, "shutdown_after_job_finishes": True}
    await cluster.create(a_rayjob("train", workers=0, **spec))
    await cluster.until("RayJob", "train", failed=1)
    cluster.dashboards.script(outcome="SUCCEEDED", code=0, runs_seconds=None)
    await cluster.until("RayJob", "train", phase="Running", job_status="RUNNING")
    await cluster.patch("RayJob", "train", {"spec": {"suspend": True}})
    await cluster.until("RayJob", "train", phase="Suspended")
    assert await cluster.all_of("RayCluster") == []
    cluster.dashboards.script(runs_seconds=5)
    await cluster.patch("RayJob", "train", {"spec": {"suspend": False}})

    job = await cluster.until("RayJob", "train", phase="Complete")
    await cluster.until("RayCluster", job.status.ray_cluster_name, gone=True)
    assert (job.status.succeeded, job.status.failed) == (1, 1)
    assert len(_submitted(cluster)) == len(set(_submitted(cluster))) == 3
    clusters = {
        one.body["metadata"]["name"]
        for one in cluster.writes
        if one.resource == "rayclusters.ray.io" and one.verb == "create"
    }
    assert len(clusters) == 3

    await cluster.delete("RayJob", "train")
    await cluster.until("RayJob", "train", gone=True)
    await cluster.after(60)
    assert [one.name for one in await cluster.all_of("Service")] == ["kubernetes"]


LIVES: Final[tuple[Life, ...]] = (
    a_cluster_comes_up,
    a_head_is_lost,
    a_cluster_is_recreated,
    a_cluster_is_suspended,
    a_job_runs,
    a_job_over_http,
    a_job_on_a_chosen_cluster,
    an_interactive_job,
    a_job_meets_its_deadline,
    a_job_with_a_history,
    a_worker_is_lost,
    *SERVICE_LIVES,
    *CRON_LIVES,
)
