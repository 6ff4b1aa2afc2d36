"""The cluster itself, with nobody operating on it: what stories stand on."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from datetime import timedelta

import aiohttp
import pytest

from localcluster.testing.alone import NotAlone
from localcluster.testing.cluster import a_cluster
from localcluster.testing.factories import a_container, a_job, a_pod, a_service


async def test_a_pod_becomes_ready_two_seconds_after_it_is_created() -> None:
    """Scheduled, started, reported: without any help."""
    async with a_cluster(operator=False) as cluster:
        await cluster.create(a_pod("p"))

        pod = await cluster.until("Pod", "p", ready=True)

        assert pod.status.phase == "Running"
        assert pod.spec.node_name == "local"
        assert timedelta(seconds=2) <= cluster.elapsed < timedelta(seconds=3)


async def test_a_job_runs_to_completion() -> None:
    """Its pod ends with 0, and the Job says so in two steps."""
    async with a_cluster(operator=False) as cluster:
        cluster.node.script("train-*", runs_seconds=30)
        await cluster.create(a_job("train"))

        job = await cluster.until("Job", "train", condition="Complete")

        assert [one.type for one in job.status.conditions] == ["SuccessCriteriaMet", "Complete"]
        assert job.status.succeeded == 1
        assert timedelta(seconds=32) <= cluster.elapsed < timedelta(seconds=34)


async def test_a_crashing_pod_backs_off_over_a_virtual_hour() -> None:
    """Sixteen restarts in the first hour: the waits double to five minutes."""
    async with a_cluster(operator=False) as cluster:
        cluster.node.fail_container("p", code=3)
        await cluster.create(a_pod("p"))

        await cluster.after(3600)

        pod = await cluster.get("Pod", "p")
        status = pod.status.container_statuses[0]
        assert status.restart_count in range(14, 18)
        assert status.state.waiting.reason == "CrashLoopBackOff"
        assert status.last_state.terminated.exit_code == 3


async def test_time_jumps_where_nothing_happens() -> None:
    """A virtual day with a running, probed pod takes a moment: nobody but the story itself ticks."""
    async with a_cluster(operator=False) as cluster:
        await cluster.create(a_pod("p", a_container(readiness_probe={"exec": {"command": ["true"]}})))
        await cluster.until("Pod", "p", ready=True)
        await cluster.after(1)
        loop = asyncio.get_running_loop()
        before, ticks = loop.time(), 0

        async def tick_hourly() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(3_600)
                ticks += 1

        async with asyncio.TaskGroup() as group:
            ticking = group.create_task(tick_hourly())
            await asyncio.sleep(86_400 + 1)
            ticking.cancel()

        assert ticks == 24
        assert loop.time() - before == pytest.approx(86_401, abs=1)


async def test_dependents_go_after_their_owner() -> None:
    """In the background: the owner at once, then what it owned."""
    async with a_cluster(operator=False) as cluster:
        owner = await cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": _named("owner")})
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.uid}
        child = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _named("child", ownerReferences=[reference])}
        await cluster.create(child)

        await cluster.delete("ConfigMap", "owner")

        await cluster.until("ConfigMap", "child", gone=True, within=1)


async def test_a_service_shows_its_ready_pods() -> None:
    """And takes an unready one off its addresses."""
    async with a_cluster(operator=False) as cluster:
        await cluster.create(a_service("s", {"app": "x"}))
        probed = a_container(readiness_probe={"exec": {"command": ["true"]}, "periodSeconds": 5})
        await cluster.create(a_pod("p", probed, labels={"app": "x"}))
        await cluster.until("Pod", "p", ready=True)
        await cluster.after(0.1)
        endpoints = await cluster.get("Endpoints", "s")
        assert endpoints.subsets[0].addresses[0].target_ref.name == "p"

        cluster.node.not_ready("p")
        await cluster.until("Pod", "p", condition=("Ready", "False"))
        await cluster.after(0.1)

        endpoints = await cluster.get("Endpoints", "s")
        assert endpoints.subsets[0].addresses is None
        assert len(endpoints.subsets[0].not_ready_addresses) == 1


async def test_the_output_of_a_container_is_read_over_http() -> None:
    """As kubectl logs does."""
    async with a_cluster(operator=False) as cluster:
        cluster.node.script("p", log=b"one\ntwo\n")
        await cluster.create(a_pod("p"))
        await cluster.until("Pod", "p", ready=True)

        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(cluster.socket))) as session,
            session.get("http://localhost/api/v1/namespaces/default/pods/p/log?tailLines=1") as answer,
        ):
            assert await answer.text() == "two\n"


async def test_waiting_in_vain_says_how_the_object_is() -> None:
    """After the time that was given, in virtual time."""
    async with a_cluster(operator=False) as cluster:
        cluster.node.hold("p")
        await cluster.create(a_pod("p"))

        with pytest.raises(AssertionError, match=r"Pod p was not \{'ready': True\} within 600 s.*ContainerCreating"):
            await cluster.until("Pod", "p", ready=True, within=600)

        assert cluster.elapsed == pytest.approx(timedelta(seconds=600), abs=timedelta(seconds=1))


async def test_nothing_runs_on_when_the_cluster_has_ended() -> None:
    """Its node lets go of every container."""
    async with a_cluster(operator=False) as cluster:
        await cluster.create(a_pod("p"))
        await cluster.until("Pod", "p", ready=True)
        node = cluster.node
        assert len(node.containers()) == 1

    assert node.containers() == []


@pytest.mark.spec("runtime:TST-4")
async def test_a_thread_in_virtual_time_fails_the_story() -> None:
    """Even where the refusal is swallowed."""

    async def a_story_with_a_thread() -> None:
        async with a_cluster(operator=False):
            with contextlib.suppress(NotAlone):
                threading.Thread(target=print).start()

    with pytest.raises(NotAlone, match="a thread was started"):
        await a_story_with_a_thread()


def _named(name: str, **more: object) -> dict[str, object]:
    return {"name": name, "namespace": "default", **more}
