"""The shared host with real Ray: clusters and their clients side by side, a driver on a worker, and killed runs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from hack.e2e.serving import a_cluster_config, a_config, a_rayservice, an_application, some_code
from hack.e2e.workloads import a_spec
from localcluster.node.cell import Program, a_cell
from localcluster.testing.celled import Traces, descendants, mentioned
from localcluster.testing.manta_process import SAMPLES, Manta, command_line, left, manta, next_start_works
from localcluster.testing.real import CLUSTERS, PODS, RAYJOBS, RAYSERVICES, Live
from localcluster.testing.up import Up, manta_up

pytestmark = [pytest.mark.local, pytest.mark.timeout(600)]

Json = dict[str, Any]
SHARED = "--isolation=shared-host"
REQUESTS = 200
LINES = 300


# Side by side


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """One `manta up`, with the code of the greeter."""
    with manta_up(tmp_path, SHARED) as running:
        yield running


async def test_two_clusters_with_a_job_and_an_application_each_do_not_meet(up: Up, tmp_path: Path) -> None:
    """Same ports everywhere, one user, one machine: each sees its own nodes, and answers its own requests alone."""
    names = ("one", "two")
    async with up.live() as live:
        await live.api.create("configmaps", "default", some_code("default"))
        for name in names:
            body = a_rayservice(name, "default", workers=1)
            body["spec"]["serveConfigV2"] = a_config(an_application(f"this is {name}", replicas=2))
            await live.api.create(RAYSERVICES, "default", body)
        clusters = {name: await serving_cluster(live, name) for name in names}
        async with asyncio.TaskGroup() as group:
            jobs = [group.create_task(nodes_seen_by_a_job(live, clusters[name], tmp_path)) for name in names]
            answers = [group.create_task(answers_of(await up.url(name))) for name in names]

        for name, job, said in zip(names, jobs, answers, strict=True):
            assert job.result() == addresses_of(live, clusters[name])
            assert len(job.result()) == 2
            hosts = {re.sub(r"^this is (\w+), from (\S+), .*$", r"\1 \2", one) for one in said.result()}
            assert {host.split()[0] for host in hosts} == {name}
            assert all(host.split()[1].startswith(clusters[name]) for host in hosts)


async def serving_cluster(live: Live, name: str) -> str:
    """The RayCluster of that service, once it answers."""

    def ready(service: Json) -> bool:
        conditions = (service.get("status") or {}).get("conditions") or ()
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    service = await live.until(RAYSERVICES, name, ready)
    cluster = str(service["status"]["activeServiceStatus"]["rayClusterName"])
    await live.all(PODS, lambda pods: len([pod for pod in pods.values() if is_of(pod, cluster)]) == 2)
    return cluster


def is_of(pod: Json, cluster: str) -> bool:
    """A node of it?"""
    return bool(pod["metadata"]["labels"].get("ray.io/cluster") == cluster)


def addresses_of(live: Live, cluster: str) -> list[str]:
    """Of its nodes."""
    return sorted(pod["status"]["podIP"] for pod in live.now(PODS).values() if is_of(pod, cluster))


async def nodes_seen_by_a_job(live: Live, cluster: str, folder: Path) -> list[str]:
    """The addresses of the nodes that a job on that cluster sees; it writes into a folder, which is everybody's."""
    told = folder / f"{cluster}.json"
    look = "import json, ray; ray.init(); nodes = [one['NodeManagerAddress'] for one in ray.nodes()]"
    code = f"{look}; open('{told}', 'w').write(json.dumps(nodes))"
    await succeeded(live, cluster, f'python -c "{code}"')
    return sorted(json.loads(told.read_text()))


async def succeeded(live: Live, cluster: str, entrypoint: str) -> None:
    """A job of that name on the cluster, from its start to its end."""
    selector = {"ray.io/cluster": cluster}
    spec = {"submissionMode": "HTTPMode", "clusterSelector": selector, "entrypoint": entrypoint}
    body = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": cluster, "namespace": "default"}}
    await live.api.create(RAYJOBS, "default", body | {"spec": spec})
    job = await live.until(RAYJOBS, cluster, lambda job: "endTime" in (job.get("status") or {}))
    assert job["status"]["jobStatus"] == "SUCCEEDED", job["status"].get("message")


