"""What `manta run` follows, from the first event to its verdict: a whole cluster in the loop, in virtual time.

Only the cell is missing: everything lives in the process of the test, and nothing of it ends before the story does.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from controller.ray.options import Gates, Options
from controller.settings import Settings
from localcluster.faults import When
from localcluster.node.cell import Cell
from localcluster.node.kubelet import NodeSettings
from localcluster.testing.cluster import OPERATOR, ROOMY, Cluster, a_cluster
from manta.alarms import telling_warnings
from manta.api import connected
from manta.documents import Document, parsed
from manta.follow import follow
from manta.lines import Verdict
from manta.local import Local
from manta.progress import Progress
from manta.run import to_its_end
from manta.services import Addresses
from manta.show import Plain

POD = "template: {spec: {containers: [{name: ray, image: 'rayproject/ray:2.52.0', resources: RESOURCES}]}}"
TOO_MUCH = "{requests: {cpu: 2}, limits: {cpu: 1}}"
GATED = Settings(options=Options(gates=Gates(ray_cron_job=True)))
FITTING = "{requests: {cpu: 1}, limits: {cpu: 1}}"


class Endless(Cell):
    """In place of the cell: there is no process, and it ends with the story."""

    def __init__(self) -> None:
        """Nothing was started."""

    async def ended(self) -> str:
        """Never."""
        await asyncio.Event().wait()
        raise AssertionError("it ended")


def a_job(*, head: str = FITTING, worker: str = FITTING) -> Document:
    """A RayJob as it stands in a file: line 8 has the resources of its head, line 13 those of its workers."""
    return next(
        parsed(
            "job.yaml",
            f"""\
apiVersion: ray.io/v1
kind: RayJob
metadata: {{name: train}}
spec:
  entrypoint: python train.py
  rayClusterSpec:
    headGroupSpec:
      {POD.replace("RESOURCES", head)}
    workerGroupSpecs:
      - groupName: Small
        replicas: 1
        minReplicas: 1
        {POD.replace("RESOURCES", worker)}
