"""A kubelet whose pods are processes of this machine, in one process with the API server. No Ray, no namespaces.

What stands between the kubelet and a level of isolation (processes.py) is the same for both levels.
"""

from __future__ import annotations

import asyncio
import os
import random
import select
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from localcluster.api import Json
from localcluster.node.images import Images
from localcluster.node.interfaces import NOT_PROVIDED
from localcluster.node.kubelet import Kubelet, NodeSettings
from localcluster.node.processes import process_runtime
from localcluster.node.shared.ground import SharedMachine
from localcluster.recorder import Recorder
from localcluster.running import Running, running
from localcluster.testing.shared import PLAN

CAPACITY = {"cpu": "4", "memory": "4Gi", "pods": "10", "ephemeral-storage": "1Gi"}


def wall_clock() -> datetime:
    """Processes live by it."""
    return datetime.now(UTC)  # noqa: TID251


@dataclass(frozen=True, slots=True)
class Node:
    """The cluster, and its one node's folder."""

    cluster: Running
    folder: Path

    async def pod(self, name: str, script: str, *, container: Json | None = None, **spec: Any) -> None:
        """A script in a container; restarted never, and given a second to end."""
        one = {"name": "main", "image": "machine:x", "command": ["bash", "-c", script], **(container or {})}
        spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [one], **spec}
        await self.cluster.api.create("pods", "default", {"metadata": {"name": name}, "spec": spec})

    async def until(self, name: str, true: Callable[[Json | None], bool], resource: str = "pods") -> Any:
        """The object once that is true of it, or of its absence."""
        mirror, changed = self.cluster.mirrors.of(resource), asyncio.Event()
        mirror.subscribe(lambda old, new: changed.set())
        async with asyncio.timeout(20):
            while not true(found := mirror.objects.get(("default", name))):
                changed.clear()
                await changed.wait()
        return found


def ended(pod: Json | None) -> bool:
    return pod is not None and pod["status"].get("phase") in ("Succeeded", "Failed")


def ready(pod: Json | None) -> bool:
    conditions = (pod or {}).get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


@asynccontextmanager
async def a_node(folder: Path) -> AsyncIterator[Node]:
    """On a shared machine, with images that are the machine itself."""
    (folder / "images.toml").write_text('[images."machine:*"]\nmachine = true\n')
    run = folder / "run"
    run.mkdir()
    images = Images(folder / "images", config=folder / "images.toml")
    async with running(
        now=wall_clock, chance=random.Random(1), token=None, addresses=PLAN, socket=folder / "s"
    ) as cluster:
        recorder = Recorder(cluster.api, "kube-proxy", now=wall_clock)
        settings = NodeSettings("manta", PLAN.host, CAPACITY)
        async with (
            process_runtime(cluster.mirrors, run, images, SharedMachine(PLAN).opened, recorder=recorder) as runtime,
            Kubelet(cluster.api, cluster.mirrors, runtime, settings, now=wall_clock).running(),
        ):
            yield Node(cluster, run)


async def test_a_pod_lives_at_its_address_and_ends_as_its_program_does(tmp_path: Path) -> None:
    """The status says both."""
    async with a_node(tmp_path) as node:
        await node.pod("p", "exit 3")

        status = (await node.until("p", ended))["status"]

    terminated = status["containerStatuses"][0]["state"]["terminated"]
    assert (status["phase"], terminated["exitCode"], status["podIP"]) == ("Failed", 3, str(PLAN.pods[2]))
    assert status["hostIP"] == PLAN.node


async def test_each_thing_that_a_pod_asks_for_and_does_not_get_is_an_event(tmp_path: Path) -> None:
    """A sentence each, and none for a pod that gets all."""
    security = {"privileged": True, "runAsUser": os.geteuid()}
    async with a_node(tmp_path) as node:
        await node.pod("plain", "true")
        await node.pod("p", "true", container={"securityContext": security}, hostNetwork=True)
        for name in ("plain", "p"):
            await node.until(name, ended)
        events = (await node.cluster.api.list("events", "default")).items

    told = [
        (one["involvedObject"]["name"], one["message"].split()[0]) for one in events if one["reason"] == NOT_PROVIDED
    ]
    assert sorted(told) == [("p", "container"), ("p", "hostNetwork:")]


async def test_a_probe_asks_the_container_and_makes_the_pod_ready(tmp_path: Path) -> None:
    """It finds in the container's home what its program has put there."""
    probe = {"readinessProbe": {"exec": {"command": ["bash", "-c", "test -e ~/here"]}, "periodSeconds": 1}}
    async with a_node(tmp_path) as node:
        await node.pod("p", "touch ~/here; exec sleep 600", container=probe)

        pod = await node.until("p", ready)

        assert pod["status"]["containerStatuses"][0]["ready"]


async def test_of_a_pod_that_is_deleted_no_process_and_no_file_stays(tmp_path: Path) -> None:
    """Though its program hears no TERM, and its daemon has a session of its own."""
    os.mkfifo(tmp_path / "said")
    script = f"trap '' TERM; setsid sleep 600 & echo $$$$ $! > {tmp_path}/said; while :; do sleep 600; done"
    async with a_node(tmp_path) as node:
        await node.pod("p", script)
        await node.until("p", ready)
        said = await asyncio.to_thread((tmp_path / "said").read_text)
        processes = [os.pidfd_open(int(one)) for one in said.split()]

        await node.cluster.api.delete("pods", "default", "p")
        await node.until("p", lambda pod: pod is None)

        assert all(has_ended(one) for one in processes)
        assert list((node.folder / "pods").iterdir()) == []
        assert list((node.folder / "p").iterdir()) == []


async def test_the_end_of_the_node_is_the_end_of_its_pods(tmp_path: Path) -> None:
    """Nobody deletes them first."""
    os.mkfifo(tmp_path / "said")
    async with a_node(tmp_path) as node:
        await node.pod("p", f"echo $$$$ > {tmp_path}/said; exec sleep 600")
        process = os.pidfd_open(int(await asyncio.to_thread((tmp_path / "said").read_text)))

    assert has_ended(process)


def has_ended(descriptor: int) -> bool:
    """Of a pidfd, which is closed."""
    ready, _, _ = select.select([descriptor], [], [], 0)
    os.close(descriptor)
    return bool(ready)