async def answers_of(url: str) -> list[str]:
    """Each of many requests, one after the other, each on a connection of its own."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, raise_for_status=True) as session:
        return [await text_of(session, url) for _ in range(REQUESTS)]


async def text_of(session: aiohttp.ClientSession, url: str) -> str:
    """One answer."""
    async with session.get(url) as answer:
        return await answer.text()


@pytest.mark.spec("ray-side:S10-14")
async def test_clients_of_two_clusters_at_once_get_each_its_own(up: Up) -> None:
    """In each head Ray starts a server for its client: at the same port of the loopback, which both would share."""
    async with up.live() as live, nodes_told(2) as (port, told):
        async with asyncio.TaskGroup() as group:
            for name in ("one", "two"):
                group.create_task(a_client(live, name, port))

        assert told == {name: addresses_of(live, name) for name in ("one", "two")}
        assert all(len(nodes) == 1 for nodes in told.values())


@asynccontextmanager
async def nodes_told(clients: int) -> AsyncIterator[tuple[int, dict[str, list[str]]]]:
    """A port for so many clients: once all of them are connected to Ray, each is asked for the nodes that it sees."""
    connected, told = asyncio.Barrier(clients), dict[str, list[str]]()

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = (await reader.readline()).decode().strip()
        await connected.wait()
        writer.write(b"now\n")
        told[name] = sorted(json.loads(await reader.readline()))
        writer.close()

    async with await asyncio.start_server(ask, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], told


async def a_client(live: Live, cluster: str, port: int) -> None:
    """A job that connects to its own cluster as a client from outside would."""
    await a_head(live, cluster)
    code = f"""
import json, ray, socket
ray.init('ray://{cluster}-head-svc:10001')
with socket.create_connection(('127.0.0.1', {port})) as there, there.makefile('rw') as talk:
    print('{cluster}', file=talk, flush=True)
    talk.readline()
    print(json.dumps([one['NodeManagerAddress'] for one in ray.nodes()]), file=talk, flush=True)
    talk.readline()
"""
    await succeeded(live, cluster, f'python -c "{code}"')


async def a_head(live: Live, cluster: str) -> None:
    """A cluster without workers, once it is ready."""
    spec = a_spec(workers=0)
    (container,) = spec["headGroupSpec"]["template"]["spec"]["containers"]
    # Ray's proxy for clients forks while gRPC's threads run. Now and then the child's event_engine thread ends it with
    # SIGSEGV before its exec (grpcio 1.85, seen in the kernel's log), unless gRPC leaves forks alone.
    container["env"] = [*(container.get("env") or ()), {"name": "GRPC_ENABLE_FORK_SUPPORT", "value": "0"}]
    body = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": cluster}}
    await live.api.create(CLUSTERS, "default", body | {"spec": spec})
    await live.until(CLUSTERS, cluster, lambda one: (one.get("status") or {}).get("state") == "ready")


ASKER = """
import asyncio, ray
ray.init()

@ray.remote
class Asker:
    async def ask(self):
        for host in ('one-head-svc', 'localhost'):
            _, writer = await asyncio.open_connection(host, 8265)
            writer.close()
        return type(asyncio.get_running_loop()).__module__

assert ray.get(Asker.remote().ask.remote()).startswith('uvloop')
"""


@pytest.mark.spec("ray-side:S10-11")
async def test_an_asynchronous_actor_finds_a_service_by_its_name_and_its_own_pod_as_localhost(up: Up) -> None:
    """It runs in uvloop, which asks no socket of Python for either; so does a replica of Serve."""
    async with up.live() as live:
        await a_head(live, "one")
        await succeeded(live, "one", f'python -c "{ASKER}"')


# A driver on a worker


def a_job_on_a_worker() -> Json:
    """Its driver wants what only the worker has, and says much."""
    code = f"""import os, ray, socket, time
ray.init()
print('driver on', socket.gethostname())
for number in range({LINES}):
    print('line', number)