""",
        )
    )


@asynccontextmanager
async def a_local(cluster: Cluster) -> AsyncIterator[Local]:
    """The cluster as `manta` reaches it."""
    async with connected(str(cluster.socket), "") as api:
        yield Local(api, Path(cluster.socket).parent, Endless(), "")


async def followed(cluster: Cluster, document: Document) -> tuple[Verdict, str]:
    """Applied and followed to the end: the verdict, and what was told before."""
    out = io.StringIO()
    show = Plain(out)
    async with a_local(cluster) as local:
        await local.api.create(document.body)
        progress = Progress(document.kind, document.name, document.namespace)
        return await follow(local, document, progress, show, Addresses(show)), out.getvalue()


async def test_a_run_whose_head_the_api_refuses_gives_up_with_field_and_way_out() -> None:
    """The operator tries for ever: somebody might change the object. Of a run nobody does."""
    async with a_cluster() as cluster:
        verdict, told = await followed(cluster, a_job(head=TOO_MUCH))

        (ray_cluster,) = await cluster.all_of("RayCluster")
        field = "spec.rayClusterSpec.headGroupSpec.template.spec.containers[0].resources.requests"
        assert verdict == Verdict(
            1,
            f"gave up: the API refuses the head pod of RayCluster {ray_cluster.name}: {field} (job.yaml:8:94): "
            'found "2", must be less than or equal to cpu limit of 1; ask for less there, or raise the limit',
        )
        assert 20 <= cluster.elapsed.total_seconds() < 25
        assert told.count("FailedToCreateHeadPod") == 1


async def test_a_run_whose_workers_the_api_refuses_names_their_group() -> None:
    """The head may run by then: without its workers the cluster never gets ready."""
    async with a_cluster() as cluster:
        verdict, _ = await followed(cluster, a_job(worker=TOO_MUCH))

        (ray_cluster,) = await cluster.all_of("RayCluster")
        assert verdict.code == 1
        assert f"the pods of worker group Small of RayCluster {ray_cluster.name}: " in verdict.text
        assert "spec.rayClusterSpec.workerGroupSpecs[0].template.spec.containers[0]" in verdict.text
        assert "(job.yaml:13:96)" in verdict.text


@pytest.mark.parametrize(
    ("kind", "base"), [("RayCluster", "spec"), ("RayService", "spec.rayClusterConfig")], ids=lambda it: str(it)
)
async def test_a_cluster_and_a_service_whose_head_is_refused_are_given_up_on_alike(kind: str, base: str) -> None:
    """The field is named where it stands in each of them."""
    document = a_job(head=TOO_MUCH)
    inner = document.body["spec"]["rayClusterSpec"]
    served = {"serveConfigV2": "applications: []", "rayClusterConfig": inner}
    spec = inner if kind == "RayCluster" else served
    document = replace(document, body={**document.body, "kind": kind, "spec": spec}, places={})
    async with a_cluster() as cluster:
        verdict, _ = await followed(cluster, document)

        (ray_cluster,) = await cluster.all_of("RayCluster")
        assert verdict.code == 1
        assert f"the API refuses the head pod of RayCluster {ray_cluster.name}: {base}.headGroupSpec" in verdict.text
        assert 20 <= cluster.elapsed.total_seconds() < 25


async def test_what_a_quota_refuses_is_waited_for() -> None:
    """Pods of others end, and there is room."""
    async with a_cluster() as cluster:
        refused = When(verb="create", resource="pods", agent=OPERATOR, also=lambda asked: cluster.elapsed.seconds < 120)
        words = 'pods "x" is forbidden: exceeded quota: small, requested: cpu=1, used: cpu=8, limited: cpu=8'
        cluster.faults.refuse(refused, 403, "Forbidden", words, times=None)

        verdict, told = await followed(cluster, a_job())

        assert verdict == Verdict(0, "the job ended: SUCCEEDED")
        assert "exceeded quota" in told
        assert cluster.elapsed.total_seconds() > 120


async def test_a_server_that_cannot_answer_is_waited_for() -> None:
    """Time-outs and conflicts say nothing about the object."""
    async with a_cluster() as cluster:
        refused = When(verb="create", resource="pods", agent=OPERATOR, also=lambda asked: cluster.elapsed.seconds < 120)
        cluster.faults.refuse(refused, 504, "Timeout", "request did not complete within the allotted time", times=None)

        verdict, _ = await followed(cluster, a_job())

        assert verdict == Verdict(0, "the job ended: SUCCEEDED")


async def test_what_somebody_mends_meanwhile_is_not_given_up_on() -> None:
    """With `kubectl edit`, or by making the ServiceAccount that a pod names."""
    async with a_cluster() as cluster:
        refused = When(verb="create", resource="pods", agent=OPERATOR, also=lambda asked: cluster.elapsed.seconds < 8)
        words = 'pods "x" is forbidden: error looking up service account default/a: serviceaccount "a" not found'
        cluster.faults.refuse(refused, 403, "Forbidden", words, times=None)

        verdict, _ = await followed(cluster, a_job())

        assert verdict == Verdict(0, "the job ended: SUCCEEDED")


async def test_manta_up_tells_why_nothing_happens_once() -> None:
    """The operator tries again for ever, and writes that down again and again."""
    out = io.StringIO()
    async with a_cluster() as cluster, a_local(cluster) as local, telling_warnings(local.api, Plain(out)):
        await local.api.create(a_job(head=TOO_MUCH).body)

        await cluster.after(600)

    lines = [line for line in out.getvalue().splitlines() if "FailedToCreateHeadPod" in line]
    assert len(lines) == 1
    assert "! RayCluster default/train-" in lines[0]
    assert "must be less than or equal to cpu limit of 1 (2 times)" in lines[0]


ONE_CPU = NodeSettings(capacity={**ROOMY, "cpu": "1"}, ip="10.0.0.1", issue_tokens=False)
IN_THE_WAY = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "filler", "namespace": "default"},
    "spec": {"containers": [{"name": "c", "image": "busybox", "resources": {"requests": {"cpu": "1"}}}]},
}


CLUSTER_OF_ONE = f"""\
apiVersion: ray.io/v1
kind: RayCluster
metadata: {{name: one}}
spec:
  headGroupSpec:
    {POD.replace("RESOURCES", FITTING)}
