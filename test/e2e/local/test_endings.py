"""Whatever ends `manta run` with real Ray, at whatever moment: nothing of it stays, and the next start works.

What can be ended before there are pods, test_manta_ends.py ends at every step of the start.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from localcluster.node.images import DONE
from localcluster.testing.celled import nothing_lives
from localcluster.testing.manta_process import NETWORK_TOOLS, SAMPLES, Manta, left, manta, next_start_works, without

pytestmark = [pytest.mark.local, pytest.mark.timeout(400)]

# What `manta run` says, from its start to its end.
BEGINNING = "starting the local cluster"
SERVED = "local cluster on http"
CREATED = "RayJob default/hello created"
INITIALIZING = "RayJob hello: Initializing"
HEAD_RUNS = r"-head-\w+: Running"
WORKER_WAITS = r"-worker-\w+: Init: wait-gcs-ready"
WORKER_RUNS = r"-worker-\w+: Running"
WORKER_READY = r"-worker-\w+: Ready"
JOB_RUNS = "RayJob hello: Running"
JOB_SPEAKS = r"\| nodes: \d"
CLEANING = "cleaning up"

ON_AND_ON = "python -c \"import ray, time; ray.init(); print('nodes:', len(ray.nodes())); time.sleep(3600)\""


def a_job(folder: Path, *, endless: bool) -> Path:
    """The sample with one worker and longer tasks; an endless one runs until somebody ends it."""
    job = yaml.safe_load((SAMPLES / "rayjob.yaml").read_text().replace("time.sleep(0.2)", "time.sleep(1)"))
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replicas"] = 1
    if endless:
        job["spec"]["entrypoint"] = ON_AND_ON
    file = folder / "job.yaml"
    file.write_text(yaml.safe_dump(job))
    return file


@asynccontextmanager
async def manta_run(folder: Path, *, endless: bool = False, **environment: str) -> AsyncIterator[Manta]:
    """That job; what is temporary stands in `folder`/t."""
    (folder / "t").mkdir()
    file = a_job(folder, endless=endless)
    async with manta(folder / "t", "run", "--output", "plain", file, environment=environment) as run:
        yield run


CTRL_C = (
    *(BEGINNING, SERVED, CREATED, INITIALIZING, WORKER_WAITS, HEAD_RUNS),
    *(WORKER_RUNS, WORKER_READY, JOB_RUNS, JOB_SPEAKS),
)


@pytest.mark.parametrize("moment", CTRL_C)
async def test_ctrl_c_ends_everything(moment: str, tmp_path: Path) -> None:
    """At ten moments; like a terminal, the signal goes to the whole foreground group."""
    async with manta_run(tmp_path, endless=True) as run:
        await run.line_with(moment)
        traces = run.traces()

        os.killpg(run.process.pid, signal.SIGINT)
        code, _, errors = await run.ended()

        assert code == 130
        assert errors == "\ninterrupted; everything that was started is gone\n"
        await nothing_lives(run.folder, traces)
        assert left(run.folder) == []
        await next_start_works(run.folder)


async def test_ctrl_c_while_it_cleans_up_does_not_cut_that_short(tmp_path: Path) -> None:
    """The job had ended; whether the signal still finds somebody who heeds it is chance."""
    async with manta_run(tmp_path) as run:
        await run.line_with(CLEANING)
        traces = run.traces()

        os.killpg(run.process.pid, signal.SIGINT)
        code, _, _ = await run.ended()

        assert code in (0, 130)
        await nothing_lives(run.folder, traces)
        assert left(run.folder) == []


KILLED = [
    pytest.param("manta", CREATED, id="manta, job created"),
    pytest.param("manta", WORKER_RUNS, id="manta, worker runs"),
    pytest.param("manta", JOB_SPEAKS, id="manta, job runs"),
    pytest.param("launcher", INITIALIZING, id="launcher, job initializing"),
    pytest.param("launcher", JOB_RUNS, id="launcher, job runs"),
    pytest.param("init", HEAD_RUNS, id="init, head runs"),
    pytest.param("init", JOB_SPEAKS, id="init, job runs"),
    pytest.param("local cluster", WORKER_WAITS, id="local cluster, worker waits"),
    pytest.param("local cluster", WORKER_READY, id="local cluster, worker ready"),
    pytest.param("local cluster", JOB_SPEAKS, id="local cluster, job runs"),
]


@pytest.mark.parametrize(("victim", "moment"), KILLED)
async def test_the_death_of_one_is_the_end_of_all(victim: str, moment: str, tmp_path: Path) -> None:
    """SIGKILL gives nobody a chance to clean up: the kernel does, and the next start removes a folder that stayed."""
    async with manta_run(tmp_path, endless=True) as run:
        await run.line_with(moment)
        traces = run.traces()

        os.kill(run.part(victim), signal.SIGKILL)
        code, _, errors = await run.ended()

        assert code == (-signal.SIGKILL if victim == "manta" else 1), errors
        assert "Traceback" not in errors
        await nothing_lives(run.folder, traces)
        assert victim == "manta" or left(run.folder) == []
        await next_start_works(run.folder)


SURVIVED = [
    pytest.param([(CREATED, "operator"), (WORKER_RUNS, "operator"), (JOB_SPEAKS, "operator")], id="operator"),
    pytest.param([(WORKER_RUNS, "worker"), (JOB_SPEAKS, "supervisor of worker")], id="worker, its supervisor"),
    pytest.param([(WORKER_RUNS, "supervisor of worker"), (JOB_SPEAKS, "worker")], id="supervisor of a worker, worker"),
    pytest.param([(HEAD_RUNS, "supervisor of head")], id="supervisor of the starting head"),
    pytest.param([(HEAD_RUNS, "head")], id="starting head"),
]


@pytest.mark.parametrize("deaths", SURVIVED)
async def test_what_is_not_essential_is_started_again_and_the_job_succeeds(
    deaths: Sequence[tuple[str, str]], tmp_path: Path
) -> None:
    """The operator by the cell, a container by the kubelet; afterwards nothing is left, as always."""
    async with manta_run(tmp_path) as run:
        for moment, victim in deaths:
            await run.line_with(moment)
            os.kill(run.part(victim), signal.SIGKILL)
        await run.line_with(CLEANING)
        traces = run.traces()
        code, output, errors = await run.ended()

        assert code == 0, output + errors
        assert "sum of squares below a million: 333332833333500000" in output
        await nothing_lives(run.folder, traces)
        assert left(run.folder) == []
        await next_start_works(run.folder)


async def test_a_head_that_dies_under_a_running_job_leaves_no_run_hanging(tmp_path: Path) -> None:
    """Its driver ran there. A new submitter submits it once more, if the head is back in time; else it has failed."""
    async with manta_run(tmp_path) as run:
        await run.line_with(JOB_SPEAKS)

        os.kill(run.part("head"), signal.SIGKILL)
        await run.line_with(CLEANING)
        traces = run.traces()
        code, output, errors = await run.ended()

        assert code == (0 if "sum of squares below a million: 333332833333500000" in output else 1), output + errors
        assert ("the job failed: " in output) == (code == 1)
        await nothing_lives(run.folder, traces)
        assert left(run.folder) == []
        await next_start_works(run.folder)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)], ids=["INT", "KILL"])
async def test_the_making_of_an_image_ends_with_the_run(number: signal.Signals, code: int, tmp_path: Path) -> None:
    """It goes on outside of the cell, which has no network; its processes follow their parents."""
    cache = tmp_path / "cache"
    async with manta_run(tmp_path, XDG_CACHE_HOME=str(cache)) as run:
        await run.line_with(r"Resolved \d+ packages")
        traces = run.traces()

        run.process.send_signal(number)
        ended, _, errors = await run.ended()

        assert ended == code, errors
        await nothing_lives(tmp_path, traces)
        assert complete(cache) == []
        await next_start_works(run.folder)


def complete(cache: Path) -> list[Path]:
    """The images that count as made."""
    return list((cache / "manta" / "images").glob(f"*/{DONE}"))


async def test_a_machine_without_network_tools_runs_a_job_too(tmp_path: Path) -> None:
    """Probes bring their own wget; all else is system calls."""
    programs = without(NETWORK_TOOLS, tmp_path / "bin")
    async with manta_run(tmp_path, PATH=str(programs)) as run:
        code, output, errors = await run.ended()

        assert code == 0, output + errors
        assert "sum of squares below a million: 333332833333500000" in output
        assert left(run.folder) == []