"""
    cluster = a_cluster_config(workers=1)
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        del pod["volumes"], pod["containers"][0]["volumeMounts"], pod["containers"][0]["env"]
    cluster["workerGroupSpecs"][0]["rayStartParams"] = {"resources": '"{\\"driver\\": 1}"'}
    spec = {
        "entrypoint": f'python -c "{code}"',
        "entrypointResources": '{"driver": 1}',
        "shutdownAfterJobFinishes": True,
        "rayClusterSpec": cluster,
    }
    metadata = {"name": "far", "namespace": "default"}
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": metadata, "spec": spec}


@pytest.mark.spec("ray-side:S10-20")
async def test_the_log_of_a_job_whose_driver_runs_on_a_worker_is_complete(tmp_path: Path) -> None:
    """Ray looks for nodes of this machine by its processes, and would take the head's for the driver's own."""
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(a_job_on_a_worker()))
    (tmp_path / "t").mkdir()

    async with manta(tmp_path / "t", "run", "--output", "plain", SHARED, file) as run:
        code, output, errors = await run.ended()

    assert code == 0, output + errors
    assert re.search(r"\| driver on far-\w+-\w+-worker-\w+", output), output
    assert [int(one) for one in re.findall(r"\| line (\d+)$", output, re.MULTILINE)] == list(range(LINES))


# What killed runs leave


DAEMON = "4242"  # seconds: what it is known by
ENDLESS = f"""python -c "
import os, ray, subprocess, time
ray.init()
subprocess.run(['sh', '-c', 'setsid sh -c \\"sleep {DAEMON} & sleep {DAEMON} &\\" &'])
print('nodes:', len(ray.nodes()))
time.sleep(3600)
"
"""
SUPERVISOR = r"localcluster\.node\.shared\.supervisor"
MOMENTS = (
    *("starting the local cluster", "RayJob default/hello created", "RayJob hello: Initializing"),
    *(r"-worker-\w+: Init: wait-gcs-ready", r"-head-\w+: Running", r"-head-\w+: Ready"),
    *(r"-worker-\w+: Running", r"-worker-\w+: Ready", "RayJob hello: Running", r"\| nodes: \d"),
)


@asynccontextmanager
async def an_endless_run(folder: Path) -> AsyncIterator[Manta]:
    """With one worker, and a job that leaves a daemon and goes on; what is temporary stands in `folder`/t."""
    (folder / "t").mkdir()
    job = yaml.safe_load((SAMPLES / "rayjob.yaml").read_text())
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replicas"] = 1
    job["spec"]["entrypoint"] = ENDLESS
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    async with manta(folder / "t", "run", "--output", "plain", SHARED, folder / "job.yaml") as run:
        yield run


@pytest.fixture
def decoy(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program of the same user that has nothing to do with it."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as program:
        yield program
        assert program.poll() is None
        program.communicate(b"\n")
    assert program.returncode == 0


@pytest.mark.spec("ray-side:S10-25")
@pytest.mark.parametrize("moment", MOMENTS)
async def test_when_manta_is_killed_all_that_it_started_ends(
    moment: str, tmp_path: Path, decoy: subprocess.Popen[bytes]
) -> None:
    """By itself, and soon: the supervisors see to it."""
    async with an_endless_run(tmp_path) as run:
        await run.line_with(moment)
        traces = run.traces()

        run.process.kill()
        await run.ended()

        await traces.gone()
        await Traces(*mentioned(str(run.folder))).gone()
        assert daemons() == []
        await next_start_works(run.folder)


@pytest.mark.spec("ray-side:S10-26", "ray-side:S10-27")
@pytest.mark.parametrize("moment", MOMENTS[-3:])
async def test_what_is_left_when_all_supervisors_are_killed_too_ends_with_the_next_start(
    moment: str, tmp_path: Path, decoy: subprocess.Popen[bytes]
) -> None:
    """Nobody is there any more who could end it. The next start finds it, and no other program."""
    async with an_endless_run(tmp_path) as run:
        await run.line_with(moment)
        traces = run.traces()
        began = daemons()

        for pid in all_who_watch(run.process.pid):
            os.kill(pid, signal.SIGKILL)
        await run.ended()
        assert mentioned(str(run.folder)) != {}
        await next_start_works(run.folder)

        await traces.gone()
        assert began == [] or moment == MOMENTS[-1]
        assert daemons() == []
        assert left(run.folder) == []


def all_who_watch(pid: int) -> list[int]:
    """`manta`, launcher, local cluster and every supervisor: in this order, before one can do what it is for."""
    watching = re.compile(rf"localcluster\.node\.cell|localcluster\.inside|{SUPERVISOR}")
    return [pid, *(one for one in descendants(pid) if watching.search(command_line(one)))]


def daemons() -> list[int]:
    """Those of ENDLESS."""
    found = [int(one.name) for one in Path("/proc").glob("[0-9]*") if command_line(int(one.name)) == f"sleep {DAEMON} "]
    return sorted(found)


# Programs without a cell, and without Ray


RESTLESS = (
    "import subprocess, time; subprocess.Popen(['sh', '-c', 'setsid sleep 4343 &']); print(flush=True); time.sleep(60)"
)


async def test_a_daemon_of_a_program_ends_with_the_programs(tmp_path: Path) -> None:
    """The launcher adopts it, and kills what is left when it ends."""
    log = tmp_path / "log"  # the launcher makes it
    program = Program("restless", (sys.executable, "-c", RESTLESS), log=str(log))
    async with a_cell([program], shared=True) as cell:
        while not (log.exists() and log.read_bytes()):  # noqa: ASYNC110 - it says one line
            await asyncio.sleep(0.01)
        traces = Traces(cell.pids["init"])
    await traces.gone()