"""


@pytest.mark.parametrize(("seconds", "times"), [(3, 0), (12, 1)])
async def test_that_there_is_no_room_is_told_once_and_only_if_it_lasts(seconds: float, times: int) -> None:
    """A pod that goes makes room, and a node comes: who waits a moment need not read of it."""
    up, run = io.StringIO(), io.StringIO()
    show, document = Plain(run), next(parsed("cluster.yaml", CLUSTER_OF_ONE))
    async with a_cluster(node=ONE_CPU) as cluster, a_local(cluster) as local, telling_warnings(local.api, Plain(up)):
        await local.api.create(IN_THE_WAY)
        await cluster.until("Pod", "filler", phase="Running")
        async with asyncio.TaskGroup() as group:
            await local.api.create(document.body)
            progress = Progress(document.kind, document.name, document.namespace)
            following = group.create_task(follow(local, document, progress, show, Addresses(show)))
            await cluster.after(seconds)
            await cluster.delete("Pod", "filler")

    assert following.result() == Verdict(0, "RayCluster one is ready")
    assert run.getvalue().count("cannot be scheduled: Insufficient cpu") == times
    assert up.getvalue().count("FailedScheduling: Insufficient cpu") == times


def a_cron(schedule: str, *, head: str = FITTING, more: str = "") -> Document:
    """A RayCronJob as it stands in a file: line 11 has the resources of the head of its RayJobs."""
    return next(
        parsed(
            "cron.yaml",
            f"""\
apiVersion: ray.io/v1
kind: RayCronJob
metadata: {{name: nightly}}
spec:
  schedule: "{schedule}"
  timeZone: Europe/Berlin
  jobTemplate:
    entrypoint: python train.py
    rayClusterSpec:
      headGroupSpec:
        {POD.replace("RESOURCES", head)}
  {more}
""",
        )
    )


async def ticked(cluster: Cluster, document: Document) -> tuple[Verdict, str]:
    """As `followed`, of what makes RayJobs."""
    out = io.StringIO()
    show = Plain(out)
    async with a_local(cluster) as local:
        await local.api.create(document.body)
        progress = Progress(document.kind, document.name, document.namespace)
        return await to_its_end(local, document, progress, show, Addresses(show)), out.getvalue()


async def test_of_a_raycronjob_the_next_tick_is_told_and_the_rayjob_that_it_makes_is_followed() -> None:
    """The verdict is that of the job."""
    async with a_cluster(settings=GATED) as cluster:
        verdict, told = await ticked(cluster, a_cron("30 13 * * *"))

        (job,) = await cluster.all_of("RayJob")
        assert verdict == Verdict(0, "the job ended: SUCCEEDED")
        assert told.startswith(
            "RayCronJob default/nightly: next tick Thu 2026-01-01 13:30:00 +0100, in 30 min; its RayJob is followed "
            '(to try it at once, run the file with schedule: "@every 5s")\n'
        )
        assert f"RayJob {job.name}: Initializing" in told
        assert cluster.elapsed.total_seconds() > 1800


async def test_what_the_api_refuses_of_its_rayjob_is_found_in_the_template() -> None:
    async with a_cluster(settings=GATED) as cluster:
        verdict, told = await ticked(cluster, a_cron("@every 30s", head=TOO_MUCH))

        assert "in 30 s; its RayJob is followed\n" in told
        assert verdict.code == 1
        assert "(cron.yaml:11:" in verdict.text


@pytest.mark.parametrize(
    ("schedule", "more", "text"),
    [
        ("0 0 30 2 *", "", "the schedule of RayCronJob default/nightly never comes round: it makes no RayJob"),
        ("@hourly", "suspend: true", "RayCronJob default/nightly is suspended: it makes no RayJob"),
    ],
)
async def test_a_raycronjob_that_makes_none_is_not_waited_for(schedule: str, more: str, text: str) -> None:
    async with a_cluster(settings=GATED) as cluster:
        verdict, _ = await ticked(cluster, a_cron(schedule, more=more))

        assert verdict == Verdict(1, text)
        assert cluster.elapsed.total_seconds() < 5


async def test_a_raycronjob_that_somebody_deletes_is_the_end() -> None:
    async with a_cluster(settings=GATED) as cluster, asyncio.TaskGroup() as group:
        run = group.create_task(ticked(cluster, a_cron("@daily")))
        await cluster.after(100)
        await cluster.delete("RayCronJob", "nightly")

        verdict, _ = await run
        assert verdict == Verdict(1, "RayCronJob default/nightly was deleted")


async def test_why_its_rayjob_is_not_made_is_told_while_it_is_waited_for() -> None:
    async with a_cluster(settings=GATED) as cluster:
        refused = When(verb="create", resource="rayjobs.ray.io", agent=OPERATOR)
        cluster.faults.refuse(refused, 403, "Forbidden", "exceeded quota: jobs", times=12)

        verdict, told = await ticked(cluster, a_cron("@every 30s"))

        assert verdict.code == 0
        assert "! RayCronJob default/nightly: FailedToCreateRayJob: " in told
        assert "exceeded quota: jobs" in told
